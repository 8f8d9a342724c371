//! Somebody on the wire between two sidecars: passes everything on, and keeps a copy.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use weft_runtime::Tasks;

/// A relay. Dropped, it is gone, with its connections.
pub struct Relay {
    copy: Arc<Mutex<Vec<u8>>>,
    _tasks: Tasks,
}

impl Relay {
    /// Listens on `at`, and passes what comes on to `to`, and back.
    pub async fn start(at: SocketAddr, to: SocketAddr) -> Self {
        let listener =
            TcpListener::bind(at).await.unwrap_or_else(|error| panic!("relay: listen on {at}: {error}"));
        let copy = Arc::new(Mutex::new(Vec::new()));
        let tasks = Tasks::new();
        tasks.spawn("relay", accept(listener, to, Arc::clone(&copy)));
        Self { copy, _tasks: tasks }
    }

    /// Every byte so far, in both directions.
    pub fn copy(&self) -> Vec<u8> {
        self.copy.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn accept(listener: TcpListener, to: SocketAddr, copy: Arc<Mutex<Vec<u8>>>) {
    let connections = Tasks::new();
    while let Ok((near, _)) = listener.accept().await {
        let copy = Arc::clone(&copy);
        connections.spawn("relayed connection", async move {
            // A target that is not there is a closed connection to whoever called.
            let Ok(far) = TcpStream::connect(to).await else { return };
            let (near_read, near_write) = near.into_split();
            let (far_read, far_write) = far.into_split();
            tokio::join!(pass(near_read, far_write, &copy), pass(far_read, near_write, &copy));
        });
    }
}

/// Passes on until one side ends.
async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, copy: &Mutex<Vec<u8>>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        copy.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..read]);
        if to.write_all(&buffer[..read]).await.is_err() {
            break;
        }
    }
    // An error means that the other side has gone already.
    let _ = to.shutdown().await;
}
