//! Pages of other origins, and whether they may ask (Fetch Standard, CORS protocol; GEP-1767).

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
        ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
        ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, SET_COOKIE, VARY,
    },
    request::Parts,
};

use super::Text;

/// What a route grants to pages of other origins.
#[derive(Clone, Debug)]
pub struct Cors {
    /// Whom.
    pub origins: Vec<Text>,
    /// By which methods, beside those that need no leave.
    pub methods: Grant,
    /// With which headers of requests.
    pub headers: Grant,
    /// Which headers of responses they may read.
    pub exposed: Grant,
    /// For how many seconds they need not ask again.
    pub max_age: Option<HeaderValue>,
    /// Whether with cookies and the like.
    pub credentials: bool,
}

/// A list of names.
#[derive(Clone, Debug)]
pub enum Grant {
    /// None.
    Nothing,
    /// These.
    List(HeaderValue),
    /// All. With credentials no `*` may say that, so names are said instead.
    All,
}

impl Cors {
    /// The answer to `request`, if it is the question of a browser whether the page may ask.
    pub fn preflight(&self, request: &Parts) -> Option<Response<Bytes>> {
        let origin = request.headers.get(ORIGIN)?;
        let method = request.headers.get(ACCESS_CONTROL_REQUEST_METHOD)?;
        if request.method != Method::OPTIONS {
            return None;
        }
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::NO_CONTENT;
        if self.grants(origin) {
            let headers = response.headers_mut();
            let asked = request.headers.get(ACCESS_CONTROL_REQUEST_HEADERS);
            self.say(headers, ACCESS_CONTROL_ALLOW_METHODS, &self.methods, Some(method));
            self.say(headers, ACCESS_CONTROL_ALLOW_HEADERS, &self.headers, asked);
            if let Some(seconds) = &self.max_age {
                headers.insert(ACCESS_CONTROL_MAX_AGE, seconds.clone());
            }
        }
        Some(response)
    }

    /// Says in a response whether a page of `origin` may read it. What the application says of that does not count.
    pub fn answer(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        // Caches must not give one origin's answer to another.
        headers.append(VARY, HeaderValue::from(ORIGIN));
        let Some(origin) = origin else { return };
        for name in
            [ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_EXPOSE_HEADERS]
        {
            headers.remove(name);
        }
        if !self.grants(origin) {
            return;
        }
        let present = present(headers).filter(|_| matches!(self.exposed, Grant::All) && self.credentials);
        self.say(headers, ACCESS_CONTROL_EXPOSE_HEADERS, &self.exposed, present.as_ref());
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        if self.credentials {
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }

    fn grants(&self, origin: &HeaderValue) -> bool {
        origin.to_str().is_ok_and(|origin| self.origins.iter().any(|allowed| allowed.takes(origin)))
    }

    /// Says what is granted; of everything, by `names` where `*` may not say it.
    fn say(&self, headers: &mut HeaderMap, name: HeaderName, grant: &Grant, names: Option<&HeaderValue>) {
        let value = match grant {
            Grant::Nothing => None,
            Grant::List(list) => Some(list),
            Grant::All if self.credentials => names,
            Grant::All => Some(&ANY),
        };
        if let Some(value) = value {
            headers.insert(name, value.clone());
        }
    }
}

static ANY: HeaderValue = HeaderValue::from_static("*");

/// The names of all headers of a response that pages can be let read.
fn present(headers: &HeaderMap) -> Option<HeaderValue> {
    let names = headers.keys().filter(|name| **name != SET_COOKIE).map(HeaderName::as_str);
    HeaderValue::from_str(&names.collect::<Vec<_>>().join(", ")).ok()
}

#[cfg(test)]
mod tests;
