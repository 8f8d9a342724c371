//! Start of a process and its end: environment, runtime, signals.

use std::io;

use tokio::{runtime::Builder, signal::unix, signal::unix::SignalKind};

/// The address of the API from the environment, `API_ADDR`, as a ConfigMap hands it to a container.
pub fn api_address() -> Option<String> {
    #[allow(clippy::disallowed_methods, reason = "this module is the one that reads the environment")]
    std::env::var("API_ADDR").ok()
}

/// Runs `service` on this thread to its end.
pub fn block_on<T>(service: impl Future<Output = T>) -> io::Result<T> {
    Ok(Builder::new_current_thread().enable_all().build()?.block_on(service))
}

/// Resolves at the first SIGTERM or SIGINT.
pub fn terminated() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = unix::signal(SignalKind::terminate())?;
    let mut interrupt = unix::signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
