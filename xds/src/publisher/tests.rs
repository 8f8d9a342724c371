use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;

use super::*;
use crate::{generated::envoy::config::core::v3::Node, subscriber::ANSWER_TIMEOUT};

const CART: &str = "shop/cart:80";

/// What one subscriber may see, by every name.
#[derive(Default)]
struct Shelf {
    generation: u64,
    resources: HashMap<(Kind, String), Arc<Resource>>,
}

impl Shelf {
    fn put(&mut self, kind: Kind, names: &[&str], body: &'static [u8]) {
        self.generation += 1;
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let resource = Arc::new(Resource {
            name: names[0].clone(),
            aliases: names[1..].to_vec(),
            version: Version::of(self.generation, body),
            body: Bytes::from_static(body),
        });
        self.resources.extend(names.into_iter().map(|name| ((kind, name), Arc::clone(&resource))));
    }

    fn take(&mut self, kind: Kind, name: &str) {
        self.generation += 1;
        self.resources.remove(&(kind, name.to_owned())).unwrap();
    }
}

impl Catalog for Shelf {
    fn get(&self, kind: Kind, name: &str) -> Option<Arc<Resource>> {
        self.resources.get(&(kind, name.to_owned())).cloned()
    }

    fn wildcard(&self, kind: Kind) -> Vec<String> {
        let own =
            self.resources.iter().filter(|((of, name), resource)| *of == kind && *name == resource.name);
        own.map(|((_, name), _)| name.clone()).collect()
    }

    fn generation(&self) -> u64 {
        self.generation
    }
}

fn subscribe(kind: Kind, names: &[&str]) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url: kind.type_url().to_owned(),
        resource_names_subscribe: names.iter().map(|name| (*name).to_owned()).collect(),
        ..Default::default()
    }
}

fn ack(response: &DeltaDiscoveryResponse) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url: response.type_url.clone(),
        response_nonce: response.nonce.clone(),
        ..Default::default()
    }
}

fn nack(response: &DeltaDiscoveryResponse, message: &str) -> DeltaDiscoveryRequest {
    let status = Status { code: 3, message: message.to_owned(), details: Vec::new() };
    DeltaDiscoveryRequest { error_detail: Some(status), ..ack(response) }
}

fn bodies(response: &DeltaDiscoveryResponse) -> Vec<&[u8]> {
    response.resources.iter().map(|resource| &resource.resource.as_ref().unwrap().value[..]).collect()
}

/// Hands a request over and returns the only response to it.
fn answer(
    publisher: &mut Publisher,
    shelf: &Shelf,
    request: DeltaDiscoveryRequest,
) -> DeltaDiscoveryResponse {
    let mut responses = publisher.handle(request, Instant::now(), shelf).unwrap().responses;
    assert_eq!(responses.len(), 1);
    responses.remove(0)
}

#[test]
fn what_is_there_is_sent_and_what_is_not_is_said_to_be_absent() {
    let mut shelf = Shelf::default();
    shelf.put(Kind::Cluster, &[CART], b"cart");
    let mut publisher = Publisher::new();
    let response = answer(&mut publisher, &shelf, subscribe(Kind::Cluster, &[CART, "shop/none:80"]));
    assert_eq!(bodies(&response), [b"cart"]);
    assert_eq!(response.removed_resources, ["shop/none:80"]);
    assert_eq!(response.system_version_info, Version::absent(1).to_string());
    assert_eq!(response.resources[0].version, Version::of(1, b"cart").to_string());
}

#[test]
fn changes_coalesce_while_a_response_is_in_flight() {
    let now = Instant::now();
    let mut shelf = Shelf::default();
    shelf.put(Kind::Routes, &[CART], b"1");
    let mut publisher = Publisher::new();
    let first = answer(&mut publisher, &shelf, subscribe(Kind::Routes, &[CART]));
    for body in [b"2", b"3"] {
        shelf.put(Kind::Routes, &[CART], body);
        assert!(publisher.changed([(Kind::Routes, CART)], now, &shelf).is_empty());
    }
    assert_eq!(publisher.sync(Kind::Routes).sent, Some(1));
    let second = answer(&mut publisher, &shelf, ack(&first));
    assert_eq!(bodies(&second), [b"3"]);
    assert_eq!(publisher.sync(Kind::Routes).acked, Some(1));
    // An acknowledgement that comes again answers nothing.
    assert_eq!(publisher.handle(ack(&first), now, &shelf), Ok(Handled::default()));
    assert_eq!(publisher.sync(Kind::Routes).acked, Some(1));
    assert_eq!(publisher.handle(ack(&second), now, &shelf), Ok(Handled::default()));
    assert_eq!(publisher.sync(Kind::Routes).acked, Some(3));
    assert_eq!(publisher.poll_timeout(), None);
}

#[test]
fn kinds_do_not_wait_for_each_other_and_go_out_in_order() {
    let now = Instant::now();
    let mut shelf = Shelf::default();
    let mut publisher = Publisher::new();
    let mut all = Kind::ALL;
    all.reverse();
    for kind in all {
        let response = answer(&mut publisher, &shelf, subscribe(kind, &[CART]));
        publisher.handle(ack(&response), now, &shelf).unwrap();
    }
    for kind in all {
        shelf.put(kind, &[CART], b"1");
    }
    let responses = publisher.changed(all.map(|kind| (kind, CART)), now, &shelf);
    let sent: Vec<&str> = responses.iter().map(|response| response.type_url.as_str()).collect();
    assert_eq!(sent, Kind::ALL.map(Kind::type_url));
}

#[test]
fn endpoints_follow_their_cluster_even_unchanged() {
    let now = Instant::now();
    let mut shelf = Shelf::default();
    shelf.put(Kind::Endpoints, &[CART], b"e");
    shelf.put(Kind::Cluster, &[CART], b"1");
    let mut publisher = Publisher::new();
    for kind in [Kind::Endpoints, Kind::Cluster] {
        for response in publisher.handle(subscribe(kind, &[CART]), now, &shelf).unwrap().responses {
            for again in publisher.handle(ack(&response), now, &shelf).unwrap().responses {
                publisher.handle(ack(&again), now, &shelf).unwrap();
            }
        }
    }
    assert_eq!(publisher.poll_timeout(), None);
    shelf.put(Kind::Cluster, &[CART], b"2");
    let responses = publisher.changed([(Kind::Cluster, CART)], now, &shelf);
    assert_eq!(responses.iter().map(bodies).collect::<Vec<_>>(), [[b"2"], [b"e"]]);
}

#[test]
fn a_refusal_is_reported_and_not_answered_with_the_same() {
    let now = Instant::now();
    let mut shelf = Shelf::default();
    shelf.put(Kind::Routes, &["a"], b"bad");
    shelf.put(Kind::Routes, &["b"], b"good");
    let mut publisher = Publisher::new();
    let response = answer(&mut publisher, &shelf, subscribe(Kind::Routes, &["a", "b"]));
    let refused = nack(&response, "a: regex: unclosed group\nunknown: ignored\nfree text");
    let handled = publisher.handle(refused, now, &shelf).unwrap();
    let refusal = handled.refusal.unwrap();
    assert_eq!(refusal.resources, [("a".to_owned(), "regex: unclosed group".to_owned())]);
    assert_eq!(refusal.message, "a: regex: unclosed group\nunknown: ignored\nfree text");
    assert!(handled.responses.is_empty());
    assert_eq!(publisher.sync(Kind::Routes).refusal, Some(refusal));

    assert!(publisher.look_again(now, &shelf).is_empty(), "the same version is not sent again");
    shelf.put(Kind::Routes, &["a"], b"good");
    let responses = publisher.look_again(now, &shelf);
    assert_eq!(bodies(&responses[0]), [b"good"]);
    publisher.handle(ack(&responses[0]), now, &shelf).unwrap();
    assert_eq!(publisher.sync(Kind::Routes).refusal, None);
}

#[test]
fn what_the_subscriber_has_is_not_sent_again() {
    let now = Instant::now();
    let mut shelf = Shelf::default();
    shelf.put(Kind::Cluster, &["same"], b"1");
    shelf.put(Kind::Cluster, &["other"], b"2");
    let mut request = subscribe(Kind::Cluster, &["same", "other", "gone", "foreign"]);
    let held = [
        ("same", Version::of(900, b"1").to_string()),
        ("other", Version::of(900, b"old").to_string()),
        ("gone", Version::of(901, b"x").to_string()),
        ("foreign", "v1".to_owned()),
    ];
    request.initial_resource_versions = held.map(|(name, version)| (name.to_owned(), version)).into();
    let mut publisher = Publisher::new();
    let response = answer(&mut publisher, &shelf, request);
    // The clock stood at 900 before; now it stands at 2. What is told stays above what is held.
    assert_eq!(bodies(&response), [b"2"]);
    assert_eq!(response.resources[0].version, Version::of(901, b"2").to_string());
    assert_eq!(response.removed_resources, ["foreign", "gone"]);
    assert_eq!(response.system_version_info, Version::absent(902).to_string());
    // And what comes back stays above the removal.
    publisher.handle(ack(&response), now, &shelf).unwrap();
    shelf.put(Kind::Cluster, &["gone"], b"3");
    let responses = publisher.look_again(now, &shelf);
    assert_eq!(responses[0].resources[0].version, Version::of(903, b"3").to_string());
}

#[test]
fn aliases_find_their_resource_once() {
    let now = Instant::now();
    let mut shelf = Shelf::default();
    shelf.put(Kind::Listener, &["cart.shop:80", "10.0.0.1:80"], b"1");
    let mut publisher = Publisher::new();
    let response = answer(&mut publisher, &shelf, subscribe(Kind::Listener, &["10.0.0.1:80"]));
    assert_eq!(response.resources[0].name, "cart.shop:80");
    assert_eq!(response.resources[0].aliases, ["10.0.0.1:80"]);
    // The second name is owed an answer, which tells the first one, too.
    let mut request = subscribe(Kind::Listener, &["cart.shop:80"]);
    request.initial_resource_versions =
        [("cart.shop:80".to_owned(), Version::of(50, b"0").to_string())].into();
    publisher.handle(ack(&response), now, &shelf).unwrap();
    let response = answer(&mut publisher, &shelf, request);
    assert_eq!(response.resources[0].version, Version::of(51, b"1").to_string());
    publisher.handle(ack(&response), now, &shelf).unwrap();
    let unsubscribe = DeltaDiscoveryRequest {
        resource_names_unsubscribe: vec!["cart.shop:80".to_owned()],
        ..subscribe(Kind::Listener, &[])
    };
    publisher.handle(unsubscribe, now, &shelf).unwrap();
    shelf.put(Kind::Listener, &["cart.shop:80", "10.0.0.1:80"], b"2");
    let names = ["cart.shop:80", "10.0.0.1:80"];
    let responses = publisher.changed(names.map(|name| (Kind::Listener, name)), now, &shelf);
    assert_eq!(responses[0].resources.len(), 1);
    assert_eq!(responses[0].resources[0].version, Version::of(52, b"2").to_string());
}

#[test]
fn a_name_that_was_given_up_is_not_told_of() {
    let now = Instant::now();
    let mut shelf = Shelf::default();
    let mut publisher = Publisher::new();
    let response = answer(&mut publisher, &shelf, subscribe(Kind::Cluster, &[CART]));
    let request =
        DeltaDiscoveryRequest { resource_names_unsubscribe: vec![CART.to_owned()], ..ack(&response) };
    publisher.handle(request, now, &shelf).unwrap();
    shelf.put(Kind::Cluster, &[CART], b"1");
    assert!(publisher.changed([(Kind::Cluster, CART)], now, &shelf).is_empty());
    assert_eq!(publisher.subscribed(Kind::Cluster).count(), 0);
}

#[test]
fn removals_are_told_once() {
    let now = Instant::now();
    let mut shelf = Shelf::default();
    shelf.put(Kind::Cluster, &[CART], b"1");
    let mut publisher = Publisher::new();
    let response = answer(&mut publisher, &shelf, subscribe(Kind::Cluster, &[CART]));
    publisher.handle(ack(&response), now, &shelf).unwrap();
    shelf.take(Kind::Cluster, CART);
    let responses = publisher.changed([(Kind::Cluster, CART)], now, &shelf);
    assert_eq!(responses[0].removed_resources, [CART]);
    publisher.handle(ack(&responses[0]), now, &shelf).unwrap();
    assert!(publisher.look_again(now, &shelf).is_empty());
}

#[test]
fn a_repeated_subscription_is_answered() {
    let now = Instant::now();
    let mut shelf = Shelf::default();
    shelf.put(Kind::Secret, &[IDENTITY], b"certificate");
    let mut publisher = Publisher::new();
    let first = answer(&mut publisher, &shelf, subscribe(Kind::Secret, &[IDENTITY]));
    publisher.handle(ack(&first), now, &shelf).unwrap();
    let second = answer(&mut publisher, &shelf, subscribe(Kind::Secret, &[IDENTITY]));
    assert_eq!(second.resources, first.resources);

    // With a CSR it is answered even to one who holds the same already.
    let mut node = Node::default();
    metadata::set_csr(&mut node, "pem");
    let mut request = subscribe(Kind::Secret, &[IDENTITY]);
    request.initial_resource_versions = [(IDENTITY.to_owned(), first.resources[0].version.clone())].into();
    assert!(Publisher::new().handle(request.clone(), now, &shelf).unwrap().responses.is_empty());
    request.node = Some(node);
    assert_eq!(answer(&mut Publisher::new(), &shelf, request).resources, first.resources);
}

#[test]
fn a_certificate_is_not_taken_back_by_a_control_plane_that_never_made_it() {
    let now = Instant::now();
    let shelf = Shelf::default();
    let mut request = subscribe(Kind::Secret, &[IDENTITY]);
    request.initial_resource_versions = [(IDENTITY.to_owned(), Version::of(3, b"c").to_string())].into();
    let mut publisher = Publisher::new();
    assert!(publisher.handle(request, now, &shelf).unwrap().responses.is_empty());
    assert!(publisher.look_again(now, &shelf).is_empty());
    // Who asks is told that there is none.
    let response = answer(&mut publisher, &shelf, subscribe(Kind::Secret, &[IDENTITY]));
    assert_eq!(response.removed_resources, [IDENTITY]);
}

#[test]
fn responses_are_cut_and_the_rest_follows() {
    static LARGE: [u8; 600 * 1024] = [7; 600 * 1024];
    let mut shelf = Shelf::default();
    for name in ["a", "b", "c"] {
        shelf.put(Kind::Endpoints, &[name], &LARGE);
    }
    let mut publisher = Publisher::new();
    let first = answer(&mut publisher, &shelf, subscribe(Kind::Endpoints, &["a", "b", "c"]));
    assert_eq!(first.resources.len(), 2);
    let second = answer(&mut publisher, &shelf, ack(&first));
    assert_eq!(second.resources[0].name, "c");
}

#[test]
fn silence_ends_the_stream() {
    let now = Instant::now();
    let shelf = Shelf::default();
    let mut publisher = Publisher::new();
    let response =
        publisher.handle(subscribe(Kind::Cluster, &[CART]), now, &shelf).unwrap().responses.remove(0);
    assert_eq!(publisher.poll_timeout(), Some(now + ANSWER_TIMEOUT));
    assert!(!publisher.timed_out(now + Duration::from_millis(14_999)));
    assert!(publisher.timed_out(now + ANSWER_TIMEOUT));
    publisher.handle(ack(&response), now, &shelf).unwrap();
    assert!(!publisher.timed_out(now + ANSWER_TIMEOUT));
}

#[test]
fn what_a_stream_may_hold_is_bounded() {
    let now = Instant::now();
    let shelf = Shelf::default();
    let mut publisher = Publisher::new();
    let long = "x".repeat(NAME_BYTES_MAX + 1);
    let refused = publisher.handle(subscribe(Kind::Cluster, &[&long]), now, &shelf);
    assert_eq!(refused, Err(ProtocolError::NameTooLong(long)));

    let names: Vec<String> = (0..=NAMES_MAX).map(|index| index.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    publisher.handle(subscribe(Kind::Cluster, &names[1..]), now, &shelf).unwrap();
    let refused = publisher.handle(subscribe(Kind::Cluster, &names[..1]), now, &shelf);
    assert_eq!(refused, Err(ProtocolError::TooManyNames(Kind::Cluster)));

    let unknown = DeltaDiscoveryRequest { type_url: "x".to_owned(), ..Default::default() };
    assert_eq!(publisher.handle(unknown, now, &shelf), Err(ProtocolError::UnknownType("x".to_owned())));
}

#[test]
fn a_name_given_up_and_taken_anew_is_told_above_what_is_in_flight() {
    let now = Instant::now();
    let mut shelf = Shelf::default();
    shelf.put(Kind::Listener, &["cart.shop:80"], b"1");
    shelf.generation = 9;
    let mut publisher = Publisher::new();
    let absence = answer(&mut publisher, &shelf, subscribe(Kind::Listener, &["10.0.0.1:80"]));
    assert_eq!(absence.system_version_info, Version::absent(9).to_string());
    let names = vec!["10.0.0.1:80".to_owned()];
    let unsubscribe =
        DeltaDiscoveryRequest { resource_names_unsubscribe: names, ..subscribe(Kind::Listener, &[]) };
    publisher.handle(unsubscribe, now, &shelf).unwrap();
    publisher.handle(subscribe(Kind::Listener, &["10.0.0.1:80"]), now, &shelf).unwrap();
    // The address now belongs to a listener that is older than the absence.
    let listener = Arc::clone(&shelf.resources[&(Kind::Listener, "cart.shop:80".to_owned())]);
    shelf.resources.insert((Kind::Listener, "10.0.0.1:80".to_owned()), listener);
    let response = answer(&mut publisher, &shelf, ack(&absence));
    assert_eq!(response.resources[0].version, Version::of(10, b"1").to_string());
}

#[test]
fn a_wildcard_stands_for_what_there_is_comes_and_goes() {
    let (mut shelf, now) = (Shelf::default(), Instant::now());
    shelf.put(Kind::Cluster, &["a"], b"A");
    shelf.put(Kind::Cluster, &["b"], b"B");
    let mut publisher = Publisher::new();
    // By its name, or by a first request that names nothing.
    for names in [&["*"][..], &[]] {
        let first = answer(&mut Publisher::new(), &shelf, subscribe(Kind::Cluster, names));
        assert_eq!(names_of(&first), ["a", "b"]);
    }
    let mut held = subscribe(Kind::Cluster, &[]);
    let b = Version::of(1, b"B").to_string();
    held.initial_resource_versions = [("b".to_owned(), b.clone()), ("gone".to_owned(), b)].into();
    let first = answer(&mut publisher, &shelf, held);
    assert_eq!((names_of(&first), &first.removed_resources[..]), (vec!["a"], &["gone".to_owned()][..]));
    publisher.handle(ack(&first), now, &shelf).unwrap();

    shelf.put(Kind::Cluster, &["c"], b"C");
    shelf.take(Kind::Cluster, "a");
    let names = ["a", "c"].map(|name| (Kind::Cluster, name));
    let [second] = &publisher.changed(names, now, &shelf)[..] else { panic!("one answer") };
    assert_eq!((names_of(second), &second.removed_resources[..]), (vec!["c"], &["a".to_owned()][..]));
    publisher.handle(ack(second), now, &shelf).unwrap();
    assert_eq!(publisher.subscribed(Kind::Cluster).collect::<Vec<_>>(), ["b", "c"]);

    // One of them is given up, and told once more: the wildcard still stands for it. Then the wildcard ends.
    let mut end = subscribe(Kind::Cluster, &["b"]);
    end.resource_names_unsubscribe = vec!["c".to_owned()];
    let third = answer(&mut publisher, &shelf, end);
    assert_eq!(names_of(&third), ["b", "c"]);
    let mut end = ack(&third);
    end.resource_names_unsubscribe = vec!["*".to_owned()];
    publisher.handle(end, now, &shelf).unwrap();
    assert_eq!(publisher.subscribed(Kind::Cluster).collect::<Vec<_>>(), ["b"]);
}

#[test]
fn nobody_gets_everything_by_an_acknowledgement_or_for_other_kinds_than_have_it() {
    let (mut shelf, now) = (Shelf::default(), Instant::now());
    shelf.put(Kind::Cluster, &["a"], b"A");
    let mut late = subscribe(Kind::Cluster, &[]);
    late.response_nonce = "7".to_owned();
    assert_eq!(Publisher::new().handle(late, now, &shelf), Ok(Handled::default()));
}

fn names_of(response: &DeltaDiscoveryResponse) -> Vec<&str> {
    response.resources.iter().map(|resource| resource.name.as_str()).collect()
}
