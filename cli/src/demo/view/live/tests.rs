use ratatui::{Terminal, backend::TestBackend, buffer::Buffer, style::Color};

use super::*;
use crate::demo::{
    picture::Moment,
    progress::{Event, Process, Progress},
    verdict::Check,
};

fn picture() -> Picture {
    let mut progress = Progress::default();
    let held = vec![Check::share("errors", 333, 1000, 1.0 / 3.0), Check::load(1000, 1000, 1.0 / 3.0, 0)];
    progress.apply(&Event::Judged(0, held));
    progress.apply(&Event::Judged(1, vec![Check::share("errors", 500, 1000, 1.0 / 3.0)]));
    progress.apply(&Event::Begins(2));
    let addresses = vec![("serves", "127.0.0.1:4200".parse().unwrap())];
    progress.apply(&Event::Started(Process { name: "frontend".to_owned(), pid: 4242, addresses }));
    progress.apply(&Event::Doing("1000 requests, 100 a second".to_owned()));
    let none = Moment::default();
    Picture {
        elapsed: Duration::from_secs(83),
        rate: 100.0,
        errors: Some(0.331),
        canned: Some(0.25),
        load: Some(1.44),
        p50: Some(Duration::from_micros(2100)),
        p99: Some(Duration::from_millis(61)),
        breaker: Breaker::Open,
        trips: 1,
        retries: 440,
        certificates: vec![(
            "spiffe://cluster.local/ns/default/sa/frontend".to_owned(),
            Duration::from_mins(24 * 60 - 1),
        )],
        history: vec![330, 0, 500],
        ..Picture::new(&progress, &none, &none, Vec::new(), Vec::new())
    }
}

fn screen(width: u16, height: u16, palette: Palette) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, &picture(), palette)).unwrap();
    terminal.backend().buffer().clone()
}

fn text(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width);
    let cells: Vec<&str> = buffer.content.iter().map(ratatui::buffer::Cell::symbol).collect();
    cells.chunks(width).map(|row| row.concat().trim_end().to_owned() + "\n").collect()
}

#[test]
fn wide() {
    let expected = include_str!("tests/wide.txt");
    let shown = text(&screen(100, 26, Palette::Coloured));
    assert_eq!(shown.trim_end(), expected.trim_end(), "shown:\n{shown}");
}

#[test]
fn narrow() {
    let expected = include_str!("tests/narrow.txt");
    let shown = text(&screen(44, 28, Palette::Coloured));
    assert_eq!(shown.trim_end(), expected.trim_end(), "shown:\n{shown}");
}

#[test]
fn without_colours_the_text_is_the_same_and_no_cell_has_a_colour() {
    let (coloured, plain) = (screen(100, 26, Palette::Coloured), screen(100, 26, Palette::Plain));
    assert_eq!(text(&coloured), text(&plain));
    let colours = |buffer: &Buffer| {
        buffer.content.iter().filter(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset).count()
    };
    assert!(colours(&coloured) > 0);
    assert_eq!(colours(&plain), 0);
}

#[test]
fn any_size_can_be_drawn() {
    for width in [0, 1, 2, 10, 59, 60, 61, 300] {
        for height in [0, 1, 2, 10, 24, 100] {
            screen(width, height, Palette::Plain);
        }
    }
}
