//! Where a service's port runs, and who must answer there.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use serde::Serialize;
use weft_api::{
    Object,
    kubernetes::{Conditions, Endpoint, EndpointSlice},
};
use weft_identity::{SpiffeId, TrustDomain};
use weft_xds::{
    Kind,
    core::{Address, HealthStatus, Locality, SocketAddress, address, socket_address::PortSpecifier},
    endpoint::{self, ClusterLoadAssignment, LbEndpoint, LocalityLbEndpoints, lb_endpoint::HostIdentifier},
    metadata,
};

use super::Draft;
use crate::{
    resolve::{PodTarget, PortView, ServiceView},
    snapshot,
    store::ObjectName,
};

#[derive(Serialize)]
struct Extra<'a> {
    identity: &'a str,
}

/// How an endpoint takes traffic, the best first: of two mentions of the same address the better one counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Health {
    Healthy,
    Draining,
    Unhealthy,
}

/// What is known of an address.
#[derive(Clone)]
struct Found<'a> {
    health: Health,
    identity: Option<SpiffeId>,
    zone: &'a str,
}

/// The endpoints of a service's port.
pub(super) fn of_service(
    service: &ObjectName,
    view: &ServiceView,
    port: &PortView,
    trust_domain: &TrustDomain,
) -> Draft {
    // By address, so that neither the order of slices nor an address in two of them changes the resource.
    let mut endpoints: BTreeMap<SocketAddr, Found<'_>> = BTreeMap::new();
    let preferred = preferred(view);
    for slice in &view.backing.slices {
        for number in ServiceView::targets(slice, &port.port) {
            for endpoint in &slice.spec.endpoints {
                let Some(address) = address_of(endpoint) else { continue };
                let target = target(view, slice, endpoint, number, trust_domain);
                let elsewhere =
                    |pod: &ObjectName| slice.spec.address_type != view.family() && preferred.contains(pod);
                if target.pod.as_ref().is_some_and(elsewhere) {
                    continue;
                }
                let health = health(endpoint.conditions).max(target.best);
                let found = Found { health, identity: target.identity, zone: endpoint.zone() };
                let held = endpoints.entry(SocketAddr::new(address, number)).or_insert_with(|| found.clone());
                if found.health < held.health {
                    *held = found;
                }
            }
        }
    }
    let mut zones: BTreeMap<&str, Vec<LbEndpoint>> = BTreeMap::new();
    for (address, Found { health, identity, zone }) in endpoints {
        zones.entry(zone).or_default().push(lb_endpoint(address, health, identity));
    }
    assignment(snapshot::port_name(service, port.port.port), zones)
}

/// A single pod, which is its only endpoint. That it takes traffic is for the caller to know, who chose it.
pub(super) fn of_pod(
    pod: &ObjectName,
    target: &PodTarget,
    address: SocketAddr,
    trust_domain: &TrustDomain,
) -> Draft {
    let identity = SpiffeId::workload(trust_domain, &pod.namespace, &target.service_account).ok();
    // Without an identity it would be met without mTLS.
    let health = if identity.is_some() { Health::Healthy } else { Health::Unhealthy };
    let endpoints = vec![lb_endpoint(address, health, identity)];
    assignment(address.to_string(), BTreeMap::from([("", endpoints)]))
}

/// Endpoints by their zones.
fn assignment(name: String, zones: BTreeMap<&str, Vec<LbEndpoint>>) -> Draft {
    let endpoints = zones.into_iter().map(|(zone, lb_endpoints)| {
        let is_healthy = |one: &&LbEndpoint| one.health_status == i32::from(HealthStatus::Healthy);
        // Who heeds zones by their weights spreads evenly over endpoints.
        let weight = lb_endpoints.iter().filter(is_healthy).count();
        LocalityLbEndpoints {
            lb_endpoints,
            // To gRPC, a group of endpoints without a place or a weight is none.
            locality: Some(Locality { zone: zone.to_owned(), ..Locality::default() }),
            load_balancing_weight: Some(u32::try_from(weight).unwrap_or(u32::MAX).max(1)),
            ..LocalityLbEndpoints::default()
        }
    });
    let assignment = ClusterLoadAssignment { cluster_name: name.clone(), endpoints: endpoints.collect() };
    Draft::new(Kind::Endpoints, name, &assignment)
}

/// The pods that have an address of the family by which the service's pods are reached. A pod with addresses of two
/// families is one endpoint all the same: it has one load, and one breaker.
fn preferred(view: &ServiceView) -> BTreeSet<ObjectName> {
    let families: BTreeSet<_> =
        view.backing.slices.iter().map(|slice| slice.spec.address_type as u8).collect();
    if families.len() < 2 {
        return BTreeSet::new();
    }
    let slices = view.backing.slices.iter().filter(|slice| slice.spec.address_type == view.family());
    let targets = slices.flat_map(|slice| {
        let targets = slice.spec.endpoints.iter().filter_map(|endpoint| endpoint.target_ref.as_ref());
        targets.filter_map(move |target| Some(view.pod(slice, target)?.0))
    });
    targets.collect()
}

fn address_of(endpoint: &Endpoint) -> Option<IpAddr> {
    endpoint.addresses.first()?.parse().ok()
}

/// discovery.k8s.io/v1: unknown `ready` is true, unknown `serving` is as `ready`, unknown `terminating` is false.
fn health(conditions: Conditions) -> Health {
    let ready = conditions.ready.unwrap_or(true);
    let terminating = conditions.terminating.unwrap_or(false);
    match conditions.serving.unwrap_or(ready) {
        true if terminating => Health::Draining,
        true if ready => Health::Healthy,
        _ => Health::Unhealthy,
    }
}

/// Who answers on a port of an endpoint.
struct Target {
    /// Who must answer there; `None` if no sidecar does.
    identity: Option<SpiffeId>,
    /// The best health that it can have.
    best: Health,
    /// The pod that it is.
    pod: Option<ObjectName>,
}

fn target(
    view: &ServiceView,
    slice: &Object<EndpointSlice>,
    endpoint: &Endpoint,
    port: u16,
    trust_domain: &TrustDomain,
) -> Target {
    let (mut identity, mut best) = (None, Health::Healthy);
    let target = endpoint.target_ref.as_ref();
    // A name that makes no identity has no certificate either; it was refused when it was read.
    let id = |namespace: &str, account: &str| SpiffeId::workload(trust_domain, namespace, account).ok();
    if let Some(workload) = target.and_then(|target| view.workload(slice, target)) {
        // On which address its sidecar listens says nothing of where others reach it: in a container that is all.
        let listens = workload.spec.inbound.iter().any(|inbound| inbound.port == port);
        let namespace = &workload.metadata.namespace;
        identity = listens.then(|| id(namespace, workload.service_account())).flatten();
    }
    let pod = target.and_then(|target| view.pod(slice, target));
    match &pod {
        // What a pod without a sidecar is sent is plaintext. So as long as it is not known whether it has one, it is
        // sent nothing.
        Some((_, None)) => best = Health::Unhealthy,
        Some((name, Some(pod))) if pod.is_meshed_on(port) => {
            identity = id(&name.namespace, &pod.service_account);
            if identity.is_none() {
                best = Health::Unhealthy;
            }
        }
        _ => {}
    }
    Target { identity, best, pod: pod.map(|(name, _)| name) }
}

fn lb_endpoint(socket: SocketAddr, health: Health, identity: Option<SpiffeId>) -> LbEndpoint {
    let address = Address {
        address: Some(address::Address::SocketAddress(SocketAddress {
            address: socket.ip().to_string(),
            port_specifier: Some(PortSpecifier::PortValue(socket.port().into())),
            ..SocketAddress::default()
        })),
    };
    let status = match health {
        Health::Healthy => HealthStatus::Healthy,
        Health::Draining => HealthStatus::Draining,
        Health::Unhealthy => HealthStatus::Unhealthy,
    };
    LbEndpoint {
        health_status: status.into(),
        metadata: identity.map(|identity| {
            metadata::write(&Extra { identity: identity.as_str() })
                .expect("an object of one text has no numbers")
        }),
        host_identifier: Some(HostIdentifier::Endpoint(endpoint::Endpoint {
            address: Some(address),
            ..endpoint::Endpoint::default()
        })),
        ..LbEndpoint::default()
    }
}
