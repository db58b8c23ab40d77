//! `format = "env"`: `KEY="value"` lines, as dotenv files, shells and systemd's
//! `EnvironmentFile=` read them; lines that Scimitar does not own are kept to the byte.

use zeroize::Zeroizing;

use crate::sink::{
    Elsewhere,
    entry::is_variable,
    payload::Wiped,
    rules::{document::Keyed, elsewhere},
};

/// A line (or, inside quotes, several) of the file.
#[derive(Debug)]
struct Piece<'a> {
    /// The text with its line ending.
    text: &'a str,
    /// Set when it is an assignment.
    assigned: Option<Assigned<'a>>,
}

#[derive(Debug)]
struct Assigned<'a> {
    export: bool,
    key: &'a str,
    /// What stands behind `=`, quotes and all.
    value: &'a str,
}

/// The file's pieces, borrowed from it: no second copy of a value.
#[derive(Debug, Default)]
pub(super) struct Document<'a> {
    pieces: Vec<Piece<'a>>,
    trouble: Option<String>,
}

impl<'a> Document<'a> {
    /// Takes a file apart as far as its readers agree on what it says.
    pub(super) fn parse(bytes: &'a [u8]) -> Self {
        let mut document = Self::default();
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(problem) => {
                let before = bytes.get(..problem.valid_up_to()).unwrap_or_default();
                let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
                document.trouble = Some(format!("line {line} is not UTF-8"));
                return document;
            }
        };
        let mut rest = text;
        let mut line = 1;
        while !rest.is_empty() {
            let (piece, trouble) = Piece::first_of(rest);
            let (taken, after) = rest.split_at_checked(piece.text.len()).unwrap_or((rest, ""));
            if let Some(trouble) = trouble {
                let words = format!("line {}{}", line + trouble.line, trouble.words);
                document.trouble.get_or_insert(words);
            }
            line += taken.bytes().filter(|byte| *byte == b'\n').count();
            document.pieces.push(piece);
            rest = after;
        }
        document
    }

    /// Why its readers do not agree on what it says, with the line.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    fn assigned(&self) -> impl DoubleEndedIterator<Item = &Assigned<'a>> {
        self.pieces.iter().filter_map(|piece| piece.assigned.as_ref())
    }

    /// The file with `values` (name, plain text) in the place of all that `owned` names. Their
    /// order is that of the file, new ones come last.
    pub(super) fn with(
        &self,
        owned: impl Fn(&str) -> bool,
        mut values: Vec<(String, Wiped)>,
    ) -> Zeroizing<Vec<u8>> {
        let kept: usize = self.pieces.iter().map(|piece| piece.text.len() + 16).sum();
        let new: usize = values.iter().map(|(key, text)| key.len() + 2 * text.len() + 16).sum();
        // Enough from the start: growing would leave copies of the value behind.
        let mut out = Zeroizing::new(Vec::with_capacity(kept + new));
        for piece in &self.pieces {
            match &piece.assigned {
                Some(assigned) if owned(assigned.key) => {
                    let at = values.iter().position(|(key, _)| key == assigned.key);
                    if let Some(at) = at {
                        let (key, text) = values.remove(at);
                        put(&mut out, assigned.export, &key, &text);
                    }
                }
                Some(_) | None => {
                    out.extend_from_slice(piece.text.as_bytes());
                    if !piece.text.ends_with('\n') {
                        out.push(b'\n');
                    }
                }
            }
        }
        for (key, text) in &values {
            put(&mut out, false, key, text);
        }
        out
    }
}

impl Keyed for Document<'_> {
    /// Unquoted.
    fn text(&self, key: &str) -> Option<Wiped> {
        let mut assigned = self.assigned().rev();
        assigned.find(|assigned| assigned.key == key).map(|assigned| unquoted(assigned.value))
    }

    fn holds(&self, owned: impl Fn(&str) -> bool) -> bool {
        let mut ours = self.assigned().filter(|assigned| owned(assigned.key));
        ours.any(|assigned| !unquoted(assigned.value).is_empty())
    }

    fn elsewhere(&self, owned: impl Fn(&str) -> bool) -> Vec<Elsewhere> {
        let mut found = Vec::new();
        for piece in &self.pieces {
            match &piece.assigned {
                Some(assigned) if owned(assigned.key) => {}
                Some(assigned) => {
                    elsewhere::in_text(assigned.key, &unquoted(assigned.value), &mut found);
                }
                // Nobody reads a comment.
                None if piece.text.trim_start().starts_with('#') => {}
                None => found.extend(elsewhere::in_no_form(piece.text.as_bytes()).into_iter().map(
                    |one| Elsewhere { key: "(a line that assigns nothing)".to_owned(), ..one },
                )),
            }
        }
        found
    }
}

/// Where a piece is read in one way by some and in another by others.
struct Trouble {
    /// Counted from the piece's first line.
    line: usize,
    /// What goes on from "line 7".
    words: &'static str,
}

const CONTINUED: &str =
    " ends in a backslash, which some readers take to continue on the next line";

const UNCLOSED: &str = " opens a quote that is never closed";

impl<'a> Piece<'a> {
    /// The first piece of a text that is not empty.
    fn first_of(text: &'a str) -> (Self, Option<Trouble>) {
        let line_end = end_of_line(text, 0);
        let body = text.get(..line_end).unwrap_or(text).trim_start();
        let (export, body) = match body.strip_prefix("export ") {
            Some(rest) => (true, rest.trim_start()),
            None => (false, body),
        };
        let assigned = body.split_once('=').filter(|(key, _)| is_variable(key.trim_end()));
        let Some((key, behind)) = assigned else {
            let (end, trouble) = continued(text, line_end);
            return (Self { text: text.get(..end).unwrap_or(text), assigned: None }, trouble);
        };
        let start = line_end - behind.len();
        let value = text.get(start..).unwrap_or_default();
        // A quoted value may go over several lines.
        let (end, trouble) = match (closing_quote(value), is_quoted(value)) {
            (Some(at), _) => continued(text, end_of_line(text, start + at)),
            (None, true) => (text.len(), Some(Trouble { line: 0, words: UNCLOSED })),
            (None, false) => continued(text, line_end),
        };
        let value = text.get(start..end).unwrap_or_default().trim();
        let assigned = Some(Assigned { export, key: key.trim_end(), value });
        (Self { text: text.get(..end).unwrap_or(text), assigned }, trouble)
    }
}

/// Where the line that `from` is in ends, its line end included.
fn end_of_line(text: &str, from: usize) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    rest.find('\n').map_or(text.len(), |at| from + at + 1)
}

/// Where the piece ends whose line ends at `end`: lines that a backslash joins are one.
fn continued(text: &str, mut end: usize) -> (usize, Option<Trouble>) {
    let mut trouble = None;
    loop {
        let so_far = text.get(..end).unwrap_or(text);
        let line = so_far.trim_end_matches(['\r', '\n']);
        let backslashes = line.len() - line.trim_end_matches('\\').len();
        if backslashes % 2 == 0 {
            return (end, trouble);
        }
        let line = line.bytes().filter(|byte| *byte == b'\n').count();
        trouble.get_or_insert(Trouble { line, words: CONTINUED });
        if end == text.len() {
            return (end, trouble);
        }
        end = end_of_line(text, end);
    }
}

fn is_quoted(value: &str) -> bool {
    value.trim_start_matches([' ', '\t']).starts_with(['"', '\''])
}

/// Where the quote that `text` begins with (after blanks) is closed.
fn closing_quote(text: &str) -> Option<usize> {
    let blanks = text.len() - text.trim_start_matches([' ', '\t']).len();
    let mut bytes = text.bytes().enumerate().skip(blanks);
    let (_, quote) = bytes.next().filter(|(_, b)| matches!(b, b'"' | b'\''))?;
    let mut escaped = false;
    for (at, byte) in bytes {
        if escaped {
            escaped = false;
        } else if byte == b'\\' && quote == b'"' {
            escaped = true;
        } else if byte == quote {
            return Some(at);
        }
    }
    None
}

fn unquoted(value: &str) -> Wiped {
    let mut out = Wiped::new(String::with_capacity(value.len()));
    let inside = closing_quote(value).and_then(|at| value.get(1..at));
    match (inside, value.starts_with('"')) {
        (Some(inside), true) => {
            let mut characters = inside.chars();
            while let Some(c) = characters.next() {
                match (c, characters.as_str().chars().next()) {
                    ('\\', Some(next @ ('"' | '\\' | '$' | '`'))) => {
                        out.push(next);
                        characters.next();
                    }
                    (c, _) => out.push(c),
                }
            }
        }
        (Some(inside), false) => out.push_str(inside),
        (None, _) => {
            let end = value.find(" #").unwrap_or(value.len());
            out.push_str(value.get(..end).unwrap_or_default().trim_end());
        }
    }
    out
}

/// Escapes what shells, systemd and dotenv libraries agree on inside double quotes.
fn put(out: &mut Vec<u8>, export: bool, key: &str, text: &str) {
    if export {
        out.extend_from_slice(b"export ");
    }
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"=\"");
    for byte in text.bytes() {
        if matches!(byte, b'"' | b'\\' | b'$' | b'`') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.extend_from_slice(b"\"\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "# ours and others\r\n\nexport SCIM_TOKEN='old # one'\nOTHER=\"two\nSCIM_TOKEN=no\n\" # tail\nnot an assignment\nPLAIN = a b # c\nSCIM_TOKEN=\"tw\\\"ice\\$\"\nlast=1";

    #[test]
    fn lines_of_others_are_kept_to_the_byte_and_in_order() {
        let document = Document::parse(OLD.as_bytes());
        assert_eq!(document.trouble(), None);
        assert_eq!(document.text("SCIM_TOKEN").unwrap().as_str(), "tw\"ice$");
        assert_eq!(document.text("OTHER").unwrap().as_str(), "two\nSCIM_TOKEN=no\n");
        assert_eq!(document.text("PLAIN").unwrap().as_str(), "a b");
        assert_eq!(document.text("last").unwrap().as_str(), "1");
        let values = vec![
            ("SCIM_TOKEN".to_owned(), Wiped::new("n\"e\\w$`".to_owned())),
            ("SCIM_TOKEN_ID".to_owned(), Wiped::new("t".to_owned())),
        ];
        let new = document.with(|key| key.starts_with("SCIM_"), values);
        assert_eq!(
            String::from_utf8(new.to_vec()).unwrap(),
            "# ours and others\r\n\nexport SCIM_TOKEN=\"n\\\"e\\\\w\\$\\`\"\nOTHER=\"two\nSCIM_TOKEN=no\n\" # tail\nnot an assignment\nPLAIN = a b # c\nlast=1\nSCIM_TOKEN_ID=\"t\"\n"
        );
        let again = Document::parse(&new);
        assert_eq!(again.text("SCIM_TOKEN").unwrap().as_str(), "n\"e\\w$`");
    }

    /// Shells, systemd and dotenv libraries do not agree on these: what is written behind such a line
    /// could be a part of it, so it is not written.
    #[test]
    fn what_readers_do_not_agree_on_is_told_with_its_line() {
        for (text, trouble) in [
            ("A=1\nOTHER=a\\\nSCIM_TOKEN=b\n", Some("line 2 ends in a backslash")),
            ("A=1\nOTHER=a\\\r\nB=b\r\n", Some("line 2 ends in a backslash")),
            ("# a folder: C:\\\nA=1\n", Some("line 1 ends in a backslash")),
            ("A=\"x\ny\"\\\nB=1\n", Some("line 2 ends in a backslash")),
            ("A=1\\", Some("line 1 ends in a backslash")),
            ("\n\nA=\"x\nB=1\n", Some("line 3 opens a quote")),
            ("A= 'x\n", Some("line 1 opens a quote")),
            ("A=a\\\\\nB=it's\nC='a\\'\nD=\"a\\\nb\"\nE\n", None),
            ("", None),
        ] {
            let document = Document::parse(text.as_bytes());
            let said = document.trouble();
            assert_eq!(said.is_some(), trouble.is_some(), "{text:?}: {said:?}");
            if let Some((said, trouble)) = said.zip(trouble) {
                assert!(said.starts_with(trouble), "{text:?}: {said}");
            }
        }
        let joined = Document::parse(b"OTHER=a\\\nSCIM_TOKEN=b\nSCIM_TOKEN_ID=c\n");
        assert!(joined.text("SCIM_TOKEN").is_none(), "it is a part of OTHER");
        assert_eq!(joined.text("SCIM_TOKEN_ID").unwrap().as_str(), "c");
        let binary = Document::parse(b"A=1\nB=\xff\n");
        assert_eq!(binary.trouble(), Some("line 2 is not UTF-8"));
    }

    #[test]
    fn a_shell_reads_what_was_written() {
        let value = "tok_x.\"quoted\" $HOME `id` \\ 'single' #hash";
        let values = vec![("SCIM_TOKEN".to_owned(), Wiped::new(value.to_owned()))];
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &*Document::default().with(|_| true, values)).unwrap();
        let shell = std::process::Command::new("sh")
            .args(["-c", ". \"$1\"; printf %s \"$SCIM_TOKEN\"", "sh"])
            .arg(file.path())
            .output()
            .unwrap();
        assert_eq!(String::from_utf8(shell.stdout).unwrap(), value);
    }

    #[test]
    fn names_are_shell_names() {
        assert!(is_variable("SCIM_TOKEN") && is_variable("_a1"));
        assert!(
            !is_variable("") && !is_variable("1A") && !is_variable("A-B") && !is_variable("A B")
        );
    }
}
