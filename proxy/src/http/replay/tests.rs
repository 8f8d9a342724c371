use std::{convert::Infallible, future::poll_fn};

use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, StreamBody, channel::Channel};
use hyper::{client::conn::http2 as client, server::conn::http2 as server, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{sync::oneshot, task::LocalSet};

use super::*;
use crate::http::serve::LocalExecutor;

/// Runs `test` with the body that a peer sends over a real HTTP/2 connection.
async fn with_body<F>(frames: Vec<Frame<Bytes>>, test: impl FnOnce(Incoming) -> F)
where
    F: Future<Output = ()>,
{
    let run = async move {
        let (near, far) = tokio::io::duplex(1 << 20);
        let (give, got) = oneshot::channel();
        let give = RefCell::new(Some(give));
        let service = service_fn(move |request: Request<Incoming>| {
            let _ = give.borrow_mut().take().map(|give| give.send(request.into_body()));
            // The request's body is read outside; the response must not come before that is over.
            std::future::pending::<Result<Response<String>, Infallible>>()
        });
        tokio::task::spawn_local(async move {
            server::Builder::new(LocalExecutor).serve_connection(TokioIo::new(far), service).await
        });
        let (mut sender, connection) = client::handshake(LocalExecutor, TokioIo::new(near)).await.unwrap();
        tokio::task::spawn_local(connection);
        let frames = frames.into_iter().map(Ok::<_, Infallible>);
        let body = StreamBody::new(futures_util::stream::iter(frames));
        let sending = tokio::task::spawn_local(async move { sender.send_request(Request::new(body)).await });
        test(got.await.unwrap()).await;
        sending.abort();
    };
    LocalSet::new().run_until(run).await;
}

fn data(text: &'static str) -> Frame<Bytes> {
    Frame::data(Bytes::from_static(text.as_bytes()))
}

async fn read(body: Replay) -> (Bytes, Option<HeaderMap>) {
    let collected = body.collect().await.unwrap();
    let trailers = collected.trailers().cloned();
    (collected.to_bytes(), trailers)
}

#[tokio::test]
async fn every_try_sends_the_same_bytes_and_trailers() {
    let trailers =
        HeaderMap::from_iter([(http::HeaderName::from_static("x-sum"), HeaderValue::from_static("1"))]);
    let frames = vec![data("ab"), data("cde"), Frame::trailers(trailers.clone())];
    with_body(frames, |body| async move {
        let kept = Kept::new(body.into(), 64);
        for _ in 0..3 {
            assert!(kept.borrow().can_replay());
            assert_eq!(
                read(Replay::start(&kept)).await,
                (Bytes::from_static(b"abcde"), Some(trailers.clone()))
            );
        }
    })
    .await;
}

#[tokio::test]
async fn a_try_that_broke_off_is_followed_by_the_whole_body() {
    with_body(vec![data("ab"), data("cd"), data("ef")], |body| async move {
        let kept = Kept::new(body.into(), 64);
        let mut first = Replay::start(&kept);
        let frame = first.frame().await.unwrap().unwrap();
        assert!(b"abcdef".starts_with(&frame.into_data().unwrap()));
        let second = Replay::start(&kept);
        // An abandoned connection may still poll its body: it must take nothing away.
        assert!(matches!(
            poll_fn(|cx| Pin::new(&mut first).poll_frame(cx)).await,
            Some(Err(BodyError::Superseded))
        ));
        assert_eq!(read(second).await.0, "abcdef");
    })
    .await;
}

#[tokio::test]
async fn beyond_the_bound_the_body_still_flows_but_only_once() {
    for (bound, again) in [(6, true), (5, false), (0, false)] {
        with_body(vec![data("abc"), data("def")], |body| async move {
            let kept = Kept::new(body.into(), bound);
            assert_eq!(read(Replay::start(&kept)).await.0, "abcdef", "bound {bound}");
            assert_eq!(kept.borrow().can_replay(), again, "bound {bound}");
        })
        .await;
    }
}

#[tokio::test]
async fn bytes_flow_before_the_body_is_complete() {
    let (mut sender, body) = Channel::<Bytes, Infallible>::new(1);
    let (near, far) = tokio::io::duplex(1 << 16);
    let run = async move {
        let service = service_fn(|request: Request<Incoming>| async {
            let mut body = Replay::start(&Kept::new(request.into_body().into(), 64));
            let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
            Ok::<_, Infallible>(Response::new(http_body_util::Full::new(first)))
        });
        tokio::task::spawn_local(async move {
            server::Builder::new(LocalExecutor).serve_connection(TokioIo::new(far), service).await
        });
        let (mut client, connection) = client::handshake(LocalExecutor, TokioIo::new(near)).await.unwrap();
        tokio::task::spawn_local(connection);
        let sending = client.send_request(Request::new(body));
        sender.send_data(Bytes::from_static(b"first")).await.unwrap();
        // The body has no end yet, and the answer is here.
        let response = sending.await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "first");
        drop(sender);
    };
    LocalSet::new().run_until(run).await;
}
