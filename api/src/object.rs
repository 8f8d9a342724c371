//! What every object says about itself: name, namespace, labels, age.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Deserializer, Serialize, de::IgnoredAny};

use crate::names;

/// Namespace of an object that names none.
pub const DEFAULT_NAMESPACE: &str = "default";

/// An object as people write it, less `apiVersion` and `kind`, which `S` stands for.
#[derive(Clone, Debug, PartialEq)]
pub struct Object<S> {
    /// What it says about itself.
    pub metadata: Metadata,
    /// What it asks for. Kinds without a `spec` (`EndpointSlice`) have their own fields here.
    pub spec: S,
}

/// `metadata` of an object. What the Kubernetes schema has beside these fields is accepted and passed over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metadata {
    /// Name, unique per kind and namespace.
    pub name: String,
    /// Namespace. Default `default`.
    #[serde(default = "default_namespace")]
    pub namespace: String,
    /// Labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// When the API server made it. Objects from files may say so too: where two collide, the older wins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creation_timestamp: Option<Timestamp>,
    /// Annotations of the mesh, which begin with `weft.dev/`. All others are somebody else's, and passed over: they
    /// may be long, and change often.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "of_the_mesh")]
    pub annotations: BTreeMap<String, String>,
    #[serde(default, skip_serializing)]
    deletion_grace_period_seconds: IgnoredAny,
    #[serde(default, skip_serializing)]
    deletion_timestamp: IgnoredAny,
    #[serde(default, skip_serializing)]
    finalizers: IgnoredAny,
    #[serde(default, skip_serializing)]
    generate_name: IgnoredAny,
    #[serde(default, skip_serializing)]
    generation: IgnoredAny,
    #[serde(default, skip_serializing)]
    managed_fields: IgnoredAny,
    #[serde(default, skip_serializing)]
    owner_references: IgnoredAny,
    #[serde(default, skip_serializing)]
    resource_version: IgnoredAny,
    #[serde(default, skip_serializing)]
    self_link: IgnoredAny,
    #[serde(default, skip_serializing)]
    uid: IgnoredAny,
}

impl Metadata {
    /// Metadata that holds a name, and nothing that is optional.
    pub fn named(namespace: &str, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            labels: BTreeMap::new(),
            creation_timestamp: None,
            annotations: BTreeMap::new(),
            deletion_grace_period_seconds: IgnoredAny,
            deletion_timestamp: IgnoredAny,
            finalizers: IgnoredAny,
            generate_name: IgnoredAny,
            generation: IgnoredAny,
            managed_fields: IgnoredAny,
            owner_references: IgnoredAny,
            resource_version: IgnoredAny,
            self_link: IgnoredAny,
            uid: IgnoredAny,
        }
    }

    /// Sorts the object that wins a collision first: the oldest, then the first by namespace and name
    /// (Gateway API, "Conflicts"; GEP-713). An object that does not know its age is younger than all that do.
    pub fn seniority(&self) -> impl Ord + use<'_> {
        let unknown = self.creation_timestamp.is_none();
        (unknown, self.creation_timestamp.as_ref(), self.namespace.as_str(), self.name.as_str())
    }
}

/// A moment in UTC to the second, as the Kubernetes API writes it: `2026-01-31T12:00:00Z`. Orders by time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timestamp(String);

impl TryFrom<String> for Timestamp {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        const SHAPE: &[u8] = b"0000-00-00T00:00:00Z";
        let fits = text.len() == SHAPE.len()
            && text.bytes().zip(SHAPE).all(|(byte, shape)| match shape {
                b'0' => byte.is_ascii_digit(),
                mark => byte == *mark,
            });
        if fits {
            Ok(Self(text))
        } else {
            Err(format!("`{text}` is not a time such as `2026-01-31T12:00:00Z`"))
        }
    }
}

impl From<Timestamp> for String {
    fn from(time: Timestamp) -> Self {
        time.0
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn of_the_mesh<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let all: Option<BTreeMap<String, String>> = Option::deserialize(deserializer)?;
    let all = all.unwrap_or_default().into_iter();
    Ok(all.filter(|(key, _)| key.starts_with(names::ANNOTATION_PREFIX)).collect())
}

fn default_namespace() -> String {
    DEFAULT_NAMESPACE.to_owned()
}

#[cfg(test)]
mod tests;
