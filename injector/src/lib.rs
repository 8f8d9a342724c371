//! The injector: puts a sidecar into pods, as an admission webhook or on a manifest.
//!
//! A pod goes down this list: it arrives in a review, is decided upon by its annotations, and is patched with the
//! parts of a sidecar. That road is pure: JSON in, JSON out. What a pod says that this version does not know stays as
//! it is, since nothing is ever read into types and written back.
#![warn(missing_docs)]

// The life of the process.
pub mod run;
// Pods come in: over HTTPS from API servers,
pub mod serve;
// each in a review,
pub mod review;
// or in manifests that people give.
pub mod manifest;
// Does this pod get a sidecar?
pub mod decide;
// What is added to it, and where:
pub mod patch;
// containers, volumes,
pub mod sidecar;
// and directories that log files are read from.
pub mod logs;
// What people say about the sidecar of a pod.
pub mod annotations;
// How API servers know this process.
pub mod certificate;
// What it counts, and what it is told at start.
pub mod metrics;
pub mod config;
// Amounts of CPU and memory.
pub mod quantity;

pub use config::{Config, Installation};
