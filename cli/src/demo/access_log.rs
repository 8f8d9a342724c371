//! Who was at the other end of each hop between the sidecars, as both of them logged it.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::PathBuf,
};

use serde::Deserialize;

/// Identity of the frontend's sidecar.
pub(crate) const FRONTEND: &str = "spiffe://cluster.local/ns/default/sa/frontend";
/// Identity of the API's sidecar.
pub(crate) const API: &str = "spiffe://cluster.local/ns/default/sa/feelgood-api";

/// One line, as far as it is of interest here.
#[derive(Deserialize)]
struct Line {
    direction: String,
    #[serde(default)]
    tls: bool,
    #[serde(rename = "peer.spiffe")]
    peer: Option<String>,
    #[serde(rename = "local.spiffe")]
    local: Option<String>,
    /// Where the last try went; absent if the proxy answered by itself, without a hop.
    #[serde(rename = "network.peer.address")]
    endpoint: Option<String>,
}

/// Hops that were logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hops {
    /// Those between the right identities, by mutual TLS.
    pub(crate) proper: u64,
    /// All others.
    pub(crate) improper: u64,
}

/// The access log of one sidecar, read on from where it was read last.
#[derive(Debug)]
pub(crate) struct AccessLog {
    path: PathBuf,
    offset: u64,
    end: Side,
}

/// On which end of the hop a sidecar is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The frontend's: its outbound lines tell of the hop.
    Caller,
    /// The API's: its inbound lines do.
    Callee,
}

impl AccessLog {
    /// The log in this file, which need not be there yet.
    pub(crate) fn new(path: PathBuf, end: Side) -> Self {
        Self { path, offset: 0, end }
    }

    /// Counts the hops that were logged since the last time. A line that is not whole yet is left for the next.
    pub(crate) fn read_on(&mut self) -> io::Result<Hops> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.offset))?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        self.offset += whole as u64;
        let mut hops = Hops::default();
        for line in text[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match serde_json::from_slice::<Line>(line) {
                Ok(line) if !self.end.is_hop(&line) => {}
                Ok(line) if self.end.is_proper(&line) => hops.proper += 1,
                _ => hops.improper += 1,
            }
        }
        Ok(hops)
    }
}

impl Side {
    fn is_hop(self, line: &Line) -> bool {
        match self {
            Self::Caller => line.direction == "outbound" && line.endpoint.is_some(),
            Self::Callee => line.direction == "inbound",
        }
    }

    fn is_proper(self, line: &Line) -> bool {
        let (local, peer) = match self {
            Self::Caller => (FRONTEND, API),
            Self::Callee => (API, FRONTEND),
        };
        line.tls && line.local.as_deref() == Some(local) && line.peer.as_deref() == Some(peer)
    }
}

#[cfg(test)]
mod tests;
