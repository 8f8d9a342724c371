//! The life of a release: installed without values, tested by itself, removed without a trace that hurts.

use std::time::{Duration, Instant};

use crate::{CHART, MESH, bare_turn, cluster, helm, install, skipped, turn, uninstall, upgrade};

/// How long it may take from `helm install` until all is ready, where nodes have the images.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// What somebody wrote down, and must not lose.
const POLICY: &str = "
apiVersion: policy.weft.dev/v1alpha1
kind: RetryPolicy
metadata: {name: kept, namespace: default}
spec:
  targetRefs: [{group: '', kind: Service, name: kubernetes}]
  attempts: 2
";

#[test]
fn without_values_all_is_ready_in_time_and_what_is_removed_takes_no_policy_with_it() {
    let Some(_turn) =
        bare_turn("release::without_values_all_is_ready_in_time_and_what_is_removed_takes_no_policy_with_it")
    else {
        return;
    };
    if cluster().is_given() {
        return skipped("the mesh of somebody else's cluster is not for tests to remove");
    }
    uninstall();
    let began = Instant::now();
    upgrade(&[]);
    let took = began.elapsed();
    assert!(took <= READY_WITHIN, "it took {took:?} until all was ready");
    let webhook = "mutatingwebhookconfiguration/weft-injector";
    cluster().kubectl(&["get", webhook]).unwrap();
    cluster().apply(POLICY).unwrap();

    uninstall();
    let gone = cluster().kubectl(&["get", webhook]).unwrap_err();
    assert!(format!("{gone:#}").contains("not found"), "{gone:#}");
    let kept = cluster().kubectl(&["get", "retrypolicy", "-n", "default", "kept", "-o", "name"]);
    assert_eq!(kept.unwrap().trim(), "retrypolicy.policy.weft.dev/kept");

    // Installed again it finds the kinds, and whoever it was before.
    let authority = ["get", "secret", "-n", MESH, "weft-identity", "-o", "jsonpath={.data}"];
    let before = cluster().kubectl(&authority).unwrap();
    install();
    assert_eq!(before, cluster().kubectl(&authority).unwrap());
    cluster().kubectl(&["delete", "retrypolicy", "-n", "default", "kept"]).unwrap();
}

#[test]
fn a_release_tests_itself() {
    let Some(_turn) = turn("release::a_release_tests_itself") else { return };
    let told = helm(&["test", "weft", "--namespace", MESH, "--timeout", "120s"]).unwrap_or_else(|error| {
        let pods = cluster().kubectl(&["describe", "pods", "--namespace", &format!("{MESH}-test")]);
        panic!("{error}\n{}", pods.unwrap_or_default());
    });
    assert!(told.contains("Phase:          Succeeded"), "{told}");
}

#[test]
fn a_release_is_not_upgraded_to_values_that_cannot_be() {
    let Some(_turn) = turn("release::a_release_is_not_upgraded_to_values_that_cannot_be") else { return };
    let revision = || helm(&["history", "weft", "--namespace", MESH, "--output", "json"]).unwrap();
    let before = revision();
    for (value, said) in [("injektor.replicas=3", "injektor"), ("injector.replicas=0", "/injector/replicas")]
    {
        let error = helm(&["upgrade", "weft", CHART, "--namespace", MESH, "--set", value]).unwrap_err();
        assert!(error.contains(said), "{value}: {error}");
    }
    assert_eq!(before, revision());
}

#[test]
fn the_charts_are_in_order() {
    if bare_turn("release::the_charts_are_in_order").is_none() {
        return;
    }
    for chart in [CHART.to_owned(), format!("{CHART}-crds")] {
        let told = helm(&["lint", "--strict", &chart]).unwrap_or_else(|error| panic!("{error}"));
        assert!(told.contains("0 chart(s) failed"), "{told}");
    }
}
