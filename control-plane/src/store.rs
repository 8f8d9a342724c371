//! Every object that is in force, as people wrote it, and what is wrong with objects.

mod finding;

use std::{collections::BTreeMap, fmt, sync::Arc};

use weft_api::{
    Object,
    authorization::Authorization,
    circuit_breaker::CircuitBreaker,
    fault_injection::FaultInjection,
    gateway::{GrpcRouteSpec, HttpRouteSpec, StreamRouteSpec},
    kubernetes::{EndpointSlice, Namespace, Pod, ServiceSpec},
    load_balancer::LoadBalancer,
    object::Metadata,
    policy::{Policy, WorkloadRef},
    rate_limit::RateLimit,
    retry::Retry,
    workload::WorkloadSpec,
};

pub use finding::{Finding, Reason};

/// Objects of one kind, by namespace and name. What did not change is shared with the store before.
pub type Table<S> = BTreeMap<ObjectName, Arc<Object<S>>>;

/// Every object that is in force.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Store {
    /// `Service`.
    pub services: Table<ServiceSpec>,
    /// `EndpointSlice`.
    pub endpoint_slices: Table<EndpointSlice>,
    /// `Pod`.
    pub pods: Table<Pod>,
    /// `Namespace`. They stand in no namespace.
    pub namespaces: Table<Namespace>,
    /// `HTTPRoute`.
    pub http_routes: Table<HttpRouteSpec>,
    /// `GRPCRoute`.
    pub grpc_routes: Table<GrpcRouteSpec>,
    /// `TLSRoute`.
    pub tls_routes: Table<StreamRouteSpec>,
    /// `TCPRoute`.
    pub tcp_routes: Table<StreamRouteSpec>,
    /// `AuthorizationPolicy`.
    pub authorizations: Table<Policy<Authorization, WorkloadRef>>,
    /// `CircuitBreakerPolicy`.
    pub circuit_breakers: Table<Policy<CircuitBreaker>>,
    /// `FaultInjectionPolicy`.
    pub fault_injections: Table<Policy<FaultInjection>>,
    /// `LoadBalancerPolicy`.
    pub load_balancers: Table<Policy<LoadBalancer>>,
    /// `RateLimitPolicy`.
    pub rate_limits: Table<Policy<RateLimit, WorkloadRef>>,
    /// `RetryPolicy`.
    pub retries: Table<Policy<Retry>>,
    /// `Workload`.
    pub workloads: Table<WorkloadSpec>,
}

/// A kind of object that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    /// `Service` (v1).
    Service,
    /// `EndpointSlice` (discovery.k8s.io/v1).
    EndpointSlice,
    /// `Pod` (v1).
    Pod,
    /// `Namespace` (v1).
    Namespace,
    /// `HTTPRoute` (gateway.networking.k8s.io/v1).
    HttpRoute,
    /// `GRPCRoute` (gateway.networking.k8s.io/v1).
    GrpcRoute,
    /// `TLSRoute` (gateway.networking.k8s.io/v1).
    TlsRoute,
    /// `TCPRoute` (gateway.networking.k8s.io/v1).
    TcpRoute,
    /// `AuthorizationPolicy` (policy.weft.dev/v1alpha1).
    AuthorizationPolicy,
    /// `CircuitBreakerPolicy` (policy.weft.dev/v1alpha1).
    CircuitBreakerPolicy,
    /// `FaultInjectionPolicy` (policy.weft.dev/v1alpha1).
    FaultInjectionPolicy,
    /// `LoadBalancerPolicy` (policy.weft.dev/v1alpha1).
    LoadBalancerPolicy,
    /// `RateLimitPolicy` (policy.weft.dev/v1alpha1).
    RateLimitPolicy,
    /// `RetryPolicy` (policy.weft.dev/v1alpha1).
    RetryPolicy,
    /// `Workload` (local.weft.dev/v1alpha1).
    Workload,
}

/// Namespace and name of an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    /// Namespace; empty for what stands in none.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// Which object, of all that there are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Kind.
    pub kind: ObjectKind,
    /// Namespace and name.
    pub name: ObjectName,
}

/// An object of any kind.
#[derive(Clone, Debug, PartialEq)]
pub enum AnyObject {
    /// `Service`.
    Service(Arc<Object<ServiceSpec>>),
    /// `EndpointSlice`.
    EndpointSlice(Arc<Object<EndpointSlice>>),
    /// `Pod`.
    Pod(Arc<Object<Pod>>),
    /// `Namespace`.
    Namespace(Arc<Object<Namespace>>),
    /// `HTTPRoute`.
    HttpRoute(Arc<Object<HttpRouteSpec>>),
    /// `GRPCRoute`.
    GrpcRoute(Arc<Object<GrpcRouteSpec>>),
    /// `TLSRoute`.
    TlsRoute(Arc<Object<StreamRouteSpec>>),
    /// `TCPRoute`.
    TcpRoute(Arc<Object<StreamRouteSpec>>),
    /// `AuthorizationPolicy`.
    AuthorizationPolicy(Arc<Object<Policy<Authorization, WorkloadRef>>>),
    /// `CircuitBreakerPolicy`.
    CircuitBreakerPolicy(Arc<Object<Policy<CircuitBreaker>>>),
    /// `FaultInjectionPolicy`.
    FaultInjectionPolicy(Arc<Object<Policy<FaultInjection>>>),
    /// `LoadBalancerPolicy`.
    LoadBalancerPolicy(Arc<Object<Policy<LoadBalancer>>>),
    /// `RateLimitPolicy`.
    RateLimitPolicy(Arc<Object<Policy<RateLimit, WorkloadRef>>>),
    /// `RetryPolicy`.
    RetryPolicy(Arc<Object<Policy<Retry>>>),
    /// `Workload`.
    Workload(Arc<Object<WorkloadSpec>>),
}

impl Store {
    /// Puts an object in force. One that says the same as before stays the one that it was. Says whether it is another.
    pub fn apply(&mut self, object: &AnyObject) -> bool {
        match object {
            AnyObject::Service(object) => put(&mut self.services, object),
            AnyObject::EndpointSlice(object) => put(&mut self.endpoint_slices, object),
            AnyObject::Pod(object) => put(&mut self.pods, object),
            AnyObject::Namespace(object) => put(&mut self.namespaces, object),
            AnyObject::HttpRoute(object) => put(&mut self.http_routes, object),
            AnyObject::GrpcRoute(object) => put(&mut self.grpc_routes, object),
            AnyObject::TlsRoute(object) => put(&mut self.tls_routes, object),
            AnyObject::TcpRoute(object) => put(&mut self.tcp_routes, object),
            AnyObject::AuthorizationPolicy(object) => put(&mut self.authorizations, object),
            AnyObject::CircuitBreakerPolicy(object) => put(&mut self.circuit_breakers, object),
            AnyObject::FaultInjectionPolicy(object) => put(&mut self.fault_injections, object),
            AnyObject::LoadBalancerPolicy(object) => put(&mut self.load_balancers, object),
            AnyObject::RateLimitPolicy(object) => put(&mut self.rate_limits, object),
            AnyObject::RetryPolicy(object) => put(&mut self.retries, object),
            AnyObject::Workload(object) => put(&mut self.workloads, object),
        }
    }

    /// Puts an object in force if there is none of its name. Says whether there was not.
    pub fn apply_if_absent(&mut self, object: &AnyObject) -> bool {
        let is_absent = !self.has(&object.key());
        if is_absent {
            self.apply(object);
        }
        is_absent
    }

    /// Takes an object out of force. Says whether it was.
    pub fn remove(&mut self, key: &ObjectKey) -> bool {
        match key.kind {
            ObjectKind::Service => self.services.remove(&key.name).is_some(),
            ObjectKind::EndpointSlice => self.endpoint_slices.remove(&key.name).is_some(),
            ObjectKind::Pod => self.pods.remove(&key.name).is_some(),
            ObjectKind::Namespace => self.namespaces.remove(&key.name).is_some(),
            ObjectKind::HttpRoute => self.http_routes.remove(&key.name).is_some(),
            ObjectKind::GrpcRoute => self.grpc_routes.remove(&key.name).is_some(),
            ObjectKind::TlsRoute => self.tls_routes.remove(&key.name).is_some(),
            ObjectKind::TcpRoute => self.tcp_routes.remove(&key.name).is_some(),
            ObjectKind::AuthorizationPolicy => self.authorizations.remove(&key.name).is_some(),
            ObjectKind::CircuitBreakerPolicy => self.circuit_breakers.remove(&key.name).is_some(),
            ObjectKind::FaultInjectionPolicy => self.fault_injections.remove(&key.name).is_some(),
            ObjectKind::LoadBalancerPolicy => self.load_balancers.remove(&key.name).is_some(),
            ObjectKind::RateLimitPolicy => self.rate_limits.remove(&key.name).is_some(),
            ObjectKind::RetryPolicy => self.retries.remove(&key.name).is_some(),
            ObjectKind::Workload => self.workloads.remove(&key.name).is_some(),
        }
    }

    /// Whether there is such an object.
    pub fn has(&self, key: &ObjectKey) -> bool {
        match key.kind {
            ObjectKind::Service => self.services.contains_key(&key.name),
            ObjectKind::EndpointSlice => self.endpoint_slices.contains_key(&key.name),
            ObjectKind::Pod => self.pods.contains_key(&key.name),
            ObjectKind::Namespace => self.namespaces.contains_key(&key.name),
            ObjectKind::HttpRoute => self.http_routes.contains_key(&key.name),
            ObjectKind::GrpcRoute => self.grpc_routes.contains_key(&key.name),
            ObjectKind::TlsRoute => self.tls_routes.contains_key(&key.name),
            ObjectKind::TcpRoute => self.tcp_routes.contains_key(&key.name),
            ObjectKind::AuthorizationPolicy => self.authorizations.contains_key(&key.name),
            ObjectKind::CircuitBreakerPolicy => self.circuit_breakers.contains_key(&key.name),
            ObjectKind::FaultInjectionPolicy => self.fault_injections.contains_key(&key.name),
            ObjectKind::LoadBalancerPolicy => self.load_balancers.contains_key(&key.name),
            ObjectKind::RateLimitPolicy => self.rate_limits.contains_key(&key.name),
            ObjectKind::RetryPolicy => self.retries.contains_key(&key.name),
            ObjectKind::Workload => self.workloads.contains_key(&key.name),
        }
    }

    /// Names of all objects of `kind`.
    pub fn names(&self, kind: ObjectKind) -> Vec<ObjectName> {
        match kind {
            ObjectKind::Service => self.services.keys().cloned().collect(),
            ObjectKind::EndpointSlice => self.endpoint_slices.keys().cloned().collect(),
            ObjectKind::Pod => self.pods.keys().cloned().collect(),
            ObjectKind::Namespace => self.namespaces.keys().cloned().collect(),
            ObjectKind::HttpRoute => self.http_routes.keys().cloned().collect(),
            ObjectKind::GrpcRoute => self.grpc_routes.keys().cloned().collect(),
            ObjectKind::TlsRoute => self.tls_routes.keys().cloned().collect(),
            ObjectKind::TcpRoute => self.tcp_routes.keys().cloned().collect(),
            ObjectKind::AuthorizationPolicy => self.authorizations.keys().cloned().collect(),
            ObjectKind::CircuitBreakerPolicy => self.circuit_breakers.keys().cloned().collect(),
            ObjectKind::FaultInjectionPolicy => self.fault_injections.keys().cloned().collect(),
            ObjectKind::LoadBalancerPolicy => self.load_balancers.keys().cloned().collect(),
            ObjectKind::RateLimitPolicy => self.rate_limits.keys().cloned().collect(),
            ObjectKind::RetryPolicy => self.retries.keys().cloned().collect(),
            ObjectKind::Workload => self.workloads.keys().cloned().collect(),
        }
    }
}

/// The objects of a namespace, by name.
pub fn within<'a, S>(table: &'a Table<S>, namespace: &'a str) -> impl Iterator<Item = &'a Arc<Object<S>>> {
    // Names sort by namespace first, so those of one stand together.
    let from = table.range(ObjectName::new(namespace, "")..);
    from.take_while(move |(name, _)| name.namespace == namespace).map(|(_, object)| object)
}

fn put<S: PartialEq>(table: &mut Table<S>, object: &Arc<Object<S>>) -> bool {
    let name = ObjectName::of(&object.metadata);
    let is_other = table.get(&name).is_none_or(|held| !Arc::ptr_eq(held, object) && held != object);
    if is_other {
        table.insert(name, object.clone());
    }
    is_other
}

impl AnyObject {
    /// What it says about itself.
    pub fn metadata(&self) -> &Metadata {
        match self {
            AnyObject::Service(object) => &object.metadata,
            AnyObject::EndpointSlice(object) => &object.metadata,
            AnyObject::Pod(object) => &object.metadata,
            AnyObject::Namespace(object) => &object.metadata,
            AnyObject::HttpRoute(object) => &object.metadata,
            AnyObject::GrpcRoute(object) => &object.metadata,
            AnyObject::TlsRoute(object) | AnyObject::TcpRoute(object) => &object.metadata,
            AnyObject::AuthorizationPolicy(object) => &object.metadata,
            AnyObject::CircuitBreakerPolicy(object) => &object.metadata,
            AnyObject::FaultInjectionPolicy(object) => &object.metadata,
            AnyObject::LoadBalancerPolicy(object) => &object.metadata,
            AnyObject::RateLimitPolicy(object) => &object.metadata,
            AnyObject::RetryPolicy(object) => &object.metadata,
            AnyObject::Workload(object) => &object.metadata,
        }
    }

    /// Its kind.
    pub fn kind(&self) -> ObjectKind {
        match self {
            AnyObject::Service(_) => ObjectKind::Service,
            AnyObject::EndpointSlice(_) => ObjectKind::EndpointSlice,
            AnyObject::Pod(_) => ObjectKind::Pod,
            AnyObject::Namespace(_) => ObjectKind::Namespace,
            AnyObject::HttpRoute(_) => ObjectKind::HttpRoute,
            AnyObject::GrpcRoute(_) => ObjectKind::GrpcRoute,
            AnyObject::TlsRoute(_) => ObjectKind::TlsRoute,
            AnyObject::TcpRoute(_) => ObjectKind::TcpRoute,
            AnyObject::AuthorizationPolicy(_) => ObjectKind::AuthorizationPolicy,
            AnyObject::CircuitBreakerPolicy(_) => ObjectKind::CircuitBreakerPolicy,
            AnyObject::FaultInjectionPolicy(_) => ObjectKind::FaultInjectionPolicy,
            AnyObject::LoadBalancerPolicy(_) => ObjectKind::LoadBalancerPolicy,
            AnyObject::RateLimitPolicy(_) => ObjectKind::RateLimitPolicy,
            AnyObject::RetryPolicy(_) => ObjectKind::RetryPolicy,
            AnyObject::Workload(_) => ObjectKind::Workload,
        }
    }

    /// Which object it is.
    pub fn key(&self) -> ObjectKey {
        ObjectKey { kind: self.kind(), name: ObjectName::of(self.metadata()) }
    }
}

impl ObjectKind {
    /// Every kind that is read.
    pub const ALL: [ObjectKind; 15] = [
        ObjectKind::Service,
        ObjectKind::EndpointSlice,
        ObjectKind::Pod,
        ObjectKind::Namespace,
        ObjectKind::HttpRoute,
        ObjectKind::GrpcRoute,
        ObjectKind::TlsRoute,
        ObjectKind::TcpRoute,
        ObjectKind::AuthorizationPolicy,
        ObjectKind::CircuitBreakerPolicy,
        ObjectKind::FaultInjectionPolicy,
        ObjectKind::LoadBalancerPolicy,
        ObjectKind::RateLimitPolicy,
        ObjectKind::RetryPolicy,
        ObjectKind::Workload,
    ];

    /// `kind` as it is written.
    pub const fn name(self) -> &'static str {
        match self {
            ObjectKind::Service => "Service",
            ObjectKind::EndpointSlice => "EndpointSlice",
            ObjectKind::Pod => "Pod",
            ObjectKind::Namespace => "Namespace",
            ObjectKind::HttpRoute => "HTTPRoute",
            ObjectKind::GrpcRoute => "GRPCRoute",
            ObjectKind::TlsRoute => "TLSRoute",
            ObjectKind::TcpRoute => "TCPRoute",
            ObjectKind::AuthorizationPolicy => "AuthorizationPolicy",
            ObjectKind::CircuitBreakerPolicy => "CircuitBreakerPolicy",
            ObjectKind::FaultInjectionPolicy => "FaultInjectionPolicy",
            ObjectKind::LoadBalancerPolicy => "LoadBalancerPolicy",
            ObjectKind::RateLimitPolicy => "RateLimitPolicy",
            ObjectKind::RetryPolicy => "RetryPolicy",
            ObjectKind::Workload => "Workload",
        }
    }

    /// `apiVersion` as it is written.
    pub const fn api_version(self) -> &'static str {
        match self {
            ObjectKind::Service | ObjectKind::Pod | ObjectKind::Namespace => {
                weft_api::kubernetes::CORE_API_VERSION
            }
            ObjectKind::EndpointSlice => weft_api::kubernetes::DISCOVERY_API_VERSION,
            ObjectKind::HttpRoute | ObjectKind::GrpcRoute | ObjectKind::TlsRoute | ObjectKind::TcpRoute => {
                weft_api::gateway::API_VERSION
            }
            ObjectKind::AuthorizationPolicy
            | ObjectKind::CircuitBreakerPolicy
            | ObjectKind::FaultInjectionPolicy
            | ObjectKind::LoadBalancerPolicy
            | ObjectKind::RateLimitPolicy
            | ObjectKind::RetryPolicy => weft_api::names::POLICY_API_VERSION,
            ObjectKind::Workload => weft_api::names::LOCAL_API_VERSION,
        }
    }

    /// Its name in the paths of an API server, where the kind has a status of ours: policies and routes.
    pub const fn status_resource(self) -> Option<&'static str> {
        match self {
            ObjectKind::HttpRoute => Some("httproutes"),
            ObjectKind::GrpcRoute => Some("grpcroutes"),
            ObjectKind::TlsRoute => Some("tlsroutes"),
            ObjectKind::TcpRoute => Some("tcproutes"),
            ObjectKind::AuthorizationPolicy => Some("authorizationpolicies"),
            ObjectKind::CircuitBreakerPolicy => Some("circuitbreakerpolicies"),
            ObjectKind::FaultInjectionPolicy => Some("faultinjectionpolicies"),
            ObjectKind::LoadBalancerPolicy => Some("loadbalancerpolicies"),
            ObjectKind::RateLimitPolicy => Some("ratelimitpolicies"),
            ObjectKind::RetryPolicy => Some("retrypolicies"),
            _ => None,
        }
    }
}

impl ObjectName {
    /// Of `namespace` and `name`.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// Of the object that says `metadata`.
    pub fn of(metadata: &Metadata) -> Self {
        Self::new(&metadata.namespace, &metadata.name)
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.namespace.as_str() {
            "" => f.write_str(&self.name),
            namespace => write!(f, "{namespace}/{}", self.name),
        }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.name(), self.name)
    }
}
