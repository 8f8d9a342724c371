//! Faults that a policy injects: a request is held, or answered in place of the service. What comes after this, retries,
//! limits and breakers, knows nothing of it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Response, request::Parts};
use tokio::time::sleep;

use crate::{
    deadline,
    exchange::Exchange,
    fault::{Fault, is_grpc},
    fault_injection::{Answer, Drawn, FaultInjection},
    telemetry::deeds::{Deed, Injection},
    worker::Worker,
};

/// Does to a request of a route with this `timeout` what is drawn for it. `Some` = that is its answer.
pub(super) async fn inject(
    worker: &Worker,
    faults: &FaultInjection,
    timeout: Option<Duration>,
    exchange: &mut Exchange,
    request: &Parts,
) -> Result<Option<Response<Bytes>>, Fault> {
    let Drawn { delay, abort } = faults.draw(is_grpc(request), &mut *worker.random.borrow_mut());
    if let Some(delay) = delay {
        let deadline = deadline::of(&request.headers, exchange.started(), timeout);
        hold(worker, faults, delay, deadline, exchange).await?;
    }
    let Some(answer) = abort else { return Ok(None) };
    worker.shared.telemetry.deeds.count(&faults.policy, Deed::Injected(Injection::Abort));
    exchange.fault = Some(Fault::Injected);
    exchange.words = Some(Arc::clone(&faults.words_of_abort));
    let response = match answer {
        Answer::Grpc(code) => Fault::Injected.grpc_response(code),
        Answer::Status(status) => {
            let mut response = Fault::Injected.response();
            *response.status_mut() = status;
            response
        }
    };
    Ok(Some(response.map(|text| Bytes::from_static(text.as_bytes()))))
}

/// Holds a request, but not beyond its `deadline`. One that is dropped, because its caller has left, gives its place up.
async fn hold(
    worker: &Worker,
    faults: &FaultInjection,
    delay: Duration,
    deadline: Option<Instant>,
    exchange: &mut Exchange,
) -> Result<(), Fault> {
    let count = |injection| worker.shared.telemetry.deeds.count(&faults.policy, Deed::Injected(injection));
    let Ok(_place) = worker.shared.held.try_acquire() else {
        count(Injection::Skipped);
        return Ok(());
    };
    count(Injection::Delay);
    exchange.injected = Some(Arc::clone(&faults.words_of_delay));
    let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    match left.filter(|left| *left <= delay) {
        None => sleep(delay).await,
        Some(left) => {
            sleep(left).await;
            return Err(Fault::DeadlineExceeded);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
