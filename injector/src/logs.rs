//! Where the log adapter of a pod finds the log files: in volumes that the application mounts, or in new ones.

use serde_json::{Value, json};

use crate::annotations::{LogFile, quoted};

/// What the names of our volumes for logs begin with; a number follows.
pub const VOLUME_PREFIX: &str = "weft-logs-";

/// How application and adapter come to share directories.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sharing {
    /// Directories without a volume; the one at `i` gets the volume [`volume_name`]`(i)` in every container.
    pub new: Vec<String>,
    /// What the adapter mounts (`volumeMounts`), read-only.
    pub mounts: Vec<Value>,
}

/// Why a directory cannot be shared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unshared {
    /// Two containers would log into different volumes.
    #[error(
        "containers {first:?} and {second:?} mount different volumes for {directory}: mount one volume in both, or none"
    )]
    Different {
        /// The directory.
        directory: String,
        /// A container.
        first: String,
        /// Another one.
        second: String,
    },
    /// Where in the volume it is, only that container's environment says.
    #[error("container {container:?} mounts {directory} with subPathExpr: use subPath, or another volume")]
    SubPathExpr {
        /// The directory.
        directory: String,
        /// The container.
        container: String,
    },
}

/// Name of the volume for the directory at `index` of [`Sharing::new`].
pub fn volume_name(index: usize) -> String {
    format!("{VOLUME_PREFIX}{index}")
}

impl Sharing {
    /// How the directories of `files` are shared with `containers`, which are the pod's own.
    pub fn plan(files: &[LogFile], containers: &[Value]) -> Result<Self, Unshared> {
        let mut sharing = Self::default();
        let mut seen: Vec<&str> = Vec::new();
        for directory in files.iter().map(LogFile::directory) {
            if seen.contains(&directory) {
                continue;
            }
            seen.push(directory);
            let mount = if let Some(mount) = existing(directory, containers)? {
                mount
            } else {
                let mount = json!({
                    "name": volume_name(sharing.new.len()), "mountPath": directory, "readOnly": true,
                });
                sharing.new.push(directory.to_owned());
                mount
            };
            // Two directories may lie in one volume.
            if sharing.mounts.iter().all(|other| other["mountPath"] != mount["mountPath"]) {
                sharing.mounts.push(mount);
            }
        }
        Ok(sharing)
    }
}

/// The mount that `directory` is in, as the adapter repeats it. All containers that have one must have the same.
fn existing(directory: &str, containers: &[Value]) -> Result<Option<Value>, Unshared> {
    let mut found: Option<(&str, Value)> = None;
    for container in containers {
        let Some(mount) = around(directory, container) else { continue };
        let name = container["name"].as_str().unwrap_or_default();
        if mount.get("subPathExpr").is_some_and(|path| path.as_str() != Some("")) {
            return Err(Unshared::SubPathExpr { directory: quoted(directory), container: quoted(name) });
        }
        let mut own = json!({"name": mount["name"], "mountPath": mount["mountPath"], "readOnly": true});
        if let Some(path) = mount.get("subPath") {
            own["subPath"] = path.clone();
        }
        match &found {
            Some((first, other)) if *other != own => {
                return Err(Unshared::Different {
                    directory: quoted(directory),
                    first: quoted(first),
                    second: quoted(name),
                });
            }
            _ => found = Some((name, own)),
        }
    }
    Ok(found.map(|(_, mount)| mount))
}

/// The innermost mount of `container` at or above `directory`.
fn around<'a>(directory: &str, container: &'a Value) -> Option<&'a Value> {
    let mounts = container.get("volumeMounts")?.as_array()?;
    let path = |mount: &'a Value| Some(mount.get("mountPath")?.as_str()?.trim_end_matches('/'));
    mounts
        .iter()
        .filter(|mount| path(mount).is_some_and(|path| is_within(directory, path)))
        .max_by_key(|mount| path(mount).map_or(0, str::len))
}

/// Whether `directory` is `other`, or below it.
fn is_within(directory: &str, other: &str) -> bool {
    directory.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
