//! Bytes that are no HTTP, on their way into the application.

use std::{net::SocketAddr, rc::Rc, sync::Arc};

use super::{Entrance, Io, connect_fault};
use crate::{
    app::App,
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
    connection: Connection,
}

impl Inward {
    /// `io` came in through `entrance` from `identity` and spoke `protocol`.
    pub(super) fn begin(
        worker: &Rc<Worker>,
        io: &Io,
        entrance: Entrance,
        identity: Option<Arc<str>>,
        protocol: Protocol,
    ) -> Self {
        let mut connection = begin(worker, entrance, io.socket().peer_addr().ok());
        connection.tls = identity.is_some();
        connection.peer = identity;
        if let Protocol::Tls(hello) = protocol {
            connection.server_name = hello.server_name;
        }
        Self { worker: Rc::clone(worker), app: worker.apps.at(entrance.app), connection }
    }

    /// Carries it to the application and back until it is over.
    pub(super) async fn carry(mut self, mut io: Io) {
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
        let end = tcp::relay(&self.worker.scratch, &mut io, &mut app, self.connection.open()).await;
        if !matches!(end, End::Complete) {
            tcp::break_off(&io);
            tcp::break_off(&app);
        }
        self.connection.end(&end);
    }

    /// Ends it, and lets nothing of it through.
    pub(super) fn refuse(self, io: &Io, fault: Fault) {
        tcp::break_off(io);
        self.connection.refuse(fault);
    }
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
