//! Objects as people write them. JSON is YAML, so that every kind can be written from its own type.

use std::net::SocketAddr;

use serde::Serialize;
use serde_json::json;
use weft_api::{
    gateway,
    kubernetes::{CORE_API_VERSION, DISCOVERY_API_VERSION, LABEL_SERVICE_NAME},
    names::{LOCAL_API_VERSION, POLICY_API_VERSION},
    workload::WorkloadSpec,
};

/// Port under which every service is offered.
pub const SERVICE_PORT: u16 = 80;

/// A `Service` with one port.
pub fn service(name: &str, app_protocol: Option<&str>) -> String {
    let port = match app_protocol {
        Some(protocol) => json!({ "name": "http", "port": SERVICE_PORT, "appProtocol": protocol }),
        None => json!({ "name": "http", "port": SERVICE_PORT }),
    };
    document(CORE_API_VERSION, "Service", &json!({ "name": name }), &json!({ "ports": [port] }))
}

/// One place where a service runs.
pub struct Endpoint<'a> {
    /// Where others reach it.
    pub address: SocketAddr,
    /// Its `Workload`, if it has one.
    pub workload: Option<&'a str>,
    /// Zone that it is in.
    pub zone: Option<&'a str>,
}

/// `EndpointSlice`s of a service: one for each endpoint, because all endpoints of a slice share their ports.
pub fn slices(service: &str, endpoints: &[Endpoint<'_>]) -> String {
    let slice = |(index, endpoint): (usize, &Endpoint<'_>)| {
        let mut place = json!({ "addresses": [endpoint.address.ip().to_string()] });
        if let Some(workload) = endpoint.workload {
            place["targetRef"] = json!({ "kind": "Workload", "name": workload });
        }
        if let Some(zone) = endpoint.zone {
            place["zone"] = json!(zone);
        }
        let slice = json!({
            "apiVersion": DISCOVERY_API_VERSION,
            "kind": "EndpointSlice",
            "metadata": { "name": format!("{service}-{index}"), "labels": { LABEL_SERVICE_NAME: service } },
            "addressType": "IPv4",
            "ports": [{ "name": "http", "port": endpoint.address.port() }],
            "endpoints": [place],
        });
        format!("{slice}\n---\n")
    };
    endpoints.iter().enumerate().map(slice).collect()
}

/// A `Workload`, with its service account as the label `app`.
pub fn workload(name: &str, spec: &WorkloadSpec) -> String {
    let labels = json!({ "app": spec.service_account });
    document(LOCAL_API_VERSION, "Workload", &json!({ "name": name, "labels": labels }), spec)
}

/// A policy of `kind` for what enters the workloads of a service. `spec` is YAML without indentation.
pub fn workload_policy(kind: &str, name: &str, service: &str, spec: &str) -> String {
    policy_on(
        kind,
        &format!("{{ kind: Pod, selector: {{ matchLabels: {{ app: {service} }} }} }}"),
        name,
        spec,
    )
}

/// A policy of `kind` for a service. `spec` is YAML without indentation.
pub fn policy(kind: &str, service: &str, spec: &str) -> String {
    policy_on(kind, &format!("{{ group: \"\", kind: Service, name: {service} }}"), service, spec)
}

/// A policy of `kind` for one rule of the route of a service. `spec` is YAML without indentation.
pub fn rule_policy(kind: &str, service: &str, rule: &str, spec: &str) -> String {
    let target =
        format!("{{ group: {}, kind: HTTPRoute, name: {service}, sectionName: {rule} }}", gateway::GROUP);
    policy_on(kind, &target, &format!("{service}-{rule}"), spec)
}

fn policy_on(kind: &str, target: &str, name: &str, spec: &str) -> String {
    let spec = indented(spec, 2);
    format!(
        "apiVersion: {POLICY_API_VERSION}\nkind: {kind}\nmetadata: {{ name: {name} }}\nspec:\n  \
         targetRefs: [{target}]\n{spec}---\n"
    )
}

/// An `HTTPRoute` of a service. `rules` is a YAML list, without indentation.
pub fn route(service: &str, rules: &str) -> String {
    route_of("HTTPRoute", service, rules)
}

/// The same for calls: a `GRPCRoute`.
pub fn grpc_route(service: &str, rules: &str) -> String {
    route_of("GRPCRoute", service, rules)
}

/// A route for bytes that nobody looks at, on one port of a service. `spec` is YAML without indentation.
pub fn stream_route(kind: &str, name: &str, service: &str, port: u16, spec: &str) -> String {
    let spec = indented(spec, 2);
    format!(
        "apiVersion: {}\nkind: {kind}\nmetadata: {{ name: {name} }}\nspec:\n  \
         parentRefs: [{{ group: \"\", kind: Service, name: {service}, port: {port} }}]\n{spec}---\n",
        gateway::API_VERSION,
    )
}

fn route_of(kind: &str, service: &str, rules: &str) -> String {
    let rules = indented(rules, 2);
    format!(
        "apiVersion: {}\nkind: {kind}\nmetadata: {{ name: {service} }}\nspec:\n  \
         parentRefs: [{{ group: \"\", kind: Service, name: {service}, port: {SERVICE_PORT} }}]\n  rules:\n{rules}---\n",
        gateway::API_VERSION,
    )
}

fn document(api_version: &str, kind: &str, metadata: &serde_json::Value, spec: &impl Serialize) -> String {
    let document = json!({ "apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec });
    format!("{document}\n---\n")
}

fn indented(text: &str, spaces: usize) -> String {
    let margin = " ".repeat(spaces);
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines.flat_map(|line| [&margin, line, "\n"]).collect()
}
