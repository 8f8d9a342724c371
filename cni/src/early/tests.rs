use serde_json::json;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

/// A pod of the mesh that the kubelet began with at `started`, and whose `weft-init` is in `state`.
fn pod(name: &str, started: Timestamp, state: &Value) -> Value {
    json!({
        "metadata": {"namespace": "shop", "name": name, "uid": format!("uid-of-{name}")},
        "spec": {"initContainers": [{"name": "weft-init", "args": ["init", "--verify"]}]},
        "status": {
            "phase": "Pending",
            "startTime": started.to_string(),
            "initContainerStatuses": [{"name": "weft-init", "state": state}],
        },
    })
}

fn failed() -> Value {
    json!({"terminated": {"exitCode": 1}})
}

fn found(early: &mut Early, now: Timestamp, pods: &[Value]) -> Vec<String> {
    early.failed(&json!({"items": pods}), now).into_iter().map(|pod| pod.name).collect()
}

#[test]
fn a_pod_that_came_too_early_and_failed_is_found() {
    let mut early = Early::default();
    early.placed(at(100));
    let mut waits = pod("waits", at(90), &json!({"waiting": {"reason": "CrashLoopBackOff"}}));
    waits["status"]["initContainerStatuses"][0]["lastState"] = failed();
    let pods = [pod("failed", at(99), &failed()), waits];
    assert_eq!(found(&mut early, at(105), &pods), ["failed", "waits"]);
}

#[test]
fn a_pod_that_came_later_is_never_found_so_nothing_is_deleted_over_and_over() {
    let mut early = Early::default();
    early.placed(at(100));
    assert_eq!(found(&mut early, at(200), &[pod("later", at(111), &failed())]), [""; 0]);
}

#[test]
fn without_a_moment_nothing_is_found() {
    let mut early = Early::default();
    assert!(!early.expects_any());
    assert_eq!(found(&mut early, at(100), &[pod("failed", at(1), &failed())]), [""; 0]);
}

#[test]
fn who_may_still_succeed_is_waited_for_and_then_all_is_done() {
    let mut early = Early::default();
    early.placed(at(100));
    let pulls = pod("pulls", at(99), &json!({"waiting": {"reason": "PodInitializing"}}));
    for now in [101, 500] {
        assert_eq!(found(&mut early, at(now), std::slice::from_ref(&pulls)), [""; 0]);
        assert!(early.expects_any(), "it may fail yet");
    }
    let stranger = json!({"metadata": {"name": "other"}, "status": {"startTime": at(1).to_string()}});
    assert_eq!(found(&mut early, at(105), std::slice::from_ref(&stranger)), [""; 0]);
    assert!(early.expects_any(), "runtimes may not have noticed the list yet");
    assert_eq!(found(&mut early, at(500), &[stranger]), [""; 0]);
    assert!(!early.expects_any());
}

#[test]
fn a_list_that_is_none_is_an_empty_one() {
    let mut early = Early::default();
    early.placed(at(100));
    for list in [json!(null), json!({"items": 1}), json!({"items": [1, {"status": {"startTime": "now"}}]})] {
        assert_eq!(early.failed(&list, at(105)), []);
    }
}
