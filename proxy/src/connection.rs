//! One opaque connection from its first byte to its last: what is told of it when it ends, however it ends.

use std::{
    net::{IpAddr, SocketAddr},
    rc::Rc,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Instant, SystemTime},
};

use crate::{
    fault::Fault,
    tcp::{End, Passed},
    telemetry::{Direction, connections::Series, log},
    worker::Worker,
};

/// One connection.
pub struct Connection {
    worker: Rc<Worker>,
    direction: Direction,
    started: Instant,
    time: SystemTime,
    /// Who connected to us.
    caller: Option<SocketAddr>,
    /// Where the one who connected wanted to go.
    pub target: Option<SocketAddr>,
    /// The name that the application's own TLS calls.
    pub server_name: Option<String>,
    /// Service port that is called.
    pub destination: Option<Arc<str>>,
    /// Route that says where it goes.
    pub route: Option<Arc<str>>,
    /// Whether the other side is a sidecar.
    pub tls: bool,
    /// SPIFFE id of the other side.
    pub peer: Option<Arc<str>>,
    /// Where the last try went.
    pub address: Option<SocketAddr>,
    /// Tries so far.
    pub tries: u32,
    /// The policy that is the cause of its fault, in words, where one is.
    pub words: Option<Arc<str>>,
    /// Why a policy in audit mode would refuse it, in words.
    pub audit: Option<Arc<str>>,
    fault: Option<Fault>,
    passed: Option<Passed>,
    over: bool,
}

impl Connection {
    /// One that has just come in from `caller`.
    pub fn begin(worker: &Rc<Worker>, direction: Direction, caller: Option<SocketAddr>) -> Self {
        Self {
            worker: Rc::clone(worker),
            direction,
            started: Instant::now(),
            time: SystemTime::now(),
            // A socket for both families shows IPv4 inside of IPv6.
            caller: caller.map(|caller| (caller.ip().to_canonical(), caller.port()).into()),
            target: None,
            server_name: None,
            destination: None,
            route: None,
            tls: false,
            peer: None,
            address: None,
            tries: 0,
            words: None,
            audit: None,
            fault: None,
            passed: None,
            over: false,
        }
    }

    /// Address of who connected to us.
    pub fn caller(&self) -> Option<IpAddr> {
        self.caller.map(|caller| caller.ip())
    }

    /// Asks whether there is memory for it.
    pub fn room(&mut self) -> Result<(), Fault> {
        self.worker.room(self.direction).map_err(|words| {
            self.words = Some(words);
            Fault::Shed
        })
    }

    /// Counts it as open, under what is known of it by now, and its bytes from here on.
    pub fn open(&mut self) -> &Passed {
        let series = self.series();
        series.opened.fetch_add(1, Relaxed);
        self.passed.insert(Passed::new(series))
    }

    /// It has ended so.
    pub fn end(mut self, end: &End) {
        self.fault = match end {
            End::Complete => None,
            End::Idle => Some(Fault::Idle),
            End::Caller(_) => Some(Fault::ClientCancelled),
            End::Callee(_) => Some(Fault::UpstreamReset),
        };
        if let End::Caller(error) | End::Callee(error) = end {
            tracing::debug!(destination = self.destination.as_deref(), %error, "connection broke off");
        }
        self.tell();
    }

    /// It did not come about, or may not be.
    pub fn refuse(mut self, fault: Fault) {
        self.fault = Some(fault);
        self.tell();
    }

    fn series(&self) -> Arc<Series> {
        let destination = self.destination.as_deref().unwrap_or_default();
        self.worker.shared.telemetry.connections.series(self.direction, destination, self.tls)
    }

    fn tell(&mut self) {
        self.over = true;
        self.series().close(self.fault);
        let [forth, back] = self.passed.as_ref().map(Passed::bytes).unwrap_or_default();
        let telemetry = &self.worker.shared.telemetry;
        if !telemetry.log.wants_connection(self.fault, self.audit.is_some()) {
            return;
        }
        let local = self
            .worker
            .shared
            .credentials
            .identity()
            .filter(|_| self.tls)
            .map(|identity| identity.id().to_string());
        telemetry.log.tell(&log::ConnectionEntry {
            time: self.time,
            direction: self.direction.label(),
            transport: "tcp",
            caller: self.caller.map(|address| address.to_string()),
            target: self.target.map(|address| address.to_string()),
            server_name: self.server_name.as_deref(),
            duration_ms: self.started.elapsed(),
            bytes_forth: forth,
            bytes_back: back,
            tls: self.tls,
            peer: self.peer.as_deref(),
            local: local.as_deref(),
            destination: self.destination.as_deref(),
            route: self.route.as_deref(),
            endpoint: self.address.map(|address| address.to_string()),
            tries: (self.tries > 0).then_some(self.tries),
            fault: self.fault,
            reason: self.words.as_deref().or(self.fault.map(Fault::reason)),
            audit: self.audit.as_deref(),
        });
    }
}

impl Drop for Connection {
    /// Nobody waited for the end of one that was open: the grace period is over. One that was not open yet has turned
    /// out to be HTTP, whose requests tell of themselves, or has said nothing.
    fn drop(&mut self) {
        if !self.over && self.passed.is_some() {
            self.fault = Some(Fault::CutOff);
            self.tell();
        }
    }
}

#[cfg(test)]
mod tests;
