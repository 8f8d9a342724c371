//! Which sidecars to ask: those of the workloads in files, or those that somebody names.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use weft_control_plane::{store::Store, watch};

/// A sidecar to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sidecar {
    /// `<namespace>/<workload>`, or the address where only that is known.
    pub(crate) workload: String,
    /// Where it serves its metrics.
    pub(crate) admin: SocketAddr,
}

/// All sidecars to ask.
#[derive(Debug)]
pub(crate) struct Sidecars {
    /// Where their workloads are described; absent if they were named.
    files: Option<PathBuf>,
    known: Vec<Sidecar>,
}

/// Nobody can be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Files that cannot be understood: each problem in a line.
    #[error(
        "{} cannot be read; mend it, or name sidecars with --proxy ADDRESS:\n{}",
        .path.display(),
        .problems.join("\n")
    )]
    Files { path: PathBuf, problems: Vec<String> },
    /// Files without a workload.
    #[error("{} describes no Workload, so it has no sidecar; is it what `weft run` was given?", .0.display())]
    NoWorkload(PathBuf),
    /// Nothing was said, and the current folder is no mesh.
    #[error("the current folder describes no mesh; say -f PATH, as for `weft run`, or --proxy ADDRESS")]
    NoMesh,
}

impl Error {
    /// Whether the command line said too little.
    pub(crate) fn is_usage(&self) -> bool {
        matches!(self, Self::NoMesh)
    }
}

impl Sidecars {
    /// Those at the addresses of `named`; without any, those of the files; without these, those of the current folder.
    pub(crate) fn choose(files: Option<PathBuf>, named: &[SocketAddr]) -> Result<Self, Error> {
        if !named.is_empty() {
            let known = named.iter().map(|admin| Sidecar { workload: admin.to_string(), admin: *admin });
            return Ok(Self { files: None, known: known.collect() });
        }
        let Some(path) = files else {
            return Self::read(Path::new(".")).map_err(|_| Error::NoMesh);
        };
        Self::read(&path)
    }

    fn read(path: &Path) -> Result<Self, Error> {
        let store = watch::check(path).map_err(|problems| {
            let problems = problems.iter().map(ToString::to_string).collect();
            Error::Files { path: path.to_owned(), problems }
        })?;
        let known = described(&store);
        if known.is_empty() {
            return Err(Error::NoWorkload(path.to_owned()));
        }
        Ok(Self { files: Some(path.to_owned()), known })
    }

    /// Those to ask now.
    pub(crate) fn now(&self) -> &[Sidecar] {
        &self.known
    }

    /// Reads the files again: sidecars come and go with them. A mistake in them changes nothing, as in the mesh itself.
    pub(crate) fn refresh(&mut self) {
        if let Some(Ok(fresh)) = self.files.as_deref().map(Self::read) {
            *self = fresh;
        }
    }
}

/// The sidecars of all workloads, by namespace and name.
fn described(store: &Store) -> Vec<Sidecar> {
    let workloads = store.workloads.values().map(|workload| Sidecar {
        workload: format!("{}/{}", workload.metadata.namespace, workload.metadata.name),
        admin: workload.spec.admin,
    });
    workloads.collect()
}

#[cfg(test)]
mod tests;
