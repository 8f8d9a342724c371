//! The process shell that the programs of the mesh share.
//!
//! A program starts its logs, takes a [`Hold`](readiness::Hold) on its readiness for each thing that it must have
//! first, serves its [`Admin`] endpoint, runs its [`Workers`] with their [`Tasks`], and lets [`Shutdown`] tell all
//! of them when to finish.
#![warn(missing_docs)]

// What others see of the process: its metrics and whether it is alive and ready.
pub mod admin;
// The threads that carry the work, and the sockets that they listen on.
pub mod workers;
// What is left of descriptors when there are none.
pub mod spare;
// What runs on them: every task has an owner.
pub mod tasks;
// When the process ends.
pub mod shutdown;
// From when on it may be sent work.
pub mod readiness;
// What it counts.
pub mod metrics;
// What it says.
pub mod logs;

pub use admin::Admin;
pub use metrics::Registry;
pub use readiness::Readiness;
pub use shutdown::Shutdown;
pub use tasks::Tasks;
pub use workers::{Worker, Workers};
