//! What an object must fulfil beyond its types.

use std::net::IpAddr;

use regex_lite::RegexBuilder;
use weft_api::{
    Object,
    gateway::{GrpcRouteSpec, HttpRouteSpec, PathMatchKind, RouteSpec, ValueMatch, ValueMatchKind},
    kubernetes::{AddressType, EndpointSlice, Pod, ServiceSpec},
    names,
    object::Metadata,
    violation::Violation,
    workload::WorkloadSpec,
};

use super::flaw::Flaw;
use crate::{
    document::Node,
    store::{AnyObject, ObjectKind, Reason},
};

/// RFC 1123: the most bytes that a label may have.
const LABEL_BYTES_MAX: usize = 63;
/// RFC 1123: the most bytes that a name of several labels may have.
const SUBDOMAIN_BYTES_MAX: usize = 253;

/// Names become parts of host names, resource names and identities, so they are what Kubernetes allows.
pub(super) fn names(metadata: &Metadata, kind: ObjectKind, node: &Node) -> Result<(), Flaw> {
    if kind != ObjectKind::Namespace && !is_label(&metadata.namespace) {
        return Err(no_name(node, "metadata.namespace", &metadata.namespace));
    }
    // A Service's name is a label of DNS.
    let fits =
        if kind == ObjectKind::Service { is_label(&metadata.name) } else { is_subdomain(&metadata.name) };
    if fits { Ok(()) } else { Err(no_name(node, "metadata.name", &metadata.name)) }
}

/// Checks `object`, which was read from `node`.
pub(super) fn validate(object: &AnyObject, node: &Node) -> Result<(), Flaw> {
    match object {
        AnyObject::Service(service) => of_service(&service.spec, node),
        AnyObject::EndpointSlice(slice) => of_slice(&slice.spec, node),
        AnyObject::Pod(pod) => of_pod(pod, node),
        // Its name is all that it says.
        AnyObject::Namespace(_) => Ok(()),
        AnyObject::HttpRoute(route) => of_http_route(&route.spec, node),
        AnyObject::GrpcRoute(route) => of_grpc_route(&route.spec, node),
        AnyObject::TlsRoute(route) => in_range(route.spec.validate_tls(), node),
        AnyObject::TcpRoute(route) => in_range(route.spec.validate_tcp(), node),
        AnyObject::AuthorizationPolicy(policy) => {
            in_range(policy.spec.validate_targets(), node)?;
            in_range(policy.spec.settings.validate(), node)
        }
        AnyObject::CircuitBreakerPolicy(policy) => in_range(policy.spec.settings.validate(), node),
        AnyObject::FaultInjectionPolicy(policy) => in_range(policy.spec.settings.validate(), node),
        AnyObject::LoadBalancerPolicy(policy) => in_range(policy.spec.settings.validate(), node),
        AnyObject::RateLimitPolicy(policy) => {
            in_range(policy.spec.validate_targets(), node)?;
            in_range(policy.spec.settings.validate(), node)
        }
        AnyObject::RetryPolicy(policy) => in_range(policy.spec.settings.validate(), node),
        AnyObject::Workload(workload) => of_workload(workload, node),
    }
}

fn of_service(spec: &ServiceSpec, node: &Node) -> Result<(), Flaw> {
    let addresses =
        spec.cluster_ips.iter().enumerate().map(|(i, text)| (format!("spec.clusterIPs[{i}]"), text));
    for (field, text) in addresses.chain([("spec.clusterIP".to_owned(), &spec.cluster_ip)]) {
        if !matches!(text.as_str(), "" | "None") && text.parse::<IpAddr>().is_err() {
            return Err(out_of_range(node, &field, &format!("is `{text}`, which is no IP address")));
        }
    }
    for (index, port) in spec.ports.iter().enumerate() {
        let field = format!("spec.ports[{index}]");
        if port.port == 0 {
            return Err(out_of_range(node, &format!("{field}.port"), "is 0; it must be within 1 to 65535"));
        }
        if port.name.is_empty() && spec.ports.len() > 1 {
            return Err(Flaw::new(node, &format!("{field}.name"), Reason::MissingField, "is missing")
                .hint("where there are several ports, each needs a name"));
        }
        let earlier = &spec.ports[..index];
        if earlier.iter().any(|other| other.port == port.port && other.protocol == port.protocol) {
            let message = format!("is {}, which an earlier port has", port.port);
            return Err(out_of_range(node, &format!("{field}.port"), &message));
        }
        if earlier.iter().any(|other| other.name == port.name) {
            let message = format!("is `{}`, which an earlier port has", port.name);
            return Err(out_of_range(node, &format!("{field}.name"), &message));
        }
    }
    Ok(())
}

fn of_slice(slice: &EndpointSlice, node: &Node) -> Result<(), Flaw> {
    if slice.address_type == AddressType::Fqdn {
        let flaw =
            Flaw::new(node, "addressType", Reason::NotSupported, "is FQDN, which is not supported yet");
        return Err(flaw.hint("write addresses, and `addressType: IPv4` or `IPv6`"));
    }
    for (index, endpoint) in slice.endpoints.iter().enumerate() {
        let field = format!("endpoints[{index}].addresses");
        if endpoint.addresses.is_empty() {
            return Err(Flaw::new(node, &field, Reason::MissingField, "holds no address"));
        }
        for (index, text) in endpoint.addresses.iter().enumerate() {
            let fits = match text.parse() {
                Ok(IpAddr::V4(_)) => slice.address_type == AddressType::IPv4,
                Ok(IpAddr::V6(_)) => slice.address_type == AddressType::IPv6,
                Err(_) => false,
            };
            if !fits {
                let message =
                    format!("is `{text}`, which is no address of addressType {:?}", slice.address_type);
                return Err(out_of_range(node, &format!("{field}[{index}]"), &message));
            }
        }
    }
    match slice.ports.iter().position(|port| port.port == 0) {
        None => Ok(()),
        Some(index) => {
            Err(out_of_range(node, &format!("ports[{index}].port"), "is 0; it must be within 1 to 65535"))
        }
    }
}

fn of_http_route(spec: &HttpRouteSpec, node: &Node) -> Result<(), Flaw> {
    in_range(spec.validate(), node)?;
    is_carried(spec, node)?;
    for (rule, matches) in spec.rules.iter().map(|rule| &rule.matches).enumerate() {
        for (index, one) in matches.iter().enumerate() {
            let field = format!("spec.rules[{rule}].matches[{index}]");
            if one.path.kind == PathMatchKind::RegularExpression {
                expression(node, &format!("{field}.path.value"), &one.path.value)?;
            }
            values(node, &format!("{field}.headers"), &one.headers)?;
            values(node, &format!("{field}.queryParams"), &one.query_params)?;
        }
    }
    Ok(())
}

fn of_grpc_route(spec: &GrpcRouteSpec, node: &Node) -> Result<(), Flaw> {
    in_range(spec.validate(), node)?;
    is_carried(spec, node)?;
    for (rule, matches) in spec.rules.iter().map(|rule| &rule.matches).enumerate() {
        for (index, one) in matches.iter().enumerate() {
            let field = format!("spec.rules[{rule}].matches[{index}]");
            let by_expression =
                one.method.as_ref().filter(|method| method.kind == ValueMatchKind::RegularExpression);
            for (name, text) in
                by_expression.iter().flat_map(|it| [("service", it.service()), ("method", it.method())])
            {
                if let Some(text) = text {
                    expression(node, &format!("{field}.method.{name}"), text)?;
                }
            }
            values(node, &format!("{field}.headers"), &one.headers)?;
        }
    }
    Ok(())
}

/// A route that says what is not carried would not do what it says.
fn is_carried<M>(spec: &RouteSpec<M>, node: &Node) -> Result<(), Flaw> {
    let Some(field) = spec.unsupported().into_iter().next() else { return Ok(()) };
    Err(Flaw::new(node, &format!("spec.{field}"), Reason::NotSupported, "is not supported yet")
        .hint("remove it: the route would not do what it says"))
}

fn values(node: &Node, field: &str, values: &[ValueMatch]) -> Result<(), Flaw> {
    for (index, value) in values.iter().enumerate() {
        if value.kind == ValueMatchKind::RegularExpression {
            expression(node, &format!("{field}[{index}].value"), &value.value)?;
        }
    }
    Ok(())
}

/// Proxies compile expressions with the same crate to the same bound: what is refused here would be refused there.
fn expression(node: &Node, field: &str, text: &str) -> Result<(), Flaw> {
    let compiled = RegexBuilder::new(text).size_limit(names::EXPRESSION_BYTES_MAX).build();
    let Err(error) = compiled else { return Ok(()) };
    // The last line says what is wrong; those before it draw the place.
    let reason =
        error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
    let message = format!("is `{text}`, which is no regular expression: {reason}");
    Err(out_of_range(node, field, &message)
        .hint("the syntax is RE2's: no look-around, no back-references; and no Unicode classes"))
}

fn of_workload(workload: &Object<WorkloadSpec>, node: &Node) -> Result<(), Flaw> {
    if !is_subdomain(workload.service_account()) {
        return Err(no_name(node, "spec.serviceAccount", workload.service_account()));
    }
    in_range(workload.spec.validate(), node)
}

/// Its service account becomes an identity.
fn of_pod(pod: &Object<Pod>, node: &Node) -> Result<(), Flaw> {
    if is_subdomain(pod.service_account()) {
        return Ok(());
    }
    Err(no_name(node, "spec.serviceAccountName", pod.service_account()))
}

fn in_range(checked: Result<(), Violation>, node: &Node) -> Result<(), Flaw> {
    checked.map_err(|Violation { field, rule }| out_of_range(node, &format!("spec.{field}"), &rule))
}

fn out_of_range(node: &Node, field: &str, message: &str) -> Flaw {
    Flaw::new(node, field, Reason::OutOfRange, message)
}

fn no_name(node: &Node, field: &str, name: &str) -> Flaw {
    out_of_range(node, field, &format!("is `{name}`, which is no name of Kubernetes"))
        .hint("use lower-case letters, digits and `-`, with a letter or digit at both ends")
}

fn is_label(text: &str) -> bool {
    let inner = text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    inner && (1..=LABEL_BYTES_MAX).contains(&text.len()) && !text.starts_with('-') && !text.ends_with('-')
}

fn is_subdomain(text: &str) -> bool {
    text.len() <= SUBDOMAIN_BYTES_MAX && text.split('.').all(is_label)
}
