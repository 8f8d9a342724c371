//! Requests that leave HTTP: WebSockets and their like (RFC 9110, 7.8), and tunnels (9.3.6). Until the application has said
//! yes, they are requests like all others; then their connections are opaque.

use std::{rc::Rc, sync::Arc};

use http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header, request::Parts, response};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;

use crate::{
    connection::Connection,
    exchange::{Exchange, Held},
    http::headers,
    tcp,
    worker::Worker,
};

/// Never asked for: HTTP/2 inside of this would hide requests from the mesh (RFC 9113, 3.1: it has no use any more).
const REFUSED: &str = "h2c";

/// What a request wants to become.
pub struct Upgrade {
    kind: Kind,
    caller: OnUpgrade,
}

enum Kind {
    /// One of these protocols.
    Protocols(HeaderValue),
    /// Bytes to whom `CONNECT` names.
    Tunnel,
}

impl Upgrade {
    /// Whether `request` wants to leave HTTP, and may.
    pub fn wanted(request: &mut Parts) -> Option<Self> {
        let caller = request.extensions.remove::<OnUpgrade>()?;
        if request.method == Method::CONNECT {
            return (request.version != Version::HTTP_10).then_some(Self { kind: Kind::Tunnel, caller });
        }
        if request.version != Version::HTTP_11 || !lists(&request.headers, header::CONNECTION, "upgrade") {
            return None;
        }
        let mut protocols = request.headers.get_all(header::UPGRADE).iter();
        // Several lines are one list; who writes such may as well go on with HTTP.
        let (Some(only), None) = (protocols.next(), protocols.next()) else { return None };
        let kind = Kind::Protocols(only.clone());
        (!lists(&request.headers, header::UPGRADE, REFUSED)).then_some(Self { kind, caller })
    }

    /// Asks the next hop for the same.
    pub fn ask(&self, headers: &mut HeaderMap) {
        match &self.kind {
            Kind::Protocols(protocols) => say(headers, protocols.clone()),
            // Its method says so.
            Kind::Tunnel => {}
        }
    }

    /// Whether a response with this status says yes.
    pub fn is_granted_by(&self, status: StatusCode) -> bool {
        match self.kind {
            Kind::Protocols(_) => status == StatusCode::SWITCHING_PROTOCOLS,
            Kind::Tunnel => status.is_success(),
        }
    }

    /// The next hop has said yes by `response`, for the request of `exchange`: from here on bytes are carried, and what
    /// the request `held` stays held.
    pub fn switch(
        self,
        worker: &Rc<Worker>,
        exchange: &Exchange,
        destination: Option<Arc<str>>,
        response: &mut response::Parts,
        held: Held,
    ) {
        let Some(callee) = response.extensions.remove::<OnUpgrade>() else { return };
        // These two belong to each connection by itself; the rest of what does is stripped.
        let chosen = response.headers.remove(header::UPGRADE);
        let _ = headers::strip_hop_by_hop(&mut response.headers);
        match self.kind {
            Kind::Protocols(asked) => say(&mut response.headers, chosen.unwrap_or(asked)),
            // No content comes before the bytes.
            Kind::Tunnel => drop(response.headers.remove(header::CONTENT_LENGTH)),
        }
        let mut connection = Connection::begin(worker, exchange.direction(), None);
        connection.destination = destination;
        connection.tls = exchange.tls;
        connection.peer.clone_from(&exchange.peer);
        connection.address = exchange.address;
        let carrying = Rc::clone(worker);
        worker.tunnels.spawn_local("tunnel", async move {
            let (Ok(caller), Ok(callee)) = tokio::join!(self.caller, callee) else { return };
            carry(&carrying, caller, callee, connection).await;
            drop(held);
        });
    }
}

async fn carry(worker: &Worker, caller: Upgraded, callee: Upgraded, mut connection: Connection) {
    let (mut caller, mut callee) = (TokioIo::new(caller), TokioIo::new(callee));
    let end = tcp::relay(&worker.scratch, &mut caller, &mut callee, connection.open()).await;
    connection.end(&end);
}

/// Says in a message that its connection becomes one of `protocols`.
fn say(headers: &mut HeaderMap, protocols: HeaderValue) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, protocols);
}

/// Whether the list in the fields `name` has this word.
fn lists(headers: &HeaderMap, name: header::HeaderName, word: &str) -> bool {
    let lists = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).any(|listed| listed.trim().eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests;
