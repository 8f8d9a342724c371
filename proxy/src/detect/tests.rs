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
        (b"\x16\x03\x01", Some(Protocol::Tls(Hello::default()))),
        (b"\x00", Some(Protocol::Http1)),
    ] {
        assert_eq!(protocol(first, Expected::Http), expected, "{first:?}");
    }
}

#[test]
fn where_all_is_possible_only_a_request_is_http() {
    for (first, expected) in [
        (&b"GET"[..], None),
        (b"GET /a HTTP/1.1\r", None),
        (b"GET /a HTTP/1.1\r\nhost: a", Some(Protocol::Http1)),
        (b"PRI * HTTP/1.1\r\n", Some(Protocol::Http1)),
        (b"PRI * HTTP/2.0\r\n\r\nSM", None),
        (HTTP2_PREFACE, Some(Protocol::Http2)),
        (b"SET key value\r\n", Some(Protocol::Opaque)),
        (b"\x00", Some(Protocol::Opaque)),
        (b"\x16\x03\x01", None),
        (b"\x16\x00", Some(Protocol::Tls(Hello::default()))),
    ] {
        assert_eq!(protocol(first, Expected::Any), expected, "{first:?}");
    }
    assert_eq!(protocol(b"GET / HTTP/1.1\r\n", Expected::Opaque), Some(Protocol::Opaque));
}

#[tokio::test]
async fn nothing_is_consumed_however_the_bytes_are_cut() {
    let message = [HTTP2_PREFACE, b"and what follows"].concat();
    for cut in 1..message.len() {
        let (mut near, far) = duplex(1024);
        let detecting = detect(far, Expected::Any, DETECT_TIMEOUT);
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
    let silent = detect(far, Expected::Http, DETECT_TIMEOUT).await;
    assert_eq!(silent.err().map(|error| error.kind()), Some(io::ErrorKind::TimedOut));
}

#[tokio::test(start_paused = true)]
async fn who_says_too_little_is_opaque_where_that_is_taken_and_loses_nothing() {
    for said in [&b""[..], b"GET /", b"\x16\x03\x01\x02\x00"] {
        let (mut near, far) = duplex(64);
        near.write_all(said).await.unwrap();
        let before = tokio::time::Instant::now();
        let (protocol, mut stream) = detect(far, Expected::Any, DETECT_TIMEOUT).await.unwrap();
        assert_eq!((protocol, before.elapsed()), (Protocol::Opaque, DETECT_TIMEOUT));
        drop(near);
        let mut read = Vec::new();
        stream.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, said);
    }
}

#[tokio::test]
async fn who_ends_early_is_opaque_where_that_is_taken_and_silent_before_the_first_byte() {
    for (said, expected) in [(&b""[..], Protocol::Silence), (b"GET /", Protocol::Opaque)] {
        let (mut near, far) = duplex(64);
        near.write_all(said).await.unwrap();
        drop(near);
        let (protocol, _) = detect(far, Expected::Any, DETECT_TIMEOUT).await.unwrap();
        assert_eq!(protocol, expected, "{said:?}");
    }
}

#[tokio::test]
async fn what_stays_undecided_is_bounded() {
    // Records of one byte each, as no client sends them: the message never becomes complete.
    let record = [&[0x16, 0x03, 0x01, 0x00, 0x01][..], &[0x01]].concat();
    let (mut near, far) = duplex(64 * 1024);
    near.write_all(&record.repeat(FIRST_MAX / record.len() + 1)).await.unwrap();
    let (protocol, _) = detect(far, Expected::Any, Duration::MAX).await.unwrap();
    assert!(!matches!(protocol, Protocol::Tls(Hello { is_mesh: true, .. })));
}
