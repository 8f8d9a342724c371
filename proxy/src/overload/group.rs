//! The control group that bounds the memory of this process, of either version (`cgroups(7)`).

use std::path::{Path, PathBuf};

/// In version 1, bounds from here on are none: the kernel writes the largest number of whole pages.
const UNBOUNDED: u64 = 1 << 62;

/// Version of a control group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// A tree of its own for each kind of resource.
    One,
    /// One tree for all.
    Two,
}

impl Version {
    /// The file with the bytes that are taken.
    pub(super) fn usage(self) -> &'static str {
        match self {
            Self::One => "memory.usage_in_bytes",
            Self::Two => "memory.current",
        }
    }

    /// The file with the bytes that may be taken.
    pub(super) fn limit(self) -> &'static str {
        match self {
            Self::One => "memory.limit_in_bytes",
            Self::Two => "memory.max",
        }
    }

    /// The field of `memory.stat` with the bytes of files that nobody has read for some time.
    pub(super) fn idle(self) -> &'static str {
        match self {
            Self::One => "total_inactive_file",
            Self::Two => "inactive_file",
        }
    }

    /// The limit that `text` says, of the file of limits.
    pub(super) fn bound(self, text: &str) -> Option<u64> {
        // Version 2 says `max` where there is none.
        let bytes = text.trim().parse().ok()?;
        (self == Self::Two || bytes < UNBOUNDED).then_some(bytes)
    }
}

/// A control group.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) version: Version,
    /// Where its files are.
    pub(super) folder: PathBuf,
}

impl Group {
    /// The one that accounts for the memory of a process, by what `/proc/<pid>/cgroup` and `/proc/<pid>/mountinfo` say.
    pub(super) fn of_memory(groups: &str, mounts: &str) -> Option<Self> {
        // `<hierarchy>:<controllers>:<path>`; version 2 is the one without controllers.
        let path = |wanted: &dyn Fn(&str) -> bool| {
            groups.lines().find_map(|line| {
                let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
                wanted(controllers).then_some(path)
            })
        };
        let one = path(&|controllers| controllers.split(',').any(|controller| controller == "memory"));
        let (version, path) = match one {
            Some(path) => (Version::One, path),
            None => (Version::Two, path(&str::is_empty)?),
        };
        let folder = mounts.lines().find_map(|line| folder(line, version, path))?;
        Some(Self { version, folder })
    }
}

/// The folder of the group `path`, if the mount of `line` shows it. In a container it shows the container's own group, and
/// nothing above, as its root.
fn folder(line: &str, version: Version, path: &str) -> Option<PathBuf> {
    // `<id> <parent> <device> <root> <mount point> <options> ... - <type> <source> <options of the file system>`
    let (mount, file_system) = line.split_once(" - ")?;
    let mut mount = mount.split(' ').skip(3);
    let (root, point) = (mount.next()?, mount.next()?);
    let mut file_system = file_system.split(' ');
    let (kind, options) = (file_system.next()?, file_system.nth(1).unwrap_or_default());
    let fits = match version {
        Version::One => kind == "cgroup" && options.split(',').any(|option| option == "memory"),
        Version::Two => kind == "cgroup2",
    };
    // What the group is called outside of a container that has no namespace for it means nothing here, if it is not below
    // the root that is shown.
    let below = Path::new(path).strip_prefix(root).unwrap_or(Path::new(""));
    fits.then(|| Path::new(point).join(below))
}

#[cfg(test)]
mod tests;
