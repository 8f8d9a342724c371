//! A thread per worker, each with its own single-threaded runtime, and the sockets that they listen on together.

use std::{
    future::Future,
    io,
    net::{SocketAddr, TcpListener},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, OnceLock},
    thread::{self, JoinHandle},
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    runtime::{Builder, LocalOptions, LocalRuntime},
    sync::mpsc,
};

use crate::tasks::panic_text;

/// Threads that one worker may start for calls that block, such as resolving a name. Further calls wait.
const BLOCKING_THREADS_MAX: usize = 4;

/// Connections that the kernel holds until they are accepted; `net.core.somaxconn` may lower it.
const BACKLOG: i32 = 1024;

/// Which of the workers this one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Worker {
    /// From 0 to `count - 1`.
    pub index: usize,
    /// How many workers there are; at least 1.
    pub count: usize,
}

/// Running workers.
pub struct Workers {
    threads: Vec<JoinHandle<()>>,
    ends: mpsc::Receiver<Result<(), WorkerPanicked>>,
}

/// A worker ended by a panic.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("worker `{worker}` panicked: {panic}; this is a bug, report it")]
pub struct WorkerPanicked {
    worker: String,
    panic: String,
}

impl Workers {
    /// Starts `count` threads (at least one) named `name-0`, `name-1` and so on. Each calls `run` and drives what it
    /// returns on a [local runtime](LocalRuntime) of its own, so that nothing there needs to be `Send`.
    ///
    /// # Errors
    /// When a runtime or a thread cannot be had; then no worker runs.
    pub fn start<F, Fut>(count: usize, name: &str, run: F) -> io::Result<Self>
    where
        F: Fn(Worker) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + 'static,
    {
        let count = count.max(1);
        let run = Arc::new(run);
        // Opened when every thread is there with its runtime, with whether all of them are.
        let gate = Arc::new(OnceLock::new());
        let (made, runtimes) = std::sync::mpsc::channel();
        let (ended, ends) = mpsc::channel(count);
        let threads: io::Result<Vec<_>> = (0..count)
            .map(|index| {
                let (run, gate, made, ended) = (run.clone(), gate.clone(), made.clone(), ended.clone());
                let name = format!("{name}-{index}");
                thread::Builder::new().name(name.clone()).spawn(move || {
                    // A local runtime cannot leave the thread that it was made on.
                    let (runtime, outcome) = match runtime() {
                        Ok(runtime) => (Some(runtime), Ok(())),
                        Err(error) => (None, Err(error)),
                    };
                    // Nobody listens once another thread or runtime could not be had.
                    let _ = made.send(outcome);
                    if let (true, Some(runtime)) = (*gate.wait(), runtime) {
                        let end = drive(&name, &runtime, || run(Worker { index, count }));
                        // Nobody listens once another worker's panic was reported.
                        let _ = ended.try_send(end);
                    }
                })
            })
            .collect();
        let started = threads.and_then(|threads| {
            runtimes.iter().take(count).collect::<io::Result<()>>()?;
            Ok(threads)
        });
        gate.get_or_init(|| started.is_ok());
        Ok(Self { threads: started?, ends })
    }

    /// Blocks until every worker has ended, or until the first one panics: then the others still run, and the caller
    /// should end the process.
    ///
    /// # Panics
    /// Inside a runtime; there, await [`Workers::ended`].
    pub fn join(mut self) -> Result<(), WorkerPanicked> {
        while let Some(end) = self.ends.blocking_recv() {
            end?;
        }
        for thread in self.threads {
            // A worker's panic is caught and was reported above.
            let _ = thread.join();
        }
        Ok(())
    }

    /// As [`Workers::join`], without blocking the thread. Cancel safe.
    pub async fn ended(&mut self) -> Result<(), WorkerPanicked> {
        while let Some(end) = self.ends.recv().await {
            end?;
        }
        Ok(())
    }
}

fn runtime() -> io::Result<LocalRuntime> {
    Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .build_local(LocalOptions::default())
}

fn drive<Fut: Future<Output = ()>>(
    worker: &str,
    runtime: &LocalRuntime,
    run: impl FnOnce() -> Fut,
) -> Result<(), WorkerPanicked> {
    // Unwind safe: after a panic nothing of the worker is used again.
    catch_unwind(AssertUnwindSafe(|| runtime.block_on(async { run().await })))
        .map_err(|panic| WorkerPanicked { worker: worker.to_owned(), panic: panic_text(&*panic).to_owned() })
}

/// Listens on `addr` alone. The socket does not block, so that a runtime can take it over. `[::]` takes IPv4
/// connections too, whatever the system's default.
///
/// # Errors
/// Those of the system; the text names the address and what to do.
pub fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    bind(addr, false).and_then(serve).map_err(|error| explain(addr, &error))
}

/// As [`listen`], with one listener for each of `count` workers (at least one): the kernel spreads connections over
/// them (`SO_REUSEPORT`). Port 0 is one free port for all of them. A listener that nobody accepts from strands its
/// share of the connections.
///
/// # Errors
/// As [`listen`]; also when another process shares its port in the same way, which must not happen unnoticed.
pub fn listen_shared(addr: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
    let share = || {
        // Bound alone first and shared only then: so a port that another process shares is refused.
        let first = bind(addr, false)?;
        if count <= 1 {
            return Ok(vec![serve(first)?]);
        }
        first.set_reuse_port(true)?;
        let first = serve(first)?;
        let bound = first.local_addr()?;
        let mut listeners = vec![first];
        for _ in 1..count {
            listeners.push(serve(bind(bound, true)?)?);
        }
        Ok(listeners)
    };
    share().map_err(|error| explain(addr, &error))
}

fn bind(addr: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // A restarted process must not wait for the connections of the one before it to leave TIME_WAIT.
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    if addr.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.bind(&addr.into())?;
    Ok(socket)
}

fn serve(socket: Socket) -> io::Result<TcpListener> {
    socket.set_nonblocking(true)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn explain(addr: SocketAddr, error: &io::Error) -> io::Error {
    let port = addr.port();
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("; `ss -ltnp 'sport = :{port}'` shows who listens there: stop it or choose another port")
        }
        io::ErrorKind::AddrNotAvailable => {
            "; no interface has this address: choose one of `ip address`, or 0.0.0.0 or [::] for all"
                .to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            format!("; port {port} needs CAP_NET_BIND_SERVICE: grant it or choose a port from 1024 up")
        }
        _ => String::new(),
    };
    io::Error::new(error.kind(), format!("cannot listen on {addr}: {error}{advice}"))
}

#[cfg(test)]
mod tests;
