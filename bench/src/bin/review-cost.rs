//! Prints what the webhook's answers cost, from the bytes of a review to those of its answer:
//! `cargo run --release -p weft-bench --bin review-cost`. What is long for an API server is a matter of pods that are no
//! everyday ones.

use std::error::Error;

use serde_json::{Value, json};
use weft_bench::measure::{Cost, measure};
use weft_injector::{Config, review::review};

/// The most that an API server takes for one object, in bytes.
const OBJECT_MAX: usize = 3 * 1024 * 1024;

fn main() -> Result<(), Box<dyn Error>> {
    let installation = Config::default().installation("weft-system")?;
    let mut large = pod(1);
    large["metadata"]["annotations"] = json!({ "example.com/large": "x".repeat(OBJECT_MAX) });
    let mut listed = pod(1);
    listed["metadata"]["labels"] = (0..100_000).map(|label| (format!("label-{label}"), json!("x"))).collect();
    let deep = asked(&pod(1)).replace("\"SPEC\"", &format!("{}{}", "[".repeat(1 << 20), "]".repeat(1 << 20)));
    println!("{:34}{:>12}{:>10}", "per review", "median ms", "best ms");
    for (name, body) in [
        ("one container", asked(&pod(1))),
        ("1,000 containers", asked(&pod(1_000))),
        ("an annotation of 3 MiB", asked(&large)),
        ("100,000 labels", asked(&listed)),
        ("nested 1,048,576 deep", deep),
        ("no object", asked(&Value::Null)),
        ("3 MiB that are no review", "[".repeat(OBJECT_MAX)),
    ] {
        let Cost { median, best } = measure(1, 1, |_| {
            // What is no review is refused, and that must be quick too.
            let _ = std::hint::black_box(review(body.as_bytes(), &installation));
        });
        println!("{name:34}{:>12.3}{:>10.3}", median / 1e6, best / 1e6);
    }
    Ok(())
}

fn pod(containers: usize) -> Value {
    let containers: Vec<Value> =
        (0..containers).map(|number| json!({ "name": format!("c{number}"), "image": "app" })).collect();
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": "api-0" },
        "spec": { "containers": containers, "affinity": "SPEC" },
    })
}

/// The review of a new pod.
fn asked(object: &Value) -> String {
    let review = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": { "group": "", "version": "v1", "kind": "Pod" },
            "resource": { "group": "", "version": "v1", "resource": "pods" },
            "namespace": "shop",
            "operation": "CREATE",
            "object": object,
        },
    });
    review.to_string()
}
