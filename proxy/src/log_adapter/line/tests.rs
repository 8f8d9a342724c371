use serde_json::json;

use super::*;

fn printed(bytes: &[u8], truncated: bool) -> String {
    let pod = Pod { namespace: Some("shop".to_owned()), name: Some("api-0".to_owned()) };
    let mut out = Vec::new();
    print(&mut out, &pod, Path::new("/var/log/a.log"), Line { bytes, truncated }).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn an_object_is_embedded_as_it_is_written() {
    assert_eq!(
        printed(br#"{"z":1.10,"a":{"b":12345678901234567890}}"#, false),
        "{\"namespace\":\"shop\",\"pod\":\"api-0\",\"file\":\"/var/log/a.log\",\
         \"log\":{\"z\":1.10,\"a\":{\"b\":12345678901234567890}}}\n"
    );
}

#[test]
fn everything_else_is_text() {
    for text in ["", "hello", "\"{}\"", "[1]", "{", "{\"a\":1}{", "{'a': 1}", "42", "{\"a\":\"\\ud800\"}"] {
        let value: Value = serde_json::from_str(&printed(text.as_bytes(), false)).unwrap();
        assert_eq!(value["log"], json!(text));
    }
}

#[test]
fn what_is_printed_is_one_line_of_json_whatever_comes() {
    let deep = "{\"a\":".repeat(100_000);
    let hostile: [&[u8]; 7] = [
        b"\"},{\"pod\":\"forged\"",
        b"\xff\xfe{",
        b"{\"a\":\"\xff\"}",
        b"\x00\x1b[31m\x7f",
        deep.as_bytes(),
        "{\"a\":\"\u{2028}\"}\r".as_bytes(),
        b"{\"a\":1e999}",
    ];
    for bytes in hostile {
        let text = printed(bytes, false);
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["pod"], "api-0");
    }
}

#[test]
fn a_cut_line_says_so() {
    let value: Value = serde_json::from_str(&printed(b"abc", true)).unwrap();
    assert_eq!((&value["truncated"], &value["log"]), (&json!(true), &json!("abc")));
}
