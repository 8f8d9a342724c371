//! The policy kinds as `CustomResourceDefinition`s: what the chart `weft-crds` tells API servers about them.

use serde_json::{Value, json};

use crate::{names, schema};

/// Of `AuthorizationPolicy`, short name `azp`.
pub fn authorization_policy() -> Value {
    let columns = [("Action", "action"), ("Mode", "mode")]
        .map(|(name, field)| json!({ "name": name, "type": "string", "jsonPath": format!(".spec.{field}") }));
    definition(
        "AuthorizationPolicy",
        "authorizationpolicies",
        "azp",
        columns.into(),
        &schema::authorization_policy(),
    )
}

/// Of `CircuitBreakerPolicy`, short name `cbp`.
pub fn circuit_breaker_policy() -> Value {
    let mode = json!({ "name": "Mode", "type": "string", "jsonPath": ".spec.mode" });
    definition(
        "CircuitBreakerPolicy",
        "circuitbreakerpolicies",
        "cbp",
        vec![mode],
        &schema::circuit_breaker_policy(),
    )
}

/// Of `FaultInjectionPolicy`, short name `fip`.
pub fn fault_injection_policy() -> Value {
    let columns = [("Delay", "string", "delay.duration"), ("Abort", "integer", "abort.httpStatus")].map(
        |(name, kind, field)| json!({ "name": name, "type": kind, "jsonPath": format!(".spec.{field}") }),
    );
    definition(
        "FaultInjectionPolicy",
        "faultinjectionpolicies",
        "fip",
        columns.into(),
        &schema::fault_injection_policy(),
    )
}

/// Of `LoadBalancerPolicy`, short name `lbp`.
pub fn load_balancer_policy() -> Value {
    let columns = [("Algorithm", "algorithm"), ("Locality", "locality.mode")]
        .map(|(name, field)| json!({ "name": name, "type": "string", "jsonPath": format!(".spec.{field}") }));
    definition(
        "LoadBalancerPolicy",
        "loadbalancerpolicies",
        "lbp",
        columns.into(),
        &schema::load_balancer_policy(),
    )
}

/// Of `RateLimitPolicy`, short name `rlp`.
pub fn rate_limit_policy() -> Value {
    let mode = json!({ "name": "Mode", "type": "string", "jsonPath": ".spec.mode" });
    definition("RateLimitPolicy", "ratelimitpolicies", "rlp", vec![mode], &schema::rate_limit_policy())
}

/// Of `RetryPolicy`, short name `rp`.
pub fn retry_policy() -> Value {
    let attempts = json!({ "name": "Attempts", "type": "integer", "jsonPath": ".spec.attempts" });
    definition("RetryPolicy", "retrypolicies", "rp", vec![attempts], &schema::retry_policy())
}

fn definition(kind: &str, plural: &str, short: &str, own_columns: Vec<Value>, spec: &Value) -> Value {
    let (group, version) = names::POLICY_API_VERSION.split_once('/').expect("a group and a version");
    // A target that is selected by labels has no name.
    let target = &spec["properties"]["targetRefs"]["items"]["properties"];
    let column = if target["name"].is_null() { "selector.matchLabels" } else { "name" };
    let path = format!(".spec.targetRefs[0].{column}");
    let mut columns = vec![json!({ "name": "Target", "type": "string", "jsonPath": path })];
    columns.extend(own_columns);
    let of_accepted =
        |field: &str| format!(".status.ancestors[0].conditions[?(@.type==\"Accepted\")].{field}");
    columns.extend([
        json!({ "name": "Accepted", "type": "string", "jsonPath": of_accepted("status") }),
        json!({ "name": "Reason", "type": "string", "jsonPath": of_accepted("reason") }),
        json!({ "name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp" }),
    ]);
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": format!("{plural}.{group}"),
            "labels": {
                "app.kubernetes.io/part-of": "weft",
                // GEP-713: a policy that says something of its targets alone, and inherits nothing.
                "gateway.networking.k8s.io/policy": "Direct",
            },
            // With the definition, an uninstalled chart would take away what people wrote.
            "annotations": { "helm.sh/resource-policy": "keep" },
        },
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {
                "kind": kind,
                "listKind": format!("{kind}List"),
                "plural": plural,
                "singular": kind.to_lowercase(),
                "shortNames": [short],
                "categories": ["weft"],
            },
            "versions": [{
                "name": version,
                "served": true,
                "storage": true,
                "subresources": { "status": {} },
                "additionalPrinterColumns": columns,
                "schema": { "openAPIV3Schema": {
                    "description": spec["description"],
                    "type": "object",
                    "required": ["spec"],
                    "properties": {
                        "apiVersion": { "type": "string", "description": "Group and version." },
                        "kind": { "type": "string", "description": "Kind." },
                        "metadata": { "type": "object" },
                        "spec": spec,
                        "status": schema::policy_status(),
                    },
                } },
            }],
        },
    })
}

#[cfg(test)]
mod tests;
