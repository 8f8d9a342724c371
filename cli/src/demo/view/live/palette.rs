//! Colours, and doing without: nothing is told by colour alone.

use ratatui::style::{Color, Modifier, Style};

/// Whether to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Palette {
    /// The terminal's own sixteen, so that its theme decides how they look.
    Coloured,
    /// None, as NO_COLOR asks for: <https://no-color.org>.
    Plain,
}

impl Palette {
    /// As it should be.
    pub(crate) fn good(self) -> Style {
        self.colour(Color::Green)
    }

    /// As it should not be.
    pub(crate) fn bad(self) -> Style {
        self.colour(Color::Red)
    }

    /// In between.
    pub(crate) fn warning(self) -> Style {
        self.colour(Color::Yellow)
    }

    /// Worth a look.
    pub(crate) fn accent(self) -> Style {
        self.colour(Color::Cyan)
    }

    fn colour(self, colour: Color) -> Style {
        match self {
            Self::Coloured => Style::new().fg(colour),
            Self::Plain => Style::new(),
        }
    }
}

/// Worth reading first, with and without colours.
pub(crate) fn strong() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

/// In the background, with and without colours.
pub(crate) fn dim() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}
