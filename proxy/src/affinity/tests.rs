use http::Request;
use rand::{SeedableRng, rngs::SmallRng};

use super::*;

fn request(uri: &str, headers: &[(&str, &str)]) -> Parts {
    let request =
        headers.iter().fold(Request::get(uri), |request, (name, value)| request.header(*name, *value));
    request.body(()).unwrap().into_parts().0
}

fn by(parts: &[Part]) -> Affinity {
    Affinity(parts.iter().map(|part| Key { part: part.clone(), terminal: true }).collect())
}

fn hash(affinity: &Affinity, request: &Parts) -> Option<u64> {
    affinity.place(request, Some([10, 0, 0, 1].into()), &mut SmallRng::seed_from_u64(1)).hash
}

fn header(name: &'static str) -> Part {
    Part::Header(HeaderName::from_static(name))
}

fn cookie(new: Option<NewCookie>) -> Part {
    Part::Cookie { name: "cart".to_owned(), new }
}

#[test]
fn the_hash_is_of_the_value_wherever_it_stands() {
    let wanted = Some(XxHash64::oneshot(0, b"a b"));
    assert_eq!(hash(&by(&[header("x-user")]), &request("/", &[("x-user", "a b")])), wanted);
    assert_eq!(hash(&by(&[Part::Query("user".into())]), &request("/?x=1&user=a%20b&user=c", &[])), wanted);
    let cookies = [("cookie", "x=1; cartoon=y"), ("cookie", "cart=a b; cart=c")];
    assert_eq!(hash(&by(&[cookie(None)]), &request("/", &cookies)), wanted);
    let address = Some(XxHash64::oneshot(0, b"10.0.0.1"));
    assert_eq!(hash(&by(&[Part::Source]), &request("/", &[])), address);
    assert_eq!(by(&[Part::Source]).of_connection(Some("::ffff:10.0.0.1".parse().unwrap())), address);
    assert_eq!(by(&[header("x-user")]).of_connection(Some([10, 0, 0, 1].into())), None);
    let list = [("x-user", "a"), ("x-user", "b"), ("x-user", "c")];
    assert_eq!(hash(&by(&[header("x-user")]), &request("/", &list)), Some(XxHash64::oneshot(0, b"a,b,c")));
}

#[test]
fn the_first_key_that_a_request_has_counts() {
    let affinity = by(&[header("x-user"), Part::Query("user".into()), Part::Source]);
    let of = |uri, headers: &[_]| hash(&affinity, &request(uri, headers)).unwrap();
    let both = of("/?user=b", &[("x-user", "a")]);
    assert_eq!(both, of("/", &[("x-user", "a")]));
    assert_eq!(of("/?user=a", &[]), both, "the value alone counts");
    assert_eq!(of("/", &[]), XxHash64::oneshot(0, b"10.0.0.1"));
}

#[test]
fn keys_that_are_not_terminal_are_joined_in_order() {
    let keys = [header("x-a"), header("x-b")].map(|part| Key { part, terminal: false });
    let affinity = Affinity(keys.to_vec());
    let [a, b] = [b"1", b"2"].map(|value| XxHash64::oneshot(0, value));
    assert_eq!(hash(&affinity, &request("/", &[("x-a", "1"), ("x-b", "2")])), Some(a.rotate_left(1) ^ b));
    assert_eq!(hash(&affinity, &request("/", &[("x-b", "2")])), Some(b));
    assert_eq!(hash(&affinity, &request("/", &[])), None);
}

#[test]
fn who_has_no_cookie_is_given_one_that_leads_to_the_same_place() {
    let mut random = SmallRng::seed_from_u64(1);
    let new = NewCookie { ttl: Duration::from_mins(1), path: Some("/shop".to_owned()) };
    let affinity = by(&[cookie(Some(new))]);
    let place = affinity.place(&request("/", &[]), None, &mut random);
    let said = place.cookie.unwrap();
    let (pair, rest) = said.to_str().unwrap().split_once("; ").unwrap();
    assert_eq!(rest, "Path=/shop; HttpOnly; Max-Age=60");
    let again = affinity.place(&request("/", &[("cookie", pair)]), None, &mut random);
    assert_eq!(again.hash, place.hash);
    assert!(again.hash.is_some() && again.cookie.is_none());
    let other = affinity.place(&request("/", &[]), None, &mut random);
    assert_ne!(other.hash, place.hash, "each caller has its own");
}

#[test]
fn a_cookie_of_the_session_does_not_say_when_it_ends_and_no_cookie_is_made_unless_asked() {
    let mut random = SmallRng::seed_from_u64(1);
    let new = NewCookie { ttl: Duration::ZERO, path: None };
    let place = by(&[cookie(Some(new))]).place(&request("/", &[]), None, &mut random);
    assert!(place.cookie.unwrap().to_str().unwrap().ends_with("; HttpOnly"));
    let place = by(&[cookie(None), Part::Source]).place(&request("/", &[]), None, &mut random);
    assert!(place.cookie.is_none() && place.hash.is_none());
}
