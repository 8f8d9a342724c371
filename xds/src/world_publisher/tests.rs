use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::*;
use crate::{subscriber::ANSWER_TIMEOUT, version::Version};

/// What there is, by kind and name. The wildcard stands for all of it.
#[derive(Default)]
struct Shelf {
    generation: u64,
    resources: HashMap<(Kind, String), Arc<Resource>>,
}

impl Shelf {
    fn put(&mut self, kind: Kind, name: &str, body: &'static [u8]) {
        self.generation += 1;
        let resource = Arc::new(Resource {
            name: name.to_owned(),
            aliases: Vec::new(),
            version: Version::of(self.generation, body),
            body: Bytes::from_static(body),
        });
        self.resources.insert((kind, name.to_owned()), resource);
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
        self.resources.keys().filter(|(of, _)| *of == kind).map(|(_, name)| name.clone()).collect()
    }

    fn generation(&self) -> u64 {
        self.generation
    }
}

/// A client that takes whatever comes.
struct Client {
    publisher: WorldPublisher,
    nonces: HashMap<Kind, String>,
    names: HashMap<Kind, Vec<String>>,
    now: Instant,
}

impl Client {
    fn new() -> Self {
        let (nonces, names) = Default::default();
        Self { publisher: WorldPublisher::new(), nonces, names, now: Instant::now() }
    }

    fn request(&self, kind: Kind) -> DiscoveryRequest {
        DiscoveryRequest {
            type_url: kind.type_url().to_owned(),
            resource_names: self.names.get(&kind).cloned().unwrap_or_default(),
            response_nonce: self.nonces.get(&kind).cloned().unwrap_or_default(),
            ..DiscoveryRequest::default()
        }
    }

    fn subscribe(&mut self, shelf: &Shelf, kind: Kind, names: &[&str]) -> Vec<DiscoveryResponse> {
        self.names.insert(kind, names.iter().map(|name| (*name).to_owned()).collect());
        self.publisher.handle(self.request(kind), self.now, shelf).unwrap().responses
    }

    fn take(&mut self, shelf: &Shelf, response: &DiscoveryResponse) -> Vec<DiscoveryResponse> {
        let kind = WorldPublisher::kind_of(response).unwrap();
        self.nonces.insert(kind, response.nonce.clone());
        self.publisher.handle(self.request(kind), self.now, shelf).unwrap().responses
    }

    /// Takes all responses, and those that follow. Returns what was told, in order.
    fn settle(&mut self, shelf: &Shelf, responses: Vec<DiscoveryResponse>) -> Vec<(Kind, Vec<String>)> {
        let (mut told, mut queue) = (Vec::new(), std::collections::VecDeque::from(responses));
        while let Some(response) = queue.pop_front() {
            told.push((WorldPublisher::kind_of(&response).unwrap(), bodies(&response)));
            queue.extend(self.take(shelf, &response));
        }
        told
    }

    fn changed(&mut self, shelf: &Shelf, names: &[(Kind, &str)]) -> Vec<DiscoveryResponse> {
        self.publisher.changed(names.iter().copied(), self.now, shelf)
    }
}

fn bodies(response: &DiscoveryResponse) -> Vec<String> {
    response.resources.iter().map(|any| String::from_utf8(any.value.to_vec()).unwrap()).collect()
}

fn told(kind: Kind, bodies: &[&str]) -> (Kind, Vec<String>) {
    (kind, bodies.iter().map(|body| (*body).to_owned()).collect())
}

#[test]
fn a_whole_kind_is_told_with_all_that_is_wanted_and_the_others_with_what_is_new() {
    let mut shelf = Shelf::default();
    for kind in [Kind::Cluster, Kind::Endpoints] {
        shelf.put(kind, "a", b"A");
        shelf.put(kind, "b", b"B");
    }
    let mut client = Client::new();
    let first = client.subscribe(&shelf, Kind::Cluster, &["a", "b", "none"]);
    assert_eq!(client.settle(&shelf, first), [told(Kind::Cluster, &["A", "B"])]);
    let first = client.subscribe(&shelf, Kind::Endpoints, &["a", "b", "none"]);
    assert_eq!(client.settle(&shelf, first), [told(Kind::Endpoints, &["A", "B"])]);

    shelf.put(Kind::Endpoints, "b", b"B2");
    let second = client.changed(&shelf, &[(Kind::Endpoints, "b")]);
    assert_eq!(client.settle(&shelf, second), [told(Kind::Endpoints, &["B2"])]);
    // Endpoints follow their cluster, and no other.
    shelf.put(Kind::Cluster, "b", b"B2");
    let third = client.changed(&shelf, &[(Kind::Cluster, "b")]);
    let expected = [told(Kind::Cluster, &["A", "B2"]), told(Kind::Endpoints, &["B2"])];
    assert_eq!(client.settle(&shelf, third), expected);
    shelf.take(Kind::Cluster, "a");
    let fourth = client.changed(&shelf, &[(Kind::Cluster, "a")]);
    assert_eq!(client.settle(&shelf, fourth), [told(Kind::Cluster, &["B2"])]);
    // Nothing new, nothing said.
    assert_eq!(client.changed(&shelf, &[(Kind::Cluster, "b"), (Kind::Endpoints, "b")]), []);
    assert_eq!(client.publisher.look_again(client.now, &shelf), []);
}

#[test]
fn a_name_that_does_not_exist_is_answered_where_an_answer_can_say_so() {
    let (shelf, mut client) = (Shelf::default(), Client::new());
    let first = client.subscribe(&shelf, Kind::Listener, &["none"]);
    assert_eq!(client.settle(&shelf, first), [told(Kind::Listener, &[])]);
    assert_eq!(client.subscribe(&shelf, Kind::Routes, &["none"]), []);
    let again = client.subscribe(&shelf, Kind::Listener, &["none", "nothing"]);
    assert_eq!(client.settle(&shelf, again), [told(Kind::Listener, &[])]);
}

#[test]
fn what_is_given_up_is_not_told_and_what_is_wanted_again_is_told_again() {
    let mut shelf = Shelf::default();
    shelf.put(Kind::Endpoints, "a", b"A");
    let mut client = Client::new();
    let first = client.subscribe(&shelf, Kind::Endpoints, &["a"]);
    client.settle(&shelf, first);
    assert_eq!(client.subscribe(&shelf, Kind::Endpoints, &[]), []);
    shelf.put(Kind::Endpoints, "a", b"A2");
    assert_eq!(client.changed(&shelf, &[(Kind::Endpoints, "a")]), []);
    let again = client.subscribe(&shelf, Kind::Endpoints, &["a"]);
    assert_eq!(client.settle(&shelf, again), [told(Kind::Endpoints, &["A2"])]);
}

#[test]
fn no_names_are_everything_at_first_and_nothing_later() {
    let mut shelf = Shelf::default();
    shelf.put(Kind::Cluster, "a", b"A");
    let mut client = Client::new();
    let all = client.subscribe(&shelf, Kind::Cluster, &[]);
    assert_eq!(client.settle(&shelf, all), [told(Kind::Cluster, &["A"])]);
    shelf.put(Kind::Cluster, "b", b"B");
    let more = client.changed(&shelf, &[(Kind::Cluster, "b")]);
    assert_eq!(client.settle(&shelf, more), [told(Kind::Cluster, &["A", "B"])]);
    shelf.take(Kind::Cluster, "a");
    let less = client.changed(&shelf, &[(Kind::Cluster, "a")]);
    assert_eq!(client.settle(&shelf, less), [told(Kind::Cluster, &["B"])]);

    let named = client.subscribe(&shelf, Kind::Cluster, &["b"]);
    assert_eq!(client.settle(&shelf, named), [told(Kind::Cluster, &["B"])]);
    assert_eq!(client.subscribe(&shelf, Kind::Cluster, &[]), []);
    shelf.put(Kind::Cluster, "b", b"B2");
    assert_eq!(client.changed(&shelf, &[(Kind::Cluster, "b")]), []);
    let all = client.subscribe(&shelf, Kind::Cluster, &["*"]);
    assert_eq!(client.settle(&shelf, all), [told(Kind::Cluster, &["B2"])]);
    assert_eq!(client.subscribe(&shelf, Kind::Endpoints, &[]), [], "of other kinds there is no everything");
}

#[test]
fn one_response_of_a_kind_is_in_flight_and_a_request_from_before_it_is_no_acknowledgement() {
    let mut shelf = Shelf::default();
    shelf.put(Kind::Endpoints, "a", b"A");
    shelf.put(Kind::Endpoints, "b", b"B");
    let mut client = Client::new();
    let [first] = &client.subscribe(&shelf, Kind::Endpoints, &["a"])[..] else { panic!("one answer") };
    shelf.put(Kind::Endpoints, "a", b"A2");
    assert_eq!(client.changed(&shelf, &[(Kind::Endpoints, "a")]), []);
    // Sent before the first response arrived.
    assert_eq!(client.subscribe(&shelf, Kind::Endpoints, &["a", "b"]), []);
    let [second] = &client.take(&shelf, first)[..] else { panic!("one answer") };
    assert_eq!(bodies(second), ["A2", "B"]);
    assert_eq!(client.take(&shelf, second), []);
}

#[test]
fn a_refusal_is_told_and_the_refused_is_not_sent_again_until_it_changes() {
    let mut shelf = Shelf::default();
    shelf.put(Kind::Cluster, "a", b"A");
    let mut client = Client::new();
    let [first] = &client.subscribe(&shelf, Kind::Cluster, &["a"])[..] else { panic!("one answer") };
    client.nonces.insert(Kind::Cluster, first.nonce.clone());
    let status = Status { message: "a: no\nb: nor this".to_owned(), ..Status::default() };
    let nack = DiscoveryRequest { error_detail: Some(status), ..client.request(Kind::Cluster) };
    let handled = client.publisher.handle(nack, client.now, &shelf).unwrap();
    assert_eq!(handled.responses, []);
    assert_eq!(handled.refusal.unwrap().resources, [("a".to_owned(), "no".to_owned())]);
    assert!(client.publisher.sync(Kind::Cluster).refusal.is_some());
    shelf.put(Kind::Cluster, "a", b"A2");
    let better = client.changed(&shelf, &[(Kind::Cluster, "a")]);
    assert_eq!(client.settle(&shelf, better), [told(Kind::Cluster, &["A2"])]);
    assert_eq!(client.publisher.sync(Kind::Cluster).refusal, None);
}

#[test]
fn a_cluster_goes_after_the_routes_that_led_to_it() {
    let mut shelf = Shelf::default();
    shelf.put(Kind::Cluster, "old", b"old");
    shelf.put(Kind::Routes, "r", b"to old");
    let mut client = Client::new();
    for (kind, names) in [(Kind::Cluster, &["*"]), (Kind::Routes, &["r"])] {
        let first = client.subscribe(&shelf, kind, names);
        client.settle(&shelf, first);
    }
    shelf.put(Kind::Cluster, "new", b"new");
    shelf.put(Kind::Routes, "r", b"to new");
    shelf.take(Kind::Cluster, "old");
    let names = [(Kind::Cluster, "old"), (Kind::Cluster, "new"), (Kind::Routes, "r")];
    let responses = client.changed(&shelf, &names);
    let expected = [
        told(Kind::Cluster, &["new", "old"]),
        told(Kind::Routes, &["to new"]),
        told(Kind::Cluster, &["new"]),
    ];
    assert_eq!(client.settle(&shelf, responses), expected);
    // Where the routes turn out to say the same, nothing holds it back.
    shelf.take(Kind::Cluster, "new");
    let responses = client.changed(&shelf, &[(Kind::Cluster, "new"), (Kind::Routes, "r")]);
    assert_eq!(client.settle(&shelf, responses), [told(Kind::Cluster, &[])]);
}

#[test]
fn what_is_too_much_is_cut_and_follows() {
    let mut shelf = Shelf::default();
    let body: &'static [u8] = vec![b'x'; RESPONSE_BYTES_MAX / 2 + 1].leak();
    let names = ["a", "b", "c"];
    for name in names {
        shelf.put(Kind::Endpoints, name, body);
    }
    let mut client = Client::new();
    let first = client.subscribe(&shelf, Kind::Endpoints, &names);
    let sizes: Vec<usize> = client.settle(&shelf, first).iter().map(|(_, bodies)| bodies.len()).collect();
    assert_eq!(sizes, [2, 1]);
}

#[test]
fn silence_and_what_is_too_much_to_ask_end_the_stream() {
    let (shelf, mut client) = (Shelf::default(), Client::new());
    assert_eq!(client.publisher.poll_timeout(), None);
    client.subscribe(&shelf, Kind::Listener, &["a"]);
    assert!(
        !client.publisher.timed_out(client.now + ANSWER_TIMEOUT.saturating_sub(Duration::from_millis(1)))
    );
    assert!(client.publisher.timed_out(client.now + ANSWER_TIMEOUT));

    let mut ask = |type_url: &str, names: Vec<String>| {
        let request = DiscoveryRequest {
            type_url: type_url.to_owned(),
            resource_names: names,
            ..DiscoveryRequest::default()
        };
        client.publisher.handle(request, client.now, &shelf).unwrap_err()
    };
    let routes = Kind::Routes.type_url();
    assert!(matches!(ask("type.googleapis.com/x", Vec::new()), ProtocolError::UnknownType(_)));
    let many = (0..=NAMES_MAX).map(|number| number.to_string()).collect();
    assert_eq!(ask(routes, many), ProtocolError::TooManyNames(Kind::Routes));
    let long = "x".repeat(NAME_BYTES_MAX + 1);
    assert_eq!(ask(routes, vec![long.clone()]), ProtocolError::NameTooLong(long));
}
