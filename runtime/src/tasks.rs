//! Owned tasks: whoever spawns one joins it, hears of its panic, and keeps nothing of it once it has ended.

use std::{
    any::Any,
    collections::BTreeMap,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll},
    time::Duration,
};

use tokio::{sync::Notify, task::AbortHandle, time::timeout};

/// How long aborted tasks may take to drop what they hold. They do so the next time that they are scheduled; only a
/// task that blocks its thread takes longer, and nothing can end that one.
const ABORT_WAIT: Duration = Duration::from_secs(1);

/// The owner of the tasks that it spawns; clones own them together. Tasks that outlive their last owner are aborted.
#[derive(Clone, Default)]
pub struct Tasks(Arc<Live>);

/// The tasks that have not ended yet: memory is bounded by them, not by how many there ever were.
#[derive(Default)]
struct Live {
    registry: Mutex<Entries>,
    /// Told when the last live task has ended.
    empty: Notify,
}

#[derive(Default)]
struct Entries {
    live: BTreeMap<u64, Entry>,
    next: u64,
    /// Once aborted, nothing new starts.
    closed: bool,
}

struct Entry {
    name: &'static str,
    /// Absent for the moment between taking the place and spawning the task.
    abort: Option<AbortHandle>,
}

impl Tasks {
    /// Owns nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Spawns `future` on the current runtime. `name` is for logs and for [`Tasks::join_all`]; a panic is logged
    /// under it and ends this task alone. Does nothing once `join_all` has aborted.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn spawn(&self, name: &'static str, future: impl Future<Output = ()> + Send + 'static) {
        #[expect(clippy::disallowed_methods, reason = "this is the owner that others are told to use")]
        self.start(name, future, |task| tokio::spawn(task).abort_handle());
    }

    /// As [`Tasks::spawn`] for a future that stays on its thread.
    ///
    /// # Panics
    /// Outside a [`LocalRuntime`](tokio::runtime::LocalRuntime) or a [`LocalSet`](tokio::task::LocalSet).
    pub fn spawn_local(&self, name: &'static str, future: impl Future<Output = ()> + 'static) {
        self.start(name, future, |task| tokio::task::spawn_local(task).abort_handle());
    }

    /// How many tasks have not ended.
    pub fn live(&self) -> usize {
        self.0.entries().live.len()
    }

    /// Waits until every task has ended, those spawned meanwhile included, but at most for `deadline`; then aborts
    /// the rest and returns their names, oldest first.
    pub async fn join_all(&self, deadline: Duration) -> Vec<&'static str> {
        if timeout(deadline, self.0.emptied()).await.is_ok() {
            return Vec::new();
        }
        let aborted = self.0.abort_all();
        if timeout(ABORT_WAIT, self.0.emptied()).await.is_err() {
            tracing::warn!(tasks = self.live(), "aborted tasks still block their threads: left behind");
        }
        aborted
    }

    fn start<F: Future<Output = ()>>(
        &self,
        name: &'static str,
        future: F,
        spawn: impl FnOnce(Task<F>) -> AbortHandle,
    ) {
        let Some(place) = self.0.enter(name) else {
            return;
        };
        let id = place.id;
        // Not under the lock: a runtime that is shutting down drops the task right here, and its place takes the lock.
        let abort = spawn(Task { future: Box::pin(future), name, _place: place });
        let closed = {
            let mut entries = self.0.entries();
            // Absent if the task has ended already.
            if let Some(entry) = entries.live.get_mut(&id) {
                entry.abort = Some(abort.clone());
            }
            entries.closed
        };
        if closed {
            abort.abort();
        }
    }
}

impl Live {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        // No code that can panic runs under the lock, so poisoned entries are whole all the same.
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(self: &Arc<Self>, name: &'static str) -> Option<Place> {
        let mut entries = self.entries();
        if entries.closed {
            return None;
        }
        let id = entries.next;
        entries.next += 1;
        entries.live.insert(id, Entry { name, abort: None });
        Some(Place { id, live: Arc::downgrade(self) })
    }

    fn leave(&self, id: u64) {
        let mut entries = self.entries();
        entries.live.remove(&id);
        if entries.live.is_empty() {
            self.empty.notify_waiters();
        }
    }

    async fn emptied(&self) {
        loop {
            // Created before the look: tells of whatever happens from here on.
            let emptied = self.empty.notified();
            if self.entries().live.is_empty() {
                return;
            }
            emptied.await;
        }
    }

    fn abort_all(&self) -> Vec<&'static str> {
        let (names, handles): (Vec<_>, Vec<_>) = {
            let mut entries = self.entries();
            entries.closed = true;
            entries.live.values().map(|entry| (entry.name, entry.abort.clone())).unzip()
        };
        // Not under the lock: aborting may drop the task right here, and its place takes the lock.
        for handle in handles.into_iter().flatten() {
            handle.abort();
        }
        names
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.abort_all();
    }
}

/// A live task's place among the entries, given up when the task is dropped.
struct Place {
    id: u64,
    live: Weak<Live>,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(live) = self.live.upgrade() {
            live.leave(self.id);
        }
    }
}

/// What is spawned. The future is boxed here because an `async` block that wraps it would be twice its size.
struct Task<F> {
    // Dropped before the place, so that a task has let go of everything when it counts as ended.
    future: Pin<Box<F>>,
    name: &'static str,
    _place: Place,
}

impl<F: Future<Output = ()>> Future for Task<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // Unwind safe: a future that panicked is never polled again, only dropped.
        catch_unwind(AssertUnwindSafe(|| self.future.as_mut().poll(cx))).unwrap_or_else(|panic| {
            tracing::error!(
                task = self.name,
                panic = panic_text(&*panic),
                "task panicked: this is a bug, report it"
            );
            Poll::Ready(())
        })
    }
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}

#[cfg(test)]
mod tests;
