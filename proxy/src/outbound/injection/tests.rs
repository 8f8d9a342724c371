use std::{rc::Rc, task::Poll};

use http::{
    Request, StatusCode,
    header::{CONTENT_TYPE, HeaderValue},
};
use serde_json::{Value, json};
use tokio::{task::LocalSet, time::Instant as Clock};
use weft_api::{fault_injection::HELD_MAX, names::HEADER_FAULT};

use super::*;
use crate::telemetry::Direction;

const POLICY: &str = "shop/storm";

fn faults(spec: &Value) -> FaultInjection {
    FaultInjection::new(POLICY, &serde_json::from_value(spec.clone()).unwrap()).unwrap()
}

fn delay(duration: &str) -> FaultInjection {
    faults(&json!({ "delay": { "percent": 100, "duration": duration } }))
}

fn request(header: Option<(&'static str, &'static str)>) -> Parts {
    let (mut parts, ()) = Request::new(()).into_parts();
    if let Some((name, value)) = header {
        parts.headers.insert(name, HeaderValue::from_static(value));
    }
    parts
}

fn exchange(worker: &Rc<Worker>, request: &Parts) -> Box<Exchange> {
    Exchange::begin(worker, Direction::Outbound, request)
}

fn counted(worker: &Worker, injection: Injection) -> u64 {
    worker.shared.telemetry.deeds.counted(POLICY, Deed::Injected(injection))
}

/// What became of a request, and how long that took on a clock that stands still otherwise.
async fn injected(
    worker: &Rc<Worker>,
    faults: &FaultInjection,
    timeout: Option<Duration>,
    request: &Parts,
) -> (Result<Option<Response<Bytes>>, Fault>, Duration, Box<Exchange>) {
    let mut exchange = exchange(worker, request);
    let begin = Clock::now();
    let result = inject(worker, faults, timeout, &mut exchange, request).await;
    (result, begin.elapsed(), exchange)
}

#[tokio::test(start_paused = true)]
async fn a_request_is_held_for_as_long_as_the_policy_says_and_goes_on() {
    let test = async {
        let worker = Worker::for_tests();
        let (result, took, exchange) = injected(&worker, &delay("2s"), None, &request(None)).await;
        assert!(matches!(result, Ok(None)) && exchange.fault.is_none());
        assert_eq!(took.as_millis(), 2000);
        assert_eq!(exchange.injected.as_deref(), Some("held for 2s by FaultInjectionPolicy shop/storm"));
        assert_eq!((counted(&worker, Injection::Delay), worker.shared.held.in_flight()), (1, 0));
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test(start_paused = true)]
async fn no_request_is_held_beyond_its_deadline_whoever_set_it() {
    let test = async {
        let worker = Worker::for_tests();
        let told = request(Some(("x-envoy-expected-rq-timeout-ms", "3000")));
        let call = request(Some(("grpc-timeout", "3S")));
        let table = [(Some(Duration::from_secs(3)), &request(None)), (None, &told), (None, &call)];
        for (timeout, request) in table {
            let (result, took, _) = injected(&worker, &delay("5m"), timeout, request).await;
            assert!(matches!(result, Err(Fault::DeadlineExceeded)), "{request:?}");
            // What passed before it was held, on a clock that does not stand still, is not added to it.
            assert!((1..=3).contains(&took.as_secs()), "{took:?}");
            let (result, took, _) = injected(&worker, &delay("100ms"), timeout, request).await;
            assert!(matches!(result, Ok(None)) && took.as_millis() == 100, "{took:?}");
        }
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test(start_paused = true)]
async fn so_many_are_held_and_no_more_and_who_leaves_makes_room() {
    let test = async {
        let (worker, delay, request) = (Worker::for_tests(), delay("5m"), request(None));
        let mut exchanges: Vec<_> = (0..HELD_MAX).map(|_| exchange(&worker, &request)).collect();
        let mut held: Vec<_> = exchanges
            .iter_mut()
            .map(|exchange| Box::pin(inject(&worker, &delay, None, exchange, &request)))
            .collect();
        std::future::poll_fn(|context| {
            assert!(held.iter_mut().all(|one| one.as_mut().poll(context).is_pending()));
            Poll::Ready(())
        })
        .await;
        assert_eq!(worker.shared.held.in_flight(), HELD_MAX);
        let (result, took, exchange) = injected(&worker, &delay, None, &request).await;
        assert!(matches!(result, Ok(None)) && took.is_zero() && exchange.injected.is_none());
        assert_eq!(counted(&worker, Injection::Skipped), 1);
        held.pop();
        assert_eq!(worker.shared.held.in_flight(), HELD_MAX - 1);
        let (_, took, _) = injected(&worker, &delay, None, &request).await;
        assert_eq!(took.as_secs(), 300);
        drop(held);
        assert_eq!(worker.shared.held.in_flight(), 0);
        assert_eq!(counted(&worker, Injection::Delay), u64::from(HELD_MAX) + 1);
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_marked_and_of_the_protocol_of_who_asks() {
    let test = async {
        let worker = Worker::for_tests();
        let abort = json!({ "percent": 100, "httpStatus": 418, "grpcStatus": "DATA_LOSS" });
        let faults = faults(&json!({ "abort": abort, "delay": { "percent": 100, "duration": "1s" } }));
        let call = request(Some((CONTENT_TYPE.as_str(), "application/grpc")));
        for (request, status, code) in
            [(&request(None), StatusCode::IM_A_TEAPOT, None), (&call, StatusCode::OK, Some("15"))]
        {
            let (result, took, exchange) = injected(&worker, &faults, None, request).await;
            let response = result.unwrap().expect("it is answered");
            let code_of = response.headers().get("grpc-status").map(|code| code.to_str().unwrap());
            assert_eq!((response.status(), code_of), (status, code));
            assert_eq!(response.headers()[HEADER_FAULT], "fault_injected");
            assert_eq!((took.as_secs(), exchange.fault), (1, Some(Fault::Injected)), "first it is held");
            let words = "FaultInjectionPolicy shop/storm answers in place of the service";
            assert_eq!(exchange.words.as_deref(), Some(words));
        }
        assert_eq!(counted(&worker, Injection::Abort), 2);
    };
    LocalSet::new().run_until(test).await;
}
