//! What other people's programs say to one another in pods: it arrives as it was sent, and nobody reads it on the way.

use serde_json::{Value, json};

use crate::{
    peers,
    place::{Place, listen_in},
};

const CURL: &str = "/peers/bin/curl";
const H2LOAD: &str = "/peers/bin/h2load";
const REDIS: &str = "/peers/bin/redis-cli";

/// These of the peers, in the mesh.
fn meshed(name: &'static str, names: &[&str]) -> Place {
    let place = Place::meshed(name);
    peers::start(&place, names);
    place
}

/// What the web server saw of a request that curl made with these arguments.
fn seen(place: &Place, arguments: &[&str]) -> Value {
    let program: Vec<&str> =
        [CURL, "-sS", "--fail", "--max-time", "20"].iter().chain(arguments).copied().collect();
    let told = place.exec("deployment/client", &program);
    serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"))
}

#[test]
fn http_of_both_versions_arrives_as_it_was_sent() {
    let Some(_turn) = crate::turn("protocols::http_of_both_versions_arrives_as_it_was_sent") else { return };
    let place = meshed("weft-test-http", &["client", "web"]);
    let one = seen(&place, &["http://web/one?a=b", "-H", "x-mine: 1", "--data-binary", "12345"]);
    assert_eq!(
        (&one["version"], &one["path"], &one["bytes"]),
        (&json!("1.1"), &json!("/one"), &json!(5)),
        "{one}"
    );
    assert_eq!((&one["headers"]["host"], &one["headers"]["x-mine"]), (&json!("web"), &json!("1")), "{one}");
    // The application hears HTTP/2 where it has said that it speaks it.
    for (url, spoken) in [("http://web:81/two", "2"), ("http://web/two", "1.1")] {
        let two = seen(&place, &["--http2-prior-knowledge", url]);
        assert_eq!((&two["version"], &two["path"]), (&json!(spoken), &json!("/two")), "{two}");
    }
    // Many requests at once on one connection. (Debian's curl cannot: it fails at its second, whoever answers.)
    let told =
        place.exec("deployment/client", &[H2LOAD, "-n", "1000", "-c", "2", "-m", "50", "http://web/many"]);
    assert!(told.contains("status codes: 1000 2xx, 0 3xx, 0 4xx, 0 5xx"), "{told}");
    // By the pod's own address, which is of the mesh too.
    let ip = place.pod("web")["status"]["podIP"].as_str().expect("it runs").to_owned();
    assert_eq!(seen(&place, &[&format!("http://{ip}:8000/direct")])["path"], "/direct");
}

#[test]
fn grpc_calls_of_every_kind_are_answered() {
    let Some(_turn) = crate::turn("protocols::grpc_calls_of_every_kind_are_answered") else { return };
    let place = meshed("weft-test-grpc", &["client", "grpc"]);
    for port in [9000, 9001] {
        let told = peers::grpc(&place, &format!("grpc:{port}"));
        let expected = json!({
            "once": 200, "large": true, "many": true, "talk": 200, "refuse": ["FAILED_PRECONDITION", "not today"],
        });
        assert_eq!(told, expected, "port {port}");
    }
}

#[test]
fn redis_is_carried_as_bytes() {
    let Some(_turn) = crate::turn("protocols::redis_is_carried_as_bytes") else { return };
    let place = meshed("weft-test-redis", &["client", "redis"]);
    let redis = |words: &[&str]| {
        let program: Vec<&str> = [REDIS, "-h", "redis"].iter().chain(words).copied().collect();
        place.exec("deployment/client", &program).trim().to_owned()
    };
    assert_eq!(redis(&["set", "key", "value"]), "OK");
    assert_eq!(redis(&["get", "key"]), "value");
    // One connection that stays, with many commands on it.
    assert_eq!(redis(&["-r", "500", "incr", "counter"]).lines().last(), Some("500"));
}

#[test]
fn what_the_application_encrypts_stays_its_own() {
    let Some(_turn) = crate::turn("protocols::what_the_application_encrypts_stays_its_own") else { return };
    let place = meshed("weft-test-tls", &["client", "web"]);
    for version in ["--http1.1", "--http2"] {
        let seen = seen(&place, &["-k", version, "https://web/private"]);
        assert_eq!((&seen["name"], &seen["scheme"]), (&json!("own-tls"), &json!("https")), "{seen}");
    }
    let shown = [CURL, "-sk", "-o", "/dev/null", "-w", "%{certs}", "https://web/"];
    let told = place.exec("deployment/client", &shown);
    assert!(told.contains("the-applications-own"), "another certificate was shown: {told}");
}

#[test]
fn what_is_outside_of_the_mesh_is_reached_as_before() {
    let Some(_turn) = crate::turn("protocols::what_is_outside_of_the_mesh_is_reached_as_before") else {
        return;
    };
    let place = meshed("weft-test-inside", &["client"]);
    let outside = Place::plain("weft-test-outside");
    peers::start(&outside, &["web"]);
    let ip = outside.pod("web")["status"]["podIP"].as_str().expect("it runs").to_owned();
    for url in ["http://web.weft-test-outside/out".to_owned(), format!("http://{ip}:8000/out")] {
        let seen = seen(&place, &[&url]);
        assert_eq!(seen["path"], "/out", "{url}");
    }
    let seen = seen(&place, &["-k", &format!("https://{ip}:8443/out")]);
    assert_eq!(seen["name"], "own-tls");
    // The API server: no pod at all.
    let told =
        place.exec("deployment/client", &[CURL, "-sSk", "--fail", "https://kubernetes.default.svc/version"]);
    assert!(told.contains("gitVersion"), "{told}");
}

#[test]
fn nobody_reads_on_the_way_whatever_the_protocol() {
    let Some(_turn) = crate::turn("protocols::nobody_reads_on_the_way_whatever_the_protocol") else { return };
    let place = meshed("weft-test-secrets", &["client", "grpc", "redis", "web"]);
    let outside = Place::plain("weft-test-readable");
    peers::start(&outside, &["web"]);
    let Some(capture) = listen_in() else { return };
    // Without a word of the answer: what `kubectl exec` prints passes through the node's loopback.
    let call = |arguments: &[&str]| {
        let quiet = [CURL, "-sS", "--fail", "-o", "/dev/null"];
        let program: Vec<&str> = quiet.iter().chain(arguments).copied().collect();
        place.exec("deployment/client", &program);
    };
    call(&["http://web/a-path-of-http-1"]);
    call(&["--http2-prior-knowledge", "http://web/", "--data-binary", "a-body-of-http-2"]);
    place.exec("deployment/client", &[REDIS, "-h", "redis", "set", "key", "a-value-of-redis"]);
    peers::grpc(&place, "grpc:9000");
    call(&["http://web.weft-test-readable/a-path-in-plain"]);
    let captured = capture.finish();
    for secret in ["a-path-of-http-1", "a-body-of-http-2", "a-value-of-redis", "message 199"] {
        assert!(!captured.holds(secret), "`{secret}` was read between the pods");
    }
    assert!(captured.holds("a-path-in-plain"), "the capture does not see what is plain");
}
