//! The webhook as API servers see it: over TLS, with good reviews and with all that could come instead.
#![allow(clippy::unwrap_used, reason = "a test may end where something unexpected happens")]

#[path = "reviews/webhook.rs"]
mod webhook;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use weft_api::names::LABEL_INJECT;

use webhook::{Http, Webhook};

const UID: &str = "705ab4f5-6393-11e8-b7cc-42010a800002";

/// A review of a new pod with these containers.
fn review(object: &Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": UID,
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "name": "api-0",
            "namespace": "shop",
            "operation": "CREATE",
            "userInfo": {"username": "system:serviceaccount:kube-system:replicaset-controller"},
            "object": object,
            "oldObject": null,
            "dryRun": false,
            "options": {"apiVersion": "meta.k8s.io/v1", "kind": "CreateOptions"},
        },
    })
}

fn pod(containers: usize) -> Value {
    let containers: Vec<Value> =
        (0..containers).map(|index| json!({"name": format!("app-{index}"), "image": "app"})).collect();
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "api-0"}, "spec": {"containers": containers}})
}

fn patched(response: &Value) -> Vec<Value> {
    assert_eq!(response["patchType"], "JSONPatch");
    serde_json::from_slice(&STANDARD.decode(response["patch"].as_str().unwrap()).unwrap()).unwrap()
}

#[tokio::test]
async fn a_new_pod_gets_a_patch_over_either_version_of_http() {
    let webhook = Webhook::start().await;
    for http in [Http::One, Http::Two] {
        let mut client = webhook.connect(http).await;
        // Twice, since API servers keep their connections.
        for _ in 0..2 {
            let (status, answer) = client.post(&review(&pod(1)).to_string()).await;
            assert_eq!(status, StatusCode::OK);
            let answer: Value = serde_json::from_str(&answer).unwrap();
            assert_eq!(answer["apiVersion"], "admission.k8s.io/v1");
            assert_eq!(answer["kind"], "AdmissionReview");
            assert_eq!(answer["response"]["uid"], UID);
            assert_eq!(answer["response"]["allowed"], true);
            assert!(patched(&answer["response"]).iter().any(|add| add["path"] == "/spec/initContainers"));
        }
    }
    webhook.stop().await;
}

#[tokio::test]
async fn odd_reviews_get_an_answer_with_their_uid() {
    let webhook = Webhook::start().await;
    let mut client = webhook.connect(Http::Two).await;
    let with = |change: &dyn Fn(&mut Value)| {
        let mut review = review(&pod(1));
        change(&mut review);
        review
    };
    let huge = "x".repeat(3 * 1024 * 1024);
    // What is asked, and whether it is allowed.
    let cases: [(&str, Value, bool); 11] = [
        ("null object", review(&Value::Null), false),
        (
            "no object",
            with(&|review| drop(review["request"].as_object_mut().unwrap().remove("object"))),
            false,
        ),
        ("object of another shape", review(&json!([1, 2])), false),
        ("no containers", review(&pod(0)), false),
        (
            "containers of another type",
            review(&json!({"metadata": {}, "spec": {"containers": ["a"]}})),
            false,
        ),
        (
            "volumes of another type",
            with(&|review| review["request"]["object"]["spec"]["volumes"] = json!("a")),
            false,
        ),
        ("1,000 containers", review(&pod(1000)), true),
        (
            "a pod of 3 MiB",
            with(&|review| review["request"]["object"]["metadata"]["annotations"] = json!({"a": huge})),
            true,
        ),
        (
            "another resource",
            with(&|review| review["request"]["resource"]["resource"] = json!("services")),
            true,
        ),
        (
            "a subresource",
            with(&|review| review["request"]["subResource"] = json!("ephemeralcontainers")),
            true,
        ),
        (
            "a deletion",
            with(&|review| {
                review["request"]["operation"] = json!("DELETE");
                review["request"]["object"] = Value::Null;
            }),
            true,
        ),
    ];
    for (what, review, allowed) in cases {
        let (status, answer) = client.post(&review.to_string()).await;
        assert_eq!(status, StatusCode::OK, "{what}: {answer}");
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["response"]["uid"], UID, "{what}");
        assert_eq!(answer["response"]["allowed"], allowed, "{what}: {answer}");
        let message = answer["response"]["status"]["message"].as_str().unwrap_or_default();
        assert_eq!(message.is_empty(), allowed, "{what}: who is refused is told why");
    }
    // What is not looked at may be as deep as it likes.
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let review = with(&|review| review["request"]["object"]["spec"]["affinity"] = json!("HERE"));
    let (status, answer) = client.post(&review.to_string().replace("\"HERE\"", &deep)).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!((&answer["response"]["uid"], &answer["response"]["allowed"]), (&json!(UID), &json!(true)));
    webhook.stop().await;
}

#[tokio::test]
async fn what_is_no_review_is_a_bad_request() {
    let webhook = Webhook::start().await;
    let with = |change: &dyn Fn(&mut Value)| {
        let mut review = review(&pod(1));
        change(&mut review);
        review.to_string()
    };
    let deep = format!("{}{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
    let deep_label = with(&|review| {
        review["request"]["object"]["metadata"]["labels"] = json!({ LABEL_INJECT: "HERE" });
    });
    let deep_label = deep_label.replace("\"HERE\"", &deep);
    let cases = [
        ("no uid", with(&|review| drop(review["request"].as_object_mut().unwrap().remove("uid")))),
        ("empty uid", with(&|review| review["request"]["uid"] = json!(""))),
        ("uid of another type", with(&|review| review["request"]["uid"] = json!(1))),
        ("endless uid", with(&|review| review["request"]["uid"] = json!("u".repeat(10_000)))),
        ("no request", with(&|review| drop(review.as_object_mut().unwrap().remove("request")))),
        ("v1beta1", with(&|review| review["apiVersion"] = json!("admission.k8s.io/v1beta1"))),
        ("another kind", with(&|review| review["kind"] = json!("Pod"))),
        ("nothing", String::new()),
        ("no JSON", "kind: AdmissionReview".to_owned()),
        ("half of one", review(&pod(1)).to_string()[..200].to_owned()),
        ("nesting of 100,000", deep),
        ("a label with nesting of 100,000", deep_label),
    ];
    for http in [Http::One, Http::Two] {
        let mut client = webhook.connect(http).await;
        for (what, body) in &cases {
            let (status, text) = client.post(body).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{what}: {text}");
            assert!(!text.is_empty(), "{what}: a reason is given");
        }
        // And the same connection is as good as before.
        assert_eq!(client.post(&review(&pod(1)).to_string()).await.0, StatusCode::OK);
    }
    webhook.stop().await;
}

#[tokio::test]
async fn other_requests_get_the_status_that_says_why() {
    let webhook = Webhook::start().await;
    let good = review(&pod(1)).to_string();
    let cases = [
        (Method::GET, "/inject", "application/json", StatusCode::METHOD_NOT_ALLOWED),
        (Method::PUT, "/inject", "application/json", StatusCode::METHOD_NOT_ALLOWED),
        (Method::POST, "/", "application/json", StatusCode::NOT_FOUND),
        (Method::POST, "/inject/", "application/json", StatusCode::NOT_FOUND),
        (Method::POST, "/inject", "text/plain", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (Method::POST, "/inject", "", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (Method::POST, "/inject?timeout=5s", "Application/JSON; charset=utf-8", StatusCode::OK),
    ];
    for (method, path, media, expected) in cases {
        let mut client = webhook.connect(Http::Two).await;
        let (status, _) = client.send(method.clone(), path, media, good.clone()).await;
        assert_eq!(status, expected, "{method} {path} {media}");
    }
    webhook.stop().await;
}

#[tokio::test]
async fn a_body_beyond_the_bound_is_refused_whether_or_not_it_says_its_length() {
    let webhook = Webhook::start().await;
    let body = " ".repeat(9 * 1024 * 1024);
    let mut client = webhook.connect(Http::Two).await;
    assert_eq!(client.post(&body).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(client.post_in_pieces(&body).await, StatusCode::PAYLOAD_TOO_LARGE);
    webhook.stop().await;
}

#[tokio::test]
async fn what_is_in_flight_is_answered_after_the_end_has_begun() {
    let webhook = Webhook::start().await;
    let mut client = webhook.connect(Http::Two).await;
    let body = review(&pod(1)).to_string();
    let (first, second) = body.split_at(body.len() / 2);
    let mut begun = client.begin(first).await;
    webhook.drain();
    // Those who have not heard of it yet are still let in.
    let mut late = webhook.connect(Http::One).await;
    assert_eq!(late.post(&body).await.0, StatusCode::OK);
    begun.send(second).await;
    assert_eq!(begun.status().await, StatusCode::OK);
    // The connections are still open: they are ended from the other side.
    webhook.ended().await;
}
