//! Where a service's port runs, and who must answer there.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use serde::Serialize;
use weft_api::{
    Object,
    kubernetes::{Conditions, Endpoint, EndpointSlice, Transport},
};
use weft_identity::{SpiffeId, TrustDomain};
use weft_xds::{
    Kind,
    core::{Address, HealthStatus, SocketAddress, address, socket_address::PortSpecifier},
    endpoint::{self, ClusterLoadAssignment, LbEndpoint, LocalityLbEndpoints, lb_endpoint::HostIdentifier},
    metadata,
};

use super::Draft;
use crate::{
    resolve::{PortView, ServiceView},
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

pub(super) fn draft(
    service: &ObjectName,
    view: &ServiceView,
    port: &PortView,
    trust_domain: &TrustDomain,
) -> Draft {
    let name = snapshot::port_name(service, port.port.port);
    // By address, so that neither the order of slices nor an address in two of them changes the resource.
    let mut endpoints: BTreeMap<SocketAddr, (Health, Option<SpiffeId>)> = BTreeMap::new();
    for slice in &view.slices {
        for number in ports(slice, &port.port.name) {
            for endpoint in &slice.spec.endpoints {
                let Some(address) = address_of(endpoint) else { continue };
                let address = SocketAddr::new(address, number);
                let identity = identity(view, slice, endpoint, number, trust_domain);
                let found = (health(endpoint.conditions), identity);
                let held = endpoints.entry(address).or_insert_with(|| found.clone());
                if found.0 < held.0 {
                    *held = found;
                }
            }
        }
    }
    let endpoints =
        endpoints.into_iter().map(|(address, (health, identity))| lb_endpoint(address, health, identity));
    let assignment = ClusterLoadAssignment {
        cluster_name: name.clone(),
        endpoints: vec![LocalityLbEndpoints {
            lb_endpoints: endpoints.collect(),
            load_balancing_weight: Some(1),
            ..LocalityLbEndpoints::default()
        }],
    };
    Draft::new(Kind::Endpoints, name, &assignment)
}

/// Numbers under which the endpoints of a slice serve the service's port of this name.
fn ports<'a>(slice: &'a Object<EndpointSlice>, name: &'a str) -> impl Iterator<Item = u16> + 'a {
    let ports = slice.spec.ports.iter().filter(|port| port.protocol == Transport::Tcp);
    ports.filter(move |port| port.name == name).map(|port| port.port)
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

/// Who must answer on `port`: the workload that the endpoint names, if its sidecar listens on that port. On which
/// address it listens says nothing of where others reach it: in a container that is all of them.
fn identity(
    view: &ServiceView,
    slice: &Object<EndpointSlice>,
    endpoint: &Endpoint,
    port: u16,
    trust_domain: &TrustDomain,
) -> Option<SpiffeId> {
    let workload = view.workload(slice, endpoint.target_ref.as_ref()?)?;
    if !workload.spec.inbound.iter().any(|inbound| inbound.port == port) {
        return None;
    }
    // A name that makes no identity has no certificate either; it was refused when it was read.
    SpiffeId::workload(trust_domain, &workload.metadata.namespace, workload.service_account()).ok()
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
