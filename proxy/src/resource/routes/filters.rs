//! What a route does besides sending requests on: edits of headers, rewrites, copies, redirects.

use http::{HeaderName, HeaderValue, StatusCode};
use weft_api::gateway::filter::may_be_edited;
use weft_xds::{
    core::{HeaderValueOption, header_value_option::HeaderAppendAction},
    matcher::RegexMatchAndSubstitute,
    percent::fractional_percent::DenominatorType,
    route::{
        RedirectAction, Route as RouteMessage, RouteAction,
        redirect_action::{PathRewriteSpecifier, RedirectResponseCode, SchemeRewriteSpecifier},
        route_action::{HostRewriteSpecifier, RequestMirrorPolicy},
        weighted_cluster::ClusterWeight,
    },
};

use super::MirrorSpec;
use crate::route::{Edits, HeaderEdits, PathRewrite, Put, Redirect, Rewrite, expression};

/// All requests, in a million.
const WHOLE: u32 = 1_000_000;

/// What becomes of headers by a route.
pub(super) fn edits_of_route(message: &RouteMessage) -> Result<Edits, String> {
    Ok(Edits {
        request: edits("request", &message.request_headers_to_add, &message.request_headers_to_remove)?,
        response: edits("response", &message.response_headers_to_add, &message.response_headers_to_remove)?,
    })
}

/// What becomes of headers by one of several backends.
pub(super) fn edits_of_backend(message: &ClusterWeight) -> Result<Edits, String> {
    Ok(Edits {
        request: edits("request", &message.request_headers_to_add, &message.request_headers_to_remove)?,
        response: edits("response", &message.response_headers_to_add, &message.response_headers_to_remove)?,
    })
}

fn edits(of: &str, add: &[HeaderValueOption], remove: &[String]) -> Result<HeaderEdits, String> {
    let put = add.iter().map(|option| put(option).map_err(|reason| format!("{of}_headers_to_add: {reason}")));
    let remove =
        remove.iter().map(|name| name_of(name).map_err(|reason| format!("{of}_headers_to_remove: {reason}")));
    Ok(HeaderEdits { remove: remove.collect::<Result<_, _>>()?, put: put.collect::<Result<_, _>>()? })
}

fn put(option: &HeaderValueOption) -> Result<(HeaderName, HeaderValue, Put), String> {
    let header = option.header.as_ref().ok_or("header is needed")?;
    let put = match option.append_action() {
        HeaderAppendAction::AppendIfExistsOrAdd => Put::Beside,
        HeaderAppendAction::OverwriteIfExistsOrAdd => Put::Over,
        other => return Err(format!("`{}`: {} is not supported", header.key, other.as_str_name())),
    };
    let value = literal(&header.value).map_err(|reason| format!("`{}`: {reason}", header.key))?;
    let value = HeaderValue::from_str(&value).map_err(|_| format!("`{}` has no valid value", header.key))?;
    Ok((name_of(&header.key)?, value, put))
}

/// A text in which `%%` stands for a percent sign, and one alone begins the name of what is to be filled in.
fn literal(text: &str) -> Result<String, &'static str> {
    let mut parts = text.split("%%");
    if parts.any(|part| part.contains('%')) {
        return Err("values to be filled in are not supported; a percent sign is written `%%`");
    }
    Ok(text.replace("%%", "%"))
}

fn name_of(name: &str) -> Result<HeaderName, String> {
    if !may_be_edited(name) {
        return Err(format!("`{name}` belongs to the connection or to the mesh, or is no name of a header"));
    }
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("`{name}` is no name of a header"))
}

/// What requests are called from here on.
pub(super) fn rewrite(message: &RouteAction) -> Result<Rewrite, String> {
    let path = match (&message.regex_rewrite, message.prefix_rewrite.as_str()) {
        (Some(rewrite), _) => Some(pattern(rewrite).map_err(|reason| format!("regex_rewrite: {reason}"))?),
        (None, "") => None,
        (None, prefix) => Some(PathRewrite::Prefix(prefix.to_owned())),
    };
    let host =
        message.host_rewrite_specifier.as_ref().map(|HostRewriteSpecifier::HostRewriteLiteral(host)| {
            HeaderValue::from_str(host).map_err(|_| format!("host_rewrite_literal: `{host}` is no host"))
        });
    Ok(Rewrite { host: host.transpose()?, path })
}

/// Who gets copies, and of how many requests.
pub(super) fn mirror(message: &RequestMirrorPolicy) -> Result<MirrorSpec, &'static str> {
    if message.cluster.is_empty() {
        return Err("cluster is needed");
    }
    let share = message.runtime_fraction.as_ref().and_then(|fraction| fraction.default_value.as_ref());
    let parts_per_million = share.map_or(WHOLE, |share| {
        let unit = match share.denominator() {
            DenominatorType::Hundred => WHOLE / 100,
            DenominatorType::TenThousand => WHOLE / 10_000,
            DenominatorType::Million => 1,
        };
        share.numerator.saturating_mul(unit).min(WHOLE)
    });
    Ok(MirrorSpec { cluster: message.cluster.as_str().into(), parts_per_million })
}

/// Where a route sends callers.
pub(super) fn redirect(message: &RedirectAction) -> Result<Redirect, String> {
    let port = u16::try_from(message.port_redirect)
        .map_err(|_| format!("port_redirect: {} is no port", message.port_redirect))?;
    let path = match &message.path_rewrite_specifier {
        None => None,
        Some(PathRewriteSpecifier::PathRedirect(path)) => Some(PathRewrite::Full(path.clone())),
        Some(PathRewriteSpecifier::PrefixRewrite(prefix)) => Some(PathRewrite::Prefix(prefix.clone())),
        Some(PathRewriteSpecifier::RegexRewrite(rewrite)) => {
            Some(pattern(rewrite).map_err(|reason| format!("regex_rewrite: {reason}"))?)
        }
    };
    Ok(Redirect {
        status: match message.response_code() {
            RedirectResponseCode::MovedPermanently => StatusCode::MOVED_PERMANENTLY,
            RedirectResponseCode::Found => StatusCode::FOUND,
            RedirectResponseCode::SeeOther => StatusCode::SEE_OTHER,
            RedirectResponseCode::TemporaryRedirect => StatusCode::TEMPORARY_REDIRECT,
            RedirectResponseCode::PermanentRedirect => StatusCode::PERMANENT_REDIRECT,
        },
        scheme: match &message.scheme_rewrite_specifier {
            Some(SchemeRewriteSpecifier::HttpsRedirect(true)) => Some("https".to_owned()),
            Some(SchemeRewriteSpecifier::SchemeRedirect(scheme)) => Some(scheme.clone()),
            Some(SchemeRewriteSpecifier::HttpsRedirect(false)) | None => None,
        },
        host: Some(&message.host_redirect).filter(|host| !host.is_empty()).cloned(),
        port: Some(port).filter(|port| *port != 0),
        path,
        strip_query: message.strip_query,
    })
}

fn pattern(message: &RegexMatchAndSubstitute) -> Result<PathRewrite, String> {
    let pattern = message.pattern.as_ref().ok_or("pattern is needed")?;
    let pattern = expression(&pattern.regex).map_err(|error| error.to_string())?;
    let substitution = substitution(&message.substitution)?;
    Ok(PathRewrite::Pattern { pattern, substitution })
}

/// A substitution of RE2, where `\1` is a group and `\\` a backslash, in the words of the engine here, where `${1}` is a
/// group and `$$` a dollar sign.
fn substitution(text: &str) -> Result<String, String> {
    let mut said = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(char) = rest.next() {
        match (char, (char == '\\').then(|| rest.next()).flatten()) {
            ('\\', Some('\\')) => said.push('\\'),
            ('\\', Some(digit)) if digit.is_ascii_digit() => said.extend(["${", &digit.to_string(), "}"]),
            ('\\', _) => return Err(format!("substitution: `{text}` has a backslash before no digit")),
            ('$', _) => said.push_str("$$"),
            (char, _) => said.push(char),
        }
    }
    Ok(said)
}

#[cfg(test)]
mod tests;
