//! B3, the headers of Zipkin: `b3` alone, or `x-b3-traceid` and its like.

use std::num::{NonZeroU64, NonZeroU128};

use http::{HeaderMap, HeaderName, HeaderValue};

use super::context::{Context, Ids, Only, Reading, Said, hex, only, span_id, value};

/// All in one.
pub const SINGLE: HeaderName = HeaderName::from_static("b3");
/// Trace.
pub const TRACE: HeaderName = HeaderName::from_static("x-b3-traceid");
/// Span that calls.
pub const SPAN: HeaderName = HeaderName::from_static("x-b3-spanid");
/// Span that called it.
pub const PARENT: HeaderName = HeaderName::from_static("x-b3-parentspanid");
/// Whether the trace is told.
pub const SAMPLED: HeaderName = HeaderName::from_static("x-b3-sampled");
/// `1`: it must be told.
pub const FLAGS: HeaderName = HeaderName::from_static("x-b3-flags");

/// What `b3` says.
pub fn read(headers: &HeaderMap) -> Reading {
    match only(headers, &SINGLE) {
        Only::Absent => Reading::Absent,
        Only::Many => Reading::Unreadable,
        Only::One(text) => parse(text).map_or(Reading::Unreadable, Reading::Said),
    }
}

/// `<trace>-<span>`, `-<state>` behind it or not, and `-<parent>` behind that or not; or `<state>` alone.
pub(super) fn parse(text: &[u8]) -> Option<Said> {
    if let Some(said) = state(text) {
        return Some(said);
    }
    let mut parts = text.split(|byte| *byte == b'-');
    let (trace, is_short) = trace_id(parts.next()?)?;
    let span = span_id(parts.next()?)?;
    let decided = parts.next().map(|text| state(text).ok_or(())).transpose().ok()?.unwrap_or_default();
    let is_parent = |text| span_id(text).is_some();
    if !parts.next().is_none_or(is_parent) || parts.next().is_some() {
        return None;
    }
    Some(Said { ids: Some(Ids { trace, span }), is_short, ..decided })
}

/// What the headers `x-b3-…` say.
pub fn read_multi(headers: &HeaderMap) -> Reading {
    let fields = [&TRACE, &SPAN, &SAMPLED, &FLAGS].map(|name| only(headers, name));
    if fields.iter().all(|field| matches!(field, Only::Absent)) {
        return Reading::Absent;
    }
    gather(fields).map_or(Reading::Unreadable, Reading::Said)
}

/// Trace, span, decision and flags together. Ids count only both; a decision counts without them.
pub(super) fn gather([trace, span, sampled, flags]: [Only<'_>; 4]) -> Option<Said> {
    let decided = match (sampled, flags) {
        (_, Only::One(b"1")) => Said { sampled: Some(true), is_debug: true, ..Said::default() },
        (Only::One(b"1" | b"true" | b"True"), _) => Said { sampled: Some(true), ..Said::default() },
        (Only::One(b"0" | b"false" | b"False"), _) => Said { sampled: Some(false), ..Said::default() },
        (Only::Absent, _) => Said::default(),
        (Only::One(_) | Only::Many, _) => return None,
    };
    let ids = match (trace, span) {
        (Only::One(trace), Only::One(span)) => trace_id(trace).zip(span_id(span)),
        _ => None,
    };
    match ids {
        Some(((trace, is_short), span)) => Some(Said { ids: Some(Ids { trace, span }), is_short, ..decided }),
        None => decided.sampled.map(|_| decided),
    }
}

/// A state of `b3`: told, not told, told whatever samplers say.
fn state(text: &[u8]) -> Option<Said> {
    let said = |sampled, is_debug| Said { sampled: Some(sampled), is_debug, ..Said::default() };
    match text {
        b"0" => Some(said(false, false)),
        b"1" => Some(said(true, false)),
        b"d" => Some(said(true, true)),
        _ => None,
    }
}

/// The id of a trace, of 128 bits or, as it was once, of 64: which it is.
fn trace_id(text: &[u8]) -> Option<(NonZeroU128, bool)> {
    let trace = hex(text, 32).or_else(|| hex(text, 16))?;
    Some((NonZeroU128::new(trace)?, text.len() == 16))
}

/// Says it in `b3`.
pub fn write(context: &Context, headers: &mut HeaderMap) {
    let state = if context.is_debug { 'd' } else { '1' };
    let parent = context.parent.map(|parent| format!("-{parent:016x}")).unwrap_or_default();
    let said = format!("{}-{:016x}-{state}{parent}", trace_digits(context), context.ids.span);
    headers.insert(SINGLE, value(&said));
}

/// Says it in `x-b3-…`.
pub fn write_multi(context: &Context, headers: &mut HeaderMap) {
    let span = |id: NonZeroU64| value(&format!("{id:016x}"));
    headers.insert(TRACE, value(&trace_digits(context)));
    headers.insert(SPAN, span(context.ids.span));
    match context.parent {
        Some(parent) => headers.insert(PARENT, span(parent)),
        None => headers.remove(PARENT),
    };
    // Who says debug does not say sampled as well.
    let (said, unsaid) = if context.is_debug { (FLAGS, SAMPLED) } else { (SAMPLED, FLAGS) };
    headers.insert(said, HeaderValue::from_static("1"));
    headers.remove(unsaid);
}

fn trace_digits(context: &Context) -> String {
    let trace = context.ids.trace;
    if context.is_short { format!("{trace:016x}") } else { format!("{trace:032x}") }
}

#[cfg(test)]
mod tests;
