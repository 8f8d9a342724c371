//! Which retries a rule has, and how other clients of xDS are told.

use weft_api::{
    circuit_breaker::StatusRange,
    gateway::Rule,
    retry::{Backoff, Retry},
};
use weft_xds::route::{RetryPolicy, retry_policy::RetryBackOff};

/// What Envoy calls the failures that are tried again: the named status codes, and failures before a byte was sent.
const RETRY_ON: &str = "retriable-status-codes,connect-failure,refused-stream";

/// The retries of a rule: its own, or else those of the policy that is attached.
pub(super) fn of_rule<M>(rule: &Rule<M>, attached: Option<&Retry>) -> Option<Retry> {
    let own = rule.retry.as_ref().map(|own| {
        let default = Retry::default();
        let backoff =
            own.backoff.map_or(default.backoff, |base| Backoff { base, max: default.backoff.max.max(base) });
        let codes = own.codes.iter().map(|code| StatusRange { first: *code, last: *code }).collect();
        let http = if own.codes.is_empty() { default.http.clone() } else { codes };
        Retry { http, attempts: own.attempts.unwrap_or(default.attempts), backoff, ..default }
    });
    let retry = own.or_else(|| attached.cloned());
    // GEP-1742: the timeout of one try, where 0 s is none. Without retries there is one try.
    match rule.timeouts.and_then(|timeouts| timeouts.backend_request).filter(|each| !each.is_zero()) {
        Some(each) => {
            let retry = retry.unwrap_or_else(|| Retry { attempts: 0, ..Retry::default() });
            Some(Retry { per_try_timeout: Some(each), ..retry })
        }
        None => retry,
    }
}

/// The part that every client of xDS understands.
pub(super) fn standard(retry: &Retry) -> RetryPolicy {
    let codes = (100..=599).filter(|code| retry.http.iter().any(|range| range.contains(*code)));
    RetryPolicy {
        retry_on: RETRY_ON.to_owned(),
        num_retries: Some(retry.attempts),
        retriable_status_codes: codes.map(u32::from).collect(),
        per_try_timeout: retry.per_try_timeout.map(|timeout| timeout.get().into()),
        retry_back_off: Some(RetryBackOff {
            base_interval: Some(retry.backoff.base.get().into()),
            max_interval: Some(retry.backoff.max.get().into()),
        }),
    }
}
