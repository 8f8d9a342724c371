mod load_balancers;

use super::*;
use crate::store::ObjectName;

const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: api}\nspec: {ports: [{port: 80}]}\n";

fn read(files: &[(&str, &str)]) -> Reading {
    after(&Reading::default(), files)
}

fn after(before: &Reading, files: &[(&str, &str)]) -> Reading {
    let text = |(name, text): &(&str, &str)| (PathBuf::from(name), Content::Text((*text).to_owned()));
    following(before, files.iter().map(text).collect())
}

/// What follows on `before` where these are all files.
fn following(before: &Reading, contents: BTreeMap<PathBuf, Content>) -> Reading {
    let mut reading = before.clone();
    let mut found: BTreeMap<_, _> = before.files().map(|file| (file.to_owned(), Content::Absent)).collect();
    found.extend(contents);
    reading.update(found);
    reading
}

/// An object of `kind` beside the service `api`, from line 6 on.
fn beside(api_version: &str, kind: &str, rest: &str) -> String {
    format!("{SERVICE}---\napiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: x}}\n{rest}\n")
}

fn breaker(spec: &str) -> String {
    let targets = "targetRefs: [{group: \"\", kind: Service, name: api}]";
    beside("policy.weft.dev/v1alpha1", "CircuitBreakerPolicy", &format!("spec:\n  {targets}\n  {spec}"))
}

/// A policy of the route `web`, from line 12 on; its own fields begin in line 17.
fn breaker_of_route(spec: &str) -> String {
    let service = "parentRefs: [{group: \"\", kind: Service, name: api}]";
    let route = route(service).replace("name: x", "name: web");
    let target = "targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: web}]";
    let policy = breaker(spec).replace("targetRefs: [{group: \"\", kind: Service, name: api}]", target);
    format!("{route}---\n{}", policy.trim_start_matches(SERVICE).trim_start_matches("---\n"))
}

fn retry(targets: &str) -> String {
    beside("policy.weft.dev/v1alpha1", "RetryPolicy", &format!("spec:\n  targetRefs:\n  - {targets}"))
}

/// A policy for everything that enters the workload `x`, which stands behind it; its rules are in line 12.
fn authorization(rules: &str) -> String {
    let policy = format!("spec:\n  targetRefs: [{{kind: Pod, selector: {{}}}}]\n  action: ALLOW\n  {rules}");
    let workload = workload("admin: 127.0.0.1:4191\n  inbound: [{port: 8080, app: \"127.0.0.1:8000\"}]");
    let policy = beside("policy.weft.dev/v1alpha1", "AuthorizationPolicy", &policy);
    format!("{policy}---\n{}", workload.trim_start_matches(SERVICE).trim_start_matches("---\n"))
}

fn route(spec: &str) -> String {
    beside("gateway.networking.k8s.io/v1", "HTTPRoute", &format!("spec:\n  {spec}"))
}

fn workload(spec: &str) -> String {
    beside("local.weft.dev/v1alpha1", "Workload", &format!("spec:\n  {spec}"))
}

fn pod(annotations: &str, spec: &str) -> String {
    format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: p, annotations: {annotations}}}\nspec: {spec}\n")
}

fn slice(rest: &str) -> String {
    beside("discovery.k8s.io/v1", "EndpointSlice", rest)
}

const OWNED: &str = "metadata: {name: x, labels: {kubernetes.io/service-name: api}}";

#[test]
#[expect(clippy::too_many_lines, reason = "a table is as long as what it lists")]
fn every_kind_of_mistake_names_line_field_and_reason() {
    let parent = "parentRefs: [{group: \"\", kind: Service, name: api}]";
    let rules = |rules: &str| route(&format!("{parent}\n  rules:\n  - {rules}"));
    let table: Vec<(String, u32, &str, Reason)> = vec![
        ("a: [".to_owned(), 1, "", Reason::Syntax),
        ("a: 1\na: 2".to_owned(), 2, "", Reason::Syntax),
        ("- 1".to_owned(), 1, "", Reason::WrongType),
        ("\nkind: Service".to_owned(), 2, "apiVersion", Reason::MissingField),
        ("apiVersion: v1\nkind: Sevice".to_owned(), 2, "kind", Reason::UnknownKind),
        ("apiVersion: v2\nkind: Service".to_owned(), 1, "apiVersion", Reason::UnknownKind),
        ("apiVersion: v1\nkind: Service\nspec: {}".to_owned(), 1, "metadata", Reason::MissingField),
        ("apiVersion: v1\nkind: Service\nmetadata: {name: a}".to_owned(), 1, "spec", Reason::MissingField),
        (SERVICE.replace("name: api", "name: Api"), 3, "metadata.name", Reason::OutOfRange),
        (SERVICE.replace("port: 80", "prt: 80"), 4, "spec.ports[0].prt", Reason::UnknownField),
        (SERVICE.replace("port: 80", "port: x"), 4, "spec.ports[0].port", Reason::WrongType),
        (SERVICE.replace("port: 80", "port: 0"), 4, "spec.ports[0].port", Reason::OutOfRange),
        (SERVICE.replace("spec:", "sepc: 1\nspec:"), 4, "sepc", Reason::UnknownField),
        (SERVICE.replace("spec: {", "spec: {type: ExternalName, "), 4, "spec.type", Reason::NotSupported),
        (
            "{}---\n{}".replace("{}", &SERVICE.replace("spec: {", "spec: {clusterIP: 10.0.0.1, ")).replacen(
                ": api",
                ": web",
                1,
            ),
            4,
            "spec.clusterIP",
            Reason::Conflicted,
        ),
        (format!("{SERVICE}---\n{SERVICE}"), 8, "metadata.name", Reason::Duplicate),
        (
            authorization("rules: [{sources: [{type: Network, network: 10.0.0.1/8}]}]"),
            12,
            "spec.rules[0].sources[0].network",
            Reason::WrongType,
        ),
        (
            authorization("rules: [{httpAttributes: {paths: [{value: /a//b}]}}]"),
            12,
            "spec.rules[0].httpAttributes.paths[0].value",
            Reason::OutOfRange,
        ),
        (authorization("rulez: []"), 12, "spec.rulez", Reason::UnknownField),
        (
            authorization("").replace("kind: Pod", "kind: Service"),
            10,
            "spec.targetRefs[0].kind",
            Reason::OutOfRange,
        ),
        (
            authorization("").replace("selector: {}", "selector: {matchLabels: {app: y}}"),
            10,
            "spec.targetRefs[0].selector",
            Reason::DanglingReference,
        ),
        (breaker("limts: {}"), 11, "spec.limts", Reason::UnknownField),
        (breaker("endpoint:\n    consecutive: 1001"), 12, "spec.endpoint.consecutive", Reason::OutOfRange),
        (breaker("endpoint: {window: 5 s}"), 11, "spec.endpoint.window", Reason::WrongType),
        (breaker("mode: audit"), 11, "spec.mode", Reason::WrongType),
        (breaker("").replace("name: api}]", "name: apj}]"), 10, "spec.targetRefs[0].name", Reason::DanglingReference),
        (
            breaker("").replace("kind: Service, name: api}]", "kind: Gateway, name: api}]"),
            10,
            "spec.targetRefs[0].kind",
            Reason::NotSupported,
        ),
        (
            breaker("").replace("{group: \"\", kind: Service,", "{group: gateway.networking.k8s.io, kind: HTTPRoute,"),
            10,
            "spec.targetRefs[0].name",
            Reason::DanglingReference,
        ),
        (
            route("parentRefs: [{group: '', kind: Service, name: api}]")
                .replace("{port: 80}", "{port: 80, appProtocol: tcp}"),
            10,
            "spec.parentRefs[0]",
            Reason::Unheeded,
        ),
        (breaker_of_route("endpoint: {}"), 17, "spec.endpoint", Reason::Unheeded),
        (
            breaker_of_route("limits:\n    maxRequests: 1\n    maxPending: 1024"),
            19,
            "spec.limits.maxPending",
            Reason::Unheeded,
        ),
        (breaker_of_route("limits: {maxConnections: 5}"), 17, "spec.limits.maxConnections", Reason::Unheeded),
        (
            breaker_of_route("").replace("name: web}]", "name: web, sectionName: rule}]"),
            16,
            "spec.targetRefs[0].sectionName",
            Reason::DanglingReference,
        ),
        (
            beside("policy.weft.dev/v1alpha1", "RetryPolicy", "spec: {attempts: 1}"),
            9,
            "spec.targetRefs",
            Reason::MissingField,
        ),
        (
            retry("{group: \"\", kind: Service, name: api, sectionName: http}"),
            11,
            "spec.targetRefs[0].sectionName",
            Reason::DanglingReference,
        ),
        (
            retry("{group: gateway.networking.k8s.io, kind: HTTPRoute, name: y}"),
            11,
            "spec.targetRefs[0].name",
            Reason::DanglingReference,
        ),
        (route("parentRefs:\n  - {name: api}"), 11, "spec.parentRefs[0].kind", Reason::NotSupported),
        (
            route("parentRefs:\n  - {group: \"\", kind: Service, name: api, namespace: other}"),
            11,
            "spec.parentRefs[0].name",
            Reason::DanglingReference,
        ),
        (
            route("parentRefs:\n  - {group: \"\", kind: Service, name: api, port: 81}"),
            11,
            "spec.parentRefs[0].port",
            Reason::DanglingReference,
        ),
        (rules("backendRefs: [{name: b, port: 1}]"), 12, "spec.rules[0].backendRefs[0].name", Reason::DanglingReference),
        (rules("backendRefs: [{name: api}]"), 12, "spec.rules[0].backendRefs[0].port", Reason::MissingField),
        (
            rules("filters: [{type: ExtensionRef, extensionRef: {}}]"),
            12,
            "spec.rules[0].filters[0]",
            Reason::NotSupported,
        ),
        (
            rules("filters: [{type: RequestRedirect}]"),
            12,
            "spec.rules[0].filters[0]",
            Reason::WrongType,
        ),
        (rules("matches: [{path: {value: a}}]"), 12, "spec.rules[0].matches[0].path.value", Reason::OutOfRange),
        (
            rules("matches:\n    - path: {type: RegularExpression, value: \"(\"}"),
            13,
            "spec.rules[0].matches[0].path.value",
            Reason::OutOfRange,
        ),
        (rules("retry: {attempts: 9}"), 12, "spec.rules[0].retry.attempts", Reason::OutOfRange),
        (workload("accessLog: all"), 10, "spec.admin", Reason::MissingField),
        (workload("admin: 127.0.0.1:0"), 10, "spec.admin", Reason::OutOfRange),
        (workload("admin: localhost"), 10, "spec.admin", Reason::WrongType),
        (
            workload("admin: 127.0.0.1:1\n  outbound:\n  - {listen: 127.0.0.1:2, service: b, port: 80}"),
            12,
            "spec.outbound[0].service",
            Reason::DanglingReference,
        ),
        (slice("addressType: IPv4"), 8, "metadata.labels['kubernetes.io/service-name']", Reason::MissingField),
        (
            slice("addressType: IPv4").replace("metadata: {name: x}", &OWNED.replace(": api", ": b")),
            8,
            "metadata.labels['kubernetes.io/service-name']",
            Reason::DanglingReference,
        ),
        (slice("addressType: IPv6\nendpoints:\n- addresses: [127.0.0.1]"), 11, "endpoints[0].addresses[0]", Reason::OutOfRange),
        (slice("addressType: FQDN"), 9, "addressType", Reason::NotSupported),
        (
            slice("addressType: IPv4\nendpoints:\n- addresses: [127.0.0.1]\n  targetRef: {kind: Workload, name: w}")
                .replace("metadata: {name: x}", OWNED),
            12,
            "endpoints[0].targetRef.name",
            Reason::DanglingReference,
        ),
        (
            slice("addressType: IPv4\nendpoints:\n- addresses: [127.0.0.1]\n  targetRef: {kind: Pod, name: p}")
                .replace("metadata: {name: x}", OWNED),
            12,
            "endpoints[0].targetRef.name",
            Reason::DanglingReference,
        ),
        (pod("{}", "{containers: 1}"), 4, "spec.containers", Reason::WrongType),
        (pod("{}", "{serviceAccountName: A}"), 4, "spec.serviceAccountName", Reason::OutOfRange),
        (
            pod("{weft.dev/opaque-ports: 1-x}", "{}"),
            3,
            "metadata.annotations['weft.dev/opaque-ports']",
            Reason::OutOfRange,
        ),
        (
            pod("{weft.dev/default-policy: Strict}", "{}"),
            3,
            "metadata.annotations['weft.dev/default-policy']",
            Reason::OutOfRange,
        ),
        (
            pod("{weft.dev/opaque-ports: 1-65535}", "{containers: [{name: weft-proxy}]}"),
            3,
            "metadata.annotations['weft.dev/opaque-ports']",
            Reason::NotSupported,
        ),
        (
            "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n  annotations:\n    \
             weft.dev/default-policy: none"
                .to_owned(),
            6,
            "metadata.annotations['weft.dev/default-policy']",
            Reason::OutOfRange,
        ),
    ];
    for (text, line, field, reason) in table {
        let reading = read(&[("objects.yaml", &text)]);
        let [problem] = &reading.check()[..] else { panic!("{text}\n{:#?}", reading.check()) };
        assert_eq!(
            (problem.place.as_ref().unwrap().line, problem.field.as_str(), problem.reason),
            (line, field, reason),
            "{text}\n{problem}"
        );
        assert!(problem.to_string().starts_with(&format!("objects.yaml:{line}: {field}")), "{problem}");
    }
}

#[test]
fn hints_name_what_was_meant() {
    let hint = |text: &str| read(&[("a.yaml", text)]).check()[0].hint.clone();
    assert_eq!(hint(&breaker("limts: {}")), "did you mean `limits`?");
    assert!(
        hint("apiVersion: v1\nkind: Sevice").contains("did you mean `Service`? known are Service (v1), ")
    );
    assert_eq!(hint("apiVersion: v2\nkind: Service"), "write `apiVersion: v1`");
}

#[test]
fn the_example_of_routes_is_in_order() {
    let services = [("shop", 80), ("shop-next", 80), ("cart", 9000), ("cart-next", 9000)]
        .map(|(name, port)| {
            SERVICE.replace("name: api", &format!("name: {name}")).replace("80", &port.to_string())
        })
        .join("---\n");
    let example = include_str!("../../../../docs/examples/routing.yaml");
    let reading = read(&[("routing.yaml", example), ("services.yaml", &services)]);
    assert!(reading.check().is_empty(), "{:#?}", reading.check());
    assert_eq!((reading.store().http_routes.len(), reading.store().grpc_routes.len()), (1, 1));
}

#[test]
fn calls_win_a_port_over_requests_and_the_loser_is_told() {
    let on = |port: &str| format!("parentRefs: [{{group: \"\", kind: Service, name: api{port}}}]");
    let requests = route(&on(""));
    let calls = requests.replace("HTTPRoute", "GRPCRoute").trim_start_matches(SERVICE).to_owned();
    let reading = read(&[("1.yaml", &requests), ("2.yaml", &calls)]);
    let [problem] = &reading.check()[..] else { panic!("{:#?}", reading.check()) };
    assert_eq!((problem.field.as_str(), problem.reason), ("spec.parentRefs[0]", Reason::Conflicted));
    assert_eq!(problem.object.as_deref(), Some("HTTPRoute default/x"));
    assert!(problem.message.contains("GRPCRoute default/x"), "{problem}");

    // On ports of their own both are in force.
    let two = "apiVersion: v1\nkind: Service\nmetadata: {name: api}\n\
               spec: {ports: [{name: a, port: 80}, {name: b, port: 81}]}\n";
    let apart = [
        two.to_owned(),
        route(&on(", port: 80")).trim_start_matches(SERVICE).to_owned(),
        calls.replace("name: api", "name: api, port: 81"),
    ];
    let reading = read(&[("1.yaml", &apart.concat())]);
    assert!(reading.check().is_empty(), "{:#?}", reading.check());
}

/// A route of bytes on a port of the Service `api`.
fn stream_route(kind: &str, name: &str, created: &str, spec: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: {kind}\nmetadata: {{name: {name}, creationTimestamp: {created}}}\n\
         spec:\n  parentRefs: [{{group: \"\", kind: Service, name: api}}]\n  rules: [{{}}]\n{spec}"
    )
}

#[test]
fn the_kind_that_knows_most_of_what_it_routes_wins_a_port() {
    let (young, old) = ("2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z");
    let requests = route("parentRefs: [{group: \"\", kind: Service, name: api}]");
    let calls = requests.replace("HTTPRoute", "GRPCRoute").trim_start_matches(SERVICE).to_owned();
    let requests = requests.trim_start_matches(SERVICE).to_owned();
    let tls = stream_route("TLSRoute", "tls", young, "  hostnames: [a.example]\n");
    let tcp = stream_route("TCPRoute", "tcp", old, "");
    let by_rank = [("GRPCRoute", calls), ("HTTPRoute", requests), ("TLSRoute", tls), ("TCPRoute", tcp)];
    for first in 0..by_rank.len() {
        let files: Vec<_> =
            by_rank[first..].iter().map(|(kind, text)| (format!("{kind}.yaml"), text.clone())).collect();
        let mut files: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        files.push(("service.yaml", SERVICE));
        let reading = read(&files);
        let problems = reading.check();
        let losers = problems.iter().map(|problem| {
            assert_eq!((problem.field.as_str(), problem.reason), ("spec.parentRefs[0]", Reason::Conflicted));
            assert!(problem.message.contains(by_rank[first].0), "{problem}");
            problem.object.clone().unwrap().split(' ').next().unwrap().to_owned()
        });
        let mut losers: Vec<_> = losers.collect();
        losers.sort();
        let mut due: Vec<_> = by_rank[first + 1..].iter().map(|(kind, _)| (*kind).to_owned()).collect();
        due.sort();
        assert_eq!(losers, due);
    }
}

#[test]
fn of_two_routes_of_bytes_that_say_the_same_the_older_counts() {
    let (young, old) = ("2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z");
    let tcp = [("a-young", young), ("b-old", old)].map(|(name, age)| stream_route("TCPRoute", name, age, ""));
    let names = |name: &str, age, names: &str| {
        stream_route("TLSRoute", name, age, &format!("  hostnames: [{names}]\n"))
    };
    let tls = [
        names("a-young", young, "\"*.example\", a.example, a.example"),
        names("b-old", old, "b.example, a.example"),
    ];
    for (kind, routes, fields) in [
        ("TCPRoute", &tcp, &["spec.parentRefs[0]"][..]),
        ("TLSRoute", &tls, &["spec.hostnames[1]", "spec.hostnames[2]"]),
    ] {
        let reading = read(&[("1.yaml", SERVICE), ("2.yaml", &routes[0]), ("3.yaml", &routes[1])]);
        let problems = reading.check();
        let found: Vec<_> = problems.iter().map(|problem| problem.field.as_str()).collect();
        assert_eq!(found, fields, "{:#?}", reading.check());
        for problem in &problems {
            assert_eq!(problem.reason, Reason::Conflicted);
            assert_eq!(problem.object.as_deref(), Some(format!("{kind} default/a-young").as_str()));
            assert!(problem.message.contains("default/b-old"), "{problem}");
        }
    }
}

#[test]
fn of_two_policies_for_one_target_the_older_wins_and_the_other_is_told() {
    let route = route("parentRefs: [{group: \"\", kind: Service, name: api}]\n  rules: [{name: r}]");
    let targets = [
        "{group: \"\", kind: Service, name: api}",
        "{group: gateway.networking.k8s.io, kind: HTTPRoute, name: x}",
        "{group: gateway.networking.k8s.io, kind: HTTPRoute, name: x, sectionName: r}",
    ];
    let kinds = [
        ("RetryPolicy", ""),
        ("CircuitBreakerPolicy", ""),
        ("FaultInjectionPolicy", ", abort: {percent: 1, httpStatus: 503}"),
    ];
    for ((kind, settings), target) in kinds.into_iter().flat_map(|kind| targets.map(|target| (kind, target)))
    {
        let policy = |name: &str, created: &str| {
            format!(
                "apiVersion: policy.weft.dev/v1alpha1\nkind: {kind}\n\
                 metadata: {{name: {name}, creationTimestamp: {created}}}\n\
                 spec: {{targetRefs: [{target}]{settings}}}\n"
            )
        };
        let (young, old) =
            (policy("a-young", "2026-01-02T00:00:00Z"), policy("b-old", "2026-01-01T00:00:00Z"));
        let reading = read(&[("1.yaml", &route), ("2.yaml", &young), ("3.yaml", &old)]);
        let [problem] = &reading.check()[..] else { panic!("{:#?}", reading.check()) };
        assert_eq!(
            (
                problem.place.as_ref().unwrap().file.to_str(),
                problem.place.as_ref().unwrap().line,
                problem.reason
            ),
            (Some("2.yaml"), 4, Reason::Conflicted)
        );
        assert!(problem.message.contains("`b-old`"), "{problem}");
    }
}

#[test]
fn a_policy_that_a_service_heeds_too_says_nothing_in_vain() {
    let mixed = breaker_of_route("endpoint: {consecutive: 1}")
        .replace("targetRefs: [", "targetRefs: [{group: \"\", kind: Service, name: api}, ");
    assert_eq!(read(&[("a.yaml", &mixed)]).check(), []);
    let heeded = breaker_of_route("limits: {maxRequests: 1}\n  target: {consecutive: 1}\n  mode: Audit");
    assert_eq!(read(&[("a.yaml", &heeded)]).check(), []);
}

fn ports(reading: &Reading, name: &str) -> Option<Vec<u16>> {
    let service = reading.store().services.get(&ObjectName::new("default", name))?;
    Some(service.spec.ports.iter().map(|port| port.port).collect())
}

#[test]
fn what_breaks_keeps_its_last_good_state_and_the_rest_applies() {
    let other = SERVICE.replace(": api", ": other");
    let good = read(&[("a.yaml", &format!("{SERVICE}---\n{other}"))]);
    let moved = other.replace("80", "81");
    let breakages = [
        ("a bad value", SERVICE.replace("port: 80", "port: x"), 81),
        ("a kind that says nothing", SERVICE.replace("kind: Service", "kind: Servce"), 81),
        ("no name", SERVICE.replace("{name: api}", "{nme: api}"), 81),
        ("no YAML", "a: [".to_owned(), 80),
    ];
    for (how, broken, other_port) in breakages {
        let text = if broken.starts_with("a: [") { broken } else { format!("{broken}---\n{moved}") };
        let reading = after(&good, &[("a.yaml", &text)]);
        assert_eq!(ports(&reading, "api"), Some(vec![80]), "{how}");
        assert_eq!(ports(&reading, "other"), Some(vec![other_port]), "{how}");
        assert_eq!(reading.check().len(), 1, "{how}");
        let gone = after(&reading, &[("a.yaml", &moved)]);
        assert_eq!(
            (ports(&gone, "api"), gone.check().len()),
            (None, 0),
            "{how}: gone once it is really gone"
        );
    }
    let unreadable =
        BTreeMap::from([(PathBuf::from("a.yaml"), Content::Unreadable("cannot be read".to_owned()))]);
    let reading = following(&good, unreadable);
    assert_eq!(ports(&reading, "api"), Some(vec![80]));
    assert_eq!(reading.check()[0].reason, Reason::Unreadable);
}

#[test]
fn an_object_that_says_the_same_stays_the_one_that_it_was() {
    let before = read(&[("a.yaml", SERVICE)]);
    let reading = after(&before, &[("a.yaml", &format!("# a comment\n{SERVICE}")), ("b.yaml", "")]);
    let name = ObjectName::new("default", "api");
    assert!(Arc::ptr_eq(&before.store().services[&name], &reading.store().services[&name]));
}

#[test]
fn an_object_may_move_to_another_file() {
    let before = read(&[("a.yaml", SERVICE)]);
    let reading = after(&before, &[("b.yaml", SERVICE)]);
    assert_eq!((ports(&reading, "api"), reading.check()), (Some(vec![80]), vec![]));
}

#[test]
fn of_two_files_that_hold_an_object_the_first_has_it_in_force_until_it_is_gone() {
    let other = SERVICE.replace("80", "81");
    let both = read(&[("a.yaml", SERVICE), ("b.yaml", &other)]);
    let problem = |reading: &Reading| reading.check().iter().map(ToString::to_string).collect::<Vec<_>>();
    let second = "b.yaml:3: metadata.name makes this a second Service default/api, which is in force from \
                  a.yaml:1 (remove or rename one of them)";
    assert_eq!((ports(&both, "api"), problem(&both)), (Some(vec![80]), vec![second.to_owned()]));
    let first = after(&both, &[("a.yaml", ""), ("b.yaml", &other)]);
    assert_eq!((ports(&first, "api"), problem(&first)), (Some(vec![81]), vec![]));
    let none = after(&first, &[("a.yaml", "")]);
    assert_eq!((ports(&none, "api"), problem(&none)), (None, vec![]));
}

#[test]
fn a_list_holds_objects() {
    let items = SERVICE.replace('\n', "\n  ");
    let reading = read(&[("a.yaml", &format!("apiVersion: v1\nkind: List\nitems:\n- {items}"))]);
    assert_eq!((ports(&reading, "api"), reading.check()), (Some(vec![80]), vec![]));
}

#[test]
fn problems_are_news_once() {
    let good = read(&[("a.yaml", SERVICE)]);
    let broken = after(&good, &[("a.yaml", &SERVICE.replace("port: 80", "port: x"))]);
    let moved = after(&broken, &[("a.yaml", &format!("\n{}", SERVICE.replace("port: 80", "port: x")))]);
    let news = |a: &Reading, b: &Reading| {
        let news = super::super::News::between(&a.check(), &b.check());
        (news.appeared.len(), news.mended.len())
    };
    assert_eq!(news(&good, &broken), (1, 0));
    assert_eq!(news(&broken, &moved), (0, 0));
    assert_eq!(news(&moved, &good), (0, 1));
    assert_eq!(broken.check()[0].object.as_deref(), Some("Service default/api"));
}
