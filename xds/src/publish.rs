//! What both publishers have in common: what there is to publish, and what a session around either of them needs.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;

use crate::{kind::Kind, subscriber::ANSWER_TIMEOUT, version::Version};

/// Most names of one kind that one stream may subscribe to: a proxy whose application talks to all of a large mesh.
pub const NAMES_MAX: usize = 16_384;
/// Longest name, in bytes: a DNS name of 253 and room for what surrounds it.
pub const NAME_BYTES_MAX: usize = 512;
/// A response is cut after this many bytes of resources; what is left follows its acknowledgement. Receivers take
/// messages up to 4 MiB, so one resource may be almost 3 MiB.
pub const RESPONSE_BYTES_MAX: usize = 1024 * 1024;
/// The name by which a subscriber asks for whatever it should have.
pub const WILDCARD: &str = "*";
/// Most refused resources that are kept of one response.
const REFUSALS_MAX: usize = 64;
/// Longest reason that is kept of one refusal, in characters.
const REASON_CHARS_MAX: usize = 1_024;

/// Everything there is to publish, as one subscriber may see it.
pub trait Catalog {
    /// The resource that bears this name or this alias. A name belongs to one resource at a time.
    fn get(&self, kind: Kind, name: &str) -> Option<Arc<Resource>>;

    /// The names of what a subscriber gets that asks for everything of a kind. Only of listeners and clusters does
    /// anybody (xDS protocol, "How the client specifies what resources to return").
    fn wildcard(&self, kind: Kind) -> Vec<String>;

    /// When anything last changed, made to ascend. No resource is of a later generation.
    fn generation(&self) -> u64;
}

/// A resource as it is published. It is encoded once, and all subscribers share the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Its own name.
    pub name: String,
    /// Other names under which it may be subscribed to.
    pub aliases: Vec<String>,
    /// Version of `body`.
    pub version: Version,
    /// The encoded message of the kind.
    pub body: Bytes,
}

/// A control plane's half of one stream, in one of the two variants of the protocol.
pub trait Publish: Default {
    /// What the subscriber sends.
    type Request;
    /// What it is sent.
    type Response;

    /// Takes a request in: a change of subscriptions, an acknowledgement, or both.
    ///
    /// `catalog` must already hold what the request itself asks to be made, such as a certificate for the CSR in it.
    fn handle(
        &mut self,
        request: Self::Request,
        now: Instant,
        catalog: &impl Catalog,
    ) -> Result<Handled<Self::Response>, ProtocolError>;

    /// Resources changed, came or went. `names` are all the names under which they are or were known, aliases
    /// included; those that are not subscribed to are passed over. Returns what to send, in the order of application.
    fn changed<'a>(
        &mut self,
        names: impl IntoIterator<Item = (Kind, &'a str)>,
        now: Instant,
        catalog: &impl Catalog,
    ) -> Vec<Self::Response>;

    /// Whether news of this name would be for this subscriber.
    fn heeds(&self, kind: Kind, name: &str) -> bool;

    /// Looks at every subscription anew, for when it is not known what changed.
    fn look_again(&mut self, now: Instant, catalog: &impl Catalog) -> Vec<Self::Response>;

    /// How far a kind has come with this subscriber.
    fn sync(&self, kind: Kind) -> &SyncState;

    /// The names of a kind that are subscribed to.
    fn subscribed(&self, kind: Kind) -> impl Iterator<Item = &str>;

    /// The certificate signing request (PEM) that a request carries and asks to be answered. It needs a variant in
    /// which a repeated subscription is one, so only the incremental one has it.
    fn csr(request: &Self::Request) -> Option<&str>;

    /// Of which kind a response is.
    fn kind_of(response: &Self::Response) -> Option<Kind>;

    /// When to ask `timed_out`; `None` if no acknowledgement is awaited.
    fn poll_timeout(&self) -> Option<Instant> {
        let awaiting = Kind::ALL.iter().filter_map(|kind| self.sync(*kind).awaiting).min();
        awaiting.map(|since| since + ANSWER_TIMEOUT)
    }

    /// Whether an acknowledgement is overdue: end the stream.
    fn timed_out(&self, now: Instant) -> bool {
        self.poll_timeout().is_some_and(|timeout| timeout <= now)
    }
}

/// What one request led to.
#[derive(Debug, Default, PartialEq)]
pub struct Handled<R> {
    /// What to send, in the order of application.
    pub responses: Vec<R>,
    /// What the subscriber refused, if this was a refusal.
    pub refusal: Option<Refusal>,
}

/// A negative acknowledgement. The subscriber goes on with the last good resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The kind of what was refused.
    pub kind: Kind,
    /// The refused resources with the reasons, where the subscriber named them as docs/xds.md says.
    pub resources: Vec<(String, String)>,
    /// What the subscriber said, in full unless it is very long.
    pub message: String,
}

/// How far one kind has come with this subscriber.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncState {
    /// The catalog's generation that was sent last.
    pub sent: Option<u64>,
    /// The catalog's generation that was acknowledged last, be it with a refusal.
    pub acked: Option<u64>,
    /// Since when an acknowledgement is awaited.
    pub awaiting: Option<Instant>,
    /// The last refusal on this stream, until a later response is taken whole.
    pub refusal: Option<Refusal>,
}

/// What a subscriber must not send. End the stream with `INVALID_ARGUMENT`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// A type that is not served.
    #[error("type `{0:.200}` is not served")]
    UnknownType(String),
    /// More subscriptions than a stream may hold.
    #[error("more than {NAMES_MAX} names of {0:?} on one stream: unsubscribe from what is not needed")]
    TooManyNames(Kind),
    /// A name that is longer than any resource's.
    #[error("name `{0:.100}…` is longer than {NAME_BYTES_MAX} bytes")]
    NameTooLong(String),
}

impl Refusal {
    /// Reads a refusal: lines of `<name>: <reason>`, where the name is that of a resource which was sent.
    pub(crate) fn read(kind: Kind, message: &str, was_sent: impl Fn(&str) -> bool) -> Self {
        let shorten = |text: &str| text.chars().take(REASON_CHARS_MAX).collect::<String>();
        let resources = message
            .lines()
            .filter_map(|line| line.split_once(": "))
            .filter(|(name, _)| was_sent(name))
            .take(REFUSALS_MAX)
            .map(|(name, reason)| (name.to_owned(), shorten(reason)))
            .collect();
        Self { kind, resources, message: shorten(message) }
    }
}

impl SyncState {
    /// A response of the catalog's `generation` goes out.
    pub(crate) fn send(&mut self, generation: u64, now: Instant) {
        self.sent = Some(generation);
        self.awaiting = Some(now);
    }

    /// It was acknowledged, or refused.
    pub(crate) fn acknowledge(&mut self, refusal: Option<Refusal>) {
        self.awaiting = None;
        self.acked = self.sent;
        self.refusal = refusal;
    }
}
