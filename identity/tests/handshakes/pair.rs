//! Two ends of a TLS connection, and the bytes between them.

use std::sync::Arc;

use rustls::{
    ClientConfig, ClientConnection, ConnectionCommon, Error, ServerConfig, ServerConnection, SideData,
};

/// What came of a handshake: at each end a connection, or why there is none.
pub(crate) struct Outcome {
    pub(crate) client: Result<ClientConnection, Error>,
    pub(crate) server: Result<ServerConnection, Error>,
}

impl Outcome {
    /// Both ends are content.
    pub(crate) fn is_connected(&self) -> bool {
        self.client.is_ok() && self.server.is_ok()
    }
}

/// Shakes hands, and goes on until neither end has anything to say.
pub(crate) fn handshake(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>) -> Outcome {
    let mut pair = Pair::begin(client, server);
    pair.client_speaks();
    pair.finish()
}

/// A handshake that can be stopped on its way.
pub(crate) struct Pair {
    client: ClientConnection,
    server: ServerConnection,
    client_error: Option<Error>,
    server_error: Option<Error>,
}

impl Pair {
    pub(crate) fn begin(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>) -> Self {
        let unread = "a.name.that.nobody.compares".try_into().unwrap();
        Self {
            client: ClientConnection::new(Arc::clone(client), unread).unwrap(),
            server: ServerConnection::new(Arc::clone(server)).unwrap(),
            client_error: None,
            server_error: None,
        }
    }

    /// What the client has to say reaches the server.
    pub(crate) fn client_speaks(&mut self) -> bool {
        deliver(&mut self.client, &mut self.server, &mut self.server_error)
    }

    /// What the server has to say reaches the client.
    pub(crate) fn server_speaks(&mut self) -> bool {
        deliver(&mut self.server, &mut self.client, &mut self.client_error)
    }

    /// The rest.
    pub(crate) fn finish(mut self) -> Outcome {
        while self.server_speaks() | self.client_speaks() {}
        let done = |error: Option<Error>, handshaking| match error {
            Some(error) => Err(error),
            None if handshaking => Err(Error::HandshakeNotComplete),
            None => Ok(()),
        };
        Outcome {
            client: done(self.client_error, self.client.is_handshaking()).map(|()| self.client),
            server: done(self.server_error, self.server.is_handshaking()).map(|()| self.server),
        }
    }
}

/// Whether there was anything to deliver.
fn deliver<F: SideData, T: SideData>(
    from: &mut ConnectionCommon<F>,
    to: &mut ConnectionCommon<T>,
    error: &mut Option<Error>,
) -> bool {
    let mut bytes = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut bytes).unwrap();
    }
    let mut rest = bytes.as_slice();
    while !rest.is_empty() && error.is_none() {
        to.read_tls(&mut rest).unwrap();
        *error = to.process_new_packets().err();
    }
    !bytes.is_empty()
}
