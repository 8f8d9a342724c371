use std::net::Ipv4Addr;

use weft_api::{
    bootstrap::AccessLog,
    object::Metadata,
    telemetry::Tracing,
    workload::{self, Mtls},
};

use super::*;

fn address(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn tracing() -> Tracing {
    Tracing { endpoint: "127.0.0.1:4317".to_owned(), identity: None, ratio: 1.0 }
}

fn workload(namespace: &str) -> Object<WorkloadSpec> {
    Object {
        metadata: Metadata::named(namespace, "frontend"),
        spec: WorkloadSpec {
            service_account: None,
            zone: Some("a".to_owned()),
            inbound: vec![workload::Inbound {
                port: 8443,
                address: Ipv4Addr::UNSPECIFIED.into(),
                app: address(4200),
                mtls: Mtls::Permissive,
                app_protocol: None,
            }],
            outbound: vec![workload::Outbound {
                listen: address(8888),
                service: "feelgood-api".to_owned(),
                namespace: None,
                port: 80,
            }],
            admin: address(15191),
            memory_limit: Some(weft_api::Bytes::mebi(64)),
            access_log: AccessLog::All,
            tracing: Some(tracing()),
        },
    }
}

fn sidecar(namespace: &str) -> Sidecar {
    let surroundings =
        Surroundings { control_plane: address(15012), trust_bundle: PathBuf::from("bundle.pem") };
    Sidecar::new(&workload(namespace), Path::new("token"), &surroundings)
}

#[test]
fn a_sidecar_is_told_what_its_workload_says() {
    let Bootstrap { workload, control_plane, inbound, outbound, admin, access_log, tracing: told, .. } =
        sidecar("shop").bootstrap;
    assert_eq!((workload.namespace.as_str(), workload.service_account.as_str()), ("shop", "frontend"));
    assert_eq!(workload.zone(), Some("a"));
    assert_eq!(control_plane.identity, "spiffe://cluster.local/ns/weft-system/sa/weft-control-plane");
    assert_eq!(control_plane.address, "127.0.0.1:15012");
    assert_eq!(inbound, [Inbound { listen: "0.0.0.0:8443".parse().unwrap(), app: address(4200) }]);
    let target = "feelgood-api.shop.svc.cluster.local:80".to_owned();
    assert_eq!(outbound, [Outbound { listen: address(8888), target }]);
    assert_eq!((admin, access_log, told), (address(15191), AccessLog::All, Some(tracing())));
}

#[test]
fn every_listener_is_known_with_the_field_that_sets_it() {
    let fields: Vec<_> =
        sidecar("default").listeners().into_iter().map(|one| (one.address.port(), one.field)).collect();
    let expected = [(8443, "spec.inbound[0].port"), (8888, "spec.outbound[0].listen"), (15191, "spec.admin")];
    assert_eq!(fields, expected.map(|(port, field)| (port, field.to_owned())));
}

#[test]
fn the_default_namespace_is_not_mentioned() {
    assert_eq!(sidecar("default").process(), "frontend-proxy");
    assert_eq!(sidecar("shop").process(), "shop.frontend-proxy");
}
