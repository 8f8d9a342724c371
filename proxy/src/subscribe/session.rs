//! What is asked for and held over all streams, and what an answer changes.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use rand::Rng;
use tokio::time::sleep_until;
use weft_api::names;
use weft_identity::{
    bundle::TrustBundle,
    renewal::renew_in,
    request::{Identity, KeyPair},
    tls::Credentials,
};
use weft_runtime::readiness::Hold;
use weft_xds::{
    Kind,
    discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse},
    subscriber::{Incoming, Subscriber},
};

use super::{
    Metrics,
    stream::{Endpoint, Stream, StreamError},
};
use crate::{
    compile::{Compiler, Held},
    demand::{Demands, SWEEP},
    resource::{self, Resource},
    snapshot::Snapshots,
};

/// A backend that is gone is taken out so much later: the routes that no longer name it come in the same breath, and
/// make before break must hold whatever comes first.
const BREAK_LATER: Duration = Duration::from_millis(100);
/// A refused certificate request is repeated after this time and up to as much again.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// One proxy's subscription.
pub(super) struct Session {
    subscriber: Subscriber,
    targets: Vec<String>,
    has_inbound: bool,
    credentials: Arc<Credentials>,
    compiler: Compiler,
    snapshots: Arc<Snapshots>,
    demands: Arc<Demands>,
    metrics: Metrics,
    held: Held,
    /// Removals that are not in force yet, and since when they are to be.
    breaks: Vec<(Instant, Kind, String)>,
    /// The key that a certificate is asked for.
    key: Option<KeyPair>,
    /// When to ask for the next certificate.
    renew_at: Option<Instant>,
    /// When to look for destinations that are idle.
    sweep_at: Instant,
    certificate: Option<Hold>,
    configuration: Option<Hold>,
}

/// How a stream ended.
pub(super) struct Ended {
    pub(super) error: StreamError,
    /// Whether anything came over it: then the next one may follow soon.
    pub(super) had_answers: bool,
}

/// One accepted resource.
enum Accepted {
    Resource(Resource),
    Identity(Identity),
    Bundle(TrustBundle),
}

impl Session {
    #[expect(clippy::too_many_arguments, reason = "called once, with what a session is made of")]
    pub(super) fn new(
        mut subscriber: Subscriber,
        targets: Vec<String>,
        has_inbound: bool,
        credentials: Arc<Credentials>,
        compiler: Compiler,
        snapshots: Arc<Snapshots>,
        demands: Arc<Demands>,
        metrics: Metrics,
        [certificate, configuration]: [Hold; 2],
    ) -> Self {
        let now = Instant::now();
        // Before the first stream stands there is nothing to send: all of it is part of how a stream begins.
        let _ = subscriber.subscribe(Kind::Secret, names::RESOURCE_TRUST_BUNDLE, now);
        Self {
            subscriber,
            targets,
            has_inbound,
            credentials,
            compiler,
            snapshots,
            demands,
            metrics,
            held: Held::default(),
            breaks: Vec::new(),
            key: None,
            renew_at: Some(now),
            sweep_at: now + SWEEP,
            certificate: Some(certificate),
            configuration: Some(configuration),
        }
    }

    /// Opens a stream and takes answers in until it ends.
    pub(super) async fn run(&mut self, endpoint: &Endpoint) -> Ended {
        let mut had_answers = false;
        let error = self.stream(endpoint, &mut had_answers).await.err().unwrap_or(StreamError::Ended);
        self.subscriber.disconnected();
        Ended { error, had_answers }
    }

    async fn stream(&mut self, endpoint: &Endpoint, had_answers: &mut bool) -> Result<(), StreamError> {
        let now = Instant::now();
        if self.renew_at.is_some_and(|at| at <= now) {
            let _ = self.ask_for_certificate(now);
        }
        // Before a stream stands, all that is wanted is part of how it begins.
        let _ = self.ask(now);
        let first = self.subscriber.connected(now);
        let demands = Arc::clone(&self.demands);
        let Stream { requests, mut responses, tasks: _tasks } = endpoint.open(first).await?;
        self.metrics.connected.set(1);
        tracing::info!("configuration stream stands");
        loop {
            let wake =
                [self.subscriber.poll_timeout(), self.renew_at, self.breaks.first().map(|(at, ..)| *at)];
            let wake = wake.into_iter().flatten().fold(self.sweep_at, Instant::min);
            let replies = tokio::select! {
                response = responses.message() => {
                    let response = response?.ok_or(StreamError::Ended)?;
                    *had_answers = true;
                    self.take(response, Instant::now())?
                }
                () = demands.changed() => self.ask(Instant::now()),
                () = sleep_until(wake.into()) => self.wake(Instant::now())?,
            };
            for reply in replies {
                requests.try_send(reply).map_err(|_| StreamError::Silent)?;
            }
        }
    }

    /// What time alone brings.
    fn wake(&mut self, now: Instant) -> Result<Vec<DeltaDiscoveryRequest>, StreamError> {
        if self.subscriber.timed_out(now) {
            return Err(StreamError::Silent);
        }
        if self.breaks.first().is_some_and(|(at, ..)| *at <= now) {
            for (_, kind, name) in self.breaks.extract_if(.., |(at, ..)| *at <= now).collect::<Vec<_>>() {
                self.held.set(kind, name, None);
            }
            return Ok(self.apply(now));
        }
        if self.renew_at.is_some_and(|at| at <= now) {
            return Ok(self.ask_for_certificate(now).into_iter().collect());
        }
        if self.sweep_at <= now {
            self.sweep_at = now + SWEEP;
            self.demands.sweep(now);
            return Ok(self.apply(now));
        }
        Ok(Vec::new())
    }

    /// Takes one response in; returns what is to be sent.
    fn take(
        &mut self,
        response: DeltaDiscoveryResponse,
        now: Instant,
    ) -> Result<Vec<DeltaDiscoveryRequest>, StreamError> {
        let key = &self.key;
        let incoming =
            self.subscriber.handle(response, |kind, name, body| accept(key.as_ref(), kind, name, body))?;
        let Incoming { kind, changed, removed, reply } = incoming;
        if let Some(error) = &reply.error_detail {
            self.metrics.nacks.with_label_values(&[kind_label(kind)]).inc();
            tracing::warn!(
                kind = kind_label(kind),
                reason = error.message,
                "refused a resource; the last good one stays"
            );
        }
        let mut replies = vec![reply];
        let mut in_force = Vec::with_capacity(changed.len());
        for change in changed {
            self.breaks.retain(|(_, broken, name)| (*broken, name) != (kind, &change.name));
            in_force.push((change.name.clone(), change.version));
            match change.resource {
                Accepted::Resource(resource) => self.held.set(kind, change.name, Some(resource)),
                Accepted::Identity(identity) => self.certified(identity, now),
                Accepted::Bundle(bundle) => self.credentials.set_bundle(bundle),
            }
        }
        for name in removed {
            self.remove(kind, name, now);
        }
        replies.extend(self.apply(now));
        // Only now: whoever reads a generation may rely on it.
        for (name, version) in in_force {
            if self.subscriber.held(kind, &name).is_some() {
                let generation = i64::try_from(version.generation().unwrap_or_default()).unwrap_or(i64::MAX);
                self.metrics.generations.with_label_values(&[kind_label(kind), &name]).set(generation);
            }
        }
        Ok(replies)
    }

    fn remove(&mut self, kind: Kind, name: String, now: Instant) {
        if kind == Kind::Secret {
            if name == names::RESOURCE_IDENTITY {
                tracing::warn!("the control plane gave no certificate; asking again");
                self.key = None;
                self.renew_at = Some(now + ASK_AGAIN + ASK_AGAIN.mul_f64(rand::rng().random()));
            }
        } else if self.held.has(kind, &name) {
            self.breaks.push((now + BREAK_LATER, kind, name));
        } else {
            self.held.set(kind, name, None);
        }
    }

    /// Asks for what is wanted and not asked for yet, and gives up what is not wanted any more.
    fn ask(&mut self, now: Instant) -> Vec<DeltaDiscoveryRequest> {
        let mut requests = Vec::new();
        for kind in [Kind::Listener, Kind::Routes, Kind::Cluster, Kind::Endpoints] {
            let wanted = if kind == Kind::Listener { self.listeners() } else { self.held.wanted(kind) };
            let present: BTreeSet<String> = self.subscriber.subscribed(kind).map(ToOwned::to_owned).collect();
            for name in wanted.difference(&present) {
                requests.extend(self.subscriber.subscribe(kind, name, now));
            }
            for name in present.difference(&wanted) {
                requests.extend(self.subscriber.unsubscribe(kind, name));
                self.held.forget(kind, name);
                self.breaks.retain(|(_, broken, gone)| (*broken, gone) != (kind, name));
                let _ = self.metrics.generations.remove_label_values(&[kind_label(kind), name]);
            }
        }
        requests
    }

    /// The listeners that this proxy was told of at its start, and those that its application calls.
    fn listeners(&self) -> BTreeSet<String> {
        let inbound = self.has_inbound.then(|| names::RESOURCE_INBOUND.to_owned());
        self.targets.iter().cloned().chain(inbound).chain(self.demands.names()).collect()
    }

    /// Asks for what the present answers lead to, and puts them in force.
    fn apply(&mut self, now: Instant) -> Vec<DeltaDiscoveryRequest> {
        let requests = self.ask(now);
        let snapshot = self.compiler.compile(&self.held, &self.snapshots.load(), now);
        let complete = self.targets.iter().all(|target| snapshot.destinations.contains_key(target.as_str()));
        if complete && (!self.has_inbound || self.held.has(Kind::Listener, names::RESOURCE_INBOUND)) {
            self.configuration = None;
        }
        self.snapshots.store(snapshot);
        requests
    }

    fn ask_for_certificate(&mut self, now: Instant) -> Option<DeltaDiscoveryRequest> {
        let made = KeyPair::generate().and_then(|key| Ok((key.csr_pem()?, key)));
        let (csr, key) = match made {
            Ok(made) => made,
            Err(error) => {
                tracing::error!(%error, "cannot make a key; trying again");
                self.renew_at = Some(now + ASK_AGAIN);
                return None;
            }
        };
        self.key = Some(key);
        self.renew_at = None;
        self.subscriber.request_identity(&csr, now)
    }

    fn certified(&mut self, identity: Identity, now: Instant) {
        let left = identity.validity().not_after.duration_since(SystemTime::now()).unwrap_or_default();
        self.renew_at = Some(now + renew_in(left, rand::rng().random()));
        tracing::info!(identity = %identity.id(), valid_s = left.as_secs(), "certificate in use");
        self.credentials.set_identity(identity);
        self.certificate = None;
    }
}

fn accept(key: Option<&KeyPair>, kind: Kind, name: &str, body: &Bytes) -> Result<Accepted, String> {
    let resource = resource::decode(kind, name, body)?;
    match (resource, name) {
        (Resource::Secret(pem), names::RESOURCE_IDENTITY) => {
            let key = key.ok_or("no certificate was asked for")?;
            Identity::new(key, &pem).map(Accepted::Identity).map_err(|error| error.to_string())
        }
        (Resource::Secret(pem), _) => {
            TrustBundle::from_pem(&pem).map(Accepted::Bundle).map_err(|error| error.to_string())
        }
        (resource, _) => Ok(Accepted::Resource(resource)),
    }
}

/// The kind's message, as the control plane's metrics name it too.
fn kind_label(kind: Kind) -> &'static str {
    match kind {
        Kind::Secret => "Secret",
        Kind::Cluster => "Cluster",
        Kind::Endpoints => "ClusterLoadAssignment",
        Kind::Listener => "Listener",
        Kind::Routes => "RouteConfiguration",
    }
}

#[cfg(test)]
mod tests;
