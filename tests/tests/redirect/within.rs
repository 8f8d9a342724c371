//! Connections of a pod to itself.

use weft_proxy::redirect::original_destination;
use weft_tests::namespace::{APP, NODE, POD};

use crate::{INBOUND, OUTBOUND, SIDECAR, address, at, carries, is_direct, is_redirected, pod};

#[test]
fn root_loopback_and_own_addresses_are_left_alone() {
    let Some(pod) = pod("root_loopback_and_own_addresses_are_left_alone", &[]) else { return };
    let _sidecar = [OUTBOUND, INBOUND].map(|own| pod.pod.listen(address(own)));
    let app = pod.pod.listen(address("[::]:8080"));
    // The sidecar reaches its application so, by whichever address.
    for uid in [APP, SIDECAR] {
        for own in ["127.0.0.1", "127.0.0.2", "::1", POD[0], POD[1]] {
            is_direct(&pod.pod, uid, at(own, 8080), &app);
        }
    }
}

#[test]
fn root_who_calls_the_sidecar_from_within_is_found_out() {
    let Some(pod) = pod("root_who_calls_the_sidecar_from_within_is_found_out", &[]) else { return };
    for port in [4140, 4143] {
        let sidecar = pod.pod.listen(at("::", port));
        for own in ["127.0.0.1", "::1", POD[0], POD[1]] {
            is_direct(&pod.pod, APP, at(own, port), &sidecar);
        }
    }
}

/// The node leads the address of a Service to a pod, as kube-proxy does, and here to the very pod that calls.
#[test]
fn root_a_service_that_leads_back_comes_in_through_the_sidecar() {
    let Some(pod) = pod("root_a_service_that_leads_back_comes_in_through_the_sidecar", &[]) else { return };
    let service = at("10.96.0.10", 80);
    pod.node.sysctl("ipv4/ip_forward", "1");
    pod.node.nft(&format!(
        "table ip services {{
            chain prerouting {{
                type nat hook prerouting priority -100;
                ip daddr 10.96.0.10 tcp dport 80 dnat to {}:8080
            }}
            chain postrouting {{
                type nat hook postrouting priority 100;
                ip saddr {} masquerade
            }}
        }}
        ",
        POD[0], POD[0]
    ));
    let outbound = pod.pod.listen(address(OUTBOUND));
    let inbound = pod.pod.listen(address(INBOUND));
    let _app = pod.pod.listen(address("[::]:8080"));
    is_redirected(&pod.pod, APP, service, &outbound);

    let stream = pod.pod.connect(SIDECAR, service).expect("the node leads back");
    let (arrived, peer) = inbound.accept().expect("it comes in through the sidecar");
    assert_eq!(peer.ip().to_canonical(), at(NODE[0], 0).ip(), "the node hides who calls");
    assert_eq!(original_destination(&arrived).expect("it was redirected"), at(POD[0], 8080));
    carries(&stream, &arrived);
}
