//! The files themselves: finds and reads them, and notices that they changed.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher, event::AccessKind, event::AccessMode};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout_at},
};

use super::reading::{Content, Reading};

/// Files that are looked at: more than a machine has local services.
const FILES_MAX: usize = 4096;
/// Longest file that is read, in bytes: more than Kubernetes stores of one object, by far.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Files are read once nothing has happened to them for this long: editors write in several steps.
const QUIET: Duration = Duration::from_millis(20);
/// A folder in which something happens all the time is read all the same.
const QUIET_WAIT_MAX: Duration = Duration::from_millis(500);
/// The system's notices can be lost, and do not cross every file system. Then this is how long a change takes.
const RESCAN: Duration = Duration::from_secs(5);
/// Names that are remembered of files that changed. Where it is more of them, all are looked at.
const TOUCHED_MAX: usize = 256;

/// A file, or a folder of `*.yaml`, `*.yml` and `*.json`, that is read again whenever it changes.
pub struct Directory {
    path: PathBuf,
    reading: Reading,
    /// Holds at most one notice: all of them say the same.
    notices: mpsc::Receiver<()>,
    /// What the notices are about.
    touched: Touched,
    /// A notice was taken, and the files were not read since.
    stale: bool,
    /// When all files have to be looked at, notices or not.
    rescan: Instant,
    /// Sends the notices; absent if the system cannot.
    #[allow(dead_code, reason = "it watches for as long as it is held")]
    watcher: Option<RecommendedWatcher>,
}

/// The path cannot be watched.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}; give a file, or a folder of *.yaml, *.yml and *.json", path = path.display())]
pub struct OpenError {
    path: PathBuf,
    source: io::Error,
}

impl Directory {
    /// Reads everything once, and begins to watch. Problems of single files are no error: see [`Reading::problems`].
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let failed = |source| OpenError { path: path.to_owned(), source };
        let is_dir = fs::metadata(path).map_err(failed)?.is_dir();
        let (notice, notices) = mpsc::channel(1);
        let touched = Touched::default();
        // A file that is replaced by renaming is another file afterwards: its folder sees that.
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let watcher = watch(if is_dir { path } else { parent }, notice, touched.clone());
        if let Err(error) = &watcher {
            tracing::warn!(%error, "cannot watch {}: looking every {} s", path.display(), RESCAN.as_secs());
        }
        // Watched first, read then: what changes in between is noticed.
        let (reading, rescan) = (read(path), Instant::now() + RESCAN);
        let path = path.to_owned();
        Ok(Self { path, reading, notices, touched, stale: false, rescan, watcher: watcher.ok() })
    }

    /// What was read last.
    pub fn reading(&self) -> &Reading {
        &self.reading
    }

    /// Waits until the files say something else than before. May be dropped at any time, and loses nothing.
    pub async fn changed(&mut self) -> &Reading {
        loop {
            if !self.stale {
                // Ends by a notice, or by the time; a watcher that is gone leaves the time alone.
                if let Ok(None) = timeout_at(self.rescan, self.notices.recv()).await {
                    sleep_until(self.rescan).await;
                }
                self.stale = true;
            }
            self.settle().await;
            let found = self.look();
            self.stale = false;
            if self.reading.update(found) {
                return &self.reading;
            }
        }
    }

    /// What the files say that may have changed: those that the notices name, or all.
    fn look(&mut self) -> BTreeMap<PathBuf, Content> {
        let touched = self.touched.take().filter(|_| Instant::now() < self.rescan);
        let files = touched.map(|names| names.iter().map(|name| self.path.join(name)).collect::<Vec<_>>());
        // Whether it is too many with a new one is not seen by looking at it alone.
        let known = |files: &Vec<PathBuf>| files.iter().all(|file| self.reading.has(file));
        if let Some(files) = files.filter(known) {
            return files.into_iter().map(|file| (file.clone(), content(&file))).collect();
        }
        self.rescan = Instant::now() + RESCAN;
        let gone = self.reading.files().map(|file| (file.to_owned(), Content::Absent));
        let mut found: BTreeMap<_, _> = gone.collect();
        found.extend(contents(&self.path));
        found
    }

    /// Waits until nothing has happened for a moment.
    async fn settle(&mut self) {
        let latest = Instant::now() + QUIET_WAIT_MAX;
        while Instant::now() < latest {
            let quiet = (Instant::now() + QUIET).min(latest);
            match timeout_at(quiet, self.notices.recv()).await {
                Ok(Some(())) => {}
                Ok(None) | Err(_) => return,
            }
        }
    }
}

/// What is at `path` now.
pub(super) fn read(path: &Path) -> Reading {
    let mut reading = Reading::default();
    reading.update(contents(path));
    reading
}

fn watch(folder: &Path, notice: mpsc::Sender<()>, touched: Touched) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Our own reading is an access too, and must not wake us. An error means that notices were lost.
        let paths = match event {
            Ok(event) if !may_change(event.kind) => return,
            Ok(event) => event.paths,
            Err(_) => Vec::new(),
        };
        touched.note(&paths);
        // Full means that a notice waits already.
        let _ = notice.try_send(());
    })?;
    watcher.watch(folder, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

/// The names of files that changed since they were read last; `None` where it may be any of them. Clones share it.
#[derive(Clone, Default)]
struct Touched(Arc<Mutex<Option<BTreeSet<OsString>>>>);

impl Touched {
    /// Notes these; without any, all. A name that is none of a file that is read may stand behind one, as the folders
    /// do behind the links of a ConfigMap.
    fn note(&self, paths: &[PathBuf]) {
        let mut touched = self.names();
        let Some(names) = touched.as_mut() else { return };
        names.extend(paths.iter().filter_map(|path| path.file_name()).map(ToOwned::to_owned));
        if paths.is_empty() || !paths.iter().all(|path| is_read(path)) || names.len() > TOUCHED_MAX {
            *touched = None;
        }
    }

    /// What was noted since this was asked last.
    fn take(&self) -> Option<BTreeSet<OsString>> {
        self.names().replace(BTreeSet::new())
    }

    fn names(&self) -> MutexGuard<'_, Option<BTreeSet<OsString>>> {
        // Nothing that can panic runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn may_change(kind: EventKind) -> bool {
    !matches!(kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
}

/// Every file that counts, and what it says.
fn contents(path: &Path) -> BTreeMap<PathBuf, Content> {
    match files(path) {
        Ok(files) => files.into_iter().map(|file| (file.clone(), content(&file))).collect(),
        Err(error) => {
            let reason = Content::Unreadable(format!("cannot be read: {error}"));
            BTreeMap::from([(path.to_owned(), reason)])
        }
    }
}

fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let file = entry?.path();
        if is_read(&file) {
            files.push(file);
        }
    }
    files.sort();
    if files.len() > FILES_MAX {
        let reason = format!("it holds {} files; at most {FILES_MAX} are read", files.len());
        return Err(io::Error::other(reason));
    }
    Ok(files)
}

/// Whether a file of a folder is read, by its name.
fn is_read(file: &Path) -> bool {
    // Hidden ones are the working copies of editors, and the folders behind the links of a ConfigMap.
    let hidden = file.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    !hidden && file.extension().is_some_and(|end| end == "yaml" || end == "yml" || end == "json")
}

/// What a file says. One that is gone, or is none, is absent.
fn content(file: &Path) -> Content {
    let text = fs::metadata(file).and_then(|found| {
        if !found.is_file() {
            return Err(io::ErrorKind::NotFound.into());
        }
        if found.len() > FILE_BYTES_MAX {
            return Err(io::Error::other(format!(
                "it has {} bytes; at most {FILE_BYTES_MAX} are read",
                found.len()
            )));
        }
        fs::read_to_string(file)
    });
    match text {
        Ok(text) => Content::Text(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Content::Absent,
        Err(error) => Content::Unreadable(format!("cannot be read: {error}")),
    }
}

#[cfg(test)]
mod tests;
