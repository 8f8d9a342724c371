//! The redirect: how connections come to a sidecar that nobody addressed, and where they were meant to go.

mod original;

pub use original::original_destination;
