//! What an application says before its response, as 103 Early Hints: through both sidecars, when it says so and not later.

use std::net::{SocketAddr, TcpListener};

use http::{Method, StatusCode};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use weft_api::{bootstrap::MeshHttp, names};
use weft_runtime::Tasks;
use weft_tests::{
    backend::Gate,
    client::{Connection, Version, request},
    liar::{Liar, Lie, TRUTH},
    mesh::Mesh,
    patience::{until, within},
    plan::{Plan, Service},
    words::{answer, application, head, until_heard},
};

use crate::WEFT;

const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n";
const ASKED: &str = "GET / HTTP/1.1\r\nhost: hints\r\n\r\n";
const LINKS: [MeshHttp; 2] = [MeshHttp::Http2, MeshHttp::Http1];

async fn mesh_of(app: SocketAddr, link: MeshHttp) -> Mesh {
    let mut plan = Plan::of(vec![Service::meshed("hints", &[app])]);
    plan.mesh_http = link;
    Mesh::start(WEFT, &plan).await
}

/// An application that says this, and its response only when the gate is open.
fn hints(said: &'static str, gate: &Gate) -> (SocketAddr, Tasks) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let address = listener.local_addr().expect("it is bound");
    let gate = gate.clone();
    let tasks = application(listener, move |mut stream| {
        let gate = gate.clone();
        async move {
            loop {
                head(&mut stream).await?;
                stream.write_all(said.as_bytes()).await?;
                gate.pass().await;
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\nx-final: yes\r\ncontent-length: 5\r\n\r\nhello")
                    .await?;
            }
        }
    });
    (address, tasks)
}

#[tokio::test]
async fn hints_are_heard_before_the_response_is_there() {
    let said = "HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\nconnection: x-hop\r\nx-hop: 1\r\n\
        keep-alive: timeout=5\r\nx-weft-fault: a lie\r\ncontent-length: 7\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n";
    for link in LINKS {
        let gate = Gate::closed();
        let (app, _tasks) = hints(said, &gate);
        let mesh = mesh_of(app, link).await;
        let mut stream = TcpStream::connect(mesh.entrance("hints")).await.expect("the sidecar listens");
        let asking = async {
            for _ in 0..2 {
                // The second request is right behind the first, which has had no answer yet.
                stream.write_all(ASKED.as_bytes()).await?;
            }
            assert_eq!(head(&mut stream).await?, HINTS);
            assert_eq!(head(&mut stream).await?, "HTTP/1.1 102 Processing\r\n\r\n");
            gate.open();
            let first = until_heard(&mut stream, "\r\n\r\nhello").await?;
            assert_eq!(head(&mut stream).await?, HINTS);
            assert_eq!(head(&mut stream).await?, "HTTP/1.1 102 Processing\r\n\r\n");
            let second = until_heard(&mut stream, "\r\n\r\nhello").await?;
            std::io::Result::Ok([first, second])
        };
        let heard = within("both are answered", asking).await;
        for heard in heard.unwrap_or_else(|error| panic!("{link:?}: {error}")) {
            assert!(heard.starts_with("HTTP/1.1 200 ") && heard.contains("\r\nx-final: yes\r\n"), "{heard}");
            assert!(!heard.contains(names::HEADER_INTERIM), "{heard}");
        }
        // Each sidecar has told of two requests, by the status of their final responses.
        for sidecar in ["web-proxy", "hints-0-proxy"] {
            let metrics = mesh.metrics(sidecar).await;
            let labels = [("status", "200")];
            let name = if sidecar == "web-proxy" { "client" } else { "server" };
            let name = format!("http_{name}_request_duration_seconds_count");
            assert_eq!(metrics.count(&name, &labels), 2, "{sidecar} over {link:?}");
        }
    }
}

#[tokio::test]
async fn who_takes_none_gets_none() {
    for link in LINKS {
        let gate = Gate::closed();
        gate.open();
        let (app, _tasks) = hints(HINTS, &gate);
        let mesh = mesh_of(app, link).await;
        let entrance = mesh.entrance("hints");
        let stream = TcpStream::connect(entrance).await.expect("the sidecar listens");
        let heard = answer(stream, "GET / HTTP/1.0\r\nhost: hints\r\n\r\n").await;
        assert!(heard.starts_with("HTTP/1.0 200 ") && heard.ends_with("\r\n\r\nhello"), "{heard}");
        assert!(!heard.contains("link:"), "{heard}");
        let mut connection = Connection::open(entrance, Version::Http2).await.expect("the sidecar listens");
        let mut asked = request(Method::GET, "/");
        // Nor does one that says what only sidecars may.
        asked.headers_mut().insert(names::HEADER_INTERIM, "1".parse().expect("it is a value"));
        let answer = within("an answer", connection.send(asked)).await.expect("there is one");
        assert_eq!((answer.status, answer.text().as_str()), (StatusCode::OK, "hello"));
    }
}

#[tokio::test]
async fn of_a_flood_eight_are_heard_and_the_response_is_502() {
    for link in LINKS {
        let app = Liar::start(Version::Http1).await;
        let mesh = mesh_of(app.address(), link).await;
        for (hints, status) in [(8, "200"), (9, "502"), (100_000, "502")] {
            app.next(Lie::bytes(format!(
                "{}HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{TRUTH}",
                HINTS.repeat(hints),
                TRUTH.len()
            )));
            let asked = "GET / HTTP/1.1\r\nhost: hints\r\nconnection: close\r\n\r\n";
            let stream = TcpStream::connect(mesh.entrance("hints")).await.expect("the sidecar listens");
            let heard = answer(stream, asked).await;
            let told = heard.matches(HINTS).count();
            let last = heard.strip_prefix(&HINTS.repeat(told)).expect("they come first");
            assert_eq!(told, 8, "{hints} hints over {link:?}: {heard}");
            assert!(last.starts_with(&format!("HTTP/1.1 {status} ")), "{hints} hints over {link:?}: {last}");
            assert_eq!(last.contains("x-weft-fault: upstream_malformed\r\n"), status == "502", "{last}");
        }
    }
}

#[tokio::test]
async fn a_caller_that_leaves_between_a_hint_and_the_response_cancels_it() {
    for link in LINKS {
        let gate = Gate::closed();
        let (app, _tasks) = hints(HINTS, &gate);
        let mesh = mesh_of(app, link).await;
        let mut stream = TcpStream::connect(mesh.entrance("hints")).await.expect("the sidecar listens");
        let asking = async {
            stream.write_all(ASKED.as_bytes()).await?;
            head(&mut stream).await
        };
        assert_eq!(within("a hint", asking).await.expect("there is one"), HINTS);
        drop(stream);
        for (sidecar, side) in [("web-proxy", "client"), ("hints-0-proxy", "server")] {
            let name = format!("http_{side}_request_duration_seconds_count");
            let labels = [("status", "499"), ("fault", "client_cancelled")];
            until(&format!("{sidecar} tells of it over {link:?}"), async || {
                (mesh.metrics(sidecar).await.count(&name, &labels) == 1).then_some(())
            })
            .await;
        }
    }
}
