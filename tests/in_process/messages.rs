//! Everything that the program can say, in one file: `messages.txt` beside this one. A reviewer reads
//! it in one sitting; a change of words shows there as a change of one line.
//!
//! `UPDATE_ARTEFACTS=1 cargo test --test in_process messages::` rewrites it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail the test")]

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use proc_macro2::{Delimiter, Group, Literal, TokenStream, TokenTree};

/// What rewrites the file.
const COMMAND: &str = "UPDATE_ARTEFACTS=1 cargo test --test in_process messages::";

/// Attributes whose strings a person sees: of `thiserror`, of `clap`, and the help of commands.
const SHOWN_ATTRIBUTES: [&str; 5] = ["error", "command", "arg", "value", "group"];

/// How statements for a database begin: nobody reads them.
const SQL: [&str; 18] = [
    "SELECT ",
    "INSERT ",
    "UPDATE ",
    "DELETE ",
    "CREATE ",
    "ALTER ",
    "DROP ",
    "PRAGMA ",
    "WITH ",
    "BEGIN ",
    "FROM ",
    "WHERE ",
    "ORDER BY ",
    "AND ",
    "ON CONFLICT",
    "SET ",
    "VALUES ",
    "LISTEN ",
];

/// The sources in the order of their paths.
fn sources(root: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![root.join("src")]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs" || end == "html") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// A file that is only compiled for tests.
fn only_for_tests(path: &Path) -> bool {
    let only = ["tests", "tests.rs", "testing.rs", "fixture.rs"];
    path.iter().any(|part| only.iter().any(|only| part == *only))
}

/// The value of a string literal as it stands between its quotes, a line's end as `\n`, `"` without its
/// backslash; nothing for a character, a number or bytes.
fn text_of(literal: &Literal) -> Option<String> {
    let source = literal.to_string();
    if let Some(raw) = source.strip_prefix('r') {
        let raw = raw.trim_matches('#').strip_prefix('"')?.strip_suffix('"')?;
        return Some(raw.replace('\n', "\\n"));
    }
    let inner = source.strip_prefix('"')?.strip_suffix('"')?;
    let (mut text, mut rest) = (String::new(), inner.chars().peekable());
    while let Some(c) = rest.next() {
        match (c, rest.peek()) {
            ('\\', Some('\n')) => while rest.next_if(|c| c.is_whitespace()).is_some() {},
            ('\\', Some('"' | '\'' | '\\')) => text.extend(rest.next()),
            ('\\', Some(_)) => text.extend([Some('\\'), rest.next()].into_iter().flatten()),
            ('\n', _) => text.push_str("\\n"),
            _ => text.push(c),
        }
    }
    Some(text)
}

/// Prose has a word beside a space, outside of what is filled in.
fn is_prose(text: &str) -> bool {
    let (mut depth, mut plain) = (0_usize, String::new());
    for c in text.replace("\\n", " ").replace("{{", "").replace("}}", "").chars() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ if depth == 0 => plain.push(c),
            _ => {}
        }
    }
    let word = |word: &str| {
        let word = word.trim_matches(|c: char| c.is_ascii_punctuation());
        word.len() > 1 && word.chars().all(|c| c.is_alphabetic() || "'-’".contains(c))
    };
    let spaced = text.contains(' ') || text.contains("\\n");
    let statement = SQL.iter().any(|start| text.trim_start().starts_with(start));
    spaced && !statement && plain.split_whitespace().any(word)
}

/// What an attribute shows to people, if anything.
fn attribute(group: &Group, help: bool, found: &mut Vec<String>) {
    let mut tokens = group.stream().into_iter();
    let Some(TokenTree::Ident(name)) = tokens.next() else { return };
    let name = name.to_string();
    if SHOWN_ATTRIBUTES.contains(&name.as_str()) || (help && name == "doc") {
        strings(tokens.collect(), help, found);
    }
}

/// Whether an attribute takes what follows out of the program.
fn is_test(group: &Group) -> bool {
    let text: String = group.stream().to_string().split_whitespace().collect();
    text == "cfg(test)" || text == "test" || text == "tokio::test"
}

/// Puts every string that people can see into `found`, in the order of the source.
fn strings(tokens: TokenStream, help: bool, found: &mut Vec<String>) {
    let (mut hash, mut skipping) = (false, false);
    for token in tokens {
        match token {
            TokenTree::Punct(punct) => {
                hash = punct.as_char() == '#' || (hash && punct.as_char() == '!');
                // `#[cfg(test)] mod tests;`
                skipping &= punct.as_char() != ';';
            }
            TokenTree::Group(group) if hash && group.delimiter() == Delimiter::Bracket => {
                hash = false;
                if is_test(&group) {
                    skipping = true;
                } else if !skipping {
                    attribute(&group, help, found);
                }
            }
            TokenTree::Group(group) => {
                if !skipping {
                    strings(group.stream(), help, found);
                }
                skipping &= group.delimiter() != Delimiter::Brace;
            }
            TokenTree::Literal(literal) if !skipping => {
                found.extend(text_of(&literal).filter(|text| is_prose(text)));
            }
            TokenTree::Literal(_) | TokenTree::Ident(_) => {}
        }
    }
}

/// The lines of a page that have words beside their tags.
fn lines_of_page(page: &str) -> Vec<String> {
    let untagged = |line: &str| {
        let parts = line.split('<').map(|part| part.split_once('>').map_or(part, |(_, text)| text));
        parts.collect::<Vec<_>>().join(" ")
    };
    page.lines()
        .filter(|line| is_prose(&untagged(line)))
        .map(|line| line.trim().to_owned())
        .collect()
}

fn messages() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut text = format!(
        "Everything that Scimitar can say, file by file; `{{…}}` is filled in.\n\
         Written by: {COMMAND}\n"
    );
    for path in sources(root) {
        let name = path.strip_prefix(root).unwrap();
        if only_for_tests(name) {
            continue;
        }
        let source = fs::read_to_string(&path).unwrap();
        let mut found = Vec::new();
        if name.extension().is_some_and(|extension| extension == "html") {
            found = lines_of_page(&source);
        } else {
            let tokens: TokenStream =
                source.parse().unwrap_or_else(|error| panic!("{}: {error}", name.display()));
            // Doc comments of what can be typed are its help.
            let help = name.starts_with("src/cli") || name == Path::new("src/cli.rs");
            strings(tokens, help, &mut found);
        }
        let mut seen = Vec::new();
        found.retain(|message| {
            !seen.contains(message) && {
                seen.push(message.clone());
                true
            }
        });
        if !found.is_empty() {
            writeln!(text, "\n{}", name.display()).unwrap();
        }
        for message in found {
            writeln!(text, "  {}", message.trim_end()).unwrap();
        }
    }
    text
}

#[test]
fn every_message_stands_in_one_file_for_reviewers() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/in_process/messages.txt");
    let now = messages();
    if std::env::var_os("UPDATE_ARTEFACTS").is_some() {
        return fs::write(&path, now).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    let (new, old): (Vec<_>, Vec<_>) = (
        now.lines().filter(|line| !kept.lines().any(|kept| kept == *line)).collect(),
        kept.lines().filter(|line| !now.lines().any(|now| now == *line)).collect(),
    );
    assert!(
        kept == now,
        "tests/in_process/messages.txt is out of date.\nadded: {new:#?}\nremoved: {old:#?}\n\
         Read the new messages, then rewrite the file: {COMMAND}"
    );
}

#[test]
fn strings_are_found_as_people_see_them() {
    let source = r###"
        //! not this comment
        /// nor that comment
        #[error("could not read {path}")]
        struct A;
        fn b() {
            let _ = ("one \"two\" \
                three", r#"raw "text" here"#, "identifier", "{} {name} ", 'c', b"not these bytes", 3);
            format!("ends here:\n  and {{ here }}");
            query("SELECT id FROM records");
        }
        #[cfg(test)]
        fn only(of: &str) { say("not what tests say") }
        #[cfg(test)]
        mod tests { const A: &str = "nor this one"; }
        #[expect(lint, reason = "nor a reason")]
        const C: &str = "and the last";
    "###;
    let mut found = Vec::new();
    strings(source.parse().unwrap(), false, &mut found);
    assert_eq!(
        found,
        [
            "could not read {path}",
            "one \"two\" three",
            "raw \"text\" here",
            "ends here:\\n  and {{ here }}",
            "and the last",
        ]
    );
    let mut helped = Vec::new();
    strings(source.parse().unwrap(), true, &mut helped);
    assert_eq!(helped[..2], [" not this comment", " nor that comment"]);
}
