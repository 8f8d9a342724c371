//! The proxy's half: what it asks for, what it holds, and what it tells the publisher about it.
//!
//! One subscriber lives as long as its proxy and outlasts every stream. What arrives is taken only if it is not older
//! than what is held, so late, repeated and reordered messages cannot take anything back.

use std::{
    collections::BTreeMap,
    iter,
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::{
    generated::{
        envoy::{
            config::core::v3::Node,
            service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource},
        },
        google::rpc::Status,
    },
    kind::Kind,
    metadata,
    version::Version,
};

/// A stream on which a question stays unanswered for longer than this is to be given up (docs/xds.md, Silence).
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// The secret that holds the proxy's own certificate.
pub const IDENTITY: &str = "identity";
/// `INVALID_ARGUMENT`: the gRPC status code of a refused response.
const REFUSED: i32 = 3;

/// What a proxy subscribes to and what it holds of it.
#[derive(Debug)]
pub struct Subscriber {
    node: Node,
    connected: bool,
    /// The certificate signing request (PEM) that no certificate has answered yet.
    csr: Option<String>,
    /// By kind, in the order of `Kind::ALL`.
    subscriptions: [BTreeMap<String, Subscription>; Kind::ALL.len()],
}

/// A name that is subscribed to.
#[derive(Debug, Default)]
struct Subscription {
    /// What the last accepted answer was; `None` if there was none.
    held: Option<Version>,
    /// Since when an answer is awaited on the present stream.
    asked: Option<Instant>,
}

/// What a response changed.
#[derive(Debug, PartialEq)]
pub struct Incoming<T> {
    /// The kind of all of it.
    pub kind: Kind,
    /// What was accepted, by the name that was subscribed to.
    pub changed: Vec<Changed<T>>,
    /// Subscribed names that have no resource. For `identity` it means that the last CSR got no certificate; one that
    /// is held stays, for a certificate ends by expiring.
    pub removed: Vec<String>,
    /// The acknowledgement, positive or negative. Send it at once.
    pub reply: DeltaDiscoveryRequest,
}

/// A resource that was accepted.
#[derive(Debug, PartialEq)]
pub struct Changed<T> {
    /// The name that was subscribed to; the resource's own name or one of its aliases.
    pub name: String,
    /// The version that is held from now on.
    pub version: Version,
    /// What `accept` made of it.
    pub resource: T,
}

/// What a publisher must not send. End the stream.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// A response of a type that was never subscribed to.
    #[error("response of type `{0:.200}`, which was not subscribed to")]
    UnknownType(String),
}

impl Subscriber {
    /// A subscriber without any subscription. `node` says who it is, for logs.
    pub fn new(node: Node) -> Self {
        Self { node, connected: false, csr: None, subscriptions: Default::default() }
    }

    /// A new stream stands. Returns what to send first: every subscription with the versions that are held.
    pub fn connected(&mut self, now: Instant) -> Vec<DeltaDiscoveryRequest> {
        self.connected = true;
        let mut requests = Vec::new();
        for kind in Kind::ALL {
            let mut request = request(kind);
            for (name, subscription) in &mut self.subscriptions[kind as usize] {
                let csr = is_identity(kind, name) && self.csr.is_some();
                subscription.asked = (csr || !subscription.is_present()).then_some(now);
                request.resource_names_subscribe.push(name.clone());
                if let Some(version) = &subscription.held {
                    request.initial_resource_versions.insert(name.clone(), version.to_string());
                }
            }
            if !request.resource_names_subscribe.is_empty() {
                requests.push(request);
            }
        }
        // A pending CSR is in the first request because secrets are first, and `identity` is subscribed to.
        if let Some(first) = requests.first_mut() {
            first.node = Some(self.node_with_csr());
        }
        requests
    }

    /// The stream is gone. What is held stays.
    pub fn disconnected(&mut self) {
        self.connected = false;
        for subscription in self.subscriptions.iter_mut().flat_map(BTreeMap::values_mut) {
            subscription.asked = None;
        }
    }

    /// Subscribes to a name. Returns what to send, if there is a stream and the name was not subscribed to before.
    pub fn subscribe(&mut self, kind: Kind, name: &str, now: Instant) -> Option<DeltaDiscoveryRequest> {
        let subscriptions = &mut self.subscriptions[kind as usize];
        if subscriptions.contains_key(name) {
            return None;
        }
        let asked = self.connected.then_some(now);
        subscriptions.insert(name.to_owned(), Subscription { held: None, asked });
        let request =
            DeltaDiscoveryRequest { resource_names_subscribe: vec![name.to_owned()], ..request(kind) };
        self.connected.then_some(request)
    }

    /// Gives a name up and forgets what was held. Returns what to send, if there is a stream.
    pub fn unsubscribe(&mut self, kind: Kind, name: &str) -> Option<DeltaDiscoveryRequest> {
        self.subscriptions[kind as usize].remove(name)?;
        if is_identity(kind, name) {
            self.csr = None;
        }
        let request =
            DeltaDiscoveryRequest { resource_names_unsubscribe: vec![name.to_owned()], ..request(kind) };
        self.connected.then_some(request)
    }

    /// Asks for a certificate for the key of `csr_pem`, for the first time or to renew. Returns what to send, if there
    /// is a stream; else, and after every reconnect, it is asked for until a certificate is accepted.
    pub fn request_identity(&mut self, csr_pem: &str, now: Instant) -> Option<DeltaDiscoveryRequest> {
        self.csr = Some(csr_pem.to_owned());
        let subscription = self.subscriptions[Kind::Secret as usize].entry(IDENTITY.to_owned()).or_default();
        subscription.asked = self.connected.then_some(now);
        let node = Some(self.node_with_csr());
        let names = vec![IDENTITY.to_owned()];
        let request =
            DeltaDiscoveryRequest { node, resource_names_subscribe: names, ..request(Kind::Secret) };
        self.connected.then_some(request)
    }

    /// Takes a response in. `accept` is asked once for each subscribed name whose resource is new: it returns what it
    /// makes of the encoded message, or why it refuses it; then the last good one stays.
    pub fn handle<T>(
        &mut self,
        response: DeltaDiscoveryResponse,
        mut accept: impl FnMut(Kind, &str, &Bytes) -> Result<T, String>,
    ) -> Result<Incoming<T>, ProtocolError> {
        let Some(kind) = Kind::from_type_url(&response.type_url) else {
            return Err(ProtocolError::UnknownType(response.type_url));
        };
        let mut changed = Vec::new();
        let mut refused = Vec::new();
        for resource in &response.resources {
            let version = Version::parse(&resource.version);
            for name in iter::once(&resource.name).chain(&resource.aliases) {
                let Some(subscription) = self.subscriptions[kind as usize].get_mut(name) else { continue };
                if !subscription.wants(&version) {
                    continue;
                }
                let identity = is_identity(kind, name);
                match body(kind, resource).and_then(|body| accept(kind, name, body)) {
                    Ok(resource) => {
                        *subscription = Subscription { held: Some(version.clone()), asked: None };
                        if identity {
                            self.csr = None;
                        }
                        changed.push(Changed { name: name.clone(), version: version.clone(), resource });
                    }
                    Err(reason) => {
                        // A certificate for another key than the pending one answers nothing.
                        if !(identity && self.csr.is_some()) {
                            subscription.asked = None;
                        }
                        refused.push(format!("{}: {}", resource.name, reason.replace(['\r', '\n'], " ")));
                    }
                }
            }
        }
        let removed = self.remove(kind, response.removed_resources, &response.system_version_info);
        refused.dedup();
        let error_detail = (!refused.is_empty()).then(|| Status {
            code: REFUSED,
            message: refused.join("\n"),
            details: Vec::new(),
        });
        let reply = DeltaDiscoveryRequest { response_nonce: response.nonce, error_detail, ..request(kind) };
        Ok(Incoming { kind, changed, removed, reply })
    }

    /// When to ask `timed_out`; `None` if no answer is awaited.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let subscriptions = self.subscriptions.iter().flat_map(BTreeMap::values);
        subscriptions.filter_map(|subscription| subscription.asked).min().map(|asked| asked + ANSWER_TIMEOUT)
    }

    /// Whether an answer is overdue: drop the stream and connect anew.
    pub fn timed_out(&self, now: Instant) -> bool {
        self.poll_timeout().is_some_and(|timeout| timeout <= now)
    }

    /// What is held under a subscribed name: the version of a resource or of its absence; `None` while neither is known.
    pub fn held(&self, kind: Kind, name: &str) -> Option<&Version> {
        self.subscriptions[kind as usize].get(name)?.held.as_ref()
    }

    /// The names of a kind that are subscribed to.
    pub fn subscribed(&self, kind: Kind) -> impl Iterator<Item = &str> {
        self.subscriptions[kind as usize].keys().map(String::as_str)
    }

    /// Takes removals in. Those that are older than what is held are late and mean nothing.
    fn remove(&mut self, kind: Kind, names: Vec<String>, system_version: &str) -> Vec<String> {
        // Another server's removal has no order: it counts, and nothing that follows is older than it.
        let tombstone = Some(Version::parse(system_version)).filter(Version::is_absent);
        let mut removed = Vec::new();
        for name in names {
            let Some(subscription) = self.subscriptions[kind as usize].get_mut(&name) else { continue };
            let late =
                |held: &Version| tombstone.as_ref().is_some_and(|tombstone| tombstone.is_older_than(held));
            if subscription.held.as_ref().is_some_and(late) {
                continue;
            }
            let known =
                subscription.held.as_ref().is_some_and(Version::is_absent) && subscription.asked.is_none();
            subscription.asked = None;
            if !(is_identity(kind, &name) && subscription.is_present()) {
                subscription.held = Some(tombstone.clone().unwrap_or(Version::absent(0)));
            }
            if !known {
                removed.push(name);
            }
        }
        removed
    }

    fn node_with_csr(&self) -> Node {
        let mut node = self.node.clone();
        if let Some(pem) = &self.csr {
            metadata::set_csr(&mut node, pem);
        }
        node
    }
}

impl Subscription {
    fn is_present(&self) -> bool {
        self.held.as_ref().is_some_and(|held| !held.is_absent())
    }

    /// Whether a resource of this version is news: not older than what is held, and not the same unless it was asked
    /// for again.
    fn wants(&self, version: &Version) -> bool {
        match &self.held {
            Some(held) if version.is_older_than(held) => false,
            Some(held) if version == held => self.asked.is_some(),
            _ => true,
        }
    }
}

/// Whether this is the proxy's own certificate.
fn is_identity(kind: Kind, name: &str) -> bool {
    kind == Kind::Secret && name == IDENTITY
}

/// An empty request of a kind.
fn request(kind: Kind) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest { type_url: kind.type_url().to_owned(), ..Default::default() }
}

/// The encoded message in a resource, if it is of the type that its response claims.
fn body(kind: Kind, resource: &Resource) -> Result<&Bytes, String> {
    match &resource.resource {
        Some(any) if any.type_url == kind.type_url() => Ok(&any.value),
        Some(any) => Err(format!("holds `{:.200}` in a response of `{}`", any.type_url, kind.type_url())),
        None => Err("holds no message".to_owned()),
    }
}

#[cfg(test)]
mod tests;
