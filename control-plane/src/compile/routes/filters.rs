//! Filters of a rule or of a backend, in the fields that xDS has for them.

use weft_api::gateway::{
    BackendRef, Filter,
    filter::{self, HeaderEdits, Mirror, PathModifier, Redirect, Scheme},
};
use weft_xds::{
    core::{
        HeaderValue, HeaderValueOption, RuntimeFractionalPercent, header_value_option::HeaderAppendAction,
    },
    matcher::{RegexMatchAndSubstitute, RegexMatcher},
    percent::{FractionalPercent, fractional_percent::DenominatorType},
    route::{
        RedirectAction, RouteAction,
        redirect_action::{PathRewriteSpecifier, RedirectResponseCode, SchemeRewriteSpecifier},
        route_action::{HostRewriteSpecifier, RequestMirrorPolicy},
    },
};

/// What becomes of headers on either way.
#[derive(Default)]
pub(super) struct Headers {
    pub(super) request_add: Vec<HeaderValueOption>,
    pub(super) request_remove: Vec<String>,
    pub(super) response_add: Vec<HeaderValueOption>,
    pub(super) response_remove: Vec<String>,
}

/// The edits of headers among `filters`.
pub(super) fn headers(filters: &[Filter]) -> Headers {
    let mut headers = Headers::default();
    for filter in filters {
        match filter {
            Filter::RequestHeaderModifier(edits) => {
                headers.request_add.extend(put(edits));
                headers.request_remove.extend(edits.remove.iter().map(|name| name.to_ascii_lowercase()));
            }
            Filter::ResponseHeaderModifier(edits) => {
                headers.response_add.extend(put(edits));
                headers.response_remove.extend(edits.remove.iter().map(|name| name.to_ascii_lowercase()));
            }
            _ => {}
        }
    }
    headers
}

fn put(edits: &HeaderEdits) -> impl Iterator<Item = HeaderValueOption> + '_ {
    let option = |header: &filter::HeaderValue, action: HeaderAppendAction| HeaderValueOption {
        header: Some(HeaderValue {
            key: header.name.to_ascii_lowercase(),
            // One alone begins the name of something that Envoy fills in.
            value: header.value.replace('%', "%%"),
        }),
        append_action: action.into(),
    };
    let set = edits.set.iter().map(move |header| option(header, HeaderAppendAction::OverwriteIfExistsOrAdd));
    let add = edits.add.iter().map(move |header| option(header, HeaderAppendAction::AppendIfExistsOrAdd));
    set.chain(add)
}

/// The redirect among `filters`, for requests that begin with `matched` and were made to the service's port `called`.
pub(super) fn redirect(filters: &[Filter], matched: &str, called: u16) -> Option<RedirectAction> {
    let redirect = filters.iter().find_map(|filter| match filter {
        Filter::RequestRedirect(redirect) => Some(redirect),
        _ => None,
    })?;
    let path = redirect.path.as_ref().and_then(|path| match (path, new_path(path, matched)?) {
        (PathModifier::Full(path), _) => Some(PathRewriteSpecifier::PathRedirect(path.clone())),
        (_, NewPath::Prefix(prefix)) => Some(PathRewriteSpecifier::PrefixRewrite(prefix)),
        (_, NewPath::Pattern(pattern)) => Some(PathRewriteSpecifier::RegexRewrite(pattern)),
    });
    Some(RedirectAction {
        scheme_rewrite_specifier: redirect
            .scheme
            .map(|scheme| SchemeRewriteSpecifier::SchemeRedirect(scheme.as_str().to_owned())),
        host_redirect: redirect.hostname.clone().unwrap_or_default(),
        port_redirect: port(redirect, called).unwrap_or(0).into(),
        path_rewrite_specifier: path,
        response_code: match redirect.status_code {
            301 => RedirectResponseCode::MovedPermanently,
            303 => RedirectResponseCode::SeeOther,
            307 => RedirectResponseCode::TemporaryRedirect,
            308 => RedirectResponseCode::PermanentRedirect,
            _ => RedirectResponseCode::Found,
        }
        .into(),
        strip_query: false,
    })
}

/// The port that a redirect must name (Gateway API, `HTTPRequestRedirectFilter.port`).
fn port(redirect: &Redirect, called: u16) -> Option<u16> {
    let Redirect { scheme, hostname, port, .. } = redirect;
    let port = match (port, scheme) {
        (Some(port), _) => *port,
        (None, Some(scheme)) => scheme.port(),
        (None, None) if hostname.is_some() => called,
        // Whoever called knows by which authority; where a sidecar listens in local mode, it is none of the service's.
        (None, None) => return None,
    };
    // To another host it is said only where it is not the one that is meant anyway. To the same it always is: else the
    // port that was called would stay in the authority.
    let is_meant = port == scheme.unwrap_or(Scheme::Http).port();
    (hostname.is_none() || !is_meant).then_some(port)
}

/// Fills in what the rewrite among `filters` says, for requests that begin with `matched`.
pub(super) fn rewrite(filters: &[Filter], matched: &str, action: &mut RouteAction) {
    let rewrite = filters.iter().find_map(|filter| match filter {
        Filter::UrlRewrite(rewrite) => Some(rewrite),
        _ => None,
    });
    let Some(rewrite) = rewrite else { return };
    action.host_rewrite_specifier = rewrite.hostname.clone().map(HostRewriteSpecifier::HostRewriteLiteral);
    match rewrite.path.as_ref().and_then(|path| new_path(path, matched)) {
        Some(NewPath::Prefix(prefix)) => action.prefix_rewrite = prefix,
        Some(NewPath::Pattern(pattern)) => action.regex_rewrite = Some(pattern),
        None => {}
    }
}

/// The copies that `filters` have made, for clusters that `named` names.
pub(super) fn mirrors(filters: &[Filter], named: impl Fn(&BackendRef) -> String) -> Vec<RequestMirrorPolicy> {
    let mirrors = filters.iter().filter_map(|filter| match filter {
        Filter::RequestMirror(mirror) => Some(mirror.as_ref()),
        _ => None,
    });
    let policy = |mirror: &Mirror| RequestMirrorPolicy {
        cluster: named(&mirror.backend_ref),
        runtime_fraction: Some(RuntimeFractionalPercent {
            default_value: Some(FractionalPercent {
                numerator: mirror.parts_per_million(),
                denominator: DenominatorType::Million.into(),
            }),
            ..RuntimeFractionalPercent::default()
        }),
        disable_shadow_host_suffix_append: true,
    };
    mirrors.map(policy).collect()
}

/// What takes the place of a path, as xDS says it.
enum NewPath {
    /// A text in place of the characters of the prefix that was matched.
    Prefix(String),
    /// A text in place of what an expression finds.
    Pattern(RegexMatchAndSubstitute),
}

/// `None` if paths stay what they are. `matched` is a prefix without slashes at its end.
fn new_path(path: &PathModifier, matched: &str) -> Option<NewPath> {
    let pattern = |regex: String, substitution: &str| {
        let pattern = Some(RegexMatcher { regex });
        NewPath::Pattern(RegexMatchAndSubstitute { pattern, substitution: substitution.to_owned() })
    };
    let prefix = match path {
        PathModifier::Full(path) => return Some(pattern("^/.*$".to_owned(), path)),
        PathModifier::Prefix(prefix) => prefix.trim_end_matches('/'),
    };
    match (matched, prefix) {
        ("", "") => None,
        // What was matched is the slash that every path begins with.
        ("", prefix) => Some(NewPath::Prefix(format!("{prefix}/"))),
        // Nothing in its place would leave the prefix itself without a path: there a slash is left.
        (matched, "") => Some(pattern(format!("^{}/?", regex_lite::escape(matched)), "/")),
        (_, prefix) => Some(NewPath::Prefix(prefix.to_owned())),
    }
}

#[cfg(test)]
mod tests;
