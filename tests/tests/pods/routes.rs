//! Where connections go whose bytes nobody looks at: by weight, and the application's own TLS by the name that it calls.

use std::{io, net, sync::Arc};

use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use weft_runtime::Tasks;
use weft_tests::{
    manifest,
    patience::{until, within},
    pods::{Cluster, Family},
};

use crate::{HTTPS, MYSQL, cluster, opaque::greeter, service};

const FILE: &str = "routes.yaml";

/// Name of a service by the family of its address.
fn of(family: Family, name: &str) -> String {
    format!("{name}-{}", if family == Family::V4 { 4 } else { 6 })
}

/// The first `length` bytes that somebody says who speaks first; `None` = the connection was reset.
async fn greeting(cluster: &Cluster, to: net::SocketAddr, length: usize) -> Option<Vec<u8>> {
    // Whom the sidecar resets at once may hear of it while it still connects.
    let mut stream = cluster.connect("client", to).ok()?;
    let mut heard = vec![0; length];
    let read = within("somebody speaks, or nobody may", stream.read_exact(&mut heard)).await;
    read.ok().map(|_| heard)
}

#[tokio::test]
async fn root_connections_are_shared_by_the_weights_of_a_tcp_route() {
    let test = "root_connections_are_shared_by_the_weights_of_a_tcp_route";
    let Some(cluster) = cluster(test).await else { return };
    let _servers = [("strict", b"old"), ("open", b"new")]
        .map(|(pod, greeting)| greeter(cluster.listen(pod, MYSQL), greeting));
    for family in Family::ALL {
        let [strict, open] = ["strict", "open"].map(|name| of(family, name));
        let route = |weights: [u32; 2]| {
            let [old, new] = weights;
            let backends = format!(
                "rules: [{{ backendRefs: [{{ name: {strict}, port: {MYSQL}, weight: {old} }}, \
                 {{ name: {open}, port: {MYSQL}, weight: {new} }}] }}]"
            );
            cluster.write(FILE, &manifest::stream_route("TCPRoute", "db", &strict, MYSQL, &backends));
        };
        let to = service(&cluster, "strict", family, MYSQL);
        let served_by = async |name: &str| {
            until(&format!("{name} serves"), async || {
                (greeting(&cluster, to, 3).await? == name.as_bytes()).then_some(())
            })
            .await;
        };
        route([0, 1]);
        served_by("new").await;
        for _ in 0..20 {
            assert_eq!(greeting(&cluster, to, 3).await.as_deref(), Some(&b"new"[..]));
        }
        route([1, 1]);
        served_by("old").await;
        // Both still do; that one of them is passed over in 60 draws happens once in 2^60 runs.
        let mut taken = [0; 2];
        for _ in 0..60 {
            let heard = greeting(&cluster, to, 3).await.expect("somebody serves");
            taken[usize::from(heard == b"new")] += 1;
        }
        assert!(taken.iter().all(|count| *count > 0), "{family:?}: {taken:?}");
        // Nobody else's connections are led anywhere.
        let other = service(&cluster, "open", family, MYSQL);
        assert_eq!(greeting(&cluster, other, 3).await.as_deref(), Some(&b"new"[..]));
        route([0, 0]);
        until("nobody may", async || greeting(&cluster, to, 3).await.is_none().then_some(())).await;
    }
    let log = cluster.access_log("client");
    let led = |line: &&serde_json::Value| line["route"] == "default/db/tcp/0";
    assert!(log.iter().any(|line| led(&line) && line["destination"] == format!("default/strict-6:{MYSQL}")));
    assert!(log.iter().any(|line| led(&line) && line["fault"] == "backend_missing"));
}

/// A server of TLS with a certificate of its own for `names`. To whoever calls it says its name, and has said all.
fn tls_server(
    listener: net::TcpListener,
    name: &'static str,
    names: &[&str],
) -> (Tasks, CertificateDer<'static>) {
    let key = rcgen::KeyPair::generate().expect("there is randomness for a key");
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let certificate =
        rcgen::CertificateParams::new(names).and_then(|certificate| certificate.self_signed(&key));
    let certificate = certificate.expect("the names are names").der().clone();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider knows TLS")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .expect("key and certificate belong together");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener));
    let listener = listener.expect("it listens");
    let tasks = Tasks::new();
    tasks.spawn("tls-server", async move {
        while let Ok((stream, _)) = listener.accept().await {
            // An error is a caller's who has heard enough.
            let _ = answer(&acceptor, stream, name).await;
        }
    });
    (tasks, certificate)
}

async fn answer(acceptor: &TlsAcceptor, stream: TcpStream, name: &str) -> io::Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    stream.write_all(name.as_bytes()).await?;
    stream.shutdown().await
}

/// What a client of TLS hears that calls `name`, and believes these certificates.
async fn call(
    cluster: &Cluster,
    to: net::SocketAddr,
    name: &'static str,
    believed: &[CertificateDer<'static>],
) -> io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(believed.iter().cloned());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider knows TLS")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = cluster.connect("client", to)?;
    let name = ServerName::try_from(name).expect("it is a name");
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    let mut heard = String::new();
    stream.read_to_string(&mut heard).await?;
    Ok(heard)
}

#[tokio::test]
async fn root_the_application_s_own_tls_goes_by_the_name_that_it_calls() {
    let test = "root_the_application_s_own_tls_goes_by_the_name_that_it_calls";
    let Some(cluster) = cluster(test).await else { return };
    // Neither could answer for the other: whoever is asked shows its own certificate.
    let (_shop, shop) = tls_server(cluster.listen("strict", HTTPS), "shop", &["shop.mesh.test"]);
    let (_rest, rest) =
        tls_server(cluster.listen("open", HTTPS), "rest", &["*.mesh.test", "a.shop.mesh.test"]);
    let believed = [shop, rest];
    for family in Family::ALL {
        let route = |name: &str, hostname: &str, backend: &str| {
            let backend = of(family, backend);
            let spec = format!(
                "hostnames: ['{hostname}']\nrules: [{{ backendRefs: [{{ name: {backend}, port: {HTTPS} }}] }}]"
            );
            manifest::stream_route("TLSRoute", name, &of(family, "strict"), HTTPS, &spec)
        };
        cluster.write(
            FILE,
            &(route("shop", "shop.mesh.test", "strict") + &route("rest", "*.mesh.test", "open")),
        );
        let to = service(&cluster, "strict", family, HTTPS);
        let heard =
            async |name: &'static str| within("a call ends", call(&cluster, to, name, &believed)).await;
        until("the routes are in force", async || (heard("b.mesh.test").await.ok()? == "rest").then_some(()))
            .await;
        for (name, by) in [("shop.mesh.test", "shop"), ("a.shop.mesh.test", "rest"), ("b.mesh.test", "rest")]
        {
            let heard = heard(name).await.unwrap_or_else(|error| panic!("{family:?} {name}: {error}"));
            assert_eq!(heard, by, "{family:?} {name}");
        }
        for name in ["shop.example", "mesh.test"] {
            assert!(heard(name).await.is_err(), "{family:?}: nobody takes {name}");
        }
        // Who calls the other service is led by no route.
        let other = service(&cluster, "open", family, HTTPS);
        let direct = within("a call ends", call(&cluster, other, "b.mesh.test", &believed)).await;
        assert_eq!(direct.unwrap_or_else(|error| panic!("{family:?}: {error}")), "rest");
    }
    for (name, route, fault) in [
        ("shop.mesh.test", "default/shop/tls/0".into(), serde_json::Value::Null),
        ("b.mesh.test", "default/rest/tls/0".into(), serde_json::Value::Null),
        ("shop.example", serde_json::Value::Null, "no_route".into()),
    ] {
        until(&format!("{name} is logged"), async || {
            cluster.access_log("client").into_iter().find(|line| {
                line["tls.client.server_name"] == name && line["route"] == route && line["fault"] == fault
            })
        })
        .await;
    }
}
