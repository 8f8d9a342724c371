//! What people write and what crosses process borders.
//!
//! Nothing here acts: these are the documents that the programs of the mesh read from people and hand to one
//! another. Every type parses strictly where people write it by hand and says which field is wrong.
#![warn(missing_docs)]

// What a proxy is told before it can ask anything.
pub mod bootstrap;
// What people write about a service: policy kinds of `policy.weft.dev/v1alpha1`.
pub mod circuit_breaker;
pub mod retry;
// What all of them share.
pub mod duration;
pub mod names;

pub use duration::Duration;
