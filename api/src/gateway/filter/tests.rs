use super::*;
use crate::gateway::HttpRouteSpec;

fn filters(list: &str) -> Result<Vec<Filter>, String> {
    serde_json::from_str(list).map_err(|error| error.to_string())
}

fn refused(list: &str) -> Violation {
    validate(&filters(list).unwrap(), "filters").unwrap_err()
}

#[test]
fn a_filter_holds_what_its_type_says_and_nothing_else() {
    let redirect = r#"{"type": "RequestRedirect", "requestRedirect": {"scheme": "https"}}"#;
    let [Filter::RequestRedirect(parsed)] = &filters(&format!("[{redirect}]")).unwrap()[..] else {
        panic!("no redirect")
    };
    assert_eq!((parsed.scheme, parsed.status_code, parsed.port), (Some(Scheme::Https), 302, None));
    for (broken, field) in [
        (r#"[{"type": "RequestRedirect"}]"#, "requestRedirect"),
        (r#"[{"type": "URLRewrite", "requestRedirect": {}}]"#, "urlRewrite"),
        (r#"[{"type": "URLRewrite", "urlRewrite": {}, "requestRedirect": {}}]"#, "urlRewrite"),
        (r#"[{"type": "Mirror"}]"#, "RequestMirror"),
        (r#"[{"type": "RequestRedirect", "requestRedirect": {"to": "a"}}]"#, "`to`"),
        (
            r#"[{"type": "URLRewrite", "urlRewrite": {"path": {"type": "ReplaceFullPath"}}}]"#,
            "replaceFullPath",
        ),
        (
            r#"[{"type": "URLRewrite", "urlRewrite": {"path":
                {"type": "ReplacePrefixMatch", "replaceFullPath": "/a"}}}]"#,
            "replacePrefixMatch",
        ),
    ] {
        let error = filters(broken).unwrap_err();
        assert!(error.contains(field), "{broken}: {error}");
    }
}

#[test]
fn what_the_types_cannot_say_is_named_by_its_field() {
    let edits = |edits: &str| {
        format!(r#"[{{"type": "RequestHeaderModifier", "requestHeaderModifier": {{{edits}}}}}]"#)
    };
    let redirect =
        |redirect: &str| format!(r#"[{{"type": "RequestRedirect", "requestRedirect": {{{redirect}}}}}]"#);
    let rewrite =
        |path: &str| format!(r#"[{{"type": "URLRewrite", "urlRewrite": {{"path": {{"type": {path}}}}}}}]"#);
    let header = "filters[0].requestHeaderModifier";
    let path = "filters[0].urlRewrite.path";
    for (list, field) in [
        (edits(r#""set": [{"name": "a b", "value": "c"}]"#), format!("{header}.set[0].name")),
        (edits(r#""set": [{"name": "a", "value": ""}]"#), format!("{header}.set[0].value")),
        (edits(r#""add": [{"name": "a", "value": " b"}]"#), format!("{header}.add[0].value")),
        (edits(r#""add": [{"name": "a", "value": "b\r\nc: d"}]"#), format!("{header}.add[0].value")),
        (
            edits(r#""set": [{"name": "A", "value": "b"}], "add": [{"name": "a", "value": "b"}]"#),
            format!("{header}.add[0].name"),
        ),
        (
            edits(r#""set": [{"name": "x", "value": "b"}], "remove": ["y", "X"]"#),
            format!("{header}.remove[1]"),
        ),
        (edits(r#""remove": ["Transfer-Encoding"]"#), format!("{header}.remove[0]")),
        (edits(r#""remove": [":path"]"#), format!("{header}.remove[0]")),
        (redirect(r#""port": 0"#), "filters[0].requestRedirect.port".to_owned()),
        (redirect(r#""statusCode": 304"#), "filters[0].requestRedirect.statusCode".to_owned()),
        (redirect(r#""hostname": "*.a.b""#), "filters[0].requestRedirect.hostname".to_owned()),
        (redirect(r#""hostname": "a:80""#), "filters[0].requestRedirect.hostname".to_owned()),
        (rewrite(r#""ReplaceFullPath", "replaceFullPath": """#), format!("{path}.replaceFullPath")),
        (rewrite(r#""ReplaceFullPath", "replaceFullPath": "/a?b""#), format!("{path}.replaceFullPath")),
        (rewrite(r#""ReplaceFullPath", "replaceFullPath": "/a%2""#), format!("{path}.replaceFullPath")),
        (rewrite(r#""ReplacePrefixMatch", "replacePrefixMatch": "a""#), format!("{path}.replacePrefixMatch")),
    ] {
        assert_eq!(refused(&list).field, field, "{list}");
    }
    let mirror = |mirror: &str| {
        format!(r#"[{{"type": "RequestMirror", "requestMirror": {{"backendRef": {mirror}}}}}]"#)
    };
    for (list, field) in [
        (mirror(r#"{"name": "a"}, "percent": 101"#), "percent"),
        (mirror(r#"{"name": "a"}, "percent": 1, "fraction": {"numerator": 1}"#), "fraction"),
        (mirror(r#"{"name": "a"}, "fraction": {"numerator": 101}"#), "fraction"),
        (mirror(r#"{"name": "a"}, "fraction": {"numerator": 0, "denominator": 0}"#), "fraction"),
        (mirror(r#"{"name": "a", "weight": 2}"#), "backendRef"),
    ] {
        assert_eq!(refused(&list).field, format!("filters[0].requestMirror.{field}"), "{list}");
    }
    for fine in [
        mirror(r#"{"name": "a", "port": 80}, "percent": 100"#),
        edits(r#""set": [{"name": "X-A", "value": "a b\tc%"}], "add": [{"name": "x-b", "value": "1, 2"}]"#),
        redirect(r#""hostname": "a-1.b", "port": 8443, "statusCode": 308"#),
        rewrite(r#""ReplaceFullPath", "replaceFullPath": "/a/%2F~;b=c@:""#),
        rewrite(r#""ReplacePrefixMatch", "replacePrefixMatch": """#),
    ] {
        assert_eq!(validate(&filters(&fine).unwrap(), "filters"), Ok(()), "{fine}");
    }
}

#[test]
fn what_belongs_to_the_connection_or_the_mesh_is_not_edited() {
    for name in [
        "Connection",
        "content-length",
        "Host",
        "keep-alive",
        "TE",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-weft-attempt",
        "X-Weft-Anything",
        "x-forwarded-client-cert",
        ":authority",
        "",
        "a b",
    ] {
        assert!(!may_be_edited(name), "{name}");
    }
    for name in
        ["x-weft", "cookie", "Set-Cookie", "authorization", "x-forwarded-for", "grpc-timeout", "hosts"]
    {
        assert!(may_be_edited(name), "{name}");
    }
    let said = refused(
        r#"[{"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "Host", "value": "a"}]}}]"#,
    );
    assert!(said.rule.contains("URLRewrite"), "{said:?}");
}

#[test]
fn a_rule_has_one_of_each_and_either_a_redirect_or_a_rewrite() {
    let redirect = r#"{"type": "RequestRedirect", "requestRedirect": {}}"#;
    let rewrite = r#"{"type": "URLRewrite", "urlRewrite": {}}"#;
    let response = r#"{"type": "ResponseHeaderModifier", "responseHeaderModifier": {}}"#;
    let request = r#"{"type": "RequestHeaderModifier", "requestHeaderModifier": {}}"#;
    assert_eq!(refused(&format!("[{redirect}, {response}, {redirect}]")).field, "filters[2]");
    assert_eq!(refused(&format!("[{rewrite}, {redirect}]")).field, "filters[1]");
    assert_eq!(refused(&format!("[{}]", vec![response; 17].join(","))).field, "filters");
    let fine = filters(&format!("[{request}, {response}, {rewrite}]")).unwrap();
    assert_eq!(validate(&fine, "filters"), Ok(()));
}

#[test]
fn copies_are_made_of_a_share_of_all_requests() {
    let share = |said: &str| {
        let list = format!(
            r#"[{{"type": "RequestMirror", "requestMirror": {{"backendRef": {{"name": "a"}}{said}}}}}]"#
        );
        let [Filter::RequestMirror(mirror)] = &filters(&list).unwrap()[..] else { panic!("no mirror") };
        mirror.parts_per_million()
    };
    assert_eq!(share(""), 1_000_000);
    assert_eq!(share(r#", "percent": 0"#), 0);
    assert_eq!(share(r#", "percent": 42"#), 420_000);
    assert_eq!(share(r#", "fraction": {"numerator": 5}"#), 50_000);
    assert_eq!(share(r#", "fraction": {"numerator": 1, "denominator": 3}"#), 333_333);
    assert_eq!(share(r#", "fraction": {"numerator": 4294967295, "denominator": 4294967295}"#), 1_000_000);
}

#[test]
fn what_the_rule_has_besides_must_fit() {
    let spec =
        |rule: &str| -> HttpRouteSpec { serde_json::from_str(&format!(r#"{{"rules": [{rule}]}}"#)).unwrap() };
    let redirect = r#""filters": [{"type": "RequestRedirect", "requestRedirect": {}}]"#;
    let both = spec(&format!(r#"{{{redirect}, "backendRefs": [{{"name": "a", "port": 80}}]}}"#));
    assert_eq!(both.validate().unwrap_err().field, "rules[0].backendRefs");
    assert_eq!(spec(&format!("{{{redirect}}}")).validate(), Ok(()));
    let mirror = r#"{"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "a"}}}"#;
    let copied = redirect.replace("}}]", &format!("}}}}, {mirror}]"));
    assert_eq!(spec(&format!("{{{copied}}}")).validate().unwrap_err().field, "rules[0].filters[1]");
    assert_eq!(spec(&format!(r#"{{"filters": [{mirror}, {mirror}]}}"#)).validate(), Ok(()));

    let prefix = r#""filters": [{"type": "URLRewrite", "urlRewrite": {"path":
        {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}}}]"#;
    for (matches, fits) in [
        ("", true),
        (r#""matches": [{"path": {"value": "/a"}}],"#, true),
        (r#""matches": [{"path": {"value": "/a"}, "method": "GET"}],"#, true),
        (r#""matches": [{"path": {"type": "Exact", "value": "/a"}}],"#, false),
        (r#""matches": [{"path": {"value": "/a"}}, {"path": {"value": "/b"}}],"#, false),
    ] {
        let checked = spec(&format!("{{{matches} {prefix}}}")).validate();
        let field = checked.err().map(|violation| violation.field);
        assert_eq!(field, (!fits).then(|| "rules[0].filters[0].urlRewrite.path".to_owned()), "{matches}");
    }
}

#[test]
fn what_is_not_carried_is_listed_and_never_dropped() {
    let rule = r#"{"filters": [
            {"type": "RequestHeaderModifier", "requestHeaderModifier": {}},
            {"type": "ExtensionRef", "extensionRef": {"group": "a", "kind": "B", "name": "c"}},
            {"type": "ExternalAuth", "externalAuth": {"protocol": "HTTP"}}],
        "backendRefs": [
            {"name": "a", "filters": [{"type": "ResponseHeaderModifier", "responseHeaderModifier": {}}]},
            {"name": "b", "filters": [{"type": "URLRewrite", "urlRewrite": {"hostname": "a"}}]}],
        "sessionPersistence": {}}"#;
    let spec: HttpRouteSpec = serde_json::from_str(&format!(r#"{{"rules": [{rule}]}}"#)).unwrap();
    let fields = ["rules[0].filters[1]", "rules[0].filters[2]", "rules[0].backendRefs[1].filters[0]"];
    assert_eq!(spec.unsupported(), fields);
    assert_eq!(spec.validate(), Ok(()));
}
