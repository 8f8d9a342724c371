//! Tunnels: `CONNECT` through both sidecars, to a service whose port says that it opens them, and to no other.

use std::net::{SocketAddr, TcpListener};

use http::{Method, StatusCode};
use http_body_util::Empty;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use weft_api::{bootstrap::MeshHttp, names};
use weft_runtime::Tasks;
use weft_tests::{
    backend::Gate,
    client::{Connection, Version, request},
    manifest,
    mesh::Mesh,
    patience::within,
    plan::{Plan, Service},
    words::{answer, application, echo, echo_of, head},
};

use crate::WEFT;

const ASKED: &str =
    "CONNECT db.example:5432 HTTP/1.1\r\nhost: db.example:5432\r\nproxy-authorization: Basic eDp5\r\n\r\n";
/// What the caller says behind its request, before anybody has said yes.
const EARLY: &str = "GET /early HTTP/1.1\r\nhost: a\r\n\r\n";

/// Somebody who opens tunnels to itself, once the gate is open. To anybody but `db.example` it says no.
fn egress(gate: &Gate) -> (SocketAddr, Tasks) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let address = listener.local_addr().expect("it is bound");
    let gate = gate.clone();
    let tasks = application(listener, move |mut stream| {
        let gate = gate.clone();
        async move {
            let asked = head(&mut stream).await?.to_lowercase();
            gate.pass().await;
            let is_whole = asked.starts_with("connect db.example:5432 http/1.1\r\n")
                && asked.contains("\r\nhost: db.example:5432\r\n")
                && asked.contains("\r\nproxy-authorization: basic edp5\r\n");
            if !is_whole {
                let no = "HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 2\r\n\r\nno";
                return stream.write_all(no.as_bytes()).await;
            }
            // Nobody has said anything beyond the head until here.
            let mut early = [0; 1];
            match stream.try_read(&mut early) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                read => panic!("bytes came before the yes: {read:?}"),
            }
            stream.write_all(b"HTTP/1.1 200 Connection Established\r\nx-tunnel: yes\r\n\r\nfirst").await?;
            echo(stream).await
        }
    });
    (address, tasks)
}

async fn mesh_of(app: SocketAddr, app_protocol: Option<&'static str>, link: MeshHttp) -> Mesh {
    let mut service = Service::meshed("egress", &[app]);
    service.app_protocol = app_protocol;
    let mut plan = Plan::of(vec![service]);
    plan.mesh_http = link;
    Mesh::start(WEFT, &plan).await
}

#[tokio::test]
async fn a_tunnel_goes_through_both_sidecars() {
    for link in [MeshHttp::Http2, MeshHttp::Http1] {
        let gate = Gate::closed();
        let (app, _tasks) = egress(&gate);
        let mesh = mesh_of(app, Some(names::PROTOCOL_CONNECT), link).await;
        let said: Vec<u8> = (0..500_000_u32).map(|n| (n % 251) as u8).collect();
        let talk = async {
            let mut stream = TcpStream::connect(mesh.entrance("egress")).await?;
            // What comes behind it at once waits for the yes.
            stream.write_all([ASKED, EARLY].concat().as_bytes()).await?;
            gate.open();
            let head = head(&mut stream).await?;
            assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("x-tunnel: yes"), "{head}");
            assert!(!head.contains("content-length") && !head.contains("transfer-encoding"), "{head}");
            echo_of(&mut stream, &said).await
        };
        let heard = within("the talk ends", talk).await.unwrap_or_else(|error| panic!("{link:?}: {error}"));
        let expected = [b"first", EARLY.as_bytes(), &said].concat();
        assert!(heard == expected, "{link:?}: {} bytes came back", heard.len());
        let metrics = mesh.metrics("web-proxy").await;
        let labels = [("direction", "outbound"), ("destination", "default/egress:80"), ("way", "forth")];
        assert_eq!(metrics.count("weft_tcp_bytes_total", &labels), 500_000 + EARLY.len() as u64);
    }
}

#[tokio::test]
async fn a_caller_by_http2_has_its_tunnel_too() {
    let gate = Gate::closed();
    gate.open();
    let (app, _tasks) = egress(&gate);
    let mesh = mesh_of(app, Some(names::PROTOCOL_CONNECT), MeshHttp::Http2).await;
    let talk = async {
        let stream = TcpStream::connect(mesh.entrance("egress")).await?;
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        let tasks = Tasks::new();
        tasks.spawn("client connection", async move { drop(connection.await) });
        let asked = http::Request::connect("db.example:5432").header("proxy-authorization", "Basic eDp5");
        let response = sender.send_request(asked.body(Empty::<bytes::Bytes>::new())?).await?;
        assert_eq!(response.status(), StatusCode::OK);
        let mut tunnel = TokioIo::new(hyper::upgrade::on(response).await?);
        tunnel.write_all(b"second").await?;
        tunnel.shutdown().await?;
        let mut heard = String::new();
        tunnel.read_to_string(&mut heard).await?;
        anyhow::Ok(heard)
    };
    assert_eq!(within("the talk ends", talk).await.expect("nothing breaks off"), "firstsecond");
}

#[tokio::test]
async fn whoever_opens_tunnels_may_say_no() {
    let gate = Gate::closed();
    gate.open();
    let (app, _tasks) = egress(&gate);
    let mesh = mesh_of(app, Some(names::PROTOCOL_CONNECT), MeshHttp::Http2).await;
    for (asked, status) in [
        ("CONNECT other.example:443 HTTP/1.1\r\nhost: other.example:443\r\n\r\n", "407"),
        ("CONNECT db.example HTTP/1.1\r\nhost: db.example\r\n\r\n", "400"),
        ("CONNECT db.example:5432 HTTP/1.1\r\nhost: db.example:5432\r\ncontent-length: 2\r\n\r\n", "400"),
        ("CONNECT db.example:5432 HTTP/1.0\r\nhost: db.example:5432\r\n\r\n", "405"),
    ] {
        let stream = TcpStream::connect(mesh.entrance("egress")).await.expect("the sidecar listens");
        // The connection ends, or else what was for the tunnel would be the next request.
        let heard = answer(stream, &[asked, EARLY].concat()).await;
        assert!(heard.contains(&format!(" {status} ")), "{asked}: {heard}");
        assert!(
            heard.to_lowercase().contains("\r\nconnection: close\r\n") || asked.contains("HTTP/1.0"),
            "{heard}"
        );
        assert_eq!(heard.matches("HTTP/1.").count(), 1, "{asked}: {heard}");
    }
    // Other requests are for it too, as on any port.
    let mut connection =
        Connection::open(mesh.entrance("egress"), Version::Http1).await.expect("the sidecar listens");
    let answer = within("an answer", connection.send(request(Method::GET, "/"))).await.expect("there is one");
    assert_eq!(answer.status, StatusCode::PROXY_AUTHENTICATION_REQUIRED);
}

#[tokio::test]
async fn a_port_that_does_not_say_so_has_no_tunnels() {
    let gate = Gate::closed();
    gate.open();
    let (app, _tasks) = egress(&gate);
    for app_protocol in [None, Some("http"), Some("kubernetes.io/ws"), Some("kubernetes.io/h2c")] {
        let mesh = mesh_of(app, app_protocol, MeshHttp::Http2).await;
        for door in [mesh.entrance("egress"), mesh.inbound("egress-0")] {
            let stream = TcpStream::connect(door).await.expect("the sidecar listens");
            let heard = answer(stream, &[ASKED, EARLY].concat()).await;
            // Strangers are refused before anybody looks at what they ask for.
            let (status, flag) = if door == mesh.entrance("egress") {
                ("405", "method_refused")
            } else {
                ("403", "plaintext_refused")
            };
            assert!(heard.starts_with(&format!("HTTP/1.1 {status} ")), "{app_protocol:?}: {heard}");
            assert!(heard.contains(&format!("x-weft-fault: {flag}\r\n")), "{app_protocol:?}: {heard}");
            assert_eq!(heard.matches("HTTP/1.").count(), 1, "{app_protocol:?}: {heard}");
        }
    }
}

#[tokio::test]
async fn policies_of_who_may_enter_are_asked() {
    let gate = Gate::closed();
    gate.open();
    let (app, _tasks) = egress(&gate);
    for (spec, expected) in [
        ("action: DENY\nrules: [{ httpAttributes: { methods: [CONNECT] } }]", "403 denied"),
        ("action: ALLOW\nrules: [{ httpAttributes: { methods: [GET] } }]", "403 denied"),
        ("action: ALLOW\nrules: [{ httpAttributes: { methods: [CONNECT] } }]", "200 "),
        // What decides by paths cannot decide about what has none.
        ("action: DENY\nrules: [{ httpAttributes: { paths: [{ value: /admin }] } }]", "400 path_refused"),
    ] {
        let mut service = Service::meshed("egress", &[app]);
        service.app_protocol = Some(names::PROTOCOL_CONNECT);
        let policy = manifest::workload_policy("AuthorizationPolicy", "tunnels", "egress", spec);
        let mesh = Mesh::start(WEFT, &Plan::of(vec![service]).with("policy.yaml", policy)).await;
        let mut stream = TcpStream::connect(mesh.entrance("egress")).await.expect("the sidecar listens");
        let asking = async {
            stream.write_all(ASKED.as_bytes()).await?;
            head(&mut stream).await
        };
        let heard = within("an answer", asking).await.expect("there is one");
        let flag = heard.lines().find_map(|line| line.strip_prefix("x-weft-fault: ")).unwrap_or_default();
        assert_eq!(format!("{} {flag}", &heard[9..12]), expected, "{spec}: {heard}");
    }
}
