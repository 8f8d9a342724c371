//! Everything there is to publish, immutable: what compiling makes and every subscriber's session reads.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use weft_api::names;
use weft_xds::{Kind, publish::Resource};

use crate::store::ObjectName;

/// Suffix of a service's name in the cluster's DNS.
const SERVICE_SUFFIX: &str = ".svc.cluster.local";
/// Changes that are remembered by name. Whoever is further behind looks at everything again.
const LOG_MAX: usize = 64;

/// All resources of one generation.
#[derive(Clone, Debug)]
pub struct Snapshot {
    generation: u64,
    /// By service: a change of one leaves the others untouched.
    pub(crate) services: BTreeMap<ObjectName, Arc<[Published]>>,
    /// How each workload is entered.
    pub(crate) workloads: BTreeMap<ObjectName, Entrance>,
    /// By pod of the mesh: what stands behind its addresses.
    pub(crate) pods: BTreeMap<ObjectName, Arc<[Published]>>,
    /// How each pod of the mesh is entered.
    pub(crate) pod_entrances: BTreeMap<ObjectName, Entrance>,
    /// The services behind virtual addresses.
    pub(crate) addresses: BTreeMap<SocketAddr, ObjectName>,
    /// The addresses of pods of the mesh. Where two say that they have the same, the last by name counts.
    pub(crate) pod_addresses: BTreeSet<(IpAddr, ObjectName)>,
    trust_bundle: Arc<Resource>,
    /// What changed in the last generations, the newest last.
    log: VecDeque<Arc<Change>>,
    /// Generation of the newest change that is no longer remembered.
    forgotten: u64,
}

/// A resource, of which kind, and for whom.
#[derive(Clone, Debug)]
pub struct Published {
    /// Kind.
    pub kind: Kind,
    /// The only namespace whose subscribers are told. `None`: all that have no resource of this name for them alone.
    pub audience: Option<String>,
    /// The resource.
    pub resource: Arc<Resource>,
}

/// How a workload is entered, and who may be told.
#[derive(Clone, Debug)]
pub struct Entrance {
    /// The only service account that the workload may have.
    pub service_account: String,
    /// Its listener `inbound`.
    pub listener: Arc<Resource>,
}

/// What one generation changed.
#[derive(Debug)]
struct Change {
    generation: u64,
    names: Vec<(Kind, String)>,
}

impl Snapshot {
    /// A snapshot that holds nothing but the roots to trust.
    pub fn new(trust_bundle: Resource) -> Self {
        Self {
            generation: trust_bundle.version.generation().unwrap_or(0),
            services: BTreeMap::new(),
            workloads: BTreeMap::new(),
            pods: BTreeMap::new(),
            pod_entrances: BTreeMap::new(),
            addresses: BTreeMap::new(),
            pod_addresses: BTreeSet::new(),
            trust_bundle: Arc::new(trust_bundle),
            log: VecDeque::new(),
            forgotten: 0,
        }
    }

    /// When anything last changed: milliseconds since 1970, made to ascend.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The resource of this name or alias, as subscribers of `namespace` see it.
    pub fn get(&self, kind: Kind, name: &str, namespace: &str) -> Option<&Arc<Resource>> {
        if kind == Kind::Secret {
            return (name == names::RESOURCE_TRUST_BUNDLE).then_some(&self.trust_bundle);
        }
        let owned = match (kind, name.parse::<SocketAddr>()) {
            (Kind::Listener, Ok(address)) if self.addresses.contains_key(&address) => {
                self.services.get(self.addresses.get(&address)?)
            }
            (_, Ok(address)) => self.pods.get(self.pod_at(address.ip())?),
            (Kind::Listener, Err(_)) => self.services.get(&service_of_listener(name)?),
            (_, Err(_)) => self.services.get(&service_of_port(name)?),
        };
        let bears = |Published { resource, .. }: &Published| {
            resource.name == name || resource.aliases.iter().any(|alias| alias == name)
        };
        let for_them = |published: &&Published| {
            published.kind == kind
                && published.audience.as_ref().is_none_or(|audience| audience == namespace)
                && bears(published)
        };
        let found = owned?.iter().filter(for_them).max_by_key(|published| published.audience.is_some());
        found.map(|published| &published.resource)
    }

    /// The pod of the mesh behind an address.
    pub(crate) fn pod_at(&self, address: IpAddr) -> Option<&ObjectName> {
        let from = self.pod_addresses.range((address, ObjectName::new("", ""))..);
        from.take_while(|(theirs, _)| *theirs == address).last().map(|(_, pod)| pod)
    }

    /// The names of all resources of a kind that belong to services.
    pub fn names(&self, kind: Kind) -> impl Iterator<Item = &str> {
        let published = self.services.values().flat_map(|published| published.iter());
        published
            .filter(move |published| published.kind == kind && published.audience.is_none())
            .map(|published| published.resource.name.as_str())
    }

    /// The listener `inbound` of a workload or a pod, if `service_account` is the one that it must have.
    pub fn inbound(&self, workload: &ObjectName, service_account: &str) -> Option<&Arc<Resource>> {
        let entrance = self.workloads.get(workload).or_else(|| self.pod_entrances.get(workload))?;
        (entrance.service_account == service_account).then_some(&entrance.listener)
    }

    /// The names that changed after `generation`; `None` if that is too long ago to tell.
    pub fn changes_since(&self, generation: u64) -> Option<impl Iterator<Item = (Kind, &str)>> {
        let later = self.log.iter().filter(move |change| change.generation > generation);
        let names = later.flat_map(|change| change.names.iter().map(|(kind, name)| (*kind, name.as_str())));
        (generation >= self.forgotten).then_some(names)
    }

    /// Makes this the next generation, in which `names` changed.
    pub(crate) fn advance(&mut self, generation: u64, names: Vec<(Kind, String)>) {
        self.generation = generation;
        if self.log.len() == LOG_MAX
            && let Some(oldest) = self.log.pop_front()
        {
            self.forgotten = oldest.generation;
        }
        self.log.push_back(Arc::new(Change { generation, names }));
    }
}

/// A moment as generations are written: milliseconds since 1970; 0 for what lies before.
pub(crate) fn milliseconds(clock: SystemTime) -> u64 {
    clock.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Name of the listener of a service's port.
pub(crate) fn listener_name(service: &ObjectName, port: u16) -> String {
    format!("{}.{}{SERVICE_SUFFIX}:{port}", service.name, service.namespace)
}

/// Name of the routes, the cluster and the endpoints of a service's port.
pub(crate) fn port_name(service: &ObjectName, port: u16) -> String {
    format!("{service}:{port}")
}

fn service_of_listener(name: &str) -> Option<ObjectName> {
    let (host, _) = name.rsplit_once(':')?;
    let (service, namespace) = host.strip_suffix(SERVICE_SUFFIX)?.split_once('.')?;
    Some(ObjectName::new(namespace, service))
}

fn service_of_port(name: &str) -> Option<ObjectName> {
    let (service, _) = name.rsplit_once(':')?;
    let (namespace, name) = service.split_once('/')?;
    Some(ObjectName::new(namespace, name))
}

#[cfg(test)]
mod tests;
