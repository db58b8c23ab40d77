//! What an answer for people is shown on, as values: it may be the terminal of another process.

use std::io::{self, IsTerminal};

/// Where text goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Screen {
    /// Whether a person looks at it while it is written.
    pub terminal: bool,
    /// How many columns it has; `None`: as many as a line needs.
    pub width: Option<usize>,
    /// How many lines it shows at once; `None`: all.
    pub height: Option<usize>,
    /// Whether it shows colours.
    pub colour: bool,
}

/// How a piece of text looks where there are colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    /// Healthy, and nothing else.
    Green,
    /// Fails.
    Red,
    /// Needs a person.
    Yellow,
    /// Paused, or watched only.
    Blue,
    /// What is looked up rather than read.
    Dim,
    /// A heading.
    Bold,
}

impl Ink {
    fn code(self) -> &'static str {
        match self {
            Self::Green => "32",
            Self::Red => "31",
            Self::Yellow => "33",
            Self::Blue => "34",
            Self::Dim => "2",
            Self::Bold => "1",
        }
    }
}

impl Screen {
    /// Standard output.
    #[must_use]
    pub fn stdout() -> Self {
        let terminal = io::stdout().is_terminal();
        let size = if terminal { console::Term::stdout().size_checked() } else { None };
        Self {
            terminal,
            width: size.map(|(_, columns)| columns.into()),
            height: size.map(|(lines, _)| lines.into()),
            colour: colours(&io::stdout()),
        }
    }

    /// The text in that colour, where there are colours.
    #[must_use]
    pub fn paint(&self, ink: Ink, text: &str) -> String {
        if self.colour && !text.is_empty() {
            format!("\x1b[{}m{text}\x1b[0m", ink.code())
        } else {
            text.to_owned()
        }
    }

    /// The text in lines that fit, each behind `indent`: one line where the width does not matter.
    #[must_use]
    pub fn wrapped(&self, text: &str, indent: &str) -> Vec<String> {
        let Some(width) = self.width.filter(|_| self.terminal) else {
            return vec![format!("{indent}{text}")];
        };
        let mut lines = Vec::new();
        let mut line = String::new();
        for word in text.split(' ') {
            let length = indent.len() + line.chars().count() + 1 + word.chars().count();
            if !line.is_empty() && length > width {
                lines.push(format!("{indent}{line}"));
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(format!("{indent}{line}"));
        lines
    }
}

/// Whether a stream is written to in colour: terminals are, unless <https://no-color.org> is asked for;
/// `CLICOLOR_FORCE` asks for it elsewhere too.
pub(super) fn colours(stream: &impl IsTerminal) -> bool {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    chosen(
        stream.is_terminal(),
        set("NO_COLOR").is_some(),
        set("CLICOLOR_FORCE").is_some_and(|value| value != "0"),
        set("TERM").is_some_and(|term| term == "dumb"),
    )
}

fn chosen(terminal: bool, none: bool, forced: bool, dumb: bool) -> bool {
    !none && (forced || (terminal && !dumb))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_color_is_stronger_than_all_that_asks_for_it() {
        assert!(chosen(true, false, false, false));
        assert!(chosen(false, false, true, false), "forced where nobody looks");
        assert!(!chosen(false, false, false, false), "no colour when piped");
        assert!(!chosen(true, false, false, true), "a dumb terminal");
        assert!(!chosen(true, true, true, false));
    }

    #[test]
    fn lines_are_wrapped_on_a_terminal_alone() {
        let plain = Screen::default();
        assert_eq!(plain.wrapped("one two three", "  "), ["  one two three"]);
        assert_eq!(plain.paint(Ink::Red, "failing"), "failing");
        let narrow = Screen { terminal: true, width: Some(10), colour: true, ..plain };
        assert_eq!(narrow.wrapped("one two three", "  "), ["  one two", "  three"]);
        assert_eq!(
            narrow.wrapped("a-word-that-is-too-long ok", ""),
            ["a-word-that-is-too-long", "ok"]
        );
        assert_eq!(narrow.paint(Ink::Red, "failing"), "\x1b[31mfailing\x1b[0m");
    }
}
