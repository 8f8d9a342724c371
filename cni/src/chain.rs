//! Lists of plugins as runtimes read them, and the place of this plugin in one: text in, text out.
//!
//! What others wrote stays, but for the order of names and the blanks: an object of JSON has none.

use serde_json::{Value, json};

use crate::call::{PLUGIN, VERSIONS};

/// How the names of files end that runtimes read. Only a `conflist` holds several plugins.
pub const EXTENSIONS: [&str; 3] = ["conf", "conflist", "json"];
const LIST_EXTENSION: &str = "conflist";

/// What a file becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inserted {
    /// Its name. Another one than before if a single plugin became a list.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// Why a file cannot have this plugin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// It is no JSON.
    #[error("it is no JSON: {0}")]
    Json(String),
    /// It holds no plugins.
    #[error("it holds neither a plugin nor a list of plugins")]
    Empty,
    /// It is of a version in which this plugin cannot be called.
    #[error(
        "it is of version {0:?} of CNI, in which plugins cannot be chained: let the network's own plugin write its \
         configuration in version 0.3.0 or later"
    )]
    Version(String),
}

/// This plugin's entry.
pub fn entry(socket: &str, exclude_namespaces: &[String]) -> Value {
    json!({"type": PLUGIN, "socket": socket, "excludeNamespaces": exclude_namespaces})
}

/// The file `name` with `entry` as its last plugin; none if it is that already.
pub fn insert(name: &str, text: &str, entry: &Value) -> Result<Option<Inserted>, Unusable> {
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let mut list = parse(text)?;
    if extension != LIST_EXTENSION {
        list = wrapped(&list)?;
    }
    let version = list["cniVersion"].as_str().unwrap_or_default();
    if !VERSIONS.contains(&version) {
        return Err(Unusable::Version(version.to_owned()));
    }
    let plugins = list["plugins"].as_array_mut().filter(|plugins| !plugins.iter().all(is_ours));
    let plugins = plugins.ok_or(Unusable::Empty)?;
    if plugins.last() == Some(entry) && plugins.iter().filter(|plugin| is_ours(plugin)).count() == 1 {
        return Ok(None);
    }
    plugins.retain(|plugin| !is_ours(plugin));
    plugins.push(entry.clone());
    Ok(Some(Inserted { name: format!("{stem}.{LIST_EXTENSION}"), text: printed(&list) }))
}

/// The text of a file without this plugin; none if it has none.
pub fn remove(text: &str) -> Option<String> {
    let mut list = parse(text).ok()?;
    let plugins = list.get_mut("plugins")?.as_array_mut()?;
    let before = plugins.len();
    plugins.retain(|plugin| !is_ours(plugin));
    (plugins.len() < before).then(|| printed(&list))
}

fn parse(text: &str) -> Result<Value, Unusable> {
    serde_json::from_str(text).map_err(|error| Unusable::Json(error.to_string()))
}

/// A single plugin as the list that runtimes make of it themselves.
fn wrapped(plugin: &Value) -> Result<Value, Unusable> {
    if plugin["type"].as_str().is_none_or(str::is_empty) {
        return Err(Unusable::Empty);
    }
    Ok(json!({"cniVersion": plugin["cniVersion"], "name": plugin["name"], "plugins": [plugin]}))
}

fn is_ours(plugin: &Value) -> bool {
    plugin["type"] == PLUGIN
}

fn printed(list: &Value) -> String {
    format!("{list:#}\n")
}

#[cfg(test)]
mod tests;
