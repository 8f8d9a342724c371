//! What comes in while there is no memory for it.

use super::*;
use crate::overload::Measured;

/// Memory is taken to so many percent.
fn take(sidecar: &Sidecar, percent: u64) {
    sidecar.worker.shared.overload.take(Measured { used: percent << 20, limit: 100 << 20 });
}

fn is_reset(heard: &io::Result<Vec<u8>>) -> bool {
    heard.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset)
}

#[tokio::test]
async fn the_kubelet_is_answered_whatever_is_refused() {
    let test = async {
        let app = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let http =
            port(Some(true), None).http.map(|http| HttpPort { probes: vec!["/live".to_owned()], ..http });
        let sidecar = Sidecar::before(app.local_addr().unwrap(), Port { http, opaque: None }).await;
        take(&sidecar, 99);
        spawn_local(async move {
            while let Ok((mut stream, _)) = app.accept().await {
                let _ = stream.read(&mut [0; 1024]).await;
                let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await;
            }
        });
        for (path, says) in [("/live", "HTTP/1.1 204 "), ("/", "HTTP/1.1 503 "), ("/live?x", "HTTP/1.1 503 ")]
        {
            let asked = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
            let mut stream = sidecar.plaintext().await;
            stream.write_all(asked.as_bytes()).await.unwrap();
            let mut heard = String::new();
            stream.read_to_string(&mut heard).await.unwrap();
            assert!(heard.starts_with(says), "{path}: {heard}");
        }
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn bytes_and_handshakes_are_reset_before_the_application_hears_of_them() {
    let test = async {
        let sidecar = Sidecar::start(None, Some(true)).await;
        take(&sidecar, 99);
        assert!(is_reset(&talk(&mut sidecar.plaintext().await, b"\x00PING").await));
        let id = Worker::ID_FOR_TESTS;
        let config =
            sidecar.worker.shared.credentials.client_config(id.parse().unwrap(), &[names::ALPN_MESH_H2]);
        let mesh = Mesh { identity: id.into(), config };
        let refused = dial_opaque(&Peer::new(sidecar.address, Version::Http2, Some(mesh))).await;
        assert!(refused.is_err(), "a handshake came about");
        assert_eq!((sidecar.heard.get(), sidecar.worker.shared.telemetry.connections.ended()), (0, 2));
        // What has begun goes on, and what is new is taken again once there is room.
        take(&sidecar, 50);
        let mut open = sidecar.over_the_mesh().await;
        open.write_all(b"\x00PI").await.unwrap();
        while sidecar.heard.get() == 0 {
            tokio::task::yield_now().await;
        }
        take(&sidecar, 99);
        assert_eq!(talk(&mut open, b"NG").await.unwrap(), b"\x00PING");
    };
    LocalSet::new().run_until(test).await;
}
