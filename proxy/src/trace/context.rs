//! What is said of a trace from hop to hop: read, decided upon, and said anew for the span of this hop.

use std::num::{NonZeroU64, NonZeroU128};

use http::{HeaderMap, HeaderName, HeaderValue};
use rand::Rng;

use super::{Sampler, b3, w3c};

/// A trace, and the span in it that calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    /// The trace.
    pub trace: NonZeroU128,
    /// The span.
    pub span: NonZeroU64,
}

/// Which headers speak of the trace, well or not. They are all kept in agreement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Formats {
    /// `traceparent`.
    pub w3c: bool,
    /// `b3`.
    pub b3: bool,
    /// `x-b3-…`.
    pub b3_multi: bool,
}

/// What one format says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Who calls; `None` = the trace is still to be made.
    pub ids: Option<Ids>,
    /// Whether it is told; `None` = the receiver decides.
    pub sampled: Option<bool>,
    /// Whether the id of the trace was drawn at random (Trace Context Level 2).
    pub is_random: bool,
    /// Whether it must be told, whatever samplers say (B3).
    pub is_debug: bool,
    /// Whether the id of the trace has 64 bits only (B3).
    pub is_short: bool,
}

/// The span of this hop: what those behind it are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// Trace and span.
    pub ids: Ids,
    /// The span that called; `None` = the trace begins here.
    pub parent: Option<NonZeroU64>,
    /// Whether the id of the trace was drawn at random.
    pub is_random: bool,
    /// Whether it must be told.
    pub is_debug: bool,
    /// Whether the id of the trace has 64 bits only.
    pub is_short: bool,
    /// Whether `tracestate` belongs to this trace.
    pub has_state: bool,
    /// In which words it is said.
    pub formats: Formats,
}

impl Context {
    /// The span that a request with these `headers` has here, if it has one. Who calls has decided that, or leaves it to
    /// the `sampler`. Without any word it `may_begin` here, or not.
    pub fn of(headers: &HeaderMap, sampler: Sampler, may_begin: bool, random: &mut impl Rng) -> Option<Self> {
        let (w3c, b3, b3_multi) = (w3c::read(headers), b3::read(headers), b3::read_multi(headers));
        let said = [w3c, b3, b3_multi].into_iter().find_map(Reading::said).unwrap_or_default();
        let formats = Formats { w3c: w3c.is_there(), b3: b3.is_there(), b3_multi: b3_multi.is_there() };
        if said.sampled == Some(false) {
            return None;
        }
        let trace = match said.ids {
            Some(ids) => ids.trace,
            None if said.sampled.is_none() && !may_begin => return None,
            None => draw_trace(random),
        };
        if said.sampled.is_none() && !sampler.takes(trace.get()) {
            return None;
        }
        let is_any = formats.w3c || formats.b3 || formats.b3_multi;
        Some(Self {
            ids: Ids { trace, span: draw_span(random) },
            parent: said.ids.map(|ids| ids.span),
            is_random: said.is_random || said.ids.is_none(),
            is_debug: said.is_debug,
            is_short: said.is_short,
            has_state: w3c.said().is_some(),
            formats: if is_any { formats } else { Formats { w3c: true, ..formats } },
        })
    }

    /// Says it in `headers`, in place of what the caller said.
    pub fn write(&self, headers: &mut HeaderMap) {
        if self.formats.w3c {
            w3c::write(self, headers);
        } else {
            // What stands there belongs to no trace.
            headers.remove(w3c::STATE);
        }
        if self.formats.b3 {
            b3::write(self, headers);
        }
        if self.formats.b3_multi {
            b3::write_multi(self, headers);
        }
    }

    /// The flags of the W3C: sampled, as every trace that has spans, and whether its id is random.
    pub fn flags(&self) -> u8 {
        w3c::SAMPLED | if self.is_random { w3c::RANDOM } else { 0 }
    }
}

/// What there is of one format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Nothing.
    Absent,
    /// Headers that say nothing which could be believed.
    Unreadable,
    /// This.
    Said(Said),
}

impl Reading {
    fn said(self) -> Option<Said> {
        match self {
            Self::Said(said) => Some(said),
            Self::Absent | Self::Unreadable => None,
        }
    }

    fn is_there(self) -> bool {
        self != Self::Absent
    }
}

fn draw_trace(random: &mut impl Rng) -> NonZeroU128 {
    NonZeroU128::new(random.random()).unwrap_or(NonZeroU128::MIN)
}

fn draw_span(random: &mut impl Rng) -> NonZeroU64 {
    NonZeroU64::new(random.random()).unwrap_or(NonZeroU64::MIN)
}

/// The one value of a header.
pub enum Only<'a> {
    /// It is not there.
    Absent,
    /// It has this one.
    One(&'a [u8]),
    /// It has several, so nobody knows which counts.
    Many,
}

/// The one value of `name`.
pub fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Only<'a> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Only::Absent,
        (Some(value), None) => Only::One(value.as_bytes()),
        (Some(_), Some(_)) => Only::Many,
    }
}

/// A number of exactly `digits` hexadecimal digits, at most 32. Both formats know lower case alone.
pub fn hex(text: &[u8], digits: usize) -> Option<u128> {
    if text.len() != digits || digits > 32 {
        return None;
    }
    text.iter().try_fold(0, |number: u128, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(digit))
    })
}

/// The id of a span: 16 digits, not all zero.
pub fn span_id(text: &[u8]) -> Option<NonZeroU64> {
    NonZeroU64::new(hex(text, 16)? as u64)
}

/// A value made of digits, letters and dashes.
pub fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("digits, letters and dashes are a valid header value")
}

#[cfg(test)]
mod tests;
