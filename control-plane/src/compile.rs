//! Objects in, resources out: a pure function of the store, which encodes anew only what a change touched.

mod authorization;
mod balancing;
mod cluster;
mod endpoints;
mod inbound;
mod listener;
mod routes;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
};

use aws_lc_rs::hmac;
use bytes::Bytes;
use prost::Message;
use weft_api::{names, workload::Mtls};
use weft_identity::TrustDomain;
use weft_xds::{
    Kind, Version,
    core::{DataSource, data_source::Specifier},
    publish::Resource,
    tls::{CertificateValidationContext, Secret, secret},
};

use crate::{
    resolve::{self, Attachment, PodView, Policies, PortView, Resolver, Routes, ServiceView, WorkloadView},
    snapshot::{self, Entrance, Published, Snapshot},
    store::{Finding, ObjectName, Store},
};
use cluster::Demands;

/// Compiles one store after another, and keeps what did not change.
pub struct Compiler {
    trust_domain: TrustDomain,
    /// What keys of sessions are made from.
    secret: hmac::Key,
    /// What everything was compiled from.
    resolver: Resolver,
    /// Whether pods take plaintext, of which nobody says anything.
    mtls: Mtls,
    /// How pods are entered: few ways for many pods, so each is held once.
    entrances: BTreeSet<Bytes>,
    snapshot: Arc<Snapshot>,
}

/// What came out.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// What to publish: the same value as before if nothing changed.
    pub snapshot: Arc<Snapshot>,
    /// What is wrong with the objects together.
    pub findings: Arc<[Finding]>,
    /// By which of its `parentRefs` a route has a port.
    pub attached: Arc<BTreeSet<Attachment>>,
    /// How many services, workloads and pods had to be encoded anew.
    pub encoded: usize,
}

/// A resource before it has a version.
struct Draft {
    kind: Kind,
    /// As of what is published.
    audience: Option<String>,
    name: String,
    aliases: Vec<String>,
    body: Bytes,
}

impl Draft {
    fn new(kind: Kind, name: String, message: &impl Message) -> Self {
        Self { kind, audience: None, name, aliases: Vec::new(), body: message.encode_to_vec().into() }
    }

    fn for_callers_of(self, namespace: &str) -> Self {
        Self { audience: Some(namespace.to_owned()), ..self }
    }

    /// The resource, or `held` if that says the same: then its version stays.
    fn publish(self, generation: u64, held: Option<&Arc<Resource>>) -> Published {
        if let Some(held) = held
            && held.body == self.body
            && held.aliases == self.aliases
        {
            return Published { kind: self.kind, audience: self.audience, resource: held.clone() };
        }
        // Who holds the same body under other aliases must be told all the same.
        let content: Vec<u8> = self
            .aliases
            .iter()
            .fold(self.body.to_vec(), |content, alias| [&content, alias.as_bytes()].concat());
        let version = Version::of(generation, &content);
        let Self { kind, audience, name, aliases, body } = self;
        Published { kind, audience, resource: Arc::new(Resource { name, aliases, version, body }) }
    }
}

impl Compiler {
    /// Starts with no objects. `roots_pem` are the roots that every proxy trusts; of `secret` keys of sessions are made,
    /// so all replicas need the same; `now_ms` are milliseconds since 1970.
    pub fn new(trust_domain: TrustDomain, roots_pem: &str, secret: &[u8], now_ms: u64) -> Self {
        let bundle = DataSource { specifier: Some(Specifier::InlineBytes(roots_pem.to_owned().into())) };
        let roots = Secret {
            name: names::RESOURCE_TRUST_BUNDLE.to_owned(),
            r#type: Some(secret::Type::ValidationContext(CertificateValidationContext {
                trusted_ca: Some(bundle),
                ..CertificateValidationContext::default()
            })),
        };
        let draft = Draft::new(Kind::Secret, names::RESOURCE_TRUST_BUNDLE.to_owned(), &roots);
        let trust_bundle = Arc::unwrap_or_clone(draft.publish(now_ms, None).resource);
        Self {
            trust_domain,
            secret: hmac::Key::new(hmac::HMAC_SHA256, secret),
            resolver: Resolver::default(),
            mtls: Mtls::Permissive,
            entrances: BTreeSet::new(),
            snapshot: Arc::new(Snapshot::new(trust_bundle)),
        }
    }

    /// Whether pods take plaintext for which neither they nor their namespaces say so. Must be told before the first
    /// compilation. Default: they do, so that those who are not of the mesh yet can go on.
    #[must_use]
    pub fn with_default_policy(self, mtls: Mtls) -> Self {
        Self { mtls, ..self }
    }

    /// What was compiled last.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// Compiles `store`. The generation is `now_ms`, or above the last one if the clock was set back.
    pub fn compile(&mut self, store: &Store, now_ms: u64) -> Compiled {
        let generation = now_ms.max(self.snapshot.generation() + 1);
        let resolve::Changed { services, pods, workloads } = self.resolver.resolve(store);
        let mut next = Snapshot::clone(&self.snapshot);
        let mut changed = Vec::new();
        let mut encoded = self.compile_services(&services, generation, &mut next, &mut changed);
        encoded += self.compile_workloads(&workloads, generation, &mut next, &mut changed);
        encoded += self.compile_pods(&pods, generation, &mut next, &mut changed);
        if !changed.is_empty() {
            next.advance(generation, changed);
            self.snapshot = Arc::new(next);
        }
        let resolved = self.resolver.resolved();
        let (findings, attached) = (resolved.findings.clone(), resolved.attached.clone());
        Compiled { snapshot: self.snapshot.clone(), findings, attached, encoded }
    }

    fn compile_services(
        &self,
        others: &BTreeMap<ObjectName, Option<ServiceView>>,
        generation: u64,
        next: &mut Snapshot,
        changed: &mut Vec<(Kind, String)>,
    ) -> usize {
        let mut encoded = 0;
        for address in others.values().flatten().flat_map(|before| &before.addresses) {
            next.addresses.remove(address);
        }
        for name in others.keys() {
            let Some(view) = self.resolver.resolved().services.get(name) else {
                withdraw(&mut next.services, name, changed);
                continue;
            };
            encoded += 1;
            next.addresses.extend(view.addresses.iter().map(|address| (*address, name.clone())));
            let drafts = of_service(name, view, &self.trust_domain, &self.secret);
            replace(&mut next.services, name, drafts, generation, changed);
        }
        encoded
    }

    fn compile_pods(
        &mut self,
        others: &BTreeMap<ObjectName, Option<PodView>>,
        generation: u64,
        next: &mut Snapshot,
        changed: &mut Vec<(Kind, String)>,
    ) -> usize {
        let mut encoded = 0;
        let mut entrances = false;
        for (name, before) in others {
            self.readdress(name, before.as_ref(), next);
            let Some(view) = self.resolver.resolved().pods.get(name) else {
                withdraw(&mut next.pods, name, changed);
                entrances |= next.pod_entrances.remove(name).is_some();
                continue;
            };
            encoded += 1;
            replace(&mut next.pods, name, of_pod(name, view, &self.trust_domain), generation, changed);
            let held = next.pod_entrances.get(name);
            let mut draft = inbound::of_pod(view, self.mtls, &self.trust_domain);
            match self.entrances.get(&draft.body) {
                Some(known) => draft.body = known.clone(),
                None => drop(self.entrances.insert(draft.body.clone())),
            }
            let listener = draft.publish(generation, held.map(|held| &held.listener)).resource;
            let service_account = view.target.service_account.clone();
            entrances |= held.is_none_or(|held| {
                held.service_account != service_account || !Arc::ptr_eq(&held.listener, &listener)
            });
            next.pod_entrances.insert(name.clone(), Entrance { service_account, listener });
        }
        self.note_moved(others, next, changed);
        // What nobody else holds is of no pod any more.
        self.entrances.retain(|body| !body.is_unique());
        if entrances {
            changed.push((Kind::Listener, names::RESOURCE_INBOUND.to_owned()));
        }
        encoded
    }

    /// Takes the addresses of a pod for those that it has now, in place of those that it had `before`.
    fn readdress(&self, name: &ObjectName, before: Option<&PodView>, next: &mut Snapshot) {
        for address in before.iter().flat_map(|before| &before.addresses) {
            next.pod_addresses.remove(&(*address, name.clone()));
        }
        let after = self.resolver.resolved().pods.get(name);
        let addresses = after.iter().flat_map(|after| &after.addresses);
        next.pod_addresses.extend(addresses.map(|address| (*address, name.clone())));
    }

    /// Notes what stands behind addresses that belong to another pod now, though it may be what that pod had all the time.
    fn note_moved(
        &self,
        others: &BTreeMap<ObjectName, Option<PodView>>,
        next: &Snapshot,
        changed: &mut Vec<(Kind, String)>,
    ) {
        let after = others.keys().filter_map(|name| self.resolver.resolved().pods.get(name));
        for address in others.values().flatten().chain(after).flat_map(|view| &view.addresses) {
            let (was, is) = (self.snapshot.pod_at(*address), next.pod_at(*address));
            if was == is {
                continue;
            }
            let was = was.and_then(|name| self.snapshot.pods.get(name));
            let is = is.and_then(|name| next.pods.get(name));
            was.iter().chain(&is).flat_map(|all| all.iter()).for_each(|published| note(published, changed));
        }
    }

    fn compile_workloads(
        &self,
        others: &BTreeMap<ObjectName, Option<WorkloadView>>,
        generation: u64,
        next: &mut Snapshot,
        changed: &mut Vec<(Kind, String)>,
    ) -> usize {
        let mut encoded = 0;
        for name in others.keys() {
            let Some(view) = self.resolver.resolved().workloads.get(name) else {
                next.workloads.remove(name);
                continue;
            };
            encoded += 1;
            let draft = inbound::of_workload(view, &self.trust_domain);
            let held = next.workloads.get(name).map(|entrance| &entrance.listener);
            let listener = draft.publish(generation, held).resource;
            let service_account = view.workload.service_account().to_owned();
            next.workloads.insert(name.clone(), Entrance { service_account, listener });
        }
        if !others.is_empty() {
            changed.push((Kind::Listener, names::RESOURCE_INBOUND.to_owned()));
        }
        encoded
    }
}

/// Every resource of a service, in the order of its ports.
fn of_service<'a>(
    name: &'a ObjectName,
    view: &'a ServiceView,
    trust_domain: &'a TrustDomain,
    secret: &'a hmac::Key,
) -> impl Iterator<Item = Draft> + 'a {
    view.ports.iter().flat_map(move |port| {
        let target = snapshot::port_name(name, port.port.port);
        let demands = Demands {
            circuit_breaker: port.policies.circuit_breaker.as_ref().map(|policy| &policy.spec.settings),
            load_balancer: port.load_balancer(),
            locality: view.locality(port),
        };
        let backend = [
            cluster::draft(target, port.protocol, demands),
            endpoints::of_service(name, view, port, trust_domain),
        ];
        let consumers = port.consumers.iter().flat_map(move |(namespace, routes)| {
            of_routes(name, view, port, routes, secret).map(|draft| draft.for_callers_of(namespace))
        });
        of_routes(name, view, port, &port.routes, secret).into_iter().chain(backend).chain(consumers)
    })
}

/// What callers of a port are told who go by `routes`.
fn of_routes(
    name: &ObjectName,
    view: &ServiceView,
    port: &PortView,
    routes: &Routes,
    secret: &hmac::Key,
) -> [Draft; 2] {
    let number = port.port.port;
    let target = snapshot::port_name(name, number);
    let own = view.addresses.iter().filter(|address| address.port() == number);
    let aliases = own.map(ToString::to_string).collect();
    let listener = snapshot::listener_name(name, number);
    let listener = match routes {
        Routes::Http(_) | Routes::Grpc(_) => listener::draft(listener, aliases, &target, port.protocol),
        Routes::Tls(routes) => listener::of_tls(listener, aliases, &target, routes),
        Routes::Tcp(route) => listener::of_tcp(listener, aliases, &target, route),
    };
    [listener, routes::of_service(target, port, routes, secret)]
}

/// What stands behind the addresses of a pod, for those who call it by them.
fn of_pod<'a>(
    name: &'a ObjectName,
    view: &'a PodView,
    trust_domain: &'a TrustDomain,
) -> impl Iterator<Item = Draft> + 'a {
    let offered = view.ports.iter().filter(|(_, port)| port.offered);
    let sockets = offered.flat_map(|(number, port)| {
        view.addresses.iter().map(move |address| (SocketAddr::new(*address, *number), port.protocol))
    });
    sockets.flat_map(move |(socket, protocol)| {
        let address = socket.to_string();
        [
            listener::draft(address.clone(), Vec::new(), &address, protocol),
            routes::all_to_cluster(address.clone(), &Policies::default(), Vec::new()),
            cluster::draft(address, protocol, Demands::default()),
            endpoints::of_pod(name, &view.target, socket, trust_domain),
        ]
    })
}

/// Puts the resources of `name` in place of those that it had, and notes what differs.
fn replace(
    table: &mut BTreeMap<ObjectName, Arc<[Published]>>,
    name: &ObjectName,
    drafts: impl Iterator<Item = Draft>,
    generation: u64,
    changed: &mut Vec<(Kind, String)>,
) {
    let before = table.get(name).cloned().unwrap_or_default();
    let held = |draft: &Draft| {
        let same = |one: &&Published| {
            one.kind == draft.kind && one.audience == draft.audience && one.resource.name == draft.name
        };
        before.iter().find(same).map(|published| &published.resource)
    };
    let after: Arc<[Published]> = drafts
        .map(|draft| {
            let held = held(&draft);
            draft.publish(generation, held)
        })
        .collect();
    let absent = |one: &&Published, others: &[Published]| {
        !others.iter().any(|other| Arc::ptr_eq(&one.resource, &other.resource))
    };
    before.iter().filter(|one| absent(one, &after)).for_each(|published| note(published, changed));
    after.iter().filter(|one| absent(one, &before)).for_each(|published| note(published, changed));
    table.insert(name.clone(), after);
}

/// Takes out the resources of `name`, and notes them.
fn withdraw(
    table: &mut BTreeMap<ObjectName, Arc<[Published]>>,
    name: &ObjectName,
    changed: &mut Vec<(Kind, String)>,
) {
    let gone = table.remove(name).unwrap_or_default();
    gone.iter().for_each(|published| note(published, changed));
}

/// Notes every name under which a resource is known.
fn note(published: &Published, changed: &mut Vec<(Kind, String)>) {
    let Resource { name, aliases, .. } = published.resource.as_ref();
    changed.extend([name].into_iter().chain(aliases).map(|name| (published.kind, name.clone())));
}

#[cfg(test)]
mod tests;
