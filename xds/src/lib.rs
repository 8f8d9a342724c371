//! The configuration protocol between control plane and proxy: messages and the two halves, without any I/O.
//!
//! `docs/xds.md` is the contract. The halves are values: messages and the time go in, messages come out, and whoever
//! holds the stream carries them.
#![warn(missing_docs)]

// The control plane's half of a stream: told what is new, or told everything each time;
pub mod publisher;
pub mod world_publisher;
// and what both have in common.
pub mod publish;
// The proxy's half.
pub mod subscriber;
// Their words.
pub mod metadata;
pub mod version;
pub mod duration;
pub mod kind;
pub mod packed;
// The messages.
mod generated;

pub use generated::{
    envoy::{
        config::{
            cluster::v3 as cluster, core::v3 as core, endpoint::v3 as endpoint, listener::v3 as listener,
            rbac::v3 as rbac, route::v3 as route,
        },
        extensions::{
            filters::{
                common::fault::v3 as fault_delay,
                http::{cors::v3 as cors, fault::v3 as fault, rbac::v3 as http_rbac, router::v3 as router},
                network::{
                    http_connection_manager::v3 as http_connection_manager, rbac::v3 as network_rbac,
                    tcp_proxy::v3 as tcp_proxy,
                },
            },
            load_balancing_policies::{
                common::v3 as balancing, least_request::v3 as least_request, maglev::v3 as maglev,
                random::v3 as random, ring_hash::v3 as ring_hash, round_robin::v3 as round_robin,
                wrr_locality::v3 as wrr_locality,
            },
            transport_sockets::tls::v3 as tls,
            upstreams::http::v3 as upstream_http,
        },
        service::discovery::v3 as discovery,
        r#type::{matcher::v3 as matcher, v3 as percent},
    },
    google::{protobuf, rpc},
    xds::r#type::v3 as typed_struct,
};
pub use kind::Kind;
pub use publish::{Catalog, Publish};
pub use publisher::Publisher;
pub use subscriber::Subscriber;
pub use version::Version;
pub use world_publisher::WorldPublisher;
