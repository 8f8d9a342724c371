//! One look as a table: a row for each breaker.

use super::{
    breaker::{Breaker, State},
    look::{Look, Unanswered},
};

const GREEN: &str = "\u{1b}[32m";
const YELLOW: &str = "\u{1b}[33m";
const RED: &str = "\u{1b}[1;31m";
const RESET: &str = "\u{1b}[0m";

/// A column: what stands above it, and in it.
struct Column {
    title: &'static str,
    side: Side,
    /// Whether it is for wide tables alone.
    wide: bool,
    cell: fn(&Breaker) -> String,
}

/// Where the words of a column are aligned.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
    /// On the left, in the colour of the state.
    Coloured,
}

const COLUMNS: [Column; 13] = [
    column("WORKLOAD", Side::Left, |breaker| breaker.key.workload.clone()),
    column("SCOPE", Side::Left, |breaker| breaker.key.scope.word().to_owned()),
    column("DESTINATION", Side::Left, |breaker| breaker.key.destination.clone()),
    column("ENDPOINT", Side::Left, |breaker| or_dash(breaker.key.endpoint.clone())),
    column("STATE", Side::Coloured, |breaker| breaker.state.word().to_owned()),
    column("TRIPS", Side::Right, |breaker| breaker.tripped().to_string()),
    wide("REASONS", Side::Left, |breaker| or_dash(reasons(breaker.trips.iter()))),
    column("REJECTED", Side::Right, |breaker| breaker.rejected.to_string()),
    column("PROBES OK/FAILED", Side::Right, |breaker| {
        format!("{}/{}", breaker.probes.succeeded, breaker.probes.failed)
    }),
    wide("OUTCOMES OK/ERR", Side::Right, |breaker| {
        format!("{}/{}", breaker.outcomes.ok, breaker.outcomes.err)
    }),
    wide("SUPPRESSED", Side::Right, |breaker| breaker.suppressed.to_string()),
    column("IN FLIGHT/LIMIT", Side::Right, |breaker| {
        let limit = breaker.traffic.limit.map_or_else(|| "-".to_owned(), |limit| limit.to_string());
        format!("{}/{limit}", breaker.traffic.in_flight)
    }),
    column("FALLBACKS", Side::Right, |breaker| {
        let traffic = &breaker.traffic;
        traffic.fallbacks_open.saturating_add(traffic.fallbacks_failure).to_string()
    }),
];

const fn column(title: &'static str, side: Side, cell: fn(&Breaker) -> String) -> Column {
    Column { title, side, wide: false, cell }
}

const fn wide(title: &'static str, side: Side, cell: fn(&Breaker) -> String) -> Column {
    Column { title, side, wide: true, cell }
}

/// The table, or a sentence that says why there is none. It is coloured: print it through a stream that takes colours
/// out where they do not belong.
pub(crate) fn table(look: &Look, wide: bool) -> String {
    if look.breakers.is_empty() {
        return none(look);
    }
    let columns: Vec<&Column> = COLUMNS.iter().filter(|column| wide || !column.wide).collect();
    let cells = |breaker| columns.iter().map(|column| printable(&(column.cell)(breaker))).collect();
    let rows: Vec<Vec<String>> = look.breakers.iter().map(cells).collect();
    let width = |(index, column): (usize, &&Column)| {
        let widths = rows.iter().map(|row| row[index].chars().count());
        widths.fold(column.title.len(), usize::max)
    };
    let widths: Vec<usize> = columns.iter().enumerate().map(width).collect();
    let titles = columns.iter().zip(&widths).map(|(column, width)| padded(column.title, column.side, *width));
    let mut text = line(titles);
    for (breaker, row) in look.breakers.iter().zip(&rows) {
        text += &line(columns.iter().zip(&widths).zip(row).map(|((column, width), cell)| {
            let cell = padded(cell, column.side, *width);
            if column.side == Side::Coloured { coloured(&cell, breaker.state) } else { cell }
        }));
    }
    text
}

/// A line about a sidecar that did not answer.
pub(crate) fn unanswered(missed: &Unanswered) -> String {
    let Unanswered { sidecar, reason } = missed;
    let name = printable(&sidecar.workload);
    let place = sidecar.admin.to_string();
    let place = if name == place { String::new() } else { format!(" ({place})") };
    format!("the sidecar {name}{place} does not tell of its breakers: {reason}")
}

/// Reasons with how often each was: `share 2, probe_failed 1`.
pub(crate) fn reasons<'a>(trips: impl Iterator<Item = (&'a String, &'a u64)>) -> String {
    let reasons: Vec<String> = trips.map(|(reason, count)| format!("{reason} {count}")).collect();
    reasons.join(", ")
}

/// Names are what others say they are: they must not reach into the terminal.
pub(crate) fn printable(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

fn none(look: &Look) -> String {
    let answered = look.asked - look.unanswered.len();
    match answered {
        0 => "No breakers: no sidecar answered. Is the mesh running?\n".to_owned(),
        1 => "No breakers: the sidecar calls no service. It has breakers for those that its application calls.\n"
            .to_owned(),
        _ => format!(
            "No breakers: none of the {answered} sidecars calls a service. A sidecar has breakers for those that its \
             application calls.\n"
        ),
    }
}

fn line(cells: impl Iterator<Item = String>) -> String {
    let cells: Vec<String> = cells.collect();
    format!("{}\n", cells.join("  ").trim_end())
}

fn padded(cell: &str, side: Side, width: usize) -> String {
    match side {
        Side::Left | Side::Coloured => format!("{cell:<width$}"),
        Side::Right => format!("{cell:>width$}"),
    }
}

fn coloured(cell: &str, state: State) -> String {
    let colour = match state {
        State::Open => RED,
        State::HalfOpen => YELLOW,
        State::Closed => GREEN,
    };
    format!("{colour}{cell}{RESET}")
}

fn or_dash(cell: String) -> String {
    if cell.is_empty() { "-".to_owned() } else { cell }
}

#[cfg(test)]
mod tests;
