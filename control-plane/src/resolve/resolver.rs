//! Follows one store after another, and resolves anew what a change touches.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::Arc,
};

use super::{
    Attachment, PodView, Resolved, ServiceView, WorkloadView,
    backing::Backing,
    changes::follow,
    pods::{self, Facts, Pods},
    protocol::Protocol,
    references,
    referrers::Referrers,
    rules::Rules,
    select,
};
use crate::store::{Finding, ObjectKey, ObjectKind, ObjectName, Store, Table, within};

/// Resolves one store after another. What comes out is what resolving the last one alone would give.
#[derive(Debug, Default)]
pub struct Resolver {
    /// What was resolved last.
    pub(super) store: Store,
    referrers: Referrers,
    rules: Rules,
    pods: Pods,
    /// Beside those of the rules.
    findings: Findings,
    /// By which of its `parentRefs` a route has a port, by service.
    attached: BTreeMap<ObjectName, BTreeSet<Attachment>>,
    resolved: Resolved,
}

/// What a change made of what was resolved: that which is new, gone, or not what it was, and what it was.
#[derive(Debug, Default)]
pub struct Changed {
    /// Services.
    pub services: BTreeMap<ObjectName, Option<ServiceView>>,
    /// Pods.
    pub pods: BTreeMap<ObjectName, Option<PodView>>,
    /// Workloads.
    pub workloads: BTreeMap<ObjectName, Option<WorkloadView>>,
}

/// What has to be resolved anew: too much is work in vain, too little is an error.
#[derive(Debug, Default)]
struct Touched {
    /// Services of which the endpoints are touched.
    services: BTreeSet<ObjectName>,
    slices: BTreeSet<ObjectName>,
    pods: BTreeSet<ObjectName>,
    workloads: BTreeSet<ObjectName>,
    /// Namespaces in which policies may select others than before.
    selecting: BTreeSet<String>,
    /// All services, and their rules.
    rules: bool,
}

/// What is wrong, by the object that was looked at.
#[derive(Debug, Default)]
struct Findings {
    by_object: BTreeMap<ObjectKey, Vec<Finding>>,
    /// Whether there are others than when they were put together last.
    are_new: bool,
}

impl Findings {
    fn note(&mut self, kind: ObjectKind, name: &ObjectName, found: Vec<Finding>) {
        let key = ObjectKey { kind, name: name.clone() };
        if self.by_object.get(&key).map_or(&[][..], Vec::as_slice) == found {
            return;
        }
        self.are_new = true;
        if found.is_empty() {
            self.by_object.remove(&key);
        } else {
            self.by_object.insert(key, found);
        }
    }
}

impl Resolver {
    /// What the last store was resolved to.
    pub fn resolved(&self) -> &Resolved {
        &self.resolved
    }

    pub(super) fn into_resolved(self) -> Resolved {
        self.resolved
    }

    /// Resolves `store`, and says what became another by it.
    pub fn resolve(&mut self, store: &Store) -> Changed {
        let mut touched = self.follow(store);
        if touched.rules {
            self.rules = Rules::of(&self.store);
        }
        for pod in &touched.pods {
            self.learn_of_pod(pod);
        }
        for name in &touched.slices {
            let slice = self.store.endpoint_slices.get(name);
            let found = slice.map(|slice| references::of_slice(&self.store, slice));
            self.findings.note(ObjectKind::EndpointSlice, name, found.unwrap_or_default());
        }
        let services = self.resolve_services(&touched);
        let views =
            services.iter().flat_map(|(name, before)| before.iter().chain(self.resolved.services.get(name)));
        touched.pods.extend(views.flat_map(|view| view.backing.named()));
        let pods = self.resolve_pods(&touched.pods);
        let workloads = self.resolve_workloads(&touched.workloads);
        for namespace in &touched.selecting {
            let found = select::check(&self.store, namespace);
            self.findings.note(ObjectKind::Namespace, &ObjectName::new("", namespace), found);
        }
        if touched.rules || mem::take(&mut self.findings.are_new) {
            let all = self.findings.by_object.values().flatten().chain(&self.rules.findings);
            let mut all: Vec<_> = all.cloned().collect();
            all.sort();
            self.resolved.findings = all.into();
        }
        Changed { services, pods, workloads }
    }

    /// Makes its own store the same as `now`, and says what that touches at once.
    fn follow(&mut self, now: &Store) -> Touched {
        let mut touched = Touched::default();
        let slices = follow(&mut self.store.endpoint_slices, &now.endpoint_slices);
        for slice in &slices {
            slice.before().into_iter().for_each(|slice| self.referrers.remove(slice));
            slice.after().into_iter().for_each(|slice| self.referrers.insert(slice));
            touched.services.extend(slice.forms().filter_map(references::owner));
            touched.slices.insert(slice.name.clone());
        }
        for pod in follow(&mut self.store.pods, &now.pods) {
            self.touch_named(ObjectKind::Pod, &pod.name, &mut touched);
            touched.pods.insert(pod.name);
        }
        for workload in follow(&mut self.store.workloads, &now.workloads) {
            self.touch_named(ObjectKind::Workload, &workload.name, &mut touched);
            touched.workloads.insert(workload.name);
        }
        let authorizations = follow(&mut self.store.authorizations, &now.authorizations);
        let rate_limits = follow(&mut self.store.rate_limits, &now.rate_limits);
        let of_authorizations = authorizations.into_iter().map(|policy| policy.name.namespace);
        let of_rate_limits = rate_limits.into_iter().map(|policy| policy.name.namespace);
        for namespace in of_authorizations.chain(of_rate_limits).collect::<BTreeSet<_>>() {
            touched.pods.extend(names_within(&self.store.pods, &namespace));
            touched.workloads.extend(names_within(&self.store.workloads, &namespace));
            touched.selecting.insert(namespace);
        }
        self.follow_rules(now, &mut touched);
        touched
    }

    /// The same of what the rules are made from.
    fn follow_rules(&mut self, now: &Store, touched: &mut Touched) {
        let held = &mut self.store;
        touched.rules = [
            follow(&mut held.http_routes, &now.http_routes).is_empty(),
            follow(&mut held.grpc_routes, &now.grpc_routes).is_empty(),
            follow(&mut held.tls_routes, &now.tls_routes).is_empty(),
            follow(&mut held.tcp_routes, &now.tcp_routes).is_empty(),
            follow(&mut held.circuit_breakers, &now.circuit_breakers).is_empty(),
            follow(&mut held.fault_injections, &now.fault_injections).is_empty(),
            follow(&mut held.load_balancers, &now.load_balancers).is_empty(),
            follow(&mut held.retries, &now.retries).is_empty(),
        ]
        .contains(&false);
        let (services, namespaces) =
            (follow(&mut held.services, &now.services), follow(&mut held.namespaces, &now.namespaces));
        for service in services {
            touched.rules = true;
            touched.slices.extend(self.referrers.of(ObjectKind::Service, &service.name).cloned());
        }
        for namespace in namespaces {
            touched.rules = true;
            for pod in names_within(&self.store.pods, &namespace.name.name) {
                self.touch_named(ObjectKind::Pod, &pod, touched);
                touched.pods.insert(pod);
            }
        }
        if touched.rules {
            touched.workloads.extend(self.store.workloads.keys().cloned());
        }
    }

    /// Touches the slices that name an object, and their services, and the policies that may select it.
    fn touch_named(&self, kind: ObjectKind, name: &ObjectName, touched: &mut Touched) {
        for slice in self.referrers.of(kind, name) {
            let service = self.store.endpoint_slices.get(slice).and_then(|slice| references::owner(slice));
            touched.services.extend(service);
            touched.slices.insert(slice.clone());
        }
        touched.selecting.insert(name.namespace.clone());
    }

    fn learn_of_pod(&mut self, name: &ObjectName) {
        let defaults = self.rules.defaults.get(&name.namespace).cloned().unwrap_or_default();
        let facts = self.store.pods.get(name).and_then(|pod| Facts::of(pod, &defaults));
        match facts {
            Some(facts) => drop(self.pods.insert(name.clone(), facts)),
            None => drop(self.pods.remove(name)),
        }
    }

    /// Resolves the services whose endpoints are touched; if the rules are, all.
    fn resolve_services(&mut self, touched: &Touched) -> BTreeMap<ObjectName, Option<ServiceView>> {
        let mut names = touched.services.clone();
        if touched.rules {
            names.extend(self.resolved.services.keys().chain(self.rules.services.keys()).cloned());
        }
        let (mut changed, mut attached) = (BTreeMap::new(), false);
        for name in names {
            let held = self.resolved.services.get(&name).filter(|_| !touched.services.contains(&name));
            let after = self.rules.services.get(&name).map(|rules| {
                rules.view(held.map_or_else(|| self.backing(&name), |held| held.backing.clone()))
            });
            attached |= self.attach(&name, after.as_ref());
            replace(&mut self.resolved.services, name, after, &mut changed);
        }
        if attached {
            self.resolved.attached = Arc::new(self.attached.values().flatten().cloned().collect());
        }
        changed
    }

    /// Notes by which of its parents a route has a port of a service, and which have none for what is spoken there. Says
    /// whether it is others than before.
    fn attach(&mut self, service: &ObjectName, view: Option<&ServiceView>) -> bool {
        let rules = self.rules.services.get(service);
        let (attached, found) = rules.zip(view).map(|(rules, view)| rules.attached(view)).unwrap_or_default();
        self.findings.note(ObjectKind::Service, service, found);
        let before = self.attached.remove(service).unwrap_or_default();
        let is_new = before != attached;
        if !attached.is_empty() {
            self.attached.insert(service.clone(), attached);
        }
        is_new
    }

    fn backing(&self, service: &ObjectName) -> Arc<Backing> {
        let names = self.referrers.of(ObjectKind::Service, service);
        let slices = names.filter_map(|name| self.store.endpoint_slices.get(name)).cloned();
        Arc::new(Backing::of(slices.collect(), &self.store, &self.pods))
    }

    fn resolve_pods(&mut self, touched: &BTreeSet<ObjectName>) -> BTreeMap<ObjectName, Option<PodView>> {
        let mut changed = BTreeMap::new();
        for name in touched {
            let facts = self.pods.get(name);
            let mut found = facts.map(|facts| facts.findings.clone()).unwrap_or_default();
            let after = facts.filter(|facts| facts.target.meshed).map(|facts| {
                let policies = select::for_workload(&self.store, &facts.pod.metadata);
                pods::view(facts, self.led(name), policies, &mut found)
            });
            self.findings.note(ObjectKind::Pod, name, found);
            replace(&mut self.resolved.pods, name.clone(), after, &mut changed);
        }
        changed
    }

    /// What the Services that lead to a pod say is spoken on its ports. Of several the first by name counts.
    fn led(&self, pod: &ObjectName) -> BTreeMap<u16, Protocol> {
        let slices =
            self.referrers.of(ObjectKind::Pod, pod).filter_map(|name| self.store.endpoint_slices.get(name));
        let mut leading: Vec<_> =
            slices.filter_map(|slice| Some((references::owner(slice)?, slice))).collect();
        leading.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut led = BTreeMap::new();
        for (service, slice) in leading {
            for port in self.resolved.services.get(&service).iter().flat_map(|view| &view.ports) {
                for number in references::targets(slice, &port.port.name) {
                    led.entry(number).or_insert(port.protocol);
                }
            }
        }
        led
    }

    fn resolve_workloads(
        &mut self,
        touched: &BTreeSet<ObjectName>,
    ) -> BTreeMap<ObjectName, Option<WorkloadView>> {
        let mut changed = BTreeMap::new();
        for name in touched {
            let workload = self.store.workloads.get(name);
            let found = workload.map(|workload| references::of_workload(&self.store, workload));
            self.findings.note(ObjectKind::Workload, name, found.unwrap_or_default());
            let after = workload.map(|workload| WorkloadView {
                policies: select::for_workload(&self.store, &workload.metadata),
                workload: workload.clone(),
            });
            replace(&mut self.resolved.workloads, name.clone(), after, &mut changed);
        }
        changed
    }
}

/// Puts `after` in its place, and notes what was there if that is another.
fn replace<V: PartialEq>(
    views: &mut BTreeMap<ObjectName, V>,
    name: ObjectName,
    after: Option<V>,
    changed: &mut BTreeMap<ObjectName, Option<V>>,
) {
    let before = views.remove(&name);
    if before != after {
        changed.insert(name.clone(), before);
    }
    views.extend(after.map(|view| (name, view)));
}

fn names_within<S>(table: &Table<S>, namespace: &str) -> Vec<ObjectName> {
    within(table, namespace).map(|object| ObjectName::of(&object.metadata)).collect()
}
