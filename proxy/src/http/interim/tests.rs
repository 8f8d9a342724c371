use std::{pin::pin, rc::Rc};

use futures_util::FutureExt;
use http_body_util::{Empty, StreamBody, channel::Channel};
use hyper::client::conn::http2;
use hyper_util::rt::TokioIo;
use tokio::{io::duplex, task::LocalSet};
use weft_runtime::Shutdown;

use super::*;
use crate::http::serve::{LocalExecutor, Version, serve};

fn headers(fields: &[(&'static str, &[u8])]) -> HeaderMap {
    let parsed = fields
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap()));
    let mut headers = HeaderMap::new();
    for (name, value) in parsed {
        headers.append(name, value);
    }
    headers
}

#[test]
fn a_head_stays_what_it_is() {
    let fields: [&[(&'static str, &[u8])]; 3] = [
        &[],
        &[("link", b"</a>; rel=preload"), ("link", b"</b>"), ("x-empty", b"")],
        &[("x-old", b"\xe4\xff"), ("x-colon", b"a: b"), ("x-tab", b"a\tb")],
    ];
    for status in [102, 103, 200, 418, 599] {
        let status = StatusCode::from_u16(status).unwrap();
        for headers in fields.map(headers) {
            assert_eq!(decode(&encode(status, &headers)), Some((status, headers)));
        }
    }
}

#[test]
fn what_is_no_head_is_none() {
    for head in [
        "",
        "\r\n\r\n",
        "HTTP/1.1 \r\n\r\n",
        "HTTP/1.1 99 No\r\n\r\n",
        "HTTP/2 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\nlink\r\n\r\n",
        "HTTP/1.1 200 OK\r\nlink:a\r\n\r\n",
        "HTTP/1.1 200 OK\r\nli nk: a\r\n\r\n",
        "HTTP/1.1 200 OK\r\nlink: a\rb\r\n\r\n",
        "HTTP/1.1 200 OK\r\nlink: a\0\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    ] {
        assert_eq!(decode(head.as_bytes()), None, "{head:?}");
    }
}

/// What another sidecar gets of a response, and what it hears before.
async fn folded<B, F>(
    respond: impl Fn(Interim) -> F + 'static,
) -> (Result<Response<Incoming>, InterimError>, Vec<Bytes>)
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    F: Future<Output = Response<B>> + 'static,
{
    let (caller, io) = duplex(1024);
    let (_trigger, shutdown) = Shutdown::manual();
    let respond = Rc::new(respond);
    let respond = move |_: Request<Incoming>, interim: Option<Interim>| {
        Box::pin(respond(interim.expect("it was asked for")))
    };
    tokio::task::spawn_local(async move {
        drop(serve(io, Version::Http2, true, shutdown.draining(), respond).await);
    });
    let (mut sender, connection) = http2::handshake(LocalExecutor, TokioIo::new(caller)).await.unwrap();
    tokio::task::spawn_local(async move { drop(connection.await) });
    let interim = Interim::default();
    let mut request = Request::get("http://a/").body(Empty::<Bytes>::new()).unwrap();
    interim.listen(&mut request, true);
    let response = interim.unfold(sender.send_request(request).await.unwrap()).await;
    let heard = poll_fn(|cx| Poll::Ready(interim.take(cx))).await;
    (response, heard.into())
}

async fn local(test: impl Future<Output = ()>) {
    LocalSet::new().run_until(test).await;
}

fn response<B>(status: u16, body: B) -> Response<B> {
    Response::builder().status(status).header("x-final", "yes").body(body).unwrap()
}

#[tokio::test]
async fn a_response_comes_out_as_it_was_folded() {
    local(async {
        for hints in [0, 1, 8] {
            let (answer, heard) = folded(move |interim| async move {
                for hint in 0..hints {
                    // Longer than what a frame of HTTP/2 holds.
                    let long = vec![b'a' + hint; 20_000];
                    interim.tell(StatusCode::EARLY_HINTS, &headers(&[("link", &long[..7_000])]));
                    tokio::task::yield_now().await;
                }
                let (mut sender, body) = Channel::<Bytes>::new(3);
                tokio::task::spawn_local(async move {
                    sender.send_data(Bytes::from_static(b"hel")).await.unwrap();
                    sender.send_data(Bytes::from_static(b"lo")).await.unwrap();
                    sender.send_trailers(headers(&[("x-sum", b"1")])).await.unwrap();
                });
                response(206, body)
            })
            .await;
            assert_eq!(heard.len(), usize::from(hints));
            assert!(heard.iter().all(|head| head.starts_with(b"HTTP/1.1 103 ") && head.ends_with(END)));
            let answer = answer.unwrap();
            assert_eq!(
                (answer.status().as_u16(), answer.headers()["x-final"].as_bytes()),
                (206, &b"yes"[..])
            );
            assert!(!answer.headers().contains_key(names::HEADER_INTERIM));
            let body = answer.into_body().collect().await.unwrap();
            assert_eq!(body.trailers().unwrap()["x-sum"], "1");
            assert_eq!(body.to_bytes(), "hello");
        }
    })
    .await;
}

#[tokio::test]
async fn a_flood_ends_what_waits_for_the_response() {
    local(async {
        let interim = Interim::default();
        let never = pin!(std::future::pending::<()>());
        let mut waited = pin!(interim.unless_flooded(never));
        let empty = HeaderMap::new();
        for _ in 0..HEADS_MAX {
            interim.tell(StatusCode::PROCESSING, &empty);
            assert!(waited.as_mut().now_or_never().is_none());
        }
        // 100 is not passed on, and counts.
        interim.tell(StatusCode::CONTINUE, &empty);
        assert!(matches!(waited.await, Err(InterimError::Flood)));
        // The next try begins anew; but not with what all of them may say.
        interim.listen(&mut Request::new(()), false);
        let never = pin!(std::future::pending::<()>());
        let mut waited = pin!(interim.unless_flooded(never));
        interim.tell(StatusCode::PROCESSING, &empty);
        assert!(waited.as_mut().now_or_never().is_none());
        interim.tell(StatusCode::EARLY_HINTS, &headers(&[("link", &vec![b'a'; BYTES_MAX])]));
        assert!(matches!(waited.await, Err(InterimError::Flood)));
    })
    .await;
}

#[tokio::test]
async fn what_another_sidecar_spoils_is_malformed() {
    local(async {
        let hint = "HTTP/1.1 103 Early Hints\r\n\r\n";
        for frames in [
            vec![],
            vec![hint.to_owned()],
            vec![hint.to_owned(), "HTTP/1.1 200 OK\r\n".to_owned()],
            vec![format!("{hint}HTTP/1.1 200 OK\r\n\r\n")],
            vec!["HTTP/1.1 200 OK\r\n\r\nhello".to_owned()],
            vec!["HTTP/1.1 101 Switching Protocols\r\n\r\n".to_owned()],
            vec![format!("HTTP/1.1 200 OK\r\nx-long: {}\r\n\r\n", "a".repeat(BYTES_MAX))],
        ] {
            let what = format!("{frames:?}");
            let (answer, _) = folded(move |_| {
                let frames: Vec<_> = frames.iter().cloned().map(Bytes::from).collect();
                async move {
                    let body = StreamBody::new(tokio_stream::iter(
                        frames.into_iter().map(|frame| Ok::<_, std::convert::Infallible>(Frame::data(frame))),
                    ));
                    let mut response = response(200, body);
                    response.headers_mut().insert(names::HEADER_INTERIM, HeaderValue::from_static(""));
                    response
                }
            })
            .await;
            assert!(matches!(answer, Err(InterimError::Malformed)), "{what}: {answer:?}");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_response_that_breaks_off_is_no_response() {
    local(async {
        let (answer, heard) = folded(|_| async {
            let (mut sender, body) = Channel::<Bytes, &str>::new(1);
            tokio::task::spawn_local(async move {
                sender.send_data(Bytes::from_static(b"HTTP/1.1 103 Early Hints\r\n\r\n")).await.unwrap();
                // Once nothing else is left to be done.
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                sender.abort("it broke off");
            });
            let mut response = response(200, body);
            response.headers_mut().insert(names::HEADER_INTERIM, HeaderValue::from_static(""));
            response
        })
        .await;
        assert!(matches!(answer, Err(InterimError::Broken(_))), "{answer:?}");
        assert_eq!(heard.len(), 1);
    })
    .await;
}

#[test]
fn a_response_without_a_body_has_no_room() {
    for (method, asks) in [(Method::HEAD, false), (Method::CONNECT, false), (Method::GET, true)] {
        let mut request = Request::builder().method(&method).body(()).unwrap();
        Interim::default().listen(&mut request, true);
        assert_eq!(request.headers().contains_key(names::HEADER_INTERIM), asks, "{method}");
    }
}
