//! How much memory there is, and how much of it is taken.

use std::{fmt, fs::File, io, os::unix::fs::FileExt, process};

use weft_api::Bytes;

use super::group::{Group, Version};

/// Where the kernel tells of this process.
const STATUS: &str = "/proc/self/status";
const GROUPS: &str = "/proc/self/cgroup";
const MOUNTS: &str = "/proc/self/mountinfo";
/// Most bytes that are read of one of its files; the longest, `memory.stat`, has less than 3 KiB.
const FILE_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a block that no thread keeps for itself. It costs no memory: nobody writes to it.
const LARGE: usize = 4 << 20;
const MIB: f64 = 1_048_576.0;

/// Bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
    /// In use.
    pub used: u64,
    /// That may be.
    pub limit: u64,
}

impl fmt::Display for Measured {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (used, limit) = (self.used as f64 / MIB, self.limit as f64 / MIB);
        write!(out, "{used:.1} of {limit:.1} MiB of memory are in use")
    }
}

/// Measures. Its files stay open: they can be read also when there is no descriptor left.
#[derive(Debug)]
pub enum Meter {
    /// What is resident of the process, against a limit that somebody has set.
    Process {
        /// What the kernel says of the process.
        status: File,
        /// The limit.
        limit: Bytes,
    },
    /// What the control group has taken, against its own limit: that is what the kernel ends a process by.
    Group {
        /// Which kind of group it is.
        version: Version,
        /// What it has taken.
        usage: File,
        /// Of what.
        stat: File,
        /// How much it may; read each time, for it may be changed.
        limit: File,
    },
}

impl Meter {
    /// Against `limit`, or else against that of the control group of the process. `None`: there is no limit, or others are
    /// in the group too, of whose memory nobody here knows.
    pub fn new(limit: Option<Bytes>) -> io::Result<Option<Self>> {
        if let Some(limit) = limit {
            return Ok(Some(Self::Process { status: File::open(STATUS)?, limit }));
        }
        // Nobody has asked for this one: a sidecar without it is better than none.
        Ok(Self::of_group().unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot read what the control group of this process says of memory");
            None
        }))
    }

    fn of_group() -> io::Result<Option<Self>> {
        let (groups, mounts) = (std::fs::read_to_string(GROUPS)?, std::fs::read_to_string(MOUNTS)?);
        let Some(group) = Group::of_memory(&groups, &mounts) else { return Ok(None) };
        let open = |name: &str| File::open(group.folder.join(name));
        let version = group.version;
        let (Ok(limit), Ok(usage), Ok(stat)) =
            (open(version.limit()), open(version.usage()), open("memory.stat"))
        else {
            // The root of all groups has no limit, nor have those who do not account for memory.
            return Ok(None);
        };
        let own = process::id().to_string();
        let processes = std::fs::read_to_string(group.folder.join("cgroup.procs"))?;
        let alone = processes.lines().all(|process| process == own);
        let meter = Self::Group { version, usage, stat, limit };
        Ok((alone && meter.limit()?.is_some()).then_some(meter))
    }

    /// Measures.
    pub fn measure(&self) -> io::Result<Measured> {
        // A limit that was taken away is one that cannot be reached.
        let limit = self.limit()?.unwrap_or(u64::MAX);
        let used = match self {
            Self::Process { status, .. } => resident(&read(status)?).ok_or_else(|| unknown(STATUS))?,
            Self::Group { version, usage, stat, .. } => {
                let taken = number(&read(usage)?).ok_or_else(|| unknown(version.usage()))?;
                // What the kernel would give back at once if it were needed, as the kubelet counts it too.
                let idle = field(&read(stat)?, version.idle()).unwrap_or(0);
                taken.saturating_sub(idle)
            }
        };
        Ok(Measured { used, limit })
    }

    fn limit(&self) -> io::Result<Option<u64>> {
        match self {
            Self::Process { limit, .. } => Ok(Some(limit.get())),
            Self::Group { version, limit, .. } => Ok(version.bound(&read(limit)?)),
        }
    }
}

/// Has the allocator give back what has been free for a second. It does so by itself when something large is freed, which
/// may take long where nothing new is taken.
pub fn give_back() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(LARGE)));
}

/// The text of a file of the kernel, from its beginning.
fn read(file: &File) -> io::Result<String> {
    let mut bytes = [0; FILE_BYTES_MAX];
    let mut length = 0;
    while length < bytes.len() {
        match file.read_at(&mut bytes[length..], length as u64)? {
            0 => break,
            more => length += more,
        }
    }
    Ok(String::from_utf8_lossy(&bytes[..length]).into_owned())
}

/// `VmRSS` of a process, in bytes.
fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    number(line.trim().strip_suffix("kB")?)?.checked_mul(1024)
}

fn field(stat: &str, name: &str) -> Option<u64> {
    stat.lines().find_map(|line| number(line.strip_prefix(name)?.strip_prefix(' ')?))
}

fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

fn unknown(file: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{file} does not say how much memory is in use"))
}

#[cfg(test)]
mod tests;
