//! The files of the repository, and the marked blocks in its documents.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
};

/// Only one test at a time writes a document.
static WRITER: Mutex<()> = Mutex::new(());

/// A path of the repository.
pub fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name)
}

/// A file of the repository.
pub fn read(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The contents of the code blocks that follow the line `<!-- MARK -->`, in their order.
pub fn blocks(document: &str, mark: &str) -> Vec<String> {
    let mark = format!("<!-- {mark} -->\n```");
    let after = document.split(mark.as_str()).skip(1);
    after
        .map(|rest| {
            let (_language, rest) = rest.split_once('\n').unwrap();
            let (inside, _) = rest.split_once("```\n").expect("a code block has an end");
            inside.to_owned()
        })
        .collect()
}

/// Whether this run rewrites what documents show.
pub fn updating() -> bool {
    std::env::var_os("UPDATE_README").is_some()
}

/// Writes a document with other contents in the code blocks that follow the line `<!-- MARK -->`.
pub fn update(name: &str, mark: &str, contents: &[String]) {
    let _guard = WRITER.lock().unwrap();
    let document = read(name);
    let line = format!("<!-- {mark} -->\n```");
    let mut parts = document.split(line.as_str());
    let mut written = parts.next().unwrap().to_owned();
    for (part, content) in parts.zip(contents) {
        let (language, rest) = part.split_once('\n').unwrap();
        let (_, behind) = rest.split_once("```\n").unwrap();
        written.extend([&line, language, "\n", content, "```\n", behind]);
    }
    assert_eq!(blocks(&written, mark), contents);
    fs::write(path(name), written).unwrap();
}

/// Everything in `document` between backquotes that begins with `prefix`.
pub fn quoted<'d>(document: &'d str, prefix: &str) -> Vec<&'d str> {
    document.split('`').skip(1).step_by(2).filter(|word| word.starts_with(prefix)).collect()
}

/// The part of a document below a heading, up to the next heading of the same or a higher level.
pub fn section<'d>(document: &'d str, heading: &str) -> &'d str {
    let level = heading.split_once(' ').unwrap().0;
    let (_, below) = document.split_once(&format!("\n{heading}\n")).expect(heading);
    let ends = |line: &str| {
        line.split_once(' ').is_some_and(|(marks, _)| {
            !marks.is_empty()
                && marks.bytes().all(|byte| byte == b'#')
                && marks.len() <= level.len()
        })
    };
    let mut fenced = false;
    let mut length = 0;
    for line in below.split_inclusive('\n') {
        fenced ^= line.starts_with("```");
        if !fenced && ends(line) {
            break;
        }
        length += line.len();
    }
    below.get(..length).unwrap()
}

/// The cells of every row of the tables in a part of a document, without their headings.
pub fn rows(part: &str) -> Vec<Vec<&str>> {
    let mut rows = Vec::new();
    let mut lines = part.lines().peekable();
    while let Some(line) = lines.next() {
        let heading = lines.peek().is_some_and(|next| next.starts_with("|---"));
        if line.starts_with('|') && !line.starts_with("|---") && !heading {
            rows.push(line.trim_matches('|').split(" | ").map(str::trim).collect());
        }
    }
    rows
}
