//! What was measured, for people and for programs.

use std::fmt::{self, Display, Formatter};

use serde_json::{Value, json};

use crate::{
    generator::Protocol,
    measure::Cost,
    rig::{BUSY_REQUESTS, CALM_RATE, Figures, IDLE_CONNECTIONS, Load, Measured},
    subject::Kind,
};

/// Tables in Markdown: of pairs, of hops and of handshakes.
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
        hops(out, self.0, "HTTP/1.1", Protocol::Http1)?;
        hops(out, self.0, "HTTP/2 to HTTP/1.1", Protocol::Http2)?;
        handshakes(out, self.0)
    }
}

/// What a handshake costs the proxy of the service. Whoever has no proxy is left out.
fn handshakes(out: &mut Formatter<'_>, all: &[Measured]) -> fmt::Result {
    writeln!(
        out,
        "\n| handshakes, mutual TLS 1.3 | per second and core | CPU us/handshake: median / best | of it user | \
         key exchange |\n|---|---|---|---|---|"
    )?;
    for measured in all {
        let Some(key_exchange) = &measured.key_exchange else { continue };
        let user = spread(measured, |round| round.handshakes.user_us).map_or(f64::NAN, |cost| cost.median);
        if let Some(Cost { median, best }) = spread(measured, |round| round.handshakes.cpu_us()) {
            let (name, per_second) = (measured.subject.name, 1e6 / median);
            writeln!(
                out,
                "| {name} | {per_second:.0} | {median:.0} / {best:.0} | {user:.0} | {key_exchange} |"
            )?;
        }
    }
    Ok(())
}

fn hops(out: &mut Formatter<'_>, all: &[Measured], what: &str, protocol: Protocol) -> fmt::Result {
    writeln!(
        out,
        "\n| one hop, plaintext, {what} | requests/s | CPU us/request: median / best | of it user |\n|---|---|---|---|"
    )?;
    for measured in all.iter().filter(|measured| measured.subject.kind == Kind::Hop(protocol)) {
        writeln!(out, "| {} | {} |", measured.subject.name, busy(measured))?;
    }
    Ok(())
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
            "keyExchange": measured.key_exchange,
            "rounds": measured.rounds.iter().map(|round| json!({
                "busy": load(&round.busy),
                "coreShare": round.core_share,
                "calm": load(&round.calm),
                "single": load(&round.single),
                "handshakes": load(&round.handshakes),
            })).collect::<Vec<_>>(),
        })
    });
    json!({
        "busyRequests": BUSY_REQUESTS,
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
