//! Reads a TOML table key by key: every mistake is noted at its place, and reading goes on.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use toml::{
    Spanned,
    de::{DeString, DeTable, DeValue},
};

use super::{
    amount,
    findings::Findings,
    problem::{shown, suggest},
    source::At,
};
use crate::clock::{Timestamp, parse_timestamp};

/// Where a value is and what it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Set<'s, T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub at: At<'s>,
}

/// A table, and which of its keys were asked for: the others are mistakes.
pub struct Table<'s> {
    entries: &'s DeTable<'s>,
    /// How the table is called in messages, such as `[engine]`.
    name: String,
    at: At<'s>,
    /// Where the text begins that it was parsed from.
    base: usize,
    findings: &'s Findings,
    asked: RefCell<Vec<&'static str>>,
    made: Made,
}

/// How the keys of a table that was made differ from those that are written.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Made {
    /// Keys that were left out.
    pub left_out: &'static [&'static str],
    /// Keys that nobody writes.
    pub added: &'static [&'static str],
}

/// A key's value.
#[derive(Clone, Copy)]
pub(crate) struct Value<'s> {
    key: &'s str,
    /// Where the key stands.
    pub key_at: At<'s>,
    /// Where the value stands.
    pub at: At<'s>,
    base: usize,
    value: &'s DeValue<'s>,
    findings: &'s Findings,
}

impl<'s> Table<'s> {
    /// A whole file.
    pub(crate) fn root(entries: &'s DeTable<'s>, at: At<'s>, findings: &'s Findings) -> Self {
        Self::new(entries, String::new(), at, findings)
    }

    /// A piece of a file, which was parsed by itself and begins at that place.
    pub(crate) fn piece(entries: &'s DeTable<'s>, at: At<'s>, findings: &'s Findings) -> Self {
        let (_, base) = at.order();
        Self { base, ..Self::root(entries, at, findings) }
    }

    /// A table that was made, called `name` in messages, in the place of the one that it was made of.
    pub(crate) fn made(
        entries: &'s DeTable<'s>,
        name: &str,
        at: At<'s>,
        findings: &'s Findings,
        made: Made,
    ) -> Self {
        Self { made, ..Self::new(entries, name.to_owned(), at, findings) }
    }

    fn new(entries: &'s DeTable<'s>, name: String, at: At<'s>, findings: &'s Findings) -> Self {
        let (asked, made) = (RefCell::default(), Made::default());
        Self { entries, name, at, base: 0, findings, asked, made }
    }

    /// How the table is called in messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Where the table starts.
    pub(crate) fn at(&self) -> At<'s> {
        self.at
    }

    /// Where mistakes are noted.
    pub(crate) fn findings(&self) -> &'s Findings {
        self.findings
    }

    /// A key that may be left out.
    pub(crate) fn get(&self, key: &'static str) -> Option<Value<'s>> {
        // Twice, if it is asked for twice: very many tables are read, and few have an unknown key.
        self.asked.borrow_mut().push(key);
        let (name, value) = self.entries.get_key_value(key)?;
        Some(self.value(name, value))
    }

    /// A key that must be there.
    pub(crate) fn require(&self, key: &'static str, example: &str) -> Option<Value<'s>> {
        let value = self.get(key);
        if value.is_none() {
            self.findings.error(
                self.at,
                format!("`{key}` is missing in {}", self.name),
                format!("write {key} = {example}"),
            );
        }
        value
    }

    /// Every key and value, for tables whose keys are names.
    pub(crate) fn values(&self) -> impl Iterator<Item = (&'s str, Value<'s>)> {
        self.entries.iter().map(|(name, value)| (name.get_ref().as_ref(), self.value(name, value)))
    }

    /// Notes every key that nobody asked for, except those in `spared` (already refused).
    pub(crate) fn finish(self, spared: &[&str]) {
        let asked = self.asked.into_inner();
        let Made { left_out, added } = self.made;
        for name in self.entries.keys() {
            let key: &str = name.get_ref();
            if [asked.as_slice(), left_out, added, spared].iter().any(|keys| keys.contains(&key)) {
                continue;
            }
            let known = asked.iter().chain(left_out).filter(|key| !added.contains(key));
            let known: BTreeSet<&str> = known.copied().collect();
            let place =
                if self.name.is_empty() { String::new() } else { format!(" in {}", self.name) };
            self.findings.error(
                self.at.source().at(self.base + name.span().start),
                format!("unknown key `{}`{place}", shown(key)),
                suggest(key, known.iter().copied(), "the keys here are"),
            );
        }
    }

    fn value(&self, name: &'s Spanned<DeString<'s>>, value: &'s Spanned<DeValue<'s>>) -> Value<'s> {
        let source = self.at.source();
        Value {
            key: name.get_ref(),
            key_at: source.at(self.base + name.span().start),
            at: source.at(self.base + value.span().start),
            base: self.base,
            value: value.get_ref(),
            findings: self.findings,
        }
    }
}

impl<'s> Value<'s> {
    /// The key that it stands under.
    pub(crate) fn key(&self) -> &'s str {
        self.key
    }

    /// Where mistakes are noted.
    pub(crate) fn findings(&self) -> &'s Findings {
        self.findings
    }

    /// Notes that this value is not what it should be.
    pub(crate) fn refuse(&self, message: impl Into<String>, hint: impl Into<String>) {
        self.findings.error(self.at, message, hint);
    }

    /// The string, if it is one; notes nothing.
    pub(crate) fn as_str(&self) -> Option<&'s str> {
        self.value.as_str()
    }

    /// A string that is not empty.
    pub(crate) fn string(&self) -> Option<&'s str> {
        let text = self.typed("a string", DeValue::as_str)?;
        if text.trim().is_empty() {
            self.findings.plain_error(self.at, format!("`{}` is empty", self.key));
            return None;
        }
        Some(text)
    }

    /// A string that people read in one line.
    pub(crate) fn line(&self, example: &str) -> Option<String> {
        let text = self.string()?;
        if text.chars().any(char::is_control) {
            let key = self.key;
            self.refuse(format!("`{key}` must be one line"), format!("write {key} = {example}"));
            return None;
        }
        Some(text.to_owned())
    }

    /// A moment: a time with its offset, or a day, which stands for its beginning in UTC. Either as a
    /// date of TOML, or as text.
    pub(crate) fn moment(&self) -> Option<Timestamp> {
        const EXPECTED: &str = "a date such as 2027-03-01";
        let text = self.typed(EXPECTED, |value| match value {
            DeValue::String(text) => Some(text.to_string()),
            DeValue::Datetime(date) => Some(date.to_string()),
            DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => None,
        })?;
        let day = || parse_timestamp(&format!("{text}T00:00:00Z"));
        let moment = parse_timestamp(&text).or_else(day);
        if moment.is_none() {
            self.refuse(
                format!("`{}` is neither a day nor a time with an offset", self.key),
                "write a day, at whose start in UTC the token ends, such as 2027-03-01, or a time \
                 such as 2027-03-01T12:00:00Z",
            );
        }
        moment
    }

    /// A string without white space, as ids and names are that were copied from somewhere; `how` says
    /// from where.
    pub(crate) fn unbroken(&self, how: &str) -> Option<String> {
        let text = self.string()?;
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            self.refuse(format!("`{}` must not hold white space", self.key), how);
            return None;
        }
        Some(text.to_owned())
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&self) -> Option<bool> {
        self.typed("true or false", DeValue::as_bool)
    }

    /// A whole number within bounds.
    pub(crate) fn integer(&self, bounds: RangeInclusive<u32>) -> Option<u32> {
        let integer = self.typed("a whole number", DeValue::as_integer)?;
        let number = u32::from_str_radix(integer.as_str(), integer.radix()).ok();
        let fits = number.filter(|number| bounds.contains(number));
        if fits.is_none() {
            self.findings.plain_error(
                self.at,
                format!(
                    "`{}` must be a whole number from {} to {}",
                    self.key,
                    bounds.start(),
                    bounds.end()
                ),
            );
        }
        fits
    }

    /// A whole number of a size that ids have, above 0.
    pub(crate) fn natural(&self) -> Option<u64> {
        let integer = self.typed("a whole number", DeValue::as_integer)?;
        let number = u64::from_str_radix(integer.as_str(), integer.radix()).ok();
        let fits = number.filter(|number| *number > 0);
        if fits.is_none() {
            let message = format!("`{}` must be a whole number above 0", self.key);
            self.findings.plain_error(self.at, message);
        }
        fits
    }

    /// A number, whole or not, above 0 and not above `most`.
    pub(crate) fn positive(&self, most: f64) -> Option<f64> {
        let number = self.typed("a number", |value| match value {
            DeValue::Integer(integer) => Some(
                u32::from_str_radix(integer.as_str(), integer.radix()).map_or(f64::NAN, f64::from),
            ),
            DeValue::Float(float) => Some(float.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::String(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => None,
        })?;
        let fits = (number > 0.0 && number <= most).then_some(number);
        if fits.is_none() {
            self.findings.plain_error(
                self.at,
                format!("`{}` must be more than 0 and at most {most}", self.key),
            );
        }
        fits
    }

    /// A duration in whole seconds within bounds.
    pub(crate) fn duration(&self, bounds: RangeInclusive<Duration>) -> Option<Duration> {
        let text = self.text_with_unit("a duration such as \"24h\"")?;
        match amount::duration(text) {
            Ok(duration) => self.within(duration, bounds),
            Err(hint) => {
                self.refuse(format!("`{}` is not a duration", self.key), hint);
                None
            }
        }
    }

    /// Notes a duration outside its bounds.
    pub(crate) fn within(
        &self,
        duration: Duration,
        bounds: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        if bounds.contains(&duration) {
            return Some(duration);
        }
        let (word, bound) = if duration < *bounds.start() {
            ("at least", bounds.start())
        } else {
            ("at most", bounds.end())
        };
        let bound = amount::in_words(*bound);
        self.refuse(
            format!("`{}` must be {word} {bound}", self.key),
            format!("this is {}", amount::in_words(duration)),
        );
        None
    }

    /// A string that says an amount; a bare number is told to name its unit.
    pub(crate) fn text_with_unit(&self, expected: &str) -> Option<&'s str> {
        self.typed(expected, DeValue::as_str)
    }

    /// A path, relative to the file that holds it; absolute in the answer.
    pub(crate) fn path(&self) -> Option<PathBuf> {
        let text = self.string()?;
        if text.contains('\0') {
            self.findings.plain_error(self.at, format!("`{}` is not a path", self.key));
            return None;
        }
        let path = self.at.source().path(text);
        if let Some(trouble) = too_long(&path) {
            self.refuse(format!("`{}` {trouble}", self.key), "choose a shorter path");
            return None;
        }
        Some(path)
    }

    /// One of a few words.
    pub(crate) fn word<T: Copy>(&self, words: &[(&'static str, T)]) -> Option<T> {
        let text = self.typed("a string", DeValue::as_str)?;
        let found = words.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let names: Vec<_> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
            self.refuse(
                format!("`{}` cannot be \"{}\"", self.key, shown(text)),
                format!("it is one of {}", names.join(", ")),
            );
        }
        found.map(|(_, value)| *value)
    }

    /// A list.
    pub(crate) fn list(&self, expected: &str) -> Option<Vec<Value<'s>>> {
        let items = self.typed(expected, DeValue::as_array)?;
        let source = self.at.source();
        let item = |item: &'s Spanned<DeValue<'s>>| {
            let at = source.at(self.base + item.span().start);
            Value { key_at: at, at, value: item.get_ref(), ..*self }
        };
        Some(items.iter().map(item).collect())
    }

    /// A table, called `name` in messages.
    pub(crate) fn table(&self, name: impl Into<String>) -> Option<Table<'s>> {
        let entries = self.typed("a table", DeValue::as_table)?;
        let table = Table::new(entries, name.into(), self.at, self.findings);
        Some(Table { base: self.base, ..table })
    }

    /// Whether it is a table; notes nothing.
    pub(crate) fn is_table(&self) -> bool {
        self.value.is_table()
    }

    /// The value as plain data, for what only a service knows the keys of; dates as text.
    pub(crate) fn data(&self) -> serde_json::Value {
        data(self.value)
    }

    /// The value and its place.
    pub(crate) fn set<T>(&self, value: T) -> Set<'s, T> {
        Set { value, at: self.at }
    }

    fn typed<T>(
        &self,
        expected: &str,
        read: impl FnOnce(&'s DeValue<'s>) -> Option<T>,
    ) -> Option<T> {
        let value = read(self.value);
        if value.is_none() {
            self.findings.plain_error(
                self.at,
                format!("`{}` must be {expected}, not {}", self.key, self.kind_in_words()),
            );
        }
        value
    }

    fn kind_in_words(&self) -> &'static str {
        match self.value {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        }
    }
}

fn data(value: &DeValue<'_>) -> serde_json::Value {
    use serde_json::Value as Data;
    match value {
        DeValue::String(text) => Data::String(text.to_string()),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).map_or(Data::Null, Data::from)
        }
        DeValue::Float(number) => number.as_str().parse::<f64>().map_or(Data::Null, Data::from),
        DeValue::Boolean(truth) => Data::Bool(*truth),
        DeValue::Datetime(date) => Data::String(date.to_string()),
        DeValue::Array(items) => items.iter().map(|item| data(item.get_ref())).collect(),
        DeValue::Table(table) => {
            let pair = |(key, value): (&Spanned<DeString<'_>>, &Spanned<DeValue<'_>>)| {
                (key.get_ref().to_string(), data(value.get_ref()))
            };
            Data::Object(table.iter().map(pair).collect())
        }
    }
}

/// Why no system call takes a path (`PATH_MAX`, `NAME_MAX`), in words that go on from its name. It leaves
/// room for the longer names of scimitar's own files beside it.
pub(crate) fn too_long(path: &Path) -> Option<&'static str> {
    const LONGEST: usize = 4000;
    const LONGEST_PART: usize = 255;
    if path.as_os_str().len() > LONGEST {
        return Some("is a path of more than 4000 bytes");
    }
    let too_long = path.iter().any(|part| part.len() > LONGEST_PART);
    too_long.then_some("has a part of more than 255 bytes")
}
