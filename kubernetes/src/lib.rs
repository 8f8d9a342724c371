//! The way of the mesh's programs to the API server of the cluster that they run in.
//!
//! Objects are JSON here: what they mean is for those who ask for them. A dozen kinds of request are made in all, so a
//! client library would be a hundred crates for nothing.
#![warn(missing_docs)]

// All objects of a kind, kept up to date.
pub mod watch;
// A request, and its answer,
pub mod api_server;
// over a connection of its own.
mod exchange;
// Where the API server is, and who this process is to it.
pub mod place;
// Why there is no answer.
mod error;

pub use api_server::ApiServer;
pub use error::RequestError;
pub use place::Place;
