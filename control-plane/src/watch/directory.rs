//! The files themselves: finds and reads them, and notices that they changed.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
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

/// A file, or a folder of `*.yaml`, `*.yml` and `*.json`, that is read again whenever it changes.
pub struct Directory {
    path: PathBuf,
    reading: Reading,
    /// Holds at most one notice: all of them say the same.
    notices: mpsc::Receiver<()>,
    /// A notice was taken, and the files were not read since.
    stale: bool,
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
        // A file that is replaced by renaming is another file afterwards: its folder sees that.
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let watcher = watch(if is_dir { path } else { parent }, notice);
        if let Err(error) = &watcher {
            tracing::warn!(%error, "cannot watch {}: looking every {} s", path.display(), RESCAN.as_secs());
        }
        // Watched first, read then: what changes in between is noticed.
        let reading = read(path, &Reading::default());
        Ok(Self { path: path.to_owned(), reading, notices, stale: false, watcher: watcher.ok() })
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
                let rescan = Instant::now() + RESCAN;
                if let Ok(None) = timeout_at(rescan, self.notices.recv()).await {
                    sleep_until(rescan).await;
                }
                self.stale = true;
            }
            self.settle().await;
            let contents = contents(&self.path);
            self.stale = false;
            if !self.reading.is_of(&contents) {
                self.reading = self.reading.next(contents);
                return &self.reading;
            }
        }
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

/// What is at `path` now, following on `before`.
pub(super) fn read(path: &Path, before: &Reading) -> Reading {
    before.next(contents(path))
}

fn watch(folder: &Path, notice: mpsc::Sender<()>) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Our own reading is an access too, and must not wake us. An error means that notices were lost.
        let changes = event.is_err() || event.is_ok_and(|event| may_change(event.kind));
        if changes {
            // Full means that a notice waits already.
            let _ = notice.try_send(());
        }
    })?;
    watcher.watch(folder, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

fn may_change(kind: EventKind) -> bool {
    !matches!(kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
}

/// Every file that counts, and what it says.
fn contents(path: &Path) -> BTreeMap<PathBuf, Content> {
    match files(path) {
        Ok(files) => {
            files.into_iter().filter_map(|file| content(&file).map(|content| (file, content))).collect()
        }
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
        // Hidden ones are the working copies of editors, and the folders behind the links of a ConfigMap.
        let hidden = file.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        let named = file.extension().is_some_and(|end| end == "yaml" || end == "yml" || end == "json");
        if named && !hidden {
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

/// What a file says; `None` if it is gone, or is none.
fn content(file: &Path) -> Option<Content> {
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
        Ok(text) => Some(Content::Text(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => Some(Content::Unreadable(format!("cannot be read: {error}"))),
    }
}

#[cfg(test)]
mod tests;
