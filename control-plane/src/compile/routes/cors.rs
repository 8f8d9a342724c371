//! The CORS filter of a rule, as the HTTP filter of that name is told.

use weft_api::gateway::{Filter, filter::Cors};
use weft_xds::{
    cors::CorsPolicy,
    matcher::{RegexMatcher, StringMatcher, string_matcher::MatchPattern},
    packed,
    protobuf::Any,
    route::FilterConfig,
};

/// Name of the HTTP filter.
const CORS: &str = "envoy.filters.http.cors";

/// What HTTP filters are told by a rule with these `filters`.
pub(super) fn per_filter(filters: &[Filter]) -> impl Iterator<Item = (String, Any)> + '_ {
    let cors = filters.iter().filter_map(|filter| match filter {
        Filter::Cors(cors) => Some(cors.as_ref()),
        _ => None,
    });
    cors.map(|cors| {
        // Clients of gRPC, which have no such filter, refuse what is not optional (gRFC A39).
        let config = FilterConfig { config: Some(packed::pack(&policy(cors))), is_optional: true };
        (CORS.to_owned(), packed::pack(&config))
    })
}

fn policy(cors: &Cors) -> CorsPolicy {
    CorsPolicy {
        allow_origin_string_match: cors.allow_origins.iter().map(|origin| matcher(origin)).collect(),
        allow_methods: cors.allow_methods.join(", "),
        allow_headers: cors.allow_headers.join(", "),
        expose_headers: cors.expose_headers.join(", "),
        max_age: cors.max_age.to_string(),
        allow_credentials: Some(cors.allow_credentials),
        forward_not_matching_preflights: Some(false),
    }
}

/// What fits an origin as browsers write it: in lower case, and without the port that its scheme means anyway.
fn matcher(origin: &str) -> StringMatcher {
    let origin = origin.to_ascii_lowercase();
    let meant = if origin.starts_with("https:") { ":443" } else { ":80" };
    let origin = origin.strip_suffix(meant).unwrap_or(&origin);
    let pattern = match origin {
        "*" => MatchPattern::SafeRegex(RegexMatcher { regex: ".*".to_owned() }),
        _ if origin.contains('*') => {
            // Any labels, but no port.
            let regex = regex_lite::escape(origin).replace("\\*", "[^:/]*");
            MatchPattern::SafeRegex(RegexMatcher { regex })
        }
        _ => MatchPattern::Exact(origin.to_owned()),
    };
    StringMatcher { match_pattern: Some(pattern), ..StringMatcher::default() }
}
