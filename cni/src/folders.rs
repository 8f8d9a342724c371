//! The folders of the node that the agent writes to: where runtimes find programs of plugins, and lists of them.
//!
//! A file is always replaced as a whole, so whoever reads it finds the old one or the new one, also after a power cut.

use std::{
    fs::{self, File, Permissions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{
    call::PLUGIN,
    chain::{self, EXTENSIONS, Inserted, Unusable},
};

/// A file that runtimes do not take for configuration, and that is never left behind.
const UNFINISHED: &str = ".weft-cni.unfinished";
/// What is added to the name of a file with a single plugin while a list stands in its place.
const SET_ASIDE: &str = ".before-weft";
/// Bytes of a file at most. Real ones have a few kilobytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The folders, by the same paths on the node and in the agent's container.
#[derive(Clone, Debug)]
pub struct Folders {
    /// Programs of plugins.
    pub programs: PathBuf,
    /// Lists of plugins.
    pub lists: PathBuf,
}

/// What there was to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nothing: the plugin has its place.
    Kept,
    /// It was put into this file.
    Taken(String),
    /// There is no list to put it into: the network of the node is not installed yet.
    Nowhere,
}

/// Why a folder is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// A file cannot be read or written.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The first list cannot have the plugin.
    #[error("{path}: {source}", path = path.display())]
    Unusable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: Unusable,
    },
}

impl Folders {
    /// Puts `program` where runtimes look for the plugin, unless it is there.
    pub fn install(&self, program: &[u8]) -> Result<(), FolderError> {
        let path = self.programs.join(PLUGIN);
        if fs::read(&path).is_ok_and(|found| found == program) {
            return Ok(());
        }
        replace(&path, program, 0o755)
    }

    /// Sees that the plugin stands in the list that runtimes use: the first one by name that holds plugins.
    pub fn enlist(&self, entry: &Value) -> Result<Place, FolderError> {
        let mut unusable = None;
        for name in self.names()? {
            let path = self.lists.join(&name);
            let text = read(&path)?;
            match chain::insert(&name, &text, entry) {
                Ok(None) => return Ok(Place::Kept),
                Ok(Some(inserted)) => return self.write(&path, inserted),
                // Some runtimes take the next one then, and others none.
                Err(source @ (Unusable::Json(_) | Unusable::Empty)) => {
                    unusable.get_or_insert(FolderError::Unusable { path, source });
                }
                Err(source) => return Err(FolderError::Unusable { path, source }),
            }
        }
        unusable.map_or(Ok(Place::Nowhere), Err)
    }

    /// Takes the plugin out of all lists, and puts files back that were set aside. The program stays: some runtimes call
    /// it once more for each pod that it was called for.
    pub fn delist(&self) -> Result<Vec<String>, FolderError> {
        let mut changed = Vec::new();
        for name in self.names()? {
            let path = self.lists.join(&name);
            let Some(text) = chain::remove(&read(&path)?) else { continue };
            match self.aside(&name) {
                // It stands before the list in the order of names, so it counts from here on.
                Some(aside) => {
                    let single = aside.with_extension("");
                    if single.exists() {
                        remove(&aside)?;
                    } else {
                        rename(&aside, &single)?;
                    }
                    remove(&path)?;
                }
                None => replace(&path, text.as_bytes(), mode(&path)?)?,
            }
            changed.push(name);
        }
        Ok(changed)
    }

    fn write(&self, path: &Path, inserted: Inserted) -> Result<Place, FolderError> {
        let list = self.lists.join(&inserted.name);
        replace(&list, inserted.text.as_bytes(), mode(path)?)?;
        if list != path {
            // It would stand before the list in the order of names.
            rename(path, &set_aside(path))?;
        }
        Ok(Place::Taken(inserted.name))
    }

    /// Where the single plugin is that the list `name` was made from, if it was.
    fn aside(&self, name: &str) -> Option<PathBuf> {
        let stem = name.strip_suffix(".conflist")?;
        let singles =
            ["conf", "json"].map(|extension| set_aside(&self.lists.join(format!("{stem}.{extension}"))));
        singles.into_iter().find(|path| path.exists())
    }

    /// The files that runtimes read, in their order.
    fn names(&self) -> Result<Vec<String>, FolderError> {
        let failed = |source| FolderError::File { path: self.lists.clone(), source };
        let mut names = Vec::new();
        for file in fs::read_dir(&self.lists).map_err(failed)? {
            let Ok(name) = file.map_err(failed)?.file_name().into_string() else { continue };
            if name.rsplit_once('.').is_some_and(|(_, extension)| EXTENSIONS.contains(&extension)) {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }
}

fn set_aside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(SET_ASIDE);
    name.into()
}

fn read(path: &Path) -> Result<String, FolderError> {
    let read = || {
        if fs::metadata(path)?.len() > FILE_BYTES_MAX {
            return Err(io::Error::other("is too long for a list of plugins"));
        }
        fs::read_to_string(path)
    };
    read().map_err(|source| FolderError::File { path: path.to_owned(), source })
}

fn mode(path: &Path) -> Result<u32, FolderError> {
    let metadata =
        fs::metadata(path).map_err(|source| FolderError::File { path: path.to_owned(), source })?;
    Ok(metadata.mode() & 0o777)
}

fn rename(from: &Path, to: &Path) -> Result<(), FolderError> {
    fs::rename(from, to).map_err(|source| FolderError::File { path: from.to_owned(), source })
}

fn remove(path: &Path) -> Result<(), FolderError> {
    fs::remove_file(path).map_err(|source| FolderError::File { path: path.to_owned(), source })
}

/// Writes a file as a whole.
fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FolderError> {
    let unfinished = path.with_file_name(UNFINISHED);
    let write = || {
        let mut file = File::create(&unfinished)?;
        file.set_permissions(Permissions::from_mode(mode))?;
        file.write_all(bytes)?;
        file.sync_all()?;
        drop(file);
        fs::rename(&unfinished, path)
    };
    write().map_err(|source| {
        // What could not be finished is of no use, whatever comes of removing it.
        let _ = fs::remove_file(&unfinished);
        FolderError::File { path: path.to_owned(), source }
    })
}

#[cfg(test)]
mod tests;
