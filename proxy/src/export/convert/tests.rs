use std::{collections::BTreeMap, sync::Arc};

use http::Request;
use rand::{SeedableRng, rngs::SmallRng};

use super::*;
use crate::trace::{Begun, Counts, Sampler, Tracer, tests::span};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn begun(request: http::request::Builder) -> Begun {
    let (tracer, _) = Tracer::new(Sampler::new(1.0), &Counts::new().unwrap());
    let (parts, ()) = request.body(()).unwrap().into_parts();
    *tracer.begin(&parts, true, &mut SmallRng::seed_from_u64(1)).unwrap()
}

fn plain() -> Begun {
    begun(Request::get("/").header("traceparent", PARENT).header("tracestate", "a=1"))
}

fn grpc(code: Code) -> Begun {
    let mut begun = begun(Request::post("/").header("content-type", "application/grpc+proto"));
    begun.grpc_status = Some(code);
    begun
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<&str, String> {
    let text = |value: &KeyValue| match value.value.clone().unwrap().value.unwrap() {
        Value::String(text) => text,
        Value::Int(number) => number.to_string(),
    };
    attributes.iter().map(|one| (one.key.as_str(), text(one))).collect()
}

#[test]
fn a_resource_is_the_workload() {
    let mut workload = Workload {
        namespace: "shop".to_owned(),
        name: "api-6d5f-x2x".to_owned(),
        service_account: "default".to_owned(),
        service: None,
        zone: None,
    };
    let said = |workload: &Workload| texts(&resource(workload).attributes)["service.name"].clone();
    assert_eq!(said(&workload), "default");
    workload.service = Some("api".to_owned());
    assert_eq!(said(&workload), "api");
    let resource = resource(&workload);
    let texts = texts(&resource.attributes);
    assert_eq!((&*texts["service.namespace"], &*texts["service.instance.id"]), ("shop", "api-6d5f-x2x"));
}

#[test]
fn a_span_has_its_ids_its_times_and_the_names_of_the_conventions() {
    let mut told = span(Kind::Client, plain());
    told.endpoint = Some("10.1.2.3:8080".parse().unwrap());
    told.resends = 2;
    told.destination = Some(Arc::from("default/shop:80"));
    let failed = FailedTry {
        after: Duration::from_millis(2),
        fault: None,
        status: Some(503),
        endpoint: told.endpoint,
    };
    told.begun.tried(failed);
    let message = message(&told);
    assert_eq!(message.trace_id, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128.to_be_bytes());
    assert_eq!(message.parent_span_id, 0xb7ad_6b71_6920_3331_u64.to_be_bytes());
    assert_eq!((message.trace_state.as_str(), message.flags), ("a=1", 0x301));
    assert_eq!((message.name.as_str(), message.kind), ("GET", SpanKind::Client as i32));
    assert_eq!(message.start_time_unix_nano, 1_700_000_000_000_000_000);
    assert_eq!(message.end_time_unix_nano, 1_700_000_000_005_000_000);
    assert_eq!(message.status, None);
    let [event] = message.events.as_slice() else { panic!("{:?}", message.events) };
    assert_eq!(event.time_unix_nano, 1_700_000_000_002_000_000);
    assert_eq!(texts(&event.attributes)["error.type"], "503");
    let expected = [
        ("http.request.method", "GET"),
        ("http.request.resend_count", "2"),
        ("http.response.body.size", "3"),
        ("http.response.status_code", "200"),
        ("network.peer.address", "10.1.2.3"),
        ("network.peer.port", "8080"),
        ("network.protocol.version", "1.1"),
        ("server.address", "shop.test"),
        ("server.port", "8080"),
        ("url.full", "http://shop.test:8080/a/b"),
        ("url.path", "/a/b"),
        ("url.scheme", "http"),
        ("weft.destination", "default/shop:80"),
    ];
    assert_eq!(texts(&message.attributes), expected.map(|(name, text)| (name, text.to_owned())).into());
}

#[test]
fn a_server_tells_who_called() {
    let mut told = span(Kind::Server, begun(Request::get("/").header("user-agent", "curl")));
    told.caller = Some("10.1.2.3".parse().unwrap());
    // The application is no peer of the hop.
    told.endpoint = Some("127.0.0.1:80".parse().unwrap());
    told.peer = Some(Arc::from("spiffe://cluster.local/ns/a/sa/b"));
    let message = message(&told);
    assert_eq!((message.parent_span_id.len(), message.flags), (0, 0x103));
    let texts = texts(&message.attributes);
    assert_eq!(texts["client.address"], "10.1.2.3");
    assert_eq!(texts["network.peer.address"], "10.1.2.3");
    assert_eq!(texts["user_agent.original"], "curl");
    assert_eq!(texts["weft.peer.identity"], "spiffe://cluster.local/ns/a/sa/b");
    assert!(!texts.contains_key("url.full") && !texts.contains_key("network.peer.port"));
}

#[test]
fn methods_that_nobody_knows_do_not_become_names() {
    let mut told = span(Kind::Server, plain());
    told.method = Method::from_bytes(b"BREW").unwrap();
    let message = message(&told);
    let texts = texts(&message.attributes);
    assert_eq!(message.name, "HTTP");
    assert_eq!((&*texts["http.request.method"], &*texts["http.request.method_original"]), ("_OTHER", "BREW"));
}

#[test]
fn calls_of_grpc_are_named_by_what_is_called() {
    let mut told = span(Kind::Client, grpc(Code::NotFound));
    told.path = "/shop.v1.Carts/Get".to_owned();
    let message = message(&told);
    let texts = texts(&message.attributes);
    assert_eq!(message.name, "shop.v1.Carts/Get");
    assert_eq!(
        (&*texts["rpc.system"], &*texts["rpc.service"], &*texts["rpc.method"]),
        ("grpc", "shop.v1.Carts", "Get")
    );
    assert_eq!((&*texts["rpc.grpc.status_code"], &*texts["error.type"]), ("5", "NOT_FOUND"));
    told.path = format!("/{}/Get", "x".repeat(300));
    assert_eq!(super::message(&told).name, "GET");
}

#[test]
fn what_an_error_is_depends_on_who_looks() {
    type Case = (Begun, u16, Option<Fault>, Option<&'static str>, Option<&'static str>);
    let cases: [Case; 13] = [
        (plain(), 200, None, None, None),
        (plain(), 302, None, None, None),
        (plain(), 404, None, Some("404"), None),
        (plain(), 500, None, Some("500"), Some("500")),
        (plain(), 503, Some(Fault::NoEndpoint), Some("no_endpoint"), Some("no_endpoint")),
        (plain(), 403, Some(Fault::Denied), Some("denied"), None),
        (plain(), 200, Some(Fault::BodyBroken), Some("body_broken"), Some("body_broken")),
        (grpc(Code::Ok), 200, None, None, None),
        (grpc(Code::InvalidArgument), 200, None, Some("INVALID_ARGUMENT"), None),
        (grpc(Code::Unavailable), 200, None, Some("UNAVAILABLE"), Some("UNAVAILABLE")),
        (grpc(Code::Internal), 200, None, Some("INTERNAL"), Some("INTERNAL")),
        (grpc(Code::Unavailable), 200, Some(Fault::Injected), Some("fault_injected"), Some("fault_injected")),
        (grpc(Code::PermissionDenied), 200, Some(Fault::Denied), Some("denied"), None),
    ];
    for (begun, status, fault, of_client, of_server) in cases {
        let mut told = span(Kind::Client, begun);
        (told.status, told.fault) = (status, fault);
        for (kind, expected) in [(Kind::Client, of_client), (Kind::Server, of_server)] {
            told.kind = kind;
            let message = message(&told);
            let texts = texts(&message.attributes);
            assert_eq!(texts.get("error.type").map(String::as_str), expected, "{kind:?}: {status} {fault:?}");
            assert_eq!(
                message.status.is_some_and(|status| status.code == STATUS_CODE_ERROR),
                expected.is_some()
            );
            assert_eq!(texts.get("weft.fault").map(String::as_str), fault.map(Fault::flag));
        }
    }
}
