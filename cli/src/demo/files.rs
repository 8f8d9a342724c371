//! The files that the mesh of the story is described by, as anybody would write them.

use std::net::SocketAddr;

/// What users read when the API cannot be asked. It is known by this text.
pub(crate) const CANNED: &str = "Good vibes are on their way. Until then: breathe.";
/// The target breaker is open for this long, in seconds, before a jitter of a fifth of it.
pub(crate) const OPEN_S: u64 = 1;
/// Its window, in seconds.
pub(crate) const WINDOW_S: u64 = 3;
/// It trips when this share of the tries failed, in percent.
pub(crate) const TRIP_PERCENT: u32 = 60;

/// Name of the file with services and workloads.
pub(crate) const MESH: &str = "mesh.yaml";
/// Name of the file with the RetryPolicy.
pub(crate) const RETRY: &str = "retry.yaml";
/// Name of the file with the CircuitBreakerPolicy.
pub(crate) const BREAKER: &str = "circuit-breaker.yaml";

/// Where everything of the mesh listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    /// The API.
    pub(crate) api: SocketAddr,
    /// What leads into the API's sidecar.
    pub(crate) api_inbound: SocketAddr,
    /// Metrics of the API's sidecar.
    pub(crate) api_admin: SocketAddr,
    /// The frontend.
    pub(crate) frontend: SocketAddr,
    /// What leads into the frontend's sidecar.
    pub(crate) frontend_inbound: SocketAddr,
    /// Metrics of the frontend's sidecar.
    pub(crate) frontend_admin: SocketAddr,
    /// The listener of the frontend's sidecar that leads to the API.
    pub(crate) ambassador: SocketAddr,
}

/// Two services, and beside each of their processes a sidecar.
pub(crate) fn mesh(addresses: &Addresses) -> String {
    let Addresses { api, api_inbound, api_admin, frontend, frontend_inbound, frontend_admin, ambassador } =
        addresses;
    let (api_port, frontend_port) = (api_inbound.port(), frontend_inbound.port());
    format!(
        "\
# What the frontend calls, and where it is.
apiVersion: v1
kind: Service
metadata:
  name: feelgood-api
spec:
  ports:
    - name: http
      port: 80
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: feelgood-api
  labels:
    kubernetes.io/service-name: feelgood-api
addressType: IPv4
ports:
  - name: http
    port: {api_port}
endpoints:
  - addresses: [127.0.0.1]
    targetRef: {{kind: Workload, name: feelgood-api}}
---
# The API's process. Only peers of the mesh may call it.
apiVersion: local.weft.dev/v1alpha1
kind: Workload
metadata:
  name: feelgood-api
spec:
  inbound:
    - port: {api_port}
      app: {api}
      mtls: Strict
  admin: {api_admin}
  accessLog: all
---
# The frontend's process. Users are outside of the mesh, so it takes plaintext too.
apiVersion: local.weft.dev/v1alpha1
kind: Workload
metadata:
  name: frontend
spec:
  inbound:
    - port: {frontend_port}
      app: {frontend}
      mtls: Permissive
  outbound:
    # The ambassador: API_ADDR of the frontend.
    - listen: {ambassador}
      service: feelgood-api
      port: 80
  admin: {frontend_admin}
  accessLog: all
"
    )
}

/// Up to two retries. The budget is large because the API is known to be flaky: a budget protects a service that is
/// dying, and the default of 20 % would leave about 20 % errors here.
pub(crate) fn retry() -> String {
    format!(
        "\
apiVersion: policy.weft.dev/v1alpha1
kind: RetryPolicy
metadata:
  name: feelgood-api
spec:
  targetRefs:
    - group: \"\"
      kind: Service
      name: feelgood-api
  http: [500-599]
  attempts: {}
  budget:
    percent: 60
",
        super::story::RETRIES
    )
}

/// A breaker for the whole service that goes by percentage: a service of which one try in three fails anyway has five
/// failures in a row every few seconds.
pub(crate) fn breaker() -> String {
    format!(
        "\
apiVersion: policy.weft.dev/v1alpha1
kind: CircuitBreakerPolicy
metadata:
  name: feelgood-api
spec:
  targetRefs:
    - group: \"\"
      kind: Service
      name: feelgood-api
  target:
    consecutive: 0
    failurePercent: {TRIP_PERCENT}
    minRequests: 20
    window: {WINDOW_S}s
    open:
      base: {OPEN_S}s
      max: {OPEN_S}s
      jitter: 0.2
    halfOpen:
      probes: 1
      successes: 1
  fallback:
    causes: [Open, Failure]
    status: 200
    headers:
      - name: content-type
        value: application/json
    body: '{{\"message\": \"{CANNED}\"}}'
"
    )
}

#[cfg(test)]
mod tests;
