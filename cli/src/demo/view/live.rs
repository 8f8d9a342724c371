//! The story on a terminal: one screen, drawn anew from each picture.

// The terminal: taken over, read for keys, given back.
pub(crate) mod terminal;
// Colours, and doing without.
pub(crate) mod palette;

use std::time::Duration;

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::Style,
    symbols,
    text::{Line, Span},
    widgets::{Block, BorderType, Padding, Paragraph, RenderDirection, Sparkline, Wrap},
};

use self::palette::{Palette, dim, strong};
use crate::demo::{
    picture::{self, Picture, State},
    sighting::Breaker,
    story::SLO,
    verdict::{percent, time, times},
};

/// Below this many columns everything stands in one column.
const NARROW: u16 = 60;
/// Columns of the word before a bar.
const LABEL: usize = 14;
/// Columns of what is told beside a bar.
const WORDS: usize = 33;
/// The same where there is little room.
const SHORT_WORDS: usize = 16;
/// The load bar is full at this factor: the three tries that the policy allows.
const FULL_LOAD: f64 = 3.0;

/// Draws one picture.
pub(crate) fn draw(frame: &mut Frame<'_>, picture: &Picture, palette: Palette) {
    let area = frame.area();
    let phases = picture.phases.len() as u16 + 2;
    let certificates = picture.certificates.len() as u16;
    if area.width < NARROW {
        let rows = [
            Constraint::Length(1),
            Constraint::Length(phases),
            Constraint::Length(6),
            Constraint::Length(8),
            Constraint::Min(0),
        ];
        let [title, list, now, figures, footer] = Layout::vertical(rows).areas(area);
        draw_title(frame, title, picture);
        draw_phases(frame, list, picture, palette);
        draw_now(frame, now, picture, palette);
        draw_figures(frame, figures, picture, palette);
        draw_footer(frame, footer, picture, palette);
        return;
    }
    let rows = [
        Constraint::Length(1),
        Constraint::Length(phases),
        Constraint::Length(8),
        Constraint::Length(certificates + 3),
        Constraint::Min(0),
    ];
    let [title, top, figures, mesh, processes] = Layout::vertical(rows).areas(area);
    let [list, now] = Layout::horizontal([Constraint::Length(40), Constraint::Min(0)]).areas(top);
    draw_title(frame, title, picture);
    draw_phases(frame, list, picture, palette);
    draw_now(frame, now, picture, palette);
    draw_figures(frame, figures, picture, palette);
    draw_footer(frame, mesh, picture, palette);
    draw_processes(frame, processes, picture);
}

fn panel(title: &str) -> Block<'_> {
    Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(dim())
        .title(Span::styled(format!(" {title} "), strong()))
}

fn draw_title(frame: &mut Frame<'_>, area: Rect, picture: &Picture) {
    let seconds = picture.elapsed.as_secs();
    let clock = format!("{:02}:{:02} ", seconds / 60, seconds % 60);
    let mut title = vec![Span::styled(" weft demo ", strong())];
    if area.width >= NARROW {
        title.push(Span::styled(" two services nobody may change", dim()));
    }
    frame.render_widget(Line::from(title), area);
    let width = (clock.len() as u16).min(area.width);
    let right = Rect { x: area.right().saturating_sub(width), width, ..area };
    frame.render_widget(Line::styled(clock, dim()), right);
}

fn draw_phases(frame: &mut Frame<'_>, area: Rect, picture: &Picture, palette: Palette) {
    let width = usize::from(area.width.saturating_sub(2));
    let lines = picture.phases.iter().enumerate().map(|(index, line)| phase(index, line, width, palette));
    let lines: Vec<Line<'_>> = lines.collect();
    frame.render_widget(Paragraph::new(lines).block(panel("phases")), area);
}

fn phase(index: usize, line: &picture::Line, width: usize, palette: Palette) -> Line<'static> {
    let (mark, style) = match line.state {
        State::Waiting => (' ', dim()),
        State::Playing => ('▶', strong()),
        State::Held => ('✓', palette.good()),
        State::Failed => ('✗', palette.bad()),
    };
    let head = format!(" {mark} {} {}", index + 1, line.title);
    let measured = line.measured.join("  ");
    let gap = width.saturating_sub(head.chars().count() + measured.chars().count() + 1);
    Line::styled(format!("{head}{}{measured} ", " ".repeat(gap.max(1))), style)
}

fn draw_now(frame: &mut Frame<'_>, area: Rect, picture: &Picture, palette: Palette) {
    let lines = vec![
        Line::from(picture.words),
        Line::default(),
        Line::styled(picture.doing.clone(), palette.accent()),
    ];
    let text = Paragraph::new(lines).wrap(Wrap { trim: true });
    let text = text.block(panel("now").padding(Padding::horizontal(1)));
    frame.render_widget(text, area);
}

fn draw_figures(frame: &mut Frame<'_>, area: Rect, picture: &Picture, palette: Palette) {
    let block = panel("the last second");
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let [errors, canned, load, latency, history] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Min(0),
    ])
    .areas(inner);
    let wide = area.width >= NARROW;
    let told = |figure: Option<String>, words: &str, short: &str| {
        let figure = figure.unwrap_or_else(|| "-".to_owned());
        format!("{figure:>7} {}", if wide { words } else { short })
    };
    let style = match picture.errors {
        Some(errors) if errors >= SLO => palette.bad(),
        _ => palette.good(),
    };
    let accent = palette.accent();
    let short = picture.objective().split(' ').next().unwrap_or_default();
    let shares = [
        (
            errors,
            "page errors",
            picture.errors,
            Some(SLO),
            told(picture.errors.map(percent), picture.objective(), short),
            style,
        ),
        (
            canned,
            "canned",
            picture.canned,
            None,
            told(picture.canned.map(percent), "of the pages", ""),
            accent,
        ),
        (
            load,
            "load on API",
            picture.load.map(|load| load / FULL_LOAD),
            Some(1.0 / FULL_LOAD),
            told(picture.load.map(times), "what users send", ""),
            accent,
        ),
    ];
    for (area, label, share, mark, told, style) in shares {
        bar(frame, area, label, (share.unwrap_or(0.0), mark), (&told, style));
    }
    let told = |value: Option<Duration>| value.map_or("-".to_owned(), time);
    let (p50, p99) = (told(picture.p50), told(picture.p99));
    let gap = if wide { "  " } else { " " };
    let line = format!(" {:LABEL$}{:.0}/s{gap}p50 {p50}{gap}p99 {p99}", "pages", picture.rate);
    frame.render_widget(Line::from(line), latency);
    draw_history(frame, history, picture, palette);
}

fn draw_history(frame: &mut Frame<'_>, area: Rect, picture: &Picture, palette: Palette) {
    let label = LABEL as u16 + 1;
    let [words, line] = Layout::horizontal([Constraint::Length(label), Constraint::Min(0)]).areas(area);
    frame.render_widget(Line::styled(" errors so far", dim()), words);
    let shown = picture.history.len().saturating_sub(usize::from(line.width));
    let sparkline = Sparkline::default()
        .data(&picture.history[shown..])
        .max(500)
        .bar_set(symbols::bar::NINE_LEVELS)
        .direction(RenderDirection::LeftToRight)
        .style(palette.bad());
    frame.render_widget(sparkline, line);
}

/// A line with a label, a bar that is full at 1 with a line at `mark`, and what it says in words.
fn bar(
    frame: &mut Frame<'_>,
    area: Rect,
    label: &str,
    (share, mark): (f64, Option<f64>),
    (told, style): (&str, Style),
) {
    let words = if area.width < NARROW - 2 { SHORT_WORDS } else { WORDS };
    let width = usize::from(area.width).saturating_sub(LABEL + 1 + words).clamp(8, 60);
    let place = |share: f64| (share.clamp(0.0, 1.0) * width as f64).round() as usize;
    let mark = mark.map(|mark| place(mark).min(width - 1));
    let mut spans = vec![Span::raw(format!(" {label:LABEL$}"))];
    for cell in 0..width {
        let filled = cell < place(share);
        spans.push(match (mark == Some(cell), filled) {
            (true, _) => Span::styled("│", strong()),
            (false, true) => Span::styled("█", style),
            (false, false) => Span::styled("·", dim()),
        });
    }
    spans.push(Span::styled(format!(" {told}"), style));
    frame.render_widget(Line::from(spans), area);
}

fn draw_footer(frame: &mut Frame<'_>, area: Rect, picture: &Picture, palette: Palette) {
    let wide = area.width >= NARROW;
    let (mark, style) = match picture.breaker {
        Breaker::Absent => ("–", dim()),
        Breaker::Closed => ("●", palette.good()),
        Breaker::HalfOpen => ("◐", palette.warning()),
        Breaker::Open => ("○", palette.bad()),
    };
    let mut lines = vec![Line::from(vec![
        Span::raw(format!(" {:LABEL$}", "breaker")),
        Span::styled(format!("{mark} {}", picture.breaker.words()), style),
        Span::raw(format!("  trips {}", picture.trips)),
        Span::raw(if wide { format!("  retries {}", picture.retries) } else { String::new() }),
    ])];
    for (identity, left) in &picture.certificates {
        let workload = identity.rsplit('/').next().unwrap_or(identity);
        let left = long(*left);
        lines.push(Line::from(if wide {
            format!(" {workload:LABEL$}{identity}  {left} left")
        } else {
            format!(" {workload:LABEL$}{left} left")
        }));
    }
    if picture.certificates.is_empty() {
        lines.push(Line::styled(" no sidecar, no certificate, no encryption", dim()));
    }
    frame.render_widget(Paragraph::new(lines).block(panel("the mesh")), area);
}

fn draw_processes(frame: &mut Frame<'_>, area: Rect, picture: &Picture) {
    let lines = picture.processes.iter().map(|process| {
        Line::from(format!(" {:<20}pid {:<8} {}", process.name, process.pid, process.places()))
    });
    let lines: Vec<Line<'_>> = lines.collect();
    let height = (lines.len() as u16 + 2).min(area.height);
    // A frame without a line in it would tell nothing.
    if height > 2 {
        let said = picture.said.iter().map(|said| Line::styled(format!(" {said} "), dim()));
        let block = said.fold(panel("processes"), Block::title_bottom);
        frame.render_widget(Paragraph::new(lines).block(block), Rect { height, ..area });
    }
}

/// Hours and minutes.
fn long(time: Duration) -> String {
    let minutes = time.as_secs() / 60;
    format!("{} h {:02} min", minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests;
