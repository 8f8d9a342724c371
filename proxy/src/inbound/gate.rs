//! The gate: whether what comes in may enter, and what is told and counted of that.

use std::{borrow::Cow, sync::Arc};

use http::{Uri, request::Parts, uri::PathAndQuery};
use weft_api::path::canonical;

use super::way;
use crate::{
    authorize::{Asked, Authorization, Entrant, Refusal, Verdict},
    connection::Connection,
    exchange::Exchange,
    fault::Fault,
    rate_limit::{self, RateLimits},
    snapshot::Port,
    telemetry::deeds::{Deed, Effect},
    worker::Worker,
};

/// Asks whether a request may enter. One that the application must see by its canonical path has it afterwards.
pub(super) fn request(
    worker: &Worker,
    entrant: &Entrant,
    port: &Port,
    exchange: &mut Exchange,
    request: &mut Parts,
) -> Result<(), Fault> {
    let (authorization, limits) = (port.authorization_of_requests(), port.rate_limits());
    if authorization.is_none() && limits.is_none() {
        return Ok(());
    }
    // The kubelet has no identity, and must know how the application is whoever else may.
    if entrant.identity.is_none() && way::is_probe(port, request) {
        return Ok(());
    }
    let path = canonical(request.uri.path());
    let decides_by_path = authorization.is_some_and(Authorization::decides_by_path);
    if path.is_err() && decides_by_path {
        return Err(Fault::PathRefused);
    }
    let asked = Asked { method: &request.method, path: path.as_deref().ok() };
    if let Some(authorization) = authorization {
        authorize(worker, entrant, authorization, asked, exchange)?;
    }
    if let Some(limits) = limits {
        limit(worker, entrant, limits, asked, exchange)?;
    }
    if let (Ok(Cow::Owned(resolved)), true) = (path, decides_by_path) {
        request.uri = with_path(&request.uri, &resolved)?;
    }
    Ok(())
}

fn authorize(
    worker: &Worker,
    entrant: &Entrant,
    authorization: &Authorization,
    asked: Asked<'_>,
    exchange: &mut Exchange,
) -> Result<(), Fault> {
    match authorization.decide(entrant, Some(asked)) {
        Verdict::Allowed => Ok(()),
        Verdict::Audited(refusal) => {
            count(worker, refusal, Effect::Audited);
            exchange.audit = Some(Arc::clone(&refusal.words));
            Ok(())
        }
        Verdict::Denied(refusal) => {
            count(worker, refusal, Effect::Enforced);
            exchange.words = Some(Arc::clone(&refusal.words));
            Err(Fault::Denied)
        }
    }
}

fn limit(
    worker: &Worker,
    entrant: &Entrant,
    limits: &RateLimits,
    asked: Asked<'_>,
    exchange: &mut Exchange,
) -> Result<(), Fault> {
    let count = |policy, effect| worker.shared.telemetry.deeds.count(policy, Deed::Limited(effect));
    match limits.take(&worker.shared.rate_buckets, entrant, asked, exchange.started()) {
        rate_limit::Verdict::Taken => Ok(()),
        rate_limit::Verdict::Audited(limit) => {
            count(&limit.policy, Effect::Audited);
            // Who would have been denied would not have come to this.
            exchange.audit.get_or_insert_with(|| Arc::clone(&limit.words));
            Ok(())
        }
        rate_limit::Verdict::Limited(limit, retry_after) => {
            count(&limit.policy, Effect::Enforced);
            exchange.words = Some(Arc::clone(&limit.words));
            Err(Fault::RateLimited { retry_after })
        }
    }
}

/// Asks whether an opaque connection may come about.
pub(super) fn connection(
    worker: &Worker,
    entrant: &Entrant,
    port: &Port,
    connection: &mut Connection,
) -> Result<(), Fault> {
    let verdict = port.authorization_of_bytes().map(|authorization| authorization.decide(entrant, None));
    match verdict.unwrap_or(Verdict::Allowed) {
        Verdict::Allowed => Ok(()),
        Verdict::Audited(refusal) => {
            count(worker, refusal, Effect::Audited);
            connection.audit = Some(Arc::clone(&refusal.words));
            Ok(())
        }
        Verdict::Denied(refusal) => Err(deny(worker, refusal, connection)),
    }
}

/// Waits until other rules no longer let an open connection be.
pub(super) async fn revoked(worker: &Worker, entrant: &Entrant) -> Arc<Refusal> {
    let refusal = |port: &Port| match port.authorization_of_bytes()?.decide(entrant, None) {
        Verdict::Denied(refusal) => Some(Arc::clone(refusal)),
        Verdict::Allowed | Verdict::Audited(_) => None,
    };
    let snapshots = &worker.shared.snapshots;
    snapshots.wait_for(|snapshot| snapshot.inbound.get(entrant.port).and_then(|port| refusal(port))).await
}

/// The end of a connection that `refusal` forbids.
pub(super) fn deny(worker: &Worker, refusal: &Refusal, connection: &mut Connection) -> Fault {
    count(worker, refusal, Effect::Enforced);
    connection.words = Some(Arc::clone(&refusal.words));
    Fault::Denied
}

fn count(worker: &Worker, refusal: &Refusal, effect: Effect) {
    worker.shared.telemetry.deeds.count(&refusal.policy, Deed::Denied(effect));
}

/// `uri` with another path, and the query that it had.
fn with_path(uri: &Uri, path: &str) -> Result<Uri, Fault> {
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut parts = uri.clone().into_parts();
    let path = PathAndQuery::try_from(format!("{path}{query}")).map_err(|_| Fault::BadRequest)?;
    parts.path_and_query = Some(path);
    Uri::from_parts(parts).map_err(|_| Fault::BadRequest)
}
