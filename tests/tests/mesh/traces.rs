//! Traces: one over all hops, told to a collector by OTLP, in the words in which it came, and as many as are wanted.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use rustix::process::Signal;
use weft_api::telemetry::Tracing;
use weft_tests::{
    backend::{Backend, Reply, Seen},
    client::{Connection, Version, get, request, send, with_header},
    collector::{Collector, Told, attribute},
    manifest,
    mesh::{Mesh, spiffe_id},
    middlebox::{Line, Middlebox},
    patience::until,
    plan::{Plan, Service},
    port,
    relay::Relay,
};

use crate::WEFT;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
/// The span of an application that calls.
const SPAN: &str = "b7ad6b7169203331";
const SPANS: &str = "weft_spans_total";

fn to(collector: SocketAddr, ratio: f64) -> Tracing {
    Tracing { endpoint: collector.to_string(), identity: None, ratio }
}

/// A mesh with the service `api`, whose sidecars tell `collector`.
async fn shop(backend: &Backend, tracing: Option<Tracing>) -> Mesh {
    Mesh::start(WEFT, &Plan { tracing, ..Plan::of(vec![Service::meshed("api", &[backend.address()])]) }).await
}

fn with(fields: &[(&'static str, String)]) -> Request<Bytes> {
    fields.iter().fold(request(Method::GET, "/"), |request, (name, text)| with_header(request, name, text))
}

/// A request of a trace that is told.
fn traced(trace: &str) -> Request<Bytes> {
    with(&[("traceparent", format!("00-{trace}-{SPAN}-01"))])
}

/// The words of one format, by which a request says of which trace and span it is.
type Words = fn(&str, &str) -> Vec<(&'static str, String)>;
/// Of which trace and span a request was, by the same format, as the application has seen it.
type Read = fn(&Seen) -> (String, String);

fn part(seen: &Seen, header: &str, index: usize) -> String {
    seen.header(header).split('-').nth(index).unwrap_or_default().to_owned()
}

const FORMATS: [(&str, Words, Read); 4] = [
    (
        TRACE,
        |trace, span| {
            vec![("traceparent", format!("00-{trace}-{span}-01")), ("tracestate", "a=1".to_owned())]
        },
        |seen| {
            assert_eq!((part(seen, "traceparent", 3).as_str(), seen.header("tracestate")), ("01", "a=1"));
            (part(seen, "traceparent", 1), part(seen, "traceparent", 2))
        },
    ),
    (
        TRACE,
        |trace, span| vec![("b3", format!("{trace}-{span}-1"))],
        |seen| {
            assert_eq!(part(seen, "b3", 2), "1");
            (part(seen, "b3", 0), part(seen, "b3", 1))
        },
    ),
    (
        TRACE,
        |trace, span| {
            let ids = [("x-b3-traceid", trace), ("x-b3-spanid", span), ("x-b3-sampled", "1")];
            ids.map(|(name, text)| (name, text.to_owned())).to_vec()
        },
        |seen| {
            assert_eq!(seen.header("x-b3-sampled"), "1");
            (seen.header("x-b3-traceid").to_owned(), seen.header("x-b3-spanid").to_owned())
        },
    ),
    // 64 bits, as they were once, and debug.
    (
        "8448eb211c80319c",
        |trace, span| vec![("b3", format!("{trace}-{span}-d-{SPAN}"))],
        |seen| {
            assert_eq!(part(seen, "b3", 2), "d");
            (part(seen, "b3", 0), part(seen, "b3", 1))
        },
    ),
];

#[tokio::test]
async fn one_trace_leads_over_all_hops_in_the_words_in_which_it_came() {
    let (front, back) = (Backend::healthy("front").await, Backend::healthy("back").await);
    for (trace, words, read) in FORMATS {
        let collector = Collector::start().await;
        let services = vec![
            Service::meshed("front", &[front.address()]).calling("back"),
            Service::meshed("back", &[back.address()]),
        ];
        // The caller has decided: no ratio changes that.
        let plan = Plan { tracing: Some(to(collector.address(), 0.0)), ..Plan::of(services) };
        let mesh = Mesh::start(WEFT, &plan).await;

        let answer = send(mesh.entrance("front"), with(&words(trace, SPAN))).await;
        assert_eq!(answer.status, StatusCode::OK);
        let (seen_trace, seen_span) = read(front.seen().last().unwrap());
        assert_eq!(seen_trace, trace);
        // What an application does that knows of traces: it calls on with what it was told.
        let answer = send(mesh.exit("front-0", "back"), with(&words(&seen_trace, &seen_span))).await;
        assert_eq!(answer.status, StatusCode::OK);
        let (last_trace, last_span) = read(back.seen().last().unwrap());
        assert_eq!(last_trace, trace);

        let spans = collector.trace(&format!("{trace:0>32}"), 4).await;
        let told: Vec<(&str, i32)> =
            spans.iter().map(|told| (told.service.as_str(), told.span.kind)).collect();
        let (server, client) = (2, 3);
        assert_eq!(told, [("web", client), ("front", server), ("front", client), ("back", server)]);
        let mut parent = SPAN.to_owned();
        for span in &spans {
            assert_eq!(span.parent(), parent, "{spans:?}");
            parent = span.id();
            assert_eq!(
                (span.attribute("http.request.method"), span.attribute("url.path")),
                ("GET".into(), "/".into())
            );
            assert_eq!(span.attribute("http.response.status_code"), "200");
            assert_eq!(span.attribute("server.address"), "app.test");
            assert!(span.span.end_time_unix_nano > span.span.start_time_unix_nano);
            assert_eq!(span.span.status, None);
        }
        assert_eq!((seen_span, last_span), (spans[1].id(), spans[3].id()));
        assert_eq!(spans[0].attribute("weft.destination"), "default/front:80");
        assert_eq!(spans[1].attribute("weft.peer.identity"), spiffe_id("web"));
    }
}

#[tokio::test]
async fn who_says_nothing_begins_a_trace_and_who_says_no_has_none() {
    let (collector, backend) = (Collector::start().await, Backend::healthy("api").await);
    let mesh = shop(&backend, Some(to(collector.address(), 1.0))).await;
    for fields in [
        vec![("traceparent", format!("00-{TRACE}-{SPAN}-00")), ("tracestate", "a=1".to_owned())],
        vec![("b3", "0".to_owned())],
        vec![("b3", format!("{TRACE}-{SPAN}-0"))],
        vec![
            ("x-b3-traceid", TRACE.to_owned()),
            ("x-b3-spanid", SPAN.to_owned()),
            ("x-b3-sampled", "0".to_owned()),
        ],
    ] {
        send(mesh.entrance("api"), with(&fields)).await;
        let seen = backend.seen().pop().unwrap();
        for (name, text) in &fields {
            assert_eq!(seen.header(name), text, "it comes as it went");
        }
        assert_eq!(
            seen.headers.keys().filter(|name| name.as_str() == "traceparent").count(),
            usize::from(fields[0].0 == "traceparent")
        );
    }
    get(mesh.entrance("api"), "/begins").await;
    let seen = backend.seen().pop().unwrap();
    let spans = collector.trace(&part(&seen, "traceparent", 1), 2).await;
    assert_eq!(
        (part(&seen, "traceparent", 2), part(&seen, "traceparent", 3).as_str()),
        (spans[1].id(), "03")
    );
    assert_eq!((spans[0].parent(), spans[1].parent()), (String::new(), spans[0].id()));
    // Both sidecars tell in order: those before would have come by now.
    assert!(collector.told().iter().all(|told| told.attribute("url.path") == "/begins"));
}

#[tokio::test]
async fn as_many_traces_begin_as_the_ratio_says_and_each_is_whole() {
    const REQUESTS: usize = 400;
    let (collector, backend) = (Collector::start().await, Backend::healthy("api").await);
    let mesh = shop(&backend, Some(to(collector.address(), 0.5))).await;
    let mut connection = Connection::open(mesh.entrance("api"), Version::Http1).await.unwrap();
    for _ in 0..REQUESTS {
        connection.send(request(Method::GET, "/")).await.unwrap();
    }
    // Told after all others.
    connection.send(traced(TRACE)).await.unwrap();
    collector.trace(TRACE, 2).await;
    let told = collector.told();
    let of = |service: &str| {
        let mut traces: Vec<String> =
            told.iter().filter(|told| told.service == service).map(Told::trace_id).collect();
        traces.sort();
        traces
    };
    assert_eq!(of("web"), of("api"), "no trace has only one of two hops");
    // Ten deviations from what is expected.
    assert!((101..=301).contains(&of("web").len()), "{} of {REQUESTS}", of("web").len());
    let mut distinct = of("web");
    distinct.dedup();
    assert_eq!(distinct.len(), of("web").len(), "each has an id of its own");
}

#[tokio::test]
async fn without_a_collector_nothing_is_touched() {
    let backend = Backend::healthy("api").await;
    let mesh = shop(&backend, None).await;
    for (trace, words, read) in FORMATS {
        send(mesh.entrance("api"), with(&words(trace, SPAN))).await;
        assert_eq!(read(&backend.seen().pop().unwrap()), (trace.to_owned(), SPAN.to_owned()));
    }
    get(mesh.entrance("api"), "/").await;
    let seen = backend.seen().pop().unwrap();
    assert!(["traceparent", "b3", "x-b3-traceid"].iter().all(|name| !seen.headers.contains_key(*name)));
    assert_eq!(mesh.metrics("web-proxy").await.get(SPANS, &[]), None);
}

#[tokio::test]
async fn retries_and_faults_are_told_with_their_reasons() {
    let (collector, backend) = (Collector::start().await, Backend::healthy("api").await);
    let services = vec![Service::meshed("api", &[backend.address()]), Service::meshed("nobody", &[])];
    let retry = "http: [503]\nattempts: 2\nbackoff: { base: 1ms, max: 1ms }";
    let plan = Plan { tracing: Some(to(collector.address(), 0.0)), ..Plan::of(services) }
        .with("retry.yaml", manifest::policy("RetryPolicy", "api", retry));
    let mesh = Mesh::start(WEFT, &plan).await;

    backend.first([Reply::Status(503)]);
    let answer = send(mesh.entrance("api"), traced(TRACE)).await;
    assert_eq!(answer.status, StatusCode::OK);
    let spans = collector.trace(TRACE, 3).await;
    let [client, first, second] = spans.as_slice() else { panic!("{spans:?}") };
    assert_eq!(
        (client.attribute("http.request.resend_count"), client.attribute("error.type")),
        ("1".into(), String::new())
    );
    let [event] = client.span.events.as_slice() else { panic!("{client:?}") };
    assert_eq!(
        (event.name.as_str(), attribute(&event.attributes, "error.type").as_str()),
        ("weft.try.failed", "503")
    );
    for (server, status, error) in [(first, "503", "503"), (second, "200", "")] {
        assert_eq!(server.parent(), client.id());
        assert_eq!(server.attribute("http.response.status_code"), status);
        assert_eq!(server.attribute("error.type"), error);
    }

    let other = TRACE.replace('0', "1");
    let answer = send(mesh.entrance("nobody"), traced(&other)).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    let spans = collector.trace(&other, 1).await;
    assert_eq!(
        (spans[0].attribute("error.type"), spans[0].attribute("weft.fault")),
        ("no_endpoint".into(), "no_endpoint".into())
    );
    let status = spans[0].span.status.clone().unwrap();
    assert_eq!(status.code, 2);
    assert!(status.message.contains("endpoint"), "{}", status.message);
}

#[tokio::test]
async fn calls_of_grpc_and_copies_have_spans_too() {
    let (collector, twin) = (Collector::start().await, Backend::healthy("twin").await);
    let backend = Backend::start("api", Version::Http2, Reply::Grpc).await;
    let rules = "
- filters: [{ type: RequestMirror, requestMirror: { backendRef: { name: twin, port: 80 } } }]
  backendRefs: [{ name: api, port: 80 }]
";
    let services =
        vec![Service::meshed("api", &[backend.address()]), Service::meshed("twin", &[twin.address()])];
    let plan = Plan { tracing: Some(to(collector.address(), 0.0)), ..Plan::of(services) }
        .with("route.yaml", manifest::route("api", rules));
    let mesh = Mesh::start(WEFT, &plan).await;
    let mut call = traced(TRACE);
    *call.method_mut() = Method::POST;
    *call.uri_mut() = "/shop.v1.Carts/Get".parse().unwrap();
    let call = with_header(call, "content-type", "application/grpc");
    let mut connection = Connection::open(mesh.entrance("api"), Version::Http2).await.unwrap();
    assert_eq!(connection.send(call).await.unwrap().status, StatusCode::OK);

    let spans = collector.trace(TRACE, 4).await;
    let of = |service: &str, destination: &str| {
        let found =
            |told: &&Told| told.service == service && told.attribute("weft.destination") == destination;
        spans.iter().find(found).unwrap_or_else(|| panic!("{service} {destination}: {spans:?}"))
    };
    let original = of("web", "default/api:80");
    assert_eq!((original.parent().as_str(), original.span.name.as_str()), (SPAN, "shop.v1.Carts/Get"));
    assert_eq!(
        (original.attribute("rpc.grpc.status_code"), original.attribute("network.protocol.version")),
        ("0".into(), "2".into())
    );
    assert_eq!(of("api", "").parent(), original.id());
    let copy = of("web", "default/twin:80/mirror");
    assert_eq!((copy.parent(), of("twin", "").parent()), (original.id(), copy.id()));
}

#[tokio::test]
async fn a_collector_that_is_silent_costs_spans_that_are_counted_and_no_request() {
    let (collector, backend) = (Collector::start().await, Backend::healthy("api").await);
    let mut wire = Middlebox::start(port::free(), collector.address());
    wire.set(Line::Mute).await;
    let mesh = shop(&backend, Some(to(wire.address(), 0.0))).await;
    let mut connection = Connection::open(mesh.entrance("api"), Version::Http1).await.unwrap();
    let mut sent = 0;
    let counted = async |result: &str| mesh.metrics("web-proxy").await.count(SPANS, &[("result", result)]);
    // 2048 wait and 512 are on their way.
    while counted("dropped").await == 0 {
        assert!(sent < 10_000, "nothing is ever dropped");
        for _ in 0..250 {
            assert_eq!(connection.send(traced(TRACE)).await.unwrap().status, StatusCode::OK);
        }
        sent += 250;
    }
    assert!(sent > 2048, "{sent} were too few to fill the queue");
    wire.set(Line::Sound).await;
    until("what waited has been told", async || {
        let (exported, dropped) = (counted("exported").await, counted("dropped").await);
        (exported + dropped == sent).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_collector_that_was_away_is_told_when_it_is_back() {
    let (collector, backend) = (Collector::start().await, Backend::healthy("api").await);
    let mut wire = Middlebox::start(port::free(), collector.address());
    let mesh = shop(&backend, Some(to(wire.address(), 0.0))).await;
    for times in [1, 2] {
        wire.set(Line::Refused).await;
        let away = TRACE.replace('0', &times.to_string());
        send(mesh.entrance("api"), traced(&away)).await;
        until("the exporter has tried in vain", async || {
            (mesh.log("web-proxy").matches("does not take spans").count() == times).then_some(())
        })
        .await;
        wire.set(Line::Sound).await;
        collector.trace(&away, 2).await;
        // The answer must have come back too, or else the same spans are sent again.
        until("the exporter knows", async || {
            let exported = mesh.metrics("web-proxy").await.count(SPANS, &[("result", "exported")]);
            (exported == times as u64).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_sidecar_that_ends_tells_what_it_has() {
    let (collector, backend) = (Collector::start().await, Backend::healthy("api").await);
    let mesh = shop(&backend, Some(to(collector.address(), 0.0))).await;
    send(mesh.entrance("api"), traced(TRACE)).await;
    // Before the span has waited for others.
    mesh.signal("web-proxy", Signal::TERM);
    mesh.signal("api-0-proxy", Signal::TERM);
    collector.trace(TRACE, 2).await;
}

#[tokio::test]
async fn a_collector_behind_a_sidecar_is_told_by_mutual_tls() {
    let (collector, backend) = (Collector::start().await, Backend::healthy("api").await);
    let mut receiver = Service::meshed("collector", &[collector.address()]);
    receiver.app_protocol = Some("grpc");
    let on_the_way = port::free();
    let identity = Some(spiffe_id("collector"));
    let tracing = Tracing { endpoint: on_the_way.to_string(), identity, ratio: 0.0 };
    let services = vec![Service::meshed("api", &[backend.address()]), receiver];
    let mesh = Mesh::run(WEFT, &Plan { tracing: Some(tracing), ..Plan::of(services) }).await;
    let relay = Relay::start(on_the_way, mesh.inbound("collector-0")).await;
    send(mesh.entrance("api"), traced(TRACE)).await;
    let spans = collector.trace(TRACE, 2).await;
    assert_eq!(spans[1].parent(), spans[0].id());
    let copy = relay.copy();
    assert!(!copy.is_empty());
    assert!(!copy.windows(8).any(|bytes| bytes == b"url.path"), "nobody on the way can read it");
}
