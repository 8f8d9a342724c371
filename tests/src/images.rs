//! The project's images: static binaries and nothing else, the same bytes from the same sources.

// How one is built by what is known of it at work.
mod work;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use weft_api::names;

use crate::{config, oci};
use work::Work;

pub use work::Aim;

/// What all names of images begin with. Nobody can be asked for an image of the host `localhost`: a node that was not
/// given the image says so, instead of running a stranger's.
pub const REPOSITORY: &str = "localhost/weft";
/// The platform that images are built for: the only one with a static C library everywhere (glibc's).
const TARGET: &str = "x86_64-unknown-linux-gnu";
/// Profile of what is published.
pub const DIST: &str = "dist";
/// A user without rights, for programs whose user id means nothing.
const NOBODY: u32 = 65532;

/// What an image is made of.
#[derive(Debug)]
pub struct Image {
    /// Its name, without repository and tag.
    pub name: &'static str,
    /// The crate that it is built from.
    package: &'static str,
    /// Programs, each at `/<name>`. The only one of an image is its entrypoint.
    binaries: &'static [&'static str],
    /// User id that it runs as unless the pod says otherwise.
    user: u32,
    /// What is known of its program at work: by that it is built, where it is published.
    work: Option<Work>,
}

/// All images.
pub const IMAGES: [Image; 5] = [
    Image {
        name: "proxy",
        package: "weft-proxy",
        binaries: &["weft-proxy"],
        user: names::PROXY_UID,
        work: Some(Work { profdata: "proxy/weft-proxy.profdata", symbols: "proxy/weft-proxy.symbols" }),
    },
    Image {
        name: "control-plane",
        package: "weft-control-plane",
        binaries: &["weft-control-plane"],
        user: NOBODY,
        work: None,
    },
    Image {
        name: "cni",
        package: "weft-cni",
        binaries: &["weft-cni"],
        // The folders that it writes to are root's.
        user: 0,
        work: None,
    },
    Image {
        name: "injector",
        package: "weft-injector",
        binaries: &["weft-injector"],
        user: NOBODY,
        work: None,
    },
    Image {
        name: "samples",
        package: "weft-samples",
        binaries: &["feelgood-api", "frontend", "caller"],
        user: NOBODY,
        work: None,
    },
];

/// How to build, and where to put what comes of it.
#[derive(Debug)]
pub struct Builder {
    profile: String,
    /// Cargo's folder for these builds: their flags are others than those of everything else.
    target: PathBuf,
    output: PathBuf,
    aim: Aim,
}

/// An image in a file.
#[derive(Debug)]
pub struct Archive {
    /// The file.
    pub path: PathBuf,
    /// Digest of the image, `sha256:` and 64 digits.
    pub digest: String,
}

impl Builder {
    /// Builds in cargo's profile `profile`, and writes below `output` (default: the target folder's `images`).
    pub fn new(profile: &str, output: Option<PathBuf>) -> Result<Self> {
        let target = target_folder()?.join("images");
        let output = output.unwrap_or_else(|| target.clone());
        fs::create_dir_all(&output).with_context(|| format!("cannot make {}", output.display()))?;
        Ok(Self { profile: profile.to_owned(), target, output, aim: Aim::Publish })
    }

    /// Builds for another aim, in a folder beside the others.
    #[must_use]
    pub fn aimed(self, aim: Aim) -> Self {
        let target = self.target.join("at-work");
        Self { output: target.clone(), target, aim, ..self }
    }

    /// Compiles `images` and writes an archive of each, `<name>.tar`, in the same order.
    pub fn archives(&self, images: &[&Image]) -> Result<Vec<Archive>> {
        // Crates that are compiled by one call have each other's features: that is quicker, but an image's bytes depend
        // on what else was asked for. So those that are published have a call each.
        let together = if self.profile == DIST { 1 } else { IMAGES.len() };
        for images in images.chunks(together) {
            self.compile(images)?;
        }
        images.iter().map(|image| self.archive(image)).collect()
    }

    fn archive(&self, image: &Image) -> Result<Archive> {
        let path = self.output.join(format!("{}.tar", image.name));
        let digest = image.write(&self.binaries(), &path)?;
        Ok(Archive { path, digest })
    }

    fn compile(&self, images: &[&Image]) -> Result<()> {
        let flags = self.flags(images)?;
        work::check(&flags)?;
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(root()).env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
        // The compiler beside this cargo: one that is looked for by its name may be chosen anew for each dependency, by
        // a file in its folder.
        cargo.env("RUSTC", Path::new(env!("CARGO")).with_file_name("rustc"));
        // The allocator's C code holds the time at which it was compiled, unless this says which.
        cargo.env("SOURCE_DATE_EPOCH", "0");
        cargo.args(["build", "--locked", "--target", TARGET, "--profile", &self.profile]);
        cargo.arg("--target-dir").arg(&self.target);
        for image in images {
            cargo.args(["--package", image.package]);
            cargo.args(image.binaries.iter().flat_map(|binary| ["--bin", binary]));
        }
        let status = cargo.status().context("cargo cannot be started")?;
        if !status.success() {
            let packages: Vec<_> = images.iter().map(|image| image.package).collect();
            bail!("{} cannot be built: cargo says why above", packages.join(", "));
        }
        Ok(())
    }

    /// Flags for static programs that do not tell where they were built.
    fn flags(&self, images: &[&Image]) -> Result<Vec<String>> {
        let remap = |from: &Path, to: &str| format!("--remap-path-prefix={}={to}", from.display());
        let mut flags = vec![
            "-Ctarget-feature=+crt-static".to_owned(),
            remap(&root(), "/weft"),
            remap(&config::cargo_home()?, "/cargo"),
        ];
        match (images, self.profile.as_str()) {
            ([Image { work: Some(work), .. }], DIST) => flags.extend(work.flags(&self.aim)?),
            _ if self.aim != Aim::Publish => {
                bail!("only an image whose work is known can be built so, by profile {DIST}: `proxy`");
            }
            _ => {}
        }
        Ok(flags)
    }

    fn binaries(&self) -> PathBuf {
        // Cargo calls the folder of this one profile otherwise.
        let profile = if self.profile == "dev" { "debug" } else { &self.profile };
        self.target.join(TARGET).join(profile)
    }
}

impl Image {
    /// The image of this name.
    pub fn named(name: &str) -> Result<&'static Self> {
        IMAGES.iter().find(|image| image.name == name).with_context(|| {
            let all: Vec<_> = IMAGES.iter().map(|image| image.name).collect();
            format!("there is no image {name}; there are {}", all.join(", "))
        })
    }

    /// Repository, name and tag.
    pub fn reference(&self) -> String {
        format!("{REPOSITORY}/{}:{}", self.name, env!("CARGO_PKG_VERSION"))
    }

    /// Writes the image as an OCI archive, with its programs out of the folder `binaries`. Returns its digest.
    pub fn write(&self, binaries: &Path, archive: &Path) -> Result<String> {
        let mut programs = Vec::new();
        for name in self.binaries {
            let path = binaries.join(name);
            let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            programs.push((format!("/{name}"), bytes));
        }
        let files: Vec<oci::Entry> =
            programs.iter().map(|(path, bytes)| oci::Entry { path, mode: 0o755, bytes }).collect();
        let entrypoint = match files.as_slice() {
            [only] => vec![only.path],
            _ => Vec::new(),
        };
        let (name, user) = (self.reference(), format!("{0}:{0}", self.user));
        oci::write_archive(
            archive,
            &oci::Image { name: &name, files: &files, entrypoint: &entrypoint, user: &user },
        )
    }
}

/// The repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the repository").to_owned()
}

/// The target folder of the workspace, wherever cargo has it.
pub fn target_folder() -> Result<PathBuf> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(root()).args(["metadata", "--locked", "--no-deps", "--format-version", "1"]);
    let output = cargo.output().context("cargo cannot be started")?;
    let failure = String::from_utf8_lossy(&output.stderr);
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).with_context(|| format!("cargo metadata: {failure}"))?;
    let folder = metadata["target_directory"].as_str().context("cargo does not say where it builds")?;
    Ok(folder.into())
}

#[cfg(test)]
mod tests;
