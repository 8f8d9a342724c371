//! When the process ends: a first signal drains it, a second one or the end of the grace period aborts it.

use std::{
    future::{self, Future},
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};

/// How far the end of the process has come. It only ever advances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Running,
    Draining,
    Aborting,
}

/// Tells everyone who holds a clone when to finish, on whichever runtime they run.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<Phase>);

/// Begins the end. Dropping it does nothing: the process then runs until it ends by itself.
#[derive(Clone, Debug)]
pub struct Trigger(watch::Sender<Phase>);

/// Turns the signals of the process into its [`Shutdown`]. It is a future that ends once the process must abort:
/// spawn it as an owned task, or await it beside the work.
#[must_use = "without its watcher a shutdown never begins"]
pub struct Watcher {
    trigger: Trigger,
    watching: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Shutdown {
    /// A shutdown that SIGTERM and SIGINT begin, and the watcher that sees them.
    ///
    /// The signals are taken over when the watcher first runs, on a runtime with IO enabled; until then they end the
    /// process as usual. Without [`Watcher::abort_after`] only a second signal ends the draining early.
    pub fn from_signals() -> (Self, Watcher) {
        let (trigger, shutdown) = Self::manual();
        (shutdown, Watcher { watching: Box::pin(watch_signals(trigger.clone(), None)), trigger })
    }

    /// A shutdown that its trigger begins.
    pub fn manual() -> (Trigger, Self) {
        let (sender, receiver) = watch::channel(Phase::Running);
        (Trigger(sender), Self(receiver))
    }

    /// Resolves once the process drains: finish what is in flight, take nothing new. At once if it drains already.
    pub async fn draining(&self) {
        self.reached(Phase::Draining).await;
    }

    /// Resolves once the process aborts: stop now. At once if it aborts already.
    pub async fn aborting(&self) {
        self.reached(Phase::Aborting).await;
    }

    /// Whether the process drains or aborts.
    pub fn is_draining(&self) -> bool {
        *self.0.borrow() >= Phase::Draining
    }

    /// Whether the process aborts.
    pub fn is_aborting(&self) -> bool {
        *self.0.borrow() >= Phase::Aborting
    }

    async fn reached(&self, phase: Phase) {
        let mut receiver = self.0.clone();
        if receiver.wait_for(|now| *now >= phase).await.is_err() {
            // The trigger is gone, so nobody can begin the end any more.
            future::pending::<()>().await;
        }
    }
}

impl Trigger {
    /// Begins to drain, unless that has begun.
    pub fn drain(&self) {
        self.advance(Phase::Draining);
    }

    /// Aborts, whether or not the process drained before.
    pub fn abort(&self) {
        self.advance(Phase::Aborting);
    }

    fn advance(&self, to: Phase) {
        self.0.send_if_modified(|phase| {
            let advances = *phase < to;
            *phase = to.max(*phase);
            advances
        });
    }
}

impl Watcher {
    /// Aborts `grace` after the first signal even if no second one comes.
    pub fn abort_after(self, grace: Duration) -> Self {
        Self { watching: Box::pin(watch_signals(self.trigger.clone(), Some(grace))), trigger: self.trigger }
    }
}

impl Future for Watcher {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.watching.as_mut().poll(cx)
    }
}

async fn watch_signals(trigger: Trigger, grace: Option<Duration>) {
    let mut signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => {
            tracing::error!(%error, "cannot watch for signals: SIGTERM and SIGINT end the process without draining");
            return;
        }
    };
    signals.next().await;
    escalate(&trigger, signals.next(), grace).await;
}

/// Drains, and aborts at the second signal or when `grace` has passed, whichever is first.
async fn escalate(trigger: &Trigger, second_signal: impl Future<Output = ()>, grace: Option<Duration>) {
    tracing::info!(?grace, "draining: a second signal aborts");
    trigger.drain();
    let grace_ends = async {
        match grace {
            Some(grace) => tokio::time::sleep(grace).await,
            None => future::pending().await,
        }
    };
    tokio::select! {
        () = second_signal => tracing::warn!("second signal: aborting what is still in flight"),
        () = grace_ends => tracing::warn!(?grace, "the grace period is over: aborting what is still in flight"),
    }
    trigger.abort();
}

/// The two signals that ask a process to end: SIGTERM from whoever runs it, SIGINT from a terminal.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests;
