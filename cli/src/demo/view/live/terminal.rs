//! The terminal: taken over for the screen, read for keys, and given back however the process ends.

use std::{io, time::Duration};

use crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::DefaultTerminal;

use super::{draw, palette::Palette};
use crate::demo::picture::Picture;

/// A terminal in our hands. Dropping it gives it back; a panic does so too, before its message is printed.
pub(crate) struct Screen {
    terminal: DefaultTerminal,
    palette: Palette,
}

impl Screen {
    /// Takes the terminal over: raw mode, another screen, a hook for panics.
    pub(crate) fn open(palette: Palette) -> io::Result<Self> {
        Ok(Self { terminal: ratatui::try_init()?, palette })
    }

    /// Draws one picture. What has not changed is not sent to the terminal, so nothing flickers.
    pub(crate) fn draw(&mut self, picture: &Picture) -> io::Result<()> {
        self.terminal.draw(|frame| draw(frame, picture, self.palette))?;
        Ok(())
    }

    /// Whether Ctrl-C or q was pressed. Never waits. In raw mode the terminal makes no signal of Ctrl-C.
    pub(crate) fn wants_to_quit() -> io::Result<bool> {
        let mut quit = false;
        while event::poll(Duration::ZERO)? {
            if let Event::Key(key) = event::read()? {
                let ctrl_c = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
                quit |= key.kind == KeyEventKind::Press && (ctrl_c || key.code == KeyCode::Char('q'));
            }
        }
        Ok(quit)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}
