//! Connections that leave the pod.

use std::net::UdpSocket;

use socket2::SockRef;
use weft_tests::{
    namespace::{APP, FAR, NODE, POD},
    patience::PATIENCE,
};

use crate::{OUTBOUND, SIDECAR, address, at, is_direct, is_redirected, pod};

#[test]
fn root_what_the_application_connects_to_comes_to_the_sidecar() {
    let Some(pod) = pod("root_what_the_application_connects_to_comes_to_the_sidecar", &[]) else { return };
    let sidecar = pod.pod.listen(address(OUTBOUND));
    // Root is an application too. Ports of the sidecar are others' own ports elsewhere.
    for uid in [APP, 0] {
        for far in FAR {
            for port in [1, 80, 4140, 4143, 4191, 65535] {
                is_redirected(&pod.pod, uid, at(far, port), &sidecar);
            }
        }
    }
}

#[test]
fn root_a_listener_for_one_family_gets_its_own() {
    let Some(pod) = pod("root_a_listener_for_one_family_gets_its_own", &[]) else { return };
    let [v4, v6] = ["127.0.0.1:4140", "[::1]:4140"].map(|own| pod.pod.listen(address(own)));
    is_redirected(&pod.pod, APP, at(FAR[0], 80), &v4);
    is_redirected(&pod.pod, APP, at(FAR[1], 80), &v6);
}

#[test]
fn root_the_sidecar_s_own_connections_pass() {
    let Some(pod) = pod("root_the_sidecar_s_own_connections_pass", &[]) else { return };
    let sidecar = pod.pod.listen(address(OUTBOUND));
    for far in FAR {
        let server = pod.node.listen(at(far, 80));
        is_direct(&pod.pod, SIDECAR, at(far, 80), &server);
        is_redirected(&pod.pod, SIDECAR + 1, at(far, 80), &sidecar);
    }
}

#[test]
fn root_another_user_and_port_can_be_the_sidecar_s() {
    let flags = ["--proxy-uid", "3000", "--outbound-port", "5001"];
    let Some(pod) = pod("root_another_user_and_port_can_be_the_sidecar_s", &flags) else { return };
    let sidecar = pod.pod.listen(address("[::]:5001"));
    let server = pod.node.listen(at(NODE[0], 80));
    is_direct(&pod.pod, 3000, at(NODE[0], 80), &server);
    is_redirected(&pod.pod, SIDECAR, at(NODE[0], 80), &sidecar);
}

#[test]
fn root_skipped_ports_are_connected_to_directly() {
    let flags = ["--skip-outbound-ports", "7000,7100-7110"];
    let Some(pod) = pod("root_skipped_ports_are_connected_to_directly", &flags) else { return };
    let sidecar = pod.pod.listen(address(OUTBOUND));
    for far in &FAR[..2] {
        for port in [7000, 7100, 7105, 7110] {
            let server = pod.node.listen(at(far, port));
            is_direct(&pod.pod, APP, at(far, port), &server);
        }
        for port in [6999, 7001, 7099, 7111] {
            is_redirected(&pod.pod, APP, at(far, port), &sidecar);
        }
    }
}

#[test]
fn root_udp_is_left_alone() {
    let Some(pod) = pod("root_udp_is_left_alone", &[]) else { return };
    for (outside, inside) in NODE.into_iter().zip(POD) {
        let bind = |address| UdpSocket::bind(address).expect("the port is free");
        let server = pod.node.run(|| bind(at(outside, 53)));
        let client = pod.pod.run_as(APP, || bind(at(inside, 0)));
        for socket in [&server, &client] {
            SockRef::from(socket).set_read_timeout(Some(PATIENCE)).expect("a socket takes a time-out");
        }
        let mut buffer = [0; 8];
        client.send_to(b"question", at(outside, 53)).expect("a datagram leaves");
        let (_, peer) = server.recv_from(&mut buffer).expect("it arrives");
        assert_eq!(peer, client.local_addr().expect("a socket has an address"));
        // Unasked, so that no answer of the kernel's own lets it in.
        let other = pod.node.run(|| bind(at(outside, 0)));
        other.send_to(b"unasked!", peer).expect("a datagram leaves");
        let (_, from) = client.recv_from(&mut buffer).expect("it arrives");
        assert_eq!((from, &buffer), (other.local_addr().expect("a socket has an address"), b"unasked!"));
    }
}
