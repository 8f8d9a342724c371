//! Which policy applies to what. Policies are not merged: the oldest wins, the others are told so (GEP-713).

use std::{collections::BTreeMap, sync::Arc};

use weft_api::{
    Object,
    circuit_breaker::CircuitBreaker,
    fault_injection::FaultInjection,
    gateway::{self, RouteSpec, Rule},
    kubernetes::ServicePort,
    load_balancer::LoadBalancer,
    object::Metadata,
    policy::{Policy, TargetRef},
    retry::Retry,
};

use super::flaw::Flaw;
use crate::store::{Finding, ObjectKey, ObjectKind, ObjectName, Reason, Store, Table};

/// The policies that are attached to a port of a service, or to a rule of a route.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policies {
    /// The circuit breaker: of the port's cluster, or one that stands before the services'.
    pub circuit_breaker: Option<Arc<Object<Policy<CircuitBreaker>>>>,
    /// The retry policy. That of a rule takes the place of the service's.
    pub retry: Option<Arc<Object<Policy<Retry>>>>,
    /// The faults to inject. Those of a rule take the place of the service's.
    pub fault_injection: Option<Arc<Object<Policy<FaultInjection>>>>,
}

/// The policies of all such kinds, to be asked which of them apply to something.
pub(super) struct Attached {
    circuit_breakers: Attachments<Policy<CircuitBreaker>>,
    retries: Attachments<Policy<Retry>>,
    fault_injections: Attachments<Policy<FaultInjection>>,
    load_balancers: Attachments<Policy<LoadBalancer>>,
}

impl Attached {
    pub(super) fn of(store: &Store, findings: &mut Vec<Finding>) -> Self {
        Self {
            circuit_breakers: Attachments::of_circuit_breakers(store, findings),
            retries: Attachments::of_retries(store, findings),
            fault_injections: Attachments::of_fault_injections(store, findings),
            load_balancers: Attachments::of_load_balancers(store, findings),
        }
    }

    /// What applies to a port of a service: what names the port, or else what names the service.
    pub(super) fn to_port(&self, service: &ObjectName, port: &ServicePort) -> Policies {
        Policies {
            circuit_breaker: self.circuit_breakers.of_port(service, port),
            retry: self.retries.of_port(service, port),
            fault_injection: self.fault_injections.of_port(service, port),
        }
    }

    /// How endpoints of a port of a service are chosen, likewise.
    pub(super) fn balancing(
        &self,
        service: &ObjectName,
        port: &ServicePort,
    ) -> Option<Arc<Object<Policy<LoadBalancer>>>> {
        self.load_balancers.of_port(service, port)
    }

    /// What applies to a rule of a route: what names the rule, or else what names the route.
    pub(super) fn to_rule<M>(&self, route: &ObjectKey, rule: &Rule<M>) -> Policies {
        Policies {
            circuit_breaker: self.circuit_breakers.of_rule(route, rule),
            retry: self.retries.of_rule(route, rule),
            fault_injection: self.fault_injections.of_rule(route, rule),
        }
    }
}

/// The policies of one kind, by what they are attached to.
struct Attachments<S> {
    by_target: BTreeMap<Target, Arc<Object<S>>>,
}

/// What a policy is attached to. A section is a target of its own, and wins over the whole.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Target {
    kind: ObjectKind,
    name: ObjectName,
    section: Option<String>,
}

impl Attachments<Policy<CircuitBreaker>> {
    fn of_circuit_breakers(store: &Store, findings: &mut Vec<Finding>) -> Self {
        Self::attach(store, &store.circuit_breakers, ObjectKind::CircuitBreakerPolicy, findings)
    }
}

impl Attachments<Policy<Retry>> {
    fn of_retries(store: &Store, findings: &mut Vec<Finding>) -> Self {
        Self::attach(store, &store.retries, ObjectKind::RetryPolicy, findings)
    }
}

impl Attachments<Policy<FaultInjection>> {
    fn of_fault_injections(store: &Store, findings: &mut Vec<Finding>) -> Self {
        Self::attach(store, &store.fault_injections, ObjectKind::FaultInjectionPolicy, findings)
    }
}

impl Attachments<Policy<LoadBalancer>> {
    fn of_load_balancers(store: &Store, findings: &mut Vec<Finding>) -> Self {
        Self::attach(store, &store.load_balancers, ObjectKind::LoadBalancerPolicy, findings)
    }
}

impl<P> Attachments<Policy<P>> {
    /// Walks the policies from the oldest to the youngest, so that whoever comes to a target first has won it.
    fn attach(
        store: &Store,
        table: &Table<Policy<P>>,
        kind: ObjectKind,
        findings: &mut Vec<Finding>,
    ) -> Self {
        let mut policies: Vec<_> = table.values().collect();
        policies.sort_by(|a, b| a.metadata.seniority().cmp(&b.metadata.seniority()));
        let mut by_target: BTreeMap<Target, Arc<Object<Policy<P>>>> = BTreeMap::new();
        for policy in policies {
            let object = ObjectKey { kind, name: ObjectName::of(&policy.metadata) };
            for (index, reference) in policy.spec.target_refs.iter().enumerate() {
                let found =
                    target(store, &object, reference).and_then(|target| match by_target.get(&target) {
                        Some(elder) if !Arc::ptr_eq(elder, policy) => {
                            Err(conflicted(&target, &elder.metadata))
                        }
                        _ => Ok(target),
                    });
                match found {
                    Ok(target) => drop(by_target.insert(target, policy.clone())),
                    Err(flaw) => findings.push(flaw.at(&object, &format!("spec.targetRefs[{index}]"))),
                }
            }
        }
        Self { by_target }
    }
}

impl<S> Attachments<S> {
    fn of_port(&self, service: &ObjectName, port: &ServicePort) -> Option<Arc<Object<S>>> {
        self.find(ObjectKind::Service, service, Some(port.port.to_string()))
            .or_else(|| self.find(ObjectKind::Service, service, None))
    }

    fn of_rule<M>(&self, route: &ObjectKey, rule: &Rule<M>) -> Option<Arc<Object<S>>> {
        let named = rule.name.clone().and_then(|name| self.find(route.kind, &route.name, Some(name)));
        named.or_else(|| self.find(route.kind, &route.name, None))
    }

    fn find(&self, kind: ObjectKind, name: &ObjectName, section: Option<String>) -> Option<Arc<Object<S>>> {
        self.by_target.get(&Target { kind, name: name.clone(), section }).cloned()
    }
}

fn conflicted(target: &Target, elder: &Metadata) -> Flaw {
    let section = target.section.as_ref().map(|section| format!(" section {section}")).unwrap_or_default();
    Flaw {
        field: "",
        reason: Reason::Conflicted,
        message: format!(
            "names {} {}{section}, to which the older `{}` is attached; policies are not merged",
            target.kind.name(),
            target.name,
            elder.name,
        ),
        hint: format!("put both into one policy, or remove `{}`", elder.name),
    }
}

/// The target that `reference` names, in the namespace of its policy.
fn target(store: &Store, policy: &ObjectKey, reference: &TargetRef) -> Result<Target, Flaw> {
    let name = ObjectName::new(&policy.name.namespace, &reference.name);
    let section = reference.section_name.clone();
    match (reference.group.as_str(), reference.kind.as_str()) {
        ("", "Service") => service(store, name, section),
        (group, kind) if policy.kind == ObjectKind::LoadBalancerPolicy => Err(Flaw::unsupported(
            "kind",
            format!("is {kind} of group `{group}`, which has no endpoints of its own"),
            "use kind Service of group \"\"",
        )),
        (gateway::GROUP, "HTTPRoute") => route(&store.http_routes, ObjectKind::HttpRoute, name, section),
        (gateway::GROUP, "GRPCRoute") => route(&store.grpc_routes, ObjectKind::GrpcRoute, name, section),
        (group, kind) => Err(Flaw::unsupported(
            "kind",
            format!("is {kind} of group `{group}`, to which no policy can be attached"),
            "use kind Service of group \"\", or HTTPRoute or GRPCRoute of group gateway.networking.k8s.io",
        )),
    }
}

fn service(store: &Store, name: ObjectName, section: Option<String>) -> Result<Target, Flaw> {
    let Some(service) = store.services.get(&name) else {
        return Err(Flaw::dangling("name", format!("names Service {name}, which does not exist")));
    };
    let Some(section) = section else {
        return Ok(Target { kind: ObjectKind::Service, name, section: None });
    };
    let named = |port: &&ServicePort| port.name == section || port.port.to_string() == section;
    match service.spec.ports.iter().find(named) {
        // A port has a name and a number: either way it is the same target.
        Some(port) => Ok(Target { kind: ObjectKind::Service, name, section: Some(port.port.to_string()) }),
        None => {
            Err(Flaw::dangling("sectionName", format!("is `{section}`, which is no port of Service {name}")))
        }
    }
}

fn route<M>(
    routes: &Table<RouteSpec<M>>,
    kind: ObjectKind,
    name: ObjectName,
    section: Option<String>,
) -> Result<Target, Flaw> {
    let word = kind.name();
    let Some(route) = routes.get(&name) else {
        return Err(Flaw::dangling("name", format!("names {word} {name}, which does not exist")));
    };
    match &section {
        Some(rule) if !route.spec.rules.iter().any(|one| one.name.as_ref() == Some(rule)) => {
            Err(Flaw::dangling("sectionName", format!("is `{rule}`, which is no rule of {word} {name}")))
        }
        _ => Ok(Target { kind, name, section }),
    }
}
