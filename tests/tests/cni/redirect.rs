//! What becomes of the connections of a pod whose network the real plugin was called for.
//!
//! All of it needs root, so each test passes as an empty shell, and says so, unless `WEFT_ROOT_TESTS=1` demands it.

use std::io::{self, Write};

use weft_cni::question::{Answer, Question};
use weft_proxy::redirect;
use weft_tests::{
    config,
    namespace::{APP, FAR, Pod},
};

use crate::{FakeAgent, Node, pod_of_the_mesh, result};

/// A pod without a redirect; `None` where tests must do without root.
fn pod(test: &str) -> Option<Pod> {
    if config::root_tests() {
        return Some(Pod::start());
    }
    // Past `eprintln!`, which the test harness keeps to itself where nothing fails.
    let told = writeln!(io::stderr(), "SKIPPED {test}: WEFT_ROOT_TESTS=1 demands it, and root");
    told.expect("stderr takes a line");
    None
}

fn redirects(flags: &[&str]) -> Answer {
    Answer::Redirect(flags.iter().map(|flag| (*flag).to_owned()).collect())
}

/// What the `weft-init` of the pod finds out with these flags, without any right.
fn verified(pod: &Pod, flags: &[&str]) -> Result<String, String> {
    pod.pod.run_as(APP, || redirect::init(flags)).map_err(|error| error.to_string())
}

#[tokio::test]
async fn root_a_pod_of_the_mesh_is_redirected_before_anything_of_it_runs() {
    let Some(pod) = pod("root_a_pod_of_the_mesh_is_redirected_before_anything_of_it_runs") else { return };
    let flags = ["--verify", "--skip-outbound-ports", "80-90", "--skip-inbound-ports", "22"];
    verified(&pod, &flags).expect_err("nothing is redirected yet");
    let agent = FakeAgent::start(redirects(&flags));
    let node = pod.node.ruleset();
    // The second time as after a failure of a plugin behind it.
    for _ in 0..2 {
        let called = agent.call("ADD", "shop", &pod.pod.path()).await;
        assert_eq!((called.success, called.printed), (true, result()));
        let asked = agent.asked.recv().expect("the agent was asked");
        let uid = Some("uid-of-api-0".to_owned());
        assert_eq!(asked, Question { namespace: "shop".to_owned(), pod: "api-0".to_owned(), uid });
    }
    let said = verified(&pod, &flags).expect("the redirect is in force");
    assert!(said.contains(&format!("connections to {}:91", FAR[2])), "{said}");
    assert_eq!(pod.node.ruleset(), node, "the node itself is redirected");
    let rules = pod.pod.ruleset();
    assert!(rules.contains("tcp dport 22 accept") && rules.contains("tcp dport 80-90 accept"), "{rules}");
}

#[tokio::test]
async fn root_a_redirect_that_was_changed_is_found_by_check() {
    let Some(pod) = pod("root_a_redirect_that_was_changed_is_found_by_check") else { return };
    let agent = FakeAgent::start(redirects(&["--verify"]));
    let called = agent.call("CHECK", "shop", &pod.pod.path()).await;
    let (code, said) = called.error();
    assert_eq!(code, 100);
    assert!(said.contains("shop/api-0") && said.contains("no table inet weft"), "{said}");
    assert!(agent.call("ADD", "shop", &pod.pod.path()).await.success);
    let called = agent.call("CHECK", "shop", &pod.pod.path()).await;
    assert!(called.success && called.printed.is_null(), "{called:?}");
    pod.pod.nft("flush chain inet weft output\n");
    let called = agent.call("CHECK", "shop", &pod.pod.path()).await;
    assert!(called.error().1.contains("chain output has 0 rules"), "{called:?}");
}

#[tokio::test]
async fn root_pods_that_are_not_of_the_mesh_are_left_as_they_are() {
    let Some(pod) = pod("root_pods_that_are_not_of_the_mesh_are_left_as_they_are") else { return };
    let called = FakeAgent::start(Answer::Pass).call("ADD", "shop", &pod.pod.path()).await;
    assert_eq!((called.success, called.printed), (true, result()));
    let excluded = FakeAgent::start(redirects(&["--verify"]));
    let called = excluded.call("ADD", "kube-system", &pod.pod.path()).await;
    assert_eq!((called.success, called.printed), (true, result()));
    assert!(
        excluded.asked.try_recv().is_err(),
        "it was asked about a namespace that keeps the cluster alive"
    );
    assert_eq!(pod.pod.ruleset(), "");
}

#[tokio::test]
async fn root_what_cannot_be_installed_fails_and_leaves_no_half_of_it() {
    let Some(pod) = pod("root_what_cannot_be_installed_fails_and_leaves_no_half_of_it") else { return };
    for (flags, said) in [
        (vec!["--verify", "--skip-inbound-ports", "4140"], "--skip-inbound-ports: 4140"),
        (vec!["--verify", "--flag-of-tomorrow"], "--flag-of-tomorrow"),
        // Each of these would let `init` do something else than install.
        (vec!["--verify", "--dry-run"], "exclude each other"),
        (vec!["--help"], "--verify is missing"),
        (vec![], "--verify is missing"),
    ] {
        let called = FakeAgent::start(redirects(&flags)).call("ADD", "shop", &pod.pod.path()).await;
        let (code, words) = called.error();
        assert_eq!(code, 100, "{flags:?}");
        assert!(words.contains("shop/api-0") && words.contains(said), "{flags:?}: {words}");
    }
    let failed = FakeAgent::start(Answer::Failed("the API server is away".to_owned()));
    let called = failed.call("ADD", "shop", &pod.pod.path()).await;
    assert_eq!(called.error(), (11, "whether this pod is of the mesh is not known: the API server is away"));
    assert_eq!(pod.pod.ruleset(), "");
}

#[tokio::test]
async fn root_the_agent_says_what_the_api_server_knows() {
    let Some(pod) = pod("root_the_agent_says_what_the_api_server_knows") else { return };
    let node = Node::ready().await;
    let flags = ["--verify", "--skip-inbound-ports", "22"];
    let path = "GET /api/v1/namespaces/shop/pods/api-0";
    node.api.answers(path, 200, pod_of_the_mesh("shop", "api-0", &flags));
    let called = node.call("ADD", "shop", "api-0", &pod.pod.path()).await;
    assert_eq!((called.success, called.printed), (true, result()));
    verified(&pod, &flags).expect("the redirect is in force");
}
