//! Where objects come from: a file, or a folder of files, in the YAML or JSON that Kubernetes would take; or the API
//! server of a cluster.

mod decode;
mod directory;
mod flaw;
mod kubernetes;
mod problem;
mod reading;
mod spelling;
mod stand_in;
mod unheeded;
mod validate;

use std::{collections::BTreeSet, path::Path};

use crate::{
    resolve::Attachment,
    store::{Finding, Store},
};

pub use directory::{Directory, OpenError};
pub use kubernetes::Cluster;
pub use problem::{News, Place, Problem};
pub use reading::Reading;

/// Where objects come from.
pub enum Source {
    /// Files.
    Directory(Directory),
    /// An API server.
    Cluster(Cluster),
}

impl Source {
    /// Waits until something else than before is in force.
    pub async fn changed(&mut self) {
        match self {
            Self::Directory(directory) => drop(directory.changed().await),
            Self::Cluster(cluster) => cluster.changed().await,
        }
    }

    /// Objects in force.
    pub fn store(&self) -> &Store {
        match self {
            Self::Directory(directory) => directory.reading().store(),
            Self::Cluster(cluster) => cluster.store(),
        }
    }

    /// Everything that is wrong, given the `findings` about the objects that are in force now.
    pub fn problems(&self, findings: &[Finding]) -> Vec<Problem> {
        match self {
            Self::Directory(directory) => directory.reading().problems(findings),
            Self::Cluster(cluster) => cluster.problems(findings),
        }
    }

    /// Tells those who write into a cluster what became of the objects that are in force now: the `findings` about them,
    /// and what is `attached`.
    pub fn tell(&self, findings: &[Finding], attached: &BTreeSet<Attachment>) {
        if let Self::Cluster(cluster) = self {
            cluster.tell(findings, attached);
        }
    }
}

/// Reads `path` once. Fails with everything that is wrong, and at least one problem.
pub fn check(path: &Path) -> Result<Store, Vec<Problem>> {
    let reading = directory::read(path);
    let problems = reading.check();
    if problems.is_empty() { Ok(reading.store().clone()) } else { Err(problems) }
}
