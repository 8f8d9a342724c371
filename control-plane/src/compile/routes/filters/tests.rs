use super::*;
use crate::document;

fn redirect_of(yaml: &str, called: u16) -> RedirectAction {
    let written = format!("{{type: RequestRedirect, requestRedirect: {yaml}}}");
    let filter: Filter = document::parse(&written).unwrap()[0].decode().unwrap();
    redirect(&[filter], "", called).unwrap()
}

/// What `yaml` says on a port of the service, and the port that the redirect must name; 0 = none.
const PORTS: [(&str, u16, u32); 10] = [
    // The port of the filter, whatever else is said.
    ("{port: 8443, scheme: https}", 80, 8443),
    ("{port: 8080, hostname: a.b}", 80, 8080),
    // The well-known port of the scheme. To the same host it is named, so that the port in `Host` does not stay.
    ("{scheme: https}", 8080, 443),
    ("{scheme: http}", 8080, 80),
    ("{scheme: https, hostname: a.b}", 8080, 0),
    // The port that was called.
    ("{hostname: a.b}", 8080, 8080),
    ("{hostname: a.b}", 80, 0),
    ("{hostname: a.b}", 443, 443),
    ("{port: 443, hostname: a.b}", 80, 443),
    // Neither scheme, host nor port: the authority stays as it is.
    ("{statusCode: 301}", 8080, 0),
];

#[test]
fn the_port_of_a_redirect_is_the_one_that_the_standard_derives() {
    for (yaml, called, port) in PORTS {
        assert_eq!(redirect_of(yaml, called).port_redirect, port, "{yaml} on {called}");
    }
}

#[test]
fn every_status_of_a_redirect_has_its_code() {
    for (status, code) in [
        ("{}", RedirectResponseCode::Found),
        ("{statusCode: 301}", RedirectResponseCode::MovedPermanently),
        ("{statusCode: 302}", RedirectResponseCode::Found),
        ("{statusCode: 303}", RedirectResponseCode::SeeOther),
        ("{statusCode: 307}", RedirectResponseCode::TemporaryRedirect),
        ("{statusCode: 308}", RedirectResponseCode::PermanentRedirect),
    ] {
        assert_eq!(redirect_of(status, 80).response_code(), code, "{status}");
    }
}
