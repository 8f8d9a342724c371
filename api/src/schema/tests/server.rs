//! As much of an API server as the schemas need: it fills in defaults, and refuses by keywords and by CEL.

use std::{cell::RefCell, collections::HashMap, sync::Arc};

use cel::{Context, Env, Program};
use regex_lite::Regex;
use serde_json::Value;

/// What was refused: the field, and the keyword of its schema that does so.
pub(super) type Refusal = (String, &'static str);

pub(super) struct Server {
    schema: Value,
    env: Arc<Env>,
    programs: RefCell<HashMap<String, Program>>,
    patterns: RefCell<HashMap<String, Regex>>,
}

impl Server {
    pub(super) fn new(schema: Value) -> Self {
        let mut env = Env::stdlib();
        env.add_extension(cel::extensions::strings).unwrap();
        Self { schema, env: Arc::new(env), programs: RefCell::default(), patterns: RefCell::default() }
    }

    /// Everything that is wrong with `spec`. Rules are asked only where all keywords are content.
    pub(super) fn check(&self, spec: &Value) -> Vec<Refusal> {
        let mut spec = spec.clone();
        fill(&self.schema, &mut spec);
        let mut refusals = Vec::new();
        walk(&self.schema, &spec, "", &mut |schema, value, field| {
            self.keywords(schema, value, field, &mut refusals);
        });
        if refusals.is_empty() {
            walk(&self.schema, &spec, "", &mut |schema, value, field| {
                self.rules(schema, value, field, &mut refusals);
            });
        }
        refusals
    }

    fn keywords(&self, schema: &Value, value: &Value, field: &str, refusals: &mut Vec<Refusal>) {
        let bound = |keyword: &str| schema[keyword].as_f64();
        let above = |size: f64, keyword: &str| bound(keyword).is_some_and(|max| size > max);
        let below = |size: f64, keyword: &str| bound(keyword).is_some_and(|min| size < min);
        let mut broken = Vec::new();
        if schema == &Value::Bool(false) {
            broken.push("properties");
        } else if !is_of_type(schema, value) {
            broken.push("type");
        }
        if schema.get("enum").is_some() && !list(schema, "enum").contains(value) {
            broken.push("enum");
        }
        match value {
            Value::Number(number) => {
                let number = number.as_f64().unwrap();
                broken.extend(below(number, "minimum").then_some("minimum"));
                broken.extend(above(number, "maximum").then_some("maximum"));
            }
            Value::String(text) => {
                let fits = schema["pattern"].as_str().is_none_or(|regex| self.fits(regex, text));
                broken.extend((!fits).then_some("pattern"));
                broken.extend(above(text.chars().count() as f64, "maxLength").then_some("maxLength"));
            }
            Value::Array(entries) => {
                broken.extend(below(entries.len() as f64, "minItems").then_some("minItems"));
                broken.extend(above(entries.len() as f64, "maxItems").then_some("maxItems"));
            }
            Value::Object(fields) => {
                let missing =
                    list(schema, "required").iter().any(|name| !fields.contains_key(name.as_str().unwrap()));
                broken.extend(missing.then_some("required"));
            }
            Value::Null | Value::Bool(_) => {}
        }
        refusals.extend(broken.into_iter().map(|keyword| (field.to_owned(), keyword)));
    }

    fn fits(&self, regex: &str, text: &str) -> bool {
        let mut patterns = self.patterns.borrow_mut();
        let pattern = patterns.entry(regex.to_owned()).or_insert_with(|| Regex::new(regex).unwrap());
        pattern.is_match(text)
    }

    fn rules(&self, schema: &Value, value: &Value, field: &str, refusals: &mut Vec<Refusal>) {
        for one in list(schema, "x-kubernetes-validations") {
            assert!(one["message"].is_string(), "{one}");
            if !self.is_true(one["rule"].as_str().unwrap(), value) {
                let blamed = one["fieldPath"].as_str().unwrap_or_default();
                let field = format!("{field}{blamed}").trim_start_matches('.').to_owned();
                refusals.push((field, "x-kubernetes-validations"));
            }
        }
    }

    fn is_true(&self, rule: &str, value: &Value) -> bool {
        let mut programs = self.programs.borrow_mut();
        let program =
            programs.entry(rule.to_owned()).or_insert_with(|| self.env.compile(rule).expect("it is CEL"));
        let mut context = Context::with_env(self.env.clone());
        context.add_variable_from_value("self", in_cel(value));
        let result = program.execute(&context);
        assert!(matches!(result, Ok(cel::Value::Bool(_))), "{rule} of {value}: {result:?}");
        result == Ok(true.into())
    }
}

/// Writes the defaults of what is absent, outside in.
fn fill(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, schema) in properties(schema) {
                if let Some(default) = schema.get("default") {
                    fields.entry(name.as_str()).or_insert_with(|| default.clone());
                }
                if let Some(field) = fields.get_mut(name) {
                    fill(schema, field);
                }
            }
        }
        Value::Array(entries) => entries.iter_mut().for_each(|entry| fill(&schema["items"], entry)),
        _ => {}
    }
}

/// Visits a value and all that it holds, each with its schema and its path.
fn walk(schema: &Value, value: &Value, field: &str, visit: &mut impl FnMut(&Value, &Value, &str)) {
    visit(schema, value, field);
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let of_map = schema.get("additionalProperties");
                let schema = schema["properties"].get(name).or(of_map).unwrap_or(&Value::Bool(false));
                let field = format!("{field}.{name}");
                walk(schema, value, field.trim_start_matches('.'), visit);
            }
        }
        Value::Array(entries) => {
            for (index, entry) in entries.iter().enumerate() {
                walk(&schema["items"], entry, &format!("{field}[{index}]"), visit);
            }
        }
        _ => {}
    }
}

fn is_of_type(schema: &Value, value: &Value) -> bool {
    if schema["x-kubernetes-int-or-string"] == true {
        return value.is_i64() || value.is_string();
    }
    match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64(),
        Some("number") => value.is_number(),
        other => panic!("the server does not know the type {other:?}"),
    }
}

/// As an API server hands it to a rule: whole numbers have a sign.
fn in_cel(value: &Value) -> cel::Value {
    match value {
        Value::Null => cel::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Number(number) => {
            number.as_i64().map_or_else(|| cel::Value::Float(number.as_f64().unwrap()), cel::Value::Int)
        }
        Value::String(text) => text.as_str().into(),
        Value::Array(entries) => entries.iter().map(in_cel).collect::<Vec<_>>().into(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (name.clone(), in_cel(value))).collect::<HashMap<_, _>>().into()
        }
    }
}

pub(super) fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema["properties"].as_object().into_iter().flatten()
}

pub(super) fn list<'a>(schema: &'a Value, keyword: &str) -> &'a [Value] {
    schema[keyword].as_array().map_or(&[], Vec::as_slice)
}
