//! What a process holds at a moment, as the kernel counts it: whatever it has forgotten to let go shows here.

use std::fs;

use rustix::process::Pid;

/// Holdings of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Census {
    /// Open file descriptors.
    pub descriptors: usize,
    /// Threads.
    pub threads: usize,
    /// Resident memory, in KiB.
    pub resident_kib: u64,
    /// The most of it that there ever was.
    pub peak_kib: u64,
}

impl Census {
    /// Of the process `pid`, which lives.
    pub fn of(pid: Pid) -> Self {
        let folder = format!("/proc/{}", pid.as_raw_nonzero());
        let count = |name: &str| {
            let path = format!("{folder}/{name}");
            fs::read_dir(&path).unwrap_or_else(|error| panic!("{path}: {error}")).count()
        };
        let path = format!("{folder}/status");
        let status = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse().ok());
            kib.unwrap_or_else(|| panic!("{path} tells of no {name}"))
        };
        Self {
            descriptors: count("fd"),
            threads: count("task"),
            resident_kib: kib("VmRSS"),
            peak_kib: kib("VmHWM"),
        }
    }
}
