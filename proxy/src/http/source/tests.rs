use std::future::poll_fn;

use http::HeaderValue;
use http_body_util::BodyExt;

use super::*;

fn data(bytes: usize) -> Frame<Bytes> {
    Frame::data(Bytes::from(vec![b'x'; bytes]))
}

#[tokio::test]
async fn a_copy_is_what_was_written_with_its_trailers() {
    let (copier, copied) = copy();
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    copier.push(&Frame::data(Bytes::from_static(b"hello ")));
    copier.push(&Frame::data(Bytes::from_static(b"world")));
    copier.push(&Frame::trailers(trailers.clone()));
    drop(copier);
    let collected = Source::Copy(copied).collect().await.unwrap();
    assert_eq!(collected.trailers(), Some(&trailers));
    assert_eq!(collected.to_bytes(), "hello world");
}

#[tokio::test]
async fn a_reader_waits_for_more_and_for_the_end() {
    let (copier, copied) = copy();
    let mut copied = Source::Copy(copied);
    let mut next = async || poll_fn(|cx| Pin::new(&mut copied).poll_frame(cx)).await;
    let (first, ()) = tokio::join!(next(), async { copier.push(&data(3)) });
    assert_eq!(first.unwrap().unwrap().into_data().unwrap(), "xxx");
    let (last, ()) = tokio::join!(next(), async { copier.finish() });
    assert!(last.is_none() && copied.is_end_stream());
}

#[tokio::test]
async fn a_copy_that_falls_behind_is_given_up_and_holds_nothing() {
    let (copier, copied) = copy();
    copier.push(&data(COPY_BYTES_MAX));
    assert!(!Source::Copy(Copied(Rc::clone(&copied.0))).is_end_stream());
    copier.push(&data(1));
    copier.push(&data(1));
    assert!(copied.0.borrow().frames.is_empty());
    assert!(matches!(Source::Copy(copied).collect().await, Err(BodyError::Incomplete)));
}

#[tokio::test]
async fn a_copy_that_keeps_up_may_be_of_any_length() {
    let (copier, copied) = copy();
    let mut copied = Source::Copy(copied);
    for _ in 0..10 {
        copier.push(&data(COPY_BYTES_MAX));
        let frame = poll_fn(|cx| Pin::new(&mut copied).poll_frame(cx)).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap().len(), COPY_BYTES_MAX);
    }
}

#[tokio::test]
async fn an_original_that_ends_early_gives_the_copy_up() {
    let (copier, copied) = copy();
    copier.push(&data(1));
    drop(copier);
    assert!(matches!(Source::Copy(copied).collect().await, Err(BodyError::Incomplete)));
}

#[test]
fn nothing_is_kept_for_a_reader_that_is_gone() {
    let (copier, copied) = copy();
    drop(copied);
    copier.push(&data(10));
    assert!(copier.0.borrow().frames.is_empty());
}
