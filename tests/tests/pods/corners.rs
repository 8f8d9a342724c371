//! What of HTTP/1 few speak, and some must: HTTP/1.0, trailers, interim responses, WebSockets. Callers and applications speak
//! it byte by byte here, so that nobody mends what the mesh has spoilt.

use tokio::{io::AsyncWriteExt, net::TcpStream};
use weft_tests::{
    backend::{Backend, Gate, Reply},
    client::Version,
    liar::{Liar, Lie},
    noise::Noise,
    patience::within,
    pods::{Cluster, Family},
    words::{answer, application, echo, echo_of, head, talk, until_heard, websocket},
};

use crate::{EGRESS, HTTP1, HTTP2, cluster, service};

/// A connection of the client to a port of `strict`.
fn connect(cluster: &Cluster, family: Family, port: u16) -> TcpStream {
    let to = service(cluster, "strict", family, port);
    cluster.connect("client", to).unwrap_or_else(|error| panic!("{to}: {error}"))
}

#[tokio::test]
async fn root_who_speaks_http_1_0_is_answered_so() {
    let Some(cluster) = cluster("root_who_speaks_http_1_0_is_answered_so").await else { return };
    let old = Liar::at(cluster.listen("strict", HTTP1), Version::Http1);
    let new = Backend::at(cluster.listen("strict", HTTP2), "new", Version::Http2, Reply::Status(200));
    for family in Family::ALL {
        // Chunks are unknown to it: the end of the connection is the end of the body.
        old.next(Lie::bytes("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"));
        let heard = answer(connect(&cluster, family, HTTP1), "GET / HTTP/1.0\r\nhost: a\r\n\r\n").await;
        let (head, body) = heard.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{heard}"));
        assert!(head.starts_with("HTTP/1.0 200 ") && !head.contains("transfer-encoding"), "{head}");
        assert_eq!(body, "hello");
        // It may leave its host out, which the application then knows by the address that was called.
        let heard = answer(connect(&cluster, family, HTTP2), "GET /bare HTTP/1.0\r\n\r\n").await;
        assert!(heard.starts_with("HTTP/1.0 200 ") && heard.ends_with("\r\n\r\nnew"), "{heard}");
        // And may ask for the connection to stay.
        let mut stream = connect(&cluster, family, HTTP2);
        let asked = "GET /kept HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\n\r\n";
        for _ in 0..2 {
            stream.write_all(asked.as_bytes()).await.expect("it is open");
            let heard = within("an answer", until_heard(&mut stream, "\r\n\r\nnew")).await;
            let head = heard.expect("it is open").to_lowercase();
            assert!(head.contains("connection: keep-alive") && head.contains("content-length: 3"), "{head}");
        }
    }
    assert_eq!(new.seen().iter().filter(|seen| seen.path == "/kept").count(), 4);
}

#[tokio::test]
async fn root_trailers_of_chunks_come_through_both_ways() {
    let Some(cluster) = cluster("root_trailers_of_chunks_come_through_both_ways").await else { return };
    let _app = application(cluster.listen("strict", HTTP1), |mut stream| async move {
        // Both a head and a body of chunks end with an empty line.
        let asked = until_heard(&mut stream, "\r\n\r\n").await?;
        let body = until_heard(&mut stream, "\r\n\r\n").await?;
        let is_whole = asked.to_lowercase().contains("\r\nte: trailers\r\n")
            && body.ends_with("\r\n0\r\nx-sum: of the request\r\n\r\n");
        let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
            5\r\nhello\r\n0\r\nx-sum: of the response\r\n\r\n";
        let wrong = format!(
            "HTTP/1.1 500 Wrong\r\ncontent-length: {}\r\n\r\n{asked}{body}",
            asked.len() + body.len()
        );
        stream.write_all(if is_whole { answer.as_bytes() } else { wrong.as_bytes() }).await
    });
    for family in Family::ALL {
        let asked = "POST / HTTP/1.1\r\nhost: a\r\nte: trailers\r\nconnection: te, close\r\ntrailer: x-sum\r\n\
            transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-sum: of the request\r\n\
            x-forwarded-client-cert: a lie\r\n\r\n";
        let heard = answer(connect(&cluster, family, HTTP1), asked).await;
        assert!(heard.starts_with("HTTP/1.1 200 "), "{heard}");
        assert!(heard.ends_with("\r\n5\r\nhello\r\n0\r\nx-sum: of the response\r\n\r\n"), "{heard}");
    }
}

#[tokio::test]
async fn root_who_waits_for_100_continue_gets_it() {
    let Some(cluster) = cluster("root_who_waits_for_100_continue_gets_it").await else { return };
    let app = Backend::at(cluster.listen("strict", HTTP1), "strict", Version::Http1, Reply::Echo);
    for family in Family::ALL {
        let mut stream = connect(&cluster, family, HTTP1);
        let asking = async {
            let head = "PUT / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n";
            stream.write_all(head.as_bytes()).await?;
            let interim = until_heard(&mut stream, "\r\n\r\n").await?;
            assert_eq!(interim, "HTTP/1.1 100 Continue\r\n\r\n");
            stream.write_all(b"hello").await?;
            until_heard(&mut stream, "\r\n\r\nhello").await
        };
        let heard = within("the body is asked for, and echoed", asking).await;
        let heard = heard.unwrap_or_else(|error| panic!("{family:?}: {error}"));
        assert!(heard.starts_with("HTTP/1.1 200 "), "{heard}");
    }
    assert_eq!(app.count(), 2);
}

#[tokio::test]
async fn root_interim_responses_come_before_the_final_one() {
    let Some(cluster) = cluster("root_interim_responses_come_before_the_final_one").await else { return };
    let hints = "HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\nconnection: x-hop\r\nx-hop: 1\r\n\r\n";
    // It knows that they were heard: the caller lets it go on.
    let heard_hints = Gate::closed();
    let gate = heard_hints.clone();
    let _app = application(cluster.listen("strict", HTTP1), move |mut stream| {
        let gate = gate.clone();
        async move {
            head(&mut stream).await?;
            stream.write_all([hints, "HTTP/1.1 102 Processing\r\n\r\n"].concat().as_bytes()).await?;
            gate.pass().await;
            stream.write_all(b"HTTP/1.1 200 OK\r\nx-final: yes\r\ncontent-length: 5\r\n\r\nhello").await
        }
    });
    for family in Family::ALL {
        let mut stream = connect(&cluster, family, HTTP1);
        let asking = async {
            stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await?;
            let interim = [head(&mut stream).await?, head(&mut stream).await?];
            assert_eq!(
                interim,
                [
                    "HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n",
                    "HTTP/1.1 102 Processing\r\n\r\n"
                ]
            );
            heard_hints.open();
            until_heard(&mut stream, "\r\n\r\nhello").await
        };
        let heard = within("all of it is answered", asking).await;
        let heard = heard.unwrap_or_else(|error| panic!("{family:?}: {error}"));
        assert!(heard.starts_with("HTTP/1.1 200 ") && heard.contains("x-final: yes\r\n"), "{heard}");
        // HTTP/1.0 knows of none.
        let heard = answer(connect(&cluster, family, HTTP1), "GET / HTTP/1.0\r\nhost: a\r\n\r\n").await;
        assert!(heard.starts_with("HTTP/1.0 200 ") && heard.ends_with("\r\n\r\nhello"), "{heard}");
        assert!(!heard.contains("link:"), "{heard}");
    }
}

#[tokio::test]
async fn root_a_websocket_echoes_every_byte() {
    let Some(cluster) = cluster("root_a_websocket_echoes_every_byte").await else { return };
    let _app = application(cluster.listen("strict", HTTP1), |stream| websocket(stream, ""));
    let said = Noise::seeded(6455).bytes(1_000_000);
    for family in Family::ALL {
        let mut stream = connect(&cluster, family, HTTP1);
        let heard = within("the talk ends", talk(&mut stream, &said)).await;
        let heard = heard.unwrap_or_else(|error| panic!("{family:?}: {error}"));
        assert!(heard == said, "{family:?}: {} bytes came back", heard.len());
    }
}

#[tokio::test]
async fn root_a_tunnel_goes_to_who_opens_it_and_to_nobody_else() {
    let Some(cluster) = cluster("root_a_tunnel_goes_to_who_opens_it_and_to_nobody_else").await else {
        return;
    };
    let _egress = application(cluster.listen("strict", EGRESS), |mut stream| async move {
        let asked = head(&mut stream).await?;
        assert!(asked.starts_with("CONNECT db.example:5432 HTTP/1.1\r\n"), "{asked}");
        stream.write_all(b"HTTP/1.1 200 Connection Established\r\n\r\n").await?;
        echo(stream).await
    });
    let web = Backend::at(cluster.listen("strict", HTTP1), "web", Version::Http1, Reply::Status(200));
    let asked = "CONNECT db.example:5432 HTTP/1.1\r\nhost: db.example:5432\r\n\r\n";
    let said = Noise::seeded(3128).bytes(1_000_000);
    for family in Family::ALL {
        let mut stream = connect(&cluster, family, EGRESS);
        let talk = async {
            stream.write_all(asked.as_bytes()).await?;
            let yes = head(&mut stream).await?;
            assert!(yes.starts_with("HTTP/1.1 200 "), "{yes}");
            echo_of(&mut stream, &said).await
        };
        let heard = within("the talk ends", talk).await.unwrap_or_else(|error| panic!("{family:?}: {error}"));
        assert!(heard == said, "{family:?}: {} bytes came back", heard.len());
        let heard = answer(connect(&cluster, family, HTTP1), asked).await;
        assert!(
            heard.starts_with("HTTP/1.1 405 ") && heard.contains("x-weft-fault: method_refused"),
            "{heard}"
        );
    }
    assert_eq!(web.count(), 0);
}
