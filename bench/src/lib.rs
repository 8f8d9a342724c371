//! What requests pay, measured: through whole proxies in two pods, beside those of others, and for policy alone.

// What came of it, as tables and as JSON.
pub mod table;
// Work by which a profile is taken.
pub mod training;
// Pairs of proxies in turns.
pub mod rig;
// Everything that is measured, at work in its pods.
pub mod stage;
// Who is measured.
pub mod subject;
// Clients who do nothing but prove who they are.
pub mod handshakes;
// Proxies of others: programs, configuration, certificates.
pub mod peers;
// Requests by a schedule,
pub mod generator;
// and who answers them.
pub mod backend;
// Waiting for many sockets, by nanoseconds.
pub mod poll;
// One control plane and a thousand sidecars.
pub mod fleet;
// What a process has used of the machine.
pub mod usage;
// What one request passes of policy while all is well.
pub mod policy;
// Rounds of a measurement, and what they come to.
pub mod measure;
