//! What stands behind a service's address: its routes.

use weft_xds::{
    Kind,
    core::{AggregatedConfigSource, ApiVersion, ConfigSource, config_source::ConfigSourceSpecifier},
    http_connection_manager::{HttpConnectionManager, Rds, http_connection_manager::RouteSpecifier},
    listener::{ApiListener, Listener},
    packed::pack,
};

use super::Draft;
use crate::{
    resolve::{PortView, ServiceView},
    snapshot,
    store::ObjectName,
};

pub(super) fn draft(service: &ObjectName, view: &ServiceView, port: &PortView) -> Draft {
    let number = port.port.port;
    let manager = HttpConnectionManager {
        stat_prefix: snapshot::port_name(service, number),
        route_specifier: Some(RouteSpecifier::Rds(Rds {
            config_source: Some(aggregated()),
            route_config_name: snapshot::port_name(service, number),
        })),
        ..HttpConnectionManager::default()
    };
    let name = snapshot::listener_name(service, number);
    let listener = Listener {
        name: name.clone(),
        api_listener: Some(ApiListener { api_listener: Some(pack(&manager)) }),
        ..Listener::default()
    };
    let own = view.addresses.iter().filter(|address| address.port() == number);
    let aliases = own.map(ToString::to_string).collect();
    Draft { aliases, ..Draft::new(Kind::Listener, name, &listener) }
}

/// "From this same stream".
pub(super) fn aggregated() -> ConfigSource {
    ConfigSource {
        resource_api_version: ApiVersion::V3.into(),
        config_source_specifier: Some(ConfigSourceSpecifier::Ads(AggregatedConfigSource {})),
    }
}
