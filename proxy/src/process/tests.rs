use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    sync::{Barrier, mpsc},
};

use http::StatusCode;

use super::*;

#[test]
fn metrics_are_told_of_a_worker_that_is_stuck() {
    let (told, shared) = mpsc::channel();
    let stuck = Arc::new(Barrier::new(2));
    let free = Arc::clone(&stuck);
    let workers = Workers::start(1, "test", move |_| {
        let (told, stuck) = (told.clone(), Arc::clone(&stuck));
        async move {
            let worker = Worker::for_tests();
            let series = worker.shared.telemetry.server.series(["spiffe://a", "8080"]);
            let outcome = requests::Outcome { status: StatusCode::OK, tls: true, fault: None };
            series.record(worker.index, outcome, Duration::from_millis(1));
            told.send(Arc::clone(&worker.shared)).unwrap();
            // Blocks the whole thread: nothing that needs this worker would go on.
            stuck.wait();
        }
    });
    let registry = Registry::new("test");
    expose(&registry, &shared.recv().unwrap()).unwrap();
    let any_port = (Ipv4Addr::LOCALHOST, 0).into();
    let admin = Admin::start(any_port, registry, Readiness::new(), Vec::new()).unwrap();
    let mut scrape = TcpStream::connect(admin.local_addr()).unwrap();
    scrape.write_all(b"GET /metrics HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    let mut metrics = String::new();
    scrape.read_to_string(&mut metrics).unwrap();
    let count = metrics.lines().find(|line| line.starts_with("http_server_request_duration_seconds_count"));
    let count = count.unwrap();
    assert!(count.contains("spiffe://a") && count.ends_with(" 1"), "{count}");
    free.wait();
    workers.unwrap().join().unwrap();
}
