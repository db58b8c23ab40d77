//! What a template may come to. It is a few words of an operator's own file; but a slip in one of them must
//! not use up the memory of a daemon that rotates everybody's tokens, so each way to make much out of
//! little has an end:
//!
//! - the text of a template is bounded, and what nests in it;
//! - of tags there are those of conditions and loops, which write what they make; what keeps text for
//!   later use (`set`, `filter`, …) could double it with each line;
//! - an operator cannot multiply, since nothing could stop it in time;
//! - filters are given what they can make only little of, and what they made is measured;
//! - the steps of one rendering are counted, and so is what it writes.

use std::{io, sync::LazyLock};

use minijinja::{
    Environment, Error, ErrorKind, Template, UndefinedBehavior, Value,
    value::{Rest, ValueKind, ValueOrKwargs},
};
use zeroize::Zeroizing;

/// The longest template, in bytes.
const LONGEST: usize = 16 * 1024;

/// The most that a filter may make of what it is given: bytes of a text, items of a list.
const MOST: usize = 16 * 1024;

/// The largest number that a filter is given: a width, a count.
const LARGEST: i64 = 1_000;

/// The most that a template may write, in bytes: as much as the sink with the most room takes.
pub(super) const MOST_WRITTEN: usize = 1024 * 1024;

/// So many steps may one rendering take; a usual template takes some ten.
const STEPS: u64 = 50_000;

/// So deep may brackets stand in one another: each list that is written as text doubles the backslashes
/// in it.
const BRACKETS: usize = 5;

/// So deep may conditions and loops stand in one another.
const BLOCKS: usize = 30;

/// The tags that there are.
const TAGS: [&str; 8] = ["if", "elif", "else", "endif", "for", "endfor", "raw", "endraw"];

/// The filters that can make more than they are given.
const GROWING: [&str; 16] = [
    "batch", "chain", "e", "escape", "format", "indent", "join", "lines", "list", "pprint",
    "replace", "slice", "split", "string", "unique", "zip",
];

/// The engine's own filters.
static OWN: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut own = Environment::new();
    own.set_undefined_behavior(UndefinedBehavior::Strict);
    own.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    own
});

/// Bounds what is rendered.
pub(super) fn bind(environment: &mut Environment<'static>) {
    environment.set_fuel(Some(STEPS));
    environment.set_recursion_limit(BLOCKS + BRACKETS);
    for name in GROWING {
        environment.add_filter(name, move |given: Rest<ValueOrKwargs>| bounded(name, given));
    }
}

fn bounded(name: &str, given: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let given: Vec<Value> = given.into_values().into_iter().map(counted).collect();
    let made = fits(name, &given).then(|| OWN.empty_state().apply_filter(name, &given));
    let made = made.unwrap_or_else(|| Err(too_much(name)))?;
    let made = counted(made);
    if size(&made).is_none_or(|size| size > MOST) {
        return Err(too_much(name));
    }
    Ok(made)
}

/// The same where a list is made item by item as it is read, and nobody knows how many there are: as
/// many of them as are allowed, and one more.
fn counted(value: Value) -> Value {
    if value.kind() != ValueKind::Iterable || value.len().is_some() {
        return value;
    }
    let items = value.try_iter().map(|items| items.take(MOST + 1).collect::<Vec<_>>());
    items.map_or(value, Value::from)
}

fn too_much(name: &str) -> Error {
    let words = format!("the filter {name} would produce more than 16 KiB");
    Error::new(ErrorKind::InvalidOperation, words)
}

/// How much a value is; `None`: nobody knows before it is made.
fn size(value: &Value) -> Option<usize> {
    if matches!(value.kind(), ValueKind::String | ValueKind::Bytes) {
        return Some(value.as_bytes().map_or(0, <[u8]>::len));
    }
    let many = matches!(value.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::Iterable);
    if many { value.len() } else { Some(0) }
}

/// Whether what a filter makes is known to be little before it is made.
fn fits(name: &str, given: &[Value]) -> bool {
    let text = |at: usize| given.get(at).and_then(Value::as_str).unwrap_or_default();
    let within = |count: usize, each: usize| count.checked_mul(each).is_some_and(|it| it <= MOST);
    let small = |value: &Value| value.as_i64().is_none_or(|number| number.abs() <= LARGEST);
    let named = |value: &Value| {
        let mut keys = value.try_iter().into_iter().flatten();
        !value.is_kwargs() || keys.all(|key| value.get_item(&key).is_ok_and(|it| small(&it)))
    };
    if !given.iter().all(|value| size(value).is_some_and(|size| size <= MOST)) {
        return false;
    }
    match name {
        "replace" => within(text(0).matches(text(1)).count(), text(2).len()),
        "join" => within(given.first().and_then(size).unwrap_or(0), text(1).len()),
        // A width of four digits would be more than the number allows.
        "format" => !text(0).contains('*') && longest_number(text(0)) < 4,
        _ => given.iter().skip(1).all(|value| small(value) && named(value)),
    }
}

fn longest_number(text: &str) -> usize {
    text.split(|char: char| !char.is_ascii_digit()).map(str::len).max().unwrap_or(0)
}

/// What is wrong with a template, by its text and by what stands in its `expressions`.
///
/// # Errors
/// In words.
pub(super) fn check(text: &str, expressions: &str) -> Result<(), String> {
    if text.len() > LONGEST {
        return Err(format!("it is longer than {} KiB", LONGEST / 1024));
    }
    let mut blocks: usize = 0;
    // Wherever it stands: what is no tag, in a text or a comment, can be written in another way.
    for behind in text.split("{%").skip(1) {
        let behind = behind.trim_start_matches(['-', '+']).trim_start();
        let word = behind.split(|char: char| !char.is_alphanumeric() && char != '_').next();
        let word = word.unwrap_or_default();
        if !TAGS.contains(&word) {
            return Err(format!("there is no tag {word:?} here; the tags are {}", TAGS.join(", ")));
        }
        match word {
            "if" | "for" => blocks += 1,
            "endif" | "endfor" => blocks = blocks.saturating_sub(1),
            _ => {}
        }
        if blocks > BLOCKS {
            return Err(format!("more than {BLOCKS} conditions and loops are nested"));
        }
    }
    if expressions.contains('*') {
        return Err("multiplication is not allowed in templates".to_owned());
    }
    if expressions.split(|char: char| !char.is_alphanumeric()).any(|word| word == "recursive") {
        return Err("a loop cannot be recursive".to_owned());
    }
    let mut open: usize = 0;
    for char in expressions.chars() {
        match char {
            '(' | '[' | '{' => open += 1,
            ')' | ']' | '}' => open = open.saturating_sub(1),
            super::BEGINS => open = 0,
            _ => {}
        }
        if open > BRACKETS {
            return Err(format!("more than {BRACKETS} brackets are nested"));
        }
    }
    Ok(())
}

/// Fills a template in, and stops when it writes too much.
///
/// # Errors
/// When it fails, or comes to more than [`MOST_WRITTEN`].
pub(super) fn render(template: &Template<'_, '_>, context: Value) -> Result<String, Error> {
    let mut written = Written { bytes: Zeroizing::default(), full: false };
    let rendered = template.render_captured_to(context, &mut written).map(drop);
    if written.full {
        let words = format!("its result is longer than {} KiB", MOST_WRITTEN / 1024);
        return Err(Error::new(ErrorKind::WriteFailure, words));
    }
    rendered?;
    String::from_utf8(std::mem::take(&mut *written.bytes))
        .map_err(|_| Error::new(ErrorKind::BadSerialization, "its result is not text"))
}

struct Written {
    bytes: Zeroizing<Vec<u8>>,
    full: bool,
}

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.full |= self.bytes.len() + bytes.len() > MOST_WRITTEN;
        if self.full {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
