//! The names and ports that every part of the mesh agrees on.

/// API group and version of the policy kinds.
pub const POLICY_API_VERSION: &str = "policy.weft.dev/v1alpha1";
/// API group and version of the kinds that exist in local mode only.
pub const LOCAL_API_VERSION: &str = "local.weft.dev/v1alpha1";
/// Key of everything that standard xDS fields cannot say (`metadata.filter_metadata`).
pub const METADATA_KEY: &str = "weft.dev";
/// Audience that a workload's token must carry.
pub const TOKEN_AUDIENCE: &str = "weft.dev";
/// Trust domain when nothing else is configured.
pub const DEFAULT_TRUST_DOMAIN: &str = "cluster.local";
/// Namespace of the control plane.
pub const SYSTEM_NAMESPACE: &str = "weft-system";
/// Service account of the control plane: the identity that proxies expect behind its address.
pub const CONTROL_PLANE_ACCOUNT: &str = "weft-control-plane";
/// Port on which the control plane serves xDS (TLS).
pub const XDS_PORT: u16 = 15012;
/// User id of a sidecar in a pod: what this user sends is not redirected.
pub const PROXY_UID: u32 = 2112;
/// Port of a sidecar in a pod to which connections into the pod are redirected.
pub const INBOUND_PORT: u16 = 4143;
/// Port of a sidecar in a pod to which the application's connections are redirected.
pub const OUTBOUND_PORT: u16 = 4140;
/// Port on which the injector serves its webhook (TLS).
pub const WEBHOOK_PORT: u16 = 8443;
/// Port on which a proxy serves metrics and health (read-only).
pub const ADMIN_PORT: u16 = 4191;

/// Most memory, in bytes, of a compiled regular expression of a route. Patterns come from people and not from requests,
/// but one mistake must not cost every sidecar megabytes. Both sides compile with the same crate to the same bound.
pub const EXPRESSION_BYTES_MAX: usize = 64 * 1024;

/// ALPN of HTTP/2 between two sidecars.
pub const ALPN_MESH_H2: &[u8] = b"weft-h2";
/// ALPN of HTTP/1.1 between two sidecars.
pub const ALPN_MESH_HTTP1: &[u8] = b"weft-http/1.1";
/// ALPN of bytes of any other protocol between two sidecars.
pub const ALPN_MESH_TCP: &[u8] = b"weft-tcp";
/// ALPN of the configuration stream.
pub const ALPN_XDS: &[u8] = b"h2";

/// What the names of all headers begin with that are the mesh's own.
pub const HEADER_PREFIX: &str = "x-weft-";
/// Response header that names the stage of the mesh which answered instead of the application.
pub const HEADER_FAULT: &str = "x-weft-fault";
/// Response header on a canned answer; its value is the cause (`open` or `failure`).
pub const HEADER_FALLBACK: &str = "x-weft-fallback";
/// Request header that carries how often the request has been tried already, over all hops.
pub const HEADER_ATTEMPT: &str = "x-weft-attempt";
/// Between two sidecars that speak HTTP/2: request header of who takes interim responses inside of the final one, and
/// response header of one that has some inside.
pub const HEADER_INTERIM: &str = "x-weft-interim";
/// Request header, set by the receiving sidecar only: who the TLS peer is (Envoy's XFCC, `URI=` and `By=`).
pub const HEADER_CLIENT_CERT: &str = "x-forwarded-client-cert";

/// Name of the listener resource that says how a workload is entered.
pub const RESOURCE_INBOUND: &str = "inbound";
/// Name of the secret that holds the workload's own certificate chain.
pub const RESOURCE_IDENTITY: &str = "identity";
/// Name of the secret that holds the roots to trust.
pub const RESOURCE_TRUST_BUNDLE: &str = "trust-bundle";

/// Variable that holds the bootstrap of a sidecar as JSON.
pub const VARIABLE_BOOTSTRAP: &str = "WEFT_BOOTSTRAP";
/// Variable that says what a program logs: a level, or `target=level` separated by commas.
pub const VARIABLE_LOG: &str = "WEFT_LOG";
/// Variable with the name of the pod around a container of ours.
pub const VARIABLE_POD_NAME: &str = "WEFT_POD_NAME";
/// Variable with the namespace of the pod around a container of ours.
pub const VARIABLE_POD_NAMESPACE: &str = "WEFT_POD_NAMESPACE";
/// Variable with the service account of the pod around a container of ours.
pub const VARIABLE_SERVICE_ACCOUNT: &str = "WEFT_SERVICE_ACCOUNT";
/// Zone of the node that a pod runs on.
pub const VARIABLE_ZONE: &str = "WEFT_ZONE";
/// Label of nodes, and of pods since Kubernetes 1.35: their zone.
pub const LABEL_ZONE: &str = "topology.kubernetes.io/zone";

/// Label on namespaces and pods that asks for a sidecar (`enabled`) or refuses it (`disabled`).
pub const LABEL_INJECT: &str = "weft.dev/inject";
/// Namespaces that keep a cluster alive, and must not wait for a mesh. That of the mesh itself is another one.
pub const SYSTEM_NAMESPACES: [&str; 2] = ["kube-system", "kube-node-lease"];
/// Annotation of the pods that a kubelet runs from files of its node.
pub const ANNOTATION_MIRROR: &str = "kubernetes.io/config.mirror";
/// What the keys of all annotations of the mesh begin with.
pub const ANNOTATION_PREFIX: &str = "weft.dev/";
/// Annotation of a pod, of its namespace or of a Service: ports whose bytes are not looked at.
pub const ANNOTATION_OPAQUE_PORTS: &str = "weft.dev/opaque-ports";
/// Annotation of a pod or of its namespace: whether plaintext is taken (`permissive`) or refused (`strict`).
pub const ANNOTATION_DEFAULT_POLICY: &str = "weft.dev/default-policy";
/// Annotation of a pod: ports on which connections do not go through the sidecar.
pub const ANNOTATION_SKIP_INBOUND_PORTS: &str = "weft.dev/skip-inbound-ports";
/// `appProtocol` of a port on which an HTTP proxy stands: `CONNECT` is passed on to it.
pub const PROTOCOL_CONNECT: &str = "weft.dev/connect";
/// Ports on which servers speak first, or speak something that looks like nothing: opaque unless somebody says what is
/// spoken there. SMTP (25, 587), MySQL (3306), Galera (4444), PostgreSQL (5432), Redis (6379), Elasticsearch's
/// transport (9300), Memcached (11211).
pub const OPAQUE_PORTS: [u16; 8] = [25, 587, 3306, 4444, 5432, 6379, 9300, 11211];
/// Path of a gRPC health check, which the kubelet's gRPC probes ask for by `POST` (grpc.health.v1).
pub const PATH_GRPC_HEALTH: &str = "/grpc.health.v1.Health/Check";
/// Container of the sidecar in a pod: its presence says that the pod is of the mesh.
pub const CONTAINER_PROXY: &str = "weft-proxy";
/// Init container that installs the redirect of a pod, or checks it.
pub const CONTAINER_INIT: &str = "weft-init";
/// Container of the log adapter in a pod.
pub const CONTAINER_LOGS: &str = "weft-logs";
/// ConfigMap of each namespace with pods of the mesh that holds the roots to trust.
pub const TRUST_BUNDLE_CONFIG_MAP: &str = "weft-trust-bundle";
/// Its key for them, PEM.
pub const TRUST_BUNDLE_KEY: &str = "ca.crt";
