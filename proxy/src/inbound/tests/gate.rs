//! The gate for bytes that nobody looks at: with real sockets, and mTLS where there is an identity.

use super::*;
use crate::{
    authorize::{Authorization, Condition, Filter, List, Refusal, Text},
    telemetry::deeds::{Deed, Effect},
};

/// An opaque port that takes plaintext too, and lets in what fulfils `condition`.
fn guarded(condition: Condition) -> Port {
    let refusal = Refusal { policy: "shop/database".into(), words: "it says so".into() };
    let list = List::Allow([condition].into(), Arc::new(refusal));
    let authorization = Authorization::new(vec![Filter { enforced: Some(list), audited: None }]);
    let authorization = Some(Arc::new(authorization));
    Port { http: None, opaque: Some(OpaquePort { plaintext: true, authorization }) }
}

fn identity(id: &str) -> Condition {
    Condition::Identity(Text::Exact(id.into()))
}

fn denied(sidecar: &Sidecar) -> u64 {
    sidecar.worker.shared.telemetry.deeds.counted("shop/database", Deed::Denied(Effect::Enforced))
}

#[tokio::test]
async fn bytes_enter_by_who_sends_them_from_where_and_never_by_what_they_might_ask() {
    let network = |text: &str| Condition::Network(text.parse().unwrap());
    // By mTLS, and by plaintext.
    let cases = [
        (identity(Worker::ID_FOR_TESTS), [true, false]),
        (identity("spiffe://cluster.local/ns/default/sa/other"), [false, false]),
        (Condition::Authenticated, [true, false]),
        (network("127.0.0.0/8"), [true, true]),
        (network("10.0.0.0/8"), [false, false]),
        (Condition::Path(Text::Prefix("/".into())), [false, false]),
    ];
    let test = async {
        for (condition, lets) in cases {
            let shown = format!("{condition:?}");
            let sidecar = Sidecar::at(guarded(condition)).await;
            let heard = [
                talk(&mut sidecar.over_the_mesh().await, b"\x00PING").await,
                talk(&mut sidecar.plaintext().await, b"\x00PING").await,
            ];
            let answered = heard.map(|heard| heard.is_ok_and(|heard| heard == b"\x00PING"));
            assert_eq!(answered, lets, "{shown}");
            let let_in = lets.into_iter().filter(|lets| *lets).count() as u32;
            assert_eq!(sidecar.heard.get(), let_in, "{shown}: the application has seen what was denied");
            assert_eq!(denied(&sidecar), u64::from(2 - let_in), "{shown}");
            // Who says nothing only asked whether somebody listens: that is answered, and is no attempt to enter.
            let heard = talk(&mut sidecar.plaintext().await, b"").await;
            assert!(heard.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset), "{shown}");
            assert_eq!(sidecar.heard.get(), let_in, "{shown}");
            assert_eq!(denied(&sidecar), u64::from(2 - let_in), "{shown}");
        }
    };
    LocalSet::new().run_until(test).await;
}

/// What the sidecar answers to a request of HTTP/1.1 in plaintext.
async fn answer(sidecar: &Sidecar, request: &str) -> String {
    let request = format!("{request} HTTP/1.1\r\nhost: app.test\r\nconnection: close\r\n\r\n");
    let heard = talk(&mut sidecar.plaintext().await, request.as_bytes()).await.unwrap();
    String::from_utf8(heard).unwrap().lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn the_kubelet_may_ask_what_nobody_else_may() {
    let test = async {
        let OpaquePort { authorization, .. } = guarded(Condition::Authenticated).opaque.unwrap();
        let probes = vec!["/live?full=1".to_owned()];
        let http = port(Some(true), None).http.map(|http| HttpPort { probes, authorization, ..http });
        let sidecar = Sidecar::at(Port { http, opaque: None }).await;
        for request in ["GET /live", "POST /live?full=1", "GET /", "GET //live?full=1"] {
            assert_eq!(answer(&sidecar, request).await, "HTTP/1.1 403 Forbidden", "{request}");
        }
        assert_eq!(sidecar.heard.get(), 0);
        // The application of this test speaks no HTTP, and never answers. It is asked all the same.
        let mut stream = sidecar.plaintext().await;
        stream.write_all(b"GET /live?full=1 HTTP/1.1\r\nhost: app.test\r\n\r\n").await.unwrap();
        let asked = async {
            while sidecar.heard.get() == 0 {
                tokio::task::yield_now().await;
            }
        };
        let mut answer = [0; 12];
        tokio::select! {
            () = asked => {}
            read = stream.read_exact(&mut answer) => panic!("{read:?} {}", answer.escape_ascii()),
        }
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn an_open_connection_ends_when_it_may_no_longer_be() {
    let test = async {
        let sidecar = Sidecar::at(guarded(Condition::Authenticated)).await;
        let mut stream = sidecar.over_the_mesh().await;
        stream.write_all(b"\x00PING").await.unwrap();
        while sidecar.heard.get() == 0 {
            tokio::task::yield_now().await;
        }
        // Rules that still let it be leave it alone.
        store(&sidecar.worker, guarded(identity(Worker::ID_FOR_TESTS)));
        stream.write_all(b"PONG").await.unwrap();
        store(&sidecar.worker, guarded(Condition::Not(Condition::Always.into())));
        let mut heard = Vec::new();
        let ended = stream.read_to_end(&mut heard).await;
        assert!(ended.is_err() && heard.is_empty(), "{ended:?} {heard:?}");
        assert_eq!(denied(&sidecar), 1);
        assert_eq!(sidecar.worker.shared.telemetry.connections.ended(), 1, "it is told of once");
    };
    LocalSet::new().run_until(test).await;
}
