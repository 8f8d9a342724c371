//! Somebody on the way to an endpoint who spoils it: passes bytes on, or loses, delays, refuses and resets them, as the
//! test says while it runs.

use std::{
    future::pending,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use socket2::{Domain, Socket, Type};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::sleep,
};
use weft_runtime::Tasks;

use crate::patience::within;

/// Bytes that are passed on at once.
const CHUNK_BYTES: usize = 16 * 1024;

/// What becomes of connections and bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// Everything is passed on.
    Sound,
    /// Everything is passed on, each read so much later, both ways.
    Slow(Duration),
    /// Connections are accepted, and no byte is passed on, also on those that are open: they stop in mid-stream.
    Mute,
    /// Nobody answers whoever wants to connect; those that are open stop in mid-stream.
    Deaf,
    /// Whoever wants to connect is refused; those that are open are reset.
    Refused,
    /// Connections are accepted and reset; those that are open are reset.
    Reset,
}

impl Line {
    fn is_listening(self) -> bool {
        !matches!(self, Self::Deaf | Self::Refused)
    }

    fn resets(self) -> bool {
        matches!(self, Self::Refused | Self::Reset)
    }
}

/// A middlebox. Dropped, it is gone, with its connections.
pub struct Middlebox {
    address: SocketAddr,
    wanted: watch::Sender<Line>,
    in_force: watch::Receiver<Line>,
    connections: Arc<AtomicUsize>,
    _tasks: Tasks,
}

impl Middlebox {
    /// Listens on `at`, and passes what comes on to `to`, and back. To be called within a runtime.
    pub fn start(at: SocketAddr, to: SocketAddr) -> Self {
        let listener = listen(at);
        let (wanted, line) = watch::channel(Line::Sound);
        let (settled, in_force) = watch::channel(Line::Sound);
        let connections = Arc::new(AtomicUsize::new(0));
        let tasks = Tasks::new();
        let way = Way { to, line, connections: Arc::clone(&connections) };
        tasks.spawn("middlebox", keep(at, listener, way, settled));
        Self { address: at, wanted, in_force, connections, _tasks: tasks }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on does this: for whoever connects after the call, and for every byte read after it.
    pub async fn set(&mut self, line: Line) {
        // The task that receives ends with this value only.
        let _ = self.wanted.send(line);
        let settled = self.in_force.wait_for(|in_force| *in_force == line);
        let settled = within("the middlebox has changed", settled).await.map(drop);
        settled.expect("its task ends with it");
    }

    /// Connections that were accepted so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Relaxed)
    }
}

/// From whom to whom, and how.
#[derive(Clone)]
struct Way {
    to: SocketAddr,
    line: watch::Receiver<Line>,
    connections: Arc<AtomicUsize>,
}

/// What stands at the middlebox's address.
enum Door {
    Open(TcpListener),
    /// Held only to be there.
    Full(#[expect(dead_code, reason = "it acts by existing")] Full),
    Gone,
}

impl Door {
    /// The door for `line`: the one that there is, if that will do.
    fn follow(self, at: SocketAddr, line: Line) -> Self {
        if line.is_listening() && matches!(self, Self::Open(_)) {
            return self;
        }
        // Before another takes its address.
        drop(self);
        match line {
            Line::Deaf => Self::Full(Full::listen(at)),
            Line::Refused => Self::Gone,
            Line::Sound | Line::Slow(_) | Line::Mute | Line::Reset => Self::Open(listen(at)),
        }
    }

    /// The next connection, if there ever is one.
    async fn accept(&self) -> TcpStream {
        let Self::Open(listener) = self else { return pending().await };
        loop {
            if let Ok((stream, _)) = listener.accept().await {
                return stream;
            }
        }
    }
}

/// Lets the door follow the line.
async fn keep(at: SocketAddr, listener: TcpListener, mut way: Way, settled: watch::Sender<Line>) {
    let connections = Tasks::new();
    let mut door = Door::Open(listener);
    loop {
        let line = *way.line.borrow_and_update();
        door = door.follow(at, line);
        settled.send_replace(line);
        tokio::select! {
            accepted = door.accept() => {
                way.connections.fetch_add(1, Relaxed);
                connections.spawn("connection through the middlebox", carry(accepted, way.clone()));
            }
            changed = way.line.changed() => if changed.is_err() {
                return;
            }
        }
    }
}

fn listen(at: SocketAddr) -> TcpListener {
    let bound = std::net::TcpListener::bind(at).and_then(|listener| {
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    });
    bound.unwrap_or_else(|error| panic!("middlebox: listen on {at}: {error}"))
}

/// A socket whose queue is full, so that the kernel drops whatever asks for another connection.
struct Full {
    _listener: Socket,
    _queue: Vec<Socket>,
}

impl Full {
    /// The least queue that Linux makes takes two connections.
    const QUEUE: usize = 2;

    fn listen(at: SocketAddr) -> Self {
        let try_listen = || {
            let listener = Socket::new(Domain::for_address(at), Type::STREAM, None)?;
            listener.set_reuse_address(true)?;
            listener.bind(&at.into())?;
            listener.listen(0)?;
            let connect = |_| {
                let socket = Socket::new(Domain::for_address(at), Type::STREAM, None)?;
                socket.set_nonblocking(true)?;
                // It is under way, which is all that it is for.
                let _ = socket.connect(&at.into());
                Ok(socket)
            };
            let queue = (0..Self::QUEUE).map(connect).collect::<std::io::Result<_>>()?;
            Ok::<_, std::io::Error>(Self { _listener: listener, _queue: queue })
        };
        try_listen().unwrap_or_else(|error| panic!("middlebox: be deaf on {at}: {error}"))
    }
}

/// Carries one connection until it ends, or is reset.
async fn carry(mut near: TcpStream, way: Way) {
    let mut line = way.line.clone();
    tokio::select! {
        () = exchange(&mut near, &way) => {}
        _ = line.wait_for(|line| line.resets()) => {
            // Closing it then says so to whoever connected, and a socket that is gone already needs no reset.
            let _ = near.set_zero_linger();
        }
    }
}

/// Passes everything on, both ways.
async fn exchange(near: &mut TcpStream, way: &Way) {
    // A target that is not there is a closed connection to whoever called.
    let Ok(mut far) = TcpStream::connect(way.to).await else { return };
    let (near_read, near_write) = near.split();
    let (far_read, far_write) = far.split();
    tokio::join!(pass(near_read, far_write, way.line.clone()), pass(far_read, near_write, way.line.clone()));
}

/// Passes on until one side ends.
async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut line: watch::Receiver<Line>,
) {
    let mut buffer = vec![0; CHUNK_BYTES];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        // Without the middlebox there is no line, and the connection ends with it.
        let Ok(now) =
            line.wait_for(|line| matches!(line, Line::Sound | Line::Slow(_))).await.map(|line| *line)
        else {
            return;
        };
        if let Line::Slow(delay) = now {
            sleep(delay).await;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            break;
        }
    }
    // An error means that the other side has gone already.
    let _ = to.shutdown().await;
}
