//! Answers of HTTP/1.1, or what goes for them.

use http::Method;
use weft_tests::{
    client::Version,
    liar::{Lie, Said, TRUTH, Then},
};

use super::{Case, Den, Told};

/// The flag of what is no HTTP.
const MALFORMED: Told = Told::Fault(502, "upstream_malformed");
/// The flag of what ends before it is an answer.
const RESET: Told = Told::Fault(502, "upstream_reset");

fn case(name: &'static str, answer: impl Into<Vec<u8>>, then: Then, told: Told) -> Case {
    Case { name, method: Method::POST, lie: Lie { said: Said::Bytes(answer.into()), then }, told }
}

fn ok(headers: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{headers}\r\n{body}")
}

#[tokio::test]
async fn heads_that_are_none_are_answered_in_their_place() {
    let long = ok(&format!("long: {}\r\ncontent-length: 0\r\n", "x".repeat(1024 * 1024)), "");
    let many = ok(&format!("{}content-length: 0\r\n", "many: x\r\n".repeat(200)), "");
    let cases = [
        case("nothing", "", Then::Closes, RESET),
        case("a reset", "", Then::Resets, RESET),
        case("half a head", "HTTP/1.1 200 OK\r\ncontent-le", Then::Closes, RESET),
        case("no HTTP", "\x16\x03\x01 who knows what this is\r\n\r\n", Then::Stays, MALFORMED),
        case("another version", "HTTP/3.7 200 OK\r\n\r\n", Then::Stays, MALFORMED),
        case("no status", "HTTP/1.1 abc OK\r\n\r\n", Then::Stays, MALFORMED),
        case("no colon", ok("who knows\r\ncontent-length: 0\r\n", ""), Then::Stays, MALFORMED),
        case(
            "two lengths",
            ok("content-length: 5\r\ncontent-length: 3\r\n", "hello"),
            Then::Stays,
            MALFORMED,
        ),
        case("a length below zero", ok("content-length: -1\r\n", ""), Then::Stays, MALFORMED),
        case("a length that is a word", ok("content-length: five\r\n", "hello"), Then::Stays, MALFORMED),
        case(
            "a length beyond numbers",
            ok("content-length: 18446744073709551616\r\n", ""),
            Then::Stays,
            MALFORMED,
        ),
        case("a header without end", long, Then::Stays, MALFORMED),
        case("headers without number", many, Then::Stays, MALFORMED),
    ];
    Den::start(Version::Http1).await.tell(&cases).await;
}

#[tokio::test]
async fn bodies_that_end_too_soon_never_look_whole() {
    let chunked = "transfer-encoding: chunked\r\n";
    let cases = [
        case("less than its length", ok("content-length: 10\r\n", "hello"), Then::Closes, Told::Broken),
        case("less and a reset", ok("content-length: 10\r\n", "hello"), Then::Resets, Told::Broken),
        case("no last chunk", ok(chunked, "5\r\nhello\r\n"), Then::Closes, Told::Broken),
        case("half a chunk", ok(chunked, "5\r\nhel"), Then::Closes, Told::Broken),
        case("a chunk of no size", ok(chunked, "5\r\nhello\r\nxyz\r\n"), Then::Stays, Told::Broken),
        case(
            "a chunk beyond its size",
            ok(chunked, "5\r\nhello, world\r\n0\r\n\r\n"),
            Then::Stays,
            Told::Broken,
        ),
        case(
            "a chunk beyond numbers",
            ok(chunked, "fffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
            Then::Stays,
            Told::Broken,
        ),
        case("bytes until the end", ok("", "hello"), Then::Closes, Told::Whole(200, "hello")),
    ];
    Den::start(Version::Http1).await.tell(&cases).await;
}

/// Bytes behind an answer: that somebody else's request was answered by them would be the worst of all.
#[tokio::test]
async fn what_comes_behind_an_answer_is_nobodys_answer() {
    let answer = ok(&format!("content-length: {}\r\n", TRUTH.len()), TRUTH);
    let evil = ok("content-length: 4\r\n", "evil");
    let whole = Told::Whole(200, TRUTH);
    let mut cases = vec![
        case("more than its length", format!("{answer} and more"), Then::Stays, whole),
        case("two answers", format!("{answer}{evil}"), Then::Stays, whole),
        case(
            "a body that may not be",
            format!("HTTP/1.1 204 No Content\r\n\r\n{evil}"),
            Then::Stays,
            Told::Whole(204, ""),
        ),
        case(
            "both a length and chunks",
            ok(
                "content-length: 3\r\ntransfer-encoding: chunked\r\n",
                &format!("5\r\ntruth\r\n0\r\n\r\n{evil}"),
            ),
            Then::Stays,
            MALFORMED,
        ),
    ];
    cases.push(Case {
        method: Method::HEAD,
        ..case("a body for HEAD", format!("{answer}{evil}"), Then::Stays, Told::Whole(200, ""))
    });
    let den = Den::start(Version::Http1).await;
    // Whether a connection is taken again before its bytes are seen is a matter of luck.
    for _ in 0..5 {
        den.tell(&cases).await;
    }
}
