//! Every kind of provider and sink has its page, and its row in the support matrix; and the chapters
//! that people look for are there.

use std::collections::BTreeSet;

use scimitar::config::schema::schema;

use super::{prose, text};

/// The kinds that the program knows, as `type = "…"` names them.
fn kinds(table: &str) -> Vec<String> {
    let schema = schema();
    let kinds = schema["properties"][table]["additionalProperties"]["oneOf"].as_array().unwrap();
    kinds
        .iter()
        .map(|kind| kind["properties"]["type"]["const"].as_str().unwrap().to_owned())
        .collect()
}

/// The pages below a part of the table of contents.
fn pages(part: &str) -> Vec<String> {
    let summary = text::read("docs/SUMMARY.md");
    let part = text::section(&summary, part);
    let links = part.lines().filter_map(|line| line.split("](").nth(1)?.split(')').next());
    links.map(|page| format!("docs/{page}")).collect()
}

#[test]
fn every_kind_has_its_page_and_its_row() {
    let (matrix, readme) = (text::read("docs/support-matrix.md"), text::read("README.md"));
    let users = pages("# Where the token is used");
    for (table, part, heading) in
        [("providers", "# Providers", "## Providers"), ("sinks", "# Sinks", "## Sinks")]
    {
        let kinds = kinds(table);
        assert!(kinds.len() > 3, "{kinds:?}");
        let rows = text::rows(text::section(&matrix, heading));
        let tried: BTreeSet<&str> = rows.iter().map(|row| row[1]).collect();
        for kind in &kinds {
            let shown = format!("type = \"{kind}\"");
            let pages = pages(part);
            let page = pages.iter().chain(&users).find(|page| text::read(page).contains(&shown));
            assert!(page.is_some(), "no page of {part} shows {shown}");
            // What one rehearses against is tested by rehearsing.
            if kind != "sandbox" {
                let quoted = format!("`{kind}`");
                assert!(tried.contains(quoted.as_str()), "{kind}: no row in the support matrix");
                assert!(readme.contains(&quoted), "{kind} is not in the README's matrix");
            }
        }
        // Nor does the matrix promise what is not there.
        for row in &rows {
            let kind = row[1].trim_matches('`');
            assert!(kinds.iter().any(|known| known == kind), "{row:?}");
            assert!(!row[2].is_empty(), "{row:?}");
        }
    }
}

#[test]
fn the_chapters_that_people_look_for_are_there() {
    for (page, headings) in [
        ("docs/first-rotation.md", &["1. Install", "10. Retire the old token, and let it run"][..]),
        ("docs/taking-over.md", &["The value is in a sink", "Many at once"]),
        ("docs/okta.md", &["From nothing", "Permissions"]),
        ("docs/entra.md", &["From nothing", "Permissions"]),
        ("docs/dbt-cloud.md", &["Set it up", "When something fails"]),
        (
            "docs/operations.md",
            &[
                "Back up the ledger",
                "Restore an old ledger",
                "The ledger is lost",
                "The ledger is damaged",
                "Move to another host",
                "The ledger and every sink are lost",
                "Upgrade",
                "Downgrade",
            ],
        ),
        ("docs/upgrade.md", &["Every upgrade", "From 0.1 to 0.2"]),
        (
            "docs/install.md",
            &["Debian and Ubuntu", "Fedora, RHEL, SUSE", "The archive", "The image", "Helm"],
        ),
        ("SECURITY.md", &["Reporting a vulnerability", "Supported versions", "What is supported"]),
        ("CONTRIBUTING.md", &["Set up", "A change", "A release"]),
    ] {
        let document = text::read(page);
        let there: Vec<&str> =
            prose(&document).filter_map(|line| line.strip_prefix("## ")).collect();
        for heading in headings {
            assert!(
                there.iter().any(|one| one.trim_end_matches(" ☁") == *heading),
                "{page} has no \"{heading}\": {there:?}"
            );
        }
    }
}

/// What the README has to hold, in the order in which people need it.
#[test]
fn the_readme_leads_in() {
    let readme = text::read("README.md");
    let headings: Vec<&str> = prose(&readme).filter_map(|line| line.strip_prefix("## ")).collect();
    assert_eq!(
        headings,
        [
            "Try it",
            "Use it",
            "Why not Terraform, or forty lines of script",
            "What works with what",
            "Documentation",
            "Limits",
            "Project",
        ]
    );
    let (before, _) = readme.split_once("\n## ").unwrap();
    for picture in ["docs/pictures/dark.webp", "docs/pictures/light.webp"] {
        assert!(before.contains(picture), "no picture on the first screen: {picture}");
        assert!(text::path(picture).exists(), "{picture}");
    }
    let why = text::rows(text::section(&readme, "## Why not Terraform, or forty lines of script"));
    for what in
        ["the answer to a create is lost", "a sink is down", "the old token is still in use"]
    {
        assert!(why.iter().any(|row| row[0] == what && row.len() == 4), "{what}");
    }
}
