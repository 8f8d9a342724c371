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
    routes::{AttachedRoutes, Routes},
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
    routes: Routes,
    consumers: BTreeMap<String, Routes>,
    policies: Policies,
    load_balancer: Option<Arc<Object<Policy<LoadBalancer>>>>,
    /// By which of its `parentRefs` a route has it.
    attached: BTreeSet<Attachment>,
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
                let mut attached = BTreeSet::new();
                let mut routes_of = |namespace: &str| {
                    routes.to_port(namespace, service, port, &policies, &mut findings, &mut attached)
                };
                let others = namespaces.iter().filter(|namespace| **namespace != name.namespace);
                let consumers = others.map(|namespace| ((*namespace).to_owned(), routes_of(namespace)));
                PortRules {
                    consumers: consumers.filter(|(_, routes)| !routes.is_empty()).collect(),
                    routes: routes_of(&name.namespace),
                    port: port.clone(),
                    policies: policies.to_port(name, port),
                    load_balancer: policies.balancing(name, port),
                    attached,
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
        let ports = self.ports.iter().map(|rules| PortView {
            port: rules.port.clone(),
            protocol: self.protocol(&rules.port, &backing),
            routes: rules.routes.clone(),
            consumers: rules.consumers.clone(),
            policies: rules.policies.clone(),
            load_balancer: rules.load_balancer.clone(),
        });
        ServiceView {
            service: self.service.clone(),
            addresses: self.addresses.clone(),
            ports: ports.collect(),
            backing,
        }
    }

    /// By which of its `parentRefs` a route has a port of the service, as `view` has it; and what is wrong with those by
    /// which a route of requests has only ports where nobody looks for any.
    pub(super) fn attached(&self, view: &ServiceView) -> (BTreeSet<Attachment>, Vec<Finding>) {
        let (mut attached, mut unheard) = (BTreeSet::new(), BTreeMap::new());
        for (rules, PortView { protocol, port, .. }) in self.ports.iter().zip(&view.ports) {
            for attachment in &rules.attached {
                let of_requests = matches!(attachment.0.kind, ObjectKind::HttpRoute | ObjectKind::GrpcRoute);
                if of_requests && !protocol.may_be_http() {
                    unheard.entry(attachment).or_insert(port.port);
                } else {
                    attached.insert(attachment.clone());
                }
            }
        }
        let unheard = unheard.into_iter().filter(|(attachment, _)| !attached.contains(attachment));
        let findings = unheard.map(|((route, index), port)| {
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
        });
        let findings = findings.collect();
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
