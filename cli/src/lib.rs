//! `weft`, the command line: local mode, a look at its breakers, and the story that shows what the mesh does.
#![warn(missing_docs)]

// What people type: verbs, flags, exit codes.
pub mod command;
// `weft demo`: two services nobody may change, and what the mesh makes of them.
pub mod demo;
// `weft run`: a mesh of this machine's processes, described by files.
mod run;
// `weft inject`: sidecars into manifests.
mod inject;
// `weft breakers`: the breakers of a running mesh, live.
mod breakers;
// Reads what the sidecars expose.
mod metrics;
// One child process, started again whenever it ends.
mod child;
// How a child process ends with the one that started it.
mod lifeline;
// One HTTP/1.1 connection to a process of this machine.
mod wire;
