//! `TCPRoute` and `TLSRoute`: where connections go whose bytes nobody looks at (GEP-735, GEP-2643).

use serde::{Deserialize, de::IgnoredAny};

use super::{BackendRef, ParentRef, Route};
use crate::violation::{Violation, at_most};

/// A TLSRoute names so many hosts at most, as the Gateway API has it.
pub const HOSTNAMES_MAX: usize = 16;
/// A name of DNS has so many bytes at most (RFC 1035, 2.3.4, less the root).
const NAME_BYTES_MAX: usize = 253;
/// A label of one (RFC 1035, 2.3.4).
const LABEL_BYTES_MAX: usize = 63;

/// `spec` of a `TCPRoute` or `TLSRoute`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct StreamRouteSpec {
    /// What it is attached to.
    pub parent_refs: Vec<ParentRef>,
    /// Names that clients of TLS call (SNI): whole ones, or `*.` before the end of them. Of a `TLSRoute` only.
    pub hostnames: Vec<String>,
    /// One rule.
    pub rules: Vec<StreamRule>,
    use_default_gateways: IgnoredAny,
}

/// Where connections go.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct StreamRule {
    /// Name.
    pub name: Option<String>,
    /// Who takes them, by weight.
    pub backend_refs: Vec<BackendRef>,
}

impl Route for StreamRouteSpec {
    fn parents(&self) -> &[ParentRef] {
        &self.parent_refs
    }
}

impl StreamRouteSpec {
    /// Who takes connections, by weight.
    pub fn backends(&self) -> &[BackendRef] {
        self.rules.first().map_or(&[], |rule| &rule.backend_refs)
    }

    /// Checks a `TCPRoute`. Errors name the field by its path below `spec`.
    pub fn validate_tcp(&self) -> Result<(), Violation> {
        if !self.hostnames.is_empty() {
            return Err(Violation::new("hostnames", "is a field of TLSRoutes"));
        }
        self.validate_rules()
    }

    /// Checks a `TLSRoute`. Errors name the field by its path below `spec`.
    pub fn validate_tls(&self) -> Result<(), Violation> {
        if self.hostnames.is_empty() {
            return Err(Violation::new("hostnames", "must hold a name that clients call"));
        }
        at_most("hostnames", self.hostnames.len(), HOSTNAMES_MAX)?;
        if let Some(index) = self.hostnames.iter().position(|name| !is_hostname(name)) {
            let rule = format!(
                "is `{}`, which is no host name such as `a.example` or `*.example`",
                self.hostnames[index]
            );
            return Err(Violation::new(format!("hostnames[{index}]"), rule));
        }
        self.validate_rules()
    }

    fn validate_rules(&self) -> Result<(), Violation> {
        let [rule] = self.rules.as_slice() else {
            return Err(Violation::new(
                "rules",
                "must hold one rule: there is nothing by which another could match",
            ));
        };
        for (index, backend) in rule.backend_refs.iter().enumerate() {
            let at = format!("rules[0].backendRefs[{index}]");
            if backend.weight > 1_000_000 {
                let rule = format!("is {}; it must be within 0 to 1000000", backend.weight);
                return Err(Violation::new(format!("{at}.weight"), rule));
            }
            if !backend.filters.is_empty() {
                return Err(Violation::new(
                    format!("{at}.filters"),
                    "is a field of HTTPRoutes and GRPCRoutes",
                ));
            }
        }
        Ok(())
    }
}

/// A name of DNS with a letter in its last label, which an address has not; or `*.` and one.
fn is_hostname(name: &str) -> bool {
    let name = name.strip_prefix("*.").unwrap_or(name);
    let last = name.rsplit('.').next().unwrap_or_default();
    name.len() <= NAME_BYTES_MAX
        && name.split('.').all(is_label)
        && !last.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_label(label: &str) -> bool {
    let inner = label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    inner && (1..=LABEL_BYTES_MAX).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
}

#[cfg(test)]
mod tests;
