use std::{
    future::ready,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use http::Request;
use hyper::body::Incoming;
use tokio::{net::TcpListener, sync::oneshot};

use super::*;
use crate::serve::{answer, serve};

fn options(url: &str, requests: u64) -> Options {
    Options {
        target: url.parse().unwrap(),
        rate: NonZeroU32::new(1000).unwrap(),
        requests,
        marked: Some("vibes".to_owned()),
    }
}

#[tokio::test]
async fn every_request_is_counted_by_its_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/some?where", listener.local_addr().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let count = Arc::new(AtomicU64::new(0));
    let handler = move |request: Request<Incoming>| {
        assert_eq!(request.uri(), "/some?where");
        let is_third = count.fetch_add(1, Relaxed) % 3 == 2;
        let (status, body) = if is_third { (500, "no") } else { (200, "good vibes") };
        ready(answer(StatusCode::from_u16(status).unwrap(), "text/plain", body.to_owned()))
    };
    let serving = serve(listener, handler, async { drop(stopped.await) });
    let ((), account) = tokio::join!(serving, async {
        let account = call(&options(&url, 30)).await.unwrap();
        drop(stop);
        account
    });
    assert_eq!((account.total.requests, account.total.unanswered), (30, 0), "{account:?}");
    assert_eq!((account.total.answered(200), account.total.answered(500)), (20, 10));
    assert_eq!(account.total.marked, 20);
    assert_eq!(account.seconds.iter().map(|second| second.requests).sum::<u64>(), 30);
    assert!(account.began_ms > 0 && account.p50_ms > 0.0 && account.p50_ms <= account.p99_ms, "{account:?}");
}

#[tokio::test]
async fn what_is_not_answered_is_told_with_its_cause() {
    // Nothing listens on port 1.
    let account = call(&options("http://127.0.0.1:1", 3)).await.unwrap();
    assert_eq!((account.total.requests, account.total.unanswered), (3, 3));
    let [(why, 3)] = account.failures.iter().map(|(why, count)| (why, *count)).collect::<Vec<_>>()[..] else {
        panic!("{:?}", account.failures)
    };
    assert!(why.starts_with("the API cannot be reached: ") && why.contains("refused"), "{why}");
}

#[test]
fn a_target_is_a_url_of_http() {
    assert!("http://api:81/a?b".parse::<Target>().is_ok());
    assert!("/only/a/path".parse::<Target>().is_err());
    assert!("http://".parse::<Target>().is_err());
}
