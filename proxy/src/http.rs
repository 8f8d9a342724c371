//! HTTP between two connections: serving, bodies, and the headers that a proxy must touch.

// A server connection, drained gracefully.
pub mod serve;
// While nothing is asked of it.
mod rest;
// What it sends, if that is HTTP/2.
pub mod gathered;
// What comes before a response.
pub mod interim;
// What it runs over.
pub mod transport;
// What flows after the headers.
pub mod body;
pub mod replay;
pub mod source;
// What may not be passed on as it came.
pub mod headers;
