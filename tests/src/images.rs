//! The project's images: static binaries and nothing else, the same bytes from the same sources.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use weft_api::names;

use crate::{config, oci};

/// What all names of images begin with. Nobody can be asked for an image of the host `localhost`: a node that was not
/// given the image says so, instead of running a stranger's.
pub const REPOSITORY: &str = "localhost/weft";
/// The platform that images are built for: the only one with a static C library everywhere (glibc's).
const TARGET: &str = "x86_64-unknown-linux-gnu";
/// Profile of what is published.
pub const DIST: &str = "dist";
/// Flags by which what never ran while the profile was taken stands apart in the program, down to single branches, and what
/// ran stands in the order in which it first did: pages that nobody touches are in nobody's memory.
const APART: [&str; 3] = [
    "-Cllvm-args=-enable-split-machine-functions -mfs-psi-cutoff=0",
    "-Clink-arg=-Wl,-z,keep-text-section-prefix",
    "-Clink-arg=-Wl,--bp-startup-sort=function",
];
/// Packs the table of addresses that a program sets right when it starts, which is 0.3 MB otherwise, and read to its end.
const PACKED: &str = "-Clink-arg=-Wl,-z,pack-relative-relocs";
/// The first glibc whose static programs understand that.
const PACKED_SINCE: (u32, u32) = (2, 36);
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
    /// What of its program runs when it is at work, and how often, as a file of the repository: by that it is built.
    /// `bench/profile` makes it anew.
    profdata: Option<&'static str>,
}

/// All images.
pub const IMAGES: [Image; 5] = [
    Image {
        name: "proxy",
        package: "weft-proxy",
        binaries: &["weft-proxy"],
        user: names::PROXY_UID,
        profdata: Some("proxy/weft-proxy.profdata"),
    },
    Image {
        name: "control-plane",
        package: "weft-control-plane",
        binaries: &["weft-control-plane"],
        user: NOBODY,
        profdata: None,
    },
    Image {
        name: "cni",
        package: "weft-cni",
        binaries: &["weft-cni"],
        // The folders that it writes to are root's.
        user: 0,
        profdata: None,
    },
    Image {
        name: "injector",
        package: "weft-injector",
        binaries: &["weft-injector"],
        user: NOBODY,
        profdata: None,
    },
    Image {
        name: "samples",
        package: "weft-samples",
        binaries: &["feelgood-api", "frontend", "caller"],
        user: NOBODY,
        profdata: None,
    },
];

/// How to build, and where to put what comes of it.
#[derive(Debug)]
pub struct Builder {
    profile: String,
    /// Cargo's folder for these builds: their flags are others than those of everything else.
    target: PathBuf,
    output: PathBuf,
    /// Where programs leave what has run in them, if they are built to count that.
    counts: Option<PathBuf>,
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
        Ok(Self { profile: profile.to_owned(), target, output, counts: None })
    }

    /// Builds programs that count what runs in them, and write it into the folder `counts` when they end; besides the
    /// others, in the folder `counting` of theirs.
    #[must_use]
    pub fn counting(self, counts: PathBuf) -> Self {
        let target = self.target.join("counting");
        Self { output: target.clone(), target, counts: Some(counts), ..self }
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
        let (major, minor) = PACKED_SINCE;
        if flags.iter().any(|flag| flag == PACKED) && glibc()? < PACKED_SINCE {
            bail!(
                "this needs glibc {major}.{minor} or newer: by an older one the program would crash when it starts"
            );
        }
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(root()).env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
        // The compiler beside this cargo: one that is looked for by its name may be chosen anew for each dependency, by
        // a file in its folder.
        cargo.env("RUSTC", Path::new(env!("CARGO")).with_file_name("rustc"));
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
        match (images, &self.counts) {
            // A folder for each process: what happened when cannot be added up.
            (_, Some(counts)) => flags.extend([
                format!("-Cprofile-generate={}/%p", counts.display()),
                "-Cllvm-args=-pgo-temporal-instrumentation".to_owned(),
            ]),
            ([Image { profdata: Some(profdata), .. }], None) if self.profile == DIST => {
                let profdata = root().join(profdata);
                let bytes = fs::read(&profdata).with_context(|| profdata.display().to_string())?;
                flags.push(format!("-Cprofile-use={}", profdata.display()));
                flags.push(format!("-Clink-arg=-Wl,--irpgo-profile={}", profdata.display()));
                // cargo looks at flags, and not into files that they name.
                flags.push(format!("--cfg=profdata=\"{}\"", oci::sha256(&bytes)));
                flags.extend(APART.into_iter().chain([PACKED]).map(str::to_owned));
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

/// The version of the C library that programs are linked with.
fn glibc() -> Result<(u32, u32)> {
    let output =
        Command::new("getconf").arg("GNU_LIBC_VERSION").output().context("getconf cannot be started")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let version = said.trim().strip_prefix("glibc ").and_then(|version| version.split_once('.'));
    let (major, minor) = version.with_context(|| format!("getconf GNU_LIBC_VERSION says {said:?}"))?;
    Ok((major.parse()?, minor.parse()?))
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
