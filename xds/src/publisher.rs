//! The control plane's half of an incremental stream: what one subscriber wants, what it was told, and what it has to
//! be told next.
//!
//! One publisher lives as long as its stream. At most one response of a kind is in flight; the next is made from the
//! newest state when the answer comes, so a slow subscriber skips what it missed. What is told about a name always
//! ascends, whatever the clock behind the catalog does.

use std::{
    collections::{BTreeMap, BTreeSet},
    iter, mem,
    time::Instant,
};

use crate::{
    generated::{
        envoy::service::discovery::v3::{self as discovery, DeltaDiscoveryRequest, DeltaDiscoveryResponse},
        google::{protobuf::Any, rpc::Status},
    },
    kind::Kind,
    metadata,
    publish::{
        Catalog, Handled, NAME_BYTES_MAX, NAMES_MAX, ProtocolError, Publish, RESPONSE_BYTES_MAX, Refusal,
        Resource, SyncState, WILDCARD,
    },
    subscriber::IDENTITY,
    version::Version,
};

/// Longest version that is kept, in bytes. Whoever holds a longer one is answered as if it held nothing.
const VERSION_BYTES_MAX: usize = 256;

/// One subscriber's stream.
#[derive(Debug, Default)]
pub struct Publisher {
    /// By kind, in the order of `Kind::ALL`.
    sessions: [Session; Kind::ALL.len()],
    /// The last nonce.
    nonce: u64,
}

/// One kind on one stream.
#[derive(Debug, Default)]
struct Session {
    /// A first request has come.
    begun: bool,
    /// Everything is subscribed to.
    wildcard: bool,
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
    /// Nobody named it: it is there for a wildcard's sake.
    implied: bool,
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

impl Publish for Publisher {
    type Request = DeltaDiscoveryRequest;
    type Response = DeltaDiscoveryResponse;

    fn handle(
        &mut self,
        request: DeltaDiscoveryRequest,
        now: Instant,
        catalog: &impl Catalog,
    ) -> Result<Handled<DeltaDiscoveryResponse>, ProtocolError> {
        let Some(kind) = Kind::from_type_url(&request.type_url) else {
            return Err(ProtocolError::UnknownType(request.type_url));
        };
        let csr = Self::csr(&request).is_some();
        let session = &mut self.sessions[kind as usize];
        session.heed_wildcard(kind, &request, catalog);
        let refusal = session.acknowledge(kind, &request.response_nonce, request.error_detail);
        for name in request.resource_names_unsubscribe {
            session.unsubscribe(name);
        }
        for name in request.resource_names_subscribe.into_iter().filter(|name| name != WILDCARD) {
            let held = request.initial_resource_versions.get(&name).and_then(|text| version(text));
            session.subscribe(kind, name, held, csr)?;
        }
        Ok(Handled { responses: self.flush(now, catalog), refusal })
    }

    fn changed<'a>(
        &mut self,
        names: impl IntoIterator<Item = (Kind, &'a str)>,
        now: Instant,
        catalog: &impl Catalog,
    ) -> Vec<DeltaDiscoveryResponse> {
        let mut touched = [false; Kind::ALL.len()];
        for (kind, name) in names {
            touched[kind as usize] = true;
            let session = &mut self.sessions[kind as usize];
            if session.subscriptions.contains_key(name) {
                session.due.insert(name.to_owned());
            }
        }
        for kind in Kind::ALL.into_iter().filter(|kind| touched[*kind as usize]) {
            self.sessions[kind as usize].expand(kind, catalog);
        }
        self.flush(now, catalog)
    }

    fn heeds(&self, kind: Kind, name: &str) -> bool {
        let session = &self.sessions[kind as usize];
        session.wildcard || session.subscriptions.contains_key(name)
    }

    fn look_again(&mut self, now: Instant, catalog: &impl Catalog) -> Vec<DeltaDiscoveryResponse> {
        for kind in Kind::ALL {
            let session = &mut self.sessions[kind as usize];
            session.due.extend(session.subscriptions.keys().cloned());
            session.expand(kind, catalog);
        }
        self.flush(now, catalog)
    }

    fn sync(&self, kind: Kind) -> &SyncState {
        &self.sessions[kind as usize].sync
    }

    fn subscribed(&self, kind: Kind) -> impl Iterator<Item = &str> {
        self.sessions[kind as usize].subscriptions.keys().map(String::as_str)
    }

    fn csr(request: &DeltaDiscoveryRequest) -> Option<&str> {
        let asked = request.type_url == Kind::Secret.type_url()
            && request.resource_names_subscribe.iter().any(|name| name == IDENTITY);
        request.node.as_ref().filter(|_| asked).and_then(metadata::csr)
    }

    fn kind_of(response: &DeltaDiscoveryResponse) -> Option<Kind> {
        Kind::from_type_url(&response.type_url)
    }
}

impl Session {
    /// Takes an acknowledgement in. One of another response than that in flight is late and means nothing.
    fn acknowledge(&mut self, kind: Kind, nonce: &str, error: Option<Status>) -> Option<Refusal> {
        let in_flight = self.in_flight.take_if(|in_flight| in_flight.nonce == nonce)?;
        let told = |name: &str| in_flight.told.contains_key(name);
        self.sync.acknowledge(error.map(|status| Refusal::read(kind, &status.message, told)));
        for (name, _) in self.sync.refusal.iter().flat_map(|refusal| &refusal.resources) {
            if let Some(subscription) = self.subscriptions.get_mut(name) {
                subscription.refused = true;
            }
        }
        self.sync.refusal.clone()
    }

    /// Begins or ends a subscription to everything. It is begun by its name, or by a first request that names nothing.
    fn heed_wildcard(&mut self, kind: Kind, request: &DeltaDiscoveryRequest, catalog: &impl Catalog) {
        let is = |name: &String| name == WILDCARD;
        let (wanted, unwanted) = (&request.resource_names_subscribe, &request.resource_names_unsubscribe);
        let first = !mem::replace(&mut self.begun, true);
        let bare = wanted.is_empty() && unwanted.is_empty() && request.response_nonce.is_empty();
        if unwanted.iter().any(is) {
            self.wildcard = false;
            self.subscriptions.retain(|_, subscription| !subscription.implied);
        }
        if wanted.iter().any(is) || first && bare {
            self.wildcard = true;
            let held = request.initial_resource_versions.iter().take(NAMES_MAX);
            for (name, text) in held.filter(|(name, _)| name.len() <= NAME_BYTES_MAX) {
                let told = version(text);
                let implied = Subscription { implied: true, told, ..Subscription::default() };
                self.subscriptions.entry(name.clone()).or_insert(implied);
                self.due.insert(name.clone());
            }
            self.expand(kind, catalog);
        }
    }

    /// Subscribes to what a wildcard stands for now. What it no longer stands for goes once that has been told.
    fn expand(&mut self, kind: Kind, catalog: &impl Catalog) {
        if !self.wildcard {
            return;
        }
        for name in catalog.wildcard(kind) {
            if !self.subscriptions.contains_key(&name) {
                let implied = Subscription { implied: true, ..Subscription::default() };
                self.subscriptions.insert(name.clone(), implied);
                self.due.insert(name);
            }
        }
    }

    /// Ends a subscription. What a wildcard stands for all the same is told once more, since the subscriber cannot know
    /// that.
    fn unsubscribe(&mut self, name: String) {
        match self.subscriptions.get_mut(&name) {
            Some(subscription) if self.wildcard => {
                subscription.implied = true;
                subscription.owed = true;
                self.due.insert(name);
            }
            _ => {
                self.subscriptions.remove(&name);
                self.due.remove(&name);
            }
        }
    }

    /// Adds a subscription, or repeats one. `held` is what the subscriber says it has; with a `csr`, the certificate is
    /// owed whatever it has.
    fn subscribe(
        &mut self,
        kind: Kind,
        name: String,
        held: Option<Version>,
        csr: bool,
    ) -> Result<(), ProtocolError> {
        if name.len() > NAME_BYTES_MAX {
            return Err(ProtocolError::NameTooLong(name));
        }
        if self.subscriptions.len() >= NAMES_MAX && !self.subscriptions.contains_key(&name) {
            return Err(ProtocolError::TooManyNames(kind));
        }
        let repeated = self.subscriptions.contains_key(&name);
        let owed = csr && name == IDENTITY;
        let subscription = self.subscriptions.entry(name.clone()).or_default();
        // Every subscription is answered, except that of one who says at the start what it has: then news is enough.
        subscription.implied = false;
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
            match self.subscriptions.get_mut(name) {
                Some(subscription) if !subscription.implied => subscription.tell(tombstone.clone()),
                _ => drop(self.subscriptions.remove(name)),
            }
            news.insert(name.clone(), tombstone.clone());
        }
        if news.is_empty() {
            return None;
        }
        response.system_version_info = tombstone.to_string();
        self.in_flight = Some(InFlight { nonce: response.nonce.clone(), told: news });
        self.sync.send(catalog.generation(), now);
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
        *self = Self { told: Some(version), owed: false, refused: false, ..*self };
    }
}

/// A version as a subscriber names it; `None` if it is too long to be ours.
fn version(text: &str) -> Option<Version> {
    (text.len() <= VERSION_BYTES_MAX).then(|| Version::parse(text))
}

#[cfg(test)]
mod tests;
