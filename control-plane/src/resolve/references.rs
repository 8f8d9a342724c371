//! References from one object to another that must lead somewhere.

use weft_api::{
    Object,
    gateway::{BackendRef, Filter, ParentRef, Route, RouteSpec, StreamRouteSpec},
    kubernetes::{
        EndpointSlice, Exposure, LABEL_SERVICE_NAME, ObjectReference, ServicePort, ServiceSpec, Transport,
    },
    object::Metadata,
    workload::WorkloadSpec,
};

use super::flaw::Flaw;
use crate::store::{Finding, ObjectKey, ObjectKind, ObjectName, Reason, Store};

/// The Service that is a parent of a route; `None` if it is something else, which is not supported.
pub(super) fn service_of(parent: &ParentRef, route: &Metadata) -> Option<ObjectName> {
    let namespace = parent.namespace.as_ref().unwrap_or(&route.namespace);
    let is_service = parent.group.is_empty() && parent.kind == ObjectKind::Service.name();
    is_service.then(|| ObjectName::new(namespace, &parent.name))
}

/// Why no route can be attached to `service`: what it is.
fn unroutable(service: &ServiceSpec) -> Option<&'static str> {
    if service.exposure == Exposure::ExternalName {
        return Some("an ExternalName: nobody calls an address of its own");
    }
    service.is_headless().then_some("headless: its pods are called by their own addresses")
}

/// Whether routes can be attached to `service`.
pub(super) fn is_routable(service: &ServiceSpec) -> bool {
    unroutable(service).is_none()
}

/// Whether `parent` means `port`: by number, by name, or because it means all.
pub(super) fn names_port(parent: &ParentRef, port: &ServicePort) -> bool {
    parent.port.is_none_or(|number| number == port.port)
        && parent.section_name.as_ref().is_none_or(|name| *name == port.name)
}

/// What an endpoint names, if it is of `kind`.
pub(super) fn target_name(
    target: &ObjectReference,
    slice: &Object<EndpointSlice>,
    kind: ObjectKind,
) -> Option<ObjectName> {
    let namespace = target.namespace.as_ref().unwrap_or(&slice.metadata.namespace);
    (target.kind == kind.name()).then(|| ObjectName::new(namespace, &target.name))
}

/// The service that a slice belongs to.
pub(super) fn owner(slice: &Object<EndpointSlice>) -> Option<ObjectName> {
    let service = slice.metadata.labels.get(LABEL_SERVICE_NAME)?;
    Some(ObjectName::new(&slice.metadata.namespace, service))
}

/// The workloads and the pods that the endpoints of a slice name.
pub(super) fn named(slice: &Object<EndpointSlice>) -> impl Iterator<Item = ObjectKey> {
    let targets = slice.spec.endpoints.iter().filter_map(|endpoint| endpoint.target_ref.as_ref());
    targets.filter_map(|target| {
        let of_kind = |kind| target_name(target, slice, kind).map(|name| ObjectKey { kind, name });
        of_kind(ObjectKind::Workload).or_else(|| of_kind(ObjectKind::Pod))
    })
}

/// Numbers under which the endpoints of a slice serve the service's port of this name.
pub(super) fn targets<'a>(
    slice: &'a Object<EndpointSlice>,
    name: &'a str,
) -> impl Iterator<Item = u16> + Clone + use<'a> {
    let ports = slice.spec.ports.iter().filter(|port| port.protocol == Transport::Tcp);
    ports.filter(move |port| port.name == name).map(|port| port.port)
}

/// What refers to nothing, or to what is not supported, of routes and Services.
pub(super) fn check(store: &Store) -> Vec<Finding> {
    let mut findings = Vec::new();
    for route in store.http_routes.values() {
        of_route(store, ObjectKind::HttpRoute, route, &mut findings);
    }
    for route in store.grpc_routes.values() {
        of_route(store, ObjectKind::GrpcRoute, route, &mut findings);
    }
    for route in store.tls_routes.values() {
        of_stream_route(store, ObjectKind::TlsRoute, route, &mut findings);
    }
    for route in store.tcp_routes.values() {
        of_stream_route(store, ObjectKind::TcpRoute, route, &mut findings);
    }
    for service in store.services.values().filter(|service| service.spec.exposure == Exposure::ExternalName) {
        let flaw = Flaw::unsupported(
            "type",
            "is ExternalName, which has no endpoints and is not supported yet".to_owned(),
            "write a Service with ports, and an EndpointSlice",
        );
        findings.push(flaw.at(&about(ObjectKind::Service, &service.metadata), "spec"));
    }
    findings
}

/// The same of a slice.
pub(super) fn of_slice(store: &Store, slice: &Object<EndpointSlice>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let object = about(ObjectKind::EndpointSlice, &slice.metadata);
    let flaw = match owner(slice) {
        None => Some(Flaw {
            field: "",
            reason: Reason::MissingField,
            message: "holds no service, so the slice belongs to none".to_owned(),
            hint: format!("add the label `{LABEL_SERVICE_NAME}: <service>`"),
        }),
        Some(service) if store.services.contains_key(&service) => None,
        Some(service) => Some(Flaw::dangling("", no_service(&service))),
    };
    // A label's name may hold dots, so it stands in brackets as in JSONPath.
    findings.extend(flaw.map(|flaw| flaw.at(&object, &format!("metadata.labels['{LABEL_SERVICE_NAME}']"))));
    for (index, endpoint) in slice.spec.endpoints.iter().enumerate() {
        let Some(target) = &endpoint.target_ref else { continue };
        let missing = |kind, known: &dyn Fn(&ObjectName) -> bool| {
            target_name(target, slice, kind).filter(|name| !known(name)).map(|name| (kind, name))
        };
        let missing = missing(ObjectKind::Workload, &|name| store.workloads.contains_key(name))
            .or_else(|| missing(ObjectKind::Pod, &|name| store.pods.contains_key(name)));
        if let Some((kind, name)) = missing {
            let flaw = Flaw::dangling("name", format!("names {} {name}, which does not exist", kind.name()));
            findings.push(flaw.at(&object, &format!("endpoints[{index}].targetRef")));
        }
    }
    findings
}

fn of_route<M>(store: &Store, kind: ObjectKind, route: &Object<RouteSpec<M>>, findings: &mut Vec<Finding>) {
    let object = about(kind, &route.metadata);
    of_parents(store, kind, route, findings);
    for (index, rule) in route.spec.rules.iter().enumerate() {
        let backends = rule.backend_refs.iter().enumerate();
        let backends = backends.map(|(index, backend)| (format!("backendRefs[{index}]"), backend));
        let mirrors = rule.filters.iter().enumerate().filter_map(|(index, filter)| match filter {
            Filter::RequestMirror(mirror) => {
                Some((format!("filters[{index}].requestMirror.backendRef"), &mirror.backend_ref))
            }
            _ => None,
        });
        for (field, backend) in backends.chain(mirrors) {
            let flaw = of_backend(store, &route.metadata, backend);
            findings.extend(flaw.map(|flaw| flaw.at(&object, &format!("spec.rules[{index}].{field}"))));
        }
    }
}

fn of_stream_route(
    store: &Store,
    kind: ObjectKind,
    route: &Object<StreamRouteSpec>,
    findings: &mut Vec<Finding>,
) {
    let object = about(kind, &route.metadata);
    of_parents(store, kind, route, findings);
    for (index, backend) in route.spec.backends().iter().enumerate() {
        let flaw = of_backend(store, &route.metadata, backend);
        findings.extend(flaw.map(|flaw| flaw.at(&object, &format!("spec.rules[0].backendRefs[{index}]"))));
    }
}

fn of_parents(store: &Store, kind: ObjectKind, route: &Object<impl Route>, findings: &mut Vec<Finding>) {
    let object = about(kind, &route.metadata);
    for (index, parent) in route.spec.parents().iter().enumerate() {
        let flaw = of_parent(store, &route.metadata, parent);
        findings.extend(flaw.map(|flaw| flaw.at(&object, &format!("spec.parentRefs[{index}]"))));
    }
}

/// The same of a workload.
pub(super) fn of_workload(store: &Store, workload: &Object<WorkloadSpec>) -> Vec<Finding> {
    let object = about(ObjectKind::Workload, &workload.metadata);
    let outbound = workload.spec.outbound.iter().enumerate();
    let findings = outbound.filter_map(|(index, outbound)| {
        let namespace = outbound.namespace.as_ref().unwrap_or(&workload.metadata.namespace);
        let flaw = of_port(store, &ObjectName::new(namespace, &outbound.service), outbound.port, "service");
        flaw.map(|flaw| flaw.at(&object, &format!("spec.outbound[{index}]")))
    });
    findings.collect()
}

fn of_parent(store: &Store, route: &Metadata, parent: &ParentRef) -> Option<Flaw> {
    let Some(name) = service_of(parent, route) else {
        let message =
            format!("is {} of group `{}`; only Services are supported yet", parent.kind, parent.group);
        return Some(Flaw::unsupported("kind", message, "write `group: \"\"` and `kind: Service`"));
    };
    let Some(service) = store.services.get(&name) else {
        return Some(Flaw::dangling("name", no_service(&name)));
    };
    if let Some(what) = unroutable(&service.spec) {
        let message = format!("names Service {name}, which is {what}");
        return Some(Flaw::unsupported("name", message, "name a Service with a cluster IP"));
    }
    let mut ports = service.spec.ports.iter().filter(|port| port.protocol == Transport::Tcp);
    if ports.any(|port| names_port(parent, port)) {
        return None;
    }
    Some(match (parent.port, &parent.section_name) {
        (Some(port), _) => Flaw::dangling("port", no_port(&name, port)),
        (None, Some(section)) => {
            Flaw::dangling("sectionName", format!("is `{section}`, which is no port of Service {name}"))
        }
        (None, None) => Flaw::dangling("name", format!("names Service {name}, which has no ports")),
    })
}

fn of_backend(store: &Store, route: &Metadata, backend: &BackendRef) -> Option<Flaw> {
    if !backend.group.is_empty() || backend.kind != "Service" {
        let message = format!("is {} of group `{}`; only Services can answer", backend.kind, backend.group);
        return Some(Flaw::unsupported("kind", message, "leave `group` and `kind` out"));
    }
    let Some(port) = backend.port else {
        return Some(Flaw {
            field: "port",
            reason: Reason::MissingField,
            message: "is missing; a Service needs one".to_owned(),
            hint: "add `port: <number>`".to_owned(),
        });
    };
    let namespace = backend.namespace.as_ref().unwrap_or(&route.namespace);
    of_port(store, &ObjectName::new(namespace, &backend.name), port, "name")
}

/// A reference to a port of a Service, whose name stands in the field `service_field`.
fn of_port(store: &Store, name: &ObjectName, port: u16, service_field: &'static str) -> Option<Flaw> {
    match store.services.get(name) {
        None => Some(Flaw::dangling(service_field, no_service(name))),
        Some(service) if service.spec.ports.iter().any(|one| one.port == port) => None,
        Some(_) => Some(Flaw::dangling("port", no_port(name, port))),
    }
}

fn no_service(name: &ObjectName) -> String {
    format!("names Service {name}, which does not exist")
}

fn no_port(name: &ObjectName, port: u16) -> String {
    format!("is {port}, which is no port of Service {name}")
}

pub(super) fn about(kind: ObjectKind, metadata: &Metadata) -> ObjectKey {
    ObjectKey { kind, name: ObjectName::of(metadata) }
}
