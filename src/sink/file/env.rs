//! `format = "env"`: `KEY="value"` lines, as dotenv files, shells and systemd's
//! `EnvironmentFile=` read them; lines that Scimitar does not own are kept to the byte.

use zeroize::Zeroizing;

use crate::sink::payload::Wiped;

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
pub(super) struct Document<'a>(Vec<Piece<'a>>);

impl<'a> Document<'a> {
    /// `None` when the bytes are no text.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut rest = std::str::from_utf8(bytes).ok()?;
        let mut pieces = Vec::new();
        while !rest.is_empty() {
            let (piece, after) = Piece::first_of(rest)?;
            pieces.push(piece);
            rest = after;
        }
        Some(Self(pieces))
    }

    /// A variable's value, unquoted. The last one counts where it is assigned twice.
    pub(super) fn text(&self, key: &str) -> Option<Wiped> {
        let mut assigned = self.0.iter().rev().filter_map(|piece| piece.assigned.as_ref());
        assigned.find(|assigned| assigned.key == key).map(|assigned| unquoted(assigned.value))
    }

    /// The file with `values` (name, plain text) in the place of all that `owned` names. Their
    /// order is that of the file, new ones come last.
    pub(super) fn with(
        &self,
        owned: impl Fn(&str) -> bool,
        mut values: Vec<(String, Wiped)>,
    ) -> Zeroizing<Vec<u8>> {
        let kept: usize = self.0.iter().map(|piece| piece.text.len() + 16).sum();
        let new: usize = values.iter().map(|(key, text)| key.len() + 2 * text.len() + 16).sum();
        // Enough from the start: growing would leave copies of the value behind.
        let mut out = Zeroizing::new(Vec::with_capacity(kept + new));
        for piece in &self.0 {
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

/// Whether a shell takes it for a variable's name.
pub(super) fn is_key(key: &str) -> bool {
    let mut bytes = key.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

impl<'a> Piece<'a> {
    fn first_of(text: &'a str) -> Option<(Self, &'a str)> {
        let line_end = text.find('\n').map_or(text.len(), |at| at + 1);
        let line = text.get(..line_end)?;
        let body = line.trim_start();
        let (export, body) = match body.strip_prefix("export ") {
            Some(rest) => (true, rest.trim_start()),
            None => (false, body),
        };
        let assigned = body.split_once('=').filter(|(key, _)| is_key(key.trim_end()));
        let Some((key, behind)) = assigned else {
            let piece = Self { text: line, assigned: None };
            return Some((piece, text.get(line_end..)?));
        };
        let key = key.trim_end();
        let start = line_end - behind.len();
        // A quoted value may go over several lines; without its second quote it is one line.
        let end = closing_quote(text.get(start..)?)
            .map(|at| start + at)
            .and_then(|at| {
                text.get(at..)?.find('\n').map(|more| at + more + 1).or(Some(text.len()))
            })
            .unwrap_or(line_end);
        let assigned = Assigned { export, key, value: text.get(start..end)?.trim() };
        let piece = Self { text: text.get(..end)?, assigned: Some(assigned) };
        Some((piece, text.get(end..)?))
    }
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

    const OLD: &str = "# ours and others\r\n\nexport SCIM_TOKEN='old # one'\nOTHER=\"two\nSCIM_TOKEN=no\n\" # tail\nnot an assignment\nPLAIN = a b # c\nSCIM_TOKEN=\"tw\\\"ice\\$\"\nBROKEN=\"x\nlast=1";

    #[test]
    fn lines_of_others_are_kept_to_the_byte_and_in_order() {
        let document = Document::parse(OLD.as_bytes()).unwrap();
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
            "# ours and others\r\n\nexport SCIM_TOKEN=\"n\\\"e\\\\w\\$\\`\"\nOTHER=\"two\nSCIM_TOKEN=no\n\" # tail\nnot an assignment\nPLAIN = a b # c\nBROKEN=\"x\nlast=1\nSCIM_TOKEN_ID=\"t\"\n"
        );
        let again = Document::parse(&new).unwrap();
        assert_eq!(again.text("SCIM_TOKEN").unwrap().as_str(), "n\"e\\w$`");
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
        assert!(is_key("SCIM_TOKEN") && is_key("_a1"));
        assert!(!is_key("") && !is_key("1A") && !is_key("A-B") && !is_key("A B"));
    }
}
