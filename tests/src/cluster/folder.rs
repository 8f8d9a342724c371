//! What the cluster keeps on disk, all of it below the target folder: programs, certificates, logs.

use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use aws_lc_rs::digest::{SHA256, digest};

use crate::images;

/// The folder `<target folder>/cluster`.
#[derive(Clone, Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// The folder of this work tree.
    pub(super) fn own() -> Result<Self> {
        Ok(Self(images::target_folder()?.join("cluster")))
    }

    pub(super) fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Names this cluster on its machine, beside those of other work trees.
    pub(super) fn id(&self) -> String {
        let hash = digest(&SHA256, self.0.as_os_str().as_encoded_bytes());
        let [a, b, c, d] = [0, 1, 2, 3].map(|at| hash.as_ref()[at]);
        format!("weft-cluster-{:08x}", u32::from_be_bytes([a, b, c, d]))
    }

    /// Every program of Kubernetes, in one file.
    pub(super) fn kubernetes(&self) -> PathBuf {
        self.0.join("bin/kubernetes")
    }

    /// What holds a pod's namespaces open.
    pub(super) fn pause(&self) -> PathBuf {
        self.0.join("bin/pause")
    }

    /// Programs that people call by their names: `kubectl`, `helm`.
    pub(super) fn shims(&self) -> PathBuf {
        self.0.join("shims")
    }

    /// Archives of the project's images.
    pub(super) fn built_images(&self) -> PathBuf {
        self.0.join("images")
    }

    /// Archives of what else nodes are given.
    pub(super) fn given_images(&self) -> PathBuf {
        self.run().join("images")
    }

    /// All archives that a new node is given.
    pub(super) fn images(&self) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for folder in [self.built_images(), self.given_images()].iter().filter(|folder| folder.exists()) {
            let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
            found.extend(entries.flatten().map(|entry| entry.path()));
        }
        found.retain(|path| path.extension().is_some_and(|end| end == "tar"));
        found.sort();
        Ok(found)
    }

    /// What lasts as long as the cluster.
    pub(super) fn run(&self) -> PathBuf {
        self.0.join("run")
    }

    pub(super) fn certificate(&self, name: &str) -> PathBuf {
        self.run().join(format!("{name}.crt"))
    }

    pub(super) fn key(&self, name: &str) -> PathBuf {
        self.run().join(format!("{name}.key"))
    }

    pub(super) fn public_key(&self, name: &str) -> PathBuf {
        self.run().join(format!("{name}.pub"))
    }

    pub(super) fn kubeconfig(&self, user: &str) -> PathBuf {
        self.run().join(format!("{user}.kubeconfig"))
    }

    /// Is there once everything is up that was asked for.
    pub(super) fn ready(&self) -> PathBuf {
        self.run().join("ready")
    }

    /// Configuration, and where the node's own file systems are mounted.
    pub(super) fn node(&self, name: &str) -> PathBuf {
        self.run().join(name)
    }

    /// Log of a program. Logs outlast the cluster, until the next one.
    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.0.join("log").join(format!("{name}.log"))
    }

    /// Who holds a lock on this file keeps the cluster.
    pub(super) fn lock(&self) -> Result<File> {
        fs::create_dir_all(&self.0).with_context(|| self.0.display().to_string())?;
        let path = self.0.join("lock");
        let opened = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        opened.with_context(|| path.display().to_string())
    }

    /// Empties it for a new cluster: only the programs stay.
    pub(super) fn clear(&self) -> Result<()> {
        self.remove_run()?;
        let log = self.0.join("log");
        if log.exists() {
            fs::remove_dir_all(&log).with_context(|| log.display().to_string())?;
        }
        for folder in [self.run(), log, self.shims()] {
            fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        }
        let mode = fs::Permissions::from_mode(0o700);
        fs::set_permissions(self.run(), mode).context("permissions of the folder `run`")?;
        for name in ["kubectl", "helm"] {
            self.write_shim(name)?;
        }
        Ok(())
    }

    /// Removes certificates, keys and configuration.
    pub(super) fn remove_run(&self) -> Result<()> {
        match fs::remove_dir_all(self.run()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| self.run().display().to_string())
            }
            _ => Ok(()),
        }
    }

    fn write_shim(&self, name: &str) -> Result<()> {
        let path = self.shims().join(name);
        let script = format!("#!/bin/sh\nexec '{}' {name} \"$@\"\n", self.kubernetes().display());
        fs::write(&path, script).with_context(|| path.display().to_string())?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).context("permissions of a shim")
    }
}
