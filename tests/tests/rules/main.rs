//! The rules of this repository that code can hold: how modules are ordered, what depends on what, and what no file
//! may say.

// Modules go one way: downwards in the list of `lib.rs`.
mod order;
// Crates go one way, and some are nowhere.
mod dependencies;
// What the charts owe whoever installs them.
mod charts;
// What every file owes its reader.
mod neutrality;
// Rust as text: code without comments and literals.
mod source;
