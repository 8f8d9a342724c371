//! Objects in, resources out: a pure function of the store, which encodes anew only what a change touched.

mod cluster;
mod endpoints;
mod inbound;
mod listener;
mod routes;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use prost::Message;
use weft_api::{Object, names, workload::WorkloadSpec};
use weft_identity::TrustDomain;
use weft_xds::{
    Kind, Version,
    core::{DataSource, data_source::Specifier},
    publisher::Resource,
    tls::{CertificateValidationContext, Secret, secret},
};

use crate::{
    resolve::{self, ServiceView},
    snapshot::{Entrance, Published, Snapshot},
    store::{Finding, ObjectName, Store},
};

/// Compiles one store after another, and keeps what did not change.
pub struct Compiler {
    trust_domain: TrustDomain,
    /// What each service was compiled from.
    services: BTreeMap<ObjectName, ServiceView>,
    /// What each workload was compiled from.
    workloads: BTreeMap<ObjectName, Arc<Object<WorkloadSpec>>>,
    snapshot: Arc<Snapshot>,
}

/// What came out.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// What to publish: the same value as before if nothing changed.
    pub snapshot: Arc<Snapshot>,
    /// What is wrong with the objects together.
    pub findings: Vec<Finding>,
    /// How many services and workloads had to be encoded anew.
    pub encoded: usize,
}

/// A resource before it has a version.
struct Draft {
    kind: Kind,
    name: String,
    aliases: Vec<String>,
    body: Vec<u8>,
}

impl Draft {
    fn new(kind: Kind, name: String, message: &impl Message) -> Self {
        Self { kind, name, aliases: Vec::new(), body: message.encode_to_vec() }
    }

    /// The resource, or `held` if that says the same: then its version stays.
    fn publish(self, generation: u64, held: Option<&Arc<Resource>>) -> Published {
        if let Some(held) = held
            && held.body == self.body
            && held.aliases == self.aliases
        {
            return Published { kind: self.kind, resource: held.clone() };
        }
        // Who holds the same body under other aliases must be told all the same.
        let content: Vec<u8> = self
            .aliases
            .iter()
            .fold(self.body.clone(), |content, alias| [&content, alias.as_bytes()].concat());
        let version = Version::of(generation, &content);
        let Self { kind, name, aliases, body } = self;
        Published { kind, resource: Arc::new(Resource { name, aliases, version, body: body.into() }) }
    }
}

impl Compiler {
    /// Starts with no objects. `roots_pem` are the roots that every proxy trusts; `now_ms` are milliseconds since
    /// 1970.
    pub fn new(trust_domain: TrustDomain, roots_pem: &str, now_ms: u64) -> Self {
        let bundle = DataSource { specifier: Some(Specifier::InlineBytes(roots_pem.to_owned().into())) };
        let secret = Secret {
            name: names::RESOURCE_TRUST_BUNDLE.to_owned(),
            r#type: Some(secret::Type::ValidationContext(CertificateValidationContext {
                trusted_ca: Some(bundle),
                ..CertificateValidationContext::default()
            })),
        };
        let draft = Draft::new(Kind::Secret, names::RESOURCE_TRUST_BUNDLE.to_owned(), &secret);
        let trust_bundle = Arc::unwrap_or_clone(draft.publish(now_ms, None).resource);
        Self {
            trust_domain,
            services: BTreeMap::new(),
            workloads: BTreeMap::new(),
            snapshot: Arc::new(Snapshot::new(trust_bundle)),
        }
    }

    /// What was compiled last.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// Compiles `store`. The generation is `now_ms`, or above the last one if the clock was set back.
    pub fn compile(&mut self, store: &Store, now_ms: u64) -> Compiled {
        let generation = now_ms.max(self.snapshot.generation() + 1);
        let resolved = resolve::resolve(store);
        let mut next = Snapshot::clone(&self.snapshot);
        let mut changed = Vec::new();
        let mut encoded = self.compile_services(&resolved.services, generation, &mut next, &mut changed);
        encoded += self.compile_workloads(store, generation, &mut next, &mut changed);
        self.services = resolved.services;
        self.workloads.clone_from(&store.workloads);
        if !changed.is_empty() {
            next.addresses = addresses(&self.services);
            next.advance(generation, changed);
            self.snapshot = Arc::new(next);
        }
        Compiled { snapshot: self.snapshot.clone(), findings: resolved.findings, encoded }
    }

    fn compile_services(
        &self,
        views: &BTreeMap<ObjectName, ServiceView>,
        generation: u64,
        next: &mut Snapshot,
        changed: &mut Vec<(Kind, String)>,
    ) -> usize {
        let mut encoded = 0;
        for name in self.services.keys().filter(|name| !views.contains_key(name)) {
            let gone = next.services.remove(name).into_iter();
            gone.for_each(|gone| gone.iter().for_each(|published| note(published, changed)));
        }
        for (name, view) in views {
            if self.services.get(name) == Some(view) {
                continue;
            }
            encoded += 1;
            let before = next.services.get(name).cloned().unwrap_or_default();
            let held = |draft: &Draft| {
                let same = |one: &&Published| one.kind == draft.kind && one.resource.name == draft.name;
                before.iter().find(same).map(|published| &published.resource)
            };
            let after: Arc<[Published]> = drafts(name, view, &self.trust_domain)
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
            next.services.insert(name.clone(), after);
        }
        encoded
    }

    fn compile_workloads(
        &self,
        store: &Store,
        generation: u64,
        next: &mut Snapshot,
        changed: &mut Vec<(Kind, String)>,
    ) -> usize {
        let mut encoded = 0;
        let before = next.workloads.len();
        next.workloads.retain(|name, _| store.workloads.contains_key(name));
        let mut touched = next.workloads.len() != before;
        for (name, workload) in &store.workloads {
            if self.workloads.get(name) == Some(workload) {
                continue;
            }
            encoded += 1;
            touched = true;
            let draft = inbound::draft(workload);
            let held = next.workloads.get(name).map(|entrance| &entrance.listener);
            let listener = draft.publish(generation, held).resource;
            let service_account = workload.service_account().to_owned();
            next.workloads.insert(name.clone(), Entrance { service_account, listener });
        }
        if touched {
            changed.push((Kind::Listener, names::RESOURCE_INBOUND.to_owned()));
        }
        encoded
    }
}

/// Every resource of a service, in the order of its ports.
fn drafts<'a>(
    name: &'a ObjectName,
    view: &'a ServiceView,
    trust_domain: &'a TrustDomain,
) -> impl Iterator<Item = Draft> + 'a {
    view.ports.iter().flat_map(move |port| {
        [
            listener::draft(name, view, port),
            routes::draft(name, port),
            cluster::draft(name, port),
            endpoints::draft(name, view, port, trust_domain),
        ]
    })
}

/// Notes every name under which a resource is known.
fn note(published: &Published, changed: &mut Vec<(Kind, String)>) {
    let Resource { name, aliases, .. } = published.resource.as_ref();
    changed.extend([name].into_iter().chain(aliases).map(|name| (published.kind, name.clone())));
}

/// Which service each virtual address belongs to.
fn addresses(services: &BTreeMap<ObjectName, ServiceView>) -> BTreeMap<SocketAddr, ObjectName> {
    let owned =
        services.iter().flat_map(|(name, view)| view.addresses.iter().map(move |address| (*address, name)));
    owned.map(|(address, name)| (address, name.clone())).collect()
}

/// Whether this protocol of an application is HTTP/2 without TLS (KEP-3726, and names that are older than it).
fn speaks_h2c(app_protocol: Option<&str>) -> bool {
    matches!(app_protocol, Some("kubernetes.io/h2c" | "http2" | "grpc"))
}

#[cfg(test)]
mod tests;
