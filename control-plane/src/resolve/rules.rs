//! What holds for services wherever their endpoints are: their addresses and ports, routes, policies, and the defaults of
//! namespaces. It changes seldom, and a change of one may matter to many, so it is made anew as a whole.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
};

use weft_api::{
    Object,
    kubernetes::{ServicePort, ServiceSpec, Transport},
    load_balancer::LoadBalancer,
    names,
    policy::Policy,
    ports::Ports,
};

use super::{
    Attachment, PortView, Protocol, ServiceView, addresses,
    annotations::{Annotations, Defaults},
    attach::{Attached, Policies},
    backing::Backing,
    flaw::Flaw,
    references,
    routes::{AttachedRoutes, Coming, PortRoutes},
};
use crate::store::{Finding, ObjectKind, ObjectName, Reason, Store};

/// The rules of all services.
#[derive(Debug, Default)]
pub(super) struct Rules {
    pub(super) services: BTreeMap<ObjectName, ServiceRules>,
    /// Of each namespace that is known.
    pub(super) defaults: BTreeMap<String, Defaults>,
    /// What is wrong with all of this.
    pub(super) findings: Vec<Finding>,
}

/// The rules of one service.
#[derive(Debug)]
pub(super) struct ServiceRules {
    service: Arc<Object<ServiceSpec>>,
    addresses: Vec<SocketAddr>,
    /// Its own ports that it calls opaque, or its namespace does.
    opaque: Option<Ports>,
    ports: Vec<PortRules>,
}

#[derive(Debug)]
struct PortRules {
    port: ServicePort,
    /// Its routes where requests may come, and where none are looked for: which it is, pods behind the service say too.
    of_requests: PortRoutes,
    of_bytes: PortRoutes,
    policies: Policies,
    load_balancer: Option<Arc<Object<Policy<LoadBalancer>>>>,
}

impl Rules {
    pub(super) fn of(store: &Store) -> Self {
        let mut findings = references::check(store);
        let policies = Attached::of(store, &mut findings);
        let mut addresses = addresses::assign(store, &mut findings);
        let routes = AttachedRoutes::of(store);
        let defaults = store.namespaces.values().map(|namespace| {
            (namespace.metadata.name.clone(), Defaults::of(&namespace.metadata, &mut findings))
        });
        let defaults: BTreeMap<_, _> = defaults.collect();
        let services = store.services.iter().map(|(name, service)| {
            let annotations = Annotations::of(ObjectKind::Service, &service.metadata);
            let opaque = annotations.ports(names::ANNOTATION_OPAQUE_PORTS, &mut findings);
            let of_namespace = || defaults.get(&name.namespace)?.opaque.clone();
            let namespaces = routes.namespaces(name);
            let ports = service.spec.ports.iter().filter(|port| port.protocol == Transport::Tcp);
            let ports = ports.map(|port| {
                let routes_of = |coming| routes.to_port(&namespaces, service, port, coming, &policies);
                PortRules {
                    of_requests: routes_of(Coming::Requests),
                    of_bytes: routes_of(Coming::Bytes),
                    port: port.clone(),
                    policies: policies.to_port(name, port),
                    load_balancer: policies.balancing(name, port),
                }
            });
            let rules = ServiceRules {
                addresses: addresses.remove(name).unwrap_or_default(),
                ports: ports.collect(),
                opaque: opaque.or_else(of_namespace),
                service: service.clone(),
            };
            (name.clone(), rules)
        });
        let services = services.collect();
        Self { services, defaults, findings }
    }
}

impl ServiceRules {
    /// The service, with what stands behind it.
    pub(super) fn view(&self, backing: Arc<Backing>) -> ServiceView {
        let ports = self.ports.iter().map(|rules| {
            let protocol = self.protocol(&rules.port, &backing);
            let PortRoutes { routes, consumers, .. } = rules.routes(protocol);
            PortView {
                port: rules.port.clone(),
                protocol,
                routes: routes.clone(),
                consumers: consumers.clone(),
                policies: rules.policies.clone(),
                load_balancer: rules.load_balancer.clone(),
            }
        });
        ServiceView {
            service: self.service.clone(),
            addresses: self.addresses.clone(),
            ports: ports.collect(),
            backing,
        }
    }

    /// By which of its `parentRefs` a route has a port of the service, as `view` has it; and what is wrong with the others:
    /// those that another route keeps from it, and those by which a route of requests has only ports where nobody looks for
    /// any.
    pub(super) fn attached(&self, view: &ServiceView) -> (BTreeSet<Attachment>, Vec<Finding>) {
        let (mut attached, mut findings, mut unheard) = (BTreeSet::new(), Vec::new(), BTreeMap::new());
        for (rules, PortView { protocol, port, .. }) in self.ports.iter().zip(&view.ports) {
            let routes = rules.routes(*protocol);
            attached.extend(routes.attached.iter().cloned());
            findings.extend(routes.findings.iter().cloned());
            for attachment in &routes.unheard {
                unheard.entry(attachment).or_insert(port.port);
            }
        }
        let unheard = unheard.into_iter().filter(|(attachment, _)| !attached.contains(attachment));
        findings.extend(unheard.map(|((route, index), port)| {
            let flaw = Flaw {
                field: "",
                reason: Reason::Unheeded,
                message: format!(
                    "names port {port} of Service {}, where bytes are not looked at, so no request is found",
                    ObjectName::of(&self.service.metadata),
                ),
                hint: "give the port `appProtocol: http`, or call it opaque no more; bytes go by a TCPRoute"
                    .to_owned(),
            };
            flaw.at(route, &format!("spec.parentRefs[{index}]"))
        }));
        (attached, findings)
    }

    /// What is spoken on a port. An annotation that calls it opaque, of the service, the namespace or a pod behind it, wins
    /// over its `appProtocol`.
    fn protocol(&self, port: &ServicePort, backing: &Backing) -> Protocol {
        let targets = backing.targets(&port.name);
        if self.opaque.as_ref().is_some_and(|ports| ports.contains(port.port))
            || targets.clone().any(|(_, opaque)| opaque)
        {
            return Protocol::Opaque;
        }
        let numbers = targets.map(|(number, _)| number).chain([port.port]);
        Protocol::of(port.app_protocol.as_deref(), numbers)
    }
}

impl PortRules {
    /// The routes of the port, if this is spoken there.
    fn routes(&self, protocol: Protocol) -> &PortRoutes {
        if protocol.may_be_http() { &self.of_requests } else { &self.of_bytes }
    }
}
