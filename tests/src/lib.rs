//! The harness of the integration tests: a mesh of real processes, the applications and callers around it, and the
//! means to look at what passes between them.
//!
//! Nothing here judges: what must hold is for the tests to say. What goes wrong in the harness itself panics with
//! words, because a test cannot go on without it.
#![warn(missing_docs)]

// A real Kubernetes: of the tests' own, on this machine alone, or one that is there.
pub mod cluster;
// The mesh: its files, its control plane and its sidecars, each a process.
pub mod mesh;
// What it consists of: one caller, and services with or without sidecars.
pub mod plan;
// Objects as people write them.
pub mod manifest;
// A mesh of pods, as far as the kernel knows what pods are.
pub mod pods;
pub mod namespace;
// A process with its log, and what it holds.
pub mod process;
pub mod census;
// What a program tells of itself.
pub mod metrics;
// Around the mesh: applications that do as the test says,
pub mod backend;
// somebody whom sidecars tell of traces,
pub mod collector;
// callers who go on calling,
pub mod load;
// strangers at the door who know TLS,
pub mod stranger;
// those who know nothing, or mean ill,
pub mod garbage;
pub mod noise;
// applications that do not speak as they should,
pub mod liar;
// HTTP/1, word by word,
pub mod words;
// one HTTP connection,
pub mod client;
// those who spoil what passes,
pub mod middlebox;
// and those who listen in.
pub mod capture;
pub mod relay;
// Commands of a page of the documentation, which a test runs as they stand there.
pub mod page;
// An API server that knows what a test says.
pub mod api_server;
// Images that containers run: programs of this machine, the project's own, and how one is written.
pub mod peers;
pub mod images;
pub mod oci;
// Addresses that nobody has.
pub mod port;
// Waiting for what can be observed.
pub mod patience;
// What the person who runs the tests chooses.
pub mod config;
