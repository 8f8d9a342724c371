//! An API server over TLS that gives one answer after the other, each on a connection of its own.

use std::{
    collections::VecDeque,
    fmt::Write as _,
    fs,
    sync::{Arc, Mutex},
};

use rcgen::{CertificateParams, KeyPair};
use rustls::{ServerConfig, crypto::aws_lc_rs, version::TLS13};
use rustls_pki_types::PrivateKeyDer;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use crate::{ApiServer, Place};

/// The running API server; it ends when it is dropped.
pub(super) struct Double {
    place: Place,
    requests: watch::Receiver<Vec<String>>,
    _folder: TempDir,
    _serving: JoinSet<()>,
}

/// What it says, and what it does then.
pub(super) struct Answer {
    bytes: Vec<u8>,
    end: End,
}

#[derive(Clone, Copy, PartialEq)]
enum End {
    /// It is over.
    Over,
    /// The connection breaks.
    Broken,
    /// Nothing more comes.
    Held,
}

impl Answer {
    /// A whole one.
    pub(super) fn of(status: u16, body: &Value) -> Self {
        let body = body.to_string();
        let text = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        Self { bytes: text.into_bytes(), end: End::Over }
    }

    /// One line for each event.
    pub(super) fn events(events: &[Value]) -> Self {
        let mut text = "HTTP/1.1 200 x\r\ntransfer-encoding: chunked\r\n\r\n".to_owned();
        for event in events {
            let line = format!("{event}\n");
            let _ = write!(text, "{:x}\r\n{line}\r\n", line.len());
        }
        Self { bytes: text.into_bytes(), end: End::Over }
    }

    pub(super) fn held(self) -> Self {
        Self { end: End::Held, ..self }
    }

    pub(super) fn broken(self) -> Self {
        Self { end: End::Broken, ..self }
    }
}

impl Double {
    /// One that gives these answers, and none to whoever comes then.
    pub(super) async fn start(answers: Vec<Answer>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().self_signed(&key).unwrap();
        let (roots, token) = (folder.path().join("ca.crt"), folder.path().join("token"));
        fs::write(&roots, certificate.pem()).unwrap();
        fs::write(&token, "secret\n").unwrap();
        let der = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let tls = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], der)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, requests) = watch::channel(Vec::new());
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, TlsAcceptor::from(Arc::new(tls)), answers.into(), sender));
        let place = Place { host: "127.0.0.1".to_owned(), port, roots, token };
        Self { place, requests, _folder: folder, _serving: serving }
    }

    pub(super) async fn api(&self) -> ApiServer {
        ApiServer::at(self.place.clone(), "test").await.unwrap()
    }

    /// The targets of all requests.
    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.borrow().clone()
    }

    /// Waits until there were so many requests.
    pub(super) async fn asked(&self, count: usize) {
        self.requests.clone().wait_for(|requests| requests.len() >= count).await.unwrap();
    }
}

async fn serve(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    answers: VecDeque<Answer>,
    requests: watch::Sender<Vec<String>>,
) {
    let (answers, requests) = (Arc::new(Mutex::new(answers)), Arc::new(requests));
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, answers, requests) = (acceptor.clone(), answers.clone(), requests.clone());
        connections.spawn(async move { answer(stream, &acceptor, &answers, &requests).await });
    }
}

async fn answer(
    stream: TcpStream,
    acceptor: &TlsAcceptor,
    answers: &Mutex<VecDeque<Answer>>,
    requests: &watch::Sender<Vec<String>>,
) {
    let mut stream = acceptor.accept(stream).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.contains("authorization: Bearer secret\r\n"), "{head}");
    let target = head.split(' ').nth(1).unwrap().to_owned();
    requests.send_modify(|requests| requests.push(target));
    let next = answers.lock().unwrap().pop_front();
    let Some(Answer { bytes, end }) = next else { return std::future::pending().await };
    stream.write_all(&bytes).await.unwrap();
    match end {
        End::Over => {
            // The end of what comes in chunks; whoever was promised a length has gone by then.
            let _ = stream.write_all(b"0\r\n\r\n").await;
            let _ = stream.shutdown().await;
        }
        End::Broken => stream.flush().await.unwrap(),
        End::Held => {
            stream.flush().await.unwrap();
            // Until the other side goes.
            let _ = stream.read_u8().await;
        }
    }
}
