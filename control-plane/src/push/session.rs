//! One subscriber: what it asks, what changes, and what it is told, in the order in which they happen.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use futures_util::{Stream, StreamExt as _};
use tokio::{sync::watch, time::sleep_until};
use tonic::Status;
use weft_xds::{Kind, Publish};

use super::{
    Shared,
    roster::{Place, label},
    view::{Subscriber, View},
};
use crate::{
    issue::Refused,
    snapshot::{Snapshot, milliseconds},
};

/// Routes and policies change together: they are sent once nothing has changed for this long.
const QUIET: Duration = Duration::from_millis(10);
/// Where something changes all the time they are sent all the same.
const QUIET_WAIT_MAX: Duration = Duration::from_millis(100);

/// The requests of a subscriber.
pub(super) type Requests<R> = Pin<Box<dyn Stream<Item = Result<R, Status>> + Send>>;

/// One subscriber's stream, in the variant of the protocol that `P` speaks.
pub(super) struct Session<P: Publish> {
    shared: Arc<Shared>,
    requests: Requests<P::Request>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    view: View,
    publisher: P,
    /// Changes that wait for company.
    waiting: Option<Waiting>,
    /// At most one response of each kind, since the publisher awaits its acknowledgement.
    outbox: VecDeque<P::Response>,
    place: Place,
    ended: bool,
}

/// Changes that are held back for a moment.
struct Waiting {
    /// The generation before the first of them.
    since: u64,
    due: Instant,
    latest: Instant,
}

/// What happens next.
enum Event<R> {
    Request(Option<Result<Box<R>, Status>>),
    Snapshot(Arc<Snapshot>),
    Settled,
    Silence,
    Shutdown,
}

impl<P: Publish> Session<P> {
    pub(super) fn new(
        shared: Arc<Shared>,
        subscriber: Subscriber,
        peer: SocketAddr,
        requests: Requests<P::Request>,
    ) -> Self {
        let mut snapshots = shared.snapshots.clone();
        let snapshot = snapshots.borrow_and_update().clone();
        let place = shared.roster.enter(&subscriber, peer, now());
        shared.metrics.connected.inc();
        Self {
            view: View::new(subscriber, snapshot),
            publisher: P::default(),
            waiting: None,
            outbox: VecDeque::new(),
            ended: false,
            requests,
            snapshots,
            place,
            shared,
        }
    }

    /// The next message to the subscriber; `None` at the end.
    pub(super) async fn next(&mut self) -> Option<Result<P::Response, Status>> {
        loop {
            if let Some(response) = self.outbox.pop_front() {
                return Some(Ok(response));
            }
            if self.ended {
                return None;
            }
            let event = self.event().await;
            let elsewhere = matches!(event, Event::Snapshot(_));
            if let Err(end) = self.handle(event, now(), SystemTime::now()) {
                self.ended = true;
                return end.map(Err);
            }
            // Most changes are for others: then there is nothing to say of this one.
            if !elsewhere || !self.outbox.is_empty() {
                self.place.update(&self.publisher, SystemTime::now());
            }
        }
    }

    async fn event(&mut self) -> Event<P::Request> {
        let settled = self.waiting.as_ref().map(|waiting| waiting.due);
        let silence = self.publisher.poll_timeout();
        tokio::select! {
            request = self.requests.next() => Event::Request(request.map(|request| request.map(Box::new))),
            Ok(()) = self.snapshots.changed() => Event::Snapshot(self.snapshots.borrow_and_update().clone()),
            () = at(settled) => Event::Settled,
            () = at(silence) => Event::Silence,
            () = self.shared.shutdown.draining() => Event::Shutdown,
        }
    }

    /// Ends the stream by an error: with a status, or without one where the subscriber ended it.
    fn handle(
        &mut self,
        event: Event<P::Request>,
        now: Instant,
        clock: SystemTime,
    ) -> Result<(), Option<Status>> {
        match event {
            Event::Request(Some(Ok(request))) => self.request(*request, now, clock)?,
            Event::Request(Some(Err(status))) => {
                tracing::debug!(peer = %self.name(), %status, "the stream of a proxy broke");
                return Err(None);
            }
            Event::Request(None) => return Err(None),
            Event::Snapshot(snapshot) => self.snapshot(&snapshot, now),
            Event::Settled => self.settled(now),
            // An acknowledgement may have come in the same moment.
            Event::Silence if !self.publisher.timed_out(now) => {}
            Event::Silence => {
                return Err(Some(
                    self.end("silence", Status::deadline_exceeded("no acknowledgement came in time")),
                ));
            }
            Event::Shutdown => {
                return Err(Some(self.end("shutdown", Status::unavailable("the control plane is stopping"))));
            }
        }
        Ok(())
    }

    fn request(
        &mut self,
        request: P::Request,
        now: Instant,
        clock: SystemTime,
    ) -> Result<(), Option<Status>> {
        self.certify(&request, now, clock);
        let handled = self.publisher.handle(request, now, &self.view);
        let handled = handled
            .map_err(|error| Some(self.end("protocol", Status::invalid_argument(error.to_string()))))?;
        if let Some(refusal) = handled.refusal {
            self.shared.metrics.nacks.with_label_values(&[label(refusal.kind)]).inc();
            tracing::warn!(
                proxy = %self.name(),
                kind = label(refusal.kind),
                reason = refusal.message,
                "a proxy refused a resource: it goes on with the last good one"
            );
        }
        self.send(handled.responses);
        Ok(())
    }

    /// Makes the certificate that the request asks for, before it is answered (docs/xds.md, "Certificates on the
    /// stream").
    fn certify(&mut self, request: &P::Request, now: Instant, clock: SystemTime) {
        let Some(csr) = P::csr(request) else { return };
        let Some(workload) = self.view.workload() else {
            self.shared.metrics.certificates.with_label_values(&["no_token"]).inc();
            tracing::warn!(proxy = %self.name(), "no certificate is issued to who shows no token");
            return self.view.set_identity(None, milliseconds(clock));
        };
        let issued = self.shared.issuer.issue(workload, csr, now, clock);
        let result = issued.as_ref().map_or_else(Refused::label, |_| "issued");
        self.shared.metrics.certificates.with_label_values(&[result]).inc();
        if let Err(reason) = &issued {
            tracing::warn!(proxy = %self.name(), %reason, "no certificate was issued");
        }
        self.view.set_identity(issued.ok().map(|issued| issued.chain_pem), milliseconds(clock));
    }

    /// Endpoints go out at once, since requests fail meanwhile; the rest waits for what changes with it.
    fn snapshot(&mut self, snapshot: &Arc<Snapshot>, now: Instant) {
        let before = self.view.snapshot().generation();
        self.view.set_snapshot(snapshot.clone());
        let (mut endpoints, mut others) = (Vec::new(), false);
        match snapshot.changes_since(before) {
            None => others = true,
            Some(changes) => {
                for (kind, name) in changes.filter(|(kind, name)| self.publisher.heeds(*kind, name)) {
                    match kind {
                        Kind::Endpoints => endpoints.push((kind, name)),
                        _ => others = true,
                    }
                }
            }
        }
        if !endpoints.is_empty() {
            let responses = self.publisher.changed(endpoints, now, &self.view);
            self.send(responses);
        }
        if others {
            let first = Waiting { since: before, due: now, latest: now + QUIET_WAIT_MAX };
            let waiting = self.waiting.get_or_insert(first);
            waiting.due = (now + QUIET).min(waiting.latest);
        }
    }

    fn settled(&mut self, now: Instant) {
        let Some(waiting) = self.waiting.take() else { return };
        let snapshot = self.view.snapshot().clone();
        let responses = match snapshot.changes_since(waiting.since) {
            None => self.publisher.look_again(now, &self.view),
            Some(changes) => self.publisher.changed(changes, now, &self.view),
        };
        self.send(responses);
    }

    fn send(&mut self, responses: Vec<P::Response>) {
        for response in &responses {
            let kind = P::kind_of(response).map_or("unknown", label);
            self.shared.metrics.pushes.with_label_values(&[kind]).inc();
        }
        self.outbox.extend(responses);
    }

    fn end(&self, reason: &str, status: Status) -> Status {
        self.shared.metrics.ended.with_label_values(&[reason]).inc();
        tracing::info!(proxy = %self.name(), reason, "ended the stream of a proxy");
        status
    }

    fn name(&self) -> String {
        let subscriber = self.view.subscriber();
        format!("{}/{}", subscriber.namespace(), subscriber.name())
    }
}

impl<P: Publish> Drop for Session<P> {
    fn drop(&mut self) {
        self.shared.metrics.connected.dec();
    }
}

/// The time by the clock that the timers go by.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Resolves at `moment`; never if there is none.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}
