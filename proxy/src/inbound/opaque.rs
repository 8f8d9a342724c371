//! Bytes that are no HTTP, on their way into the application.

use std::{net::SocketAddr, rc::Rc};

use super::{Entrance, Io, connect_fault, gate};
use crate::{
    app::App,
    authorize::Entrant,
    connection::Connection,
    detect::Protocol,
    fault::Fault,
    http::serve::Version,
    tcp::{self, End, Socket},
    telemetry::Direction,
    upstream::dial_opaque,
    worker::Worker,
};

/// An opaque connection that came in.
pub(super) struct Inward {
    worker: Rc<Worker>,
    app: Rc<App>,
    entrant: Entrant,
    connection: Connection,
    /// Whether there is not one byte to refuse.
    silent: bool,
}

impl Inward {
    /// `caller` came in through `entrance` as `entrant` and spoke `protocol`.
    pub(super) fn begin(
        worker: &Rc<Worker>,
        caller: Option<SocketAddr>,
        entrance: Entrance,
        entrant: Entrant,
        protocol: Protocol,
    ) -> Self {
        let mut connection = begin(worker, entrance, caller);
        connection.tls = entrant.identity.is_some();
        connection.peer.clone_from(&entrant.identity);
        let silent = protocol == Protocol::Silence;
        if let Protocol::Tls(hello) = protocol {
            connection.server_name = hello.server_name;
        }
        Self { worker: Rc::clone(worker), app: worker.apps.at(entrance.app), entrant, connection, silent }
    }

    /// Carries it to the application and back until it is over.
    pub(super) async fn carry(mut self, mut io: Io) {
        if let Err(fault) = self.ask() {
            return self.refuse(&io, fault);
        }
        let peer = self.app.over(Version::Http1);
        self.connection.address = Some(peer.address);
        let Ok(_permit) = self.worker.shared.app_limits.connections.try_acquire() else {
            return self.refuse(&io, Fault::Overflow);
        };
        let mut app = match dial_opaque(peer).await {
            Ok(app) => app,
            Err(error) => {
                tracing::debug!(address = %peer.address, %error, "the application takes no connection");
                return self.refuse(&io, connect_fault(&error));
            }
        };
        let end = tokio::select! {
            end = tcp::relay(&self.worker.scratch, &mut io, &mut app, self.connection.open()) => end,
            refusal = gate::revoked(&self.worker, &self.entrant) => {
                let fault = gate::deny(&self.worker, &refusal, &mut self.connection);
                tcp::break_off(&app);
                return self.refuse(&io, fault);
            }
        };
        if !matches!(end, End::Complete) {
            tcp::break_off(&io);
            tcp::break_off(&app);
        }
        self.connection.end(&end);
    }

    /// Whether it may enter, by the rules of this moment: they may have changed since its first bytes.
    fn ask(&mut self) -> Result<(), Fault> {
        self.connection.room()?;
        let snapshot = self.worker.shared.snapshots.load();
        let port = snapshot.inbound.get(self.entrant.port).ok_or(Fault::NotConfigured)?;
        if self.silent && port.authorization_of_bytes().is_some() {
            return Err(Fault::Denied);
        }
        gate::connection(&self.worker, &self.entrant, port, &mut self.connection)
    }

    /// Ends it, and lets nothing of it through. Whoever only asked whether somebody listens, as the kubelet does each few
    /// seconds, has been answered by then, and nothing was refused. For want of memory those are refused, too, who wait for
    /// the server to speak first.
    pub(super) fn refuse(self, io: &Io, fault: Fault) {
        tcp::break_off(io);
        if !self.silent || fault == Fault::Shed {
            self.connection.refuse(fault);
        }
    }
}

/// Ends a connection of `stream` that there is no memory for, before its handshake.
pub(super) fn no_room(worker: &Rc<Worker>, entrance: Entrance, stream: &impl Socket) {
    let mut connection = begin(worker, entrance, stream.socket().peer_addr().ok());
    connection.words.clone_from(&worker.shared.overload.state().words);
    tcp::break_off(stream);
    connection.refuse(Fault::Shed);
}

/// Tells of a `caller` with whom no mTLS came about: whatever was to be inside is not known.
pub(super) fn no_handshake(worker: &Rc<Worker>, entrance: Entrance, caller: Option<SocketAddr>) {
    begin(worker, entrance, caller).refuse(Fault::TlsFailed);
}

fn begin(worker: &Rc<Worker>, entrance: Entrance, caller: Option<SocketAddr>) -> Connection {
    let mut connection = Connection::begin(worker, Direction::Inbound, caller);
    connection.destination = Some(entrance.port.to_string().into());
    connection.target = Some(entrance.app);
    connection
}
