//! Where objects come from: a file, or a folder of files, in the YAML or JSON that Kubernetes would take.

mod decode;
mod directory;
mod flaw;
mod problem;
mod reading;
mod spelling;
mod unheeded;
mod validate;

use std::path::Path;

use crate::store::Store;

pub use directory::{OpenError, Source};
pub use problem::{News, Problem};
pub use reading::Reading;

/// Reads `path` once. Fails with everything that is wrong, and at least one problem.
pub fn check(path: &Path) -> Result<Store, Vec<Problem>> {
    let reading = directory::read(path, &Reading::default());
    if reading.problems().is_empty() { Ok(reading.store().clone()) } else { Err(reading.problems().to_vec()) }
}
