use std::fs;

use tempfile::tempdir;
use tokio::sync::oneshot;

use super::*;
use crate::upstream::Upstream;

fn options() -> Options {
    Options {
        listen: "127.0.0.1:0".parse().unwrap(),
        control: "127.0.0.1:0".parse().unwrap(),
        failure_rate: 1.0 / 3.0,
        seed: 1,
        log: None,
    }
}

/// Runs `client` with the addresses of service and control, then ends the service gracefully.
async fn with_api<F: Future>(
    options: &Options,
    client: impl FnOnce(SocketAddr, SocketAddr) -> F,
) -> F::Output {
    let api = FeelgoodApi::bind(options).await.unwrap();
    let client = client(api.address().unwrap(), api.control().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let served = api.serve(async { drop(stopped.await) });
    let ((), answer) = tokio::join!(served, async {
        let answer = client.await;
        drop(stop);
        answer
    });
    answer
}

fn client(address: SocketAddr) -> Upstream {
    format!("http://{address}").parse().unwrap()
}

async fn stats(control: SocketAddr) -> Stats {
    let (status, body) = client(control).get("/stats").await.unwrap();
    assert_eq!(status, StatusCode::OK);
    serde_json::from_slice(&body).unwrap()
}

async fn post(control: SocketAddr, path: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(control).await.unwrap();
    let request = format!("POST {path} HTTP/1.1\r\nhost: api\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn about_one_request_in_three_fails() {
    let (seen, stats) = with_api(&options(), async |address, control| {
        let api = client(address);
        let mut seen = 0;
        for _ in 0..900 {
            let (status, body) = api.get(PATH).await.unwrap();
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            match status {
                StatusCode::OK => assert!(body["message"].is_string()),
                StatusCode::INTERNAL_SERVER_ERROR => seen += u64::from(body["error"].is_string()),
                other => panic!("unexpected {other}"),
            }
        }
        (seen, stats(control).await)
    })
    .await;
    assert_eq!(stats, Stats { requests: 900, failures: seen, broken: false });
    // Four standard errors: 4 * sqrt(900 * 1/3 * 2/3) = 57.
    assert!((243..=357).contains(&seen), "{seen} of 900 failed");
}

#[tokio::test]
async fn the_same_seed_fails_the_same_requests_whatever_happened_between() {
    let play = async |interrupted: bool| {
        with_api(&options(), async move |address, control| {
            let api = client(address);
            let mut statuses = Vec::new();
            for round in 0..3 {
                if interrupted && round == 1 {
                    post(control, "/break").await;
                }
                for _ in 0..20 {
                    statuses.push(api.get(PATH).await.unwrap().0.as_u16());
                }
                post(control, "/heal").await;
            }
            statuses
        })
        .await
    };
    let (calm, interrupted) = (play(false).await, play(true).await);
    assert_eq!(calm[..20], interrupted[..20]);
    assert_eq!(interrupted[20..40], [500; 20]);
    assert_eq!(calm[40..], interrupted[40..]);
}

#[tokio::test]
async fn other_paths_and_methods_are_refused_and_not_counted() {
    let (missing, wrong_method, stats) = with_api(&options(), async |address, control| {
        let missing = client(address).get("/").await.unwrap().0;
        let wrong_method = post(address, PATH).await;
        (missing, wrong_method, stats(control).await)
    })
    .await;
    assert_eq!(missing, StatusCode::NOT_FOUND);
    assert!(wrong_method.starts_with("HTTP/1.1 405"), "{wrong_method}");
    assert_eq!(stats.requests, 0);
}

#[tokio::test]
async fn the_log_file_gets_one_json_line_for_each_request() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("server.log");
    let options = Options { log: Some(path.clone()), failure_rate: 1.0, ..options() };
    with_api(&options, async |address, _| {
        client(address).get(PATH).await.unwrap();
        client(address).get(PATH).await.unwrap();
    })
    .await;
    let text = fs::read_to_string(path).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["level"], "error");
    assert_eq!(lines[0]["status"], 500);
}

#[tokio::test]
async fn the_control_address_must_be_loopback() {
    let options = Options { control: "0.0.0.0:0".parse().unwrap(), ..options() };
    let error = FeelgoodApi::bind(&options).await.unwrap_err();
    assert!(matches!(error, Error::Exposed(_)), "{error}");
}

#[test]
fn a_share_is_a_number_within_0_to_1() {
    assert_eq!(share("0.25"), Ok(0.25));
    for wrong in ["-0.1", "1.1", "NaN", "often", ""] {
        assert!(share(wrong).is_err(), "{wrong}");
    }
}
