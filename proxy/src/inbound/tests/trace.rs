//! Which requests that come in begin a trace.

use super::*;
use crate::trace::{Counts, Sampler, Tracer};

#[tokio::test]
async fn a_probe_begins_no_trace_and_whatever_else_comes_in_plaintext_does() {
    let test = async {
        let (tracer, mut spans) = Tracer::new(Sampler::new(1.0), &Counts::new().unwrap());
        let http = HttpPort { probes: vec!["/live".to_owned()], ..port(Some(true), None).http.unwrap() };
        // Nobody listens: what becomes of the request does not matter.
        let nobody = "127.0.0.1:1".parse().unwrap();
        let rule = Port { http: Some(http), opaque: None };
        let sidecar = Sidecar::of(Worker::for_tests_with(Some(tracer)), nobody, rule).await;
        for path in ["/live", "/before", "/live", "/after"] {
            let request = format!("GET {path} HTTP/1.1\r\nhost: app.test\r\nconnection: close\r\n\r\n");
            let mut stream = sidecar.plaintext().await;
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut heard = String::new();
            stream.read_to_string(&mut heard).await.unwrap();
            assert!(heard.contains("connect_failed"), "{path}: {heard}");
        }
        for path in ["/before", "/after"] {
            let span = spans.recv().await.unwrap();
            assert_eq!((span.path.as_str(), span.begun.context.parent), (path, None));
            assert_eq!(span.caller, Some("127.0.0.1".parse().unwrap()));
        }
    };
    LocalSet::new().run_until(test).await;
}
