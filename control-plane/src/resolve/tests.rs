//! Whatever happened before: what is resolved step by step is what the last store alone gives.

use rand::{Rng, SeedableRng, rngs::SmallRng, seq::IndexedRandom};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;
use crate::store::AnyObject;

const HISTORIES: u64 = 12;
const STEPS: usize = 50;

/// A store in which anything may happen to a few objects that refer to one another, and to some that are not there.
pub(crate) struct History {
    rng: SmallRng,
    pub(crate) store: Store,
}

impl History {
    pub(crate) fn new(seed: u64) -> Self {
        Self { rng: SmallRng::seed_from_u64(seed), store: Store::default() }
    }

    /// Some objects come, go, or become others.
    pub(crate) fn step(&mut self) {
        for _ in 0..self.rng.random_range(1..5) {
            let kind = *self.pick(&ObjectKind::ALL);
            let name = self.name(kind);
            if self.rng.random_bool(0.25) {
                self.store.remove(&ObjectKey { kind, name });
            } else {
                let object = self.object(kind, &name);
                self.store.apply(&object);
            }
        }
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        of.choose(&mut self.rng).unwrap()
    }

    fn one(&mut self, of: &[&str]) -> String {
        (*self.pick(of)).to_owned()
    }

    fn name(&mut self, kind: ObjectKind) -> ObjectName {
        match kind {
            ObjectKind::Namespace => ObjectName::new("", &self.one(&["a", "b"])),
            // More of them than of all others, since most of what happens in a cluster happens to these.
            ObjectKind::EndpointSlice | ObjectKind::Pod => {
                ObjectName::new(&self.one(&["a", "b"]), &self.one(&["x", "y", "z"]))
            }
            _ => ObjectName::new(&self.one(&["a", "b"]), &self.one(&["x", "y"])),
        }
    }

    fn object(&mut self, kind: ObjectKind, name: &ObjectName) -> AnyObject {
        let metadata = self.metadata(kind, name);
        match kind {
            ObjectKind::Service => AnyObject::Service(read(metadata, self.service())),
            ObjectKind::EndpointSlice => AnyObject::EndpointSlice(read(metadata, self.slice())),
            ObjectKind::Pod => AnyObject::Pod(read(metadata, self.pod())),
            ObjectKind::Namespace => AnyObject::Namespace(read(metadata, json!({}))),
            ObjectKind::HttpRoute => AnyObject::HttpRoute(read(metadata, self.route())),
            ObjectKind::GrpcRoute => AnyObject::GrpcRoute(read(metadata, self.route())),
            ObjectKind::TlsRoute => AnyObject::TlsRoute(read(metadata, self.stream_route(true))),
            ObjectKind::TcpRoute => AnyObject::TcpRoute(read(metadata, self.stream_route(false))),
            ObjectKind::AuthorizationPolicy => {
                let action = json!({ "action": self.one(&["ALLOW", "DENY"]) });
                AnyObject::AuthorizationPolicy(policy(metadata, &self.selector(), action))
            }
            ObjectKind::RateLimitPolicy => {
                let limits = json!({ "limits": [{ "requests": self.rng.random_range(1..3) }] });
                AnyObject::RateLimitPolicy(policy(metadata, &self.selector(), limits))
            }
            ObjectKind::CircuitBreakerPolicy => {
                let limits = json!({ "limits": { "maxRequests": self.rng.random_range(1..3) } });
                AnyObject::CircuitBreakerPolicy(policy(metadata, &self.target(), limits))
            }
            ObjectKind::FaultInjectionPolicy => {
                let abort =
                    json!({ "abort": { "percent": 1, "httpStatus": self.rng.random_range(500..502) } });
                AnyObject::FaultInjectionPolicy(policy(metadata, &self.target(), abort))
            }
            ObjectKind::LoadBalancerPolicy => {
                let algorithm = json!({ "algorithm": self.one(&["Random", "RoundRobin"]) });
                AnyObject::LoadBalancerPolicy(policy(metadata, &self.target(), algorithm))
            }
            ObjectKind::RetryPolicy => {
                let attempts = json!({ "attempts": self.rng.random_range(1..3) });
                AnyObject::RetryPolicy(policy(metadata, &self.target(), attempts))
            }
            ObjectKind::Workload => AnyObject::Workload(read(metadata, self.workload())),
        }
    }

    fn metadata(&mut self, kind: ObjectKind, name: &ObjectName) -> Value {
        let mut labels = json!({ "app": self.one(&["x", "y"]) });
        if kind == ObjectKind::EndpointSlice && self.rng.random_bool(0.9) {
            labels["kubernetes.io/service-name"] = self.one(&["x", "y"]).into();
        }
        let mut annotations = json!({});
        let ports = ["80", "8080", "9090", "nonsense"];
        for (key, values) in [
            ("weft.dev/opaque-ports", &ports[..]),
            ("weft.dev/skip-inbound-ports", &ports[..]),
            ("weft.dev/default-policy", &["strict", "permissive", "nonsense"]),
        ] {
            if self.rng.random_bool(0.3) {
                annotations[key] = self.one(values).into();
            }
        }
        let created = self.one(&["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]);
        let ObjectName { namespace, name } = name;
        json!({ "namespace": namespace, "name": name, "labels": labels, "annotations": annotations,
            "creationTimestamp": created })
    }

    fn service(&mut self) -> Value {
        let protocol = *self.pick(&[None, Some("http"), Some("grpc"), Some("tcp")]);
        let ports =
            [json!({ "name": "p", "port": 80 }), json!({ "name": "q", "port": 81, "appProtocol": protocol })];
        let ports = &ports[..self.rng.random_range(1..=2)];
        let address = self.one(&["", "10.0.0.1", "10.0.0.2", "None"]);
        let kind = self.one(&["ClusterIP", "ClusterIP", "ClusterIP", "ExternalName"]);
        json!({ "clusterIP": address, "type": kind, "ports": ports })
    }

    fn slice(&mut self) -> Value {
        let endpoints = (0..self.rng.random_range(0..4)).map(|nth| {
            let mut target = json!({ "kind": self.one(&["Pod", "Pod", "Workload", "Node"]),
                "name": self.one(&["x", "y", "z"]) });
            if self.rng.random_bool(0.2) {
                target["namespace"] = self.one(&["a", "b"]).into();
            }
            json!({ "addresses": [format!("10.1.0.{nth}")], "targetRef": target })
        });
        let endpoints: Vec<_> = endpoints.collect();
        let ports = [
            json!({ "name": "p", "port": 8080 }),
            json!({ "name": "q", "port": self.rng.random_range(9090..9092) }),
        ];
        let ports = &ports[..self.rng.random_range(1..=2)];
        json!({ "addressType": "IPv4", "ports": ports, "endpoints": endpoints })
    }

    fn pod(&mut self) -> Value {
        let app = json!({ "name": "app", "ports": [{ "containerPort": self.rng.random_range(8080..8082) }] });
        let containers = [app, json!({ "name": "weft-proxy" })];
        let containers = &containers[..if self.rng.random_bool(0.7) { 2 } else { 1 }];
        json!({
            "spec": { "containers": containers, "serviceAccountName": self.one(&["x", "y"]) },
            "status": { "phase": self.one(&["Running", "Running", "Running", "Succeeded"]),
                "podIPs": [{ "ip": self.one(&["10.1.0.1", "10.1.0.2"]) }] },
        })
    }

    fn workload(&mut self) -> Value {
        json!({
            "admin": "127.0.0.1:4191",
            "inbound": [{ "port": self.rng.random_range(8080..8082), "app": "127.0.0.1:80" }],
            "outbound": [{ "listen": "127.0.0.1:81", "service": self.one(&["x", "y"]), "port": 81 }],
        })
    }

    fn parents(&mut self) -> Value {
        let parent = |history: &mut Self| {
            let mut parent = json!({ "group": "", "kind": history.one(&["Service", "Service", "Gateway"]),
                "name": history.one(&["x", "y"]) });
            if history.rng.random_bool(0.5) {
                parent["namespace"] = history.one(&["a", "b"]).into();
            }
            if history.rng.random_bool(0.5) {
                parent["port"] = history.rng.random_range(80..82).into();
            }
            parent
        };
        (0..self.rng.random_range(1..3)).map(|_| parent(self)).collect()
    }

    fn backends(&mut self) -> Value {
        json!([{ "name": self.one(&["x", "y"]), "port": self.rng.random_range(80..82) }])
    }

    fn route(&mut self) -> Value {
        let rule = json!({ "name": self.one(&["r", "s"]), "backendRefs": self.backends() });
        json!({ "parentRefs": self.parents(), "rules": [rule] })
    }

    fn stream_route(&mut self, with_names: bool) -> Value {
        let mut route =
            json!({ "parentRefs": self.parents(), "rules": [{ "backendRefs": self.backends() }] });
        if with_names {
            route["hostnames"] = json!([self.one(&["x.example", "y.example"])]);
        }
        route
    }

    fn selector(&mut self) -> Value {
        let labels = json!({ "matchLabels": { "app": self.one(&["x", "y"]) } });
        let selector = if self.rng.random_bool(0.5) { labels } else { json!({}) };
        json!({ "kind": "Pod", "selector": selector })
    }

    fn target(&mut self) -> Value {
        let (group, kind, sections) = *self.pick(&[
            ("", "Service", ["p", "q"]),
            ("gateway.networking.k8s.io", "HTTPRoute", ["r", "s"]),
            ("gateway.networking.k8s.io", "GRPCRoute", ["r", "s"]),
        ]);
        let section = self.rng.random_bool(0.5).then(|| self.one(&sections));
        json!({ "group": group, "kind": kind, "name": self.one(&["x", "y"]), "sectionName": section })
    }
}

fn policy<P: DeserializeOwned, T: DeserializeOwned>(
    metadata: Value,
    target: &Value,
    settings: Value,
) -> Arc<Object<Policy<P, T>>> {
    let Object { metadata, spec: settings } = Arc::into_inner(read::<P>(metadata, settings)).unwrap();
    let target_refs = serde_json::from_value(json!([target])).unwrap();
    Arc::new(Object { metadata, spec: Policy { target_refs, settings } })
}

/// An object of these two parts.
pub(crate) fn read<S: DeserializeOwned>(metadata: Value, spec: Value) -> Arc<Object<S>> {
    let said = format!("{metadata} {spec}");
    let read = serde_json::from_value(metadata)
        .and_then(|metadata| Ok(Object { metadata, spec: serde_json::from_value(spec)? }));
    Arc::new(read.unwrap_or_else(|error| panic!("{error}: {said}")))
}

#[test]
fn what_is_resolved_step_by_step_is_what_the_last_store_alone_gives() {
    for seed in 0..HISTORIES {
        let (mut history, mut resolver) = (History::new(seed), Resolver::default());
        for step in 0..STEPS {
            history.step();
            let before = resolver.resolved().clone();
            let changed = resolver.resolve(&history.store);
            let after = resolve(&history.store);
            assert!(resolver.store == history.store, "a kind of object is not followed");
            let now = resolver.resolved();
            assert_eq!(
                differing(&now.services, &after.services),
                BTreeMap::new(),
                "history {seed}, step {step}"
            );
            assert_eq!(differing(&now.pods, &after.pods), BTreeMap::new(), "history {seed}, step {step}");
            assert_eq!(
                differing(&now.workloads, &after.workloads),
                BTreeMap::new(),
                "history {seed}, step {step}"
            );
            assert_eq!(now.findings, after.findings, "history {seed}, step {step}");
            assert_eq!(now.attached, after.attached, "history {seed}, step {step}");
            assert_eq!(changed.services, differing(&before.services, &after.services), "{seed}, {step}");
            assert_eq!(changed.pods, differing(&before.pods, &after.pods), "{seed}, {step}");
            assert_eq!(changed.workloads, differing(&before.workloads, &after.workloads), "{seed}, {step}");
        }
    }
}

/// What differs, as it was before.
fn differing<V: Clone + PartialEq>(
    before: &BTreeMap<ObjectName, V>,
    after: &BTreeMap<ObjectName, V>,
) -> BTreeMap<ObjectName, Option<V>> {
    let names = before.keys().chain(after.keys()).filter(|name| before.get(name) != after.get(name));
    names.map(|name| (name.clone(), before.get(name).cloned())).collect()
}
