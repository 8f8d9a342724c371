//! Which routes are attached to a port of a service. Those of one kind only: the more a kind knows of what it routes, the
//! sooner it wins (GEP-1426), as long as what it routes can come there at all. A namespace may have routes of its own to a
//! service elsewhere: for its callers they take the place of those beside the service.

mod conflicts;

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::Arc,
};

use weft_api::{
    Object,
    gateway::{GrpcMatch, GrpcRouteSpec, HttpRouteSpec, Match, ParentRef, Route, RouteSpec, StreamRouteSpec},
    kubernetes::{ServicePort, ServiceSpec},
};

use super::{
    Attachment,
    attach::{Attached, Policies},
    references,
};
use crate::store::{Finding, ObjectKey, ObjectKind, ObjectName, Store, Table};

/// The routes of a port, by seniority.
#[derive(Clone, Debug, PartialEq)]
pub enum Routes {
    /// `HTTPRoute`s; none if nothing is attached.
    Http(Vec<RouteView<Match>>),
    /// `GRPCRoute`s.
    Grpc(Vec<RouteView<GrpcMatch>>),
    /// `TLSRoute`s.
    Tls(Vec<Arc<Object<StreamRouteSpec>>>),
    /// The `TCPRoute`.
    Tcp(Arc<Object<StreamRouteSpec>>),
}

/// None.
impl Default for Routes {
    fn default() -> Self {
        Self::Http(Vec::new())
    }
}

impl Routes {
    /// Whether nothing is attached.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Http(routes) if routes.is_empty())
    }
}

/// A route, and what applies to its rules.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteView<M> {
    /// The route.
    pub route: Arc<Object<RouteSpec<M>>>,
    /// What is attached to each of its rules.
    pub rules: Vec<Policies>,
}

/// What routes make of a port, given what may come there.
#[derive(Debug, Default)]
pub(super) struct PortRoutes {
    /// Those beside the service.
    pub(super) routes: Routes,
    /// Those of other namespaces, which have any.
    pub(super) consumers: BTreeMap<String, Routes>,
    /// By which of its `parentRefs` a route has the port.
    pub(super) attached: BTreeSet<Attachment>,
    /// By which of them a route of requests names it where none are looked for.
    pub(super) unheard: BTreeSet<Attachment>,
    /// About those that others keep from it.
    pub(super) findings: Vec<Finding>,
}

/// What may come to a port, as far as routes go by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coming {
    /// Requests, and bytes.
    Requests,
    /// Bytes, in which nobody looks for requests: routes of these have no effect, so they keep no others from the port.
    Bytes,
}

/// All routes, by the services that they are attached to.
pub(super) struct AttachedRoutes {
    grpc: ByService<GrpcRouteSpec>,
    http: ByService<HttpRouteSpec>,
    tls: ByService<StreamRouteSpec>,
    tcp: ByService<StreamRouteSpec>,
}

/// By service and namespace of the routes.
type ByService<R> = BTreeMap<(ObjectName, String), Vec<Arc<Object<R>>>>;

/// A route that names a port, and the index of the first parent by which it does.
type AtPort<'a, R> = (&'a Arc<Object<R>>, usize);

impl AttachedRoutes {
    pub(super) fn of(store: &Store) -> Self {
        Self {
            grpc: by_service(&store.grpc_routes),
            http: by_service(&store.http_routes),
            tls: by_service(&store.tls_routes),
            tcp: by_service(&store.tcp_routes),
        }
    }

    /// The namespaces of routes to a service.
    pub(super) fn namespaces(&self, service: &ObjectName) -> BTreeSet<&str> {
        let all = namespaces_of(&self.grpc, service).chain(namespaces_of(&self.http, service));
        all.chain(namespaces_of(&self.tls, service)).chain(namespaces_of(&self.tcp, service)).collect()
    }

    /// The routes of a port to which `coming` may come, of these `namespaces`.
    pub(super) fn to_port(
        &self,
        namespaces: &BTreeSet<&str>,
        service: &Object<ServiceSpec>,
        port: &ServicePort,
        coming: Coming,
        policies: &Attached,
    ) -> PortRoutes {
        let mut all = PortRoutes::default();
        for namespace in namespaces {
            let routes = self.within(namespace, service, port, coming, policies, &mut all);
            if *namespace == service.metadata.namespace {
                all.routes = routes;
            } else if !routes.is_empty() {
                all.consumers.insert((*namespace).to_owned(), routes);
            }
        }
        all
    }

    /// Those in `namespace`. `all` hears by which parents they have the port, and of those that do not.
    fn within(
        &self,
        namespace: &str,
        service: &Object<ServiceSpec>,
        port: &ServicePort,
        coming: Coming,
        policies: &Attached,
        all: &mut PortRoutes,
    ) -> Routes {
        let mut grpc = naming(&self.grpc, namespace, service, port);
        let mut http = naming(&self.http, namespace, service, port);
        let tls = naming(&self.tls, namespace, service, port);
        let tcp = naming(&self.tcp, namespace, service, port);
        if coming == Coming::Bytes {
            all.unheard.extend(attachments(ObjectKind::GrpcRoute, &mem::take(&mut grpc), service, port));
            all.unheard.extend(attachments(ObjectKind::HttpRoute, &mem::take(&mut http), service, port));
        }
        let by_rank = [
            conflicts::candidates(ObjectKind::GrpcRoute, &grpc),
            conflicts::candidates(ObjectKind::HttpRoute, &http),
            conflicts::candidates(ObjectKind::TlsRoute, &tls),
            conflicts::candidates(ObjectKind::TcpRoute, &tcp),
        ];
        all.findings.extend(conflicts::of_kinds(&by_rank, service, port));
        if !grpc.is_empty() {
            all.attached.extend(attachments(ObjectKind::GrpcRoute, &grpc, service, port));
            let view = |(route, _)| view(ObjectKind::GrpcRoute, route, policies);
            return Routes::Grpc(grpc.into_iter().map(view).collect());
        }
        if http.is_empty() {
            if !tls.is_empty() {
                all.findings.extend(conflicts::of_hostnames(&tls, port));
                all.attached.extend(attachments(ObjectKind::TlsRoute, &with_a_name(&tls), service, port));
                return Routes::Tls(tls.into_iter().map(|(route, _)| Arc::clone(route)).collect());
            }
            if let Some((first, others)) = tcp.split_first() {
                all.findings.extend(conflicts::of_juniors(first, others, service, port));
                all.attached.extend(attachments(ObjectKind::TcpRoute, &[*first], service, port));
                return Routes::Tcp(Arc::clone(first.0));
            }
        }
        all.attached.extend(attachments(ObjectKind::HttpRoute, &http, service, port));
        let view = |(route, _)| view(ObjectKind::HttpRoute, route, policies);
        Routes::Http(http.into_iter().map(view).collect())
    }
}

/// All parents by which these routes name a port.
fn attachments<R: Route>(
    kind: ObjectKind,
    routes: &[AtPort<'_, R>],
    service: &Object<ServiceSpec>,
    port: &ServicePort,
) -> Vec<Attachment> {
    let of_route = |(route, _): &AtPort<'_, R>| {
        let key = references::about(kind, &route.metadata);
        let naming = positions(route, service, port);
        naming.map(|index| (key.clone(), index)).collect::<Vec<_>>()
    };
    routes.iter().flat_map(of_route).collect()
}

/// Those that are the first to have one of their names.
fn with_a_name<'a>(routes: &[AtPort<'a, StreamRouteSpec>]) -> Vec<AtPort<'a, StreamRouteSpec>> {
    let mut taken = BTreeSet::new();
    let takes_one = |(route, _): &&AtPort<'a, StreamRouteSpec>| {
        let names = route.spec.hostnames.iter();
        names.filter(|name| taken.insert(name.as_str())).count() > 0
    };
    routes.iter().filter(takes_one).copied().collect()
}

fn by_service<R: Route>(table: &Table<R>) -> ByService<R> {
    let mut by_service = ByService::new();
    for route in table.values() {
        let parents = route.spec.parents().iter();
        for service in parents.filter_map(|parent| references::service_of(parent, &route.metadata)) {
            let routes = by_service.entry((service, route.metadata.namespace.clone())).or_default();
            if routes.last().is_none_or(|last| !Arc::ptr_eq(last, route)) {
                routes.push(Arc::clone(route));
            }
        }
    }
    for routes in by_service.values_mut() {
        routes.sort_by(|a, b| a.metadata.seniority().cmp(&b.metadata.seniority()));
    }
    by_service
}

fn namespaces_of<'a, R>(
    routes: &'a ByService<R>,
    service: &ObjectName,
) -> impl Iterator<Item = &'a str> + use<'a, R> {
    let service = service.clone();
    let from = routes.range((service.clone(), String::new())..);
    from.take_while(move |((name, _), _)| *name == service).map(|((_, namespace), _)| namespace.as_str())
}

/// The routes that name a port.
fn naming<'a, R: Route>(
    routes: &'a ByService<R>,
    namespace: &str,
    service: &Object<ServiceSpec>,
    port: &ServicePort,
) -> Vec<AtPort<'a, R>> {
    let name = (ObjectName::of(&service.metadata), namespace.to_owned());
    let routes = routes.get(&name).into_iter().flatten();
    routes.filter_map(|route| Some((route, positions(route, service, port).next()?))).collect()
}

/// The places of those parents of a route that name a port.
fn positions<R: Route>(
    route: &Object<R>,
    service: &Object<ServiceSpec>,
    port: &ServicePort,
) -> impl Iterator<Item = usize> {
    let name = references::is_routable(&service.spec).then(|| ObjectName::of(&service.metadata));
    let names_it = move |parent: &ParentRef| {
        name.is_some()
            && references::service_of(parent, &route.metadata) == name
            && references::names_port(parent, port)
    };
    let parents = route.spec.parents().iter().enumerate();
    parents.filter(move |(_, parent)| names_it(parent)).map(|(index, _)| index)
}

fn view<M>(kind: ObjectKind, route: &Arc<Object<RouteSpec<M>>>, policies: &Attached) -> RouteView<M> {
    let key = ObjectKey { kind, name: ObjectName::of(&route.metadata) };
    let rules = route.spec.rules.iter().map(|rule| policies.to_rule(&key, rule));
    RouteView { rules: rules.collect(), route: Arc::clone(route) }
}

#[cfg(test)]
mod tests;
