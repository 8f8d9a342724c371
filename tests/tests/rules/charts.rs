//! What the charts owe whoever installs them, as far as text shows it: every value has a default and is explained, no
//! secret is in a template, and nothing there that a program changes later.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};

use crate::source;

const CHARTS: [&str; 2] = ["weft", "weft-crds"];

fn chart(name: &str) -> PathBuf {
    source::root().join("charts").join(name)
}

fn yaml(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All templates of a chart, with their texts.
fn templates(name: &str) -> Vec<(PathBuf, String)> {
    let files = source::files(&chart(name).join("templates"));
    let text = |path: PathBuf| fs::read_to_string(&path).map(|text| (path, text)).ok();
    files.into_iter().filter_map(text).collect()
}

#[test]
fn charts_have_the_version_of_the_workspace_and_of_one_another() {
    let version = env!("CARGO_PKG_VERSION");
    for name in CHARTS {
        let chart = yaml(&chart(name).join("Chart.yaml"));
        assert_eq!((chart["version"].as_str(), chart["appVersion"].as_str()), (Some(version), Some(version)));
    }
    let subchart = &yaml(&chart("weft").join("Chart.yaml"))["dependencies"][0];
    assert_eq!((subchart["name"].as_str(), subchart["version"].as_str()), (Some("weft-crds"), Some(version)));
    assert!(
        chart("weft").join("charts/weft-crds/Chart.yaml").exists(),
        "the subchart is not where Helm looks"
    );
}

/// Follows `$ref` within the schema.
fn resolved<'a>(schema: &'a Value, root: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(reference) => {
            root.pointer(reference.trim_start_matches('#')).unwrap_or_else(|| panic!("{reference}"))
        }
        None => schema,
    }
}

/// What of `values` the schema does not explain, and what it explains that has no default.
fn gaps(path: &str, values: &Map<String, Value>, schema: &Value, root: &Value, found: &mut Vec<String>) {
    let Some(properties) = schema["properties"].as_object() else { return };
    if schema["additionalProperties"] != false {
        found.push(format!("{path}: takes names that it does not know"));
    }
    for (name, value) in values {
        let path = format!("{path}/{name}");
        let Some(property) = properties.get(name) else {
            found.push(format!("{path}: not in the schema"));
            continue;
        };
        let property = resolved(property, root);
        if property["description"].as_str().is_none_or(str::is_empty) {
            found.push(format!("{path}: is not explained"));
        }
        if let Value::Object(inner) = value {
            gaps(&path, inner, property, root, found);
        }
    }
    // Helm itself hands these two down.
    let own = properties.keys().filter(|name| !["global", "weft-crds"].contains(&name.as_str()));
    found.extend(
        own.filter(|name| !values.contains_key(*name)).map(|name| format!("{path}/{name}: has no default")),
    );
}

#[test]
fn every_value_has_a_default_is_explained_and_is_checked() {
    let root: Value = serde_json::from_str(&source::read(&chart("weft").join("values.schema.json"))).unwrap();
    let values = yaml(&chart("weft").join("values.yaml"));
    let mut found = Vec::new();
    gaps("", values.as_object().expect("values are names and values"), &root, &root, &mut found);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn no_template_holds_a_secret_or_what_a_program_writes_later() {
    // A certificate that a template makes is another one at each upgrade; what `lookup` finds depends on who asks.
    let unwanted =
        ["kind: Secret", "caBundle:", "lookup ", "genCA", "genSelfSignedCert", "genSignedCert", "randAlpha"];
    let (templates, mut found) = (templates("weft"), Vec::new());
    assert!(!templates.is_empty(), "the templates are not where they are looked for");
    for (path, text) in templates {
        let held = unwanted.into_iter().filter(|word| text.contains(word));
        found.extend(held.map(|word| format!("{}: {word}", path.display())));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
