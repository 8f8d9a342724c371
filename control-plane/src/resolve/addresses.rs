//! Which service a virtual address belongs to.

use std::{collections::BTreeMap, net::SocketAddr};

use weft_api::{
    Object,
    kubernetes::{ServiceSpec, Transport},
};

use crate::store::{Finding, ObjectKey, ObjectKind, ObjectName, Reason, Store};

/// The virtual addresses of each service, with its ports. Where two claim the same, the older has it.
pub(super) fn assign(store: &Store, findings: &mut Vec<Finding>) -> BTreeMap<ObjectName, Vec<SocketAddr>> {
    let mut services: Vec<_> = store.services.iter().collect();
    services.sort_by(|(_, a), (_, b)| a.metadata.seniority().cmp(&b.metadata.seniority()));
    let mut owners: BTreeMap<SocketAddr, &ObjectName> = BTreeMap::new();
    for (name, service) in services {
        let claimed = claims(service).find_map(|claim| owners.get(&claim).map(|owner| (claim, *owner)));
        if let Some((address, owner)) = claimed {
            findings.push(Finding {
                object: ObjectKey { kind: ObjectKind::Service, name: name.clone() },
                field: "spec.clusterIP".to_owned(),
                reason: Reason::Conflicted,
                message: format!("with the port is {address}, which belongs to Service {owner} already"),
                hint: "give each service an address of its own, or none".to_owned(),
            });
        }
        for claim in claims(service) {
            owners.entry(claim).or_insert(name);
        }
    }
    let mut addresses: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (address, owner) in owners {
        addresses.entry(owner.clone()).or_default().push(address);
    }
    addresses
}

fn claims(service: &Object<ServiceSpec>) -> impl Iterator<Item = SocketAddr> {
    let ports =
        service.spec.ports.iter().filter(|port| port.protocol == Transport::Tcp).map(|port| port.port);
    let addresses = service.spec.addresses();
    ports.flat_map(move |port| addresses.clone().into_iter().map(move |address| (address, port).into()))
}
