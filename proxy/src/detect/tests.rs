use tokio::io::{AsyncWriteExt, duplex};

use super::*;

#[test]
fn first_bytes_tell_the_protocol() {
    for (first, expected) in [
        (&b""[..], None),
        (b"P", None),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r", None),
        (HTTP2_PREFACE, Some(Protocol::Http2)),
        (b"PUT / HTTP/1.1", Some(Protocol::Http1)),
        (b"PRI * HTTP/1.1", Some(Protocol::Http1)),
        (b"GET", Some(Protocol::Http1)),
        (b"\x16\x03\x01", Some(Protocol::Tls)),
        (b"\x00", Some(Protocol::Http1)),
    ] {
        assert_eq!(protocol(first), expected, "{first:?}");
    }
}

#[tokio::test]
async fn nothing_is_consumed_however_the_bytes_are_cut() {
    let message = [HTTP2_PREFACE, b"and what follows"].concat();
    for cut in 1..message.len() {
        let (mut near, far) = duplex(1024);
        let detecting = detect(far);
        let writing = async {
            near.write_all(&message[..cut]).await.unwrap();
            tokio::task::yield_now().await;
            near.write_all(&message[cut..]).await.unwrap();
            drop(near);
        };
        let (detected, ()) = tokio::join!(detecting, writing);
        let (protocol, mut stream) = detected.unwrap();
        let mut read = Vec::new();
        stream.read_to_end(&mut read).await.unwrap();
        assert_eq!((protocol, &read), (Protocol::Http2, &message), "cut at {cut}");
    }
}

#[tokio::test(start_paused = true)]
async fn silence_ends() {
    let (_near, far) = duplex(64);
    assert_eq!(detect(far).await.err().map(|error| error.kind()), Some(io::ErrorKind::TimedOut));
}
