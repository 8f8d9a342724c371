//! `traceparent` and `tracestate`, as the W3C's Trace Context has them (Level 2, which reads all of Level 1).

use std::num::NonZeroU128;

use http::{HeaderMap, HeaderName};

use super::context::{Context, Ids, Only, Reading, Said, hex, only, span_id, value};

/// Trace, span and flags.
pub const PARENT: HeaderName = HeaderName::from_static("traceparent");
/// What vendors say beside it. It is passed on as it is, and belongs to its `traceparent`.
pub const STATE: HeaderName = HeaderName::from_static("tracestate");
/// Flag: the trace is told (3.2.2.5.1).
pub const SAMPLED: u8 = 0b01;
/// Flag: the right part of its id is random (3.2.2.5.2).
pub const RANDOM: u8 = 0b10;

/// Characters of version 00: `00-<32>-<16>-<2>`.
const CHARS: usize = 55;
/// The version that is never one (3.2.2.1).
const NO_VERSION: u128 = 0xff;

/// What `traceparent` says.
pub fn read(headers: &HeaderMap) -> Reading {
    match only(headers, &PARENT) {
        Only::Absent => Reading::Absent,
        Only::Many => Reading::Unreadable,
        Only::One(text) => parse(text).map_or(Reading::Unreadable, Reading::Said),
    }
}

/// `<version>-<trace>-<span>-<flags>`; versions to come may say more behind another dash (3.2.4).
pub(super) fn parse(text: &[u8]) -> Option<Said> {
    let (known, more) = text.split_at_checked(CHARS)?;
    let version = hex(&known[..2], 2)?;
    let may_go_on = version != 0 && more.first() == Some(&b'-');
    if version == NO_VERSION || !(more.is_empty() || may_go_on) {
        return None;
    }
    if [2, 35, 52].iter().any(|dash| known[*dash] != b'-') {
        return None;
    }
    let trace = NonZeroU128::new(hex(&known[3..35], 32)?)?;
    let span = span_id(&known[36..52])?;
    let flags = hex(&known[53..], 2)? as u8;
    Some(Said {
        ids: Some(Ids { trace, span }),
        sampled: Some(flags & SAMPLED != 0),
        is_random: flags & RANDOM != 0,
        ..Said::default()
    })
}

/// Says it as version 00; flags that have no meaning yet are not passed on (3.2.2.5.3).
pub fn write(context: &Context, headers: &mut HeaderMap) {
    let Ids { trace, span } = context.ids;
    headers.insert(PARENT, value(&format!("00-{trace:032x}-{span:016x}-{:02x}", context.flags())));
    if !context.has_state {
        // What cannot be read has no state (3.2.3): what stands there belongs to another trace.
        headers.remove(STATE);
    }
}

#[cfg(test)]
mod tests;
