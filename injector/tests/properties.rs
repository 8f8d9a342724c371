//! Whatever pod comes: what is patched is the pod as it was, plus our parts.
#![allow(clippy::unwrap_used, reason = "a test may end where something unexpected happens")]

use base64::{Engine as _, engine::general_purpose::STANDARD};
use proptest::{collection::vec, option, prelude::*};
use serde_json::{Map, Value, json};
use weft_injector::{
    Config,
    decide::{Decision, Skip, decide},
    manifest,
    patch::{apply, patch},
    review::review,
};

/// Names that need escaping in JSON Pointers, and others.
fn name() -> impl Strategy<Value = String> {
    "[a-z~/.-]{1,8}"
}

/// Fields that no version of Kubernetes has.
fn extra() -> impl Strategy<Value = Map<String, Value>> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((name(), inner), 0..4).prop_map(object)
        ]
    });
    vec((name().prop_map(|name| format!("x{name}")), value), 0..3)
        .prop_map(|fields| fields.into_iter().collect())
}

fn object(fields: Vec<(String, Value)>) -> Value {
    Value::Object(fields.into_iter().collect())
}

fn container() -> impl Strategy<Value = Value> {
    let mounts = option::of(vec(prop_oneof!["/var/log", "/data", "/var/log/app/"], 0..2));
    (name(), extra(), mounts).prop_map(|(name, mut fields, mounts)| {
        fields.insert("name".to_owned(), json!(format!("app{name}")));
        if let Some(mounts) = mounts {
            let mounts: Vec<Value> = mounts
                .iter()
                .map(|path| json!({"name": "shared", "mountPath": path, "subPath": path}))
                .collect();
            fields.insert("volumeMounts".to_owned(), json!(mounts));
        }
        Value::Object(fields)
    })
}

fn list(item: impl Strategy<Value = Value> + 'static) -> impl Strategy<Value = Option<Value>> {
    let item = item.boxed();
    prop_oneof![Just(None), Just(Some(Value::Null)), vec(item, 0..4).prop_map(|items| Some(json!(items)))]
}

fn annotations() -> impl Strategy<Value = Option<Value>> {
    let known = option::of(prop_oneof![
        Just(("weft.dev/native-sidecar", "false")),
        Just(("weft.dev/log-files", "/var/log/app/a.log,/opt/b/c$(X).log")),
        Just(("weft.dev/skip-inbound-ports", "22,80-90")),
    ]);
    (any::<bool>(), vec((name(), "\\PC{0,8}"), 0..3), known, any::<bool>()).prop_map(
        |(none, others, known, native)| {
            if none {
                return None;
            }
            let mut all: Map<String, Value> =
                others.into_iter().map(|(name, value)| (name, json!(value))).collect();
            if !native {
                all.insert("weft.dev/native-sidecar".to_owned(), json!("false"));
            }
            all.extend(known.map(|(name, value)| (name.to_owned(), json!(value))));
            Some(Value::Object(all))
        },
    )
}

fn pod() -> impl Strategy<Value = Value> {
    let spec = (
        extra(),
        vec(container(), 1..4),
        list(container()),
        list(name().prop_map(|name| json!({"name": name}))),
    );
    (extra(), spec, annotations()).prop_map(
        |(mut metadata, (mut spec, containers, init, volumes), annotations)| {
            metadata.extend(annotations.map(|all| ("annotations".to_owned(), all)));
            spec.insert("containers".to_owned(), json!(containers));
            spec.extend(init.map(|init| ("initContainers".to_owned(), init)));
            spec.extend(volumes.map(|volumes| ("volumes".to_owned(), volumes)));
            json!({"metadata": metadata, "spec": spec})
        },
    )
}

/// `pod` without what the mesh added; lists and maps that it made are left empty.
fn without_ours(mut pod: Value) -> Value {
    let is_ours = |item: &Value| item["name"].as_str().is_some_and(|name| name.starts_with("weft-"));
    for path in ["/spec/volumes", "/spec/initContainers", "/spec/containers"] {
        if let Some(items) = pod.pointer_mut(path).and_then(Value::as_array_mut) {
            items.retain(|item| !is_ours(item));
        }
    }
    for container in pod["spec"]["containers"].as_array_mut().unwrap() {
        if let Some(mounts) = container.get_mut("volumeMounts").and_then(Value::as_array_mut) {
            mounts.retain(|mount| !is_ours(mount));
        }
    }
    if let Some(all) = pod.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        all.remove("kubectl.kubernetes.io/default-container");
    }
    pod
}

/// Absent, null and empty are the same for the lists that we add to.
fn normal(mut pod: Value) -> Value {
    let is_empty = |value: &Value| {
        value.is_null()
            || value.as_array().is_some_and(Vec::is_empty)
            || value.as_object().is_some_and(Map::is_empty)
    };
    let drop_empty = |owner: &mut Value, name: &str| {
        if owner.get(name).is_some_and(is_empty) {
            owner.as_object_mut().unwrap().remove(name);
        }
    };
    drop_empty(&mut pod["metadata"], "annotations");
    drop_empty(&mut pod["spec"], "volumes");
    drop_empty(&mut pod["spec"], "initContainers");
    for container in pod["spec"]["containers"].as_array_mut().unwrap() {
        drop_empty(container, "volumeMounts");
    }
    pod
}

fn names(pod: &Value, list: &str) -> Vec<String> {
    let items = pod["spec"][list].as_array().cloned().unwrap_or_default();
    items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
}

/// A review of a new pod.
fn in_review(pod: &Value) -> Vec<u8> {
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {"uid": "u-1", "namespace": "shop", "operation": "CREATE",
                    "resource": {"group": "", "version": "v1", "resource": "pods"}, "object": pod},
    });
    review.to_string().into_bytes()
}

fn anything() -> impl Strategy<Value = Value> {
    prop_oneof![
        extra().prop_map(Value::Object),
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
        Just(json!([])),
        Just(json!([null, 1, {}, []])),
    ]
}

/// A value of JSON in place of another, somewhere in `value`.
fn replaced(value: &mut Value, steps: &[usize], by: &Value) {
    let next = match (value, steps) {
        (Value::Array(items), [step, ..]) if !items.is_empty() => {
            let index = step % items.len();
            &mut items[index]
        }
        (Value::Object(fields), [step, ..]) if !fields.is_empty() => {
            let index = step % fields.len();
            fields.values_mut().nth(index).unwrap()
        }
        // The end of the way, or of the value.
        (value, _) => return *value = by.clone(),
    };
    replaced(next, &steps[1..], by);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn a_patched_pod_is_the_pod_plus_our_parts(pod in pod()) {
        let installation = Config::default().installation("weft-system").unwrap();
        let Decision::Inject(plan) = decide(&pod, "shop", &installation).decision else {
            // Two containers with different mounts of the log's directory.
            return Ok(());
        };
        let adds = patch(&pod, &plan, &installation);
        let mut patched = pod.clone();
        prop_assert!(apply(&mut patched, &adds));
        prop_assert_eq!(normal(without_ours(patched.clone())), normal(pod.clone()));

        let mut theirs = pod.clone();
        let same: json_patch::Patch = serde_json::from_value(json!(adds)).unwrap();
        json_patch::patch(&mut theirs, &same).unwrap();
        prop_assert_eq!(&theirs, &patched);

        // The webhook reads less of a pod, to the same effect.
        let answer = review(&in_review(&pod), &installation).unwrap();
        let answer: Value = serde_json::from_slice(&answer.body).unwrap();
        let bytes = STANDARD.decode(answer["response"]["patch"].as_str().unwrap()).unwrap();
        prop_assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap(), json!(adds));

        let (init, containers) = (names(&patched, "initContainers"), names(&patched, "containers"));
        if plan.settings.native {
            prop_assert_eq!(&init[..2], ["weft-init", "weft-proxy"]);
        } else {
            prop_assert_eq!(init.last().unwrap(), "weft-init");
            prop_assert_eq!(&containers[0], "weft-proxy");
        }
        prop_assert_eq!(decide(&patched, "shop", &installation).decision, Decision::Skip(Skip::Injected));
    }

    #[test]
    fn a_review_with_anything_in_it_is_answered_or_refused(
        pod in pod(),
        steps in vec(0..8_usize, 0..7),
        by in anything(),
    ) {
        let installation = Config::default().installation("weft-system").unwrap();
        let mut question: Value = serde_json::from_slice(&in_review(&pod)).unwrap();
        replaced(&mut question, &steps, &by);
        if let Ok(answer) = review(question.to_string().as_bytes(), &installation) {
            let answer: Value = serde_json::from_slice(&answer.body).unwrap();
            prop_assert_eq!(&answer["response"]["uid"], &question["request"]["uid"]);
        }
    }

    #[test]
    fn bytes_are_answered_or_refused(bytes in vec(any::<u8>(), 0..256), text in "\\PC{0,64}") {
        let installation = Config::default().installation("weft-system").unwrap();
        prop_assert!(review(&bytes, &installation).is_err());
        let _ = manifest::read(&text);
    }
}
