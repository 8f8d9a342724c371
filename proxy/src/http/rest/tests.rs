use std::{cell::Cell, rc::Rc, sync::atomic::AtomicUsize};

use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, Full};
use tokio::{
    io::{AsyncReadExt, DuplexStream, duplex},
    net::{TcpListener, TcpStream},
    runtime,
    sync::Notify,
    task::LocalSet,
};
use weft_runtime::{Shutdown, shutdown::Trigger};

use super::*;

/// Bytes between the two ends of a connection in these tests.
const PIPE_BYTES: usize = 1024;

/// An end that knows who reads it: hyper, or somebody who has room for the first bytes only.
struct Watched<S> {
    io: S,
    room: Arc<AtomicUsize>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.room.store(buf.remaining(), Relaxed);
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// A connection that is served: `/BYTES` is answered by so many bytes, `/held` when it is let go, `/left` by leaving HTTP
/// for an echo. Before each, it is said what `hint` of the request says.
struct Served<S> {
    caller: S,
    room: Arc<AtomicUsize>,
    asked: Rc<Cell<u32>>,
    held: Rc<Notify>,
    ended: tokio::task::JoinHandle<hyper::Result<()>>,
    trigger: Trigger,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Served<S> {
    fn new(caller: S, io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let (trigger, shutdown) = Shutdown::manual();
        let (room, asked, held) = (Arc::<AtomicUsize>::default(), Rc::<Cell<u32>>::default(), Rc::default());
        let respond = {
            let (asked, held) = (Rc::clone(&asked), Rc::clone(&held));
            move |request: Request<Incoming>, interim| {
                asked.set(asked.get() + 1);
                let held = Rc::clone(&held);
                async move { answer(request, interim, &held).await }
            }
        };
        let io = Watched { io, room: Arc::clone(&room) };
        let ended = tokio::task::spawn_local(async move { serve(io, shutdown.draining(), respond).await });
        Self { caller, room, asked, held, ended, trigger }
    }

    async fn say(&mut self, text: &str) {
        self.caller.write_all(text.as_bytes()).await.unwrap();
    }

    async fn ask(&mut self, path: &str) {
        self.say(&format!("GET /{path} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
    }

    /// The body of the next response, and whether the connection stays.
    async fn hear(&mut self) -> (usize, bool) {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            head.push(char::from(self.caller.read_u8().await.unwrap()));
        }
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        self.caller.read_exact(&mut body).await.unwrap();
        (body.len(), !head.contains("connection: close"))
    }

    async fn exchange(&mut self, bytes: usize) {
        self.ask(&bytes.to_string()).await;
        assert_eq!(self.hear().await, (bytes, true));
    }

    fn is_taken_apart(&self) -> bool {
        self.room.load(Relaxed) == FIRST_BYTES
    }

    /// Asks for `path`, before which this is to be said.
    async fn ask_with_hint(&mut self, path: &str, hint: &str) {
        self.say(&format!("GET /{path} HTTP/1.1\r\nhost: a\r\nhint: {hint}\r\n\r\n")).await;
    }

    async fn hear_hint(&mut self, hint: &str) {
        let expected = format!("HTTP/1.1 103 Early Hints\r\nlink: {hint}\r\n\r\n");
        let mut heard = vec![0; expected.len()];
        self.caller.read_exact(&mut heard).await.unwrap();
        assert!(heard == expected.as_bytes(), "{}", String::from_utf8_lossy(&heard));
    }

    /// What the caller reads, to the end.
    async fn rest(&mut self) -> String {
        let mut rest = String::new();
        self.caller.read_to_string(&mut rest).await.unwrap();
        rest
    }
}

fn served() -> Served<DuplexStream> {
    let (caller, io) = duplex(PIPE_BYTES);
    Served::new(caller, io)
}

async fn answer(
    mut request: Request<Incoming>,
    interim: Option<Interim>,
    held: &Notify,
) -> Response<Full<Bytes>> {
    let path = request.uri().path()[1..].to_owned();
    if let Some(hint) = request.headers().get("hint") {
        let headers = HeaderMap::from_iter([(http::header::LINK, hint.clone())]);
        interim.expect("it takes hints").tell(StatusCode::EARLY_HINTS, &headers);
    }
    if path == "left" {
        let leaving = hyper::upgrade::on(&mut request);
        tokio::task::spawn_local(async move {
            let mut io = TokioIo::new(leaving.await.unwrap());
            let mut byte = [0];
            while io.read_exact(&mut byte).await.is_ok() && io.write_all(&byte).await.is_ok() {}
        });
        let response =
            Response::builder().status(101).header("connection", "upgrade").header("upgrade", "echo");
        return response.body(Full::default()).unwrap();
    }
    request.into_body().collect().await.unwrap();
    if path == "held" {
        held.notified().await;
    }
    Response::new(Full::from(vec![b'x'; path.parse().unwrap_or(0)]))
}

/// Within this time a connection that rests has been seen twice.
const NOTICED: Duration = LOOK.saturating_mul(3);

async fn local(test: impl Future<Output = ()>) {
    LocalSet::new().run_until(test).await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_rests_is_taken_apart_and_serves_the_next_request_whenever_it_comes() {
    local(async {
        let mut served = served();
        for rest in [NOTICED, HEADERS_TIMEOUT, HEADERS_TIMEOUT * 6, IDLE.saturating_sub(LOOK)] {
            served.exchange(5).await;
            assert!(!served.is_taken_apart());
            sleep(rest).await;
            assert!(served.is_taken_apart(), "after {rest:?}");
        }
        served.exchange(0).await;
        assert_eq!(served.asked.get(), 5);
    })
    .await;
}

/// Bytes that a connection may hold while it rests, besides what lies in the pipe of the test.
const RESTING_BYTES_MAX: i64 = 4 * 1024;

#[test]
fn a_connection_that_rests_holds_little_memory() {
    let runtime = runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let (tasks, mut kept) = (LocalSet::new(), None);
    let held = allocation_counter::measure(|| {
        kept = Some(runtime.block_on(tasks.run_until(async {
            let mut served = served();
            served.exchange(5).await;
            sleep(NOTICED).await;
            served
        })));
    });
    assert!(kept.is_some_and(|served| served.is_taken_apart()));
    let most = RESTING_BYTES_MAX + 2 * i64::try_from(PIPE_BYTES).unwrap();
    assert!(held.bytes_current <= most, "{} bytes", held.bytes_current);
}

#[tokio::test(start_paused = true)]
async fn a_busy_connection_stays_as_it_is() {
    local(async {
        let mut served = served();
        for _ in 0..100 {
            served.exchange(5).await;
            sleep(LOOK / 3).await;
            assert!(!served.is_taken_apart());
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_rests_for_too_long_is_closed() {
    local(async {
        let mut served = served();
        served.exchange(5).await;
        let begun = Instant::now();
        assert_eq!(served.rest().await, "");
        assert!((IDLE..=IDLE + NOTICED).contains(&begun.elapsed()), "{:?}", begun.elapsed());
        assert!(served.ended.await.unwrap().is_ok());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_time_for_a_head_begins_with_its_first_byte() {
    local(async {
        for rest in [Duration::ZERO, LOOK, HEADERS_TIMEOUT * 3] {
            let mut served = served();
            served.exchange(5).await;
            sleep(rest).await;
            served.say("GET /7 HT").await;
            sleep(HEADERS_TIMEOUT.saturating_sub(LOOK)).await;
            served.say("TP/1.1\r\nhost: a\r\n\r\n").await;
            assert_eq!(served.hear().await, (7, true), "{rest:?}");
            served.say("GET /7 HT").await;
            let begun = Instant::now();
            assert_eq!(served.rest().await, "");
            assert!((HEADERS_TIMEOUT..=HEADERS_TIMEOUT + LOOK).contains(&begun.elapsed()), "{rest:?}");
            assert!(served.ended.await.unwrap().unwrap_err().is_timeout());
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_at_all_is_not_kept() {
    local(async {
        let mut served = served();
        let begun = Instant::now();
        assert_eq!(served.rest().await, "");
        assert!((HEADERS_TIMEOUT..=HEADERS_TIMEOUT + LOOK).contains(&begun.elapsed()));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_head_that_came_in_part_with_the_request_before_is_not_lost() {
    local(async {
        let mut served = served();
        served.say("GET /3 HTTP/1.1\r\nhost: a\r\n\r\nGET /4 HT").await;
        assert_eq!(served.hear().await, (3, true));
        sleep(HEADERS_TIMEOUT.saturating_sub(LOOK)).await;
        served.say("TP/1.1\r\nhost: a\r\n\r\n").await;
        assert_eq!(served.hear().await, (4, true));
        served.say("GET /3 HTTP/1.1\r\nhost: a\r\n\r\nGET /4 HT").await;
        assert_eq!(served.hear().await, (3, true));
        let begun = Instant::now();
        assert_eq!(served.rest().await, "");
        assert!(begun.elapsed() <= HEADERS_TIMEOUT + NOTICED + LOOK, "{:?}", begun.elapsed());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn requests_that_come_at_once_after_a_rest_are_all_answered() {
    local(async {
        let mut served = served();
        served.exchange(5).await;
        sleep(HEADERS_TIMEOUT).await;
        assert!(served.is_taken_apart());
        // More of them than are read before hyper reads, and than hyper takes in one go.
        let (mut reading, mut writing) = tokio::io::split(served.caller);
        let all = "GET /9 HTTP/1.1\r\nhost: a\r\n\r\n".repeat(100);
        let answers = async {
            let mut answers = Vec::new();
            while answers.windows(13).filter(|part| *part == b"\r\n\r\nxxxxxxxxx").count() < 100 {
                assert_ne!(reading.read_buf(&mut answers).await.unwrap(), 0);
            }
        };
        let ((), asked) = tokio::join!(answers, writing.write_all(all.as_bytes()));
        asked.unwrap();
        assert_eq!(served.asked.get(), 101);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_the_caller_does_not_read_keeps_the_connection_whole() {
    local(async {
        let mut served = served();
        let bytes = 100 * PIPE_BYTES;
        served.ask(&bytes.to_string()).await;
        sleep(HEADERS_TIMEOUT * 10).await;
        assert!(!served.is_taken_apart());
        assert_eq!(served.hear().await, (bytes, true));
        sleep(NOTICED).await;
        assert!(served.is_taken_apart());
        // The last byte of it too: what hyper has written is not yet what has arrived.
        let bytes = PIPE_BYTES;
        served.ask(&bytes.to_string()).await;
        sleep(HEADERS_TIMEOUT).await;
        assert!(!served.is_taken_apart());
        assert_eq!(served.hear().await, (bytes, true));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_under_way_is_no_rest() {
    local(async {
        let mut served = served();
        served.ask("held").await;
        sleep(IDLE * 2).await;
        assert!(!served.is_taken_apart());
        served.held.notify_one();
        assert_eq!(served.hear().await, (0, true));
        // Nor is one whose body is.
        served.say("POST /6 HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\na").await;
        sleep(IDLE * 2).await;
        assert!(!served.is_taken_apart());
        served.say("b").await;
        assert_eq!(served.hear().await, (6, true));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_has_left_http_may_be_silent() {
    local(async {
        let mut served = served();
        served.exchange(5).await;
        sleep(HEADERS_TIMEOUT).await;
        served.say("GET /left HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n").await;
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            head.push(char::from(served.caller.read_u8().await.unwrap()));
        }
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        sleep(IDLE * 2).await;
        served.say("e").await;
        assert_eq!(served.caller.read_u8().await.unwrap(), b'e');
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_a_rest_and_lets_a_request_end() {
    local(async {
        let mut resting = served();
        resting.exchange(5).await;
        sleep(HEADERS_TIMEOUT).await;
        let begun = Instant::now();
        resting.trigger.drain();
        assert_eq!(resting.rest().await, "");
        assert_eq!(begun.elapsed(), Duration::ZERO);

        let mut busy = served();
        busy.exchange(5).await;
        sleep(HEADERS_TIMEOUT).await;
        busy.ask("held").await;
        sleep(LOOK / 2).await;
        busy.trigger.drain();
        sleep(HEADERS_TIMEOUT).await;
        busy.held.notify_one();
        assert_eq!(busy.hear().await, (0, false));
        assert_eq!(busy.rest().await, "");

        // What had come before the drain was seen is answered.
        let mut asked = served();
        asked.exchange(5).await;
        sleep(HEADERS_TIMEOUT).await;
        asked.ask("8").await;
        asked.trigger.drain();
        assert_eq!(asked.hear().await.0, 8);
        assert_eq!(asked.rest().await, "");

        // A head that began before it has no longer than otherwise.
        let mut stalled = served();
        stalled.exchange(5).await;
        stalled.say("GET /7 HT").await;
        sleep(LOOK / 2).await;
        stalled.trigger.drain();
        assert_eq!(stalled.rest().await, "");
        assert!(begun.elapsed() < HEADERS_TIMEOUT * 6);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_comes_before_a_response_is_said_at_once() {
    local(async {
        let mut served = served();
        for rest in [Duration::ZERO, NOTICED] {
            served.ask_with_hint("held", "</a>").await;
            served.hear_hint("</a>").await;
            served.held.notify_one();
            assert_eq!(served.hear().await, (0, true));
            // Where the response is there at once, it comes right behind.
            served.ask_with_hint("7", "</b>").await;
            served.hear_hint("</b>").await;
            assert_eq!(served.hear().await, (7, true));
            sleep(rest).await;
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_comes_before_a_response_never_comes_into_another_message() {
    local(async {
        let mut served = served();
        // Nobody reads anything until all has been asked.
        let long = "x".repeat(3 * PIPE_BYTES);
        let body = 10 * PIPE_BYTES;
        served.ask(&body.to_string()).await;
        let (mut reading, mut writing) = tokio::io::split(served.caller);
        let asking = async {
            for (path, hint) in
                [("held", long.as_str()), ("5", &long), (&body.to_string(), "</b>"), ("6", "</c>")]
            {
                let asked = format!("GET /{path} HTTP/1.1\r\nhost: a\r\nhint: {hint}\r\n\r\n");
                writing.write_all(asked.as_bytes()).await.unwrap();
            }
        };
        let held = Rc::clone(&served.held);
        let hearing = async {
            let mut heard = String::new();
            let mut some = [0; 100];
            while heard.matches("HTTP/1.1 200 OK").count() < 5 || !heard.ends_with("xxxxxx") {
                // Slower than all that is said, so that every write is cut somewhere.
                sleep(Duration::from_millis(10)).await;
                let bytes = reading.read(&mut some).await.unwrap();
                heard.push_str(std::str::from_utf8(&some[..bytes]).unwrap());
                // The response is there while its hint is on its way.
                if heard.len() > body + PIPE_BYTES {
                    held.notify_one();
                }
            }
            heard
        };
        let ((), heard) = tokio::join!(asking, hearing);
        let hint = |hint: &str| format!("HTTP/1.1 103 Early Hints\r\nlink: {hint}\r\n\r\n");
        let mut rest = heard.as_str();
        for (hinted, length) in [("", body), (long.as_str(), 0), (&long, 5), ("</b>", body), ("</c>", 6)] {
            if !hinted.is_empty() {
                rest = rest.strip_prefix(&hint(hinted)).unwrap_or_else(|| panic!("{hinted}: {rest}"));
            }
            let (head, after) = rest.split_once("\r\n\r\n").unwrap();
            assert!(
                head.starts_with("HTTP/1.1 200 OK") && head.contains(&format!("content-length: {length}"))
            );
            assert_eq!(after[..length], "x".repeat(length));
            rest = &after[length..];
        }
        assert_eq!(rest, "");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn http_1_0_takes_nothing_before_a_response() {
    local(async {
        let mut served = served();
        served.say("GET /3 HTTP/1.0\r\nhost: a\r\n\r\n").await;
        assert!(served.rest().await.starts_with("HTTP/1.0 200 OK"));
    })
    .await;
}

/// A connection over the machine's own network.
async fn connected() -> Served<TcpStream> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (caller, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    Served::new(caller.unwrap(), accepted.unwrap().0)
}

#[tokio::test(start_paused = true)]
async fn a_socket_rests_and_serves_again() {
    local(async {
        let mut served = connected().await;
        for _ in 0..3 {
            served.exchange(100_000).await;
            sleep(HEADERS_TIMEOUT * 6).await;
            assert!(served.is_taken_apart());
        }
        // The caller ends it meanwhile.
        served.caller.shutdown().await.unwrap();
        assert_eq!(served.rest().await, "");
        assert!(served.ended.await.unwrap().is_ok());
    })
    .await;
}
