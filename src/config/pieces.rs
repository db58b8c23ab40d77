//! Very many `[[connections]]`, parsed a piece at a time: parsed as a whole they take several hundred
//! bytes for each byte of their text, which then stay with the process.

use std::ops::Range;

use toml::{Spanned, de::DeTable};

use crate::table::{At, source::Source};

/// With fewer connections a file is parsed as a whole.
const MANY: usize = 256;

/// How many connections are parsed at once.
const AT_ONCE: usize = 128;

/// A file without its connections, and where these are.
pub(super) struct Pieces {
    /// The text, with spaces in the place of each piece.
    pub(super) rest: String,
    pieces: Vec<Range<usize>>,
}

impl Pieces {
    /// Splits a file; `None` where that is not worth it. Lines are looked at and nothing more: what is
    /// split in the wrong place (a list or a text of several lines with a `[` in front of one) does not
    /// parse, and then the whole is parsed.
    pub(super) fn of(source: &Source) -> Option<Self> {
        let text = source.text();
        let mut all = Vec::new();
        let mut open: Option<(usize, usize)> = None;
        let (mut offset, mut count) = (0, 0);
        for line in text.split_inclusive('\n') {
            let head = line.trim_start_matches([' ', '\t']);
            let begins = head.starts_with("[[connections]]");
            let belongs = head.starts_with("[connections.") || head.starts_with("[[connections.");
            if begins {
                count += 1;
                open = match open {
                    Some((start, held)) if held < AT_ONCE => Some((start, held + 1)),
                    Some((start, _)) => {
                        all.push(start..offset);
                        Some((offset, 1))
                    }
                    None => Some((offset, 1)),
                };
            } else if head.starts_with('[') && !belongs {
                all.extend(open.take().map(|(start, _)| start..offset));
            }
            offset += line.len();
        }
        all.extend(open.map(|(start, _)| start..offset));
        if count < MANY {
            return None;
        }
        let mut rest = String::with_capacity(text.len());
        let mut done = 0;
        for piece in &all {
            rest.push_str(text.get(done..piece.start)?);
            rest.extend(std::iter::repeat_n(' ', piece.len()));
            done = piece.end;
        }
        rest.push_str(text.get(done..)?);
        Some(Self { rest, pieces: all })
    }

    /// Parses each piece in turn, as a file that holds nothing else; `None` for one that cannot be parsed
    /// by itself.
    pub(super) fn parsed<'s>(
        &self,
        source: &'s Source,
    ) -> impl Iterator<Item = (At<'s>, Option<Spanned<DeTable<'s>>>)> {
        self.pieces.iter().map(|piece| {
            let text = source.text().get(piece.clone());
            (source.at(piece.start), text.and_then(|text| DeTable::parse(text).ok()))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fmt::Write, fs};

    use super::*;
    use crate::config::{self, Problem};

    const HEAD: &str = "[state]\nurl = \"sqlite://ledger.db\"\n[providers.a]\ntype = \"auth0\"\n\
                        domain = \"acme.eu.auth0.com\"\nclient_id = \"c\"\n\
                        client_secret = { env = \"S\" }\n[defaults]\ntoken_lifetime = \"30d\"\n";
    const TAIL: &str = "[sinks.disk]\ntype = \"file\"\ndirectory = \"tokens\"\n";

    /// So many connections of five lines each, the first one on line 11.
    fn many(count: usize) -> String {
        let mut text = format!("{HEAD}# Customers\n");
        for nth in 0..count {
            let _ = write!(
                text,
                "[[connections]]\nname = \"c{nth}\"\nprovider = \"a\"\n\
                 connection_id = \"con_{nth:016}\"\n\
                 deliver_to = [{{ sink = \"disk\", file = \"{nth}\" }}]\n"
            );
        }
        text + TAIL
    }

    #[expect(clippy::unwrap_in_result, reason = "a folder of the test's own")]
    fn loaded(text: &str) -> Result<Vec<String>, Vec<Problem>> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("scimitar.toml");
        fs::write(&file, text).unwrap();
        let env = BTreeMap::from([("S".to_owned(), "s".to_owned())]);
        let read = config::load(&file, &env);
        read.map(|config| {
            let file = |one: &config::ConnectionConfig| format!("{:?}", one.deliveries);
            config.connections.iter().map(|one| format!("{} {}", one.name, file(one))).collect()
        })
        .map_err(|problems| problems.iter().cloned().collect())
    }

    #[test]
    fn very_many_are_parsed_a_piece_at_a_time() {
        let text = many(300);
        let source = Source::made_up(&text);
        let pieces = Pieces::of(&source).unwrap();
        assert_eq!(pieces.pieces.len(), 3);
        assert_eq!(pieces.rest.len(), text.len());
        assert!(pieces.rest.contains("[sinks.disk]") && !pieces.rest.contains("[[connections]]"));
        assert!(pieces.parsed(&source).all(|(_, parsed)| parsed.is_some()));
        assert!(Pieces::of(&Source::made_up(&many(20))).is_none());
        let (all, few) = (loaded(&text).unwrap(), loaded(&many(20)).unwrap());
        assert_eq!((all.len(), &all[..20]), (300, few.as_slice()));
    }

    #[test]
    fn what_is_wrong_among_very_many_is_told_in_its_place() {
        let at = |text: &str| {
            let problems = loaded(text).unwrap_err();
            problems.iter().map(|one| one.line.unwrap()).collect::<Vec<_>>()
        };
        let line = |nth: u32| 11 + nth * 5;
        let misspelt = many(300).replace("name = \"c290\"", "nome = \"c290\"");
        assert!(at(&misspelt).contains(&(line(290) + 1)), "{:?}", at(&misspelt));
        let twice = many(300).replace("name = \"c290\"", "name = \"c7\"");
        assert_eq!(at(&twice), [line(290) + 1]);
        // What looks like a table within a text, and is none.
        let text = "owner = \"\"\"\n[[connections]]\n\"\"\"\n";
        let within = many(300).replace("name = \"c7\"", &format!("{text}name = \"c7\""));
        assert_eq!(at(&within), [line(7) + 1]);
        let in_two_ways = format!("connections = []\n{}", many(300));
        assert!(!at(&in_two_ways).is_empty());
    }
}
