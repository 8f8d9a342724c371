//! Waiting for many sockets on one thread, with time-outs in nanoseconds. Runtimes count milliseconds, which is more than
//! a request takes.

use std::{
    io,
    num::NonZeroU64,
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use rustix::{
    buffer::spare_capacity,
    event::{
        PollFd, PollFlags, Timespec,
        epoll::{self, CreateFlags, Event, EventData, EventFlags},
        poll,
    },
    io::Errno,
    thread::set_current_timer_slack,
};

/// Sockets that are told of at once. The others are told of the next time.
const EVENTS_MAX: usize = 256;

/// Sockets that are waited for.
pub struct Poll {
    epoll: OwnedFd,
    events: Vec<Event>,
}

impl Poll {
    /// None yet. The calling thread is from now on woken when it asked to be, and not up to 50 µs later, as is usual.
    pub fn new() -> io::Result<Self> {
        set_current_timer_slack(NonZeroU64::new(1))?;
        Ok(Self { epoll: epoll::create(CreateFlags::CLOEXEC)?, events: Vec::with_capacity(EVENTS_MAX) })
    }

    /// Waits for what comes in at `source` too, under a number. A source that is closed is forgotten.
    pub fn add(&self, source: impl AsFd, number: usize) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, source, EventData::new_u64(number as u64), EventFlags::IN)?)
    }

    /// Waits until something has come in or a connection has ended, and returns the numbers; none after `timeout`.
    pub fn wait(&mut self, timeout: Duration) -> io::Result<impl Iterator<Item = usize>> {
        self.look()?;
        if self.events.is_empty() && !timeout.is_zero() {
            // Where it may have to do with old kernels, rustix has epoll wait for whole milliseconds; ppoll never.
            let mut sockets = [PollFd::new(&self.epoll, PollFlags::IN)];
            match poll(&mut sockets, Some(&timespec(timeout))) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            self.look()?;
        }
        Ok(self.events.iter().map(|event| event.data.u64() as usize))
    }

    /// What has come in by now.
    fn look(&mut self) -> io::Result<()> {
        self.events.clear();
        let at_once = timespec(Duration::ZERO);
        epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&at_once))?;
        Ok(())
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}

#[cfg(test)]
mod tests;
