//! What the machine must have for a cluster of the tests' own, and how it comes by it.

use std::{path::Path, process::Command};

use anyhow::{Context, Result, bail};

use super::{folder::Folder, inside::PATH};
use crate::{
    images::{self, Builder, IMAGES, REPOSITORY},
    oci,
};

/// A program, and the package of Debian that has it.
const PROGRAMS: [(&str, &str); 11] = [
    ("containerd", "containerd"),
    ("runc", "runc"),
    ("/usr/lib/cni/ptp", "containernetworking-plugins"),
    ("iptables", "iptables"),
    ("nft", "nftables"),
    ("conntrack", "conntrack"),
    ("ethtool", "ethtool"),
    ("socat", "socat"),
    ("ip", "iproute2"),
    ("nsenter", "util-linux"),
    ("mount", "mount"),
];
/// Cargo's profile of the images: they are built in a third of the time, and do the same.
const PROFILE: &str = "image-test";

/// Checks that the machine can have a cluster.
///
/// # Errors
/// If it cannot: what is missing, and how to get it.
pub(super) fn check() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!(
            "only root may make a cluster, which has namespaces and pods: use sudo, or set KUBECONFIG to use one that is there"
        );
    }
    let missing: Vec<&str> =
        PROGRAMS.iter().filter(|(program, _)| !is_there(program)).map(|(_, package)| *package).collect();
    if !missing.is_empty() {
        bail!(
            "packages are missing: {0}\n    apt-get install {0}\n(or tests/cluster/install)",
            missing.join(" ")
        );
    }
    Ok(())
}

/// Builds the programs of Kubernetes if they are not those of the sources.
pub(super) fn build() -> Result<()> {
    let script = images::root().join("tests/cluster/install");
    let status = Command::new(&script).arg("--build").status();
    if !status.with_context(|| script.display().to_string())?.success() {
        bail!("Kubernetes was not built: {} --build says why above", script.display());
    }
    Ok(())
}

/// Makes all images.
pub(super) fn images(folder: &Folder) -> Result<()> {
    let archives = folder.built_images();
    let builder = Builder::new(PROFILE, Some(archives.clone()))?;
    write_pause(&folder.pause(), &archives.join("pause.tar"))?;
    builder.archives(&IMAGES.each_ref())?;
    Ok(())
}

/// Name of the image that holds a pod's namespaces.
pub(super) fn pause_reference() -> String {
    format!("{REPOSITORY}/pause:{}", env!("CARGO_PKG_VERSION"))
}

fn write_pause(program: &Path, archive: &Path) -> Result<()> {
    let bytes = std::fs::read(program).with_context(|| program.display().to_string())?;
    let files = [oci::Entry { path: "/pause", mode: 0o755, bytes: &bytes }];
    let name = pause_reference();
    let image = oci::Image { name: &name, files: &files, entrypoint: &["/pause"], user: "65535:65535" };
    oci::write_archive(archive, &image)?;
    Ok(())
}

fn is_there(program: &str) -> bool {
    PATH.split(':').any(|folder| Path::new(folder).join(program).exists())
}
