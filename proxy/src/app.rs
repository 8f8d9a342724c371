//! The local application: where it is reached, over connections that all share who call it there.

use std::{cell::RefCell, collections::HashMap, net::SocketAddr, rc::Rc, sync::Arc};

use weft_api::circuit_breaker;

use crate::{breaker::Limits, http::serve::Version, upstream::Peer};

/// Bounds on what is under way to the local application: there to keep the proxy alive, not to shape traffic.
const LIMITS: circuit_breaker::Limits =
    circuit_breaker::Limits { max_connections: 10_000, max_pending: 10_000, max_requests: 100_000 };
/// Addresses of the application that a worker remembers while nobody calls there. Others choose which ports they call.
const REMEMBERED_MAX: usize = 64;

/// The application at one address.
#[derive(Debug)]
pub struct App {
    http1: Arc<Peer>,
    http2: Arc<Peer>,
}

impl App {
    fn new(address: SocketAddr) -> Self {
        let peer = |version| Arc::new(Peer::new(address, version, None));
        Self { http1: peer(Version::Http1), http2: peer(Version::Http2) }
    }

    /// The application over this version of HTTP.
    pub fn over(&self, version: Version) -> &Arc<Peer> {
        match version {
            Version::Http1 => &self.http1,
            Version::Http2 => &self.http2,
        }
    }
}

/// The application as one worker knows it.
#[derive(Debug, Default)]
pub struct Apps(RefCell<HashMap<SocketAddr, Rc<App>>>);

impl Apps {
    /// The application at `address`.
    pub fn at(&self, address: SocketAddr) -> Rc<App> {
        let mut known = self.0.borrow_mut();
        if let Some(app) = known.get(&address) {
            return Rc::clone(app);
        }
        if known.len() >= REMEMBERED_MAX {
            known.retain(|_, app| Rc::strong_count(app) > 1);
        }
        let app = Rc::new(App::new(address));
        known.insert(address, Rc::clone(&app));
        app
    }
}

/// The bounds, for all workers together.
pub fn limits() -> Limits {
    Limits::new(&LIMITS)
}

#[cfg(test)]
mod tests;
