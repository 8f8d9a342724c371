//! Messages and services as compiled from `proto/`; a test keeps them fresh.
#![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]

pub mod google {
    pub mod protobuf {
        include!("generated/google.protobuf.rs");
    }
    pub mod rpc {
        include!("generated/google.rpc.rs");
    }
}

pub mod envoy {
    pub mod config {
        pub mod cluster {
            pub mod v3 {
                include!("generated/envoy.config.cluster.v3.rs");
            }
        }
        pub mod core {
            pub mod v3 {
                include!("generated/envoy.config.core.v3.rs");
            }
        }
        pub mod endpoint {
            pub mod v3 {
                include!("generated/envoy.config.endpoint.v3.rs");
            }
        }
        pub mod listener {
            pub mod v3 {
                include!("generated/envoy.config.listener.v3.rs");
            }
        }
        pub mod rbac {
            pub mod v3 {
                include!("generated/envoy.config.rbac.v3.rs");
            }
        }
        pub mod route {
            pub mod v3 {
                include!("generated/envoy.config.route.v3.rs");
            }
        }
    }
    pub mod extensions {
        pub mod load_balancing_policies {
            pub mod common {
                pub mod v3 {
                    include!("generated/envoy.extensions.load_balancing_policies.common.v3.rs");
                }
            }
            pub mod least_request {
                pub mod v3 {
                    include!("generated/envoy.extensions.load_balancing_policies.least_request.v3.rs");
                }
            }
            pub mod maglev {
                pub mod v3 {
                    include!("generated/envoy.extensions.load_balancing_policies.maglev.v3.rs");
                }
            }
            pub mod random {
                pub mod v3 {
                    include!("generated/envoy.extensions.load_balancing_policies.random.v3.rs");
                }
            }
            pub mod ring_hash {
                pub mod v3 {
                    include!("generated/envoy.extensions.load_balancing_policies.ring_hash.v3.rs");
                }
            }
            pub mod round_robin {
                pub mod v3 {
                    include!("generated/envoy.extensions.load_balancing_policies.round_robin.v3.rs");
                }
            }
            pub mod wrr_locality {
                pub mod v3 {
                    include!("generated/envoy.extensions.load_balancing_policies.wrr_locality.v3.rs");
                }
            }
        }
        pub mod filters {
            pub mod common {
                pub mod fault {
                    pub mod v3 {
                        include!("generated/envoy.extensions.filters.common.fault.v3.rs");
                    }
                }
            }
            pub mod http {
                pub mod cors {
                    pub mod v3 {
                        include!("generated/envoy.extensions.filters.http.cors.v3.rs");
                    }
                }
                pub mod fault {
                    pub mod v3 {
                        include!("generated/envoy.extensions.filters.http.fault.v3.rs");
                    }
                }
                pub mod rbac {
                    pub mod v3 {
                        include!("generated/envoy.extensions.filters.http.rbac.v3.rs");
                    }
                }
                pub mod router {
                    pub mod v3 {
                        include!("generated/envoy.extensions.filters.http.router.v3.rs");
                    }
                }
            }
            pub mod network {
                pub mod http_connection_manager {
                    pub mod v3 {
                        include!("generated/envoy.extensions.filters.network.http_connection_manager.v3.rs");
                    }
                }
                pub mod rbac {
                    pub mod v3 {
                        include!("generated/envoy.extensions.filters.network.rbac.v3.rs");
                    }
                }
                pub mod tcp_proxy {
                    pub mod v3 {
                        include!("generated/envoy.extensions.filters.network.tcp_proxy.v3.rs");
                    }
                }
            }
        }
        pub mod transport_sockets {
            pub mod tls {
                pub mod v3 {
                    include!("generated/envoy.extensions.transport_sockets.tls.v3.rs");
                }
            }
        }
        pub mod upstreams {
            pub mod http {
                pub mod v3 {
                    include!("generated/envoy.extensions.upstreams.http.v3.rs");
                }
            }
        }
    }
    pub mod service {
        pub mod discovery {
            pub mod v3 {
                include!("generated/envoy.service.discovery.v3.rs");
            }
        }
    }
    pub mod r#type {
        pub mod v3 {
            include!("generated/envoy.r#type.v3.rs");
        }
        pub mod matcher {
            pub mod v3 {
                include!("generated/envoy.r#type.matcher.v3.rs");
            }
        }
    }
}

pub mod xds {
    pub mod r#type {
        pub mod v3 {
            include!("generated/xds.r#type.v3.rs");
        }
    }
}
