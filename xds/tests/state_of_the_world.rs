//! The publisher of the state of the world against a client that goes by the protocol's text, over thousands of random
//! histories: streams that break, responses that are refused, and a control plane that starts anew.
//!
//! A history is made by its seed alone. Messages arrive in order or not at all, as gRPC promises: what a stream that
//! breaks had under way is lost.
// A test fails by panicking.
#![allow(clippy::unwrap_used)]

#[path = "pair/shop.rs"]
#[allow(dead_code, reason = "the other simulation uses more of it")]
mod shop;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use bytes::Bytes;
use rand::{Rng, SeedableRng, rngs::SmallRng, seq::IndexedRandom};
use weft_xds::{
    Catalog, Kind, Publish as _, WorldPublisher,
    discovery::{DiscoveryRequest, DiscoveryResponse},
    publish::WILDCARD,
    rpc::Status,
};

use shop::Shop;

const HISTORIES: u64 = 4_000;
/// Random events before faults end and the two must come to agree.
const EVENTS: u32 = 200;
/// Messages in which two halves that agree at all have long agreed.
const MESSAGES_MAX: u32 = 1_000;
/// Names of resources, few enough that histories collide.
const NAMES: [&str; 4] = ["n0", "n1", "n2", "n3"];
/// Contents; they come back, and the last one is refused.
const BODIES: [&str; 4] = ["A", "B", "C", REFUSED];
const REFUSED: &str = "refused";

/// What a client holds and asks for.
#[derive(Default)]
struct Client {
    wanted: BTreeMap<Kind, BTreeSet<String>>,
    /// Resources by name. Their names stand in front of their contents, since messages hold their own names.
    held: BTreeMap<(Kind, String), String>,
    /// Of the present stream.
    nonces: BTreeMap<Kind, String>,
}

struct World {
    rng: SmallRng,
    now: Instant,
    shop: Shop,
    client: Client,
    stream: Option<Stream>,
    refused: u32,
    removed: u32,
}

#[derive(Default)]
struct Stream {
    publisher: WorldPublisher,
    up: VecDeque<DiscoveryRequest>,
    down: VecDeque<DiscoveryResponse>,
}

const fn is_whole(kind: Kind) -> bool {
    matches!(kind, Kind::Listener | Kind::Cluster)
}

impl Client {
    /// All that is wanted of a kind. It has been said before, so that no names mean none.
    fn request(&self, kind: Kind) -> DiscoveryRequest {
        DiscoveryRequest {
            type_url: kind.type_url().to_owned(),
            resource_names: self.wanted.get(&kind).into_iter().flatten().cloned().collect(),
            response_nonce: self.nonces.get(&kind).cloned().unwrap_or_default(),
            ..DiscoveryRequest::default()
        }
    }

    fn wants(&self, kind: Kind, name: &str) -> bool {
        let wanted = self.wanted.get(&kind);
        wanted.is_some_and(|names| names.contains(name) || is_whole(kind) && names.contains(WILDCARD))
    }

    /// Takes what it wants of a response and does not refuse.
    fn take(&mut self, kind: Kind, response: &DiscoveryResponse) -> DiscoveryRequest {
        self.nonces.insert(kind, response.nonce.clone());
        let mut named = BTreeSet::new();
        let mut refused = Vec::new();
        for any in &response.resources {
            let text = std::str::from_utf8(&any.value).unwrap();
            let (name, body) = text.split_once('=').unwrap();
            named.insert(name.to_owned());
            if body == REFUSED {
                refused.push(format!("{name}: {REFUSED}"));
            } else if self.wants(kind, name) {
                self.held.insert((kind, name.to_owned()), body.to_owned());
            }
        }
        if is_whole(kind) {
            self.held.retain(|(of, name), _| *of != kind || named.contains(name));
        }
        let error = Status { message: refused.join("\n"), ..Status::default() };
        let error_detail = (!refused.is_empty()).then_some(error);
        DiscoveryRequest { error_detail, ..self.request(kind) }
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut shop = Shop::new();
        for kind in Kind::ALL {
            for (name, body) in NAMES.into_iter().zip(BODIES) {
                shop.set((kind, name.to_owned()), Some(content(name, body)));
            }
        }
        Self {
            rng: SmallRng::seed_from_u64(seed),
            now: Instant::now(),
            shop,
            client: Client::default(),
            stream: None,
            refused: 0,
            removed: 0,
        }
    }

    fn step(&mut self) {
        match self.rng.random_range(0..100) {
            0..55 => self.deliver(),
            55..75 => self.change_shop(),
            75..88 => self.want(),
            88..90 => self.stream = None,
            90 => {
                self.stream = None;
                let clock = self.rng.random_range(0..2_000);
                self.shop.restart(clock);
            }
            91..94 => self.now += Duration::from_secs(1),
            _ => self.connect(),
        }
    }

    fn connect(&mut self) {
        if self.stream.is_some() {
            return;
        }
        self.client.nonces.clear();
        let wanted = self.client.wanted.iter().filter(|(_, names)| !names.is_empty());
        let up = wanted.map(|(kind, _)| self.client.request(*kind)).collect();
        self.stream = Some(Stream { up, ..Stream::default() });
    }

    fn change_shop(&mut self) {
        let kind = *Kind::ALL.choose(&mut self.rng).unwrap();
        let name = *NAMES.choose(&mut self.rng).unwrap();
        let body = BODIES.choose(&mut self.rng).unwrap();
        // Only of whole kinds can it be said that something is gone.
        let kept = !is_whole(kind) || self.rng.random_ratio(2, 3);
        let names = self.shop.set((kind, name.to_owned()), kept.then(|| content(name, body)));
        self.removed += u32::from(!kept);
        let Some(stream) = &mut self.stream else { return };
        let responses = if self.rng.random_ratio(1, 4) {
            stream.publisher.look_again(self.now, &self.shop)
        } else {
            let names = names.iter().map(|(kind, name)| (*kind, name.as_str()));
            stream.publisher.changed(names, self.now, &self.shop)
        };
        stream.down.extend(responses);
    }

    /// Wants one thing more, or one less.
    fn want(&mut self) {
        let kind = *Kind::ALL.choose(&mut self.rng).unwrap();
        let name = *[&NAMES[..], &[WILDCARD]].concat().choose(&mut self.rng).unwrap();
        if name == WILDCARD && !is_whole(kind) {
            return;
        }
        let wanted = self.client.wanted.entry(kind).or_default();
        let first = wanted.is_empty();
        if !wanted.remove(name) {
            wanted.insert(name.to_owned());
        }
        let less: Vec<_> = self
            .client
            .held
            .keys()
            .filter(|(of, name)| *of == kind && !self.client.wants(kind, name))
            .cloned()
            .collect();
        for gone in less {
            self.client.held.remove(&gone);
        }
        // A kind that was never asked for on this stream is asked for by names, or it would be asked for whole.
        let begun = self.client.nonces.contains_key(&kind) || !first;
        if let Some(stream) = &mut self.stream
            && (begun || !self.client.wanted[&kind].is_empty())
        {
            stream.up.push_back(self.client.request(kind));
        }
    }

    fn deliver(&mut self) {
        let Some(stream) = &mut self.stream else { return };
        if self.rng.random_bool(0.5) {
            let Some(request) = stream.up.pop_front() else { return };
            let handled = stream.publisher.handle(request, self.now, &self.shop).unwrap();
            self.refused += u32::from(handled.refusal.is_some());
            stream.down.extend(handled.responses);
        } else {
            let Some(response) = stream.down.pop_front() else { return };
            let kind = Kind::from_type_url(&response.type_url).unwrap();
            stream.up.push_back(self.client.take(kind, &response));
        }
    }

    /// Everything in flight arrives, and nobody waits for anything.
    fn settle(&mut self) {
        self.connect();
        for _ in 0..MESSAGES_MAX {
            self.deliver();
            let stream = self.stream.as_ref().unwrap();
            if stream.up.is_empty() && stream.down.is_empty() {
                assert_eq!(stream.publisher.poll_timeout(), None, "the publisher still waits");
                return;
            }
        }
        panic!("no agreement after {MESSAGES_MAX} messages");
    }

    /// The client holds what there is of what it wants, less what it refuses.
    fn assert_agreement(&self) {
        for kind in Kind::ALL {
            for name in NAMES {
                let held = self.client.held.get(&(kind, name.to_owned())).map(String::as_str);
                let there = self.shop.get(kind, name).filter(|_| self.client.wants(kind, name));
                let body = there.map(|resource| String::from_utf8(resource.body.to_vec()).unwrap());
                let body = body.as_deref().and_then(|text| text.split_once('=')).map(|(_, body)| body);
                // Of what is refused, the last good one stays.
                if body != Some(REFUSED) {
                    assert_eq!(held, body, "{kind:?} {name}");
                }
            }
        }
    }
}

fn content(name: &str, body: &str) -> Bytes {
    format!("{name}={body}").into()
}

#[test]
fn a_client_ends_with_what_is_published() {
    let (mut refused, mut removed) = (0, 0);
    for seed in 0..HISTORIES {
        let mut world = World::new(seed);
        (0..EVENTS).for_each(|_| world.step());
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            world.settle();
            world.assert_agreement();
        }));
        assert!(ended.is_ok(), "failed in the history of seed {seed}");
        refused += world.refused;
        removed += world.removed;
    }
    // Histories in which nothing happens prove nothing.
    let least = u32::try_from(HISTORIES).unwrap();
    assert!(refused > least && removed > least, "{refused} refusals, {removed} removals");
}
