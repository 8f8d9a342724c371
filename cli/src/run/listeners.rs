//! Are the addresses free? Asked before anything is started, so that the answer names the field to change.

use std::{io, net::TcpListener};

use super::plan::Listener;

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error(
    "{owner}: cannot listen on {} ({}): {source}\n  hint: stop what listens there (`ss -ltnp 'sport = :{}'` shows it), or change {}",
    .listener.address, .listener.purpose, .listener.address.port(), .listener.field
)]
pub(crate) struct Taken {
    owner: String,
    listener: Listener,
    #[source]
    source: io::Error,
}

/// Opens every listener once and closes it again. All are open at the same time, so two that claim the same address
/// are found too.
pub(crate) fn check(listeners: impl IntoIterator<Item = (String, Listener)>) -> Result<(), Taken> {
    let open = |(owner, listener): (String, Listener)| {
        TcpListener::bind(listener.address).map_err(|source| Taken { owner, listener, source })
    };
    let opened: Result<Vec<TcpListener>, Taken> = listeners.into_iter().map(open).collect();
    opened.map(drop)
}

#[cfg(test)]
mod tests;
