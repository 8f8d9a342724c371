//! docs/policies.md says of every field what its schema says: the default, and the range.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use regex_lite::Regex;
use serde_json::Value;

use super::{
    Duration, authorization_policy, circuit_breaker_policy, fault_injection_policy, list,
    load_balancer_policy, properties, rate_limit_policy, retry_policy,
};

/// What a table of the page says of a field.
#[derive(Debug)]
struct Row {
    default: String,
    range: Option<String>,
}

/// The tables of a section, by field. A row of several fields has their defaults in the same order.
fn rows(section: &str) -> BTreeMap<String, Row> {
    let mut rows = BTreeMap::new();
    let mut has_range = None;
    for line in section.lines() {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        match cells[..] {
            ["field", "default", "range", ..] => has_range = Some(true),
            ["field", "default", ..] => has_range = Some(false),
            _ if !line.starts_with('|') => has_range = None,
            [names, defaults, third, ..] if has_range.is_some() && names.contains('`') => {
                let defaults: Vec<&str> =
                    if names.contains(", ") { defaults.split(", ").collect() } else { vec![defaults] };
                for (name, default) in names.split(", ").zip(defaults) {
                    let row = Row {
                        default: plain(default),
                        range: has_range.filter(|it| *it).map(|_| plain(third)),
                    };
                    assert!(rows.insert(plain(name), row).is_none(), "{name} stands in two rows");
                }
            }
            _ => {}
        }
    }
    rows
}

fn plain(cell: &str) -> String {
    cell.replace('`', "")
}

/// The page between two headings.
fn section<'a>(page: &'a str, from: &str, to: &str) -> &'a str {
    let (_, rest) = page.split_once(from).unwrap_or_else(|| panic!("no heading {from}"));
    rest.split_once(to).unwrap_or_else(|| panic!("no heading {to}")).0
}

/// Every field below `path` that holds a value, or a list of values.
fn leaves(schema: &Value, path: &str, found: &mut BTreeMap<String, Value>) {
    for (name, schema) in properties(schema) {
        let path = format!("{path}.{name}").trim_start_matches('.').to_owned();
        if schema["type"] == "object" {
            leaves(schema, &path, found);
        } else {
            found.insert(path, schema.clone());
        }
    }
}

fn assert_documented(schema: &Value, rows: &BTreeMap<String, Row>) {
    let mut fields = BTreeMap::new();
    leaves(schema, "", &mut fields);
    assert!(
        fields.keys().eq(rows.keys()),
        "documented are\n{:?}, there are\n{:?}",
        rows.keys(),
        fields.keys()
    );
    let numbers = Regex::new(r"^(\d+)-(\d+)$").unwrap();
    let at_least = Regex::new(r"^≥ (\d+)$").unwrap();
    for (field, schema) in fields {
        let row = &rows[&field];
        if let Some(default) = schema.get("default") {
            assert_eq!(uniform(&row.default), shown(default), "default of {field}");
        }
        let Some(range) = &row.range else { continue };
        let bounds = (&schema["minimum"], &schema["maximum"]);
        if let (true, Some(found)) = (bounds.0.is_number(), numbers.captures(range)) {
            assert_eq!(
                (bounds.0.to_string(), bounds.1.to_string()),
                (found[1].to_owned(), found[2].to_owned()),
                "{field}"
            );
        } else if let (true, Some(found)) = (bounds.0.is_number(), at_least.captures(range)) {
            assert_eq!(
                (bounds.0.to_string(), bounds.1.as_u64()),
                (found[1].to_owned(), Some(u32::MAX.into())),
                "{field}"
            );
        } else {
            assert!(bounds.0.is_null(), "{field}: the range `{range}` is not that of the schema");
        }
        for word in list(&schema["items"], "enum") {
            assert!(range.contains(word.as_str().unwrap()), "{field}: {word} is missing");
        }
    }
}

/// A time as types write it, and anything else as it is.
fn uniform(default: &str) -> String {
    default.parse::<Duration>().map_or_else(|_| default.to_owned(), |time| time.to_string())
}

/// A default as the page writes it.
fn shown(default: &Value) -> String {
    match default {
        Value::String(text) if text.is_empty() => "empty".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(entries) if entries.is_empty() => "none".to_owned(),
        Value::Array(entries) => format!("[{}]", entries.iter().map(shown).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

#[test]
fn the_page_on_policies_says_what_the_schemas_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/policies.md");
    let page = fs::read_to_string(path).unwrap();
    let mut retry = retry_policy();
    let mut breaker = circuit_breaker_policy();
    let mut faults = fault_injection_policy();
    let mut balancer = load_balancer_policy();
    for schema in [&mut retry, &mut breaker, &mut faults, &mut balancer] {
        // These have sections of their own, without a table of fields.
        schema["properties"]
            .as_object_mut()
            .unwrap()
            .retain(|name, _| name != "targetRefs" && name != "mode");
    }
    assert_documented(&retry, &rows(section(&page, "\n## RetryPolicy\n", "\n## CircuitBreakerPolicy\n")));
    // Both scopes have one table, in which fields stand without the scope.
    let scopes = ["endpoint", "target"].map(|scope| breaker["properties"][scope].take());
    breaker["properties"].as_object_mut().unwrap().retain(|_, schema| !schema.is_null());
    let tables = section(&page, "\n### endpoint and target\n", "\n### fallback\n");
    for scope in scopes {
        assert_documented(&scope, &rows(tables));
    }
    let mut others = rows(section(&page, "\n### limits\n", "\n### endpoint and target\n"));
    others.extend(rows(section(&page, "\n### fallback\n", "\n### mode\n")));
    assert_documented(&breaker, &others);
    let of_faults = section(&page, "\n## FaultInjectionPolicy\n", "\n## LoadBalancerPolicy\n");
    assert_documented(&faults, &rows(of_faults));
    let of_balancers = section(&page, "\n## LoadBalancerPolicy\n", "\n## AuthorizationPolicy\n");
    assert_documented(&balancer, &rows(of_balancers));
    assert_spoken_of(&balancer, "\n## LoadBalancerPolicy\n", "\n## AuthorizationPolicy\n");
}

/// Names of all fields below, through lists too.
fn names(schema: &Value, found: &mut BTreeSet<String>) {
    for (name, schema) in properties(schema) {
        found.insert(name.clone());
        names(schema, found);
    }
    if let Some(items) = schema.get("items") {
        names(items, found);
    }
}

fn assert_spoken_of(schema: &Value, from: &str, to: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/policies.md");
    let page = fs::read_to_string(path).unwrap();
    let section = section(&page, from, to);
    let mut fields = BTreeSet::new();
    names(schema, &mut fields);
    assert!(fields.len() > 5, "{fields:?}");
    for field in fields {
        // Alone, as the last of a path, or in the example.
        let shapes = ["`{}`", ".{}`", "`{}:", "`{}.", "{{}:"].map(|shape| shape.replace("{}", &field));
        let shown = shapes.iter().any(|shape| section.contains(shape.as_str()));
        assert!(shown, "{field} is missing");
    }
}

#[test]
fn the_page_speaks_of_every_field_of_policies_for_workloads() {
    let (authorization, rates) = ("\n## AuthorizationPolicy\n", "\n## RateLimitPolicy\n");
    assert_spoken_of(&authorization_policy(), authorization, rates);
    let mut limits = rate_limit_policy();
    // Whom it is about is said for both in the other section.
    limits["properties"].as_object_mut().unwrap().retain(|name, _| name != "targetRefs");
    assert_spoken_of(&limits, rates, "\n## What the numbers teach\n");
}
