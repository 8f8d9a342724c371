//! The same of HTTP/2: a server of others understands the requests, and nothing but whole answers counts.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::*;

const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

fn connect(listener: &TcpListener) -> Generator {
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    Generator::new(vec![stream], Protocol::Http2, "test").unwrap()
}

/// Serves one connection to its end with hyper, and returns how many requests it had.
async fn serve(listener: TcpListener) -> u64 {
    let (stream, _) = listener.accept().unwrap();
    stream.set_nonblocking(true).unwrap();
    let requests = std::cell::Cell::new(0);
    let service = service_fn(|request: hyper::Request<_>| {
        let _: &hyper::body::Incoming = request.body();
        assert_eq!(request.uri(), "http://test/");
        requests.set(requests.get() + 1);
        async {
            Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from(vec![b'w'; BODY_BYTES]))))
        }
    });
    let stream = TokioIo::new(tokio::net::TcpStream::from_std(stream).unwrap());
    http2::Builder::new(TokioExecutor::new()).serve_connection(stream, service).await.unwrap();
    requests.get()
}

#[test]
fn every_request_goes_out_on_a_stream_of_its_own_and_is_answered() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut generator = connect(&listener);
    let server = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(serve(listener))
    });
    generator.greet().unwrap();
    let calm = generator.run(Pace::Constant(2000), 50 * MS).unwrap().requests();
    let busy = generator.run(Pace::Full, 50 * MS).unwrap().requests();
    drop(generator);
    assert_eq!(calm, 100);
    // More than windows of 64 KiB hold, and more than are under way at once.
    assert!(busy > 64, "{busy}");
    assert_eq!(server.join().unwrap(), 1 + calm + busy);
}

fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let head = [0, (payload.len() >> 8) as u8, payload.len() as u8, kind, flags, 0, 0, 0, 1];
    [&head, payload].concat()
}

/// What a run of one request comes to if the server answers with these frames on its stream, and closes.
fn run_against(frames: &[Vec<u8>]) -> Result<Report, Error> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut generator = connect(&listener);
    let answer = [SETTINGS.to_vec(), frames.concat()].concat();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 1024]).unwrap();
        // In two parts, so that a frame is cut in the middle.
        let (first, second) = answer.split_at(answer.len() / 2);
        stream.write_all(first).unwrap();
        stream.write_all(second).unwrap();
    });
    let ended = generator.run(Pace::Constant(1000), MS);
    server.join().unwrap();
    ended
}

#[test]
fn nothing_but_a_whole_body_after_status_200_counts() {
    let (ok, body) = (frame(1, 4, &[0x88]), [b'w'; BODY_BYTES]);
    let (start, end) = body.split_at(1000);
    let report =
        run_against(&[ok.clone(), frame(0, 0, start), frame(6, 0, &[7; 8]), frame(0, 1, end)]).unwrap();
    assert_eq!(report.requests(), 1);
    let cases = [
        (vec![frame(1, 4, &[0x8d]), frame(0, 1, &body)], "type 1"),
        (vec![ok.clone(), frame(0, 1, start)], "type 0"),
        (vec![ok.clone(), frame(0, 1, &[&body, start].concat())], "type 0"),
        (vec![frame(1, 5, &[0x88])], "type 1"),
        (vec![frame(0, 1, &body)], "type 0"),
        (vec![ok.clone(), frame(3, 0, &[0, 0, 0, 7])], "type 3"),
        (vec![frame(7, 0, &[0; 8])], "closed"),
        (vec![ok, frame(0, 0, start)], "closed"),
    ];
    for (frames, word) in cases {
        let error = run_against(&frames).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}
