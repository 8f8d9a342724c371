//! That what has come in is told of, and that a time-out is not rounded to milliseconds.

use std::{io::Write, os::unix::net::UnixStream, time::Instant};

use super::*;

#[test]
fn what_has_come_in_is_told_of_by_its_number() {
    let mut poll = Poll::new().unwrap();
    let [(mut one, ours), (_other, quiet)] = [(); 2].map(|()| UnixStream::pair().unwrap());
    poll.add(&ours, 7).unwrap();
    poll.add(&quiet, 8).unwrap();
    assert_eq!(poll.wait(Duration::ZERO).unwrap().count(), 0);
    one.write_all(b"x").unwrap();
    assert_eq!(poll.wait(Duration::from_mins(1)).unwrap().collect::<Vec<_>>(), [7]);
}

#[test]
fn some_wait_is_as_short_as_it_was_asked_for() {
    let mut poll = Poll::new().unwrap();
    let asked = Duration::from_micros(50);
    let waits = (0..1000).map(|_| {
        let start = Instant::now();
        assert_eq!(poll.wait(asked).unwrap().count(), 0);
        start.elapsed()
    });
    // On a busy machine most are late. Of those that count in milliseconds none is shorter than one.
    let shortest = waits.min().unwrap();
    assert!((asked..Duration::from_micros(500)).contains(&shortest), "{shortest:?}");
}
