use serde_json::json;

use super::*;
use crate::Config;

fn settings(annotations: &[(&str, &str)]) -> Result<Settings, InvalidAnnotation> {
    settings_within(&Config::default(), annotations)
}

fn settings_within(config: &Config, annotations: &[(&str, &str)]) -> Result<Settings, InvalidAnnotation> {
    let all: Map<String, Value> =
        annotations.iter().map(|(name, value)| (format!("weft.dev/{name}"), json!(value))).collect();
    let pod = json!({"metadata": {"annotations": all}, "spec": {}});
    Settings::of(&pod, &config.installation("weft-system").unwrap())
}

#[test]
fn a_value_that_is_none_is_refused_by_name_value_and_what_is_allowed() {
    let many_ports = (1..=65).map(|port| port.to_string()).collect::<Vec<_>>().join(",");
    let many_files = (1..=17).map(|file| format!("/a/{file}")).collect::<Vec<_>>().join(",");
    let cases = [
        ("inject", "yes", "`enabled` or `disabled`"),
        ("proxy-cpu-request", "lots", "500m"),
        ("proxy-cpu-limit", "0", "above zero"),
        ("proxy-memory-request", "-1Mi", "64Mi"),
        ("proxy-memory-limit", "16MiB", "64Mi"),
        ("log-level", "loud", "debug"),
        ("skip-inbound-ports", "", "1 to 65535"),
        ("skip-inbound-ports", "0", "1 to 65535"),
        ("skip-inbound-ports", "65536", "1 to 65535"),
        ("skip-inbound-ports", "+80", "1 to 65535"),
        ("skip-outbound-ports", "9010-9000", "1 to 65535"),
        ("skip-outbound-ports", "1-2-3", "1 to 65535"),
        ("opaque-ports", "80,", "1 to 65535"),
        ("opaque-ports", &many_ports, "at most 64"),
        ("default-policy", "Strict", "`strict` or `permissive`"),
        ("drain", "10", "30s"),
        ("drain", "500ms", "1s to 1h"),
        ("drain", "2h", "1s to 1h"),
        ("native-sidecar", "True", "`true` or `false`"),
        ("image", "", "image"),
        ("image", "a b", "image"),
        ("log-files", "server.log", "absolute"),
        ("log-files", "/a/../b", "absolute"),
        ("log-files", "/a//b", "absolute"),
        ("log-files", "/a/", "absolute"),
        ("log-files", "/a/b\n", "absolute"),
        ("log-files", "/a:/b", "absolute"),
        ("log-files", "/server.log", "directory"),
        ("log-files", &many_files, "at most 16"),
    ];
    for (name, value, allowed) in cases {
        // Spaces around entries of lists are trimmed; a newline within is not one.
        let value = if value == "/a/b\n" { "/a/\nb" } else { value };
        let error = settings(&[(name, value)]).expect_err(name);
        let text = error.to_string();
        assert!(text.contains(&format!("weft.dev/{name} is ")), "{text}");
        assert!(text.contains(&format!("{:?}", quoted(value))), "{text}");
        assert!(error.reason.contains(allowed), "{name} {value}: {text}");
        assert!(text.len() < 400 && !text.contains('\n'), "{text}");
    }
}

#[test]
fn a_request_never_stands_above_its_limit() {
    let error = settings(&[("proxy-cpu-request", "2"), ("proxy-cpu-limit", "1")]).unwrap_err();
    assert_eq!(error.name, "proxy-cpu-request");
    let equal = settings(&[("proxy-cpu-request", "1000m"), ("proxy-cpu-limit", "1")]);
    assert!(equal.is_ok(), "two ways to write one amount");

    let mut config = Config::default();
    config.proxy.memory_limit = Some(Quantity::mebi(64));
    let of = |annotations: &[(&str, &str)]| {
        let Resources { memory_request, memory_limit, .. } =
            settings_within(&config, annotations).unwrap().resources;
        (memory_request.to_string(), memory_limit.map(|limit| limit.to_string()))
    };
    let limit = |text: &str| Some(text.to_owned());
    assert_eq!(of(&[]), ("16Mi".to_owned(), limit("64Mi")));
    assert_eq!(of(&[("proxy-memory-limit", "8Mi")]), ("8Mi".to_owned(), limit("8Mi")));
    assert_eq!(of(&[("proxy-memory-request", "32Mi")]), ("32Mi".to_owned(), limit("64Mi")));
    // The pod's word goes before a default, here that of the limit.
    assert_eq!(of(&[("proxy-memory-request", "128Mi")]), ("128Mi".to_owned(), None));
}

#[test]
fn a_pod_is_called_in_traces_what_its_labels_say() {
    let installation = Config::default().installation("weft-system").unwrap();
    let called = |labels: Value| {
        let pod = json!({"metadata": {"labels": labels}, "spec": {}});
        Settings::of(&pod, &installation).unwrap().service
    };
    assert_eq!(called(json!({"app": "a", "app.kubernetes.io/name": "b"})).as_deref(), Some("b"));
    assert_eq!(called(json!({"app": "a"})).as_deref(), Some("a"));
    for none in [json!(null), json!({}), json!({"app": ""}), json!({"app": "$(HOST)"}), json!({"app": 1})] {
        assert_eq!(called(none), None);
    }
    assert_eq!(called(json!({"app": "x".repeat(64)})), None);
}

#[test]
fn workers_follow_the_cpu_limit() {
    let workers = |limit: &str| settings(&[("proxy-cpu-limit", limit)]).unwrap().workers;
    assert_eq!(settings(&[]).unwrap().workers, 2);
    assert_eq!([workers("100m"), workers("1"), workers("1001m"), workers("500")], [1, 1, 2, 64]);
}

#[test]
fn draining_ends_before_the_pod_is_killed() {
    let installation = Config::default().installation("weft-system").unwrap();
    for (grace, drain) in
        [(json!(null), 25), (json!(60), 55), (json!(5), 1), (json!(0), 1), (json!(100_000), 3600)]
    {
        let pod = json!({"spec": {"terminationGracePeriodSeconds": grace}});
        let settings = Settings::of(&pod, &installation).unwrap();
        assert_eq!(settings.drain, Duration::from_secs(drain));
        assert!(!settings.drains_too_long(&pod));
    }
    assert!(settings(&[("drain", "26s")]).unwrap().drains_too_long(&json!({})));
}

#[test]
fn every_known_annotation_is_read_and_no_other() {
    let all: Map<String, Value> =
        KNOWN.iter().map(|name| (format!("weft.dev/{name}"), json!("x y"))).collect();
    let pod = json!({"metadata": {"annotations": all}});
    assert_eq!(Annotations::of(&pod).unknown().count(), 0);
    for name in KNOWN {
        assert_eq!(settings(&[(name, "x y")]).unwrap_err().name, name, "nonsense is noticed");
    }
    let pod = json!({"metadata": {"annotations": {"weft.dev/injct": "", "other/weft.dev": "", "a": 1}}});
    assert_eq!(Annotations::of(&pod).unknown().collect::<Vec<_>>(), ["injct"]);
}
