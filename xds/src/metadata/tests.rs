use serde::Deserialize;
use serde_json::json;

use super::*;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Breaker {
    failures: u32,
    ratio: f64,
    statuses: Vec<u16>,
    fallback: Option<String>,
}

#[test]
fn types_survive_metadata() {
    let breaker = Breaker { failures: 5, ratio: 0.5, statuses: vec![500, 503], fallback: None };
    let metadata = write(&breaker).unwrap();
    assert_eq!(read::<Breaker>(Some(&metadata)).unwrap(), Some(breaker));
}

#[test]
fn nothing_is_read_as_nothing() {
    assert_eq!(read::<Breaker>(None).unwrap(), None);
    let foreign = Metadata { filter_metadata: [("envoy.lb".to_owned(), Struct::default())].into() };
    assert_eq!(read::<Breaker>(Some(&foreign)).unwrap(), None);
}

#[test]
fn wrong_shapes_are_named() {
    let metadata = write(&json!({"failures": "many"})).unwrap();
    let error = read::<Breaker>(Some(&metadata)).unwrap_err().to_string();
    assert!(error.starts_with("metadata `weft.dev`: invalid type: string \"many\""), "{error}");
    assert!(matches!(write(&5), Err(MetadataError::NotAnObject)));
}

#[test]
fn json_survives_structs() {
    let json = json!({"a": [null, true, -3, 0.25, "text", {"b": {}}], "large": 9_007_199_254_740_991_u64});
    assert_eq!(to_json(&from_json(&json).unwrap()).unwrap(), json);
}

#[test]
fn numbers_that_would_change_are_refused() {
    assert!(matches!(from_json(&json!(9_007_199_254_740_993_u64)), Err(MetadataError::Number(_))));
    for number in [f64::NAN, f64::INFINITY] {
        let value = Value { kind: Some(Kind::NumberValue(number)) };
        assert!(matches!(to_json(&value), Err(MetadataError::Number(_))));
    }
}

#[test]
fn csr_stands_beside_what_the_node_says() {
    let mut node = Node { id: "cart-0".to_owned(), ..Default::default() };
    assert_eq!(csr(&node), None);
    let version = Value { kind: Some(Kind::StringValue("1".to_owned())) };
    let weft = Struct { fields: [("release".to_owned(), version.clone())].into() };
    let weft = Value { kind: Some(Kind::StructValue(weft)) };
    node.metadata = Some(Struct { fields: [(KEY.to_owned(), weft)].into() });

    set_csr(&mut node, "first");
    set_csr(&mut node, "second");
    assert_eq!(csr(&node), Some("second"));
    let Some(Kind::StructValue(weft)) = &node.metadata.unwrap().fields[KEY].kind else { panic!("no object") };
    assert_eq!(weft.fields["release"], version);
}
