//! Which routes are attached to a port of a service. Those of one kind only: calls win over requests (GEP-1426).

use std::{collections::BTreeMap, sync::Arc};

use weft_api::{
    Object,
    gateway::{GrpcMatch, Match, RouteSpec},
    kubernetes::{ServicePort, ServiceSpec},
};

use super::{
    attach::{Attached, Policies},
    flaw::Flaw,
    references,
};
use crate::store::{Finding, ObjectKey, ObjectKind, ObjectName, Reason, Store, Table};

/// The routes of a port, by seniority.
#[derive(Clone, Debug, PartialEq)]
pub enum Routes {
    /// `HTTPRoute`s; none if nothing is attached.
    Http(Vec<RouteView<Match>>),
    /// `GRPCRoute`s.
    Grpc(Vec<RouteView<GrpcMatch>>),
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
    http: ByService<Match>,
    grpc: ByService<GrpcMatch>,
}

type ByService<M> = BTreeMap<ObjectName, Vec<Arc<Object<RouteSpec<M>>>>>;

impl AttachedRoutes {
    pub(super) fn of(store: &Store) -> Self {
        Self { http: by_service(&store.http_routes), grpc: by_service(&store.grpc_routes) }
    }

    /// The routes of a port. `findings` hear of those that have lost it.
    pub(super) fn to_port(
        &self,
        service: &Object<ServiceSpec>,
        port: &ServicePort,
        policies: &Attached,
        findings: &mut Vec<Finding>,
    ) -> Routes {
        let http = attached(&self.http, service, port);
        let grpc = attached(&self.grpc, service, port);
        let Some((winner, _)) = grpc.first() else {
            let view = |(route, _)| view(ObjectKind::HttpRoute, route, policies);
            return Routes::Http(http.into_iter().map(view).collect());
        };
        findings.extend(http.iter().map(|(route, parent)| {
            let flaw = Flaw {
                field: "",
                reason: Reason::Conflicted,
                message: format!(
                    "names port {} of Service {}, to which GRPCRoute {} is attached; HTTPRoutes give way to it there",
                    port.port,
                    ObjectName::of(&service.metadata),
                    ObjectName::of(&winner.metadata),
                ),
                hint: "put the calls of gRPC onto a port of their own, or all rules into one kind of route".to_owned(),
            };
            let object = references::about(ObjectKind::HttpRoute, &route.metadata);
            flaw.at(&object, &format!("spec.parentRefs[{parent}]"))
        }));
        let view = |(route, _)| view(ObjectKind::GrpcRoute, route, policies);
        Routes::Grpc(grpc.into_iter().map(view).collect())
    }
}

fn by_service<M>(table: &Table<RouteSpec<M>>) -> ByService<M> {
    let mut by_service = ByService::new();
    for route in table.values() {
        let parents = route.spec.parent_refs.iter();
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

/// The routes of a port, each with the index of the parent by which it is.
fn attached<'a, M>(
    routes: &'a ByService<M>,
    service: &Object<ServiceSpec>,
    port: &ServicePort,
) -> Vec<(&'a Arc<Object<RouteSpec<M>>>, usize)> {
    let routes = routes.get(&ObjectName::of(&service.metadata)).into_iter().flatten();
    let by_parent = routes.filter_map(|route| {
        let names_it = |parent: &_| {
            references::is_producer(parent, &route.metadata)
                && parent.name == service.metadata.name
                && references::names_port(parent, port)
        };
        Some((route, route.spec.parent_refs.iter().position(names_it)?))
    });
    by_parent.collect()
}

fn view<M>(kind: ObjectKind, route: &Arc<Object<RouteSpec<M>>>, policies: &Attached) -> RouteView<M> {
    let key = ObjectKey { kind, name: ObjectName::of(&route.metadata) };
    let rules = route.spec.rules.iter().map(|rule| policies.to_rule(&key, rule));
    RouteView { rules: rules.collect(), route: Arc::clone(route) }
}
