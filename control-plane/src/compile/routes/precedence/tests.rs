use std::sync::Arc;

use serde::de::DeserializeOwned;
use weft_api::{
    Object,
    gateway::{GrpcMatch, Match, RouteSpec},
    object::Metadata,
};

use super::*;
use crate::{document, resolve::Policies};

fn view<M: Condition + DeserializeOwned>(name: &str, created: Option<&str>, rules: &str) -> RouteView<M> {
    let metadata = match created {
        None => format!("{{name: {name}}}"),
        Some(created) => format!("{{name: {name}, creationTimestamp: {created}}}"),
    };
    let metadata: Metadata = document::parse(&metadata).unwrap()[0].decode().unwrap();
    let spec: RouteSpec<M> = document::parse(&format!("rules: {rules}")).unwrap()[0].decode().unwrap();
    let rules = vec![Policies::default(); spec.rules.len()];
    RouteView { route: Arc::new(Object { metadata, spec }), rules }
}

/// Each row says what must be asked before what.
const TABLE: [(&str, &str, &str); 10] = [
    ("exact before a longer prefix", "{path: {type: Exact, value: /a}}", "{path: {value: /a/b/c}}"),
    (
        "exact before an expression",
        "{path: {type: Exact, value: /a}}",
        "{path: {type: RegularExpression, value: /abc}}",
    ),
    (
        "an expression before a prefix",
        "{path: {type: RegularExpression, value: /a}}",
        "{path: {value: /abcdef}}",
    ),
    ("the longer prefix", "{path: {value: /a/b}}", "{path: {value: /a}, method: GET}"),
    ("a trailing slash is no length", "{path: {value: /a}, method: GET}", "{path: {value: /a/}}"),
    ("a method before headers", "{method: GET}", "{headers: [{name: a, value: b}, {name: c, value: d}]}"),
    (
        "more headers",
        "{headers: [{name: a, value: b}, {name: c, value: d}]}",
        "{headers: [{name: a, value: b}], queryParams: [{name: a, value: b}]}",
    ),
    ("headers before parameters", "{headers: [{name: a, value: b}]}", "{queryParams: [{name: a, value: b}]}"),
    ("more parameters", "{queryParams: [{name: a, value: b}]}", "{}"),
    ("characters, not bytes", "{path: {value: /abcd}}", "{path: {value: /äöü}}"),
];

#[test]
fn the_more_specific_match_comes_first_wherever_it_is_written() {
    for (rule, first, second) in TABLE {
        for (a, b) in [(first, second), (second, first)] {
            let in_one_rule: [RouteView<Match>; 1] = [view("x", None, &format!("[{{matches: [{a}, {b}]}}]"))];
            let in_two_routes = [
                view("x", None, &format!("[{{matches: [{a}]}}]")),
                view("y", None, &format!("[{{matches: [{b}]}}]")),
            ];
            for routes in [&in_one_rule[..], &in_two_routes[..]] {
                let expected: Match = document::parse(first).unwrap()[0].decode().unwrap();
                assert_eq!(sorted(routes)[0].one, expected, "{rule}");
            }
        }
    }
}

/// The same for calls.
const CALLS: [(&str, &str, &str); 6] = [
    ("the longer service", "{method: {service: a.bc}}", "{method: {service: a.b, method: Long}}"),
    ("any service before any method", "{method: {service: a}}", "{method: {method: Long}}"),
    ("the longer method", "{method: {method: Ab}}", "{method: {method: A}, headers: [{name: a, value: b}]}"),
    ("a method before none", "{method: {service: a, method: B}}", "{method: {service: a}}"),
    (
        "an expression by its length",
        "{method: {type: RegularExpression, service: 'a.*'}}",
        "{method: {service: ab}}",
    ),
    ("more headers", "{headers: [{name: a, value: b}]}", "{}"),
];

#[test]
fn the_more_specific_call_comes_first_wherever_it_is_written() {
    for (rule, first, second) in CALLS {
        for (a, b) in [(first, second), (second, first)] {
            let routes: [RouteView<GrpcMatch>; 2] = [
                view("x", None, &format!("[{{matches: [{a}]}}]")),
                view("y", None, &format!("[{{matches: [{b}]}}]")),
            ];
            let expected: GrpcMatch = document::parse(first).unwrap()[0].decode().unwrap();
            assert_eq!(sorted(&routes)[0].one, expected, "{rule}");
        }
    }
}

#[test]
fn what_is_equally_specific_goes_by_the_route_and_then_by_the_rule() {
    // By seniority, as they come.
    let routes: [RouteView<Match>; 2] = [
        view("z-old", Some("\"2026-01-01T00:00:00Z\""), "[{name: first}, {name: second}]"),
        view("a-young", Some("\"2026-01-02T00:00:00Z\""), "[{name: third}]"),
    ];
    let names: Vec<_> =
        sorted(&routes).iter().map(|candidate| candidate.rule.name.clone().unwrap()).collect();
    assert_eq!(names, ["first", "second", "third"]);
}
