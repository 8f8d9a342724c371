//! What a `GRPCRoute` asks of calls (GEP-1016).

use serde::Deserialize;

use super::{Filter, GrpcRouteSpec, Rule, ValueMatch, ValueMatchKind};
use crate::violation::Violation;

/// What a call must fit: all that is said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct GrpcMatch {
    /// Service and method. Absent: any.
    pub method: Option<MethodMatch>,
    /// Headers, all of them.
    pub headers: Vec<ValueMatch>,
}

/// A condition on what is called. At least one of the two is said; what is absent or empty is any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct MethodMatch {
    /// How both are compared.
    #[serde(rename = "type")]
    pub kind: ValueMatchKind,
    /// The service, with its package: `shop.v1.Cart`.
    service: Option<String>,
    /// The method.
    method: Option<String>,
}

impl MethodMatch {
    /// What the service must be; `None` = any.
    pub fn service(&self) -> Option<&str> {
        self.service.as_deref().filter(|service| !service.is_empty())
    }

    /// What the method must be; `None` = any.
    pub fn method(&self) -> Option<&str> {
        self.method.as_deref().filter(|method| !method.is_empty())
    }
}

impl GrpcRouteSpec {
    /// Checks what the types cannot say. Errors name the field by its path below `spec`.
    pub fn validate(&self) -> Result<(), Violation> {
        let mut rules = self.rules.iter().enumerate();
        rules.try_for_each(|(index, rule)| rule.validate(&format!("rules[{index}]")))
    }
}

impl Rule<GrpcMatch> {
    fn validate(&self, at: &str) -> Result<(), Violation> {
        let others = [("timeouts", self.timeouts.is_some()), ("retry", self.retry.is_some())];
        if let Some((field, _)) = others.into_iter().find(|(_, is_there)| *is_there) {
            let rule = "is a field of HTTPRoutes; a RetryPolicy says it for a GRPCRoute";
            return Err(Violation::new(format!("{at}.{field}"), rule));
        }
        for (index, one) in self.matches.iter().enumerate() {
            if let Some(method) = &one.method {
                method.validate(&format!("{at}.matches[{index}].method"))?;
            }
        }
        if let Some(index) = self.filters.iter().position(|filter| !filter.is_of_calls()) {
            let rule = "is a filter of HTTPRoutes only";
            return Err(Violation::new(format!("{at}.filters[{index}]"), rule));
        }
        self.validate_backends(at)
    }
}

impl MethodMatch {
    fn validate(&self, at: &str) -> Result<(), Violation> {
        if self.service().is_none() && self.method().is_none() {
            return Err(Violation::new(at, "must hold a service, a method, or both"));
        }
        if self.kind == ValueMatchKind::RegularExpression {
            return Ok(());
        }
        let service = self.service().filter(|service| !is_service(service)).map(|name| ("service", name));
        let method = self.method().filter(|method| !is_word(method)).map(|name| ("method", name));
        match service.or(method) {
            None => Ok(()),
            Some((field, name)) => {
                let rule = format!("is `{name}`, which is no {field} of gRPC");
                Err(Violation::new(format!("{at}.{field}"), rule))
            }
        }
    }
}

/// Words with dots between them, and perhaps one before them.
fn is_service(name: &str) -> bool {
    name.strip_prefix('.').unwrap_or(name).split('.').all(is_word)
}

fn is_word(text: &str) -> bool {
    let inner = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    inner && !text.is_empty() && !text.starts_with(|first: char| first.is_ascii_digit())
}

impl Filter {
    /// Whether a `GRPCRoute` may have it.
    const fn is_of_calls(&self) -> bool {
        matches!(
            self,
            Self::RequestHeaderModifier(_)
                | Self::ResponseHeaderModifier(_)
                | Self::RequestMirror(_)
                | Self::Unsupported
        )
    }
}

#[cfg(test)]
mod tests;
