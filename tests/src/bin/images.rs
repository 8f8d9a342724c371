//! Builds the project's images as OCI archives: `cargo run -p weft-tests --bin images`.

use std::{env, fs, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result, bail};
use weft_tests::images::{Aim, Builder, DIST, IMAGES, Image};

const USAGE: &str = "\
usage: images [--profile dist|release|image-test|dev] [--out DIR] [--counts DIR | --named] [NAME...]

Builds the images of these names (default: all) from static programs, each as an OCI archive DIR/NAME.tar
(default DIR: <target folder>/images).

--profile  dist (default) for publishing: the same bytes from the same sources, whatever else is built;
           image-test builds in a fraction of the time, for tests; release, dev
--counts   builds a program that counts what runs in it, and writes it into DIR when it ends
--named    builds the program that is published with the names of its functions: both for bench/profile";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("images: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let (mut profile, mut output, mut aim, mut images) = (DIST.to_owned(), None, None, Vec::new());
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--help" | "-h" => {
                println!("{USAGE}");
                return Ok(());
            }
            "--profile" => profile = arguments.next().context("--profile needs the name of a profile")?,
            "--out" => output = Some(PathBuf::from(arguments.next().context("--out needs a folder")?)),
            "--counts" => {
                aim = Some(Aim::Count(PathBuf::from(arguments.next().context("--counts needs a folder")?)));
            }
            "--named" => aim = Some(Aim::Name),
            flag if flag.starts_with('-') => bail!("there is no flag {flag}\n{USAGE}"),
            name => images.push(Image::named(name)?),
        }
    }
    if images.is_empty() {
        images.extend(&IMAGES);
    }
    let mut builder = Builder::new(&profile, output)?;
    if let Some(aim) = aim {
        builder = builder.aimed(aim);
    }
    for (image, archive) in images.iter().zip(builder.archives(&images)?) {
        let path = archive.path.display();
        let bytes = fs::metadata(&archive.path).with_context(|| path.to_string())?.len();
        println!("{}  {:.1} MB  {}  {path}", image.reference(), bytes as f64 / 1e6, archive.digest);
    }
    Ok(())
}
