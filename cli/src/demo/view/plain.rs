//! The story as lines of text, without any control codes: one per event and one per second.

use crate::demo::{
    picture::Picture,
    progress::Event,
    story::PHASES,
    verdict::{Check, percent, time, times},
};

/// The lines that tell of an event.
pub(crate) fn event(event: &Event) -> Vec<String> {
    match event {
        Event::Started(process) => {
            let line = format!("started  {:<22} pid {:<8} {}", process.name, process.pid, process.places());
            vec![line.trim_end().to_owned()]
        }
        Event::Said(words) => vec![format!("mesh     {words}")],
        Event::Begins(phase) => {
            let Some(known) = PHASES.get(*phase) else { return Vec::new() };
            vec![
                String::new(),
                format!("phase {}  {}", phase + 1, known.title),
                format!("         {}", known.words),
            ]
        }
        Event::Doing(words) => vec![format!("         {words}")],
        Event::Judged(_, checks) => checks.iter().map(check).collect(),
    }
}

/// The line of one second; none while nobody sends requests.
pub(crate) fn second(picture: &Picture) -> Option<String> {
    let (errors, canned) = (picture.errors?, picture.canned?);
    let told = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    Some(format!(
        "{:>6.0} s {:>5.0}/s  errors {:>7}  canned {:>7}  load {:>6}  p50 {:>8}  p99 {:>8}  breaker {}",
        picture.elapsed.as_secs_f64(),
        picture.rate,
        percent(errors),
        percent(canned),
        told(picture.load.map(times)),
        told(picture.p50.map(time)),
        told(picture.p99.map(time)),
        picture.breaker.words(),
    ))
}

fn check(check: &Check) -> String {
    let verdict = if check.holds { "holds" } else { "FAILS" };
    let tolerance = if check.tolerance.is_empty() { String::new() } else { format!(" {}", check.tolerance) };
    format!("{verdict}    {}: {} (expected {}{tolerance})", check.what, check.measured, check.expected)
}

#[cfg(test)]
mod tests;
