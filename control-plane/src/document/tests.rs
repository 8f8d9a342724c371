use serde::Deserialize;

use super::*;

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Sample {
    name: String,
    #[serde(default)]
    ports: Vec<Port>,
    #[serde(default)]
    mode: Option<Mode>,
    #[serde(default)]
    wait: Option<weft_api::Duration>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Port {
    number: u16,
}

#[derive(Debug, Deserialize, PartialEq)]
enum Mode {
    Strict,
    Loose,
}

fn only(text: &str) -> Node {
    let mut documents = parse(text).unwrap();
    assert_eq!(documents.len(), 1);
    documents.remove(0)
}

#[test]
fn every_mistake_names_line_and_field() {
    let table = [
        ("name: a\nprts: []\n", 2, "prts", "is not a field that is known here"),
        ("ports: []\n", 1, "name", "is missing"),
        ("name: 1\n", 1, "name", "is the number 1; it must be a string"),
        (
            "name: a\nports:\n- number: 1\n- number: x\n",
            4,
            "ports[1].number",
            "is the text `x`; it must be u16",
        ),
        ("name: a\nports:\n- number: 70000\n", 3, "ports[0].number", "is the number 70000; it must be u16"),
        ("name: a\nports:\n- number: 1\n  nmber: 2\n", 4, "ports[0].nmber", "is not a field"),
        ("name: a\nports:\n- {}\n", 3, "ports[0].number", "is missing"),
        ("name: a\n\nmode: strict\n", 3, "mode", "is `strict`; it must be one of Strict, Loose"),
        ("name: a\nmode: [Strict]\n", 2, "mode", "is a list; it must be enum Mode"),
        ("name: a\nwait: 3 s\n", 2, "wait", "`3 s` is not a duration"),
    ];
    for (text, line, field, says) in table {
        let mistake = only(text).decode::<Sample>().unwrap_err();
        assert_eq!((mistake.line, mistake.field.as_str()), (line, field), "{text}");
        assert!(mistake.to_string().contains(says), "{mistake}");
    }
}

#[test]
fn words_that_older_yaml_took_for_truth_are_text() {
    assert_eq!(only("off: yes").text("off"), Some("yes"));
}

#[test]
fn json_and_several_documents_are_read() {
    assert_eq!(parse("{\"a\": 1}\n---\n---\nb: \"2\"\n").unwrap().len(), 2);
    let read: Sample = only("{\"name\": \"a\",\n \"wait\": \"3s\"}").decode().unwrap();
    assert_eq!(read.wait, Some(weft_api::Duration::from_secs(3)));
}

#[test]
fn what_is_not_yaml_names_its_line() {
    for (text, line) in [("a: 1\nb: [1\n", 2..=3), ("a: 1\na: 2\n", 2..=2), ("a:\n\t- b\n", 2..=2)] {
        let error = parse(text).unwrap_err();
        assert!(line.contains(&error.line), "{error}");
        assert!(!error.message.is_empty());
    }
}

#[test]
fn a_path_leads_to_its_line_or_as_near_as_it_can() {
    let node = only("a:\n  b:\n  - c: 1\n  - c: 2\n    d: 3\n  e/f.g: 4\n");
    for (path, line) in [
        ("a", 1),
        ("a.b", 2),
        ("a.b[1]", 4),
        ("a.b[1].d", 5),
        ("a.b[7].d", 2),
        ("a.x", 1),
        ("a['e/f.g']", 6),
        ("", 1),
    ] {
        assert_eq!(node.line_of(path), line, "{path}");
    }
}

#[test]
fn a_server_may_say_more_than_is_read_and_null_for_nothing() {
    let json = serde_json::json!({
        "name": "a", "new": {"deep": [1]}, "mode": null,
        "ports": [{"number": 80, "newer": true}, {"number": 81, "tls": null}],
    });
    let node = Node::from(json);
    assert!(node.decode::<Sample>().is_err());
    let sample: Sample = node.decode_leniently().unwrap();
    let ports: Vec<_> = sample.ports.iter().map(|port| port.number).collect();
    assert_eq!((sample.name.as_str(), ports, sample.mode), ("a", vec![80, 81], None));
    let wrong = Node::from(serde_json::json!({"name": "a", "ports": [{"number": "x", "newer": 1}]}));
    let mistake = wrong.decode_leniently::<Sample>().unwrap_err();
    assert_eq!((mistake.field.as_str(), mistake.line), ("ports[0].number", 0));
}
