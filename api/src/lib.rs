//! What people write and what crosses process borders.
//!
//! Nothing here acts: these are the documents that the programs of the mesh read from people and hand to one
//! another. Every type parses strictly where people write it by hand and says which field is wrong.
#![warn(missing_docs)]

// A process of this machine and its sidecar, in place of a pod.
pub mod workload;
// What a proxy is told before it can ask anything.
pub mod bootstrap;
// Whom both of them tell of requests.
pub mod telemetry;
// The policy kinds as API servers know them, and their schemas for all who check before Weft does.
#[cfg(feature = "schema")]
pub mod crd;
#[cfg(feature = "schema")]
pub mod schema;
// What became of a policy, as it is written back onto it.
pub mod status;
// What a service is (Kubernetes), and where its requests go (Gateway API).
pub mod gateway;
pub mod kubernetes;
// What people demand of a service, or of a workload: policy kinds of `policy.weft.dev/v1alpha1`,
pub mod authorization;
pub mod rate_limit;
pub mod fault_injection;
pub mod load_balancer;
pub mod retry;
pub mod circuit_breaker;
// what they are attached to,
pub mod policy;
pub mod selector;
// and what their rules speak of.
pub mod http_attributes;
pub mod network_attributes;
pub mod path;
pub mod cidr;
pub mod violation;
// What all of them share.
pub mod bytes;
pub mod duration;
pub mod object;
pub mod names;
pub mod ports;

pub use bytes::Bytes;
pub use duration::Duration;
pub use object::Object;
