//! How a program is built by what is known of it at work: how often everything runs, and what runs until it rests after its first
//! request. `bench/profile` takes both anew.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, Result, bail};

use super::root;
use crate::oci;

/// Moves what never ran while the profile was taken out of every function.
const SPLIT: &str = "-Cllvm-args=-enable-split-machine-functions -mfs-psi-cutoff=0";
/// Puts what was moved out, what hardly ever ran and what is hot into places of their own, and there first what has a name
/// in the list. A name that is gone since it was written is no fault.
const APART: &str = "-Clink-arg=-Wl,-z,keep-text-section-prefix,--no-warn-symbol-ordering";
/// Packs the table of addresses that a program sets right when it starts, which is 0.3 MB otherwise, and read to its end.
const PACKED: &str = "-Clink-arg=-Wl,-z,pack-relative-relocs";
/// The first glibc whose static programs understand that.
const PACKED_SINCE: (u32, u32) = (2, 36);

/// What a program is built for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Aim {
    /// To be published.
    Publish,
    /// To count what runs in it, and leave that in this folder when it ends.
    Count(PathBuf),
    /// To show the names of what runs in it.
    Name,
}

/// Files of the repository that tell of a program at work.
#[derive(Debug)]
pub(super) struct Work {
    /// How often each branch was taken, as LLVM has it.
    pub(super) profdata: &'static str,
    /// Names of the functions that run until it rests after its first request.
    pub(super) symbols: &'static str,
}

impl Work {
    /// Compiler flags by which the program is built for `aim`.
    pub(super) fn flags(&self, aim: &Aim) -> Result<Vec<String>> {
        let file = |path: &str| {
            let path = root().join(path);
            let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
            // cargo looks at flags, and not into the files that they name.
            Ok::<_, anyhow::Error>((path, format!("--cfg=work=\"{}\"", oci::sha256(&bytes))))
        };
        if let Aim::Count(counts) = aim {
            return Ok(vec![format!("-Cprofile-generate={}", counts.display())]);
        }
        let (profdata, mark) = file(self.profdata)?;
        let mut flags =
            vec![format!("-Cprofile-use={}", profdata.display()), mark, SPLIT.to_owned(), PACKED.to_owned()];
        if *aim == Aim::Name {
            flags.push("-Cstrip=none".to_owned());
        } else {
            let (symbols, mark) = file(self.symbols)?;
            let ordered = format!("-Clink-arg=-Wl,--symbol-ordering-file={}", symbols.display());
            flags.extend([ordered, mark, APART.to_owned()]);
        }
        Ok(flags)
    }
}

/// Whether programs that are built by these flags start when they are linked with the C library of this machine.
pub(super) fn check(flags: &[String]) -> Result<()> {
    let (major, minor) = PACKED_SINCE;
    if flags.iter().any(|flag| flag == PACKED) && glibc()? < PACKED_SINCE {
        bail!(
            "this needs glibc {major}.{minor} or newer: by an older one the program would crash when it starts"
        );
    }
    Ok(())
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
