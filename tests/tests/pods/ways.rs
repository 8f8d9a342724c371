//! Ways that lead elsewhere than to the pods of a service.

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr},
};

use http::{Method, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use weft_api::names;
use weft_tests::{
    backend::{Backend, Reply},
    client::{Version, request},
    metrics::Metrics,
    namespace::FAR,
    patience::{until, within},
    pods::{Cluster, Family, PodPlan, ServicePlan},
};

use crate::{HTTP1, HTTP2, UNSAID, WEFT, calls_as, cluster, may_run, open, service};

#[tokio::test]
async fn root_a_pod_that_calls_its_own_service_reaches_itself() {
    let Some(cluster) = cluster("root_a_pod_that_calls_its_own_service_reaches_itself").await else { return };
    let old = Backend::at(cluster.listen("strict", HTTP1), "old", Version::Http1, Reply::Status(200));
    let _new = Backend::at(cluster.listen("strict", HTTP2), "new", Version::Http2, Reply::Status(200));
    for family in Family::ALL {
        for (port, version) in [(HTTP1, Version::Http1), (HTTP2, Version::Http2)] {
            let to = service(&cluster, "strict", family, port);
            let answer =
                open(&cluster, "strict", to, version).await.send(request(Method::GET, "/self")).await;
            let answer = answer.unwrap_or_else(|error| panic!("{family:?} {version:?}: {error:#}"));
            assert_eq!(answer.status, StatusCode::OK, "{family:?} {version:?}: {answer:?}");
        }
    }
    assert_eq!(old.count(), 2);
}

#[tokio::test]
async fn root_who_calls_a_sidecar_by_its_ports_is_refused() {
    let Some(cluster) = cluster("root_who_calls_a_sidecar_by_its_ports_is_refused").await else { return };
    for family in Family::ALL {
        for port in [names::INBOUND_PORT, names::OUTBOUND_PORT] {
            let own = SocketAddr::new(cluster.address("client", family), port);
            let other = SocketAddr::new(cluster.address("strict", family), port);
            for (from, to) in [("client", own), ("bare", other), ("client", other)] {
                // How far it comes is a matter of luck: it is closed at once.
                let Ok(mut stream) = cluster.connect(from, to) else { continue };
                // It may have been closed already.
                let _ = stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
                let mut heard = Vec::new();
                let end = within("the sidecar ends it", stream.read_to_end(&mut heard)).await;
                let text = String::from_utf8_lossy(&heard);
                assert!(end.is_err() || text.is_empty(), "{from} to {to}: {text}");
            }
        }
    }
}

#[tokio::test]
async fn root_a_pod_is_reached_by_its_own_address_by_mtls() {
    let Some(cluster) = cluster("root_a_pod_is_reached_by_its_own_address_by_mtls").await else { return };
    let app = Backend::at(cluster.listen("strict", HTTP1), "strict", Version::Http1, Reply::Status(200));
    for family in Family::ALL {
        let to = SocketAddr::new(cluster.address("strict", family), HTTP1);
        let answer = open(&cluster, "client", to, Version::Http1).await.send(request(Method::GET, "/")).await;
        let answer = answer.unwrap_or_else(|error| panic!("{family:?}: {error:#}"));
        assert_eq!(answer.status, StatusCode::OK, "{family:?}: {answer:?}");
        let seen = app.seen();
        let proven = seen.last().expect("it was called").header("x-forwarded-client-cert").to_owned();
        assert!(proven.contains(&calls_as("client")), "{family:?}: {proven}");
    }
}

#[tokio::test]
async fn root_what_is_not_of_the_mesh_is_reached_as_before() {
    let Some(cluster) = cluster("root_what_is_not_of_the_mesh_is_reached_as_before").await else { return };
    let outside = cluster.node().listen(SocketAddr::new("::".parse().expect("an address"), UNSAID));
    let outside = Backend::at(outside, "outside", Version::Http1, Reply::Echo);
    let bare = Backend::at(cluster.listen("bare", HTTP1), "bare", Version::Http1, Reply::Echo);
    for (index, family) in Family::ALL.into_iter().enumerate() {
        let far = SocketAddr::new(FAR[index].parse().expect("an address"), UNSAID);
        let pod = SocketAddr::new(cluster.address("bare", family), HTTP1);
        for (app, to) in [(&outside, far), (&bare, pod), (&bare, service(&cluster, "bare", family, HTTP1))] {
            let before = app.count();
            let mut sent = request(Method::POST, "/");
            *sent.body_mut() = "as it was".into();
            let answer = open(&cluster, "client", to, Version::Http1).await.send(sent).await;
            let answer = answer.unwrap_or_else(|error| panic!("{to}: {error:#}"));
            assert_eq!((answer.status, answer.text().as_str()), (StatusCode::OK, "as it was"), "{to}");
            assert_eq!(app.count(), before + 1, "{to}");
        }
    }
}

#[tokio::test]
async fn root_with_registry_only_nothing_goes_past_the_mesh_and_all_of_it_is_reached() {
    if !may_run("root_with_registry_only_nothing_goes_past_the_mesh_and_all_of_it_is_reached") {
        return;
    }
    let pods = vec![
        PodPlan::meshed("client").registry_only(),
        PodPlan::meshed("strict").annotated("weft.dev/default-policy", "strict"),
        PodPlan::bare("bare"),
    ];
    let services =
        ["strict", "bare"].map(|name| ServicePlan { name, pods: vec![name], ports: vec![(HTTP1, "")] });
    let cluster = Cluster::start(WEFT, pods, services.to_vec()).await;
    let outside = cluster.node().listen(SocketAddr::new("::".parse().expect("an address"), UNSAID));
    let outside = Backend::at(outside, "outside", Version::Http1, Reply::Echo);
    let [_strict, bare] = ["strict", "bare"]
        .map(|pod| Backend::at(cluster.listen(pod, HTTP1), pod, Version::Http1, Reply::Status(200)));
    let mut refused = 0;
    for (index, family) in Family::ALL.into_iter().enumerate() {
        // What is a Service, with sidecars or without, and a pod of the mesh by its own address.
        let pod_of_the_mesh = SocketAddr::new(cluster.address("strict", family), HTTP1);
        for to in ["strict", "bare"]
            .map(|name| service(&cluster, name, family, HTTP1))
            .into_iter()
            .chain([pod_of_the_mesh])
        {
            let answer =
                open(&cluster, "client", to, Version::Http1).await.send(request(Method::GET, "/")).await;
            let answer = answer.unwrap_or_else(|error| panic!("{to}: {error:#}"));
            assert_eq!(answer.status, StatusCode::OK, "{to}");
        }
        // The world, and a pod that nobody knows but by a Service.
        let far = SocketAddr::new(FAR[index].parse().expect("an address"), UNSAID);
        let pod = SocketAddr::new(cluster.address("bare", family), HTTP1);
        let before = [outside.count(), bare.count()];
        for to in [far, pod] {
            refused += 1;
            let mut stream = cluster.connect("client", to).unwrap_or_else(|error| panic!("{to}: {error}"));
            // A reset is told once: by the write, if it has come already.
            let heard = match stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await {
                Ok(()) => within("it is reset", stream.read(&mut [0; 64])).await.map(drop),
                written => written,
            };
            assert!(
                heard.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionReset),
                "{to}: {heard:?}"
            );
        }
        assert_eq!([outside.count(), bare.count()], before, "something went past the mesh");
    }
    let told = until("each of them is logged", async || {
        let lines = cluster.access_log("client");
        let told: Vec<_> = lines.into_iter().filter(|line| line["fault"] == "unknown_destination").collect();
        (told.len() == refused).then_some(told)
    })
    .await;
    assert!(told.iter().all(|line| line["destination"] == "passthrough"), "{told:?}");
    let admin = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), names::ADMIN_PORT);
    let mut admin = open(&cluster, "client", admin, Version::Http1).await;
    let answer = admin.send(request(Method::GET, "/metrics")).await.expect("the sidecar tells of itself");
    let metrics = Metrics::read(answer.text());
    let labels = [("destination", "passthrough"), ("fault", "unknown_destination")];
    assert_eq!(metrics.count("weft_tcp_connections_closed_total", &labels), refused as u64);
    assert_eq!(metrics.count("weft_passthrough_total", &[]), 0);
}
