mod gate;
mod room;
mod trace;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::{LocalSet, spawn_local},
};
use tokio_rustls::TlsConnector;
use weft_runtime::shutdown::{Shutdown, Trigger};

use super::*;
use crate::{
    http::serve::serve,
    snapshot::{HttpPort, OpaquePort, Port, Ports, Snapshot},
    upstream::{self, Mesh, Peer, dial_opaque},
};

/// A sidecar before an application that says back what it hears once its caller has said all, and where it is entered.
struct Sidecar {
    worker: Rc<Worker>,
    address: SocketAddr,
    /// How many connections the application has had.
    heard: Rc<std::cell::Cell<u32>>,
    /// Once it is gone, the sidecar ends.
    _trigger: Trigger,
}

impl Sidecar {
    /// With these rules for all ports.
    async fn start(http: Option<bool>, opaque: Option<bool>) -> Self {
        Self::at(port(http, opaque)).await
    }

    /// With this rule for all ports.
    async fn at(port: Port) -> Self {
        let app = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sidecar = Self::before(app.local_addr().unwrap(), port).await;
        let count = Rc::clone(&sidecar.heard);
        spawn_local(async move {
            while let Ok((mut stream, _)) = app.accept().await {
                count.set(count.get() + 1);
                let mut said = Vec::new();
                if stream.read_to_end(&mut said).await.is_ok() {
                    stream.write_all(&said).await.unwrap();
                }
            }
        });
        sidecar
    }

    /// The same before an application of the test's own.
    async fn before(app: SocketAddr, port: Port) -> Self {
        Self::of(Worker::for_tests(), app, port).await
    }

    async fn of(worker: Rc<Worker>, app: SocketAddr, port: Port) -> Self {
        store(&worker, port);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let entrance = Entrance { port: 8080, app };
        let (entering, tls) = (Rc::clone(&worker), server_config(&worker.shared.credentials));
        let (trigger, running) = Shutdown::manual();
        spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (worker, tls, shutdown) = (Rc::clone(&entering), Arc::clone(&tls), running.clone());
                spawn_local(async move {
                    let Ok(Some((io, version, caller))) = enter(&worker, stream, entrance, tls).await else {
                        return;
                    };
                    let caller = Rc::new(caller);
                    let folds = caller.is_sidecar();
                    let respond = move |request, interim| {
                        let (worker, caller) = (Rc::clone(&worker), Rc::clone(&caller));
                        Box::pin(async move { respond(&worker, &caller, request, interim).await })
                    };
                    let _ = serve(io, version, folds, shutdown.draining(), respond).await;
                });
            }
        });
        Self { worker, address, heard: Rc::default(), _trigger: trigger }
    }

    /// The way another sidecar takes for opaque bytes.
    async fn over_the_mesh(&self) -> upstream::Io {
        let id = Worker::ID_FOR_TESTS;
        let config =
            self.worker.shared.credentials.client_config(id.parse().unwrap(), &[names::ALPN_MESH_H2]);
        let mesh = Mesh { identity: id.into(), config };
        dial_opaque(&Peer::new(self.address, Version::Http2, Some(mesh))).await.unwrap()
    }

    async fn plaintext(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

/// A port for HTTP and for opaque bytes, each with or without plaintext.
fn port(http: Option<bool>, opaque: Option<bool>) -> Port {
    let http = http.map(|plaintext| HttpPort {
        plaintext,
        version: Version::Http1,
        connect: false,
        probes: Vec::new(),
        authorization: None,
        rate_limits: None,
    });
    Port { http, opaque: opaque.map(|plaintext| OpaquePort { plaintext, authorization: None }) }
}

/// From now on, this rule is for all ports.
fn store(worker: &Worker, port: Port) {
    let ports = Ports { others: Some(Arc::new(port)), ..Ports::default() };
    worker.shared.snapshots.store(Snapshot { inbound: Arc::new(ports), ..Snapshot::default() });
}

/// Says `words`, ends its own direction, and reads to the end of the other.
async fn talk(stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin), words: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(words).await?;
    stream.shutdown().await?;
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).await?;
    Ok(heard)
}

#[tokio::test]
async fn opaque_bytes_over_mtls_reach_the_application_and_back_with_both_ends() {
    let test = async {
        for rules in [(None, Some(false)), (Some(false), Some(false)), (None, Some(true))] {
            let sidecar = Sidecar::start(rules.0, rules.1).await;
            let words: Vec<u8> = (0..300_000_u32).map(|n| (n % 253) as u8).collect();
            let mut stream = sidecar.over_the_mesh().await;
            assert!(talk(&mut stream, &words).await.unwrap() == words, "{rules:?}");
        }
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn opaque_bytes_do_not_enter_where_http_alone_is_spoken() {
    let test = async {
        let sidecar = Sidecar::start(Some(true), None).await;
        let mut stream = sidecar.over_the_mesh().await;
        // A request, even: what only the mesh may say would not be stripped from it.
        assert!(talk(&mut stream, b"GET / HTTP/1.1\r\n\r\n").await.is_err());
        assert_eq!(sidecar.heard.get(), 0);
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn plaintext_bytes_enter_where_it_is_taken_and_nowhere_else() {
    let test = async {
        for http in [None, Some(true)] {
            let sidecar = Sidecar::start(http, Some(true)).await;
            let heard = talk(&mut sidecar.plaintext().await, b"\x00PING\r\n").await;
            assert_eq!(heard.unwrap(), b"\x00PING\r\n");
        }
        for http in [None, Some(false), Some(true)] {
            let sidecar = Sidecar::start(http, Some(false)).await;
            let heard = talk(&mut sidecar.plaintext().await, b"\x00PING\r\n").await;
            assert_eq!(heard.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
            let refused = |sidecar: &Sidecar| sidecar.worker.shared.telemetry.connections.ended();
            assert_eq!(refused(&sidecar), 1);
            // Who only asks whether somebody listens, as the kubelet does, is told, and was refused nothing.
            let heard = talk(&mut sidecar.plaintext().await, b"").await;
            assert_eq!(heard.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
            assert_eq!(refused(&sidecar), 1);
            assert_eq!(sidecar.heard.get(), 0, "not even a connection reaches the application");
        }
    };
    LocalSet::new().run_until(test).await;
}

/// A ClientHello of the application's own, which the echo answers with itself: no TLS, but all that is to be seen here.
async fn own_tls(sidecar: &Sidecar) -> io::Result<()> {
    let id = Worker::ID_FOR_TESTS.parse().unwrap();
    let config = sidecar.worker.shared.credentials.client_config(id, &[b"h2"]);
    let name = rustls_pki_types::ServerName::IpAddress(sidecar.address.ip().into());
    let stream = sidecar.plaintext().await;
    TlsConnector::from(config).connect(name, stream).await.map(drop)
}

#[tokio::test]
async fn the_application_s_own_tls_passes_untouched_only_where_plaintext_does() {
    let test = async {
        let permissive = Sidecar::start(Some(true), Some(true)).await;
        let mut stream = permissive.plaintext().await;
        let mut client = rustls::ClientConnection::new(
            permissive
                .worker
                .shared
                .credentials
                .client_config(Worker::ID_FOR_TESTS.parse().unwrap(), &[b"h2"]),
            rustls_pki_types::ServerName::try_from("shop.example").unwrap(),
        )
        .unwrap();
        let mut hello = Vec::new();
        client.write_tls(&mut hello).unwrap();
        assert_eq!(talk(&mut stream, &hello).await.unwrap(), hello);

        let strict = Sidecar::start(Some(false), Some(false)).await;
        let error = own_tls(&strict).await.unwrap_err();
        assert!(error.to_string().contains("ApplicationProtocol"), "{error}");
        assert_eq!(strict.heard.get(), 0);
        assert_eq!(strict.worker.shared.telemetry.connections.ended(), 1, "it is told of");
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn an_application_that_takes_no_connection_is_seen_as_that() {
    let test = async {
        let worker = Worker::for_tests();
        store(&worker, port(None, Some(true)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let app = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let mut caller = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let stream = listener.accept().await.unwrap().0;
        let tls = server_config(&worker.shared.credentials);
        let entering = enter(&worker, stream, Entrance { port: 8080, app }, tls);
        let (heard, _) = tokio::join!(talk(&mut caller, b"\x00"), entering);
        assert!(heard.is_err());
    };
    LocalSet::new().run_until(test).await;
}

/// Reads from `stream` until the head of a message is over.
async fn head(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        read.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(read).unwrap()
}

/// What a caller hears to a second request like the first, where the application answers one and then closes the
/// connection on which the second is under way; and then stops, or answers again.
async fn second_answer(method: &str, stops: bool) -> String {
    let app = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let sidecar = Sidecar::before(app.local_addr().unwrap(), port(Some(true), None)).await;
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    spawn_local(async move {
        let (mut stream, _) = app.accept().await.unwrap();
        head(&mut stream).await;
        stream.write_all(answer).await.unwrap();
        head(&mut stream).await;
        if stops {
            drop(app);
            return;
        }
        drop(stream);
        let (mut stream, _) = app.accept().await.unwrap();
        head(&mut stream).await;
        stream.write_all(answer).await.unwrap();
    });
    let mut caller = sidecar.plaintext().await;
    let request = format!("{method} / HTTP/1.1\r\nhost: api\r\ncontent-length: 0\r\n\r\n");
    caller.write_all(request.as_bytes()).await.unwrap();
    assert!(head(&mut caller).await.starts_with("HTTP/1.1 200"));
    while !sidecar.worker.pools.has_idle() {
        tokio::task::yield_now().await;
    }
    caller.write_all(request.as_bytes()).await.unwrap();
    head(&mut caller).await
}

#[tokio::test]
async fn what_may_be_repeated_outlives_the_connection_that_the_application_closes() {
    let test = async {
        assert!(second_answer("GET", false).await.starts_with("HTTP/1.1 200"));
        // Nobody has heard it: the caller's sidecar goes elsewhere.
        let stopped = second_answer("GET", true).await;
        assert!(stopped.starts_with("HTTP/1.1 503") && stopped.contains("connect_failed"), "{stopped}");
        let lost = second_answer("POST", false).await;
        assert!(lost.starts_with("HTTP/1.1 502") && lost.contains("upstream_reset"), "{lost}");
    };
    LocalSet::new().run_until(test).await;
}
