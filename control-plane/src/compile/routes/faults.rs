//! The faults to inject, as the HTTP filter for that is told.

use weft_api::fault_injection::{Abort, Delay, FaultInjection, HELD_MAX, parts_per_million};
use weft_xds::{
    fault::{FaultAbort, HttpFault, fault_abort::ErrorType},
    fault_delay::{FaultDelay, fault_delay::FaultDelaySecifier},
    packed,
    percent::{FractionalPercent, fractional_percent::DenominatorType},
    protobuf::Any,
    route::FilterConfig,
};

/// Name of the HTTP filter.
const FAULT: &str = "envoy.filters.http.fault";

/// What HTTP filters are told by a route into which `faults` are injected.
pub(super) fn per_filter(faults: &FaultInjection) -> (String, Any) {
    let config = FilterConfig { config: Some(packed::pack(&fault(faults))), is_optional: true };
    (FAULT.to_owned(), packed::pack(&config))
}

fn fault(faults: &FaultInjection) -> HttpFault {
    let delay = faults.delay.map(|Delay { percent, duration }| FaultDelay {
        percentage: Some(share(percent)),
        fault_delay_secifier: Some(FaultDelaySecifier::FixedDelay(duration.get().into())),
    });
    let abort = faults.abort.map(|Abort { percent, http_status, grpc_status }| FaultAbort {
        percentage: Some(share(percent)),
        // One only can be said here, and each is told to the other's callers by a status of theirs.
        error_type: http_status
            .map(|status| ErrorType::HttpStatus(status.into()))
            .or_else(|| grpc_status.map(|status| ErrorType::GrpcStatus(status as u32))),
    });
    HttpFault { delay, abort, max_active_faults: Some(HELD_MAX) }
}

fn share(percent: f64) -> FractionalPercent {
    FractionalPercent { numerator: parts_per_million(percent), denominator: DenominatorType::Million.into() }
}
