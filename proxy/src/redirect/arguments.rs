//! What `weft-proxy init` is told.

use std::str::FromStr;

use weft_api::{
    names,
    ports::{self, InvalidPorts, Ports},
};

/// How it is called.
pub const USAGE: &str = "\
usage: weft-proxy init [--dry-run | --verify] [flags]

Leads the TCP connections of this network namespace through the sidecar.

  --inbound-port PORT           the sidecar's port for connections into the pod (4143)
  --outbound-port PORT          the sidecar's port for connections out of the pod (4140)
  --proxy-uid UID               user whose connections are not redirected: the sidecar's (2112)
  --skip-inbound-ports PORTS    ports and ranges that are reached directly, such as 22,9000-9010
  --skip-outbound-ports PORTS   ports and ranges that are connected to directly
  --dry-run                     print the rules in the syntax of nft, and change nothing
  --verify                      change nothing; end with 0 only if the redirect is in force";

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Install the rules.
    Install,
    /// Print them.
    DryRun,
    /// See that they are there and work.
    Verify,
    /// Print [`USAGE`].
    Help,
}

/// What to redirect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The sidecar's port for connections into the pod.
    pub inbound_port: u16,
    /// The sidecar's port for connections out of the pod.
    pub outbound_port: u16,
    /// User of the sidecar.
    pub proxy_uid: u32,
    /// Ports of the pod that are reached directly, besides that for metrics and health.
    pub skip_inbound: Ports,
    /// Ports of others that are connected to directly.
    pub skip_outbound: Ports,
}

/// An argument that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidArgument {
    /// No such flag.
    #[error("`{0}` is not a flag of `weft-proxy init`; `weft-proxy init --help` lists them")]
    Unknown(String),
    /// A flag without a value.
    #[error("{0} needs a value")]
    Missing(&'static str),
    /// A flag that takes none.
    #[error("{0} takes no value")]
    Value(&'static str),
    /// A flag was given twice.
    #[error("{0} is given twice")]
    Twice(&'static str),
    /// Ports that are none.
    #[error("{flag}: {reason}")]
    Ports {
        /// Which flag.
        flag: &'static str,
        /// What is wrong.
        reason: InvalidPorts,
    },
    /// A user that is none.
    #[error("--proxy-uid: `{0}` is not a user's number")]
    Uid(String),
    /// Root would be exempt.
    #[error(
        "--proxy-uid: 0 is root, and whatever ran as root would not be redirected: give the sidecar a user of its own"
    )]
    Root,
    /// Two flags that exclude each other.
    #[error("--dry-run and --verify exclude each other")]
    TwoModes,
    /// What is to be verified was asked for.
    #[error("--verify is missing, so nothing of this can be left to others")]
    NotVerifying,
    /// One port for two purposes.
    #[error("{flag}: {port} is taken by {by}")]
    Taken {
        /// Which flag.
        flag: &'static str,
        /// Which port.
        port: u16,
        /// Who has it.
        by: &'static str,
    },
    /// The way out would be open to others.
    #[error(
        "--skip-inbound-ports: {0} is the outbound port, and must stay redirected: others could send through this \
         sidecar in its name"
    )]
    OpensOutbound(u16),
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            inbound_port: names::INBOUND_PORT,
            outbound_port: names::OUTBOUND_PORT,
            proxy_uid: names::PROXY_UID,
            skip_inbound: Ports::default(),
            skip_outbound: Ports::default(),
        }
    }
}

/// Reads what follows `weft-proxy init`.
pub fn parse(arguments: &[&str]) -> Result<(Mode, Settings), InvalidArgument> {
    let flags = Flags::read(arguments)?;
    if flags.has(HELP) {
        return Ok((Mode::Help, Settings::default()));
    }
    let mode = match (flags.has(DRY_RUN), flags.has(VERIFY)) {
        (false, false) => Mode::Install,
        (true, false) => Mode::DryRun,
        (false, true) => Mode::Verify,
        (true, true) => return Err(InvalidArgument::TwoModes),
    };
    let defaults = Settings::default();
    let settings = Settings {
        inbound_port: flags.ports(INBOUND_PORT, ports::port)?.unwrap_or(defaults.inbound_port),
        outbound_port: flags.ports(OUTBOUND_PORT, ports::port)?.unwrap_or(defaults.outbound_port),
        proxy_uid: flags.value(PROXY_UID).map_or(Ok(defaults.proxy_uid), uid)?,
        skip_inbound: flags.ports(SKIP_INBOUND, Ports::from_str)?.unwrap_or_default(),
        skip_outbound: flags.ports(SKIP_OUTBOUND, Ports::from_str)?.unwrap_or_default(),
    };
    settings.check()?;
    Ok((mode, settings))
}

impl Settings {
    /// Whether all of it can hold together.
    fn check(&self) -> Result<(), InvalidArgument> {
        let admin = "metrics and health";
        let taken = |flag, port, by| Err(InvalidArgument::Taken { flag, port, by });
        if self.inbound_port == names::ADMIN_PORT {
            return taken(INBOUND_PORT, self.inbound_port, admin);
        }
        if self.outbound_port == names::ADMIN_PORT {
            return taken(OUTBOUND_PORT, self.outbound_port, admin);
        }
        if self.outbound_port == self.inbound_port {
            return taken(OUTBOUND_PORT, self.outbound_port, INBOUND_PORT);
        }
        if self.skip_inbound.contains(self.outbound_port) {
            return Err(InvalidArgument::OpensOutbound(self.outbound_port));
        }
        Ok(())
    }
}

const INBOUND_PORT: &str = "--inbound-port";
const OUTBOUND_PORT: &str = "--outbound-port";
const PROXY_UID: &str = "--proxy-uid";
const SKIP_INBOUND: &str = "--skip-inbound-ports";
const SKIP_OUTBOUND: &str = "--skip-outbound-ports";
const DRY_RUN: &str = "--dry-run";
const VERIFY: &str = "--verify";
const HELP: &str = "--help";

/// Every flag, and whether it takes a value.
const FLAGS: [(&str, bool); 8] = [
    (INBOUND_PORT, true),
    (OUTBOUND_PORT, true),
    (PROXY_UID, true),
    (SKIP_INBOUND, true),
    (SKIP_OUTBOUND, true),
    (DRY_RUN, false),
    (VERIFY, false),
    (HELP, false),
];

/// What was given, each flag at most once.
struct Flags<'a>(Vec<(&'static str, &'a str)>);

impl<'a> Flags<'a> {
    /// Takes `--flag value` and `--flag=value`.
    fn read(arguments: &[&'a str]) -> Result<Self, InvalidArgument> {
        let mut given: Vec<(&'static str, &'a str)> = Vec::new();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let (name, attached) = match argument.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (*argument, None),
            };
            let known = FLAGS.iter().find(|(flag, _)| *flag == name);
            let (flag, has_value) = *known.ok_or_else(|| InvalidArgument::Unknown((*argument).to_owned()))?;
            let value = match (has_value, attached) {
                (true, Some(value)) => value,
                (true, None) => rest.next().ok_or(InvalidArgument::Missing(flag))?,
                (false, None) => "",
                (false, Some(_)) => return Err(InvalidArgument::Value(flag)),
            };
            if given.iter().any(|(other, _)| *other == flag) {
                return Err(InvalidArgument::Twice(flag));
            }
            given.push((flag, value));
        }
        Ok(Self(given))
    }

    fn value(&self, flag: &str) -> Option<&'a str> {
        self.0.iter().find(|(given, _)| *given == flag).map(|(_, value)| *value)
    }

    fn has(&self, flag: &str) -> bool {
        self.value(flag).is_some()
    }

    fn ports<T>(
        &self,
        flag: &'static str,
        parse: impl FnOnce(&str) -> Result<T, InvalidPorts>,
    ) -> Result<Option<T>, InvalidArgument> {
        let parsed = self.value(flag).map(parse).transpose();
        parsed.map_err(|reason| InvalidArgument::Ports { flag, reason })
    }
}

/// A user's number that a process can have: the highest means "unchanged" to the kernel.
fn uid(text: &str) -> Result<u32, InvalidArgument> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse().ok().filter(|uid| digits && *uid != u32::MAX) {
        Some(0) => Err(InvalidArgument::Root),
        Some(uid) => Ok(uid),
        None => Err(InvalidArgument::Uid(text.to_owned())),
    }
}

#[cfg(test)]
mod tests;
