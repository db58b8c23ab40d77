//! The table of contents, in the layout of mdBook.

use std::collections::BTreeSet;

use super::{documents, prose, text};

/// The pages that `docs/SUMMARY.md` lists, in its order.
fn listed() -> Vec<String> {
    let summary = text::read("docs/SUMMARY.md");
    let entries = summary.lines().filter(|line| line.contains("]("));
    let entries = entries.filter_map(|line| line.split("](").nth(1)?.split(')').next());
    entries.map(|page| format!("docs/{page}")).collect()
}

#[test]
fn every_page_is_in_the_summary_once() {
    let listed = listed();
    let unique: BTreeSet<String> = listed.iter().cloned().collect();
    assert_eq!(listed.len(), unique.len(), "{listed:?}");
    let pages = documents().into_iter().filter(|page| page.starts_with("docs/"));
    let pages: BTreeSet<String> = pages.filter(|page| page != "docs/SUMMARY.md").collect();
    assert_eq!(unique, pages);
}

/// mdBook takes a page's title from the summary, GitHub from its first line.
#[test]
fn every_page_begins_with_its_title() {
    for page in listed() {
        let document = text::read(&page);
        let titles = prose(&document).filter(|line| line.starts_with("# ")).count();
        assert!(document.starts_with("# "), "{page} does not begin with a title");
        assert_eq!(titles, 1, "{page} has {titles} titles");
    }
}

#[test]
fn the_readme_is_short() {
    let lines = text::read("README.md").lines().count();
    assert!(lines <= 150, "{lines} lines");
}

#[test]
fn the_book_is_where_its_configuration_says() {
    let book = text::read("book.toml");
    assert!(book.lines().any(|line| line == "src = \"docs\""), "{book}");
}
