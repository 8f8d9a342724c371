//! The sidecar: it stands beside one workload, takes what comes in for it, and carries what goes out.
//!
//! Two roads lead through these modules, both downwards. A change comes in over [`subscribe`] and ends as a snapshot; a
//! request comes in over [`accept`] and reads that snapshot. `outbound` knows the order of a request's stages; read
//! it first.
//!
//! Architecture Invariant: nothing here knows Kubernetes, only xDS and the bootstrap. A request loads one snapshot and
//! keeps it; it waits for no lock that is held for longer than some tens of nanoseconds. A connection never leaves
//! its thread.
#![warn(missing_docs)]

// The process: threads, sockets, the end of it all.
mod process;
// Beside the sidecar: log files as lines of JSON.
pub mod log_adapter;
// What it is told at start.
pub mod config;
// What requests leave behind goes out.
mod export;
// A configuration change comes in.
mod subscribe;
mod compile;
mod resource;
// A request goes through: connections,
mod accept;
mod inbound;
// and the spine. Read this first.
mod outbound;
// Is an ejected endpoint back?
mod probe;
// What a request or an opaque connection carries along, and what its thread has.
mod upgrade;
mod exchange;
mod connection;
mod admission;
mod worker;
mod app;
mod setback;
// What a request asks; where both roads meet.
mod expose;
mod demand;
mod overload;
mod snapshot;
mod rate_limit;
mod authorize;
mod server_names;
mod tcp;
mod detect;
mod deadline;
mod route;
mod fault_injection;
mod share;
mod retry;
mod cluster;
mod affinity;
mod balance;
mod upstream;
mod guard;
mod accrual;
pub mod breaker;
mod http;
// How connections come here that were made to somebody else.
pub mod redirect;
// What threads share breakers and limits by.
mod sync;
// Seen from every stage.
mod telemetry;
pub mod trace;
mod fault;

/// The allocator of programs that run a sidecar. It gives back to the kernel what is no longer in use; the C library's own
/// keeps it, and a sidecar that was once near to the limit of its memory would stay there.
pub use mimalloc::MiMalloc as Allocator;
pub use process::{ProcessError, run};
// With `breaker` and `trace`, what a benchmark times of the request path, or counts.
pub use retry::budget;
