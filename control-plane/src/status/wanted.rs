//! What the status of an object should say: pure.

use std::time::SystemTime;

use jiff::Timestamp;
use weft_api::status::{Condition, MESSAGE_BYTES_MAX};

use super::{Entry, Fate, Report, fate::Statement};

/// Our entries that the object's status should have; `None` if it has them.
pub fn wanted(report: &Report, now: SystemTime) -> Option<Vec<Entry>> {
    let room = report.form.entries_max().saturating_sub(report.held.others.len());
    let mut entries: Vec<Entry> = Vec::new();
    for fate in &report.fates {
        // One target may be named twice. What is wrong about either is said.
        if entries.len() < room && entries.iter().all(|entry| entry.about != fate.target) {
            let same = report.fates.iter().filter(|other| other.target == fate.target);
            let worst = same.max_by_key(|other| !other.accepted.holds).unwrap_or(fate);
            let held = report.held.own.iter().find(|held| held.about == fate.target);
            let held = held.map_or(&[][..], |held| &held.conditions);
            let conditions = conditions(worst, report.generation, held, now);
            entries.push(Entry { about: fate.target.clone(), conditions });
        }
    }
    (!is_same(&entries, &report.held.own)).then_some(entries)
}

/// Whether two statuses say the same, whenever they began to.
pub(super) fn is_same(one: &[Entry], other: &[Entry]) -> bool {
    let timeless = |entries: &[Entry]| {
        let mut entries = entries.to_vec();
        for condition in entries.iter_mut().flat_map(|entry| &mut entry.conditions) {
            condition.last_transition_time.clear();
        }
        entries
    };
    timeless(one) == timeless(other)
}

fn conditions(fate: &Fate, generation: i64, held: &[Condition], now: SystemTime) -> Vec<Condition> {
    let condition = |kind: &str, Statement { holds, reason, message }: &Statement| {
        let status = if *holds { "True" } else { "False" };
        let before = held.iter().find(|held| held.kind == kind && held.status == status);
        Condition {
            kind: kind.to_owned(),
            status: status.to_owned(),
            observed_generation: generation,
            last_transition_time: before
                .map_or_else(|| second(now), |held| held.last_transition_time.clone()),
            reason: (*reason).to_owned(),
            message: cut(message),
        }
    };
    let resolved = fate.resolved.as_ref().map(|resolved| condition("ResolvedRefs", resolved));
    [condition("Accepted", &fate.accepted)].into_iter().chain(resolved).collect()
}

fn cut(message: &str) -> String {
    message[..message.floor_char_boundary(MESSAGE_BYTES_MAX)].to_owned()
}

/// `Time` of meta/v1.
fn second(time: SystemTime) -> String {
    let time = Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{time:.0}")
}

#[cfg(test)]
mod tests;
