//! The control plane's half of a state-of-the-world stream, which clients built on gRPC speak: every request names all
//! that is wanted, and the absence of a listener or a cluster is said by leaving it out.
//!
//! One publisher lives as long as its stream. At most one response of a kind is in flight; the next is made from the
//! newest state when the answer comes. Nothing carries over from stream to stream: whoever connects is told anew.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

use crate::{
    generated::{
        envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse},
        google::{protobuf::Any, rpc::Status},
    },
    kind::Kind,
    publish::{
        Catalog, Handled, NAME_BYTES_MAX, NAMES_MAX, ProtocolError, Publish, RESPONSE_BYTES_MAX, Refusal,
        Resource, SyncState, WILDCARD,
    },
};

/// One subscriber's stream.
#[derive(Debug, Default)]
pub struct WorldPublisher {
    /// By kind, in the order of `Kind::ALL`.
    sessions: [Session; Kind::ALL.len()],
    /// The last nonce.
    nonce: u64,
}

/// One kind on one stream.
#[derive(Debug, Default)]
struct Session {
    /// What the subscriber named last.
    names: BTreeSet<String>,
    /// It has named something. Before that, a request without names asks for everything; after it, for nothing.
    named: bool,
    /// Everything is subscribed to.
    wildcard: bool,
    /// What the subscriber was told of and still subscribes to.
    told: BTreeMap<String, Arc<Resource>>,
    /// Names to look at when the next response is made.
    due: BTreeSet<String>,
    /// An answer is owed even if there is nothing new to say.
    owed: bool,
    /// Nonce of the last response; empty before there was one.
    nonce: String,
    in_flight: bool,
    sync: SyncState,
}

/// What a response tells of.
struct Answer {
    resources: Vec<Arc<Resource>>,
    /// The names of those that were not told like that before.
    news: BTreeSet<String>,
}

impl WorldPublisher {
    /// A publisher for a new stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the responses that are due and may be sent.
    fn flush(&mut self, now: Instant, catalog: &impl Catalog) -> Vec<DiscoveryResponse> {
        let mut responses = Vec::new();
        for kind in Kind::ALL {
            responses.extend(self.respond(kind, now, catalog));
        }
        // What points to a cluster turned out to be settled: now it may go, if it is to.
        responses.extend(self.respond(Kind::Cluster, now, catalog));
        responses
    }

    fn respond(&mut self, kind: Kind, now: Instant, catalog: &impl Catalog) -> Option<DiscoveryResponse> {
        // Make before break: a cluster goes only after the routes that lead elsewhere have arrived.
        let keep = kind == Kind::Cluster
            && [Kind::Listener, Kind::Routes].iter().any(|kind| self.sessions[*kind as usize].is_unsettled());
        let session = &mut self.sessions[kind as usize];
        if session.in_flight || !session.owed && session.due.is_empty() {
            return None;
        }
        let Answer { resources, news } = if is_whole(kind) {
            session.everything(kind, catalog, keep)?
        } else {
            session.news(kind, catalog)?
        };
        self.nonce += 1;
        session.nonce = self.nonce.to_string();
        session.in_flight = true;
        session.sync.send(catalog.generation(), now);
        let response = response(kind, &resources, catalog.generation(), session.nonce.clone());
        if kind == Kind::Cluster {
            // A client that replaces a cluster waits until it hears of its endpoints again, even unchanged ones.
            self.sessions[Kind::Endpoints as usize].tell_again(&news);
        }
        Some(response)
    }
}

impl Publish for WorldPublisher {
    type Request = DiscoveryRequest;
    type Response = DiscoveryResponse;

    fn handle(
        &mut self,
        request: DiscoveryRequest,
        now: Instant,
        catalog: &impl Catalog,
    ) -> Result<Handled<DiscoveryResponse>, ProtocolError> {
        let Some(kind) = Kind::from_type_url(&request.type_url) else {
            return Err(ProtocolError::UnknownType(request.type_url));
        };
        let session = &mut self.sessions[kind as usize];
        // A request from before the last response acknowledges nothing. Its names count: whoever gives one up and wants
        // it again meanwhile has to be told anew.
        let late = request.response_nonce != session.nonce;
        let refusal = if late { None } else { session.acknowledge(kind, request.error_detail) };
        session.subscribe(kind, request.resource_names, catalog)?;
        Ok(Handled { responses: self.flush(now, catalog), refusal })
    }

    fn changed<'a>(
        &mut self,
        names: impl IntoIterator<Item = (Kind, &'a str)>,
        now: Instant,
        catalog: &impl Catalog,
    ) -> Vec<DiscoveryResponse> {
        for (kind, name) in names {
            if self.heeds(kind, name) {
                self.sessions[kind as usize].due.insert(name.to_owned());
            }
        }
        self.flush(now, catalog)
    }

    fn heeds(&self, kind: Kind, name: &str) -> bool {
        let session = &self.sessions[kind as usize];
        session.wildcard || session.names.contains(name)
    }

    fn look_again(&mut self, now: Instant, catalog: &impl Catalog) -> Vec<DiscoveryResponse> {
        for kind in Kind::ALL {
            let session = &mut self.sessions[kind as usize];
            session.due = session.subscribed_now(kind, catalog);
            session.due.extend(session.told.keys().cloned());
        }
        self.flush(now, catalog)
    }

    fn sync(&self, kind: Kind) -> &SyncState {
        &self.sessions[kind as usize].sync
    }

    fn subscribed(&self, kind: Kind) -> impl Iterator<Item = &str> {
        let Session { names, told, .. } = &self.sessions[kind as usize];
        let implied = told.keys().filter(|name| !names.contains(*name));
        names.iter().chain(implied).map(String::as_str)
    }

    fn csr(_: &DiscoveryRequest) -> Option<&str> {
        None
    }

    fn kind_of(response: &DiscoveryResponse) -> Option<Kind> {
        Kind::from_type_url(&response.type_url)
    }
}

impl Session {
    fn acknowledge(&mut self, kind: Kind, error: Option<Status>) -> Option<Refusal> {
        if !std::mem::take(&mut self.in_flight) {
            return None;
        }
        let told = |name: &str| self.told.contains_key(name);
        let refusal = error.map(|status| Refusal::read(kind, &status.message, told));
        self.sync.acknowledge(refusal.clone());
        refusal
    }

    /// Replaces all subscriptions. A name that is new is answered; so is the first request of a whole kind, and one
    /// that names something that does not exist: there an empty answer says something.
    fn subscribe(
        &mut self,
        kind: Kind,
        names: Vec<String>,
        catalog: &impl Catalog,
    ) -> Result<(), ProtocolError> {
        if names.len() > NAMES_MAX {
            return Err(ProtocolError::TooManyNames(kind));
        }
        if let Some(long) = names.iter().find(|name| name.len() > NAME_BYTES_MAX) {
            return Err(ProtocolError::NameTooLong(long.clone()));
        }
        let first = self.nonce.is_empty();
        self.named |= !names.is_empty();
        let mut names = BTreeSet::from_iter(names);
        let wildcard = names.remove(WILDCARD) || is_whole(kind) && !self.named;
        let begins = wildcard && !self.wildcard;
        let new: Vec<String> = names.difference(&self.names).cloned().collect();
        self.wildcard = wildcard;
        self.names = names;
        let subscribed = self.subscribed_now(kind, catalog);
        // A resource that leaves a wildcard by ceasing to exist has to be told, so it stays until then.
        let keeps = |name: &String| self.wildcard || subscribed.contains(name);
        self.told.retain(|name, _| keeps(name));
        self.due.retain(keeps);
        self.owed |= is_whole(kind) && (first || begins || !new.is_empty());
        self.due.extend(new);
        Ok(())
    }

    /// Every name that is subscribed to, be it by name or by wildcard.
    fn subscribed_now(&self, kind: Kind, catalog: &impl Catalog) -> BTreeSet<String> {
        let implied = if self.wildcard { catalog.wildcard(kind) } else { Vec::new() };
        self.names.iter().cloned().chain(implied).collect()
    }

    /// Whether something is under way to the subscriber, or about to be.
    fn is_unsettled(&self) -> bool {
        self.in_flight || self.owed || !self.due.is_empty()
    }

    /// All that is subscribed to and exists; `None` if it is what was told last. If `keep`, what has ceased to exist is
    /// told still, and remains due.
    fn everything(&mut self, kind: Kind, catalog: &impl Catalog, keep: bool) -> Option<Answer> {
        let found = |name: String| Some((name.clone(), find(catalog, kind, &name)?));
        let mut all: BTreeMap<_, _> =
            self.subscribed_now(kind, catalog).into_iter().filter_map(found).collect();
        self.due.clear();
        for (name, resource) in self.told.iter().filter(|_| keep) {
            if !all.contains_key(name) {
                all.insert(name.clone(), Arc::clone(resource));
                self.due.insert(name.clone());
            }
        }
        let is_new = |name: &String, resource: &Resource| {
            self.told.get(name).is_none_or(|old| !same_content(old, resource))
        };
        let news: BTreeSet<String> =
            all.iter().filter(|(name, new)| is_new(name, new)).map(|(name, _)| name.clone()).collect();
        // As many, and none of them new: the same ones.
        if news.is_empty() && self.told.len() == all.len() && !self.owed {
            return None;
        }
        self.owed = false;
        let resources = all.values().cloned().collect();
        self.told = all;
        Some(Answer { resources, news })
    }

    /// What is new about the names that are due; `None` if nothing is. What has ceased to exist cannot be said: these
    /// kinds end with what points to them.
    fn news(&mut self, kind: Kind, catalog: &impl Catalog) -> Option<Answer> {
        let (mut resources, mut news) = (Vec::new(), BTreeSet::new());
        let mut room = RESPONSE_BYTES_MAX;
        while room > 0
            && let Some(name) = self.due.pop_first()
        {
            let Some(resource) = find(catalog, kind, &name) else {
                self.told.remove(&name);
                continue;
            };
            let old = self.told.insert(name.clone(), Arc::clone(&resource));
            if !old.is_some_and(|old| same_content(&old, &resource)) {
                room = room.saturating_sub(resource.body.len());
                resources.push(resource);
                news.insert(name);
            }
        }
        (!news.is_empty()).then_some(Answer { resources, news })
    }

    /// Tells of resources of these names anew, if they are subscribed to.
    fn tell_again(&mut self, names: &BTreeSet<String>) {
        for name in self.names.intersection(names) {
            self.told.remove(name);
            self.due.insert(name.clone());
        }
    }
}

/// Whether each response tells of all subscribed resources of a kind, so that leaving one out removes it.
const fn is_whole(kind: Kind) -> bool {
    matches!(kind, Kind::Listener | Kind::Cluster)
}

/// The resource that bears this name itself. One that goes by it as an alias would not be recognized: this variant of
/// the protocol knows the names that stand in the messages.
fn find(catalog: &impl Catalog, kind: Kind, name: &str) -> Option<Arc<Resource>> {
    catalog.get(kind, name).filter(|resource| resource.name == name)
}

fn same_content(one: &Resource, other: &Resource) -> bool {
    one.version.same_content(&other.version)
}

fn response(kind: Kind, resources: &[Arc<Resource>], generation: u64, nonce: String) -> DiscoveryResponse {
    let type_url = kind.type_url();
    let pack = |resource: &Arc<Resource>| Any { type_url: type_url.to_owned(), value: resource.body.clone() };
    DiscoveryResponse {
        version_info: generation.to_string(),
        resources: resources.iter().map(pack).collect(),
        type_url: type_url.to_owned(),
        nonce,
    }
}

#[cfg(test)]
mod tests;
