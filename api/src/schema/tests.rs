mod authorization;
mod fault_injection;
mod load_balancer;
mod pages;
mod rate_limit;
mod server;

use std::{env, fs, path::Path};

use serde::de::DeserializeOwned;

use super::*;
use crate::violation::Violation;
use server::{Server, list, properties};

/// What Weft itself says of a spec.
#[derive(Debug, PartialEq)]
enum Verdict {
    Fine,
    /// The types cannot hold it.
    Unreadable,
    /// `validate()` names this field.
    Refused(String),
}

fn verdict<P: DeserializeOwned>(spec: &Value, validate: impl Fn(&P) -> Result<(), Violation>) -> Verdict {
    let mut settings = spec.clone();
    settings.as_object_mut().unwrap().remove("targetRefs");
    match serde_json::from_value::<P>(settings).map(|settings| validate(&settings)) {
        Err(_) => Verdict::Unreadable,
        Ok(Ok(())) => Verdict::Fine,
        Ok(Err(violation)) => Verdict::Refused(violation.field),
    }
}

fn of_breaker(spec: &Value) -> Verdict {
    verdict(spec, CircuitBreaker::validate)
}

fn of_retry(spec: &Value) -> Verdict {
    verdict(spec, Retry::validate)
}

/// `settings` with a target.
fn spec(mut settings: Value) -> Value {
    settings["targetRefs"] = json!([{ "group": "", "kind": "Service", "name": "a" }]);
    settings
}

/// `value` at `path` of an empty object.
fn at(path: &str, value: Value) -> Value {
    path.rsplit('.').fold(value, |value, step| json!({ step: value }))
}

const CEL: &str = "x-kubernetes-validations";

#[test]
fn every_rule_of_validate_is_in_the_schema_of_circuit_breakers() {
    let server = Server::new(circuit_breaker_policy());
    let mut table = vec![
        ("limits.maxConnections", json!(0), "minimum"),
        ("limits.maxRequests", json!(0), "minimum"),
        ("failures.http", json!(vec!["500"; 65]), "maxItems"),
        ("failures.slowerThan", json!("0s"), CEL),
        ("fallback.status", json!(199), "minimum"),
        ("fallback.status", json!(600), "maximum"),
        ("fallback.body", json!("a".repeat(65537)), "maxLength"),
        ("fallback.body", json!("ä".repeat(32769)), CEL),
        ("fallback.causes", json!([]), "minItems"),
        ("fallback.causes", json!(["Open", "Failure", "Open"]), "maxItems"),
        ("fallback.causes", json!(["Open"]), CEL),
        ("fallback.causes", json!(["Open", "Open"]), CEL),
    ];
    for scope in ["endpoint", "target"] {
        let of_breakers = [
            ("consecutive", json!(1001), "maximum"),
            ("failurePercent", json!(101), "maximum"),
            ("minRequests", json!(0), "minimum"),
            ("window", json!("999ms"), CEL),
            ("window", json!("601s"), CEL),
            ("open.base", json!("0s"), CEL),
            ("open.base", json!("61s"), CEL),
            ("open.jitter", json!(1.1), "maximum"),
            ("open.jitter", json!(-0.1), "minimum"),
            ("halfOpen.probes", json!(0), "minimum"),
            ("halfOpen.probes", json!(101), "maximum"),
            ("halfOpen.successes", json!(0), "minimum"),
            ("halfOpen.timeout", json!("0s"), CEL),
            ("maxEjectionPercent", json!(101), "maximum"),
        ];
        table.extend(of_breakers.map(|(field, value, keyword)| {
            let field: &str = format!("{scope}.{field}").leak();
            (field, value, keyword)
        }));
    }
    for (field, value, keyword) in table {
        let spec = spec(at(field, value));
        assert_eq!(of_breaker(&spec), Verdict::Refused(field.to_owned()), "{field}, {keyword}");
        // The canned answers of the table could not be given either, which is a second fault.
        let mut refusals = server.check(&spec);
        refusals.retain(|(at, _)| at == field || at != "fallback.causes");
        assert_eq!(refusals, [(field.to_owned(), keyword)]);
    }
}

#[test]
fn every_rule_of_validate_is_in_the_schema_of_retries() {
    let server = Server::new(retry_policy());
    let table = [
        ("http", json!(vec![503; 65]), "maxItems"),
        ("attempts", json!(6), "maximum"),
        ("backoff.base", json!("251ms"), CEL),
        ("perTryTimeout", json!("0s"), CEL),
        ("timeout", json!("0h0ms"), CEL),
        ("budget.percent", json!(101), "maximum"),
        ("budget.minPerSecond", json!(1001), "maximum"),
        ("budget.interval", json!("999ms"), CEL),
        ("budget.interval", json!("1m1ms"), CEL),
        ("maxBodyBytes", json!(65537), "maximum"),
    ];
    for (field, value, keyword) in table {
        let spec = spec(at(field, value));
        assert_eq!(of_retry(&spec), Verdict::Refused(field.to_owned()), "{spec}");
        assert_eq!(server.check(&spec), [(field.to_owned(), keyword)], "{spec}");
    }
}

#[test]
fn what_the_types_refuse_is_refused_by_keywords() {
    let server = Server::new(circuit_breaker_policy());
    let table = [
        ("failures.slowerThan", json!("1.5s"), "failures.slowerThan", "pattern"),
        ("failures.slowerThan", json!("1s1s1s1s1s"), "failures.slowerThan", "pattern"),
        ("failures.http", json!(["6xx"]), "failures.http[0]", "pattern"),
        ("failures.http", json!([99]), "failures.http[0]", "minimum"),
        ("failures.http", json!(["599-500"]), "failures.http[0]", CEL),
        ("mode", json!("audit"), "mode", "enum"),
        ("fallback.causes", json!(["Closed"]), "fallback.causes[0]", "enum"),
        ("fallback.headers", json!([{ "name": "a" }]), "fallback.headers[0]", "required"),
        ("limits.maxPending", json!(-1), "limits.maxPending", "minimum"),
        ("limits.maxPending", json!(4_294_967_296_u64), "limits.maxPending", "maximum"),
        ("limts", json!({}), "limts", "properties"),
    ];
    for (path, value, field, keyword) in table {
        let spec = spec(at(path, value));
        assert_eq!(of_breaker(&spec), Verdict::Unreadable, "{spec}");
        assert!(
            server.check(&spec).contains(&(field.to_owned(), keyword)),
            "{spec}: {:?}",
            server.check(&spec)
        );
    }
    let refused = |targets: Value| server.check(&json!({ "targetRefs": targets }));
    assert_eq!(server.check(&json!({})), [(String::new(), "required")]);
    assert_eq!(refused(json!([])), [("targetRefs".to_owned(), "minItems")]);
    let gateway = json!([{ "group": "", "kind": "Gateway", "name": "a" }]);
    assert_eq!(refused(gateway), [("targetRefs[0].kind".to_owned(), "enum")]);
}

/// Values around every bound that the rules have, by type.
fn candidates(schema: &Value) -> Vec<Value> {
    if let Some(words) = schema["enum"].as_array() {
        return words.iter().cloned().chain([json!("Neither")]).collect();
    }
    let edges = |edges: &[i64]| {
        edges.iter().flat_map(|edge| [json!(edge - 1), json!(edge), json!(edge + 1)]).collect()
    };
    match schema["type"].as_str() {
        Some("integer") => edges(&[0, 5, 100, 200, 599, 1000, 65536, i64::from(u32::MAX)]),
        Some("number") => [-0.1, 0.0, 0.5, 1.0, 1.1].map(Into::into).to_vec(),
        Some("string") if schema.get("pattern").is_some() => [
            "0s", "1ms", "250ms", "251ms", "999ms", "1s", "3s", "61s", "1m", "10m", "601s", "99999h", "1d",
            "",
        ]
        .map(Into::into)
        .to_vec(),
        Some("string") => vec![json!(""), json!("a".repeat(65536)), json!("a".repeat(65537))],
        Some("array") => vec![],
        None => ["99", "100", "599", "600", "500-599", "599-500", "501-501", "x", "500-", "5000"]
            .map(Into::into)
            .into_iter()
            .chain([json!(99), json!(100), json!(599), json!(600)])
            .collect(),
        other => panic!("{other:?}"),
    }
}

/// Every field that holds a value, with the values to try there.
fn leaves(schema: &Value, path: &str, leaves: &mut Vec<(String, Vec<Value>)>) {
    for (name, schema) in properties(schema) {
        let path = format!("{path}.{name}").trim_start_matches('.').to_owned();
        match (schema["type"].as_str(), &schema["items"]) {
            (Some("object"), _) => self::leaves(schema, &path, leaves),
            (Some("array"), items) if items["type"] == "object" => {}
            (Some("array"), items) => {
                let entries = candidates(items);
                let max = schema["maxItems"].as_u64().unwrap_or(0) as usize;
                let lists = [
                    vec![],
                    entries.clone(),
                    vec![entries[0].clone(); max],
                    vec![entries[0].clone(); max + 1],
                ];
                let single = entries.into_iter().map(|entry| json!([entry]));
                leaves.push((path, single.chain(lists.map(Into::into)).collect()));
            }
            _ => leaves.push((path, candidates(schema))),
        }
    }
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

/// Every value of every field, alone and beside the values of each field of the same object, and of `beside`.
fn agree(schema: Value, beside: &[Value], verdict: impl Fn(&Value) -> Verdict) {
    let mut fields = Vec::new();
    leaves(&schema, "", &mut fields);
    let server = Server::new(schema);
    let check = |spec: &Value| {
        assert_eq!(
            server.check(spec).is_empty(),
            verdict(spec) == Verdict::Fine,
            "{spec}: {:?}",
            server.check(spec)
        );
    };
    let parent = |path: &str| path.rsplit_once('.').map(|(parent, _)| parent.to_owned());
    for (path, values) in &fields {
        for value in values {
            for beside in beside {
                let mut spec = spec(at(path, value.clone()));
                merge(&mut spec, beside.clone());
                check(&spec);
            }
        }
        for (other, others) in
            fields.iter().filter(|(other, _)| other < path && parent(other) == parent(path))
        {
            for (value, other_value) in values.iter().flat_map(|a| others.iter().map(move |b| (a, b))) {
                let mut spec = spec(at(path, value.clone()));
                merge(&mut spec, at(other, other_value.clone()));
                check(&spec);
            }
        }
    }
}

#[test]
fn schema_and_validate_agree_on_circuit_breakers() {
    let mut schema = circuit_breaker_policy();
    // Each value is tried at one scope; that both have the same rules is the table's to show.
    schema["properties"]["endpoint"] = json!({ "type": "object" });
    let beside = [json!({}), json!({ "target": {} }), json!({ "fallback": { "causes": ["Failure"] } })];
    agree(schema, &beside, of_breaker);
}

#[test]
fn schema_and_validate_agree_on_retries() {
    agree(retry_policy(), &[json!({})], of_retry);
}

/// Kubernetes takes nothing else in a structural schema.
fn assert_structural(schema: &Value, path: &str) {
    const KEYWORDS: [&str; 20] = [
        "additionalProperties",
        "anyOf",
        "default",
        "description",
        "enum",
        "format",
        "items",
        "maxItems",
        "maxLength",
        "maximum",
        "minItems",
        "minLength",
        "minimum",
        "pattern",
        "properties",
        "required",
        "type",
        "x-kubernetes-int-or-string",
        "x-kubernetes-list-type",
        "x-kubernetes-validations",
    ];
    let keywords = schema.as_object().unwrap();
    for keyword in keywords.keys() {
        assert!(KEYWORDS.contains(&keyword.as_str()), "{path}: {keyword}");
    }
    let free = schema["x-kubernetes-int-or-string"] == true;
    assert_eq!(schema["type"].is_string(), !free, "{path}: {schema}");
    assert!(free || !keywords.contains_key("anyOf"), "{path}");
    for name in list(schema, "required") {
        assert!(schema["properties"].get(name.as_str().unwrap()).is_some(), "{path}: {name}");
    }
    for (name, property) in properties(schema) {
        // kubectl reads YAML 1.1, to which these are truth values (https://yaml.org/type/bool.html).
        assert!(!["y", "n", "yes", "no", "on", "off"].contains(&name.as_str()), "{path}.{name}");
        assert!(
            property["description"].as_str().is_some_and(|text| !text.is_empty()),
            "{path}.{name} says nothing"
        );
        assert!(!property["description"].as_str().unwrap().contains("[`"), "{path}.{name} links into code");
        assert_structural(property, &format!("{path}.{name}"));
    }
    for entries in ["items", "additionalProperties"] {
        if let Some(entries) = schema.get(entries) {
            assert_structural(entries, &format!("{path}[]"));
        }
    }
}

#[test]
fn the_files_are_structural_and_fresh() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema");
    let schemas = [
        ("authorization-policy", authorization_policy()),
        ("circuit-breaker-policy", circuit_breaker_policy()),
        ("fault-injection-policy", fault_injection_policy()),
        ("load-balancer-policy", load_balancer_policy()),
        ("rate-limit-policy", rate_limit_policy()),
        ("retry-policy", retry_policy()),
    ];
    for (name, schema) in schemas {
        assert_structural(&schema, name);
        let file = folder.join(format!("{name}.json"));
        if env::var_os("WEFT_REGENERATE").is_some() {
            fs::write(&file, format!("{schema:#}\n")).unwrap();
        }
        let written: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        assert_eq!(written, schema, "api/schema/{name}.json; WEFT_REGENERATE=1 writes it anew");
    }
}
