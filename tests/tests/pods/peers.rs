//! Programs that other people wrote, and that know nothing of a mesh.

use std::{path::Path, process::Output};

use weft_tests::{
    patience::until,
    peers,
    pods::{Cluster, Family},
};

use crate::{GRPC, HTTPS, REDIS, cluster, service};

fn script(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(name).display().to_string()
}

/// What a program printed that must succeed.
fn printed(what: &str, output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {}: {said}", output.status);
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Waits until somebody listens on a port of the pod.
async fn until_listening(cluster: &Cluster, pod: &str, port: u16) {
    until(&format!("somebody listens on port {port} of {pod}"), async || {
        cluster.connect(pod, (std::net::Ipv4Addr::LOCALHOST, port).into()).ok().map(drop)
    })
    .await;
}

#[tokio::test]
async fn root_grpc_calls_of_every_kind_come_through() {
    let Some(mut cluster) = cluster("root_grpc_calls_of_every_kind_come_through").await else { return };
    let python = peers::interpreter().unwrap_or_else(|error| panic!("{error:#}"));
    let python = python.display().to_string();
    cluster.spawn("strict", "grpc-server", &python, &[&script("grpc_server.py"), &format!("[::]:{GRPC}")]);
    until_listening(&cluster, "strict", GRPC).await;
    for family in Family::ALL {
        let to = service(&cluster, "strict", family, GRPC).to_string();
        let output = cluster.run("client", &python, &[&script("grpc_client.py"), &to], Vec::new()).await;
        let told = printed("the gRPC client", &output);
        let told: serde_json::Value =
            serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"));
        let right = serde_json::json!({
            "once": 200, "large": true, "many": true, "talk": 200, "refuse": ["FAILED_PRECONDITION", "not today"],
        });
        assert_eq!(told, right, "{family:?}");
    }
}

#[tokio::test]
async fn root_redis_answers_through_both_sidecars() {
    let Some(mut cluster) = cluster("root_redis_answers_through_both_sidecars").await else { return };
    let port = REDIS.to_string();
    let arguments = ["--port", &port, "--bind", "0.0.0.0", "::", "--save", "", "--protected-mode", "no"];
    cluster.spawn("strict", "redis-server", "redis-server", &arguments);
    until_listening(&cluster, "strict", REDIS).await;
    let value = (0..200_000).map(|number: u32| number.to_string()).collect::<Vec<_>>().join(",");
    for family in Family::ALL {
        // By the service, and by the pod's own address, as clients of headless services do.
        for to in [cluster.service("strict", family), cluster.address("strict", family)] {
            let host = to.to_string();
            let at = |rest: &[&'static str]| [&["-h", &host, "-p", &port], rest].concat();
            let set =
                cluster.run("client", "redis-cli", &at(&["-x", "SET", "key"]), value.clone().into()).await;
            assert_eq!(printed("redis-cli", &set), "OK", "{to}");
            let got = cluster.run("client", "redis-cli", &at(&["GET", "key"]), Vec::new()).await;
            assert!(printed("redis-cli", &got) == value, "{to}: another value came back");
        }
    }
    until("the server's sidecar tells of all connections as opaque ones of the mesh", async || {
        let log = cluster.access_log("strict");
        let opaque = log.iter().filter(|line| line["network.transport"] == "tcp" && line["tls"] == true);
        (opaque.count() == 8).then_some(())
    })
    .await;
}

#[tokio::test]
async fn root_the_applications_own_https_is_left_to_it() {
    let Some(mut cluster) = cluster("root_the_applications_own_https_is_left_to_it").await else { return };
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let [certificate, key] =
        ["cert.pem", "key.pem"].map(|name| folder.path().join(name).display().to_string());
    let request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=web.test \
                   -addext subjectAltName=DNS:web.test -keyout";
    let arguments: Vec<&str> = request.split_whitespace().chain([&*key, "-out", &certificate]).collect();
    let made = cluster.run("strict", "openssl", &arguments, Vec::new()).await;
    printed("openssl", &made);
    let python = peers::interpreter().unwrap_or_else(|error| panic!("{error:#}"));
    let arguments = [&script("web.py"), &format!("[::]:{HTTPS}"), "web", &certificate, &key];
    cluster.spawn("strict", "web-server", &python.display().to_string(), &arguments.map(AsRef::as_ref));
    until_listening(&cluster, "strict", HTTPS).await;
    for family in Family::ALL {
        let address = service(&cluster, "strict", family, HTTPS).ip();
        let resolve = match family {
            Family::V4 => format!("web.test:{HTTPS}:{address}"),
            Family::V6 => format!("web.test:{HTTPS}:[{address}]"),
        };
        let url = format!("https://web.test:{HTTPS}/own");
        let arguments = [
            "--silent",
            "--show-error",
            "--max-time",
            "30",
            "--cacert",
            &certificate,
            "--resolve",
            &resolve,
            &url,
        ];
        let told = printed("curl", &cluster.run("client", "curl", &arguments, Vec::new()).await);
        let told: serde_json::Value =
            serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"));
        assert_eq!(
            (told["scheme"].as_str(), told["path"].as_str()),
            (Some("https"), Some("/own")),
            "{family:?}"
        );
        assert!(told["headers"].get("x-forwarded-client-cert").is_none(), "nobody has looked inside: {told}");
    }
}
