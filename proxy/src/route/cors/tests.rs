use http::Request;

use super::*;
use crate::route::whole;

const ORIGINS: [&str; 2] = ["https://shop.example", "https://a.b.shop.example"];

fn cors(credentials: bool) -> Cors {
    Cors {
        origins: vec![
            Text::Exact("https://shop.example".into()),
            Text::Regex(whole(r"https://[^:/]*\.shop\.example").unwrap()),
        ],
        methods: Grant::List(HeaderValue::from_static("PUT, DELETE")),
        headers: Grant::All,
        exposed: Grant::All,
        max_age: Some(HeaderValue::from_static("5")),
        credentials,
    }
}

fn request(method: Method, headers: &[(&str, &str)]) -> Parts {
    let request = Request::builder().method(method).uri("/");
    headers
        .iter()
        .fold(request, |request, (name, value)| request.header(*name, *value))
        .body(())
        .unwrap()
        .into_parts()
        .0
}

/// All that a response says of CORS.
fn said(headers: &HeaderMap) -> Vec<String> {
    let mut said: Vec<_> = headers
        .iter()
        .filter_map(|(name, value)| {
            let name = name.as_str().strip_prefix("access-control-")?;
            Some(format!("{name}: {}", value.to_str().unwrap()))
        })
        .collect();
    said.sort();
    said
}

fn preflight(cors: &Cors, origin: &str) -> HeaderMap {
    let asked = [
        ("origin", origin),
        ("access-control-request-method", "PUT"),
        ("access-control-request-headers", "x-a, x-b"),
    ];
    let mut response = cors.preflight(&request(Method::OPTIONS, &asked)).unwrap();
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    cors.answer(Some(&HeaderValue::from_str(origin).unwrap()), response.headers_mut());
    assert_eq!(response.headers()[VARY], "origin");
    response.into_parts().0.headers
}

#[test]
fn a_preflight_of_an_origin_that_is_allowed_is_told_what_is() {
    for origin in ORIGINS {
        assert_eq!(
            said(&preflight(&cors(false), origin)),
            [
                "allow-headers: *".to_owned(),
                "allow-methods: PUT, DELETE".to_owned(),
                format!("allow-origin: {origin}"),
                "expose-headers: *".to_owned(),
                "max-age: 5".to_owned(),
            ]
        );
        let with_credentials = said(&preflight(&cors(true), origin));
        // `*` would be a name here.
        assert!(with_credentials.contains(&"allow-headers: x-a, x-b".to_owned()), "{with_credentials:?}");
        assert!(with_credentials.contains(&"allow-credentials: true".to_owned()), "{with_credentials:?}");
    }
}

#[test]
fn whoever_is_not_allowed_is_told_nothing() {
    for origin in ["https://other.example", "http://shop.example", "https://shop.example:8443", "null"] {
        assert_eq!(said(&preflight(&cors(true), origin)), [""; 0], "{origin}");
        let mut headers = HeaderMap::new();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        cors(false).answer(Some(&HeaderValue::from_str(origin).unwrap()), &mut headers);
        assert_eq!(said(&headers), [""; 0], "the application does not overrule the route");
    }
}

#[test]
fn only_the_question_of_a_browser_is_answered() {
    let origin = ("origin", "https://shop.example");
    let method = ("access-control-request-method", "PUT");
    for (verb, headers) in
        [(Method::OPTIONS, &[origin][..]), (Method::OPTIONS, &[method]), (Method::PUT, &[origin, method])]
    {
        assert!(cors(false).preflight(&request(verb, headers)).is_none(), "{headers:?}");
    }
}

#[test]
fn responses_name_the_origin_and_what_pages_may_read() {
    let origin = HeaderValue::from_static("https://shop.example");
    let answered = |credentials| {
        let mut headers = HeaderMap::new();
        headers.insert("x-total", HeaderValue::from_static("3"));
        headers.insert(SET_COOKIE, HeaderValue::from_static("a=b"));
        cors(credentials).answer(Some(&origin), &mut headers);
        headers
    };
    assert_eq!(said(&answered(false)), ["allow-origin: https://shop.example", "expose-headers: *"]);
    let exposed = answered(true);
    assert_eq!(exposed[ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
    let names = exposed[ACCESS_CONTROL_EXPOSE_HEADERS].to_str().unwrap();
    assert!(names.contains("x-total") && !names.contains("set-cookie"), "{names}");

    let mut headers = HeaderMap::new();
    cors(false).answer(None, &mut headers);
    assert_eq!((said(&headers), headers[VARY].to_str().unwrap()), (vec![], "origin"));
}
