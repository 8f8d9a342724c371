//! The `spec` of each policy kind as a structural schema of Kubernetes: what an API server accepts, refuses and fills in.
//!
//! Field names, descriptions and defaults come from the types. What `validate()` demands beyond them stands in a table,
//! as keywords of JSON Schema where those can say it, and else as rules in CEL.

mod rules;
mod structural;

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde_json::{Value, json};

use crate::{
    Duration,
    authorization::Authorization,
    cidr::Cidr,
    circuit_breaker::{CircuitBreaker, StatusRange},
    fault_injection::FaultInjection,
    gateway,
    load_balancer::LoadBalancer,
    policy::{TargetRef, WorkloadRef},
    rate_limit::RateLimit,
    retry::Retry,
    status::{ANCESTORS_MAX, MESSAGE_BYTES_MAX, PolicyStatus},
};
use rules::Rule;

/// The schema of the `spec` of an `AuthorizationPolicy`.
pub fn authorization_policy() -> Value {
    policy::<Authorization>(
        "Who may enter workloads, and to do what.",
        workload_refs(),
        rules::authorization(),
    )
}

/// The schema of the `spec` of a `CircuitBreakerPolicy`.
pub fn circuit_breaker_policy() -> Value {
    policy::<CircuitBreaker>(
        "Limits, circuit breakers and canned answers of Services and routes.",
        target_refs(),
        rules::circuit_breaker(),
    )
}

/// The schema of the `spec` of a `FaultInjectionPolicy`.
pub fn fault_injection_policy() -> Value {
    policy::<FaultInjection>(
        "Which requests to Services and routes are held back or answered as if the service were slow or broken.",
        target_refs(),
        rules::fault_injection(),
    )
}

/// The schema of the `spec` of a `LoadBalancerPolicy`.
pub fn load_balancer_policy() -> Value {
    policy::<LoadBalancer>(
        "Which endpoint of a Service a request goes to.",
        named(&[""], &["Service"]),
        rules::load_balancer(),
    )
}

/// The schema of the `spec` of a `RateLimitPolicy`.
pub fn rate_limit_policy() -> Value {
    policy::<RateLimit>("How many requests may enter workloads.", workload_refs(), rules::rate_limit())
}

/// The schema of the `spec` of a `RetryPolicy`.
pub fn retry_policy() -> Value {
    policy::<Retry>(
        "Which failed requests to Services and routes are tried again, how often, and within which budget.",
        target_refs(),
        rules::retry(),
    )
}

/// The schema of the `status` of every policy kind, with the bounds of `Condition` (meta/v1) and `PolicyStatus`
/// (GEP-713).
pub fn policy_status() -> Value {
    let mut schema = schema_of::<PolicyStatus>();
    let ancestors = &mut schema["properties"]["ancestors"];
    ancestors["maxItems"] = ANCESTORS_MAX.into();
    let conditions = &mut ancestors["items"]["properties"]["conditions"];
    conditions["maxItems"] = 8.into();
    conditions["x-kubernetes-list-type"] = "map".into();
    conditions["x-kubernetes-list-map-keys"] = json!(["type"]);
    let condition = &mut conditions["items"]["properties"];
    condition["status"]["enum"] = json!(["True", "False", "Unknown"]);
    condition["lastTransitionTime"]["format"] = "date-time".into();
    condition["message"]["maxLength"] = MESSAGE_BYTES_MAX.into();
    condition["reason"]["minLength"] = 1.into();
    condition["reason"]["maxLength"] = 1024.into();
    condition["type"]["maxLength"] = 316.into();
    schema
}

fn policy<P: JsonSchema>(description: &str, targets: Value, rules: Vec<(String, Rule)>) -> Value {
    let mut schema = schema_of::<P>();
    schema["description"] = description.into();
    schema["properties"]["targetRefs"] = targets;
    match &mut schema["required"] {
        Value::Array(required) => required.push("targetRefs".into()),
        none => *none = json!(["targetRefs"]),
    }
    demand(schema, rules)
}

fn demand(mut schema: Value, rules: Vec<(String, Rule)>) -> Value {
    for (field, rule) in rules {
        rule.apply(structural::field(&mut schema, &field));
    }
    schema
}

fn schema_of<T: JsonSchema>() -> Value {
    let mut settings = SchemaSettings::draft2020_12().for_deserialize();
    settings.inline_subschemas = true;
    settings.meta_schema = None;
    structural::of(settings.into_generator().into_root_schema_for::<T>().to_value())
}

fn target_refs() -> Value {
    named(&["", gateway::GROUP], &["Service", "HTTPRoute", "GRPCRoute"])
}

fn named(groups: &[&str], kinds: &[&str]) -> Value {
    let mut target = schema_of::<TargetRef>();
    target["properties"]["group"]["enum"] = json!(groups);
    target["properties"]["kind"]["enum"] = json!(kinds);
    json!({
        "description": "What it applies to, in its own namespace.",
        "type": "array",
        "minItems": 1,
        "items": target,
    })
}

fn workload_refs() -> Value {
    let mut target = schema_of::<WorkloadRef>();
    target["properties"]["group"]["enum"] = json!([""]);
    target["properties"]["kind"]["enum"] = json!(["Pod"]);
    json!({
        "description": "The workloads that it applies to, in its own namespace.",
        "type": "array",
        "minItems": 1,
        "maxItems": 1,
        "items": demand(target, rules::workload_ref()),
    })
}

impl JsonSchema for Cidr {
    fn schema_name() -> Cow<'static, str> {
        "Cidr".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // What of these is a network, no pattern can say; the control plane does, in the status of the policy.
        json_schema!({ "type": "string", "pattern": "^[0-9a-fA-F.:]+/[0-9]{1,3}$", "maxLength": 49 })
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // GEP-2257. Four groups of five digits and two letters are the longest; the bound lets an API server estimate
        // what a rule over it costs.
        json_schema!({ "type": "string", "pattern": "^([0-9]{1,5}(h|m|s|ms)){1,4}$", "maxLength": 28 })
    }
}

impl JsonSchema for StatusRange {
    fn schema_name() -> Cow<'static, str> {
        "StatusRange".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "anyOf": [{ "type": "integer" }, { "type": "string" }],
            "minimum": 100,
            "maximum": 599,
            "pattern": "^[1-5][0-9]{2}(-[1-5][0-9]{2})?$",
            "maxLength": 7,
            "x-kubernetes-validations": [{
                "rule": "type(self) == int || !self.contains('-') \
                    || int(self.split('-')[0]) <= int(self.split('-')[1])",
                "message": "a range of status codes must ascend",
            }],
        })
    }
}

#[cfg(test)]
mod tests;
