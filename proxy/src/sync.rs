//! What breakers and limits share their state by. Everything there that several threads may touch is of these types, so
//! that `interleavings` can compile the same code with types that try every order of events.

pub use std::sync::{Mutex, MutexGuard, atomic::AtomicU64};
