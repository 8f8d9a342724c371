//! The screen that is repainted in place: nothing flickers, nothing scrolls, and the terminal comes back as it was.

use std::io::{self, Write, stdout};

use crossterm::{
    cursor::{Hide, MoveTo, MoveToNextLine, Show},
    execute, queue,
    style::Print,
    terminal::{
        self, BeginSynchronizedUpdate, Clear, ClearType, DisableLineWrap, EnableLineWrap,
        EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
    },
};

/// Height of a terminal that does not know its own.
const LINES: u16 = 24;

/// A terminal in our hands. Dropping it gives it back.
pub(crate) struct Screen {
    coloured: bool,
}

impl Screen {
    /// Takes the terminal over. It stays in the mode in which Ctrl-C is a signal.
    pub(crate) fn open() -> io::Result<Self> {
        // The stream knows about NO_COLOR and its kin, and about what the terminal can do.
        let coloured = anstream::AutoStream::choice(&stdout()) != anstream::ColorChoice::Never;
        // Made first, so that it gives back what an error left half taken.
        let screen = Self { coloured };
        execute!(stdout(), EnterAlternateScreen, Hide, DisableLineWrap)?;
        Ok(screen)
    }

    /// Paints over what was there, in one write. What is wider than the terminal is cut off.
    pub(crate) fn draw(&self, text: &str) -> io::Result<()> {
        let text =
            if self.coloured { text.to_owned() } else { anstream::adapter::strip_str(text).to_string() };
        let height = match terminal::size()? {
            (_, 0) => LINES,
            (_, height) => height,
        };
        let mut bytes = Vec::new();
        queue!(bytes, BeginSynchronizedUpdate, MoveTo(0, 0))?;
        for line in fitting(&text, height) {
            queue!(bytes, Print(line), Clear(ClearType::UntilNewLine), MoveToNextLine(1))?;
        }
        queue!(bytes, Clear(ClearType::FromCursorDown), EndSynchronizedUpdate)?;
        let mut out = stdout().lock();
        out.write_all(&bytes)?;
        out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // If the terminal is gone there is nothing to give back.
        let _ = execute!(stdout(), EnableLineWrap, Show, LeaveAlternateScreen);
    }
}

/// As many lines as fit above the last one of the terminal, on which the cursor rests; where more are left out, the last
/// of them says how many.
fn fitting(text: &str, height: u16) -> Vec<String> {
    let room = usize::from(height).saturating_sub(1);
    let lines: Vec<&str> = text.lines().collect();
    if lines.len() <= room {
        return lines.into_iter().map(str::to_owned).collect();
    }
    let shown = room.saturating_sub(1);
    let rest = format!("and {} more", lines.len() - shown);
    lines[..shown].iter().map(ToString::to_string).chain([rest]).take(room).collect()
}

#[cfg(test)]
mod tests;
