use super::*;

fn name(text: &'static str) -> HeaderName {
    HeaderName::from_static(text)
}

fn value(text: &'static str) -> HeaderValue {
    HeaderValue::from_static(text)
}

#[test]
fn headers_are_removed_then_set_and_added() {
    let edits = HeaderEdits {
        remove: vec![name("gone"), name("absent")],
        put: vec![
            (name("set"), value("new"), Put::Over),
            (name("fresh"), value("first"), Put::Over),
            (name("list"), value("c"), Put::Beside),
            (name("lone"), value("only"), Put::Beside),
        ],
    };
    let mut headers = HeaderMap::new();
    for (name, value) in [("gone", "1"), ("gone", "2"), ("set", "old"), ("set", "older"), ("list", "a, b")] {
        headers.append(name, HeaderValue::from_static(value));
    }
    headers.insert("kept", value("k"));
    edits.apply(&mut headers);
    let all = |name: &str| headers.get_all(name).iter().map(|it| it.to_str().unwrap()).collect::<Vec<_>>();
    assert_eq!(all("gone"), [""; 0]);
    assert_eq!(all("set"), ["new"]);
    assert_eq!(all("fresh"), ["first"]);
    assert_eq!(all("list"), ["a, b", "c"]);
    assert_eq!(all("lone"), ["only"]);
    assert_eq!(all("kept"), ["k"]);
}
