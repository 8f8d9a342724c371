//! The control plane's half: what one subscriber wants, what it was told, and what it has to be told next.
//!
//! One publisher lives as long as its stream. At most one response of a kind is in flight; the next is made from the
//! newest state when the answer comes, so a slow subscriber skips what it missed. What is told about a name always
//! ascends, whatever the clock behind the catalog does.

use std::{
    collections::{BTreeMap, BTreeSet},
    iter,
    sync::Arc,
    time::Instant,
};

use bytes::Bytes;

use crate::{
    generated::{
        envoy::service::discovery::v3::{self as discovery, DeltaDiscoveryRequest, DeltaDiscoveryResponse},
        google::{protobuf::Any, rpc::Status},
    },
    kind::Kind,
    metadata,
    subscriber::{ANSWER_TIMEOUT, IDENTITY},
    version::Version,
};

/// Most names of one kind that one stream may subscribe to: a proxy whose application talks to all of a large mesh.
pub const NAMES_MAX: usize = 16_384;
/// Longest name, in bytes: a DNS name of 253 and room for what surrounds it.
pub const NAME_BYTES_MAX: usize = 512;
/// Longest version that is kept, in bytes. Whoever holds a longer one is answered as if it held nothing.
const VERSION_BYTES_MAX: usize = 256;
/// A response is cut after this many bytes of resources; what is left follows its acknowledgement. Receivers take
/// messages up to 4 MiB, so one resource may be almost 3 MiB.
pub const RESPONSE_BYTES_MAX: usize = 1024 * 1024;
/// Most refused resources that are kept of one response.
const REFUSALS_MAX: usize = 64;
/// Longest reason that is kept of one refusal, in characters.
const REASON_CHARS_MAX: usize = 1_024;

/// Everything there is to publish, as one subscriber may see it.
pub trait Catalog {
    /// The resource that bears this name or this alias. A name belongs to one resource at a time.
    fn get(&self, kind: Kind, name: &str) -> Option<Arc<Resource>>;

    /// When anything last changed, made to ascend. No resource is of a later generation.
    fn generation(&self) -> u64;
}

/// A resource as it is published. It is encoded once, and all subscribers share the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Its own name.
    pub name: String,
    /// Other names under which it may be subscribed to.
    pub aliases: Vec<String>,
    /// Version of `body`.
    pub version: Version,
    /// The encoded message of the kind.
    pub body: Bytes,
}

/// One subscriber's stream.
#[derive(Debug, Default)]
pub struct Publisher {
    /// By kind, in the order of `Kind::ALL`.
    sessions: [Session; Kind::ALL.len()],
    /// The last nonce.
    nonce: u64,
}

/// What one request led to.
#[derive(Debug, Default, PartialEq)]
pub struct Handled {
    /// What to send, in the order of application.
    pub responses: Vec<DeltaDiscoveryResponse>,
    /// What the subscriber refused, if this was a refusal.
    pub refusal: Option<Refusal>,
}

/// A negative acknowledgement. The subscriber goes on with the last good resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The kind of what was refused.
    pub kind: Kind,
    /// The refused resources with the reasons, where the subscriber named them as docs/xds.md says.
    pub resources: Vec<(String, String)>,
    /// What the subscriber said, in full unless it is very long.
    pub message: String,
}

/// How far one kind has come with this subscriber.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncState {
    /// The catalog's generation that was sent last.
    pub sent: Option<u64>,
    /// The catalog's generation that was acknowledged last, be it with a refusal.
    pub acked: Option<u64>,
    /// Since when an acknowledgement is awaited.
    pub awaiting: Option<Instant>,
    /// The last refusal on this stream, until a later response is taken whole.
    pub refusal: Option<Refusal>,
}

/// What a subscriber must not send. End the stream with `INVALID_ARGUMENT`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// A type that is not served.
    #[error("type `{0:.200}` is not served")]
    UnknownType(String),
    /// More subscriptions than a stream may hold.
    #[error("more than {NAMES_MAX} names of {0:?} on one stream: unsubscribe from what is not needed")]
    TooManyNames(Kind),
    /// A name that is longer than any resource's.
    #[error("name `{0:.100}…` is longer than {NAME_BYTES_MAX} bytes")]
    NameTooLong(String),
}

/// One kind on one stream.
#[derive(Debug, Default)]
struct Session {
    subscriptions: BTreeMap<String, Subscription>,
    /// Names to look at when the next response is made.
    due: BTreeSet<String>,
    in_flight: Option<InFlight>,
    sync: SyncState,
}

/// A name that is subscribed to.
#[derive(Debug, Default)]
struct Subscription {
    /// What the subscriber was told last, or says it holds.
    told: Option<Version>,
    /// An answer is owed even if there is nothing new to say.
    owed: bool,
    /// What was told last was refused.
    refused: bool,
}

/// A response that is not acknowledged yet.
#[derive(Debug)]
struct InFlight {
    nonce: String,
    /// Everything that it tells of, under all names and aliases.
    told: BTreeMap<String, Version>,
}

impl Publisher {
    /// A publisher for a new stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a request in: a change of subscriptions, an acknowledgement, or both.
    ///
    /// `catalog` must already hold what the request itself asks to be made, such as a certificate for the CSR in it.
    pub fn handle(
        &mut self,
        request: DeltaDiscoveryRequest,
        now: Instant,
        catalog: &impl Catalog,
    ) -> Result<Handled, ProtocolError> {
        let Some(kind) = Kind::from_type_url(&request.type_url) else {
            return Err(ProtocolError::UnknownType(request.type_url));
        };
        let session = &mut self.sessions[kind as usize];
        let refusal = session.acknowledge(kind, &request.response_nonce, request.error_detail);
        for name in &request.resource_names_unsubscribe {
            session.subscriptions.remove(name);
            session.due.remove(name);
        }
        let csr = kind == Kind::Secret && request.node.as_ref().and_then(metadata::csr).is_some();
        for name in request.resource_names_subscribe {
            let held = request.initial_resource_versions.get(&name);
            let held = held.filter(|text| text.len() <= VERSION_BYTES_MAX).map(|text| Version::parse(text));
            let owed = csr && name == IDENTITY;
            session.subscribe(kind, name, held, owed)?;
        }
        Ok(Handled { responses: self.flush(now, catalog), refusal })
    }

    /// Resources changed, came or went. `names` are all the names under which they are or were known, aliases
    /// included; those that are not subscribed to are passed over. Returns what to send, in the order of application.
    pub fn changed<'a>(
        &mut self,
        names: impl IntoIterator<Item = (Kind, &'a str)>,
        now: Instant,
        catalog: &impl Catalog,
    ) -> Vec<DeltaDiscoveryResponse> {
        for (kind, name) in names {
            let session = &mut self.sessions[kind as usize];
            if session.subscriptions.contains_key(name) {
                session.due.insert(name.to_owned());
            }
        }
        self.flush(now, catalog)
    }

    /// Looks at every subscription anew, for when it is not known what changed.
    pub fn look_again(&mut self, now: Instant, catalog: &impl Catalog) -> Vec<DeltaDiscoveryResponse> {
        for session in &mut self.sessions {
            session.due.extend(session.subscriptions.keys().cloned());
        }
        self.flush(now, catalog)
    }

    /// When to ask `timed_out`; `None` if no acknowledgement is awaited.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let awaiting = self.sessions.iter().filter_map(|session| session.sync.awaiting).min();
        awaiting.map(|since| since + ANSWER_TIMEOUT)
    }

    /// Whether an acknowledgement is overdue: end the stream.
    pub fn timed_out(&self, now: Instant) -> bool {
        self.poll_timeout().is_some_and(|timeout| timeout <= now)
    }

    /// How far a kind has come with this subscriber.
    pub fn sync(&self, kind: Kind) -> &SyncState {
        &self.sessions[kind as usize].sync
    }

    /// The names of a kind that are subscribed to.
    pub fn subscribed(&self, kind: Kind) -> impl Iterator<Item = &str> {
        self.sessions[kind as usize].subscriptions.keys().map(String::as_str)
    }

    /// Makes the responses that are due and may be sent.
    fn flush(&mut self, now: Instant, catalog: &impl Catalog) -> Vec<DeltaDiscoveryResponse> {
        let mut responses = Vec::new();
        for kind in Kind::ALL {
            let session = &mut self.sessions[kind as usize];
            if session.in_flight.is_some() || session.due.is_empty() {
                continue;
            }
            self.nonce += 1;
            let Some(response) = session.respond(kind, self.nonce.to_string(), now, catalog) else {
                continue;
            };
            if kind == Kind::Cluster {
                // A client that replaces a cluster waits until it hears of its endpoints again, even unchanged ones.
                self.sessions[Kind::Endpoints as usize].owe(&response.resources);
            }
            responses.push(response);
        }
        responses
    }
}

impl Session {
    /// Takes an acknowledgement in. One of another response than that in flight is late and means nothing.
    fn acknowledge(&mut self, kind: Kind, nonce: &str, error: Option<Status>) -> Option<Refusal> {
        let in_flight = self.in_flight.take_if(|in_flight| in_flight.nonce == nonce)?;
        self.sync.awaiting = None;
        self.sync.acked = self.sync.sent;
        self.sync.refusal = error.map(|status| refusal(kind, &status.message, &in_flight.told));
        for (name, _) in self.sync.refusal.iter().flat_map(|refusal| &refusal.resources) {
            if let Some(subscription) = self.subscriptions.get_mut(name) {
                subscription.refused = true;
            }
        }
        self.sync.refusal.clone()
    }

    /// Adds a subscription, or repeats one. `held` is what the subscriber says it has; `owed` is whether it is to be
    /// answered whatever it has.
    fn subscribe(
        &mut self,
        kind: Kind,
        name: String,
        held: Option<Version>,
        owed: bool,
    ) -> Result<(), ProtocolError> {
        if name.len() > NAME_BYTES_MAX {
            return Err(ProtocolError::NameTooLong(name));
        }
        if self.subscriptions.len() >= NAMES_MAX && !self.subscriptions.contains_key(&name) {
            return Err(ProtocolError::TooManyNames(kind));
        }
        let repeated = self.subscriptions.contains_key(&name);
        let subscription = self.subscriptions.entry(name.clone()).or_default();
        // Every subscription is answered, except that of one who says at the start what it has: then news is enough.
        subscription.owed |= owed || repeated || held.as_ref().is_none_or(Version::is_absent);
        if !repeated {
            // A response in flight may still arrive after the wish, and tell of the name by an alias or from before.
            let old_news = self.in_flight.as_ref().and_then(|in_flight| in_flight.told.get(&name)).cloned();
            subscription.owed |= old_news.is_some();
            subscription.told = old_news.or(held);
        }
        self.due.insert(name);
        Ok(())
    }

    /// Owes an answer to whoever subscribed to resources of these names, unless it has refused what there is.
    fn owe(&mut self, resources: &[discovery::Resource]) {
        for resource in resources {
            if let Some(subscription) = self.subscriptions.get_mut(&resource.name)
                && !subscription.refused
            {
                subscription.owed = true;
                self.due.insert(resource.name.clone());
            }
        }
    }

    /// Says what is new about the names that are due; `None` if nothing is.
    fn respond(
        &mut self,
        kind: Kind,
        nonce: String,
        now: Instant,
        catalog: &impl Catalog,
    ) -> Option<DeltaDiscoveryResponse> {
        let type_url = kind.type_url().to_owned();
        let mut response = DeltaDiscoveryResponse { type_url, nonce, ..Default::default() };
        let mut news = BTreeMap::new();
        let mut removed_at = catalog.generation();
        let mut room = RESPONSE_BYTES_MAX;
        while room > 0
            && let Some(name) = self.due.pop_first()
        {
            let Some(subscription) = self.subscriptions.get(&name) else { continue };
            if let Some(resource) = catalog.get(kind, &name) {
                if subscription.wants(&resource.version) {
                    room = room.saturating_sub(resource.body.len() + name.len());
                    response.resources.push(self.tell(kind, &name, &resource, &mut news));
                }
            } else if subscription.wants(&Version::absent(0)) {
                // A certificate is made for whoever asks and not kept. It ends by expiring, not by being gone here.
                if kind == Kind::Secret && name == IDENTITY && !subscription.owed {
                    continue;
                }
                let told = subscription.told.as_ref();
                let at = told.map_or(Version::absent(0), |told| Version::absent(0).following(told));
                removed_at = removed_at.max(at.generation().unwrap_or(0));
                room = room.saturating_sub(name.len());
                response.removed_resources.push(name);
            }
        }
        // One version stands for all removals of a response, so it follows everything that was told about any of them.
        let tombstone = Version::absent(removed_at);
        for name in &response.removed_resources {
            if let Some(subscription) = self.subscriptions.get_mut(name) {
                subscription.tell(tombstone.clone());
            }
            news.insert(name.clone(), tombstone.clone());
        }
        if news.is_empty() {
            return None;
        }
        response.system_version_info = tombstone.to_string();
        self.in_flight = Some(InFlight { nonce: response.nonce.clone(), told: news });
        self.sync.sent = Some(catalog.generation());
        self.sync.awaiting = Some(now);
        Some(response)
    }

    /// The message for a resource that was looked up as `name`. All its names and aliases are told by it.
    fn tell(
        &mut self,
        kind: Kind,
        name: &str,
        resource: &Resource,
        news: &mut BTreeMap<String, Version>,
    ) -> discovery::Resource {
        let names: BTreeSet<&str> = iter::once(name)
            .chain(iter::once(resource.name.as_str()))
            .chain(resource.aliases.iter().map(String::as_str))
            .collect();
        let told = names.iter().filter_map(|name| self.subscriptions.get(*name)?.told.as_ref());
        let version = told.fold(resource.version.clone(), Version::following);
        for name in names {
            self.due.remove(name);
            if let Some(subscription) = self.subscriptions.get_mut(name) {
                subscription.tell(version.clone());
            }
            news.insert(name.to_owned(), version.clone());
        }
        discovery::Resource {
            name: resource.name.clone(),
            aliases: resource.aliases.clone(),
            version: version.to_string(),
            resource: Some(Any { type_url: kind.type_url().to_owned(), value: resource.body.clone() }),
        }
    }
}

impl Subscription {
    /// Whether the subscriber has to be told of this version.
    fn wants(&self, version: &Version) -> bool {
        self.owed || !self.told.as_ref().is_some_and(|told| told.same_content(version))
    }

    fn tell(&mut self, version: Version) {
        *self = Self { told: Some(version), owed: false, refused: false };
    }
}

/// Reads a refusal: lines of `<name>: <reason>`, where the name is that of a resource which was sent.
fn refusal(kind: Kind, message: &str, sent: &BTreeMap<String, Version>) -> Refusal {
    let shorten = |text: &str| text.chars().take(REASON_CHARS_MAX).collect::<String>();
    let resources = message
        .lines()
        .filter_map(|line| line.split_once(": "))
        .filter(|(name, _)| sent.contains_key(*name))
        .take(REFUSALS_MAX)
        .map(|(name, reason)| (name.to_owned(), shorten(reason)))
        .collect();
    Refusal { kind, resources, message: shorten(message) }
}

#[cfg(test)]
mod tests;
