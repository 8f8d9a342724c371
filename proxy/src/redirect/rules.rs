//! What is redirected and what is not, as rules: the whole of the redirect, in the order in which the kernel reads it.
//!
//! Only the first packet of a connection walks through them; the kernel keeps what they said for the rest of it.

use std::ops::RangeInclusive;

use weft_api::names;

use super::arguments::Settings;

/// The one table that is ours, of the family `inet`: IPv4 and IPv6.
pub const TABLE: &str = "weft";
/// Before what other tables of the pod do to destinations (NF_IP_PRI_NAT_DST in linux/netfilter_ipv4.h).
pub const PRIORITY: i32 = -100;
/// The loopback interface, whose name is the same in every network namespace.
pub const LOOPBACK: &str = "lo";

/// Where packets come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// From outside, before the kernel decides where they go.
    Prerouting,
    /// From a process of this namespace.
    Output,
}

/// Rules that are read one after the other, until one decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Where.
    pub hook: Hook,
    /// In order.
    pub rules: Vec<Rule>,
}

/// What happens to which connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Which.
    pub of: Match,
    /// What.
    pub verdict: Verdict,
    /// Why, for those who list the rules.
    pub comment: &'static str,
}

/// Some connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    /// Of a process that runs as this user.
    User(u32),
    /// Out by loopback, which also leads to every other address of this namespace.
    ToLoopback,
    /// Over TCP to one of these ports.
    Ports(RangeInclusive<u16>),
    /// All over TCP.
    Tcp,
    /// Over TCP to where a socket listens.
    Heard,
}

/// What happens to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They go where they were meant to.
    Pass,
    /// They go to this port of this namespace.
    Redirect(u16),
    /// They are refused, as the kernel refuses them where nobody listens.
    Refuse,
}

/// What becomes of connections into the pod, to ports where nobody listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unheard {
    /// They are refused. So callers know at once that nothing was heard, and a TCP probe of the kubelet fails until the
    /// application listens.
    Refused,
    /// The sidecar takes them like all others, and finds out: for kernels that cannot tell.
    Redirected,
}

impl Hook {
    /// Its name, and that of our chain there.
    pub fn name(self) -> &'static str {
        match self {
            Self::Prerouting => "prerouting",
            Self::Output => "output",
        }
    }
}

/// The redirect.
pub fn chains(settings: &Settings, unheard: Unheard) -> [Chain; 2] {
    [output(settings), prerouting(settings, unheard)]
}

fn output(settings: &Settings) -> Chain {
    let sidecar = Rule {
        of: Match::User(settings.proxy_uid),
        verdict: Verdict::Pass,
        comment: "the sidecar's own connections",
    };
    let within = Rule { of: Match::ToLoopback, verdict: Verdict::Pass, comment: "within the pod" };
    let skipped = settings.skip_outbound.ranges().iter().map(skip);
    let rules = [sidecar, within].into_iter().chain(skipped).chain([everything(settings.outbound_port)]);
    Chain { hook: Hook::Output, rules: rules.collect() }
}

/// What stays within the pod comes by here as well; but for a connection the kernel asks for a destination once, and that
/// was in `output`.
fn prerouting(settings: &Settings, unheard: Unheard) -> Chain {
    let admin = Rule {
        of: Match::Ports(names::ADMIN_PORT..=names::ADMIN_PORT),
        verdict: Verdict::Pass,
        comment: "metrics and health of the sidecar",
    };
    let skipped = settings.skip_inbound.ranges().iter().map(skip);
    let rest = match unheard {
        Unheard::Refused => heard(settings.inbound_port),
        Unheard::Redirected => vec![everything(settings.inbound_port)],
    };
    Chain { hook: Hook::Prerouting, rules: [admin].into_iter().chain(skipped).chain(rest).collect() }
}

fn skip(ports: &RangeInclusive<u16>) -> Rule {
    Rule { of: Match::Ports(ports.clone()), verdict: Verdict::Pass, comment: "skipped on demand" }
}

fn everything(port: u16) -> Rule {
    Rule { of: Match::Tcp, verdict: Verdict::Redirect(port), comment: "everything else through the sidecar" }
}

/// Whoever is not heard is refused here, and not left to the kernel: between that rule and the kernel's own look an
/// application could begin to listen, and would be called past its sidecar.
fn heard(port: u16) -> Vec<Rule> {
    let comment = "everything else that is heard, through the sidecar";
    vec![
        Rule { of: Match::Heard, verdict: Verdict::Redirect(port), comment },
        Rule { of: Match::Tcp, verdict: Verdict::Refuse, comment: "nobody listens" },
    ]
}
