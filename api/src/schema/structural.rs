//! From JSON Schema to the part of it that Kubernetes takes ("structural schemas").

use serde_json::{Value, json};

/// The structural schema that says the same as `schema`, less what the API server sees to by itself: it refuses or
/// drops unknown fields, and it knows no titles.
pub(super) fn of(mut schema: Value) -> Value {
    rewrite(&mut schema);
    schema
}

/// The schema of the field at `path`, such as `limits.maxRequests`, or `rules[].sources` of each entry of a list; of the
/// whole if that is empty.
pub(super) fn field<'a>(schema: &'a mut Value, path: &str) -> &'a mut Value {
    path.split('.').filter(|step| !step.is_empty()).fold(schema, |schema, step| {
        let (name, is_entry) = step.strip_suffix("[]").map_or((step, false), |name| (name, true));
        let field =
            schema["properties"].get_mut(name).expect("rules name fields of the type that they are for");
        if is_entry { &mut field["items"] } else { field }
    })
}

fn rewrite(schema: &mut Value) {
    unite(schema);
    enumerate(schema);
    let Value::Object(keywords) = schema else { return };
    keywords.retain(|keyword, value| match keyword.as_str() {
        "title" => false,
        // What the values of a map are; that other fields are none, the API server sees to.
        "additionalProperties" => value.is_object(),
        // Others know no formats without a sign; the bounds say it.
        "format" => !value.as_str().is_some_and(|format| format.starts_with("uint")),
        // Only single fields have defaults. Filled in, those of whole objects would make each policy as long as its
        // schema, and hide what its author has written.
        "default" => !value.is_object() && !value.is_null(),
        _ => true,
    });
    // What is absent is left out, not null.
    if let Some(Value::Array(types)) = keywords.get("type") {
        let only = types.iter().find(|name| *name != "null").cloned().unwrap_or_default();
        keywords.insert("type".to_owned(), only);
    }
    if let Some(Value::Object(properties)) = keywords.get_mut("properties") {
        properties.values_mut().for_each(rewrite);
    }
    if let Some(items) = keywords.get_mut("items") {
        rewrite(items);
    }
}

/// What is null or something is that something: what is absent is left out.
fn unite(schema: &mut Value) {
    let Some(Value::Array(choices)) = schema.get_mut("anyOf") else { return };
    if let [some, null] = choices.as_mut_slice()
        && null["type"] == "null"
    {
        let mut some = some.take();
        some["description"] = schema["description"].take();
        *schema = some;
    }
}

/// A choice of words is an `enum`; what each of them means moves into the description.
fn enumerate(schema: &mut Value) {
    let Some(Value::Array(choices)) = schema.get_mut("oneOf").map(Value::take) else { return };
    let words: Vec<&Value> = choices.iter().filter_map(|choice| choice.get("const")).collect();
    let meanings = choices.iter().filter_map(|choice| {
        Some(format!(" `{}`: {}", choice["const"].as_str()?, choice["description"].as_str()?))
    });
    let description = schema["description"].as_str().unwrap_or_default().to_owned();
    let description = meanings.fold(description, |text, meaning| text + &meaning);
    let mut closed = json!({ "type": "string", "enum": words, "description": description.trim() });
    if let Some(default) = schema.get("default") {
        closed["default"] = default.clone();
    }
    *schema = closed;
}
