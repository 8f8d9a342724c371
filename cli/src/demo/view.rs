//! What people look at: a live screen on a terminal, plain lines anywhere else, and the table at the end.

// The screen.
pub(crate) mod live;
// The lines.
pub(crate) mod plain;
// The table.
pub(crate) mod summary;

use std::{
    io::{self, Write},
    time::Duration,
};

use super::{picture::Picture, progress::Event};
use live::{palette::Palette, terminal::Screen};

/// How the story is shown.
pub(crate) enum Shown {
    /// On a screen.
    Live(Screen),
    /// In lines.
    Plain,
}

impl Shown {
    /// Takes the terminal over, or leaves it alone.
    pub(crate) fn open(plain: bool) -> io::Result<Self> {
        if plain {
            return Ok(Self::Plain);
        }
        // The stream knows about NO_COLOR and its kin, and about what the terminal can do.
        let palette = match anstream::AutoStream::choice(&io::stdout()) {
            anstream::ColorChoice::Never => Palette::Plain,
            _ => Palette::Coloured,
        };
        Screen::open(palette).map(Self::Live)
    }

    /// Time between two pictures.
    pub(crate) fn tick(&self) -> Duration {
        match self {
            Self::Live(_) => Duration::from_millis(200),
            Self::Plain => Duration::from_secs(1),
        }
    }

    /// Shows an event.
    pub(crate) fn event(&mut self, event: &Event) {
        if let Self::Plain = self {
            print(plain::event(event));
        }
    }

    /// Shows a picture.
    pub(crate) fn picture(&mut self, picture: &Picture) -> io::Result<()> {
        match self {
            Self::Live(screen) => screen.draw(picture)?,
            Self::Plain => print(plain::second(picture)),
        }
        Ok(())
    }

    /// Whether the viewer asks to end it.
    pub(crate) fn wants_to_quit(&self) -> io::Result<bool> {
        match self {
            Self::Live(_) => Screen::wants_to_quit(),
            Self::Plain => Ok(false),
        }
    }
}

fn print(lines: impl IntoIterator<Item = String>) {
    let mut out = io::stdout().lock();
    for line in lines {
        // Whoever read it is gone. The exit code still tells how it ended.
        let _ = writeln!(out, "{line}");
    }
}
