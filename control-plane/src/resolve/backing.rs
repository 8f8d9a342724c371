//! What stands behind a service: its endpoints, and who they are.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use weft_api::{
    Object,
    kubernetes::{EndpointSlice, Transport},
    workload::WorkloadSpec,
};

use super::{
    pods::{PodTarget, Pods},
    references,
};
use crate::store::{ObjectKey, ObjectKind, ObjectName, Store};

/// The endpoints of a service, and whom they name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Backing {
    /// The slices, by name.
    pub slices: Vec<Arc<Object<EndpointSlice>>>,
    /// The workloads that they name, as far as these are known.
    pub workloads: BTreeMap<ObjectName, Arc<Object<WorkloadSpec>>>,
    /// The pods that they name, likewise.
    pub pods: BTreeMap<ObjectName, Arc<PodTarget>>,
    /// Of each slice the ports that are opaque because one of its pods says so.
    opaque: Vec<BTreeSet<u16>>,
}

/// None of it is a floating number. So two references to the same one are known to be equal without a look at it.
impl Eq for Backing {}

impl Backing {
    pub(super) fn of(slices: Vec<Arc<Object<EndpointSlice>>>, store: &Store, known: &Pods) -> Self {
        let (mut workloads, mut pods, mut opaque) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        for slice in &slices {
            let ports = slice.spec.ports.iter().filter(|port| port.protocol == Transport::Tcp);
            let ports: Vec<u16> = ports.map(|port| port.port).collect();
            let mut opaque_here = BTreeSet::new();
            for ObjectKey { kind, name } in references::named(slice) {
                if kind == ObjectKind::Workload {
                    if let Some(workload) = store.workloads.get(&name) {
                        workloads.insert(name, workload.clone());
                    }
                } else if let Some(pod) = known.get(&name) {
                    opaque_here.extend(ports.iter().filter(|port| pod.opaque.contains(**port)));
                    pods.insert(name, pod.target.clone());
                }
            }
            opaque.push(opaque_here);
        }
        Self { slices, workloads, pods, opaque }
    }

    /// Numbers under which the service's port of this name is served, and whether a pod there says that they are opaque.
    pub(super) fn targets<'a>(
        &'a self,
        name: &'a str,
    ) -> impl Iterator<Item = (u16, bool)> + Clone + use<'a> {
        let slices = self.slices.iter().zip(&self.opaque);
        slices.flat_map(move |(slice, opaque)| {
            references::targets(slice, name).map(|number| (number, opaque.contains(&number)))
        })
    }

    /// The pods that they name, be they known or not.
    pub(super) fn named(&self) -> impl Iterator<Item = ObjectName> {
        let named = self.slices.iter().flat_map(|slice| references::named(slice));
        named.filter(|target| target.kind == ObjectKind::Pod).map(|target| target.name)
    }
}
