//! Connections that come into the pod.

use std::{io, net::SocketAddr};

use weft_tests::namespace::{APP, POD, Pod};

use crate::{INBOUND, OUTBOUND, address, at, is_direct, is_redirected, pod};

#[test]
fn root_what_others_connect_to_comes_to_the_sidecar() {
    let Some(pod) = pod("root_what_others_connect_to_comes_to_the_sidecar", &[]) else { return };
    let sidecar = pod.pod.listen(address(INBOUND));
    for own in POD {
        // On one address and on all.
        for app in [at(own, 1), at(own, 65535), address("[::]:8080")] {
            let _app = pod.pod.listen(app);
            is_redirected(&pod.node, APP, at(own, app.port()), &sidecar);
        }
    }
}

#[test]
fn root_where_nobody_listens_others_are_refused() {
    let Some(pod) = pod("root_where_nobody_listens_others_are_refused", &[]) else { return };
    let sidecar = pod.pod.listen(address(INBOUND));
    let _local = pod.pod.listen(address("127.0.0.1:8081"));
    for own in POD {
        is_refused(&pod, at(own, 8080));
        is_refused(&pod, at(own, 8081));
        let app = pod.pod.listen(at(own, 8080));
        is_redirected(&pod.node, APP, at(own, 8080), &sidecar);
        drop(app);
        is_refused(&pod, at(own, 8080));
    }
}

/// A connection from outside to `to` meets nobody.
fn is_refused(pod: &Pod, to: SocketAddr) {
    let error = pod.node.connect(APP, to).expect_err("nobody listens");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused, "{to}: {error}");
}

#[test]
fn root_metrics_and_health_are_reached_directly() {
    let Some(pod) = pod("root_metrics_and_health_are_reached_directly", &[]) else { return };
    let admin = pod.pod.listen(address("[::]:4191"));
    for own in POD {
        is_direct(&pod.node, APP, at(own, 4191), &admin);
    }
}

#[test]
fn root_the_way_out_is_closed_to_others() {
    let Some(pod) = pod("root_the_way_out_is_closed_to_others", &[]) else { return };
    let inbound = pod.pod.listen(address(INBOUND));
    let _outbound = pod.pod.listen(address(OUTBOUND));
    let _debug = pod.pod.listen(address("127.0.0.1:4192"));
    for own in POD {
        is_redirected(&pod.node, APP, at(own, 4140), &inbound);
        is_refused(&pod, at(own, 4192));
    }
}

#[test]
fn root_who_calls_the_sidecar_s_port_itself_is_found_out() {
    let Some(pod) = pod("root_who_calls_the_sidecar_s_port_itself_is_found_out", &[]) else { return };
    let sidecar = pod.pod.listen(address(INBOUND));
    for own in POD {
        is_direct(&pod.node, APP, at(own, 4143), &sidecar);
    }
}

#[test]
fn root_skipped_ports_are_reached_directly() {
    let flags = ["--skip-inbound-ports=22,9000-9010", "--inbound-port=5000"];
    let Some(pod) = pod("root_skipped_ports_are_reached_directly", &flags) else { return };
    let sidecar = pod.pod.listen(address("[::]:5000"));
    for own in POD {
        for port in [22, 9000, 9005, 9010] {
            let app = pod.pod.listen(at(own, port));
            is_direct(&pod.node, APP, at(own, port), &app);
        }
        for port in [21, 23, 8999, 9011, 4143] {
            let _app = pod.pod.listen(at(own, port));
            is_redirected(&pod.node, APP, at(own, port), &sidecar);
        }
    }
}
