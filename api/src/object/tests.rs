use super::*;

fn aged(name: &str, created: Option<&str>) -> Metadata {
    let creation_timestamp = created.map(|time| Timestamp::try_from(time.to_owned()).unwrap());
    Metadata { creation_timestamp, ..Metadata::named("default", name) }
}

#[test]
fn the_oldest_comes_first_then_the_name_and_the_ageless_last() {
    let mut objects = [
        aged("a-ageless", None),
        aged("b-young", Some("2026-01-31T12:00:01Z")),
        aged("z-old", Some("2026-01-31T12:00:00Z")),
        aged("y-old", Some("2026-01-31T12:00:00Z")),
    ];
    objects.sort_by(|a, b| a.seniority().cmp(&b.seniority()));
    let names: Vec<_> = objects.iter().map(|object| object.name.as_str()).collect();
    assert_eq!(names, ["y-old", "z-old", "b-young", "a-ageless"]);
}

#[test]
fn a_time_that_would_not_sort_is_refused() {
    for text in ["2026-01-31", "2026-01-31T12:00:00+01:00", "2026-1-31T12:00:00Z", ""] {
        assert!(Timestamp::try_from(text.to_owned()).is_err(), "{text}");
    }
}

#[test]
fn fields_of_the_schema_are_accepted_and_others_refused() {
    let known = r#"{"name": "a", "uid": "1", "annotations": {"x": "y"}, "creationTimestamp": null}"#;
    let metadata: Metadata = serde_json::from_str(known).unwrap();
    assert_eq!(metadata, Metadata::named("default", "a"));
    let unknown = serde_json::from_str::<Metadata>(r#"{"name": "a", "nmespace": "b"}"#);
    assert!(unknown.unwrap_err().to_string().contains("nmespace"));
}
