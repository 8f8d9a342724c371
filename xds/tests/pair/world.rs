//! A proxy, a control plane and the network between them, driven by a random generator.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::AddAssign,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rand::{Rng, SeedableRng, rngs::SmallRng, seq::IndexedRandom};
use weft_xds::{
    Catalog, Kind, Publish as _, Publisher, Subscriber, Version,
    core::Node,
    discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse},
    metadata,
    subscriber::IDENTITY,
};

use crate::shop::{Name, Shop, certificate};

/// Names of resources, few enough that histories collide.
const NAMES: [&str; 4] = ["n0", "n1", "n2", "n3"];
/// Aliases of listeners.
const ALIASES: [&str; 3] = ["a0", "a1", "a2"];
/// Contents; they come back, and the last one is refused.
const BODIES: [&[u8]; 4] = [b"A", b"B", b"C", REFUSED];
const REFUSED: &[u8] = b"refused";
/// Latest reading of a restarted control plane's clock; the first one starts in the middle.
const CLOCK_MAX: u64 = 2_000;
/// Messages in which two halves that agree at all have long agreed.
const MESSAGES_MAX: u32 = 1_000;

/// What streams do to messages while faults last.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Network {
    /// They arrive in order, until the stream breaks.
    Ordered,
    /// They are also lost, repeated and reordered.
    Hostile,
}

/// How often what matters happened.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) changed: u32,
    pub(crate) removed: u32,
    pub(crate) refused: u32,
    pub(crate) certificates: u32,
    pub(crate) clocks_set_back: u32,
}

impl AddAssign for Seen {
    fn add_assign(&mut self, other: Self) {
        self.changed += other.changed;
        self.removed += other.removed;
        self.refused += other.refused;
        self.certificates += other.certificates;
        self.clocks_set_back += other.clocks_set_back;
    }
}

pub(crate) struct World {
    pub(crate) seen: Seen,
    rng: SmallRng,
    network: Network,
    faults: bool,
    now: Instant,
    shop: Shop,
    subscriber: Subscriber,
    stream: Option<Stream>,
    /// What the subscriber was told to subscribe to.
    wanted: BTreeSet<Name>,
    /// The CSR of the key in use.
    csr: Option<String>,
    /// What the subscriber reported and nothing took back.
    held: BTreeMap<Name, Bytes>,
    /// The highest generation that was held under a name since it was subscribed to.
    highest: BTreeMap<Name, u64>,
}

struct Stream {
    publisher: Publisher,
    up: VecDeque<DeltaDiscoveryRequest>,
    down: VecDeque<DeltaDiscoveryResponse>,
}

impl World {
    pub(crate) fn new(seed: u64, network: Network) -> Self {
        let mut shop = Shop::new();
        for kind in Kind::ALL {
            for (name, body) in NAMES.into_iter().zip(BODIES) {
                shop.set((kind, name.to_owned()), Some(Bytes::from_static(body)));
            }
        }
        Self {
            seen: Seen::default(),
            rng: SmallRng::seed_from_u64(seed),
            network,
            faults: true,
            now: Instant::now(),
            shop,
            subscriber: Subscriber::new(Node::default()),
            stream: None,
            wanted: BTreeSet::new(),
            csr: None,
            held: BTreeMap::new(),
            highest: BTreeMap::new(),
        }
    }

    /// One random event.
    pub(crate) fn step(&mut self) {
        match self.rng.random_range(0..100) {
            0..55 => self.deliver(),
            55..70 => self.change_shop(),
            70..78 => self.subscribe(),
            78..82 => self.unsubscribe(),
            82..85 => self.request_identity(),
            85..88 => self.pass_time(),
            88..90 => self.disconnect(),
            90..92 => self.restart_control_plane(),
            92 => self.restart_proxy(),
            _ => self.connect(),
        }
    }

    /// Faults end. Everything in flight arrives, and whoever waits in vain makes a new stream.
    pub(crate) fn settle(&mut self) {
        self.faults = false;
        self.connect();
        self.deliver_all();
        if self.network == Network::Hostile {
            self.disconnect();
            self.connect();
            self.deliver_all();
        }
        let stream = self.stream.as_ref().unwrap();
        assert_eq!(self.subscriber.poll_timeout(), None, "the subscriber still waits");
        assert_eq!(stream.publisher.poll_timeout(), None, "the publisher still waits");
    }

    /// The subscriber holds exactly what is published under the names it subscribes to, less what it refuses.
    pub(crate) fn assert_agreement(&self) {
        for name in &self.wanted {
            let held = self.held.get(name);
            let version = self.subscriber.held(name.0, &name.1);
            match self.shop.get(name.0, &name.1) {
                Some(resource) if resource.body == REFUSED => assert_ne!(held, Some(&resource.body)),
                Some(resource) => {
                    assert_eq!(held, Some(&resource.body), "{name:?}");
                    assert!(version.unwrap().same_content(&resource.version), "{name:?}");
                }
                None => {
                    assert_eq!(held, None, "{name:?}");
                    assert!(version.unwrap().is_absent(), "{name:?}");
                }
            }
        }
        if let Some(csr) = &self.csr {
            assert_eq!(self.held[&identity()], certificate(csr), "certificate of another key");
        }
    }

    fn connect(&mut self) {
        if self.stream.is_none() {
            let up = self.subscriber.connected(self.now).into();
            self.stream = Some(Stream { publisher: Publisher::new(), up, down: VecDeque::new() });
        }
    }

    fn disconnect(&mut self) {
        self.stream = None;
        self.subscriber.disconnected();
    }

    fn restart_control_plane(&mut self) {
        self.disconnect();
        let clock = self.rng.random_range(0..CLOCK_MAX);
        self.seen.clocks_set_back += u32::from(clock < self.shop.generation());
        self.shop.restart(clock);
    }

    /// The process is new, and so is its key; what it wants stays.
    fn restart_proxy(&mut self) {
        self.disconnect();
        self.subscriber = Subscriber::new(Node::default());
        self.held.clear();
        self.highest.clear();
        for (kind, name) in &self.wanted {
            self.subscriber.subscribe(*kind, name, self.now);
        }
        if self.csr.is_some() {
            self.request_identity();
        }
    }

    fn pass_time(&mut self) {
        self.now += Duration::from_secs(self.rng.random_range(1..10));
        let late = self.stream.as_ref().is_some_and(|stream| stream.publisher.timed_out(self.now));
        if late || self.subscriber.timed_out(self.now) {
            self.disconnect();
        }
    }

    fn change_shop(&mut self) {
        let names = if self.rng.random_ratio(1, 8) {
            let alias = ALIASES.choose(&mut self.rng).unwrap();
            self.shop.move_alias(alias, NAMES.choose(&mut self.rng).unwrap())
        } else {
            let name = (any_kind(&mut self.rng), (*NAMES.choose(&mut self.rng).unwrap()).to_owned());
            let kept = self.rng.random_ratio(5, 6);
            let body = kept.then(|| Bytes::from_static(BODIES.choose(&mut self.rng).unwrap()));
            self.shop.set(name, body)
        };
        let Some(stream) = &mut self.stream else { return };
        let responses = if self.rng.random_ratio(1, 4) {
            stream.publisher.look_again(self.now, &self.shop)
        } else {
            let names = names.iter().map(|(kind, name)| (*kind, name.as_str()));
            stream.publisher.changed(names, self.now, &self.shop)
        };
        stream.down.extend(responses);
    }

    fn subscribe(&mut self) {
        let kind = any_kind(&mut self.rng);
        let names = if kind == Kind::Listener { &[&NAMES[..], &ALIASES[..]].concat()[..] } else { &NAMES };
        let name = *names.choose(&mut self.rng).unwrap();
        self.wanted.insert((kind, name.to_owned()));
        let request = self.subscriber.subscribe(kind, name, self.now);
        self.send(request);
    }

    fn unsubscribe(&mut self) {
        let wanted: Vec<Name> = self.wanted.iter().cloned().collect();
        let Some(name) = wanted.choose(&mut self.rng) else { return };
        self.wanted.remove(name);
        self.held.remove(name);
        self.highest.remove(name);
        let request = self.subscriber.unsubscribe(name.0, &name.1);
        self.send(request);
    }

    fn request_identity(&mut self) {
        let csr = self.rng.random::<u32>().to_string();
        let request = self.subscriber.request_identity(&csr, self.now);
        self.csr = Some(csr);
        self.send(request);
    }

    fn send(&mut self, request: Option<DeltaDiscoveryRequest>) {
        assert!(request.is_none() || self.stream.is_some(), "sent without a stream");
        if let Some(stream) = &mut self.stream {
            stream.up.extend(request);
        }
    }

    fn deliver_all(&mut self) {
        for _ in 0..MESSAGES_MAX {
            match &self.stream {
                Some(stream) if stream.up.is_empty() && stream.down.is_empty() => {
                    let publisher = stream.publisher.poll_timeout();
                    let Some(timeout) = self.subscriber.poll_timeout().into_iter().chain(publisher).min()
                    else {
                        return;
                    };
                    assert!(self.network == Network::Hostile, "nothing is lost, and yet someone waits");
                    self.now = self.now.max(timeout);
                    self.disconnect();
                    self.connect();
                }
                Some(_) => self.deliver(),
                None => self.connect(),
            }
        }
        panic!("no agreement after {MESSAGES_MAX} messages");
    }

    /// One message arrives, at one side or the other.
    fn deliver(&mut self) {
        let fate = if self.faults { self.network } else { Network::Ordered };
        let Some(stream) = &mut self.stream else { return };
        if self.rng.random_bool(0.5) {
            if let Some(request) = take(&mut stream.up, fate, &mut self.rng) {
                self.deliver_up(request);
            }
        } else if let Some(response) = take(&mut stream.down, fate, &mut self.rng) {
            self.deliver_down(response);
        }
    }

    fn deliver_up(&mut self, request: DeltaDiscoveryRequest) {
        let Some(stream) = &mut self.stream else { return };
        if request.type_url == Kind::Secret.type_url()
            && let Some(csr) = request.node.as_ref().and_then(metadata::csr)
        {
            self.shop.issue(csr);
        }
        let handled = stream.publisher.handle(request, self.now, &self.shop).unwrap();
        self.seen.refused += u32::from(handled.refusal.is_some());
        stream.down.extend(handled.responses);
    }

    fn deliver_down(&mut self, response: DeltaDiscoveryResponse) {
        let wanted = self.csr.as_deref().map(certificate);
        let accept = |kind: Kind, name: &str, body: &Bytes| {
            if kind == Kind::Secret && name == IDENTITY && wanted.as_ref() != Some(body) {
                Err("made for another key".to_owned())
            } else if body == REFUSED {
                Err("refused".to_owned())
            } else {
                Ok(body.clone())
            }
        };
        let incoming = self.subscriber.handle(response, accept).unwrap();
        for changed in incoming.changed {
            let name = (incoming.kind, changed.name);
            self.seen.changed += 1;
            self.seen.certificates += u32::from(name == identity());
            self.held.insert(name, changed.resource);
        }
        for name in incoming.removed.into_iter().map(|name| (incoming.kind, name)) {
            self.seen.removed += 1;
            // A certificate stays until it expires.
            if name != identity() {
                self.held.remove(&name);
            }
        }
        self.send(Some(incoming.reply));
        self.assert_nothing_went_back();
    }

    /// Versions under a name ascend for as long as it is subscribed to, over removals, streams and restarts.
    fn assert_nothing_went_back(&mut self) {
        for name in self.wanted.iter().cloned().chain([identity()]) {
            let held = self.subscriber.held(name.0, &name.1).and_then(Version::generation);
            let Some(generation) = held else { continue };
            let highest = self.highest.entry(name.clone()).or_default();
            assert!(generation >= *highest, "{name:?} went back from {highest} to {generation}");
            *highest = generation;
        }
    }
}

/// The next message to arrive, if any does.
fn take<T: Clone>(queue: &mut VecDeque<T>, network: Network, rng: &mut SmallRng) -> Option<T> {
    if network == Network::Ordered || queue.is_empty() {
        return queue.pop_front();
    }
    let place = rng.random_range(0..queue.len());
    match rng.random_range(0..10) {
        0 => {
            queue.remove(place);
            None
        }
        1 => queue.get(place).cloned(),
        _ => queue.remove(place),
    }
}

fn any_kind(rng: &mut SmallRng) -> Kind {
    *Kind::ALL.choose(rng).unwrap()
}

fn identity() -> Name {
    (Kind::Secret, IDENTITY.to_owned())
}
