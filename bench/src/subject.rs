//! Who is measured: what stands in the pod of the caller, and what in the pod of the service.

use weft_api::bootstrap::MeshHttp;

use crate::{
    generator::Protocol,
    peers::{Config, Program},
};

/// One row of the table.
#[derive(Debug)]
pub struct Subject {
    /// As the table calls it.
    pub name: &'static str,
    /// What of it is measured.
    pub kind: Kind,
    /// The pods of caller and service.
    pub pods: [&'static str; 2],
    /// What stands before each of them.
    pub sides: [Side; 2],
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Two proxies with mutual TLS between them: everything.
    Pair,
    /// One proxy without TLS between a caller who speaks this and an application that speaks HTTP/1.1: what a request
    /// costs.
    Hop(Protocol),
}

/// What stands before an application.
#[derive(Debug)]
pub enum Side {
    /// Nothing, and no redirect.
    Bare,
    /// The redirect and a sidecar of Weft, which speaks this to others.
    Weft(MeshHttp),
    /// The redirect and a proxy of others.
    Peer(Config),
}

/// All of them, in the order of their turns.
pub static SUBJECTS: [Subject; 14] = [
    Subject {
        name: "no proxy",
        kind: Kind::Pair,
        pods: ["bare-caller", "bare-service"],
        sides: [Side::Bare, Side::Bare],
    },
    Subject {
        name: "Weft",
        kind: Kind::Pair,
        pods: ["weft-caller", "weft-service"],
        sides: [Side::Weft(MeshHttp::Http2), Side::Weft(MeshHttp::Http2)],
    },
    Subject {
        name: "Weft, HTTP/1.1 between",
        kind: Kind::Pair,
        pods: ["weft1-caller", "weft1-service"],
        sides: [Side::Weft(MeshHttp::Http1), Side::Weft(MeshHttp::Http1)],
    },
    Subject {
        name: "HAProxy",
        kind: Kind::Pair,
        pods: ["haproxy-caller", "haproxy-service"],
        sides: [
            peer(Program::HaProxy, include_str!("../peers/haproxy-outbound.cfg")),
            peer(Program::HaProxy, include_str!("../peers/haproxy-inbound.cfg")),
        ],
    },
    Subject {
        name: "nginx",
        kind: Kind::Pair,
        pods: ["nginx-caller", "nginx-service"],
        sides: [
            peer(Program::Nginx, include_str!("../peers/nginx-outbound.conf")),
            peer(Program::Nginx, include_str!("../peers/nginx-inbound.conf")),
        ],
    },
    Subject {
        name: "Envoy, HTTP/2 between",
        kind: Kind::Pair,
        pods: ["envoy-caller", "envoy-service"],
        sides: [
            peer(Program::Envoy, include_str!("../peers/envoy-outbound.yaml")),
            peer(Program::Envoy, include_str!("../peers/envoy-inbound.yaml")),
        ],
    },
    Subject {
        name: "Weft, one hop",
        kind: Kind::Hop(Protocol::Http1),
        pods: ["weft-hop", "weft-hop-service"],
        sides: [Side::Weft(MeshHttp::Http2), Side::Bare],
    },
    Subject {
        name: "HAProxy, one hop",
        kind: Kind::Hop(Protocol::Http1),
        pods: ["haproxy-hop", "haproxy-hop-service"],
        sides: [peer(Program::HaProxy, include_str!("../peers/haproxy-hop.cfg")), Side::Bare],
    },
    Subject {
        name: "nginx, one hop",
        kind: Kind::Hop(Protocol::Http1),
        pods: ["nginx-hop", "nginx-hop-service"],
        sides: [peer(Program::Nginx, include_str!("../peers/nginx-hop.conf")), Side::Bare],
    },
    Subject {
        name: "Envoy, one hop",
        kind: Kind::Hop(Protocol::Http1),
        pods: ["envoy-hop", "envoy-hop-service"],
        sides: [peer(Program::Envoy, include_str!("../peers/envoy-hop.yaml")), Side::Bare],
    },
    Subject {
        name: "Weft, one hop from HTTP/2",
        kind: Kind::Hop(Protocol::Http2),
        pods: ["weft-hop2", "weft-hop2-service"],
        sides: [Side::Weft(MeshHttp::Http2), Side::Bare],
    },
    Subject {
        name: "HAProxy, one hop from HTTP/2",
        kind: Kind::Hop(Protocol::Http2),
        pods: ["haproxy-hop2", "haproxy-hop2-service"],
        sides: [peer(Program::HaProxy, include_str!("../peers/haproxy-hop.cfg")), Side::Bare],
    },
    Subject {
        name: "nginx, one hop from HTTP/2",
        kind: Kind::Hop(Protocol::Http2),
        pods: ["nginx-hop2", "nginx-hop2-service"],
        sides: [peer(Program::Nginx, include_str!("../peers/nginx-hop-http2.conf")), Side::Bare],
    },
    Subject {
        name: "Envoy, one hop from HTTP/2",
        kind: Kind::Hop(Protocol::Http2),
        pods: ["envoy-hop2", "envoy-hop2-service"],
        sides: [peer(Program::Envoy, include_str!("../peers/envoy-hop.yaml")), Side::Bare],
    },
];

const fn peer(program: Program, text: &'static str) -> Side {
    Side::Peer(Config { program, text })
}

impl Subject {
    /// What its caller speaks.
    pub fn protocol(&self) -> Protocol {
        match self.kind {
            Kind::Pair => Protocol::Http1,
            Kind::Hop(protocol) => protocol,
        }
    }

    /// The program of others that it needs.
    pub fn program(&self) -> Option<Program> {
        self.sides.iter().find_map(|side| match side {
            Side::Peer(config) => Some(config.program),
            Side::Bare | Side::Weft(_) => None,
        })
    }
}
