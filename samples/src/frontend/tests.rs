use std::future::pending;

use tokio::sync::oneshot;

use super::*;

/// Status and body of `path` at a frontend whose API answers `status` and `body`.
async fn page_from(
    api_status: StatusCode,
    api_body: &'static str,
    path: &'static str,
) -> (StatusCode, String) {
    let api = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", api.local_addr().unwrap());
    let answers = move |_| std::future::ready(answer(api_status, "application/json", api_body.to_owned()));
    tokio::select! {
        () = serve(api, answers, pending()) => unreachable!("nobody stops it"),
        page = visit(&url, path) => page,
    }
}

/// Status and body of `path` at a frontend of the API at `api`.
async fn visit(api: &str, path: &'static str) -> (StatusCode, String) {
    let options = Options { listen: "127.0.0.1:0".parse().unwrap(), api: Some(api.to_owned()) };
    let frontend = Frontend::bind(&options).await.unwrap();
    let user: Upstream = format!("http://{}", frontend.address().unwrap()).parse().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let ((), page) = tokio::join!(frontend.serve(async { drop(stopped.await) }), async move {
        let (status, body) = user.get(path).await.unwrap();
        drop(stop);
        (status, String::from_utf8(body.to_vec()).unwrap())
    });
    page
}

#[tokio::test]
async fn the_page_shows_the_message_as_text() {
    let (status, page) = page_from(StatusCode::OK, r#"{"message": "<b>fine</b>"}"#, "/").await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("<h1>&lt;b&gt;fine&lt;/b&gt;</h1>"), "{page}");
}

#[tokio::test]
async fn any_failure_of_the_api_is_a_500() {
    for (status, body) in [
        (StatusCode::INTERNAL_SERVER_ERROR, r#"{"error": "no"}"#),
        (StatusCode::NOT_FOUND, r#"{"message": "fine"}"#),
        (StatusCode::OK, "not json"),
    ] {
        let (shown, page) = page_from(status, body, "/").await;
        assert_eq!(shown, StatusCode::INTERNAL_SERVER_ERROR, "{status} {body}: {page}");
    }
    // Nothing listens on port 1.
    let (shown, page) = visit("http://127.0.0.1:1", "/").await;
    assert_eq!(shown, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(page.contains("cannot be reached"), "{page}");
}

#[tokio::test]
async fn health_does_not_depend_on_the_api() {
    assert_eq!(visit("http://127.0.0.1:1", "/healthz").await.0, StatusCode::OK);
    assert_eq!(visit("http://127.0.0.1:1", "/other").await.0, StatusCode::NOT_FOUND);
}
