use super::*;
use crate::{cluster::Cluster, listener::Listener};

#[test]
fn what_was_packed_is_unpacked() {
    let cluster = Cluster { name: "shop/cart:80".to_owned(), ..Default::default() };
    assert_eq!(unpack::<Cluster>(&pack(&cluster)).unwrap(), cluster);
}

#[test]
fn another_type_is_refused_by_name() {
    let error = unpack::<Listener>(&pack(&Cluster::default())).unwrap_err();
    assert_eq!(
        error.to_string(),
        "holds `type.googleapis.com/envoy.config.cluster.v3.Cluster` where \
         `type.googleapis.com/envoy.config.listener.v3.Listener` is needed"
    );
}

#[test]
fn broken_bytes_are_an_error() {
    let any = Any { type_url: Cluster::type_url(), value: vec![0x0a, 0x05, b'x'].into() };
    assert!(matches!(unpack::<Cluster>(&any), Err(UnpackError::Decode { .. })));
}
