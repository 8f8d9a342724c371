//! Copies of requests for somebody whose answers nobody waits for. A copy is a request of its own, with limits, breakers,
//! counts and a line in the log of its own; whatever becomes of it, the original neither waits nor learns of it.

use std::{cell::Cell, net::IpAddr, rc::Rc, sync::Arc, time::Duration};

use http::request::Parts;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::time::timeout;

use super::{NO_EDITS, Refusal, deliver, tries::Tries};
use crate::{
    exchange::Exchange,
    http::source::{self, Source},
    route::{Forward, Mirror, Route},
    telemetry::Direction,
    worker::Worker,
};

/// A copy is cut off after this time, wherever it is: long enough for any answer, and an end for streams.
const LIFE_MAX: Duration = Duration::from_mins(1);
/// Copies that a worker has under way. Beyond them none is made.
const COPIES_MAX: u32 = 256;

/// Counts a copy while it is under way.
struct UnderWay(Rc<Cell<u32>>);

impl UnderWay {
    fn begin(copies: &Rc<Cell<u32>>) -> Option<Self> {
        (copies.get() < COPIES_MAX).then(|| {
            copies.set(copies.get() + 1);
            Self(Rc::clone(copies))
        })
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Sends copies of `request` to those mirrors that draw one, and returns its body, of which they get copies as it is read.
pub(super) fn copy(
    worker: &Rc<Worker>,
    route: &Route,
    forward: &Forward,
    exchange: &Exchange,
    request: &Parts,
    body: Incoming,
) -> Source {
    let mut copies = Vec::new();
    for mirror in &forward.mirrors {
        if !mirror.draws(&mut *worker.random.borrow_mut()) {
            continue;
        }
        let Some(under_way) = UnderWay::begin(&worker.copies) else {
            mirror.count_refused();
            continue;
        };
        let (copier, copied) = source::copy();
        if body.is_end_stream() {
            copier.finish();
        } else {
            copies.push(copier);
        }
        let copy = Copy {
            worker: Rc::clone(worker),
            mirror: Arc::clone(mirror),
            route: Arc::clone(&route.name),
            source: exchange.source,
            request: request.clone(),
            body: Source::Copy(copied),
            _under_way: under_way,
        };
        worker.tasks.spawn_local("mirror", async move { drop(timeout(LIFE_MAX, copy.send()).await) });
    }
    Source::Caller { body, copies }
}

struct Copy {
    worker: Rc<Worker>,
    mirror: Arc<Mirror>,
    route: Arc<str>,
    source: Option<IpAddr>,
    request: Parts,
    body: Source,
    _under_way: UnderWay,
}

impl Copy {
    /// Sends it, and reads the answer to its end.
    async fn send(mut self) {
        let Mirror { name, forward, requests, .. } = self.mirror.as_ref();
        let mut exchange = Exchange::begin(&self.worker, Direction::Outbound, &self.request);
        // It has a span below the original's, if that has one.
        exchange.trace(&self.request, false);
        exchange.propagate(&mut self.request.headers);
        exchange.destination = Some(Arc::clone(name));
        exchange.route = Some(self.route);
        exchange.source = self.source;
        exchange.requests = Some(Arc::clone(requests));
        let tries = Tries::new(&self.worker, forward, &mut exchange, &mut self.request, self.body, None);
        let answer = tries.run().await.map_err(Refusal::from);
        let response = deliver(&self.worker, &NO_EDITS, exchange, None, answer);
        let mut body = response.into_body();
        while let Some(Ok(_)) = body.frame().await {}
    }
}
