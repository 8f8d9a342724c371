//! How a child process ends with the one that started it: its stdin is a pipe that nobody writes to, and which closes
//! however the parent ends, `kill -9` included.

use std::{
    io::{self, Read},
    process, thread,
    time::Duration,
};

use rustix::process::{Signal, getpid, kill_process};

/// Draining may take this long, then the process ends as it is.
const GRACE: Duration = Duration::from_secs(15);

/// Watches stdin on a thread of its own: once it closes, this process gets the SIGTERM that its parent cannot send
/// any more.
pub(crate) fn hold() -> io::Result<()> {
    thread::Builder::new().name("lifeline".to_owned()).stack_size(64 * 1024).spawn(watch)?;
    Ok(())
}

fn watch() {
    let mut ignored = [0; 64];
    let mut stdin = io::stdin().lock();
    // An error means that there is no pipe any more either.
    while stdin.read(&mut ignored).is_ok_and(|read| read > 0) {}
    if kill_process(getpid(), Signal::TERM).is_ok() {
        thread::sleep(GRACE);
    }
    process::exit(1);
}
