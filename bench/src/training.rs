//! The work by which a sidecar's profile is taken: the loads of the tables, and beside them what these leave out. Each
//! sidecar is asked to end at last, since it writes its profile then.

use std::{net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{Method, StatusCode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
};
use weft_runtime::Tasks;
use weft_tests::{
    backend::{Backend, Reply},
    client::{Connection, Version, request},
    pods::{Cluster, Family, PodPlan, Programs, ServicePlan},
};

use crate::{
    rig,
    stage::{Places, Stage},
};

/// Rows of the tables whose proxies are Weft's.
const ROWS: [&str; 4] = ["Weft", "Weft, HTTP/1.1 between", "Weft, one hop", "Weft, one hop from HTTP/2"];
/// Ports of the application, by what is spoken there. Of opaque bytes the application speaks first.
const HTTP1: u16 = 8080;
const HTTP2: u16 = 8081;
const GRPC: u16 = 9090;
const OPAQUE: u16 = 3306;
/// Bodies, and how often each goes there and back on each connection.
const BODIES: [(usize, usize); 4] = [(0, 2000), (1024, 1000), (64 * 1024, 100), (4 * 1024 * 1024, 4)];
/// Connections of each protocol, one after another.
const CONNECTIONS: usize = 4;
/// What the server of opaque bytes says first, and how much it is told on each connection.
const GREETING: &[u8] = b"hello";
const OPAQUE_BYTES: usize = 16 * 1024 * 1024;

/// Puts the sidecars of `places` to work, and ends them. A load of the tables lasts for `length`.
///
/// # Errors
/// If one does not serve.
pub async fn train(places: &Places, length: Duration) -> Result<()> {
    let mut stage = Stage::start(places, &ROWS.map(str::to_owned)).await?;
    rig::measure(&stage, 1, length).await?;
    stage.end_sidecars().await;
    drop(stage);
    bodies(&places.weft).await
}

/// Bodies of many sizes, by every protocol, through two sidecars.
async fn bodies(weft: &Path) -> Result<()> {
    let ports = vec![(HTTP1, ""), (HTTP2, "kubernetes.io/h2c"), (GRPC, "grpc"), (OPAQUE, "")];
    let service = ServicePlan { name: "server", pods: vec!["server"], ports };
    let pods = vec![PodPlan::meshed("client"), PodPlan::meshed("server")];
    let mut cluster = Cluster::start_from(Programs::in_folder(weft), pods, vec![service]).await;
    let at = |port, version, reply| Backend::at(cluster.listen("server", port), "server", version, reply);
    let _applications = [
        at(HTTP1, Version::Http1, Reply::Echo),
        at(HTTP2, Version::Http2, Reply::Echo),
        at(GRPC, Version::Http2, Reply::Grpc),
    ];
    let listener = cluster.listen("server", OPAQUE);
    listener.set_nonblocking(true)?;
    let tasks = Tasks::new();
    tasks.spawn("opaque server", greet_all(TcpListener::from_std(listener)?));
    for _ in 0..CONNECTIONS {
        for (port, version) in [(HTTP1, Version::Http1), (HTTP2, Version::Http2), (GRPC, Version::Http2)] {
            let stream = connect(&cluster, port)?;
            exchange(stream, version).await.with_context(|| format!("port {port}"))?;
        }
        converse(connect(&cluster, OPAQUE)?).await.context("opaque bytes")?;
    }
    for pod in ["client", "server"] {
        cluster.end_sidecar(pod).await;
    }
    Ok(())
}

fn connect(cluster: &Cluster, port: u16) -> Result<TcpStream> {
    let to = SocketAddr::new(cluster.service("server", Family::V4), port);
    cluster.connect("client", to).with_context(|| to.to_string())
}

async fn exchange(stream: TcpStream, version: Version) -> Result<()> {
    let mut connection = Connection::over(stream, version).await?;
    for (length, times) in BODIES {
        let body = Bytes::from(vec![b'w'; length]);
        for _ in 0..times {
            let mut request = request(Method::POST, "/work?kind=training");
            request.body_mut().clone_from(&body);
            let answer = connection.send(request).await?;
            let (status, came) = (answer.status, answer.body.len());
            ensure!(status == StatusCode::OK && came == length, "{status} with {came} bytes, not {length}");
        }
    }
    Ok(())
}

/// Waits for the greeting, and has everything said back that it says.
async fn converse(mut stream: TcpStream) -> Result<()> {
    let mut greeting = [0; GREETING.len()];
    stream.read_exact(&mut greeting).await?;
    let (mut read, mut write) = stream.split();
    let words = vec![b'w'; OPAQUE_BYTES];
    let say = async {
        write.write_all(&words).await?;
        write.shutdown().await
    };
    let mut heard = Vec::new();
    tokio::try_join!(say, read.read_to_end(&mut heard))?;
    ensure!(heard == words, "{} bytes came back", heard.len());
    Ok(())
}

async fn greet_all(listener: TcpListener) {
    let tasks = Tasks::new();
    while let Ok((mut stream, _)) = listener.accept().await {
        tasks.spawn("opaque conversation", async move {
            let (mut read, mut write) = stream.split();
            // Who called sees what is missing.
            let _ = write.write_all(GREETING).await;
            let _ = copy(&mut read, &mut write).await;
        });
    }
}
