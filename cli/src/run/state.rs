//! The folder that a local mesh keeps its keys, tokens and logs in: ours alone to read.

use std::{
    fs::{self, DirBuilder, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use tempfile::TempDir;

/// The folder.
#[derive(Debug)]
pub(crate) struct State {
    root: PathBuf,
    /// Removed with everything in it when the mesh ends, if nobody named a folder.
    temporary: Option<TempDir>,
}

/// A file or folder of the state that cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("state folder: cannot {act} {}: {source}; is it ours, and is there space?", .path.display())]
pub(crate) struct Error {
    act: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl State {
    /// The given folder, made if it is not there; without one, a fresh temporary folder.
    pub(crate) fn open(root: Option<&Path>) -> Result<Self, Error> {
        let Some(root) = root else {
            let private = Permissions::from_mode(0o700);
            let temporary = tempfile::Builder::new().prefix("weft-").permissions(private).tempdir();
            let temporary =
                temporary.map_err(|source| failed("make a folder in", Path::new("TMPDIR"), source))?;
            return Self { root: temporary.path().to_owned(), temporary: Some(temporary) }.with_folders();
        };
        private_folder(root)?;
        // Children are started with these paths, whatever their working folder is.
        let root = root.canonicalize().map_err(|source| failed("find", root, source))?;
        Self { root, temporary: None }.with_folders()
    }

    fn with_folders(self) -> Result<Self, Error> {
        for folder in ["logs", "authority", "workloads"] {
            private_folder(&self.root.join(folder))?;
        }
        Ok(self)
    }

    /// The folder itself.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A file of the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// File for the log of a process.
    pub(crate) fn log(&self, process: &str) -> PathBuf {
        self.root.join("logs").join(format!("{process}.log"))
    }

    /// File for the access log of a sidecar.
    pub(crate) fn access_log(&self, process: &str) -> PathBuf {
        self.root.join("logs").join(format!("{process}.access.jsonl"))
    }

    /// A file of one workload; the folder of the workload is made.
    pub(crate) fn workload(&self, namespace: &str, name: &str, file: &str) -> Result<PathBuf, Error> {
        // Neither part can hold a slash: both are DNS names, which the check of the files demands.
        let folder = self.root.join("workloads").join(format!("{namespace}.{name}"));
        private_folder(&folder)?;
        Ok(folder.join(file))
    }

    /// Keeps the folder when the mesh ends.
    pub(crate) fn keep(&mut self) {
        if let Some(temporary) = &mut self.temporary {
            temporary.disable_cleanup(true);
        }
    }
}

/// Reads a file; none if it is not there.
pub(crate) fn read(path: &Path) -> Result<Option<String>, Error> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path, error)),
    }
}

/// Writes a file that only we may read. Whoever reads it meanwhile sees the old content or the new.
pub(crate) fn write(path: &Path, content: &str) -> Result<(), Error> {
    let fresh = path.with_extension("new");
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(content.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, path)
    })();
    written.map_err(|source| failed("write", path, source))
}

fn private_folder(path: &Path) -> Result<(), Error> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| failed("make the folder", path, source))
}

fn failed(act: &'static str, path: &Path, source: io::Error) -> Error {
    Error { act, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;
