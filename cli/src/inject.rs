//! `weft inject`: puts sidecars into the pods of manifests, with the code of the webhook.

use std::{
    fs, io,
    io::{Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use weft_api::names;
use weft_injector::{
    Config, Installation,
    manifest::{self, Done, Outcome},
};

/// What the exit codes mean, for the help.
pub(crate) const EXIT_CODES: &str = "\
What became of each object is told on stderr.
Exit code 0 if nothing was refused, 1 if something was, or could not be read.";

/// Bytes of a manifest at most: far above those of a large cluster's workloads.
const MANIFEST_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Which manifests, and for which mesh.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// YAML or JSON, several documents perhaps; `-` reads stdin
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The injector's configuration file, as in the ConfigMap `weft-injector`; default: its defaults
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Namespace that the mesh is installed in
    #[arg(long, value_name = "NAME", default_value = names::SYSTEM_NAMESPACE)]
    mesh_namespace: String,
    /// Image of the sidecar, in place of the configuration's
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
}

/// Prints the manifests with their sidecars.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let installation = installation(options)?;
    let text = read(&options.file)?;
    let mut documents =
        manifest::read(&text).with_context(|| format!("{} is not YAML", options.file.display()))?;
    let outcomes: Vec<Outcome> =
        documents.iter_mut().flat_map(|document| manifest::inject(document, &installation)).collect();
    let injected = manifest::write(&documents).map_err(anyhow::Error::msg)?;
    print(&injected)?;
    for line in outcomes.iter().flat_map(told) {
        anstream::eprintln!("{line}");
    }
    let refused = outcomes.iter().any(|outcome| matches!(outcome.done, Done::Refused(_)));
    Ok(if refused { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn installation(options: &Options) -> anyhow::Result<Installation> {
    let mut config = match &options.config {
        Some(path) => Config::load(path)?,
        None => Config::default(),
    };
    if let Some(image) = &options.image {
        config.proxy.image.clone_from(image);
    }
    Ok(config.installation(&options.mesh_namespace)?)
}

fn read(path: &Path) -> anyhow::Result<String> {
    let (mut text, from) = (String::new(), path.display());
    let read = if path == Path::new("-") {
        io::stdin().take(MANIFEST_BYTES_MAX + 1).read_to_string(&mut text)
    } else {
        fs::File::open(path).and_then(|file| file.take(MANIFEST_BYTES_MAX + 1).read_to_string(&mut text))
    };
    let length = read.with_context(|| format!("{from} cannot be read"))? as u64;
    anyhow::ensure!(
        length <= MANIFEST_BYTES_MAX,
        "{from} has more than {MANIFEST_BYTES_MAX} bytes: split it"
    );
    Ok(text)
}

/// Prints to stdout. Who has stopped reading wants no more of it.
fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

/// The lines about one object.
fn told(outcome: &Outcome) -> Vec<String> {
    let object = &outcome.object;
    let done = match &outcome.done {
        Done::Injected => format!("{object}: injected"),
        Done::Skipped(why) => format!("{object}: left as it is: {why}"),
        Done::Refused(why) => format!("{object}: refused: {why}"),
        Done::Passed => format!("{object}: has no pod"),
    };
    let warnings = outcome.warnings.iter().map(|warning| format!("{object}: warning: {warning}"));
    [done].into_iter().chain(warnings).collect()
}

#[cfg(test)]
mod tests;
