//! Why a request failed: the closed table. Whoever meets a fault in a response header, a metric label or a log
//! line finds its row here.

use std::time::Duration;

use http::{HeaderValue, Method, StatusCode, header, request::Parts};
use weft_api::names;

/// What a sidecar is short of comes back when what it has begun has ended, which takes most requests less than this.
const SHED_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Every reason for which the proxy itself answers a request, or gives up on one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The first configuration for this listener has not arrived.
    NotConfigured,
    /// The control plane knows no such service.
    UnknownDestination,
    /// The service has routes and none matches.
    NoRoute,
    /// The route names a backend that does not exist.
    BackendMissing,
    /// The backend has no endpoint that could take the request.
    NoEndpoint,
    /// A limit is reached.
    Overflow,
    /// The proxy itself is short of memory, or of descriptors.
    Shed,
    /// The target breaker is open for so much longer.
    BreakerOpen {
        /// Time until it lets a probe pass.
        retry_after: Duration,
    },
    /// No connection within the connect timeout, or it was refused.
    ConnectFailed,
    /// The TLS handshake failed, or the peer is somebody else than expected.
    TlsFailed,
    /// The connection ended before response headers.
    UpstreamReset,
    /// What the upstream answered cannot be understood, or is beyond all bounds.
    UpstreamMalformed,
    /// The upstream refused the stream before it did anything with it.
    UpstreamRefused,
    /// No response headers within the time of one try.
    TryTimeout,
    /// No response headers within the time of the request.
    DeadlineExceeded,
    /// Plaintext came in where only mTLS is taken.
    PlaintextRefused,
    /// A policy does not let the caller in.
    Denied,
    /// The path means different things to different servers, where a policy decides by it.
    PathRefused,
    /// A limit of a policy has no token, and will not for so much longer.
    RateLimited {
        /// Time until it has one.
        retry_after: Duration,
    },
    /// A policy has it answered in place of the service.
    Injected,
    /// The request is not one that a proxy may forward.
    BadRequest,
    /// The first request of a connection did not come in time.
    RequestTimeout,
    /// TRACE is not forwarded, and CONNECT only where it is said to be.
    MethodRefused,
    /// The caller went away first.
    ClientCancelled,
    /// The response broke off after its headers.
    BodyBroken,
    /// Bytes that are no HTTP, where only that is spoken.
    NotHttp,
    /// Somebody connected to the sidecar's own listener.
    NotRedirected,
    /// A connection had nothing to say for too long.
    Idle,
    /// A connection was still open when the grace period of a drain was over.
    CutOff,
}

/// Whose doing a fault is, as far as the proxy can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The caller.
    Downstream,
    /// The service that was called.
    Upstream,
    /// What people configured.
    Configuration,
    /// The mesh: a limit or breaker did its work, or the mesh is not ready.
    Mesh,
}

impl Fault {
    /// Every fault, for tables and tests.
    pub const ALL: [Self; 29] = [
        Self::NotConfigured,
        Self::UnknownDestination,
        Self::NoRoute,
        Self::BackendMissing,
        Self::NoEndpoint,
        Self::Overflow,
        Self::Shed,
        Self::BreakerOpen { retry_after: Duration::ZERO },
        Self::ConnectFailed,
        Self::TlsFailed,
        Self::UpstreamReset,
        Self::UpstreamMalformed,
        Self::UpstreamRefused,
        Self::TryTimeout,
        Self::DeadlineExceeded,
        Self::PlaintextRefused,
        Self::Denied,
        Self::PathRefused,
        Self::RateLimited { retry_after: Duration::ZERO },
        Self::Injected,
        Self::BadRequest,
        Self::RequestTimeout,
        Self::MethodRefused,
        Self::ClientCancelled,
        Self::BodyBroken,
        Self::NotHttp,
        Self::NotRedirected,
        Self::Idle,
        Self::CutOff,
    ];

    /// Flag, status, blame, and the reason with what to do: one row of the table.
    #[expect(clippy::too_many_lines, reason = "a table, whatever its length, is read row by row")]
    const fn row(self) -> (&'static str, u16, Blame, &'static str) {
        use Blame::{Configuration, Downstream, Mesh, Upstream};
        match self {
            Self::NotConfigured => (
                "not_configured",
                503,
                Mesh,
                "this proxy has no configuration for the destination yet; is the control plane reachable?",
            ),
            Self::UnknownDestination => (
                "unknown_destination",
                502,
                Configuration,
                "the control plane knows no service there; check what is called, and whether only the mesh may be",
            ),
            Self::NoRoute => (
                "no_route",
                404,
                Configuration,
                "no route of the service matches; check its routes against the request, or the name that is called by TLS",
            ),
            Self::BackendMissing => (
                "backend_missing",
                500,
                Configuration,
                "the route names a backend that does not exist; check its backendRefs",
            ),
            Self::NoEndpoint => (
                "no_endpoint",
                503,
                Upstream,
                "the backend has no endpoint that takes requests; are its pods ready?",
            ),
            Self::Overflow => (
                "overflow",
                503,
                Mesh,
                "more is under way than the limits of the policy allow; raise them or slow down",
            ),
            Self::Shed => (
                "shed",
                503,
                Mesh,
                "the sidecar is near to the limit of its memory and refuses what is new; give it more, or send less",
            ),
            Self::BreakerOpen { .. } => (
                "breaker_open",
                503,
                Upstream,
                "the circuit breaker is open because the service failed; it probes by itself",
            ),
            Self::ConnectFailed => (
                "connect_failed",
                503,
                Upstream,
                "no connection to the endpoint; does anything listen there?",
            ),
            Self::TlsFailed => (
                "tls_failed",
                503,
                Upstream,
                "mTLS with the endpoint failed; check both certificates and the identity expected of it",
            ),
            Self::UpstreamReset => {
                ("upstream_reset", 502, Upstream, "the upstream ended the connection before it answered")
            }
            Self::UpstreamMalformed => (
                "upstream_malformed",
                502,
                Upstream,
                "the upstream's answer is malformed, or longer than is taken; does it speak this version of HTTP?",
            ),
            Self::UpstreamRefused => {
                ("upstream_refused", 503, Upstream, "the upstream refused the stream; it may be draining")
            }
            Self::TryTimeout => {
                ("try_timeout", 504, Upstream, "no response headers within perTryTimeout of the retry policy")
            }
            Self::DeadlineExceeded => {
                ("deadline_exceeded", 504, Upstream, "no response headers within the timeout of the request")
            }
            Self::PlaintextRefused => (
                "plaintext_refused",
                403,
                Downstream,
                "this workload takes mTLS only; call it through a sidecar, or set its mtls to Permissive",
            ),
            Self::Denied => {
                ("denied", 403, Downstream, "an AuthorizationPolicy of the workload does not let this in")
            }
            Self::PathRefused => (
                "path_refused",
                400,
                Downstream,
                "a policy decides by the path, and this one means different things to different servers",
            ),
            Self::RateLimited { .. } => (
                "rate_limited",
                429,
                Downstream,
                "more requests came than a RateLimitPolicy of the workload lets in; send fewer",
            ),
            Self::Injected => (
                "fault_injected",
                503,
                Configuration,
                "a FaultInjectionPolicy answers in place of the service, to test who calls it; remove it when that is done",
            ),
            Self::BadRequest => {
                ("bad_request", 400, Downstream, "the request is malformed, and nothing was forwarded")
            }
            Self::RequestTimeout => (
                "request_timeout",
                408,
                Downstream,
                "a connection began to speak HTTP, and no whole request came in time",
            ),
            Self::MethodRefused => (
                "method_refused",
                405,
                Downstream,
                "TRACE is not forwarded, and CONNECT to ports whose appProtocol is weft.dev/connect alone",
            ),
            Self::ClientCancelled => {
                ("client_cancelled", 499, Downstream, "the caller went away before the response was complete")
            }
            Self::BodyBroken => ("body_broken", 502, Upstream, "the response broke off after its headers"),
            Self::NotHttp => (
                "not_http",
                400,
                Downstream,
                "the port speaks HTTP, and this is none; if it speaks TLS itself, say so by its appProtocol",
            ),
            Self::NotRedirected => (
                "not_redirected",
                421,
                Downstream,
                "somebody connected to the sidecar itself; call the application's port instead",
            ),
            Self::Idle => ("idle", 408, Downstream, "not a byte passed for an hour"),
            Self::CutOff => {
                ("cut_off", 503, Mesh, "the sidecar ended before the connection; its grace period was over")
            }
        }
    }

    /// Its place in [`Self::ALL`].
    pub fn place(self) -> usize {
        Self::ALL.iter().position(|other| other.flag() == self.flag()).expect("ALL holds every fault")
    }

    /// Stable short name: header value, metric label and log field.
    pub const fn flag(self) -> &'static str {
        self.row().0
    }

    /// Status of the local answer. 499 is for the log only (nobody is there to read it).
    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.row().1).expect("the table holds codes within 400-599")
    }

    /// Who is to blame.
    pub const fn blame(self) -> Blame {
        self.row().2
    }

    /// Why, and what to do, in words.
    pub const fn reason(self) -> &'static str {
        self.row().3
    }

    /// What a policy tells a gRPC client by a code of its own. The codes of all other faults, clients take from their
    /// statuses.
    const fn grpc_code(self) -> Option<tonic::Code> {
        match self {
            Self::Denied => Some(tonic::Code::PermissionDenied),
            Self::RateLimited { .. } => Some(tonic::Code::ResourceExhausted),
            _ => None,
        }
    }

    /// The answer to a call of gRPC by `code`: headers alone, with status and message.
    pub fn grpc_response(self, code: tonic::Code) -> http::Response<&'static str> {
        let mut response = http::Response::new("");
        let headers = response.headers_mut();
        headers.insert(names::HEADER_FAULT, HeaderValue::from_static(self.flag()));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert("grpc-status", HeaderValue::from(code as i32));
        headers.insert("grpc-message", HeaderValue::from_static(self.reason()));
        response
    }

    /// The answer to `request`, as its protocol has it.
    pub fn answer(self, request: &Parts) -> http::Response<&'static str> {
        match self.grpc_code().filter(|_| is_grpc(request)) {
            Some(code) => self.grpc_response(code),
            None => self.response(),
        }
    }

    /// The response that the caller gets: status, flag, and the reason as text.
    pub fn response(self) -> http::Response<&'static str> {
        let mut response = http::Response::new(self.reason());
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(names::HEADER_FAULT, HeaderValue::from_static(self.flag()));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        let retry_after = match self {
            Self::BreakerOpen { retry_after } | Self::RateLimited { retry_after } => Some(retry_after),
            Self::Shed => Some(SHED_RETRY_AFTER),
            _ => None,
        };
        if let Some(retry_after) = retry_after {
            // Retry-After has whole seconds (RFC 9110, 10.2.3): rounded up, so that nobody is early.
            let seconds = retry_after.as_millis().div_ceil(1000).max(1);
            let value = HeaderValue::from_str(&seconds.to_string()).expect("digits are a valid header value");
            headers.insert(header::RETRY_AFTER, value);
        }
        response
    }
}

/// Whether `request` is a call of gRPC. What asks for a tunnel is none: gRPC's way of saying no would say yes to it.
pub fn is_grpc(request: &Parts) -> bool {
    let kind = request.headers.get(header::CONTENT_TYPE).filter(|_| request.method != Method::CONNECT);
    kind.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

#[cfg(test)]
mod tests;
