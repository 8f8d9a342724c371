//! The redirect: how connections come to a sidecar that nobody addressed, and where they were meant to go.
//!
//! `weft-proxy init` installs it once, before anything else runs in a pod. [`rules`] holds all that it is; the modules
//! below turn that into text for people and into bytes for the kernel, and back.

mod arguments;
mod rules;
mod text;
mod inspect;
mod probe;
mod transaction;
mod expressions;
mod kernel;
mod netlink;
mod original;

use arguments::{InvalidArgument, Mode, Settings, USAGE};
use inspect::Installed;
use kernel::{Kernel, KernelError};
use probe::ProbeError;
use rules::Unheard;

pub use original::original_destination;

/// Why `weft-proxy init` did not do what it was told to, or the redirect is not in force.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// It was told something impossible.
    #[error(transparent)]
    Argument(#[from] InvalidArgument),
    /// The kernel did not do it.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// Connections do not go the way they should.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// The rules in the kernel are others.
    #[error("the redirect is not in force: {0}; run `weft-proxy init` with the same flags")]
    Differs(String),
}

impl InitError {
    /// Whether the arguments are at fault, and not the machine.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Argument(_))
    }
}

/// Does what `weft-proxy init` with these `arguments` is to do in the network namespace of this thread, and says what it
/// did.
pub fn init(arguments: &[&str]) -> Result<String, InitError> {
    let (mode, settings) = arguments::parse(arguments)?;
    match mode {
        Mode::Install => Ok(install(&settings)?),
        Mode::DryRun => Ok(text::table(&rules::chains(&settings, Unheard::Refused))),
        Mode::Verify => verify(&settings),
        Mode::Help => Ok(format!("{USAGE}\n")),
    }
}

fn install(settings: &Settings) -> Result<String, KernelError> {
    let kernel = Kernel::open()?;
    let commit = |unheard| kernel.commit(&transaction::install(&rules::chains(settings, unheard)));
    let unheard = match commit(Unheard::Refused) {
        Ok(()) => "",
        // Nothing else is new since the kernels that the rest of it needs.
        Err(KernelError::Unsupported { .. }) => {
            commit(Unheard::Redirected)?;
            ", also where nobody listens, since this kernel cannot tell: it lacks nft_socket or nft_reject"
        }
        Err(error) => return Err(error),
    };
    Ok(format!(
        "TCP out of this pod goes to port {}, unless it is of user {}; TCP into it goes to port {}{unheard}\n",
        settings.outbound_port, settings.proxy_uid, settings.inbound_port
    ))
}

/// Installs in the network namespace of this thread what `weft-proxy init` with these `arguments` verifies: for whoever
/// does it in place of a pod that must not.
pub fn install_verified(arguments: &[&str]) -> Result<(), InitError> {
    Ok(install(&verified(arguments)?).map(drop)?)
}

/// Whether the rules in the network namespace of this thread are those that `weft-proxy init` with these `arguments`
/// verifies. Unlike that, it makes no connections.
pub fn compare_verified(arguments: &[&str]) -> Result<(), InitError> {
    compare(&verified(arguments)?)
}

fn verified(arguments: &[&str]) -> Result<Settings, InvalidArgument> {
    match arguments::parse(arguments)? {
        (Mode::Verify, settings) => Ok(settings),
        _ => Err(InvalidArgument::NotVerifying),
    }
}

fn compare(settings: &Settings) -> Result<(), InitError> {
    let installed = Installed::read(&Kernel::open()?)?;
    let differences = |unheard| installed.differences(&rules::chains(settings, unheard));
    let differs = differences(Unheard::Refused);
    if differs.is_empty() || differences(Unheard::Redirected).is_empty() {
        return Ok(());
    }
    Err(InitError::Differs(differs.join("; ")))
}

/// Rules that cannot be read are no fault: connections show whether the redirect is there.
fn verify(settings: &Settings) -> Result<String, InitError> {
    let rules = match compare(settings) {
        Ok(()) => "its rules are the right ones",
        Err(InitError::Kernel(KernelError::NotPermitted)) => "its rules cannot be read without NET_ADMIN",
        Err(error) => return Err(error),
    };
    let targets: Vec<String> = probe::probe(settings)?.iter().map(ToString::to_string).collect();
    let seen = if targets.is_empty() {
        "no port is left to try, since all are skipped".to_owned()
    } else {
        format!("connections to {} come to port {}", targets.join(" and "), settings.outbound_port)
    };
    Ok(format!("the redirect is in force: {rules}; {seen}\n"))
}
