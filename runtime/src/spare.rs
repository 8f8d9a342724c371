//! A file descriptor that is held back, so that a connection can be taken when the process has no other left.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use rustix::io::Errno;

/// The descriptor.
#[derive(Debug, Default)]
pub struct Spare(Option<OwnedFd>);

impl Spare {
    /// Holds one back, unless that has been done already or there is none: a second one for whatever `file` is open by.
    pub fn hold(&mut self, file: &impl AsFd) {
        if self.0.is_none() {
            self.0 = file.as_fd().try_clone_to_owned().ok();
        }
    }

    /// Gives it up, for the next thing that is opened: at once, since other threads open things, too. `false` = there was
    /// none.
    pub fn give_up(&mut self) -> bool {
        self.0.take().is_some()
    }
}

/// Whether `error` says that there is no descriptor left, in the process or in the whole system.
pub fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

#[cfg(test)]
mod tests;
