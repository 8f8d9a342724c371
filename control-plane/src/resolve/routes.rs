//! Which routes are attached to a port of a service. Those of one kind only: the more a kind knows of what it routes, the
//! sooner it wins (GEP-1426).

mod conflicts;

use std::{collections::BTreeMap, sync::Arc};

use weft_api::{
    Object,
    gateway::{GrpcMatch, GrpcRouteSpec, HttpRouteSpec, Match, Route, RouteSpec, StreamRouteSpec},
    kubernetes::{ServicePort, ServiceSpec},
};

use super::{
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

/// A route, and what applies to its rules.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteView<M> {
    /// The route.
    pub route: Arc<Object<RouteSpec<M>>>,
    /// What is attached to each of its rules.
    pub rules: Vec<Policies>,
}

/// All routes, by the services that they are attached to.
pub(super) struct AttachedRoutes {
    grpc: ByService<GrpcRouteSpec>,
    http: ByService<HttpRouteSpec>,
    tls: ByService<StreamRouteSpec>,
    tcp: ByService<StreamRouteSpec>,
}

type ByService<R> = BTreeMap<ObjectName, Vec<Arc<Object<R>>>>;

/// A route that is attached to a port, and the index of the parent by which it is.
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

    /// The routes of a port. `findings` hear of those that have lost it.
    pub(super) fn to_port(
        &self,
        service: &Object<ServiceSpec>,
        port: &ServicePort,
        policies: &Attached,
        findings: &mut Vec<Finding>,
    ) -> Routes {
        let grpc = attached(&self.grpc, service, port);
        let http = attached(&self.http, service, port);
        let tls = attached(&self.tls, service, port);
        let tcp = attached(&self.tcp, service, port);
        let by_rank = [
            conflicts::candidates(ObjectKind::GrpcRoute, &grpc),
            conflicts::candidates(ObjectKind::HttpRoute, &http),
            conflicts::candidates(ObjectKind::TlsRoute, &tls),
            conflicts::candidates(ObjectKind::TcpRoute, &tcp),
        ];
        findings.extend(conflicts::of_kinds(&by_rank, service, port));
        if !grpc.is_empty() {
            let view = |(route, _)| view(ObjectKind::GrpcRoute, route, policies);
            return Routes::Grpc(grpc.into_iter().map(view).collect());
        }
        if http.is_empty() {
            if !tls.is_empty() {
                findings.extend(conflicts::of_hostnames(&tls, port));
                return Routes::Tls(tls.into_iter().map(|(route, _)| Arc::clone(route)).collect());
            }
            if let Some((first, others)) = tcp.split_first() {
                findings.extend(conflicts::of_juniors(first, others, service, port));
                return Routes::Tcp(Arc::clone(first.0));
            }
        }
        let view = |(route, _)| view(ObjectKind::HttpRoute, route, policies);
        Routes::Http(http.into_iter().map(view).collect())
    }
}

fn by_service<R: Route>(table: &Table<R>) -> ByService<R> {
    let mut by_service = ByService::new();
    for route in table.values() {
        let parents = route.spec.parents().iter();
        for parent in parents.filter(|parent| references::is_producer(parent, &route.metadata)) {
            let name = ObjectName::new(&route.metadata.namespace, &parent.name);
            let routes = by_service.entry(name).or_default();
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

/// The routes of a port.
fn attached<'a, R: Route>(
    routes: &'a ByService<R>,
    service: &Object<ServiceSpec>,
    port: &ServicePort,
) -> Vec<AtPort<'a, R>> {
    let routes = routes.get(&ObjectName::of(&service.metadata)).into_iter().flatten();
    let by_parent = routes.filter_map(|route| {
        let names_it = |parent: &_| {
            references::is_producer(parent, &route.metadata)
                && parent.name == service.metadata.name
                && references::names_port(parent, port)
        };
        Some((route, route.spec.parents().iter().position(names_it)?))
    });
    by_parent.collect()
}

fn view<M>(kind: ObjectKind, route: &Arc<Object<RouteSpec<M>>>, policies: &Attached) -> RouteView<M> {
    let key = ObjectKey { kind, name: ObjectName::of(&route.metadata) };
    let rules = route.spec.rules.iter().map(|rule| policies.to_rule(&key, rule));
    RouteView { rules: rules.collect(), route: Arc::clone(route) }
}
