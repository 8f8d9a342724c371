use super::*;

#[test]
fn a_request_line_is_recognised_at_its_end() {
    for (first, expected) in [
        (&b"G"[..], None),
        (b"GET ", None),
        (b"GET / HTTP/1.1", None),
        (b"GET / HTTP/1.1\r\n", Some(true)),
        (b"GET / HTTP/1.0\n", Some(true)),
        (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n", Some(true)),
        (b"M-SEARCH http://a/ HTTP/1.1\r\n", Some(true)),
        (b"GET / HTTP/3.0\r\n", Some(false)),
        (b"SET key value\r\n", Some(false)),
        (b"EHLO example.org\r\n", Some(false)),
        (b"PING\r\n", Some(false)),
        (b"\r\nGET / HTTP/1.1\r\n", Some(false)),
        (b" GET", Some(false)),
        (b"*1\r\n$4\r\nPING\r\n", Some(false)),
        (b"\x00\x00\x00\x08", Some(false)),
    ] {
        assert_eq!(is_http1(first), expected, "{}", first.escape_ascii());
    }
}

#[test]
fn nothing_is_waited_for_without_end() {
    assert_eq!(is_http1(&[b'A'; METHOD_MAX + 1]), Some(false));
    let long = [b"GET /".as_slice(), &[b'a'; LINE_MAX]].concat();
    assert_eq!(is_http1(&long), Some(true));
    for length in 0..long.len() {
        let _ = is_http1(&long[..length]);
    }
}
