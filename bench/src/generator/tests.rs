//! That the schedule is kept, that a stall is counted with all that it delayed, and that nothing but whole answers
//! counts.

mod http2;

use std::{
    io::{Read, Write},
    net::TcpListener,
    thread,
};

use super::{http1::answer_length, *};
use crate::backend::{BODY_BYTES, Backend};

const MS: Duration = Duration::from_millis(1);

fn connect(listener: &TcpListener, connections: usize) -> Generator {
    let address = listener.local_addr().unwrap();
    let streams = (0..connections).map(|_| TcpStream::connect(address).unwrap()).collect();
    Generator::new(streams, Protocol::Http1, "test").unwrap()
}

#[test]
fn requests_are_due_at_equal_distances_however_late_they_are_taken() {
    let start = Instant::now();
    let mut schedule = Schedule::new(Pace::Constant(1000), start, 5 * MS);
    assert_eq!(schedule.take(start), Some(start));
    assert_eq!(schedule.take(start), None);
    assert_eq!(schedule.next(start), Some(start + MS));
    let late = start + 60 * MS;
    let taken: Vec<_> = std::iter::from_fn(|| schedule.take(late)).map(|due| due - start).collect();
    assert_eq!(taken, [MS, 2 * MS, 3 * MS, 4 * MS]);
    assert_eq!(schedule.next(late), None);
}

#[test]
fn distances_do_not_drift_where_a_second_cannot_be_divided() {
    let start = Instant::now();
    let mut schedule = Schedule::new(Pace::Constant(3), start, Duration::from_mins(10));
    let far = start + Duration::from_hours(1);
    let last = std::iter::from_fn(|| schedule.take(far)).enumerate().last().unwrap();
    assert_eq!(last, (1799, start + Duration::from_nanos(599_666_666_666)));
}

#[test]
fn at_full_pace_a_request_is_due_when_it_can_be_sent_until_the_end() {
    let start = Instant::now();
    let mut schedule = Schedule::new(Pace::Full, start, 2 * MS);
    assert_eq!(schedule.take(start + MS), Some(start + MS));
    assert_eq!(schedule.take(start + 2 * MS), None);
}

#[test]
fn every_request_of_a_schedule_is_made_and_answered() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut generator = connect(&listener, 4);
    let _backend = Backend::start(listener).unwrap();
    let report = generator.run(Pace::Constant(2000), 50 * MS).unwrap();
    assert_eq!(report.requests(), 100);
    // And again, over the same connections.
    generator.greet().unwrap();
    let report = generator.run(Pace::Full, 5 * MS).unwrap();
    assert!(report.requests() > 0);
    assert!(report.quantile_us(0.5) <= report.quantile_us(0.99));
}

#[test]
fn who_was_due_during_a_stall_waited_for_its_rest() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut generator = connect(&listener, 1);
    let stall = 100 * MS;
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut answered = 0;
        while stream.read(&mut [0; 1024]).unwrap() > 0 {
            if answered == 0 {
                thread::sleep(stall);
            }
            answered += 1;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
        }
        answered
    });
    let report = generator.run(Pace::Constant(1000), 10 * MS).unwrap();
    drop(generator);
    assert_eq!((report.requests(), server.join().unwrap()), (10, 10));
    // The last was due 9 ms after the first, which came no sooner than the stall ended.
    let shortest = Duration::from_nanos(report.latencies_ns.min());
    assert!(shortest >= 90 * MS, "the shortest latency is {shortest:?}");
}

/// What a run comes to if the server sends `answer` to the first request, and closes.
fn run_against(answer: &'static [u8]) -> Result<Report, Error> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut generator = connect(&listener, 1);
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 1024]).unwrap();
        stream.write_all(answer).unwrap();
    });
    let ended = generator.run(Pace::Constant(1000), MS);
    server.join().unwrap();
    ended
}

#[test]
fn nothing_but_a_whole_answer_with_200_counts() {
    let report = run_against(b"HTTP/1.1 200 OK\r\nDate: x\r\ncontent-length: 3\r\n\r\nyes").unwrap();
    assert_eq!(report.requests(), 1);
    let cases: [(&[u8], &str); 5] = [
        (b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n", "503"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", "chunked"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nyes!", "yes!"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nyes", "closed"),
        (b"", "closed"),
    ];
    for (answer, word) in cases {
        let error = run_against(answer).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn the_backend_sends_what_the_generator_takes_for_an_answer() {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {BODY_BYTES}\r\n\r\n");
    assert_eq!(answer_length(head.as_bytes()).ok().flatten(), Some(head.len() + BODY_BYTES));
}
