use serde_json::{Value, json};

use super::*;

fn selector(selector: Value) -> LabelSelector {
    serde_json::from_value(selector).unwrap()
}

#[test]
fn labels_must_fulfil_everything_that_is_said() {
    let labels =
        BTreeMap::from([("app", "api"), ("tier", "back")].map(|(k, v)| (k.to_owned(), v.to_owned())));
    let expression = |key, operator, values: &[&str]| json!({ "matchExpressions": [{ "key": key, "operator": operator, "values": values }] });
    let table = [
        (json!({}), true),
        (json!({ "matchLabels": { "app": "api" } }), true),
        (json!({ "matchLabels": { "app": "api", "tier": "front" } }), false),
        (json!({ "matchLabels": { "other": "" } }), false),
        (expression("app", "In", &["web", "api"]), true),
        (expression("app", "In", &["web"]), false),
        (expression("absent", "In", &["api"]), false),
        (expression("app", "NotIn", &["web"]), true),
        (expression("app", "NotIn", &["api"]), false),
        (expression("absent", "NotIn", &["api"]), true),
        (expression("app", "Exists", &[]), true),
        (expression("absent", "Exists", &[]), false),
        (expression("app", "DoesNotExist", &[]), false),
        (expression("absent", "DoesNotExist", &[]), true),
    ];
    for (text, selects) in table {
        assert_eq!(selector(text.clone()).selects(&labels), selects, "{text}");
        assert_eq!(selector(text).validate("selector"), Ok(()));
    }
}

#[test]
fn values_are_there_where_they_are_looked_at() {
    for (operator, values) in [("In", &[][..]), ("NotIn", &[]), ("Exists", &["a"]), ("DoesNotExist", &["a"])]
    {
        let text = json!({ "matchExpressions": [{ "key": "app", "operator": operator, "values": values }] });
        let violation = selector(text).validate("selector").unwrap_err();
        assert_eq!(violation.field, "selector.matchExpressions[0].values", "{operator}");
    }
}
