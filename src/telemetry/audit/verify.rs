//! Whether an audit log is what was written. Reads files of any size, line by line.

use std::io::{self, BufRead, Read};

use aws_lc_rs::digest::{Context, SHA256};

use super::chain::{self, Link, Read as Line, START, Torn, hex};

/// A line longer than this is none of ours.
const LONGEST_LINE: u64 = 1024 * 1024;

/// The first thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The file as it was named.
    pub file: String,
    /// The line, from 1; `None` where none is to blame.
    pub line: Option<u32>,
    /// What is wrong.
    pub what: String,
}

/// Something that is told in the log itself, and breaks nothing.
pub type Remark = Broken;

/// What was found in files that are in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// How many lines.
    pub lines: u64,
    /// What the first of them follows, unless it is the first of all.
    pub follows: Option<String>,
    /// The last one.
    pub last: Option<Link>,
    /// How many lines stand behind the head that was asked for.
    pub after_head: Option<u64>,
    /// What the log tells of itself and is no fault of it: torn lines.
    pub remarks: Vec<Remark>,
    /// Where lines are missing that could not be written.
    pub holes: Vec<Remark>,
    /// How many lines that are.
    pub missed: u64,
}

/// Reads one file after the other, oldest first.
#[derive(Debug)]
pub struct Verifier {
    found: Verified,
    head: Option<String>,
}

impl Verifier {
    /// `head`: the hash of a line that has to be there.
    #[must_use]
    pub fn new(head: Option<String>) -> Self {
        Self { found: Verified::default(), head }
    }

    /// Reads a file to its end.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn file(&mut self, name: &str, mut bytes: impl BufRead) -> Result<(), Broken> {
        let mut number: u32 = 0;
        let mut region: Option<Region> = None;
        let broken = |line, what: String| Broken { file: name.to_owned(), line: Some(line), what };
        let mut first = true;
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = (&mut bytes).take(LONGEST_LINE + 1).read_until(b'\n', &mut line);
            let count = read.map_err(|error| unreadable(name, &error))?;
            if count == 0 {
                break;
            }
            number = number.saturating_add(1);
            let whole = line.split_last().filter(|(last, _)| **last == b'\n').map(|(_, line)| line);
            let parsed = match whole {
                Some(whole) => chain::read(whole),
                None if u64::try_from(count).is_ok_and(|count| count > LONGEST_LINE) => {
                    Err("the line is longer than a line of an audit log can be".to_owned())
                }
                None => Err(CUT_OFF.to_owned()),
            };
            match parsed {
                Ok(parsed) => {
                    if let Some(what) = self.linked(&parsed, region.take(), first) {
                        return Err(broken(what.line.unwrap_or(number), what.what));
                    }
                    self.take(name, number, &parsed);
                    first = false;
                }
                Err(what) => {
                    let region = region.get_or_insert_with(|| Region::beginning(number, what));
                    region.feed(&line);
                }
            }
        }
        region.map_or(Ok(()), |region| Err(broken(region.line, region.what)))
    }

    /// Lines that could not be written after `last` (`None`: it is not known which was the last one),
    /// and that no line tells of yet.
    pub fn missed_after(&mut self, name: &str, last: Option<&Link>, missed: u64) {
        let elsewhere = last.is_some() && self.found.last.as_ref() != last;
        if missed == 0 || elsewhere {
            return;
        }
        let what = format!(
            "{} after the last one could not be written; the next line that is written will record this",
            lines(missed)
        );
        self.found.holes.push(Remark { file: name.to_owned(), line: None, what });
        self.found.missed = self.found.missed.saturating_add(missed);
    }

    /// Everything was read.
    ///
    /// # Errors
    /// When the head that was asked for is not there.
    pub fn finish(self, name: &str) -> Result<Verified, Broken> {
        if let (Some(head), None) = (&self.head, self.found.after_head) {
            let last = self.found.last.as_ref().map_or_else(
                || "the log is empty".to_owned(),
                |last| format!("the last line is number {} with hash {}", last.seq, last.hash),
            );
            return Err(Broken {
                file: name.to_owned(),
                line: None,
                what: format!(
                    "no line has the hash {head}: lines were cut off from the end, or this is a \
                     different log; {last}"
                ),
            });
        }
        Ok(self.found)
    }

    /// What is wrong with how a line follows the one before.
    fn linked(&self, line: &Line, region: Option<Region>, first: bool) -> Option<Wrong> {
        if let Some(region) = region {
            let (at, what) = (region.line, region.what.clone());
            if !line.torn.as_ref().is_some_and(|torn| region.is(torn)) {
                return Some(Wrong { line: Some(at), what });
            }
        } else if line.torn.is_some() {
            return Some("the line records damaged bytes before it, but there are none".into());
        }
        let opens = matches!(line.event.as_str(), chain::OPENED | chain::CONTINUED);
        match &self.found.last {
            Some(last) if line.prev != last.hash => Some(
                format!(
                    "the line follows {}, but the line before has {}: lines are missing, were \
                     inserted, or are in a different order",
                    line.prev, last.hash
                )
                .into(),
            ),
            Some(last) if line.link.seq != last.seq.saturating_add(1) => Some(
                format!("the line has number {}, after {}", line.link.seq, last.seq).into(),
            ),
            None if !opens => Some(
                "the file does not begin with its first line: lines were removed from its beginning"
                    .into(),
            ),
            Some(_) if first && !opens => {
                Some("the file does not begin with its first line".into())
            }
            None if (line.event == chain::OPENED) != (line.prev == START && line.link.seq == 1) => {
                Some("the first line is not the first of a chain".into())
            }
            _ if line.event == chain::CUT => Some(
                "the log itself records that lines before this one are missing: its end was cut \
                 off before this line was written"
                    .into(),
            ),
            Some(_) | None => None,
        }
    }

    fn take(&mut self, name: &str, number: u32, line: &Line) {
        let mut remark = |what: String| {
            self.found.remarks.push(Remark { file: name.to_owned(), line: Some(number), what });
        };
        if let Some(torn) = &line.torn {
            remark(format!(
                "{} bytes before this line are not a line: a process died while it wrote, and this \
                 line records it",
                torn.bytes
            ));
        }
        let found = &mut self.found;
        if line.missed > 0 {
            let what = format!("{} before this one could not be written", lines(line.missed));
            found.holes.push(Remark { file: name.to_owned(), line: Some(number), what });
            found.missed = found.missed.saturating_add(line.missed);
        }
        if found.last.is_none() && line.prev != START {
            found.follows = Some(line.prev.clone());
        }
        found.lines += 1;
        if let Some(after) = &mut found.after_head {
            *after += 1;
        }
        if let Some(head) = &self.head {
            if line.prev == *head && found.after_head.is_none() {
                found.after_head = Some(1);
            }
            if line.link.hash == *head {
                found.after_head = Some(0);
            }
        }
        found.last = Some(line.link.clone());
    }
}

/// A number of lines in words.
#[must_use]
pub fn lines(count: u64) -> String {
    if count == 1 { "1 line".to_owned() } else { format!("{count} lines") }
}

const CUT_OFF: &str = "the last line is incomplete: something was cut off, or a process died while \
                       it wrote (then the next line will record it)";

/// What is wrong, and where if not in the line at hand.
struct Wrong {
    line: Option<u32>,
    what: String,
}

impl<S: Into<String>> From<S> for Wrong {
    fn from(what: S) -> Self {
        Self { line: None, what: what.into() }
    }
}

/// Bytes that are no line, until one tells of them.
struct Region {
    /// Where they begin.
    line: u32,
    /// What is wrong with the first of them.
    what: String,
    /// All but the last byte, which may be the line break that the next writer put there.
    most: Context,
    count: u64,
    last: Option<u8>,
}

impl Region {
    fn beginning(line: u32, what: String) -> Self {
        Self { line, what, most: Context::new(&SHA256), count: 0, last: None }
    }

    fn feed(&mut self, bytes: &[u8]) {
        if let (Some(last), Some((next, most))) = (self.last, bytes.split_last()) {
            self.most.update(&[last]);
            self.most.update(most);
            self.last = Some(*next);
        } else if let Some((next, most)) = bytes.split_last() {
            self.most.update(most);
            self.last = Some(*next);
        }
        self.count = self.count.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    }

    /// Whether these are the bytes that a line tells of, with or without the line break behind them.
    fn is(self, torn: &Torn) -> bool {
        if torn.bytes == self.count {
            let mut all = self.most;
            all.update(self.last.as_slice());
            hex(all.finish().as_ref()) == torn.sha256
        } else {
            torn.bytes.saturating_add(1) == self.count
                && self.last == Some(b'\n')
                && hex(self.most.finish().as_ref()) == torn.sha256
        }
    }
}

fn unreadable(name: &str, error: &io::Error) -> Broken {
    let what = format!("the file cannot be read: {}", crate::error::system_words(error));
    Broken { file: name.to_owned(), line: None, what }
}
