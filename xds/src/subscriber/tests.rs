use super::*;
use crate::generated::google::protobuf::Any;

const CART: &str = "shop/cart:80";

fn subscriber() -> Subscriber {
    Subscriber::new(Node { id: "cart-0".to_owned(), ..Default::default() })
}

fn resource(kind: Kind, name: &str, version: &Version, body: &'static [u8]) -> Resource {
    Resource {
        name: name.to_owned(),
        version: version.to_string(),
        resource: Some(Any { type_url: kind.type_url().to_owned(), value: Bytes::from_static(body) }),
        aliases: Vec::new(),
    }
}

fn response(kind: Kind, resources: Vec<Resource>) -> DeltaDiscoveryResponse {
    let type_url = kind.type_url().to_owned();
    DeltaDiscoveryResponse { type_url, nonce: "n1".to_owned(), resources, ..Default::default() }
}

fn removal(kind: Kind, name: &str, as_of: u64) -> DeltaDiscoveryResponse {
    DeltaDiscoveryResponse {
        removed_resources: vec![name.to_owned()],
        system_version_info: Version::absent(as_of).to_string(),
        ..response(kind, Vec::new())
    }
}

fn take(_: Kind, _: &str, body: &Bytes) -> Result<Bytes, String> {
    if body.is_empty() { Err("empty".to_owned()) } else { Ok(body.clone()) }
}

fn names<T>(incoming: &Incoming<T>) -> Vec<&str> {
    incoming.changed.iter().map(|changed| changed.name.as_str()).collect()
}

#[test]
fn subscriptions_are_sent_at_once_or_with_the_next_stream() {
    let now = Instant::now();
    let mut subscriber = subscriber();
    assert_eq!(subscriber.subscribe(Kind::Cluster, CART, now), None);
    assert_eq!(subscriber.poll_timeout(), None);

    let first = subscriber.connected(now);
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].node.as_ref().unwrap().id, "cart-0");
    assert_eq!(first[0].resource_names_subscribe, [CART]);

    let second = subscriber.subscribe(Kind::Endpoints, CART, now).unwrap();
    assert_eq!(second.type_url, Kind::Endpoints.type_url());
    assert_eq!(second.resource_names_subscribe, [CART]);
    assert_eq!(subscriber.subscribe(Kind::Endpoints, CART, now), None);

    let third = subscriber.unsubscribe(Kind::Endpoints, CART).unwrap();
    assert_eq!(third.resource_names_unsubscribe, [CART]);
    assert_eq!(subscriber.unsubscribe(Kind::Endpoints, CART), None);
}

#[test]
fn responses_are_acknowledged_and_named_on_the_next_stream() {
    let now = Instant::now();
    let mut subscriber = subscriber();
    subscriber.connected(now);
    subscriber.subscribe(Kind::Cluster, CART, now);
    let version = Version::of(7, b"a");
    let incoming =
        subscriber.handle(response(Kind::Cluster, vec![resource(Kind::Cluster, CART, &version, b"a")]), take);
    let incoming = incoming.unwrap();
    assert_eq!(incoming.reply.response_nonce, "n1");
    assert_eq!(incoming.reply.error_detail, None);
    let changed =
        Changed { name: CART.to_owned(), version: version.clone(), resource: Bytes::from_static(b"a") };
    assert_eq!(incoming.changed, [changed]);

    subscriber.disconnected();
    let requests = subscriber.connected(now);
    assert_eq!(requests[0].initial_resource_versions[CART], version.to_string());
    assert_eq!(subscriber.poll_timeout(), None, "who holds something waits for nothing");
}

#[test]
fn one_refused_resource_does_not_take_others_down() {
    let mut subscriber = subscriber();
    let now = Instant::now();
    subscriber.connected(now);
    subscriber.subscribe(Kind::Routes, "good", now);
    subscriber.subscribe(Kind::Routes, "bad", now);
    let (first, second) = (Version::of(1, b"a"), Version::of(2, b"b"));
    let both = |version, body| {
        let names = ["good", "bad"];
        response(Kind::Routes, names.map(|name| resource(Kind::Routes, name, version, body)).into())
    };
    subscriber.handle(both(&first, b"a"), take).unwrap();

    let refuse = |_: Kind, name: &str, _: &Bytes| {
        if name == "bad" { Err("regex `(`:\nunclosed group".to_owned()) } else { Ok(()) }
    };
    let incoming = subscriber.handle(both(&second, b"b"), refuse).unwrap();
    assert_eq!(names(&incoming), ["good"]);
    let error = incoming.reply.error_detail.unwrap();
    assert_eq!((error.code, error.message.as_str()), (3, "bad: regex `(`: unclosed group"));
    assert_eq!(subscriber.held(Kind::Routes, "bad"), Some(&first));
    assert_eq!(subscriber.held(Kind::Routes, "good"), Some(&second));
    assert_eq!(subscriber.poll_timeout(), None);
}

#[test]
fn resources_of_another_type_or_without_a_message_are_refused() {
    let mut subscriber = subscriber();
    subscriber.subscribe(Kind::Routes, "a", Instant::now());
    let mut wrong = resource(Kind::Cluster, "a", &Version::of(1, b"a"), b"a");
    let incoming = subscriber.handle(response(Kind::Routes, vec![wrong.clone()]), take).unwrap();
    assert!(incoming.reply.error_detail.unwrap().message.starts_with("a: holds `"));
    wrong.resource = None;
    let incoming = subscriber.handle(response(Kind::Routes, vec![wrong]), take).unwrap();
    assert_eq!(incoming.reply.error_detail.unwrap().message, "a: holds no message");

    let unknown = DeltaDiscoveryResponse { type_url: "x".to_owned(), ..Default::default() };
    assert_eq!(subscriber.handle(unknown, take), Err(ProtocolError::UnknownType("x".to_owned())));
}

#[test]
fn nothing_late_takes_anything_back() {
    let mut subscriber = subscriber();
    subscriber.subscribe(Kind::Cluster, CART, Instant::now());
    let at = |generation, body: &'static [u8]| {
        let version = Version::of(generation, body);
        response(Kind::Cluster, vec![resource(Kind::Cluster, CART, &version, body)])
    };
    assert_eq!(names(&subscriber.handle(at(5, b"new"), take).unwrap()), [CART]);
    // An older one, a repeated one, and a removal from before.
    assert!(subscriber.handle(at(4, b"old"), take).unwrap().changed.is_empty());
    assert!(subscriber.handle(at(5, b"new"), take).unwrap().changed.is_empty());
    assert!(subscriber.handle(removal(Kind::Cluster, CART, 4), take).unwrap().removed.is_empty());
    assert_eq!(subscriber.held(Kind::Cluster, CART), Some(&Version::of(5, b"new")));
    // A removal that counts, told once; then an addition from before it, and one from after.
    assert_eq!(subscriber.handle(removal(Kind::Cluster, CART, 6), take).unwrap().removed, [CART]);
    assert!(subscriber.handle(removal(Kind::Cluster, CART, 7), take).unwrap().removed.is_empty());
    assert!(subscriber.handle(at(6, b"late"), take).unwrap().changed.is_empty());
    assert_eq!(names(&subscriber.handle(at(8, b"again"), take).unwrap()), [CART]);
}

#[test]
fn removals_of_another_server_count() {
    let mut subscriber = subscriber();
    subscriber.subscribe(Kind::Cluster, CART, Instant::now());
    let foreign = |text: &str| Resource {
        version: text.to_owned(),
        ..resource(Kind::Cluster, CART, &Version::absent(0), b"x")
    };
    let incoming = subscriber.handle(response(Kind::Cluster, vec![foreign("2")]), take).unwrap();
    assert_eq!(names(&incoming), [CART]);
    let gone =
        DeltaDiscoveryResponse { system_version_info: "3".to_owned(), ..removal(Kind::Cluster, CART, 0) };
    assert_eq!(subscriber.handle(gone, take).unwrap().removed, [CART]);
    let incoming = subscriber.handle(response(Kind::Cluster, vec![foreign("1")]), take).unwrap();
    assert_eq!(names(&incoming), [CART], "versions without an order are never refused");
}

#[test]
fn absence_is_named_on_the_next_stream() {
    let now = Instant::now();
    let mut subscriber = subscriber();
    subscriber.subscribe(Kind::Listener, "nowhere:80", now);
    subscriber.handle(removal(Kind::Listener, "nowhere:80", 9), take).unwrap();
    let requests = subscriber.connected(now);
    assert_eq!(requests[0].initial_resource_versions["nowhere:80"], "9-0000000000000000");
}

#[test]
fn a_resource_answers_every_name_that_was_subscribed_to() {
    let now = Instant::now();
    let mut subscriber = subscriber();
    subscriber.connected(now);
    for name in ["10.0.0.1:80", "10.0.0.2:80", "elsewhere:80"] {
        subscriber.subscribe(Kind::Listener, name, now);
    }
    let mut listener = resource(Kind::Listener, "cart.shop:80", &Version::of(1, b"a"), b"a");
    listener.aliases = vec!["10.0.0.1:80".to_owned(), "10.0.0.2:80".to_owned(), "10.0.0.2:80".to_owned()];
    let incoming = subscriber.handle(response(Kind::Listener, vec![listener.clone()]), take).unwrap();
    assert_eq!(names(&incoming), ["10.0.0.1:80", "10.0.0.2:80"]);

    // A refusal names the resource, once, whatever it was subscribed to as.
    listener.version = Version::of(2, b"b").to_string();
    let refuse = |_: Kind, _: &str, _: &Bytes| Err::<(), _>("no".to_owned());
    let incoming = subscriber.handle(response(Kind::Listener, vec![listener]), refuse).unwrap();
    assert_eq!(incoming.reply.error_detail.unwrap().message, "cart.shop:80: no");
}

#[test]
fn a_csr_is_sent_until_a_certificate_is_accepted() {
    let now = Instant::now();
    let mut subscriber = subscriber();
    assert_eq!(subscriber.request_identity("csr 1", now), None);
    let requests = subscriber.connected(now);
    assert_eq!(requests[0].resource_names_subscribe, [IDENTITY]);
    assert_eq!(metadata::csr(requests[0].node.as_ref().unwrap()), Some("csr 1"));

    let certificate = |generation, body| {
        response(Kind::Secret, vec![resource(Kind::Secret, IDENTITY, &Version::of(generation, body), body)])
    };
    let refuse = |_: Kind, _: &str, _: &Bytes| Err::<(), _>("made for another key".to_owned());
    subscriber.handle(certificate(1, b"other"), refuse).unwrap();
    assert!(subscriber.timed_out(now + ANSWER_TIMEOUT), "a certificate for another key is no answer");
    subscriber.disconnected();
    assert_eq!(metadata::csr(subscriber.connected(now)[0].node.as_ref().unwrap()), Some("csr 1"));
    subscriber.handle(certificate(2, b"mine"), take).unwrap();
    assert_eq!(subscriber.poll_timeout(), None);
    assert_eq!(metadata::csr(subscriber.connected(now)[0].node.as_ref().unwrap()), None);

    // Renewal: the same name again. The answer counts even if nothing changed.
    let renewal = subscriber.request_identity("csr 2", now).unwrap();
    assert_eq!(renewal.resource_names_subscribe, [IDENTITY]);
    assert_eq!(metadata::csr(renewal.node.as_ref().unwrap()), Some("csr 2"));
    assert_eq!(subscriber.poll_timeout(), Some(now + ANSWER_TIMEOUT));
    let incoming = subscriber.handle(certificate(2, b"mine"), take).unwrap();
    assert_eq!(names(&incoming), [IDENTITY]);
    assert_eq!(subscriber.poll_timeout(), None);
}

#[test]
fn silence_ends_the_stream() {
    let now = Instant::now();
    let mut subscriber = subscriber();
    subscriber.subscribe(Kind::Cluster, CART, now);
    let later = now + Duration::from_mins(1);
    subscriber.connected(later);
    assert_eq!(subscriber.poll_timeout(), Some(later + ANSWER_TIMEOUT));
    assert!(!subscriber.timed_out(later + Duration::from_millis(14_999)));
    assert!(subscriber.timed_out(later + ANSWER_TIMEOUT));
    subscriber.disconnected();
    assert!(!subscriber.timed_out(later + ANSWER_TIMEOUT));
}

#[test]
fn a_certificate_is_not_taken_back() {
    let now = Instant::now();
    let mut subscriber = subscriber();
    subscriber.connected(now);
    subscriber.request_identity("csr 1", now);
    let version = Version::of(1, b"mine");
    let certificate = response(Kind::Secret, vec![resource(Kind::Secret, IDENTITY, &version, b"mine")]);
    subscriber.handle(certificate, take).unwrap();
    subscriber.request_identity("csr 2", now);
    // The control plane makes none for the new key. That is an answer, and the old one stays.
    assert_eq!(subscriber.handle(removal(Kind::Secret, IDENTITY, 9), take).unwrap().removed, [IDENTITY]);
    assert_eq!(subscriber.poll_timeout(), None);
    assert_eq!(subscriber.held(Kind::Secret, IDENTITY), Some(&version));
    assert_eq!(metadata::csr(subscriber.connected(now)[0].node.as_ref().unwrap()), Some("csr 2"));
}
