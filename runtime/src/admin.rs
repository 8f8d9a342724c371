//! The read-only HTTP endpoint of the process, on a thread of its own: it answers even when every worker is busy.

mod connection;
mod pages;

use std::{io, net::SocketAddr, sync::Arc, thread, time::Duration};

use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
    sync::{Semaphore, oneshot},
};

use self::pages::Pages;
use crate::{
    metrics::Registry,
    readiness::Readiness,
    spare::{Spare, is_out_of_descriptors},
    tasks::Tasks,
    workers,
};

/// Connections served at once; more wait in the kernel's backlog. A kubelet, a Prometheus or two and a person need
/// fewer than ten.
const CONNECTIONS_MAX: usize = 64;

/// Formatting metrics is all that this thread does: an eighth of the default is plenty.
const STACK_BYTES: usize = 256 * 1024;

/// How long accepting rests after an error: trying again at once would only burn the processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Another read-only route: its path, the content type, and what writes the body. It must not block for long, because
/// nothing else is answered meanwhile.
pub type Route = (&'static str, &'static str, Arc<dyn Fn() -> String + Send + Sync>);

/// The running endpoint. It closes when this is dropped.
#[derive(Debug)]
pub struct Admin {
    local_addr: SocketAddr,
    /// Never sent: dropping it is what ends the thread.
    close: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Admin {
    /// Serves on `addr`, in HTTP/1 and to GET and HEAD only: `/metrics` from the registry, `/live` (200 while the
    /// thread lives), `/ready` (200, or 503 and what it waits for), and `routes`.
    ///
    /// # Errors
    /// When the address cannot be listened on, or a thread cannot be had.
    pub fn start(
        addr: SocketAddr,
        registry: Registry,
        readiness: Readiness,
        routes: Vec<Route>,
    ) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let listener = workers::listen(addr)?;
        let local_addr = listener.local_addr()?;
        let listener = {
            let _inside = runtime.enter();
            TcpListener::from_std(listener)?
        };
        let pages = Arc::new(Pages { registry, readiness, routes });
        let (close, closed) = oneshot::channel();
        let thread = thread::Builder::new()
            .name("admin".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || run(&runtime, listener, pages, closed))?;
        Ok(Self { local_addr, close: Some(close), thread: Some(thread) })
    }

    /// Where it listens: the port is the actual one if 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        drop(self.close.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was logged when it happened, and it is at its end either way.
            let _ = thread.join();
        }
    }
}

/// Serves until the endpoint is dropped; connections still open are cut.
fn run(runtime: &Runtime, listener: TcpListener, pages: Arc<Pages>, closed: oneshot::Receiver<()>) {
    runtime.block_on(async {
        tokio::select! {
            () = accept(listener, pages) => {}
            // Only ever an error: the sender was dropped.
            _ = closed => {}
        }
    });
}

async fn accept(listener: TcpListener, pages: Arc<Pages>) {
    let tasks = Tasks::new();
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    // Whoever wants to know why the process has no descriptor left gets the last one.
    let mut spare = Spare::default();
    spare.hold(&listener);
    loop {
        let permit = permits.clone().acquire_owned().await.expect("nobody closes the semaphore");
        match listener.accept().await {
            Ok((stream, _)) => {
                let pages = pages.clone();
                tasks.spawn("admin connection", async move {
                    connection::serve(stream, pages).await;
                    drop(permit);
                });
                spare.hold(&listener);
            }
            Err(error) if is_out_of_descriptors(&error) && spare.give_up() => {}
            Err(error) => {
                tracing::warn!(%error, "the admin endpoint cannot accept: trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                spare.hold(&listener);
            }
        }
    }
}

#[cfg(test)]
mod tests;
