//! `AuthorizationPolicy`: who may enter a workload, and to do what. The schema is that of GEP-3779, and beyond it
//! denials, networks, methods and paths, and audit.

use serde::{Deserialize, Serialize};

use crate::{
    cidr::Cidr,
    http_attributes::HttpAttributes,
    network_attributes::NetworkAttributes,
    policy::Mode,
    violation::{Violation, at_most},
};

/// A policy has so many rules at most.
pub const RULES_MAX: usize = 64;
/// A rule names so many sources at most.
pub const SOURCES_MAX: usize = 64;
/// A SPIFFE id has so many bytes at most (SPIFFE ID, 2.3).
pub const SPIFFE_BYTES_MAX: usize = 2048;
/// Name of a service account that stands for all of its namespace.
pub const ALL_ACCOUNTS: &str = "*";

/// `spec` of an `AuthorizationPolicy`, less the workloads that it applies to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Authorization {
    /// What becomes of what matches a rule.
    pub action: Action,
    /// Whether to act, or to compute and report only.
    #[serde(default)]
    pub mode: Mode,
    /// Any of them, at most 64. None: nothing matches.
    #[serde(default)]
    pub rules: Vec<Rule>,
}

/// What becomes of what matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "UPPERCASE")]
pub enum Action {
    /// It may enter, and what matches no rule of any such policy may not.
    Allow,
    /// It may not enter, whatever else allows it.
    Deny,
}

/// All that must be true of a request or of an opaque connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Rule {
    /// Where it comes from: any of these, at most 64. Absent: anywhere. Empty: nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sources: Option<Vec<Source>>,
    /// Where it goes. Absent: any port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_attributes: Option<NetworkAttributes>,
    /// What it asks. Absent: anything, also bytes that are no HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_attributes: Option<HttpAttributes>,
}

/// Where something comes from: `type`, and the field of that name, if the type has one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Source {
    /// What is known of it.
    #[serde(rename = "type")]
    pub kind: SourceKind,
    /// A service account of this trust domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account: Option<ServiceAccount>,
    /// A SPIFFE id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spiffe: Option<String>,
    /// Addresses of callers, such as `10.0.0.0/8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Cidr>,
}

/// What is known of where something comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum SourceKind {
    /// It has proved to be a service account.
    ServiceAccount,
    /// It has proved to be this SPIFFE id.
    #[serde(rename = "SPIFFE")]
    Spiffe,
    /// It has proved to be somebody of the mesh.
    Authenticated,
    /// The address that it connects from, which proves nothing.
    Network,
}

/// A service account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceAccount {
    /// Name; `*` for all of the namespace.
    pub name: String,
    /// Namespace. Absent: that of the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

impl Authorization {
    /// What stands in place of a policy that cannot be read: nobody may enter.
    pub fn nobody() -> Self {
        Self { action: Action::Allow, mode: Mode::Enforce, rules: Vec::new() }
    }

    /// Checks what the types cannot say. Errors name the field by its path below `spec`.
    pub fn validate(&self) -> Result<(), Violation> {
        at_most("rules", self.rules.len(), RULES_MAX)?;
        for (index, rule) in self.rules.iter().enumerate() {
            rule.validate(&format!("rules[{index}]"))?;
        }
        Ok(())
    }
}

impl Rule {
    fn validate(&self, field: &str) -> Result<(), Violation> {
        if let Some(sources) = &self.sources {
            let field = format!("{field}.sources");
            at_most(&field, sources.len(), SOURCES_MAX)?;
            for (index, source) in sources.iter().enumerate() {
                source.validate(&format!("{field}[{index}]"))?;
            }
        }
        if let Some(network) = &self.network_attributes {
            network.validate(&format!("{field}.networkAttributes"))?;
        }
        let http = self.http_attributes.as_ref();
        http.map_or(Ok(()), |http| http.validate(&format!("{field}.httpAttributes")))
    }
}

impl Source {
    fn validate(&self, field: &str) -> Result<(), Violation> {
        let fields = [
            ("serviceAccount", SourceKind::ServiceAccount, self.service_account.is_some()),
            ("spiffe", SourceKind::Spiffe, self.spiffe.is_some()),
            ("network", SourceKind::Network, self.network.is_some()),
        ];
        for (name, kind, is_there) in fields {
            if is_there != (self.kind == kind) {
                let rule =
                    if is_there { "does not fit its type" } else { "is missing, which its type needs" };
                return Err(Violation::new(format!("{field}.{name}"), rule));
            }
        }
        if let Some(account) = &self.service_account {
            account.validate(&format!("{field}.serviceAccount"))?;
        }
        match &self.spiffe {
            Some(id) if !is_spiffe_id(id) => {
                let rule =
                    format!("is `{id}`, which is no SPIFFE id such as `spiffe://cluster.local/ns/a/sa/b`");
                Err(Violation::new(format!("{field}.spiffe"), rule))
            }
            _ => Ok(()),
        }
    }
}

impl ServiceAccount {
    fn validate(&self, field: &str) -> Result<(), Violation> {
        let namespace = self.namespace.as_deref();
        let fields = [
            ("name", self.name.as_str(), self.name == ALL_ACCOUNTS || is_name(&self.name)),
            ("namespace", namespace.unwrap_or_default(), namespace.is_none_or(is_name)),
        ];
        match fields.into_iter().find(|(.., fits)| !fits) {
            None => Ok(()),
            Some((name, text, _)) => {
                let rule = format!("is `{text}`, which is no name of Kubernetes");
                Err(Violation::new(format!("{field}.{name}"), rule))
            }
        }
    }
}

/// A DNS subdomain (RFC 1123), as names of Kubernetes are. They become parts of identities.
fn is_name(name: &str) -> bool {
    let is_label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !label.is_empty() && !label.starts_with('-') && !label.ends_with('-') && label.bytes().all(inner)
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

/// A canonical SPIFFE id: a trust domain in lower case and one or more segments, nothing encoded.
fn is_spiffe_id(id: &str) -> bool {
    let Some((domain, path)) = id.strip_prefix("spiffe://").and_then(|rest| rest.split_once('/')) else {
        return false;
    };
    let of_domains = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._".contains(&byte);
    let of_segments = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let is_segment = |segment: &str| !segment.is_empty() && segment.bytes().all(of_segments);
    id.len() <= SPIFFE_BYTES_MAX
        && !domain.is_empty()
        && domain.bytes().all(of_domains)
        && path.split('/').all(is_segment)
}
