use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{Arc, Mutex},
    time::SystemTime,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::TokioIo;
use prometheus::IntCounter;
use prost::Message;
use rand::{SeedableRng, rngs::SmallRng};
use tokio::{
    net::TcpListener,
    task::{LocalSet, spawn_local},
};
use weft_api::telemetry::Tracing;
use weft_identity::{authority::Authority, bundle::TrustBundle, tls::Credentials};

use super::{otlp::ExportTracePartialSuccess, *};
use crate::{
    http::serve::LocalExecutor,
    trace::{Kind, Sampler, Tracer, tests::span},
};

/// What the collector answers to a batch.
#[derive(Clone, Debug)]
enum Answer {
    /// HTTP, and no gRPC.
    Http(u16),
    /// A status of gRPC.
    Grpc(u16),
    /// It takes all but so many.
    Rejects(i64),
    /// Bytes that are no message.
    Garbage,
}

/// A collector that answers these one after the other, then well, and the numbers of spans that it was sent.
struct Fake {
    endpoint: String,
    batches: Arc<Mutex<Vec<usize>>>,
}

impl Fake {
    async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = listener.local_addr().unwrap().to_string();
        let (batches, answers) = (Arc::new(Mutex::new(Vec::new())), Mutex::new(VecDeque::from_iter(answers)));
        let (seen, answers) = (Arc::clone(&batches), Arc::new(answers));
        spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, answers) = (Arc::clone(&seen), Arc::clone(&answers));
                let service = service_fn(move |request: Request<Incoming>| {
                    let (seen, answers) = (Arc::clone(&seen), Arc::clone(&answers));
                    async move {
                        let body = request.into_body().collect().await.unwrap().to_bytes();
                        let batch = ExportTraceServiceRequest::decode(&body[5..]).unwrap();
                        seen.lock().unwrap().push(batch.resource_spans[0].scope_spans[0].spans.len());
                        let next = answers.lock().unwrap().pop_front();
                        Ok::<_, Infallible>(response(&next.unwrap_or(Answer::Rejects(0))))
                    }
                });
                spawn_local(
                    http2::Builder::new(LocalExecutor).serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Self { endpoint, batches }
    }

    fn batches(&self) -> Vec<usize> {
        self.batches.lock().unwrap().clone()
    }
}

fn response(answer: &Answer) -> Response<Full<Bytes>> {
    let partial = |rejected_spans| {
        let partial = ExportTracePartialSuccess { rejected_spans, error_message: "full".to_owned() };
        otlp::ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec()
    };
    let (http, grpc, body) = match answer {
        Answer::Http(status) => (*status, None, Vec::new()),
        Answer::Grpc(code) => (200, Some(*code), Vec::new()),
        Answer::Rejects(spans) => (200, Some(0), [vec![0; 5], partial(*spans)].concat()),
        Answer::Garbage => (200, Some(0), vec![0xff; 40]),
    };
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = StatusCode::from_u16(http).unwrap();
    if let Some(code) = grpc {
        response.headers_mut().insert("grpc-status", code.into());
    }
    response
}

fn credentials() -> Arc<Credentials> {
    let authority = Authority::create("cluster.local".parse().unwrap(), SystemTime::now()).unwrap();
    let bundle = TrustBundle::from_pem(authority.certificate_pem()).unwrap();
    Credentials::new("cluster.local".parse().unwrap(), bundle)
}

/// Leaves so many spans for a collector at `endpoint`, and waits until nothing more becomes of them.
async fn export(endpoint: &str, spans: usize) -> Counts {
    let counts = Counts::new().unwrap();
    let (tracer, waiting) = Tracer::new(Sampler::new(1.0), &counts);
    let (request, ()) = Request::get("/").body(()).unwrap().into_parts();
    for _ in 0..spans {
        let begun = tracer.begin(&request, true, &mut SmallRng::seed_from_u64(1)).unwrap();
        tracer.finish(Box::new(span(Kind::Server, *begun)));
    }
    drop(tracer);
    let tracing = Tracing { endpoint: endpoint.to_owned(), identity: None, ratio: 1.0 };
    let workload = Workload {
        namespace: "default".to_owned(),
        name: "a-0".to_owned(),
        service_account: "a".to_owned(),
        service: None,
        zone: None,
    };
    let collector = Collector::new(&tracing, None, &credentials()).unwrap();
    Exporter::new(collector, &workload, waiting, counts.clone()).run().await;
    counts
}

fn counted(counts: &Counts) -> [u64; 4] {
    [&counts.exported, &counts.dropped, &counts.refused, &counts.failed].map(IntCounter::get)
}

#[tokio::test]
async fn what_becomes_of_spans_is_counted_by_what_the_collector_says() {
    let all = async {
        for (answers, expected, calls) in [
            (vec![], [7, 0, 0, 0], 1),
            (vec![Answer::Garbage], [7, 0, 0, 0], 1),
            (vec![Answer::Rejects(3)], [4, 0, 3, 0], 1),
            (vec![Answer::Rejects(-3)], [7, 0, 0, 0], 1),
            // More than there were.
            (vec![Answer::Rejects(99)], [0, 0, 7, 0], 1),
            // It will not say otherwise tomorrow: INVALID_ARGUMENT, UNIMPLEMENTED, UNAUTHENTICATED, no gRPC.
            (vec![Answer::Grpc(3)], [0, 0, 7, 0], 1),
            (vec![Answer::Grpc(12)], [0, 0, 7, 0], 1),
            (vec![Answer::Grpc(16)], [0, 0, 7, 0], 1),
            (vec![Answer::Http(404)], [0, 0, 7, 0], 1),
            (vec![Answer::Http(200)], [0, 0, 7, 0], 1),
            // It may: UNAVAILABLE, a gateway.
            (vec![Answer::Grpc(14)], [7, 0, 0, 0], 2),
            (vec![Answer::Http(503)], [7, 0, 0, 0], 2),
        ] {
            let fake = Fake::start(answers.clone()).await;
            let counts = export(&fake.endpoint, 7).await;
            assert_eq!((counted(&counts), fake.batches()), (expected, vec![7; calls]), "{answers:?}");
        }
    };
    LocalSet::new().run_until(all).await;
}

#[tokio::test]
async fn many_spans_go_in_several_batches_over_one_connection() {
    let all = async {
        let fake = Fake::start([]).await;
        let counts = export(&fake.endpoint, 1500).await;
        assert_eq!((counted(&counts), fake.batches()), ([1500, 0, 0, 0], vec![512, 512, 476]));
    };
    LocalSet::new().run_until(all).await;
}

#[tokio::test(start_paused = true)]
async fn a_collector_that_stays_away_costs_its_spans_and_no_more() {
    // Bound and not listening: whoever connects is refused.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    let nobody = socket.local_addr().unwrap().as_socket().unwrap().to_string();
    let began = Instant::now();
    let counts = LocalSet::new().run_until(export(&nobody, 3)).await;
    assert_eq!(counted(&counts), [0, 0, 0, 3]);
    assert!(began.elapsed() <= GIVE_UP + PAUSE_MAX, "{:?}", began.elapsed());
}

#[test]
fn pauses_grow_to_a_bound_and_are_spread_below_it() {
    assert_eq!((pause(0, 0.0), pause(0, 0.999)), (PAUSE_MIN, PAUSE_MIN));
    assert_eq!((pause(2, 0.0), pause(2, 1.0)), (PAUSE_MIN, PAUSE_MIN * 4));
    assert_eq!((pause(40, 0.0), pause(u32::MAX, 1.0)), (PAUSE_MIN, PAUSE_MAX));
}
