//! `include = ["connections.d/*.toml"]`: further files with connections.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use crate::{
    error::system_words,
    pattern,
    table::{
        Table, Value, shown,
        source::{Source, Unread, plain},
    },
};

/// Reads every file that `include` names: patterns in their order, matches by name, each file
/// once. `main` is the including file's path as it was given; patterns start at its folder.
pub(super) fn sources(root: &Table<'_>, main: &Path) -> Vec<Source> {
    let Some(value) = root.get("include") else {
        return Vec::new();
    };
    let mut seen: BTreeSet<PathBuf> = fs::canonicalize(main).into_iter().collect();
    let mut sources = Vec::new();
    for item in value.list("a list of paths").unwrap_or_default() {
        for path in matches(&item, main).unwrap_or_default() {
            // A file that cannot be found is for Source::read to report.
            if let Ok(real) = fs::canonicalize(&path)
                && !seen.insert(real)
            {
                continue;
            }
            match Source::read(&path, sources.len() + 1) {
                Ok(source) => sources.push(source),
                Err(unread) => {
                    let trouble = match unread {
                        Unread::Io(error) => system_words(&error),
                        Unread::NotText(line, column) => {
                            format!("it is not UTF-8 text (line {line}, column {column})")
                        }
                    };
                    item.findings().error(
                        item.at,
                        format!("the included {} cannot be read: {trouble}", path.display()),
                        "a path without * or ? must exist; every match must be readable",
                    );
                }
            }
        }
    }
    sources
}

fn matches(item: &Value<'_>, main: &Path) -> Option<Vec<PathBuf>> {
    let pattern = item.string()?;
    let path = plain(&main.with_file_name("").join(pattern));
    let wild = |text: &str| text.contains(['*', '?']);
    if !wild(pattern) {
        return Some(vec![path]);
    }
    let (folder, name) = match pattern.rsplit_once('/') {
        Some((folder, name)) => (folder, name),
        None => ("", pattern),
    };
    if wild(folder) || name.is_empty() {
        item.refuse(
            format!("`include` pattern \"{}\" is not valid", shown(pattern)),
            "* and ? are allowed only in the last part of a path",
        );
        return None;
    }
    let folder = path.with_file_name("");
    let here = if folder.as_os_str().is_empty() { Path::new(".") } else { &folder };
    let entries = match fs::read_dir(here) {
        Ok(entries) => entries,
        // Nothing there yet is what a pattern is for.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Some(Vec::new()),
        Err(error) => {
            item.findings().plain_error(
                item.at,
                format!("the folder of `include` cannot be read: {}", system_words(&error)),
            );
            return None;
        }
    };
    let mut found: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .filter(|entry| {
            let file_name = entry.file_name();
            file_name.to_str().is_some_and(|file| fits(name, file))
        })
        .map(|entry| path.with_file_name(entry.file_name()))
        .filter(|path| !path.is_dir())
        .collect();
    found.sort();
    Some(found)
}

/// Whether a file's name fits a pattern. As in a shell, what begins with a dot fits only a pattern that
/// does.
fn fits(pattern: &str, name: &str) -> bool {
    (!name.starts_with('.') || pattern.starts_with('.')) && pattern::fits(pattern, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_with_a_dot_fits_only_a_pattern_that_does() {
        for (pattern, name, expected) in [
            ("*.toml", "a.toml", true),
            ("*.toml", ".toml", false),
            ("?toml", ".toml", false),
            (".*", ".toml", true),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }
}
