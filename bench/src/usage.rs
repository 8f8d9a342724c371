//! What a process has used of the machine, as Linux counts it.

use std::{fs, io, ops::Sub, time::Duration};

use rustix::{
    param::clock_ticks_per_second,
    process::Pid,
    thread::{CpuSet, sched_setaffinity},
};

/// Time on a processor since a process began, of all its threads. Linux counts it in ticks of 10 ms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTime {
    /// In its own code.
    pub user: Duration,
    /// In the kernel for it.
    pub system: Duration,
}

impl CpuTime {
    /// Of a process that lives.
    ///
    /// # Errors
    /// If there is none.
    pub fn of(pid: Pid) -> io::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()))?;
        Self::parse(&stat, clock_ticks_per_second())
            .ok_or_else(|| io::Error::other(format!("not understood: {stat}")))
    }

    /// Of several processes together.
    ///
    /// # Errors
    /// If one of them has ended.
    pub fn of_all(pids: &[Pid]) -> io::Result<Self> {
        pids.iter().try_fold(Self::default(), |sum, pid| {
            let one = Self::of(*pid)?;
            Ok(Self { user: sum.user + one.user, system: sum.system + one.system })
        })
    }

    /// From `/proc/PID/stat`: fields 14 and 15 (proc(5)). The second is the name, which may hold blanks and parentheses.
    fn parse(stat: &str, ticks_per_second: u64) -> Option<Self> {
        let (_, after_name) = stat.rsplit_once(')')?;
        let mut fields = after_name.split_whitespace().skip(11).map(str::parse::<u64>);
        let mut next =
            || Some(Duration::from_secs(fields.next()?.ok()?) / u32::try_from(ticks_per_second).ok()?);
        Some(Self { user: next()?, system: next()? })
    }

    /// Both.
    pub fn total(&self) -> Duration {
        self.user + self.system
    }
}

impl Sub for CpuTime {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            user: self.user.saturating_sub(earlier.user),
            system: self.system.saturating_sub(earlier.system),
        }
    }
}

/// Keeps this thread on one core, and all threads and processes that it starts from now on.
///
/// # Errors
/// If the machine has no such core.
pub fn stay_on_core(core: usize) -> io::Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    Ok(sched_setaffinity(None, &cores)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_past_a_name_that_looks_like_fields() {
        let stat = "12 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0";
        let time = CpuTime::parse(stat, 100).unwrap();
        assert_eq!(time, CpuTime { user: Duration::from_millis(1500), system: Duration::from_millis(500) });
        assert_eq!(time.total(), Duration::from_secs(2));
        assert_eq!(CpuTime::parse("12 (a) S 1", 100), None);
    }

    #[test]
    fn this_process_has_used_no_less_than_before() {
        let own = rustix::process::getpid();
        let before = CpuTime::of(own).unwrap();
        assert!(CpuTime::of_all(&[own]).unwrap().total() >= before.total());
    }
}
