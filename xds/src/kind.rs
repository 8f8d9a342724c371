//! The types of resources, and the order in which they are applied.

/// A type of resource that is subscribed to by name.
///
/// The order of the variants is the order of application, which makes before it breaks: nothing refers to a
/// resource that has not arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `Secret`: a certificate, or roots to trust.
    Secret,
    /// `Cluster`: how a group of endpoints is used.
    Cluster,
    /// `ClusterLoadAssignment`: the endpoints of a cluster.
    Endpoints,
    /// `Listener`: what stands behind an address.
    Listener,
    /// `RouteConfiguration`: where requests go.
    Routes,
}

impl Kind {
    /// Every kind, in the order of application.
    pub const ALL: [Kind; 5] = [Kind::Secret, Kind::Cluster, Kind::Endpoints, Kind::Listener, Kind::Routes];

    /// What names this kind on the wire.
    pub const fn type_url(self) -> &'static str {
        match self {
            Kind::Secret => "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
            Kind::Cluster => "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            Kind::Endpoints => "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            Kind::Listener => "type.googleapis.com/envoy.config.listener.v3.Listener",
            Kind::Routes => "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        }
    }

    /// The kind of this type URL; `None` if it is of no kind that is known here.
    pub fn from_type_url(url: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.type_url() == url)
    }
}

#[cfg(test)]
mod tests;
