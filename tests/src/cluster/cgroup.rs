//! The control groups of the cluster: the only thing of the machine that outlasts its processes.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use rustix::process::Pid;

use super::{folder::Folder, inside};

const ROOT: &str = "/sys/fs/cgroup";
/// How long processes that were killed may take to leave their groups.
const END: Duration = Duration::from_secs(30);

/// A group of this name in each hierarchy.
pub(super) struct Cgroup {
    name: String,
}

impl Cgroup {
    pub(super) fn of(folder: &Folder) -> Self {
        Self { name: folder.id() }
    }

    /// The group of a node as its kubelet names it.
    pub(super) fn node(&self, node: &str) -> String {
        format!("/{}/{node}", self.name)
    }

    /// Makes the group of a node: kubelets do not make their own root.
    pub(super) fn make(&self, node: &str) -> Result<()> {
        for hierarchy in hierarchies()? {
            let own = hierarchy.join(&self.name);
            for folder in [&own, &own.join(node)] {
                fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
                prepare(folder).with_context(|| folder.display().to_string())?;
            }
        }
        Ok(())
    }

    /// Removes it with all groups below, once the processes in them, which must have been killed, are gone.
    pub(super) fn remove(&self) -> Result<()> {
        let own: Vec<PathBuf> = hierarchies()?.into_iter().map(|path| path.join(&self.name)).collect();
        inside::until("the processes of the cluster have ended", END, || {
            own.iter().filter(|path| path.exists()).try_for_each(|path| remove(path))?;
            Ok(Some(()))
        })
    }

    /// A process of the pod with this uid.
    pub(super) fn process_of(&self, uid: &str) -> Option<Pid> {
        let hierarchies = hierarchies().ok()?;
        let pod = hierarchies.iter().find_map(|path| find(&path.join(&self.name), &format!("pod{uid}")))?;
        first_process(&pod)
    }
}

/// Each controller's of version 1 (and beside them that of version 2, which runc uses for nothing but names), or the only
/// one of version 2.
fn hierarchies() -> Result<Vec<PathBuf>> {
    let root = Path::new(ROOT);
    if root.join("cgroup.controllers").exists() {
        return Ok(vec![root.to_owned()]);
    }
    let entries = fs::read_dir(root).with_context(|| format!("{ROOT}: control groups are not mounted"))?;
    let folders = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    Ok(folders.map(|entry| entry.path()).collect())
}

/// Lets groups below it be used: version 1 wants processors and memory to be named, version 2 the controllers.
fn prepare(folder: &Path) -> std::io::Result<()> {
    let parent = folder.parent().unwrap_or(folder);
    if folder.join("cgroup.controllers").exists() {
        let offered = fs::read_to_string(parent.join("cgroup.controllers"))?;
        let wanted: Vec<String> = offered.split_whitespace().map(|name| format!("+{name}")).collect();
        return fs::write(parent.join("cgroup.subtree_control"), wanted.join(" "));
    }
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if folder.join(file).exists() {
            fs::write(folder.join(file), fs::read(parent.join(file))?)?;
        }
    }
    Ok(())
}

fn folders(path: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir())
}

fn remove(path: &Path) -> Result<()> {
    for inner in folders(path) {
        remove(&inner)?;
    }
    fs::remove_dir(path).with_context(|| path.display().to_string())
}

fn find(path: &Path, name: &str) -> Option<PathBuf> {
    folders(path).find_map(|inner| if inner.ends_with(name) { Some(inner) } else { find(&inner, name) })
}

fn first_process(path: &Path) -> Option<Pid> {
    let listed = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
    let own = listed.lines().find_map(|line| Pid::from_raw(line.parse().ok()?));
    own.or_else(|| folders(path).find_map(|inner| first_process(&inner)))
}
