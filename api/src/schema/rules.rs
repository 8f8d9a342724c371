//! What `validate()` demands, field by field, in the words of a schema.

use serde_json::{Value, json};

use crate::{
    authorization::{RULES_MAX, SOURCES_MAX, SPIFFE_BYTES_MAX},
    circuit_breaker::{FALLBACK_BODY_BYTES_MAX, STATUSES_MAX},
    http_attributes::{METHODS_MAX, PATH_BYTES_MAX, PATHS_MAX},
    load_balancer::{COOKIE_PATH_BYTES_MAX, KEYS_MAX, NAME_BYTES_MAX, RING_POINTS_MAX},
    network_attributes::PORTS_MAX,
    rate_limit::{LIMITS_MAX, REQUESTS_MAX},
    selector::{EXPRESSIONS_MAX, VALUES_MAX},
};

/// A demand on a field.
pub(super) enum Rule {
    /// A whole number from the first to the second, both included.
    Whole(u32, u32),
    /// A share: from 0 to 1.
    Share,
    /// A share in hundredths: from 0 to 100.
    Percent,
    /// A list of so many entries: from the first to the second, both included.
    Entries(usize, usize),
    /// Text of so many characters at most.
    Characters(usize),
    /// Text of this form.
    Form(String),
    /// What keywords cannot say.
    Cel {
        /// What must be true of `self`, in CEL.
        rule: &'static str,
        /// What a user is told, as the rest of a sentence that begins with the field.
        message: &'static str,
        /// The field below `self` that is to blame; empty for `self`.
        blamed: &'static str,
    },
}

const MORE_THAN_NO_TIME: Rule =
    Rule::Cel { rule: "duration(self) > duration('0s')", message: "must be longer than 0s", blamed: "" };
const BASE_WITHIN_MAX: Rule = Rule::Cel {
    rule: "duration(self.base) <= duration(self.max)",
    message: "must not be above max",
    blamed: ".base",
};

impl Rule {
    /// Writes the demand into the schema of its field.
    pub(super) fn apply(self, schema: &mut Value) {
        match self {
            Rule::Whole(min, max) => {
                schema["minimum"] = min.into();
                schema["maximum"] = max.into();
            }
            Rule::Share => {
                schema["minimum"] = 0.into();
                schema["maximum"] = 1.into();
            }
            Rule::Percent => Rule::Whole(0, 100).apply(schema),
            Rule::Entries(min, max) => {
                schema["maxItems"] = max.into();
                if min > 0 {
                    schema["minItems"] = min.into();
                }
            }
            Rule::Characters(max) => schema["maxLength"] = max.into(),
            Rule::Form(pattern) => schema["pattern"] = pattern.into(),
            Rule::Cel { rule, message, blamed } => {
                let mut one = json!({ "rule": rule, "message": message });
                if !blamed.is_empty() {
                    one["fieldPath"] = blamed.into();
                }
                match &mut schema["x-kubernetes-validations"] {
                    Value::Array(rules) => rules.push(one),
                    none => *none = json!([one]),
                }
            }
        }
    }
}

/// The demands on a `CircuitBreakerPolicy`, by paths below `spec`.
pub(super) fn circuit_breaker() -> Vec<(String, Rule)> {
    let own = [
        ("limits.maxConnections", Rule::Whole(1, u32::MAX)),
        ("limits.maxPending", Rule::Whole(0, u32::MAX)),
        ("limits.maxRequests", Rule::Whole(1, u32::MAX)),
        ("failures.http", Rule::Entries(0, STATUSES_MAX)),
        ("failures.slowerThan", MORE_THAN_NO_TIME),
        ("fallback.status", Rule::Whole(200, 599)),
        ("fallback.causes", Rule::Entries(1, 2)),
        ("fallback.body", Rule::Characters(FALLBACK_BODY_BYTES_MAX)),
        (
            "fallback.body",
            Rule::Cel { rule: "size(bytes(self)) <= 65536", message: "must be at most 64 KiB", blamed: "" },
        ),
        (
            "",
            Rule::Cel {
                rule: "!has(self.fallback) || has(self.target) \
                    || self.fallback.causes.exists(cause, cause == 'Failure')",
                message: "is [Open] but target is absent, so it could never be given",
                blamed: ".fallback.causes",
            },
        ),
    ];
    let own = own.into_iter().map(|(field, rule)| (field.to_owned(), rule));
    let scopes = ["endpoint", "target"]
        .into_iter()
        .flat_map(|scope| breaker().into_iter().map(move |(field, rule)| (format!("{scope}.{field}"), rule)));
    own.chain(scopes).collect()
}

fn breaker() -> [(&'static str, Rule); 11] {
    [
        ("consecutive", Rule::Whole(0, 1000)),
        ("failurePercent", Rule::Whole(0, 100)),
        ("minRequests", Rule::Whole(1, u32::MAX)),
        (
            "window",
            Rule::Cel {
                rule: "duration(self) >= duration('1s') && duration(self) <= duration('10m')",
                message: "must be within 1s to 10m",
                blamed: "",
            },
        ),
        ("open.base", MORE_THAN_NO_TIME),
        ("open", BASE_WITHIN_MAX),
        ("open.jitter", Rule::Share),
        ("halfOpen.probes", Rule::Whole(1, 100)),
        ("halfOpen.successes", Rule::Whole(1, 100)),
        ("halfOpen.timeout", MORE_THAN_NO_TIME),
        ("maxEjectionPercent", Rule::Whole(0, 100)),
    ]
}

/// The demands on a `RetryPolicy`, by paths below `spec`.
pub(super) fn retry() -> Vec<(String, Rule)> {
    let own = [
        ("http", Rule::Entries(0, STATUSES_MAX)),
        ("attempts", Rule::Whole(0, 5)),
        ("backoff", BASE_WITHIN_MAX),
        ("perTryTimeout", MORE_THAN_NO_TIME),
        ("timeout", MORE_THAN_NO_TIME),
        ("budget.percent", Rule::Whole(0, 100)),
        ("budget.minPerSecond", Rule::Whole(0, 1000)),
        (
            "budget.interval",
            Rule::Cel {
                rule: "duration(self) >= duration('1s') && duration(self) <= duration('1m')",
                message: "must be within 1s to 1m",
                blamed: "",
            },
        ),
        ("maxBodyBytes", Rule::Whole(0, 64 * 1024)),
    ];
    own.into_iter().map(|(field, rule)| (field.to_owned(), rule)).collect()
}

/// The demands on a `FaultInjectionPolicy`, by paths below `spec`.
pub(super) fn fault_injection() -> Vec<(String, Rule)> {
    let own = [
        (
            "",
            Rule::Cel {
                rule: "has(self.delay) || has(self.abort)",
                message: "is missing, and so is abort; one of them must be there",
                blamed: ".delay",
            },
        ),
        ("delay.percent", Rule::Percent),
        (
            "delay.duration",
            Rule::Cel {
                rule: "duration(self) >= duration('1ms') && duration(self) <= duration('5m')",
                message: "must be within 1ms to 5m",
                blamed: "",
            },
        ),
        (
            "abort",
            Rule::Cel {
                rule: "has(self.httpStatus) || has(self.grpcStatus)",
                message: "must hold httpStatus, grpcStatus, or both",
                blamed: "",
            },
        ),
        ("abort.percent", Rule::Percent),
        ("abort.httpStatus", Rule::Whole(400, 599)),
    ];
    own.into_iter().map(|(field, rule)| (field.to_owned(), rule)).collect()
}

/// The demands on a `LoadBalancerPolicy`, by paths below `spec`.
pub(super) fn load_balancer() -> Vec<(String, Rule)> {
    let of_spec = |rule, message, blamed| (String::new(), Rule::Cel { rule, message, blamed });
    let own = [
        of_spec(
            "(self.algorithm in ['RingHash', 'Maglev']) == (has(self.hashOn) && size(self.hashOn) > 0)",
            "must hold keys for RingHash and Maglev, and for no other algorithm",
            ".hashOn",
        ),
        of_spec("!has(self.ringHash) || self.algorithm == 'RingHash'", "is for RingHash", ".ringHash"),
        of_spec(
            "!has(self.slowStart) || self.algorithm in ['LatencyAware', 'LeastRequest', 'RoundRobin']",
            "is for LatencyAware, LeastRequest and RoundRobin",
            ".slowStart",
        ),
    ];
    let sizes = Rule::Cel {
        rule: "self.minimumSize <= self.maximumSize",
        message: "must not be below minimumSize",
        blamed: ".maximumSize",
    };
    let window =
        Rule::Cel { rule: "duration(self) <= duration('1h')", message: "must be at most 1h", blamed: "" };
    let fields = [
        ("hashOn", Rule::Entries(0, KEYS_MAX)),
        ("ringHash.minimumSize", Rule::Whole(1, RING_POINTS_MAX)),
        ("ringHash.maximumSize", Rule::Whole(1, RING_POINTS_MAX)),
        ("ringHash", sizes),
        ("slowStart.window", window),
        ("locality.minHealthyPercent", Rule::Whole(1, 100)),
    ];
    let fields = fields.into_iter().map(|(field, rule)| (field.to_owned(), rule));
    own.into_iter().chain(fields).chain(hash_key()).collect()
}

fn hash_key() -> impl Iterator<Item = (String, Rule)> {
    let one = Rule::Cel {
        rule: "(has(self.header) ? 1 : 0) + (has(self.cookie) ? 1 : 0) + (has(self.queryParam) ? 1 : 0) \
            + (has(self.source) ? 1 : 0) == 1",
        message: "must hold one of header, cookie, queryParam and source",
        blamed: "",
    };
    let path = Rule::Cel {
        rule: "!has(self.path) || has(self.ttl)",
        message: "is of new cookies, of which there are none without ttl",
        blamed: ".path",
    };
    let names = ["header", "queryParam", "cookie.name"]
        .into_iter()
        .flat_map(|name| [(name, Rule::Form(TOKEN.to_owned())), (name, Rule::Characters(NAME_BYTES_MAX))]);
    let others = [
        ("cookie", path),
        ("cookie.path", Rule::Form("^/[!-:<-~]*$".to_owned())),
        ("cookie.path", Rule::Characters(COOKIE_PATH_BYTES_MAX)),
    ];
    let fields = names.chain(others).map(|(field, rule)| (format!("hashOn[].{field}"), rule));
    [("hashOn[]".to_owned(), one)].into_iter().chain(fields)
}

/// RFC 9110, 5.6.2.
const TOKEN: &str = "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$";

/// DNS subdomains, as names of Kubernetes are.
const NAME: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";

/// The demands on an `AuthorizationPolicy`, by paths below `spec`.
pub(super) fn authorization() -> Vec<(String, Rule)> {
    let source =
        |rule, blamed| Rule::Cel { rule, message: "must be there for its type and no other", blamed };
    let sources = [
        ("", Rule::Entries(0, SOURCES_MAX)),
        ("[]", source("has(self.serviceAccount) == (self.type == 'ServiceAccount')", ".serviceAccount")),
        ("[]", source("has(self.spiffe) == (self.type == 'SPIFFE')", ".spiffe")),
        ("[]", source("has(self.network) == (self.type == 'Network')", ".network")),
        ("[].serviceAccount.name", Rule::Form(format!("^([*]|{NAME})$"))),
        ("[].serviceAccount.name", Rule::Characters(253)),
        ("[].serviceAccount.namespace", Rule::Form(format!("^{NAME}$"))),
        ("[].serviceAccount.namespace", Rule::Characters(253)),
        ("[].spiffe", Rule::Form("^spiffe://[a-z0-9._-]+(/[A-Za-z0-9._-]+)+$".to_owned())),
        ("[].spiffe", Rule::Characters(SPIFFE_BYTES_MAX)),
    ];
    let sources = sources.map(|(field, rule)| (format!("rules[].sources{field}"), rule));
    let own = [("rules".to_owned(), Rule::Entries(0, RULES_MAX))];
    own.into_iter().chain(sources).chain(attributes("rules[]")).collect()
}

/// The demands on a `RateLimitPolicy`, by paths below `spec`.
pub(super) fn rate_limit() -> Vec<(String, Rule)> {
    let own = [
        ("", Rule::Entries(1, LIMITS_MAX)),
        ("[].requests", Rule::Whole(1, REQUESTS_MAX)),
        ("[].burst", Rule::Whole(1, REQUESTS_MAX)),
        (
            "[].per",
            Rule::Cel {
                rule: "duration(self) >= duration('1s') && duration(self) <= duration('1h')",
                message: "must be within 1s to 1h",
                blamed: "",
            },
        ),
    ];
    let own = own.map(|(field, rule)| (format!("limits{field}"), rule));
    own.into_iter().chain(attributes("limits[]")).collect()
}

/// The demands on what a rule at `path` says of the traffic that it is about.
fn attributes(path: &str) -> impl Iterator<Item = (String, Rule)> {
    let ports = [("", Rule::Entries(1, PORTS_MAX)), ("[]", Rule::Whole(1, 65535))];
    let ports = ports.map(|(field, rule)| (format!("{path}.networkAttributes.ports{field}"), rule));
    let http = http_attributes().map(|(field, rule)| (format!("{path}.httpAttributes{field}"), rule));
    ports.into_iter().chain(http)
}

fn http_attributes() -> [(&'static str, Rule); 7] {
    [
        (
            "",
            Rule::Cel {
                rule: "has(self.methods) || has(self.paths)",
                message: "must name methods or paths",
                blamed: "",
            },
        ),
        (".methods", Rule::Entries(1, METHODS_MAX)),
        (".methods[]", Rule::Form(TOKEN.to_owned())),
        (".methods[]", Rule::Characters(32)),
        (".paths", Rule::Entries(1, PATHS_MAX)),
        (".paths[].value", Rule::Form(canonical_path())),
        (".paths[].value", Rule::Characters(PATH_BYTES_MAX)),
    ]
}

/// Every path that is its own canonical form, and no other.
fn canonical_path() -> String {
    // What must be percent-encoded, and may be. No slash of either kind, nothing that stands for itself.
    let encoded = "%(2[0-9A-C]|3[A-F]|40|5[BDE]|60|7[B-D]|[89A-F][0-9A-F])";
    let plain = format!("([A-Za-z0-9_~!$&'()*+,=:@-]|{encoded})");
    let any = format!("({plain}|[.])");
    // Neither `.` nor `..`.
    let segment = format!("({plain}{any}*|[.]{plain}{any}*|[.][.]{any}+)");
    format!("^/({segment}(/{segment})*/?)?$")
}

/// The demands on a target of a policy for workloads.
pub(super) fn workload_ref() -> Vec<(String, Rule)> {
    let rules = [
        ("selector.matchExpressions", Rule::Entries(0, EXPRESSIONS_MAX)),
        ("selector.matchExpressions[].values", Rule::Entries(0, VALUES_MAX)),
        (
            "selector.matchExpressions[]",
            Rule::Cel {
                rule: "(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)",
                message: "must hold values for In and NotIn, and for no other operator",
                blamed: ".values",
            },
        ),
    ];
    rules.map(|(field, rule)| (field.to_owned(), rule)).into()
}
