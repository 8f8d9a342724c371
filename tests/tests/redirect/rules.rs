//! The rules themselves: how they come, and that they stay.

use weft_proxy::redirect;
use weft_tests::namespace::{APP, FAR, POD};

use crate::{
    INBOUND, OUTBOUND, address, arrives, at, bare_pod, carries, init, is_direct, is_redirected, pod,
};

const FLAGS: [&str; 4] =
    ["--skip-inbound-ports", "22,9000-9010,8443", "--skip-outbound-ports", "25,587,3306-3307"];

#[test]
fn root_twice_is_the_same_as_once() {
    let Some(pod) = pod("root_twice_is_the_same_as_once", &FLAGS) else { return };
    let once = pod.pod.ruleset();
    init(&pod, &FLAGS);
    assert_eq!(pod.pod.ruleset(), once);
    init(&pod, &[]);
    assert_ne!(pod.pod.ruleset(), once);
    init(&pod, &FLAGS);
    assert_eq!(pod.pod.ruleset(), once);
}

#[test]
fn root_a_dry_run_prints_what_would_be_installed_and_changes_nothing() {
    let Some(pod) = bare_pod("root_a_dry_run_prints_what_would_be_installed_and_changes_nothing") else {
        return;
    };
    for flags in [&FLAGS[..], &[]] {
        let dry = [&["--dry-run"], flags].concat();
        let printed = pod.pod.run(|| redirect::init(&dry)).expect("a dry run needs nothing");
        assert_eq!(pod.pod.ruleset(), "");
        pod.pod.nft(&printed);
        let loaded = pod.pod.ruleset();
        init(&pod, flags);
        assert_eq!(pod.pod.ruleset(), loaded);
        pod.pod.nft("flush ruleset\n");
    }
}

#[test]
fn root_other_tables_are_not_touched() {
    let Some(pod) = bare_pod("root_other_tables_are_not_touched") else { return };
    pod.pod.nft(
        "table inet other { chain output { type filter hook output priority 0; tcp dport 1234 counter; }; }
         table ip weft { chain somebody { tcp dport 80 accept; }; }
        ",
    );
    let others = pod.pod.ruleset();
    init(&pod, &[]);
    let all = pod.pod.ruleset();
    assert!(all.starts_with(&others) && all.contains("table inet weft"), "{all}");
    pod.pod.nft("delete table inet weft\n");
    assert_eq!(pod.pod.ruleset(), others);
}

#[test]
fn root_what_was_in_our_table_before_is_gone() {
    let Some(pod) = bare_pod("root_what_was_in_our_table_before_is_gone") else { return };
    init(&pod, &[]);
    let clean = pod.pod.ruleset();
    pod.pod.nft("insert rule inet weft output accept\nadd chain inet weft mine\nadd set inet weft a { type inet_service; }\n");
    assert_ne!(pod.pod.ruleset(), clean);
    init(&pod, &[]);
    assert_eq!(pod.pod.ruleset(), clean);
}

#[test]
fn root_connections_outlive_another_init() {
    let Some(pod) = pod("root_connections_outlive_another_init", &[]) else { return };
    let outbound = pod.pod.listen(address(OUTBOUND));
    let inbound = pod.pod.listen(address(INBOUND));
    let _app = pod.pod.listen(at(POD[1], 80));
    let ways = [(&pod.pod, at(FAR[0], 80), &outbound), (&pod.node, at(POD[1], 80), &inbound)];
    let open = ways.map(|(from, to, listener)| {
        let stream = from.connect(APP, to).expect("a redirected connection is answered");
        (stream, listener.accept().expect("it arrives").0)
    });
    init(&pod, &FLAGS);
    for (stream, arrived) in &open {
        carries(stream, arrived);
    }
    drop(arrives(&pod.pod, APP, at(FAR[0], 80), &outbound));
}

#[test]
fn root_as_many_ports_as_there_may_be_are_skipped() {
    let ports = |first: u16| -> String {
        let ranges: Vec<String> =
            (0..64).map(|at| format!("{}-{}", first + at * 4, first + at * 4 + 1)).collect();
        ranges.join(",")
    };
    let (inbound, outbound) = (ports(10_000), ports(20_000));
    let flags = ["--skip-inbound-ports", inbound.as_str(), "--skip-outbound-ports", outbound.as_str()];
    let Some(pod) = pod("root_as_many_ports_as_there_may_be_are_skipped", &flags) else { return };
    let sidecar = pod.pod.listen(address(OUTBOUND));
    let last = 20_000 + 63 * 4;
    let server = pod.node.listen(at(FAR[0], last + 1));
    is_direct(&pod.pod, APP, at(FAR[0], last + 1), &server);
    is_redirected(&pod.pod, APP, at(FAR[0], last + 2), &sidecar);
}

#[test]
fn root_without_the_right_to_it_init_says_which_is_missing() {
    let Some(pod) = bare_pod("root_without_the_right_to_it_init_says_which_is_missing") else { return };
    let error = pod.pod.run_as(APP, || redirect::init(&[])).expect_err("users may not install rules");
    assert!(!error.is_usage());
    let said = error.to_string();
    for named in ["securityContext", "NET_ADMIN", "CNI mode"] {
        assert!(said.contains(named), "{named}: {said}");
    }
    assert_eq!(pod.pod.ruleset(), "");
}
