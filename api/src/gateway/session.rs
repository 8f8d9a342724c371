//! Sticky sessions of a rule (GEP-1619): who has been answered by an endpoint goes there again.

use serde::{Deserialize, Serialize};

use super::filter::{is_token, may_be_edited};
use crate::{Duration, violation::Violation};

/// A name of a session has so many bytes at most, as the Gateway API has it.
const NAME_BYTES_MAX: usize = 128;

/// `sessionPersistence` of a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SessionPersistence {
    /// Name of the cookie or header. Absent: one of the rule's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_name: Option<String>,
    /// How long a session lasts at most. Absent: for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub absolute_timeout: Option<Duration>,
    /// How long one lasts in which nothing is asked. Absent: for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_timeout: Option<Duration>,
    /// How callers say which session is theirs.
    #[serde(rename = "type")]
    pub kind: SessionKind,
    /// What is particular to cookies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cookie_config: Option<CookieConfig>,
}

/// How callers say which session is theirs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SessionKind {
    /// By a cookie.
    #[default]
    Cookie,
    /// By a header.
    Header,
}

/// What is particular to cookies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CookieConfig {
    /// How long callers keep the cookie.
    pub lifetime_type: CookieLifetime,
}

/// How long callers keep a cookie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CookieLifetime {
    /// For as long as their own session is.
    #[default]
    Session,
    /// Until the session is over by `absoluteTimeout`.
    Permanent,
}

impl SessionPersistence {
    /// Whether callers are told when the cookie is over.
    pub fn is_permanent(&self) -> bool {
        self.cookie_config.is_some_and(|config| config.lifetime_type == CookieLifetime::Permanent)
    }

    /// Checks what the types cannot say; `at` is where it stands.
    pub(super) fn validate(&self, at: &str) -> Result<(), Violation> {
        if let Some(name) = &self.session_name {
            let fits = match self.kind {
                SessionKind::Cookie => is_token(name),
                SessionKind::Header => may_be_edited(name),
            };
            if !fits || name.len() > NAME_BYTES_MAX {
                let rule = format!("is `{name}`, which is no name of a {:?}", self.kind).to_lowercase();
                return Err(Violation::new(format!("{at}.sessionName"), rule));
            }
        }
        let timeouts = [("absoluteTimeout", self.absolute_timeout), ("idleTimeout", self.idle_timeout)];
        if let Some((field, _)) = timeouts.iter().find(|(_, timeout)| timeout.is_some_and(Duration::is_zero))
        {
            return Err(Violation::new(format!("{at}.{field}"), "must be above 0s"));
        }
        if self.cookie_config.is_some() && self.kind == SessionKind::Header {
            let rule = "is a matter of cookies, and type is Header";
            return Err(Violation::new(format!("{at}.cookieConfig"), rule));
        }
        if self.is_permanent() && self.absolute_timeout.is_none() {
            let rule = "is missing: it says for how long a cookie that is Permanent is kept";
            return Err(Violation::new(format!("{at}.absoluteTimeout"), rule));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
