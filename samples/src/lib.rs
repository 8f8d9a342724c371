//! Two small services that know nothing of the mesh: what the demo and the acceptance tests run. And somebody who calls
//! them, for those who have nobody else at hand: in a pod there is no shell.
//!
//! `feelgood-api` answers good vibes and fails about one request in three; `frontend` renders a page from it. Nobody may
//! change them: whatever gets better once they stand in the mesh, the mesh did.

// Either service as a program.
pub mod program;
// The service that people open in a browser.
pub mod frontend;
// The service it depends on, which fails as often as it is told to.
pub mod feelgood_api;
// Somebody who calls a service at a constant rate.
pub mod caller;
// A client with connections that are kept alive.
mod upstream;
// A server that ends gracefully.
mod serve;
// Start of a process and its end: environment, runtime, signals.
pub mod process;
