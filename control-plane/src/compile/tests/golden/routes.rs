//! Routes as text.

use std::fmt::Write as _;

use weft_xds::{
    core::HeaderValueOption,
    cors::CorsPolicy,
    fault::{FaultAbort, HttpFault},
    fault_delay::{FaultDelay, fault_delay::FaultDelaySecifier::FixedDelay},
    matcher::{RegexMatchAndSubstitute, StringMatcher, string_matcher::MatchPattern},
    packed::unpack,
    percent::{FractionalPercent, fractional_percent::DenominatorType},
    route::{
        FilterConfig, RedirectAction, RouteAction, RouteConfiguration, RouteMatch,
        header_matcher::HeaderMatchSpecifier,
        query_parameter_matcher::QueryParameterMatchSpecifier,
        redirect_action::{PathRewriteSpecifier, SchemeRewriteSpecifier},
        route::Action,
        route_action::{ClusterNotFoundResponseCode, ClusterSpecifier, HostRewriteSpecifier},
        route_match::PathSpecifier,
    },
};

use super::{balancing, duration, extra};

pub(super) fn render(text: &mut String, configuration: &RouteConfiguration) {
    let [host] = &configuration.virtual_hosts[..] else { panic!("one virtual host") };
    assert_eq!(host.domains, ["*"]);
    for route in &host.routes {
        let _ = writeln!(text, "  {}: {}", route.name, matcher(route.r#match.as_ref().unwrap()));
        match route.action.as_ref().unwrap() {
            Action::Route(action) => forward(text, action),
            Action::Redirect(action) => redirect(text, action),
            Action::DirectResponse(response) => {
                let _ = writeln!(text, "    answer {}", response.status);
            }
            Action::NonForwardingAction(_) => unreachable!("never made"),
        }
        edits(text, "request", &route.request_headers_to_add, &route.request_headers_to_remove);
        edits(text, "response", &route.response_headers_to_add, &route.response_headers_to_remove);
        for (filter, config) in &route.typed_per_filter_config {
            let config: FilterConfig = unpack(config).unwrap();
            if filter == "envoy.filters.http.fault" {
                faults(text, &unpack(config.config.as_ref().unwrap()).unwrap());
                continue;
            }
            let cors: CorsPolicy = unpack(config.config.as_ref().unwrap()).unwrap();
            let origins: Vec<_> = cors.allow_origin_string_match.iter().map(string).collect();
            let _ = writeln!(
                text,
                "      {filter}, optional {}: origin {}",
                config.is_optional,
                origins.join(" or ")
            );
            let lists = [&cors.allow_methods, &cors.allow_headers, &cors.expose_headers];
            let credentials = cors.allow_credentials.unwrap();
            let _ = writeln!(text, "      {lists:?}, for {} s, credentials {credentials}", cors.max_age);
        }
        extra(text, route.metadata.as_ref());
    }
}

fn faults(text: &mut String, fault: &HttpFault) {
    let millionths = |share: Option<&FractionalPercent>| {
        let share = share.unwrap();
        assert_eq!(share.denominator(), DenominatorType::Million);
        share.numerator
    };
    if let Some(FaultDelay { percentage, fault_delay_secifier: Some(FixedDelay(time)) }) = &fault.delay {
        let millionths = millionths(percentage.as_ref());
        let _ = writeln!(text, "      hold {millionths} in a million for {}", duration(Some(time)));
    }
    if let Some(FaultAbort { percentage, error_type: Some(status) }) = &fault.abort {
        let _ = writeln!(text, "      answer {} in a million by {status:?}", millionths(percentage.as_ref()));
    }
    let _ = writeln!(text, "      at most {} at once", fault.max_active_faults.unwrap());
}

fn edits(text: &mut String, of: &str, add: &[HeaderValueOption], remove: &[String]) {
    for option in add {
        let header = option.header.as_ref().unwrap();
        let _ = writeln!(
            text,
            "      {of} {} {}: {}",
            option.append_action().as_str_name(),
            header.key,
            header.value
        );
    }
    if !remove.is_empty() {
        let _ = writeln!(text, "      {of} less {}", remove.join(" "));
    }
}

fn redirect(text: &mut String, action: &RedirectAction) {
    let scheme = match &action.scheme_rewrite_specifier {
        Some(SchemeRewriteSpecifier::SchemeRedirect(scheme)) => scheme,
        None => "same",
        Some(SchemeRewriteSpecifier::HttpsRedirect(_)) => unreachable!("never made"),
    };
    let path = match &action.path_rewrite_specifier {
        None => "same".to_owned(),
        Some(PathRewriteSpecifier::PathRedirect(path)) => path.clone(),
        Some(PathRewriteSpecifier::PrefixRewrite(prefix)) => format!("prefix as {prefix}"),
        Some(PathRewriteSpecifier::RegexRewrite(rewrite)) => pattern(rewrite),
    };
    let code = action.response_code().as_str_name();
    let (host, port) = (&action.host_redirect, action.port_redirect);
    let _ = writeln!(text, "    {code} scheme {scheme}, host `{host}`, port {port}, path {path}");
}

fn pattern(rewrite: &RegexMatchAndSubstitute) -> String {
    format!("{} as {}", rewrite.pattern.as_ref().unwrap().regex, rewrite.substitution)
}

fn matcher(one: &RouteMatch) -> String {
    let mut text = match one.path_specifier.as_ref().unwrap() {
        PathSpecifier::Path(path) => format!("exact {path}"),
        PathSpecifier::Prefix(path) => format!("any {path}"),
        PathSpecifier::PathSeparatedPrefix(path) => format!("prefix {path}"),
        PathSpecifier::SafeRegex(regex) => format!("expression {}", regex.regex),
    };
    for header in &one.headers {
        let Some(HeaderMatchSpecifier::StringMatch(value)) = &header.header_match_specifier else {
            panic!("no text")
        };
        let _ = write!(text, ", header {} {}", header.name, string(value));
    }
    for parameter in &one.query_parameters {
        let Some(QueryParameterMatchSpecifier::StringMatch(value)) =
            &parameter.query_parameter_match_specifier
        else {
            panic!("no text")
        };
        let _ = write!(text, ", parameter {} {}", parameter.name, string(value));
    }
    text
}

fn string(matcher: &StringMatcher) -> String {
    match matcher.match_pattern.as_ref().unwrap() {
        MatchPattern::Exact(value) => format!("is {value}"),
        MatchPattern::SafeRegex(regex) => format!("fits {}", regex.regex),
        other => unreachable!("never made: {other:?}"),
    }
}

fn forward(text: &mut String, action: &RouteAction) {
    let clusters = match action.cluster_specifier.as_ref().unwrap() {
        ClusterSpecifier::Cluster(name) => name.clone(),
        ClusterSpecifier::WeightedClusters(clusters) => {
            let weights =
                clusters.clusters.iter().map(|one| format!("{} x {}", one.name, one.weight.unwrap()));
            weights.collect::<Vec<_>>().join(", ")
        }
    };
    let _ = writeln!(text, "    to {clusters}, timeout {}", duration(action.timeout.as_ref()));
    if !action.hash_policy.is_empty() {
        let _ = writeln!(text, "    by {}", balancing::hashed_by(&action.hash_policy));
    }
    if action.cluster_not_found_response_code() == ClusterNotFoundResponseCode::InternalServerError {
        let _ = writeln!(text, "    500 for whoever is not there");
    }
    if let Some(ClusterSpecifier::WeightedClusters(clusters)) = &action.cluster_specifier {
        for one in &clusters.clusters {
            let name = &one.name;
            edits(
                text,
                &format!("{name} request"),
                &one.request_headers_to_add,
                &one.request_headers_to_remove,
            );
            edits(
                text,
                &format!("{name} response"),
                &one.response_headers_to_add,
                &one.response_headers_to_remove,
            );
        }
    }
    if let Some(HostRewriteSpecifier::HostRewriteLiteral(host)) = &action.host_rewrite_specifier {
        let _ = writeln!(text, "    host as {host}");
    }
    for mirror in &action.request_mirror_policies {
        let share = mirror.runtime_fraction.as_ref().unwrap().default_value.as_ref().unwrap();
        assert_eq!(share.denominator(), DenominatorType::Million);
        assert!(mirror.disable_shadow_host_suffix_append);
        let _ = writeln!(text, "    copies of {} in a million to {}", share.numerator, mirror.cluster);
    }
    if !action.prefix_rewrite.is_empty() {
        let _ = writeln!(text, "    prefix as {}", action.prefix_rewrite);
    }
    if let Some(rewrite) = &action.regex_rewrite {
        let _ = writeln!(text, "    path {}", pattern(rewrite));
    }
    if let Some(retry) = &action.retry_policy {
        let (first, last) = (retry.retriable_status_codes.first(), retry.retriable_status_codes.last());
        let count = retry.retriable_status_codes.len();
        let attempts = retry.num_retries.unwrap();
        let back_off = retry.retry_back_off.as_ref().unwrap();
        let (base, max) =
            (duration(back_off.base_interval.as_ref()), duration(back_off.max_interval.as_ref()));
        let each = duration(retry.per_try_timeout.as_ref());
        let _ = writeln!(
            text,
            "    retry {attempts} times on {count} codes {first:?} to {last:?}, back-off {base} to {max}, each {each}"
        );
    }
}
