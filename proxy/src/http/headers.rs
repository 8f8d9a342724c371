//! The headers that a proxy removes, sets or translates between two connections.

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Uri,
    header::{self, COOKIE, HOST},
    request::Parts,
    uri::{Authority, PathAndQuery, Scheme},
};
use weft_api::names;

use super::serve::Version;
use crate::fault::Fault;

/// Fields that belong to one connection (RFC 9110, 7.6.1) and end with it.
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("http2-settings"),
    header::PROXY_AUTHENTICATE,
];

/// Fields that the mesh itself vouches for: from anybody else they are lies.
const OURS: [HeaderName; 5] = [
    CLIENT_CERT,
    ATTEMPT,
    FAULT,
    HeaderName::from_static(names::HEADER_FALLBACK),
    HeaderName::from_static(names::HEADER_INTERIM),
];
/// Tells the application who called, as Envoy does.
pub const CLIENT_CERT: HeaderName = HeaderName::from_static(names::HEADER_CLIENT_CERT);
const ATTEMPT: HeaderName = HeaderName::from_static(names::HEADER_ATTEMPT);
const FAULT: HeaderName = HeaderName::from_static(names::HEADER_FAULT);

/// Fields that decide what a message is; nobody may declare them hop-by-hop to make them vanish.
const ESSENTIAL: [HeaderName; 3] = [HOST, header::CONTENT_LENGTH, header::AUTHORIZATION];

/// Removes what ends with the connection, and what `connection` names besides.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) -> Result<(), Fault> {
    // To walk over all names once is much cheaper than to look for each of these.
    if !headers.keys().any(|name| HOP_BY_HOP.contains(name) || name == header::TE) {
        return Ok(());
    }
    if headers.contains_key(header::CONNECTION) {
        let nominated: Vec<HeaderName> = headers
            .get_all(header::CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|list| list.split(','))
            .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
            .collect();
        for name in &nominated {
            if ESSENTIAL.contains(name) {
                return Err(Fault::BadRequest);
            }
            // Named by everybody who sends it (RFC 9110, 10.1.4); what may be passed on of it, see below.
            if name != header::TE {
                headers.remove(name);
            }
        }
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
    // `te: trailers` is the one value that may be passed on (RFC 9113, 8.2.2).
    if headers.get(header::TE).is_some_and(|te| te != "trailers") {
        headers.remove(header::TE);
    }
    Ok(())
}

/// Removes what only the mesh may say. What it said of [attempts](attempt) is returned.
pub fn strip_ours(headers: &mut HeaderMap) -> u32 {
    if !headers.keys().any(|name| OURS.contains(name)) {
        return 0;
    }
    let attempt = attempt(headers);
    for name in &OURS {
        headers.remove(name);
    }
    attempt
}

/// Removes from the trailers of a request what they may not say: they come after everything has been decided.
pub fn strip_trailers(trailers: &mut HeaderMap) {
    strip_ours(trailers);
    for name in HOP_BY_HOP.iter().chain(&ESSENTIAL) {
        trailers.remove(name);
    }
}

/// HTTP/1.0 may leave out whom it calls (RFC 9112, 3.3): then it is `called`.
pub fn assume_host(request: &mut Parts, called: &impl ToString) {
    let is_silent = request.version == http::Version::HTTP_10
        && request.uri.authority().is_none()
        && !request.headers.contains_key(HOST);
    if !is_silent {
        return;
    }
    if let Ok(called) = HeaderValue::try_from(called.to_string()) {
        request.headers.insert(HOST, called);
    }
}

/// Makes a request fit for its next connection: checks it, strips what ends here, and puts its authority where the
/// next version of HTTP has it.
pub fn prepare(request: &mut Parts, next: Version) -> Result<(), Fault> {
    if request.method == Method::CONNECT {
        check_tunnel(request)?;
    }
    strip_hop_by_hop(&mut request.headers)?;
    let authority = authority(request)?;
    let tunnel = (request.method == Method::CONNECT).then(|| Uri::from(authority.clone()));
    let mut uri = std::mem::take(&mut request.uri).into_parts();
    if uri.path_and_query.is_none() {
        let path = if request.method == Method::OPTIONS { "*" } else { "/" };
        uri.path_and_query = Some(PathAndQuery::from_static(path));
    }
    match next {
        Version::Http1 => {
            if request.headers.get(HOST).is_none_or(|host| host != authority.as_str()) {
                let host = HeaderValue::from_str(authority.as_str()).map_err(|_| Fault::BadRequest)?;
                request.headers.insert(HOST, host);
            }
            join_cookies(&mut request.headers);
            (uri.scheme, uri.authority) = (None, None);
            request.version = http::Version::HTTP_11;
        }
        Version::Http2 => {
            request.headers.remove(HOST);
            (uri.scheme, uri.authority) = (Some(Scheme::HTTP), Some(authority));
            request.version = http::Version::HTTP_2;
        }
    }
    request.uri = match tunnel {
        Some(tunnel) => tunnel,
        None => Uri::from_parts(uri).map_err(|_| Fault::BadRequest)?,
    };
    Ok(())
}

/// The values of the cookies of this name.
pub fn cookies<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    let lines = headers.get_all(COOKIE).iter();
    let pairs = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    pairs.filter_map(move |pair| pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

/// HTTP/2 may split cookies over several fields; whoever speaks HTTP/1.1 expects one (RFC 9113, 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    // Values that were valid stay so with `; ` between them.
    if let Ok(joined) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(COOKIE, joined);
    }
}

/// Whether the method is one that is forwarded: `CONNECT` only where it may become a tunnel.
pub fn check_method(method: &Method, connects: bool) -> Result<(), Fault> {
    match *method {
        Method::CONNECT if connects => Ok(()),
        Method::CONNECT | Method::TRACE => Err(Fault::MethodRefused),
        _ => Ok(()),
    }
}

/// `CONNECT` names a host and a port, and has no content (RFC 9110, 9.3.6): what came behind it would be taken for bytes of the
/// tunnel by some, and for a body by others.
fn check_tunnel(request: &mut Parts) -> Result<(), Fault> {
    let length = request.headers.remove(header::CONTENT_LENGTH);
    let has_content =
        length.is_some_and(|length| length != "0") || request.headers.contains_key(header::TRANSFER_ENCODING);
    let has_port = request.uri.authority().is_some_and(|authority| authority.port_u16().is_some());
    if has_content || !has_port || request.uri.path_and_query().is_some() {
        return Err(Fault::BadRequest);
    }
    Ok(())
}

/// The authority of a request: of its target if that has one, else of the one `Host` (RFC 9112, 3.2).
pub fn authority(request: &Parts) -> Result<Authority, Fault> {
    let mut hosts = request.headers.get_all(HOST).iter();
    let (host, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Err(Fault::BadRequest);
    }
    if let Some(authority) = request.uri.authority() {
        // In HTTP/2 a Host beside `:authority` must say the same (RFC 9113, 8.3.1).
        let differs = host.is_some_and(|host| host != authority.as_str());
        if differs && request.version == http::Version::HTTP_2 {
            return Err(Fault::BadRequest);
        }
        return plain(authority.clone());
    }
    let host = host.ok_or(Fault::BadRequest)?;
    plain(Authority::try_from(host.as_bytes()).map_err(|_| Fault::BadRequest)?)
}

/// User information has no place in a request (RFC 9110, 4.2.4).
fn plain(authority: Authority) -> Result<Authority, Fault> {
    if authority.as_str().contains('@') { Err(Fault::BadRequest) } else { Ok(authority) }
}

/// The value of [`CLIENT_CERT`] by which the application at `local` is told that `peer` calls.
pub fn client_cert(local: &str, peer: &str) -> Option<HeaderValue> {
    // SPIFFE ids hold letters, digits and `:/.-_` only, so this is a valid header value without quoting.
    HeaderValue::from_str(&format!("By={local};URI={peer}")).ok()
}

/// Says how often the request was tried: to the next hop, of a retry; to the hop before, of what failed for good.
pub fn set_attempt(headers: &mut HeaderMap, attempt: u32) {
    headers.insert(ATTEMPT, HeaderValue::from(attempt));
}

/// How often the request was tried, as [`set_attempt`] has said it; 0 = nobody said.
pub fn attempt(headers: &HeaderMap) -> u32 {
    headers.get(ATTEMPT).and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Whether another sidecar answered in place of its application, which has not seen the request.
pub fn says_unprocessed(response: &HeaderMap) -> bool {
    let unprocessed = [Fault::ConnectFailed, Fault::UpstreamRefused].map(Fault::flag);
    response.get(FAULT).is_some_and(|flag| unprocessed.iter().any(|it| flag == it))
}

#[cfg(test)]
mod tests;
