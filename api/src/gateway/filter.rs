//! Filters of a route's rule: what is done with its requests and their answers beside sending them on.

mod cors;
mod edits;
mod mirror;
mod path;

use serde::{Deserialize, de::IgnoredAny};

use crate::violation::Violation;

pub use cors::Cors;
pub(super) use edits::is_token;
pub use edits::{HeaderEdits, HeaderValue, may_be_edited};
pub use mirror::{Fraction, Mirror};
pub use path::PathModifier;

/// Most filters of one rule.
const FILTERS_MAX: usize = 16;
/// Most bytes of a host name (RFC 1123).
const HOSTNAME_BYTES_MAX: usize = 253;
/// What a redirect may answer.
const REDIRECT_STATUSES: [u16; 5] = [301, 302, 303, 307, 308];

/// One filter, of the type that it says.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Fields")]
pub enum Filter {
    /// Edits the headers of requests.
    RequestHeaderModifier(HeaderEdits),
    /// Edits the headers of answers.
    ResponseHeaderModifier(HeaderEdits),
    /// Answers with another place to ask.
    RequestRedirect(Redirect),
    /// Sends requests on under another host or path.
    UrlRewrite(Rewrite),
    /// Sends copies of requests elsewhere.
    RequestMirror(Box<Mirror>),
    /// Lets pages of other origins ask.
    Cors(Box<Cors>),
    /// One that the Gateway API knows and Weft does not carry.
    Unsupported,
}

/// Another place to ask. What is absent stays as the caller said it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Redirect {
    /// Scheme.
    pub scheme: Option<Scheme>,
    /// Host name.
    pub hostname: Option<String>,
    /// Path.
    pub path: Option<PathModifier>,
    /// Port. Absent: the well-known one of `scheme`; without a scheme, the port that was called.
    pub port: Option<u16>,
    /// 301, 302, 303, 307 or 308. Default 302.
    #[serde(default = "found")]
    pub status_code: u16,
}

/// The scheme of a redirect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// `http`.
    Http,
    /// `https`.
    Https,
}

impl Scheme {
    /// As it stands in a URL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port that URLs of this scheme mean where they name none.
    pub const fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Another host or path under which a request goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Rewrite {
    /// What `Host` says.
    pub hostname: Option<String>,
    /// Path.
    pub path: Option<PathModifier>,
}

/// A filter as it is written: its type, and beside it the one field that belongs to the type.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Fields {
    r#type: Type,
    request_header_modifier: Option<HeaderEdits>,
    response_header_modifier: Option<HeaderEdits>,
    request_redirect: Option<Redirect>,
    url_rewrite: Option<Rewrite>,
    request_mirror: Option<Box<Mirror>>,
    cors: Option<Box<Cors>>,
    external_auth: Option<IgnoredAny>,
    extension_ref: Option<IgnoredAny>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
enum Type {
    RequestHeaderModifier,
    ResponseHeaderModifier,
    RequestRedirect,
    #[serde(rename = "URLRewrite")]
    UrlRewrite,
    RequestMirror,
    #[serde(rename = "CORS")]
    Cors,
    ExternalAuth,
    ExtensionRef,
}

impl TryFrom<Fields> for Filter {
    type Error = String;

    fn try_from(fields: Fields) -> Result<Self, String> {
        let unsupported = |_: IgnoredAny| Self::Unsupported;
        let mut given = [
            ("requestHeaderModifier", fields.request_header_modifier.map(Self::RequestHeaderModifier)),
            ("responseHeaderModifier", fields.response_header_modifier.map(Self::ResponseHeaderModifier)),
            ("requestRedirect", fields.request_redirect.map(Self::RequestRedirect)),
            ("urlRewrite", fields.url_rewrite.map(Self::UrlRewrite)),
            ("requestMirror", fields.request_mirror.map(Self::RequestMirror)),
            ("cors", fields.cors.map(Self::Cors)),
            ("externalAuth", fields.external_auth.map(unsupported)),
            ("extensionRef", fields.extension_ref.map(unsupported)),
        ]
        .into_iter()
        .filter_map(|(field, filter)| Some((field, filter?)));
        let wanted = fields.r#type.field();
        match (given.next(), given.next()) {
            (Some((field, filter)), None) if field == wanted => Ok(filter),
            _ => Err(format!("must hold `{wanted}`, as its type says, and no other filter beside it")),
        }
    }
}

impl Type {
    const fn field(self) -> &'static str {
        match self {
            Self::RequestHeaderModifier => "requestHeaderModifier",
            Self::ResponseHeaderModifier => "responseHeaderModifier",
            Self::RequestRedirect => "requestRedirect",
            Self::UrlRewrite => "urlRewrite",
            Self::RequestMirror => "requestMirror",
            Self::Cors => "cors",
            Self::ExternalAuth => "externalAuth",
            Self::ExtensionRef => "extensionRef",
        }
    }
}

impl Filter {
    /// The field that holds it, which also tells types apart.
    pub const fn field(&self) -> &'static str {
        match self {
            Self::RequestHeaderModifier(_) => "requestHeaderModifier",
            Self::ResponseHeaderModifier(_) => "responseHeaderModifier",
            Self::RequestRedirect(_) => "requestRedirect",
            Self::UrlRewrite(_) => "urlRewrite",
            Self::RequestMirror(_) => "requestMirror",
            Self::Cors(_) => "cors",
            Self::Unsupported => "",
        }
    }

    /// Whether a backend may have it too, and not only a rule.
    pub const fn is_of_backends(&self) -> bool {
        matches!(self, Self::RequestHeaderModifier(_) | Self::ResponseHeaderModifier(_))
    }

    fn validate(&self, at: &str) -> Result<(), Violation> {
        let at = format!("{at}.{}", self.field());
        match self {
            Self::RequestHeaderModifier(edits) | Self::ResponseHeaderModifier(edits) => edits.validate(&at),
            Self::RequestRedirect(Redirect { hostname, path, port, status_code, .. }) => {
                if *port == Some(0) {
                    return Err(Violation::new(format!("{at}.port"), "is 0; it must be within 1 to 65535"));
                }
                if !REDIRECT_STATUSES.contains(status_code) {
                    let rule = format!("is {status_code}; it must be one of 301, 302, 303, 307, 308");
                    return Err(Violation::new(format!("{at}.statusCode"), rule));
                }
                place(&at, hostname.as_deref(), path.as_ref())
            }
            Self::UrlRewrite(Rewrite { hostname, path }) => place(&at, hostname.as_deref(), path.as_ref()),
            Self::RequestMirror(mirror) => mirror.validate(&at),
            Self::Cors(cors) => cors.validate(&at),
            Self::Unsupported => Ok(()),
        }
    }

    /// Whether a rule may have several of its type.
    const fn may_be_repeated(&self) -> bool {
        matches!(self, Self::RequestMirror(_) | Self::Unsupported)
    }

    fn path(&self) -> Option<&PathModifier> {
        match self {
            Self::RequestRedirect(redirect) => redirect.path.as_ref(),
            Self::UrlRewrite(rewrite) => rewrite.path.as_ref(),
            _ => None,
        }
    }
}

/// Checks the filters at the field `at`, each by itself and all together.
pub(super) fn validate(filters: &[Filter], at: &str) -> Result<(), Violation> {
    if filters.len() > FILTERS_MAX {
        return Err(Violation::new(at, format!("must hold at most {FILTERS_MAX} filters")));
    }
    for (index, filter) in filters.iter().enumerate() {
        let at = format!("{at}[{index}]");
        filter.validate(&at)?;
        let earlier = &filters[..index];
        if !filter.may_be_repeated() && earlier.iter().any(|other| other.field() == filter.field()) {
            return Err(Violation::new(
                at,
                "is of the same type as an earlier one; there may be one of each",
            ));
        }
        let is_place = |filter: &Filter| matches!(filter, Filter::RequestRedirect(_) | Filter::UrlRewrite(_));
        if is_place(filter) && earlier.iter().any(is_place) {
            return Err(Violation::new(at, "cannot stand beside the earlier one: redirect or rewrite"));
        }
    }
    Ok(())
}

/// The field below `filters` that speaks of the prefix that was matched, if there is one.
pub(super) fn of_prefix(filters: &[Filter]) -> Option<String> {
    let is_prefix = |filter: &&Filter| matches!(filter.path(), Some(PathModifier::Prefix(_)));
    let index = filters.iter().position(|filter| is_prefix(&filter))?;
    Some(format!("filters[{index}].{}.path", filters[index].field()))
}

fn place(at: &str, hostname: Option<&str>, path: Option<&PathModifier>) -> Result<(), Violation> {
    if let Some(hostname) = hostname.filter(|hostname| !is_hostname(hostname)) {
        let rule = format!("is `{hostname}`, which is no host name: lower-case letters, digits, `-` and `.`");
        return Err(Violation::new(format!("{at}.hostname"), rule));
    }
    path.map_or(Ok(()), |path| path.validate(&format!("{at}.path")))
}

/// A `PreciseHostname` of the Gateway API: no wildcard, no port, no address of IPv6.
fn is_hostname(text: &str) -> bool {
    let is_label = |label: &str| {
        let inner = label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        inner && !label.is_empty() && !label.starts_with('-') && !label.ends_with('-')
    };
    text.len() <= HOSTNAME_BYTES_MAX && text.split('.').all(is_label)
}

fn found() -> u16 {
    302
}

#[cfg(test)]
mod tests;
