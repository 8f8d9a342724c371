//! Certificates in real handshakes, between two ends in one process.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bad_certificates;
mod lab;
mod pair;
mod protocol;
mod rotation;
mod rows;
