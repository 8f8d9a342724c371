//! The table at the end: every phase with what was expected, what was measured, and whether it holds.

use crate::demo::{progress::Progress, verdict::Check};

const HEADERS: [&str; 5] = ["check", "expected", "measured", "tolerance", "verdict"];
const GREEN: &str = "\u{1b}[32m";
const RED: &str = "\u{1b}[1;31m";
const BOLD: &str = "\u{1b}[1m";
const RESET: &str = "\u{1b}[0m";

/// The table. It is coloured: print it through a stream that takes colours out where they do not belong.
pub(crate) fn table(progress: &Progress) -> String {
    let rows: Vec<[&str; 5]> = progress.outcomes().flat_map(|(_, checks)| checks.iter().map(row)).collect();
    let widths: [usize; 5] = std::array::from_fn(|column| {
        let cells = rows.iter().map(|row| row[column]).chain([HEADERS[column]]);
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    });
    let mut text = format!("{BOLD}    {}{RESET}\n", line(HEADERS, widths));
    for (index, (phase, checks)) in progress.outcomes().enumerate() {
        text += &[BOLD, &(index + 1).to_string(), "  ", phase.title, RESET, "\n"].concat();
        if checks.is_empty() {
            text += "    not played\n";
        }
        for check in checks {
            let colour = if check.holds { GREEN } else { RED };
            text += &["    ", colour, &line(row(check), widths), RESET, "\n"].concat();
        }
    }
    text + &total(progress)
}

fn row(check: &Check) -> [&str; 5] {
    let verdict = if check.holds { "holds" } else { "FAILS" };
    [&check.what, &check.expected, &check.measured, &check.tolerance, verdict]
}

fn line(cells: [&str; 5], widths: [usize; 5]) -> String {
    let [what, expected, measured, tolerance, verdict] = cells;
    let [a, b, c, d, _] = widths;
    format!("{what:<a$}  {expected:>b$}  {measured:>c$}  {tolerance:>d$}  {verdict}")
}

fn total(progress: &Progress) -> String {
    let checks: Vec<&Check> = progress.outcomes().flat_map(|(_, checks)| checks).collect();
    let held = checks.iter().filter(|check| check.holds).count();
    let all = checks.len();
    if progress.holds() {
        format!("{GREEN}All {all} checks hold.{RESET}\n")
    } else {
        format!("{RED}{held} of {all} checks hold; the story does not.{RESET}\n")
    }
}

#[cfg(test)]
mod tests;
