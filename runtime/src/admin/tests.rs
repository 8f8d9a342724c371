use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
};

use prometheus::IntCounter;

use super::*;

fn start(readiness: &Readiness, routes: Vec<Route>) -> Admin {
    let any_port = (Ipv4Addr::LOCALHOST, 0).into();
    Admin::start(any_port, Registry::new("test"), readiness.clone(), routes).unwrap()
}

/// What the endpoint sends to a request of `method` and `path`, until it closes.
fn ask(admin: &Admin, method: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(admin.local_addr()).unwrap();
    write!(stream, "{method} {path} HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn get(admin: &Admin, path: &str) -> (u16, String) {
    let answer = ask(admin, "GET", path);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[test]
fn serves_metrics() {
    let registry = Registry::new("test");
    let requests = IntCounter::new("requests_total", "Requests.").unwrap();
    registry.register(Box::new(requests.clone())).unwrap();
    let admin =
        Admin::start((Ipv4Addr::LOCALHOST, 0).into(), registry, Readiness::new(), Vec::new()).unwrap();
    requests.inc_by(3);
    let answer = ask(&admin, "GET", "/metrics?name[]=x");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{answer}");
    assert!(answer.contains("\nrequests_total 3\n"), "{answer}");
    assert!(answer.contains("\nprocess_resident_memory_bytes "), "{answer}");
}

#[test]
fn readiness_is_answered_as_it_is_now() {
    let readiness = Readiness::new();
    let certificate = readiness.hold("certificate");
    let configuration = readiness.hold("first configuration");
    let admin = start(&readiness, Vec::new());
    assert_eq!(get(&admin, "/live"), (200, "live\n".to_owned()));
    assert_eq!(get(&admin, "/ready"), (503, "waiting for certificate, first configuration\n".to_owned()));
    certificate.release();
    configuration.release();
    assert_eq!(get(&admin, "/ready"), (200, "ready\n".to_owned()));
    readiness.drain();
    assert_eq!(get(&admin, "/ready"), (503, "draining\n".to_owned()));
    assert_eq!(get(&admin, "/live"), (200, "live\n".to_owned()));
}

#[test]
fn serves_further_routes() {
    let routes: Vec<Route> = vec![("/routes", "application/json", Arc::new(|| "[]".to_owned()))];
    let answer = ask(&start(&Readiness::new(), routes), "GET", "/routes");
    assert!(answer.contains("content-type: application/json\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n[]"), "{answer}");
}

#[test]
fn refuses_the_rest() {
    let admin = start(&Readiness::new(), Vec::new());
    for path in ["/", "/metrics/", "//metrics", "/a/../metrics", "/METRICS", "/live;x"] {
        assert_eq!(get(&admin, path).0, 404, "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "QUIT"] {
        let answer = ask(&admin, method, "/ready");
        assert!(answer.starts_with("HTTP/1.1 405 "), "{method}: {answer}");
        assert!(answer.contains("\r\nallow: GET, HEAD\r\n"), "{method}: {answer}");
    }
}

#[test]
fn head_has_no_body() {
    let answer = ask(&start(&Readiness::new(), Vec::new()), "HEAD", "/live");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("content-length: 5\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[test]
fn a_head_without_end_is_refused() {
    let admin = start(&Readiness::new(), Vec::new());
    let mut stream = TcpStream::connect(admin.local_addr()).unwrap();
    let long = "x".repeat(64 * 1024);
    // The endpoint may close before all of it is written.
    let _ = write!(stream, "GET /live HTTP/1.1\r\nhost: test\r\nlong: {long}");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 431");
}

#[test]
fn a_route_that_panics_costs_its_own_connection() {
    let routes: Vec<Route> = vec![("/broken", "text/plain", Arc::new(|| panic!("on purpose")))];
    let admin = start(&Readiness::new(), routes);
    assert_eq!(ask(&admin, "GET", "/broken"), "");
    assert_eq!(get(&admin, "/live").0, 200);
}

#[test]
fn connections_beyond_the_limit_wait_for_a_place() {
    let admin = start(&Readiness::new(), Vec::new());
    let mut idle: Vec<_> =
        (0..CONNECTIONS_MAX).map(|_| TcpStream::connect(admin.local_addr()).unwrap()).collect();
    let mut waiting = TcpStream::connect(admin.local_addr()).unwrap();
    waiting.write_all(b"GET /live HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    waiting.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut answer = String::new();
    assert!(waiting.read_to_string(&mut answer).is_err(), "{answer}");

    idle.pop();
    waiting.set_read_timeout(None).unwrap();
    waiting.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

#[test]
fn dropping_it_closes_the_socket_and_cuts_connections() {
    let admin = start(&Readiness::new(), Vec::new());
    let addr = admin.local_addr();
    let mut open = TcpStream::connect(addr).unwrap();
    open.write_all(b"GET /li").unwrap();
    drop(admin);
    assert!(TcpStream::connect(addr).is_err());
    // Closed or reset, but not left open.
    let mut rest = Vec::new();
    assert!(open.read_to_end(&mut rest).is_err() || rest.is_empty());
    workers::listen(addr).unwrap();
}

#[test]
fn a_taken_port_is_an_error() {
    let admin = start(&Readiness::new(), Vec::new());
    let again = Admin::start(admin.local_addr(), Registry::new("test"), Readiness::new(), Vec::new());
    assert_eq!(again.unwrap_err().kind(), io::ErrorKind::AddrInUse);
}
