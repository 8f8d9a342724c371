//! An application that speaks HTTP as the test says, byte by byte, and as badly: for each request once, and then well.

// Frames of HTTP/2.
mod frames;

use std::{
    collections::VecDeque,
    io,
    net::{self, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use weft_runtime::Tasks;

use crate::client::Version;
pub use frames::Frame;

/// The body of answers that are as they should be.
pub const TRUTH: &str = "truth";

/// What is answered to one request.
#[derive(Clone, Debug)]
pub struct Lie {
    /// The answer.
    pub said: Said,
    /// And then.
    pub then: Then,
}

impl Lie {
    /// Bytes of HTTP/1.1 after which the connection stays.
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self { said: Said::Bytes(bytes.into()), then: Then::Stays }
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub enum Said {
    /// By HTTP/1.1, or not by any HTTP.
    Bytes(Vec<u8>),
    /// By HTTP/2.
    Frames(Vec<Frame>),
}

/// What becomes of the connection after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// It waits for the next request.
    Stays,
    /// It is closed.
    Closes,
    /// It is reset.
    Resets,
}

/// Such an application. Dropped, it is gone, with its connections.
pub struct Liar {
    address: SocketAddr,
    state: Arc<State>,
    _tasks: Tasks,
}

#[derive(Default)]
struct State {
    lies: Mutex<VecDeque<Lie>>,
    open: AtomicUsize,
}

impl Liar {
    /// Starts one that speaks this version.
    pub async fn start(version: Version) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has free ports");
        Self::accepting(listener, version)
    }

    /// The same where somebody listens already, such as in a pod.
    pub fn at(listener: net::TcpListener, version: Version) -> Self {
        let listener = listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener));
        Self::accepting(listener.expect("it listens"), version)
    }

    fn accepting(listener: TcpListener, version: Version) -> Self {
        let address = listener.local_addr().expect("it is bound");
        let (state, tasks) = (Arc::new(State::default()), Tasks::new());
        tasks.spawn("liar", accept(listener, version, Arc::clone(&state)));
        Self { address, state, _tasks: tasks }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next request is answered so.
    pub fn next(&self, lie: Lie) {
        self.state.lies.lock().unwrap_or_else(PoisonError::into_inner).push_back(lie);
    }

    /// Connections that are open.
    pub fn open(&self) -> usize {
        self.state.open.load(Relaxed)
    }
}

impl State {
    fn next(&self) -> Option<Lie> {
        self.lies.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

async fn accept(listener: TcpListener, version: Version, state: Arc<State>) {
    let connections = Tasks::new();
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        connections.spawn("connection to the liar", async move {
            state.open.fetch_add(1, Relaxed);
            // An error is the caller's going away.
            let _ = match version {
                Version::Http1 => http1(stream, &state).await,
                Version::Http2 => http2(stream, &state).await,
            };
            state.open.fetch_sub(1, Relaxed);
        });
    }
}

async fn http1(mut stream: TcpStream, state: &State) -> io::Result<()> {
    let truth = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{TRUTH}", TRUTH.len());
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let lie = state.next();
        let (bytes, then) = match &lie {
            Some(Lie { said: Said::Bytes(bytes), then }) => (bytes.as_slice(), *then),
            Some(Lie { said: Said::Frames(_), .. }) => panic!("this liar speaks HTTP/1.1"),
            None => (truth.as_bytes(), Then::Stays),
        };
        stream.write_all(bytes).await?;
        if end(&mut stream, then).await? {
            return Ok(());
        }
    }
}

async fn http2(mut stream: TcpStream, state: &State) -> io::Result<()> {
    stream.read_exact(&mut [0; frames::PREFACE.len()]).await?;
    stream.write_all(&Frame::settings().encode(0)).await?;
    let truth = Lie { said: Said::Frames(Frame::answer(TRUTH.as_bytes())), then: Then::Stays };
    while let Some(id) = frames::request(&mut stream).await? {
        let Lie { said, then } = state.next().unwrap_or_else(|| truth.clone());
        let bytes = match said {
            Said::Bytes(bytes) => bytes,
            Said::Frames(frames) => frames.iter().flat_map(|frame| frame.encode(id)).collect(),
        };
        stream.write_all(&bytes).await?;
        if end(&mut stream, then).await? {
            return Ok(());
        }
    }
    Ok(())
}

/// Whether that was the end of the connection.
async fn end(stream: &mut TcpStream, then: Then) -> io::Result<bool> {
    match then {
        Then::Stays => return Ok(false),
        // Who closes with bytes unread resets: they are read until the caller has gone.
        Then::Closes => {
            stream.shutdown().await?;
            tokio::io::copy(stream, &mut tokio::io::sink()).await?;
        }
        Then::Resets => stream.set_zero_linger()?,
    }
    Ok(true)
}
