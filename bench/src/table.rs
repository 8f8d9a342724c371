//! What was measured, for people and for programs.

use std::fmt::{self, Display, Formatter};

use serde_json::{Value, json};

use crate::{
    measure::Cost,
    rig::{CALM_RATE, CONNECTIONS, Figures, IDLE_CONNECTIONS, Load, Measured},
    subject::Kind,
};

/// Tables in Markdown: of pairs and of hops.
pub struct Tables<'a>(pub &'a [Measured]);

impl Display for Tables<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "| pair | requests/s | CPU us/request, both: median / best | of it user | p50 / p99 at {CALM_RATE} rps, us | \
             one connection: p50 / CPU, us | idle RSS each, MB | KiB per idle connection |"
        )?;
        writeln!(out, "|---|---|---|---|---|---|---|---|")?;
        for measured in self.0.iter().filter(|measured| measured.subject.kind == Kind::Pair) {
            pair(out, measured)?;
        }
        writeln!(out, "\n| one hop, plaintext | requests/s | CPU us/request: median / best | of it user |")?;
        writeln!(out, "|---|---|---|---|")?;
        for measured in self.0.iter().filter(|measured| measured.subject.kind == Kind::Hop) {
            let busy = busy(measured);
            writeln!(out, "| {} | {busy} |", measured.subject.name)?;
        }
        Ok(())
    }
}

fn pair(out: &mut Formatter<'_>, measured: &Measured) -> fmt::Result {
    let median = |value: fn(&Figures) -> f64| spread(measured, value).map_or(f64::NAN, |cost| cost.median);
    let [idle, connection] = match &measured.memory {
        None => ["-".to_owned(), "-".to_owned()],
        Some(memory) => {
            let idle = memory.idle_kib.iter().map(|kib| format!("{:.1}", *kib as f64 * 1024.0 / 1e6));
            [idle.collect::<Vec<_>>().join(", "), format!("{:.1}", memory.kib_per_connection)]
        }
    };
    let (p50, p99) = (median(|round| round.calm.p50_us), median(|round| round.calm.p99_us));
    let (single, cpu) = (median(|round| round.single.p50_us), median(|round| round.single.cpu_us()));
    let cpu = if measured.memory.is_some() { format!("{cpu:.0}") } else { "-".to_owned() };
    writeln!(
        out,
        "| {} | {} | {p50:.0} / {p99:.0} | {single:.0} / {cpu} | {idle} | {connection} |",
        measured.subject.name,
        busy(measured)
    )
}

/// Requests in a second, and what each costs. Without a proxy, nothing costs.
fn busy(measured: &Measured) -> String {
    let median = |value: fn(&Figures) -> f64| spread(measured, value).map_or(f64::NAN, |cost| cost.median);
    let (per_second, user) = (median(|round| round.busy.per_second), median(|round| round.busy.user_us));
    match spread(measured, |round| round.busy.cpu_us()) {
        Some(Cost { median, best }) if median > 0.0 => {
            format!("{per_second:.0} | {median:.1} / {best:.1} | {user:.1}")
        }
        _ => format!("{per_second:.0} | - | -"),
    }
}

fn spread(measured: &Measured, value: fn(&Figures) -> f64) -> Option<Cost> {
    Cost::of(measured.rounds.iter().map(value).collect())
}

/// Everything, round by round.
pub fn json(all: &[Measured]) -> Value {
    let subjects = all.iter().map(|measured| {
        json!({
            "name": measured.subject.name,
            "idleKib": measured.memory.as_ref().map(|memory| &memory.idle_kib),
            "kibPerConnection": measured.memory.as_ref().map(|memory| memory.kib_per_connection),
            "rounds": measured.rounds.iter().map(|round| json!({
                "busy": load(&round.busy),
                "coreShare": round.core_share,
                "calm": load(&round.calm),
                "single": load(&round.single),
            })).collect::<Vec<_>>(),
        })
    });
    json!({
        "connections": CONNECTIONS,
        "calmRate": CALM_RATE,
        "idleConnections": IDLE_CONNECTIONS,
        "subjects": subjects.collect::<Vec<_>>(),
    })
}

/// `null` for what was not measured.
fn load(load: &Load) -> Value {
    if load.per_second == 0.0 {
        return Value::Null;
    }
    json!({
        "perSecond": load.per_second,
        "p50Us": load.p50_us,
        "p99Us": load.p99_us,
        "userUs": load.user_us,
        "systemUs": load.system_us,
    })
}

#[cfg(test)]
mod tests;
