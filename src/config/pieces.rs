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
