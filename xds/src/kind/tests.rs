use prost::Name;

use super::*;
use crate::{cluster, endpoint, listener, route, tls};

#[test]
fn type_urls_are_those_of_the_messages() {
    assert_eq!(Kind::Secret.type_url(), tls::Secret::type_url());
    assert_eq!(Kind::Cluster.type_url(), cluster::Cluster::type_url());
    assert_eq!(Kind::Endpoints.type_url(), endpoint::ClusterLoadAssignment::type_url());
    assert_eq!(Kind::Listener.type_url(), listener::Listener::type_url());
    assert_eq!(Kind::Routes.type_url(), route::RouteConfiguration::type_url());
}

#[test]
fn every_kind_is_found_by_its_type_url() {
    for kind in Kind::ALL {
        assert_eq!(Kind::from_type_url(kind.type_url()), Some(kind));
    }
    assert_eq!(Kind::from_type_url("type.googleapis.com/envoy.config.cluster.v3"), None);
}

#[test]
fn order_of_application_makes_before_it_breaks() {
    assert!(Kind::ALL.is_sorted());
}
