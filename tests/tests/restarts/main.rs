//! Sidecars that end and come back, in pods as network namespaces with the real redirect: asked to, and killed.
//!
//! A program of its own, whose tests take turns: how long something takes is the point of one, and how many requests
//! pass meanwhile that of the other. All of it needs root, so each test passes as an empty shell, and says so, unless
//! `WEFT_ROOT_TESTS=1` demands it.

// By a rollout.
mod replaced;
// By force.
mod killed;

use std::io::{self, Write};

use http::{Method, Request, StatusCode};
use tokio::sync::{Mutex, MutexGuard};
use weft_tests::{
    client::{Answer, request, with_header},
    config,
};

/// The program under test.
const WEFT: &str = env!("CARGO_BIN_EXE_weft-under-test");

/// Ports of the applications: HTTP/1.1 told from its first bytes, HTTP/2 and gRPC by `appProtocol`.
const HTTP1: u16 = 8080;
const HTTP2: u16 = 8081;
const GRPC: u16 = 9090;

/// Held by the test whose turn it is.
static TURN: Mutex<()> = Mutex::const_new(());

/// The turn of a test. `None` where tests must do without root.
async fn turn(test: &str) -> Option<MutexGuard<'static, ()>> {
    if config::root_tests() {
        return Some(TURN.lock().await);
    }
    // Past `eprintln!`, which the test harness keeps to itself where nothing fails.
    let told = writeln!(io::stderr(), "SKIPPED {test}: WEFT_ROOT_TESTS=1 demands it, and root");
    told.expect("stderr takes a line");
    None
}

/// A request to the application at `port`.
fn call(port: u16) -> Request<bytes::Bytes> {
    if port != GRPC {
        return request(Method::GET, "/");
    }
    let mut call = request(Method::POST, "/weft.test.Echo/Once");
    call = with_header(with_header(call, "content-type", "application/grpc"), "te", "trailers");
    *call.body_mut() = "message".into();
    call
}

/// Why an answer is none, if it is.
fn judge(port: u16, answer: anyhow::Result<Answer>) -> Result<(), String> {
    let answer = answer.map_err(|error| format!("{error:#}"))?;
    let trailers = answer.trailers.as_ref().or(Some(&answer.headers));
    let status = trailers.and_then(|trailers| trailers.get("grpc-status"));
    let is_well = answer.status == StatusCode::OK
        && (port != GRPC || (answer.text() == "message" && status.is_some_and(|status| status == "0")));
    if is_well { Ok(()) } else { Err(format!("{answer:?}")) }
}
