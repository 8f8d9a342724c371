use weft_xds::{
    core::{HeaderValue as HeaderMessage, RuntimeFractionalPercent},
    matcher::RegexMatcher,
    percent::FractionalPercent,
};

use super::*;

fn option(key: &str, value: &str, action: HeaderAppendAction) -> HeaderValueOption {
    let header = Some(HeaderMessage { key: key.into(), value: value.into() });
    HeaderValueOption { header, append_action: action.into() }
}

fn rewriting(pattern: &str, substitution: &str) -> RegexMatchAndSubstitute {
    let pattern = Some(RegexMatcher { regex: pattern.into() });
    RegexMatchAndSubstitute { pattern, substitution: substitution.into() }
}

#[test]
fn edits_are_those_of_the_message() {
    let message = RouteMessage {
        request_headers_to_add: vec![
            option("X-Set", "100%%", HeaderAppendAction::OverwriteIfExistsOrAdd),
            option("x-add", "a", HeaderAppendAction::AppendIfExistsOrAdd),
        ],
        response_headers_to_remove: vec!["Server".into()],
        ..RouteMessage::default()
    };
    let edits = edits_of_route(&message).unwrap();
    let put = [
        (HeaderName::from_static("x-set"), HeaderValue::from_static("100%"), Put::Over),
        (HeaderName::from_static("x-add"), HeaderValue::from_static("a"), Put::Beside),
    ];
    assert_eq!(edits.request, HeaderEdits { remove: vec![], put: put.into() });
    assert_eq!(edits.response, HeaderEdits { remove: vec![HeaderName::from_static("server")], put: vec![] });
}

#[test]
fn what_cannot_be_done_is_refused_with_its_field() {
    use HeaderAppendAction::{AddIfAbsent, OverwriteIfExists, OverwriteIfExistsOrAdd as Set};
    for (bad, reason) in [
        (option("x", "%START_TIME%", Set), "percent"),
        (option("x", "%%%", Set), "percent"),
        (option("x", "a\nb", Set), "valid value"),
        (option("host", "a", Set), "`host`"),
        (option("x-weft-attempt", "1", Set), "`x-weft-attempt`"),
        (option("x", "a", AddIfAbsent), "ADD_IF_ABSENT"),
        (option("x", "a", OverwriteIfExists), "OVERWRITE_IF_EXISTS"),
        (HeaderValueOption::default(), "header is needed"),
    ] {
        let message = ClusterWeight { response_headers_to_add: vec![bad], ..ClusterWeight::default() };
        let error = edits_of_backend(&message).unwrap_err();
        assert!(error.starts_with("response_headers_to_add: ") && error.contains(reason), "{error}");
    }
    let remove = RouteMessage { request_headers_to_remove: vec!["te".into()], ..RouteMessage::default() };
    assert!(edits_of_route(&remove).unwrap_err().starts_with("request_headers_to_remove: "));
    for (pattern, substitution) in [("(", "a"), ("a{1000}{1000}", "a"), ("a", "\\"), ("a", "\\x")] {
        let action =
            RouteAction { regex_rewrite: Some(rewriting(pattern, substitution)), ..RouteAction::default() };
        assert!(rewrite(&action).unwrap_err().starts_with("regex_rewrite: "), "{pattern} {substitution}");
    }
    let action = RedirectAction { port_redirect: 65_536, ..RedirectAction::default() };
    assert!(redirect(&action).unwrap_err().starts_with("port_redirect: "));
}

#[test]
fn substitutions_are_those_of_re2() {
    for (re2, here) in [("/a", "/a"), (r"/\1/\2", "/${1}/${2}"), ("/$1", "/$$1"), (r"/\\", r"/\")] {
        assert_eq!(substitution(re2).unwrap(), here);
    }
}

#[test]
fn a_redirect_says_what_the_message_says_and_no_more() {
    let bare = redirect(&RedirectAction::default()).unwrap();
    assert_eq!(bare.status, StatusCode::MOVED_PERMANENTLY);
    assert!(bare.scheme.is_none() && bare.host.is_none() && bare.port.is_none() && bare.path.is_none());
    let full = redirect(&RedirectAction {
        scheme_rewrite_specifier: Some(SchemeRewriteSpecifier::HttpsRedirect(true)),
        host_redirect: "other".into(),
        port_redirect: 8443,
        path_rewrite_specifier: Some(PathRewriteSpecifier::PathRedirect("/x".into())),
        response_code: RedirectResponseCode::SeeOther.into(),
        strip_query: true,
    })
    .unwrap();
    assert_eq!(full.status, StatusCode::SEE_OTHER);
    assert_eq!((full.scheme.as_deref(), full.host.as_deref()), (Some("https"), Some("other")));
    assert!(full.port == Some(8443) && full.strip_query && matches!(full.path, Some(PathRewrite::Full(_))));
}

#[test]
fn shares_of_copies_are_in_a_million() {
    let of = |share: Option<(u32, DenominatorType)>| {
        let fraction = share.map(|(numerator, denominator)| RuntimeFractionalPercent {
            default_value: Some(FractionalPercent { numerator, denominator: denominator.into() }),
            ..RuntimeFractionalPercent::default()
        });
        let cluster = "a".to_owned();
        let policy =
            RequestMirrorPolicy { cluster, runtime_fraction: fraction, ..RequestMirrorPolicy::default() };
        mirror(&policy).unwrap().parts_per_million
    };
    assert_eq!(of(None), 1_000_000);
    assert_eq!(of(Some((7, DenominatorType::Hundred))), 70_000);
    assert_eq!(of(Some((7, DenominatorType::TenThousand))), 700);
    assert_eq!(of(Some((7, DenominatorType::Million))), 7);
    assert_eq!(of(Some((u32::MAX, DenominatorType::Hundred))), 1_000_000);
    assert!(mirror(&RequestMirrorPolicy::default()).is_err());
}
