//! Whether the redirect is in force, as `weft-proxy init --verify` finds out with and without rights.

use weft_proxy::redirect;
use weft_tests::namespace::{APP, FAR, Namespace};

use crate::{OUTBOUND, SIDECAR, address, at, bare_pod, init, pod};

/// What `weft-proxy init --verify` says to `uid`.
fn verify(pod: &Namespace, uid: u32, flags: &[&str]) -> Result<String, String> {
    let flags = [&["--verify"], flags].concat();
    pod.run_as(uid, || redirect::init(&flags)).map_err(|error| error.to_string())
}

fn verify_as_root(pod: &Namespace, flags: &[&str]) -> Result<String, String> {
    let flags = [&["--verify"], flags].concat();
    pod.run(|| redirect::init(&flags)).map_err(|error| error.to_string())
}

fn contains(said: &str, named: &str) {
    assert!(said.contains(named), "`{named}` is not said: {said}");
}

#[test]
fn root_a_redirect_that_works_is_found_in_force() {
    let flags = ["--skip-outbound-ports", "80-90", "--skip-inbound-ports", "22"];
    let Some(pod) = pod("root_a_redirect_that_works_is_found_in_force", &flags) else { return };
    let seen = "connections to 192.0.2.1:91 and [2001:db8::1]:91 come to port 4140";
    let said = verify_as_root(&pod.pod, &flags).expect("it is in force");
    contains(&said, "its rules are the right ones");
    contains(&said, seen);
    let said = verify(&pod.pod, APP, &flags).expect("it is in force");
    contains(&said, "its rules cannot be read without NET_ADMIN");
    contains(&said, seen);
    // The sidecar has the port already.
    let _sidecar = pod.pod.listen(address(OUTBOUND));
    contains(&verify(&pod.pod, APP, &flags).expect("it is in force"), seen);
}

#[test]
fn root_a_redirect_that_is_missing_is_found_out() {
    let Some(pod) = bare_pod("root_a_redirect_that_is_missing_is_found_out") else { return };
    contains(&verify_as_root(&pod.pod, &[]).expect_err("there are no rules"), "there is no table inet weft");
    let error = verify(&pod.pod, APP, &[]).expect_err("nothing is redirected");
    contains(&error, "a connection to 192.0.2.1:80 did not come to port 4140");
    contains(&error, "CNI mode");
    // Somebody answers out there.
    let _answers = pod.node.listen(at(FAR[2], 80));
    contains(&verify(&pod.pod, APP, &[]).expect_err("nothing is redirected"), "192.0.2.1:80 did not come");
}

#[test]
fn root_half_a_redirect_is_found_out() {
    let Some(pod) = bare_pod("root_half_a_redirect_is_found_out") else { return };
    for (change, root_finds, user_finds) in [
        ("flush chain inet weft prerouting", "chain prerouting has 0 rules instead of 3", None),
        ("insert rule inet weft output tcp dport 1 accept", "rule 1 of chain output is not", None),
        ("add rule inet weft output tcp dport 1 drop", "chain output has 4 rules instead of 3", None),
        ("flush chain inet weft output", "chain output has 0 rules", Some("192.0.2.1:80 did not come")),
        (
            "insert rule inet weft output meta nfproto ipv6 accept",
            "rule 1 of chain output is not",
            Some("[2001:db8::1]:80 did not come"),
        ),
    ] {
        init(&pod, &[]);
        pod.pod.nft(&format!("{change}\n"));
        contains(&verify_as_root(&pod.pod, &[]).expect_err(change), root_finds);
        if let Some(found) = user_finds {
            contains(&verify(&pod.pod, APP, &[]).expect_err(change), found);
        }
    }
}

#[test]
fn root_another_redirect_is_found_out() {
    let Some(pod) = pod("root_another_redirect_is_found_out", &["--outbound-port", "5001"]) else { return };
    contains(&verify_as_root(&pod.pod, &[]).expect_err("the port is another"), "rule 3 of chain output");
    contains(&verify(&pod.pod, APP, &[]).expect_err("the port is another"), "did not come to port 4140");
}

#[test]
fn root_who_is_exempt_cannot_verify() {
    let Some(pod) = pod("root_who_is_exempt_cannot_verify", &[]) else { return };
    contains(&verify(&pod.pod, SIDECAR, &[]).expect_err("it proves nothing"), "another `runAsUser`");
}

#[test]
fn root_without_a_route_nothing_is_proved() {
    let Some(pod) = pod("root_without_a_route_nothing_is_proved", &[]) else { return };
    pod.pod.ip("route delete default");
    let said = verify(&pod.pod, APP, &[]).expect("one family is enough");
    contains(&said, "connections to [2001:db8::1]:80 come");
    pod.pod.ip("-6 route delete default");
    contains(&verify(&pod.pod, APP, &[]).expect_err("it proves nothing"), "has a route out of this pod");
}
