//! The documents as one book: every page is in its table of contents, every link and path leads
//! somewhere, and what is taken from the program is what the program has.
//!
//! `UPDATE_README=1 cargo test readme::` rewrites the pictures and the configuration reference.

#![expect(clippy::unwrap_used, reason = "a test ends where what it needs is not there")]

#[cfg(test)]
mod causes;
#[cfg(test)]
mod configuration;
#[cfg(test)]
mod contents;
#[cfg(test)]
mod diagram;
#[cfg(test)]
mod kinds;
#[cfg(test)]
mod links;

use std::path::Path;

use scimitar_test_support::text;

/// What people read: the documents at the top and in `docs/`.
fn documents() -> Vec<String> {
    let mut documents: Vec<String> = files().into_iter().filter(|file| is_document(file)).collect();
    documents.sort();
    assert!(documents.contains(&"docs/architecture.md".to_owned()), "{documents:?}");
    documents
}

fn is_document(file: &str) -> bool {
    let folder = Path::new(file).parent().and_then(Path::to_str);
    file.ends_with(".md") && folder.is_some_and(|folder| folder.is_empty() || folder == "docs")
}

/// The files of the project, from its top.
fn files() -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![text::path("")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if ["target", ".git", "example-data"].contains(&name.as_str()) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(text::path("")).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found
}

/// A document's lines outside of code blocks.
fn prose(document: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    document.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}
