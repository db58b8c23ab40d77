//! "When it says …" has a section for each reason that the program can give, and for no other.

use std::collections::BTreeSet;

use scimitar::rotation::why::Reason;

use super::{files, prose, text};

/// The page.
const PAGE: &str = "docs/when-it-says.md";

/// The parts that each section has.
const PARTS: [&str; 3] = ["**What happened.**", "**Why.**", "**What to do.**"];

#[test]
fn every_reason_has_its_section_and_the_other_way_round() {
    let document = text::read(PAGE);
    let headings = prose(&document).filter_map(|line| line.strip_prefix("### `"));
    let headings: Vec<&str> = headings.map(|rest| rest.trim_end_matches('`')).collect();
    let told: BTreeSet<&str> = headings.iter().copied().collect();
    assert_eq!(told.len(), headings.len(), "a section is there twice: {headings:?}");
    assert_eq!(told, Reason::ALL.map(Reason::as_str).into());
}

#[test]
fn each_section_says_cause_and_cure() {
    let document = text::read(PAGE);
    for reason in Reason::ALL {
        let section = text::section(&document, &format!("### `{}`", reason.as_str()));
        for part in PARTS {
            assert!(section.contains(part), "{}: {part} is missing", reason.as_str());
        }
    }
}

/// What people look a sentence up by is in the sources.
#[test]
fn the_sentences_of_the_tables_are_the_programs() {
    let sources = sources("src/").replace("\\\"", "\"");
    let document = text::read(PAGE);
    let lists = ["the sentence has", "it says"].map(|head| tables(&document, head));
    let [by_reason, by_words] = lists.each_ref().map(Vec::len);
    assert!(by_reason > 30 && by_words > 50, "{by_reason} {by_words}");
    for row in lists.concat() {
        for part in parts(row[0]) {
            assert!(sources.contains(part), "{part:?} of \"{}\" is in no source", row[0]);
        }
    }
}

#[test]
fn every_reason_is_found_by_a_sentence() {
    let document = text::read(PAGE);
    let rows = tables(&document, "the sentence has");
    for reason in Reason::ALL.map(Reason::as_str) {
        let link = format!("[`{reason}`](#{reason})");
        assert!(rows.iter().any(|row| row[1].contains(&link)), "no sentence leads to {reason}");
    }
}

/// Every answer by which an operator's command is refused.
#[test]
fn every_refusal_of_a_command_is_found_by_its_words() {
    let source = sources("src/rotation/operate.rs");
    let rows = tables(text::section(&text::read(PAGE), "## A command is refused"), "it says")
        .iter()
        .map(|row| row[0].to_owned())
        .collect::<Vec<_>>();
    let mut refusals: Vec<&str> = source
        .split("NotDone::Refused(")
        .skip(1)
        .filter_map(|rest| {
            let literal = rest.trim_start().trim_start_matches("format!(").trim_start();
            literal.strip_prefix('"')?.split_once('"').map(|(words, _)| words)
        })
        .collect();
    // One is put together before it is known whether it is a refusal.
    let there_is_none = "there is no client {client}, and no token needs to be handed over";
    assert!(source.contains(there_is_none));
    refusals.push(there_is_none);
    assert!(refusals.len() > 15, "{refusals:#?}");
    let says = |row: &str, refusal: &str| parts(row).all(|part| refusal.contains(part));
    for refusal in &refusals {
        let found = rows.iter().any(|row| says(row, refusal));
        assert!(found, "no row of {PAGE} finds \"{refusal}\"");
    }
    for row in &rows {
        assert!(refusals.iter().any(|refusal| says(row, refusal)), "nothing says \"{row}\"");
    }
}

/// Every word of `error.type` has its row.
#[test]
fn every_answer_of_a_service_has_its_row() {
    let source = sources("src/error.rs");
    let (_, codes) = source.split_once("impl Code {").unwrap();
    let (codes, _) = codes.split_once("} } }").unwrap();
    let words: BTreeSet<&str> =
        codes.split("=> \"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(words.len() > 15, "{words:?}");
    let document = text::read(PAGE);
    let rows = text::rows(text::section(&document, "## How a service answers"));
    let listed: BTreeSet<&str> = rows.iter().map(|row| row[0].trim_matches('`')).collect();
    assert_eq!(listed, words);
    assert!(rows.iter().all(|row| row.len() == 3 && !row[2].is_empty()), "{rows:?}");
}

/// The sources below a path, in one line.
fn sources(below: &str) -> String {
    let sources: String = files()
        .into_iter()
        .filter(|file| file.starts_with(below) && file.ends_with(".rs"))
        .map(|file| text::read(&file).replace("\\\n", " "))
        .collect();
    sources.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What stands between the places that are filled in.
fn parts(sentence: &str) -> impl Iterator<Item = &str> {
    sentence.split('…').map(|part| part.trim_matches([' ', ','])).filter(|part| !part.is_empty())
}

/// The rows of the tables whose first column is headed so.
fn tables<'d>(document: &'d str, head: &str) -> Vec<Vec<&'d str>> {
    let start = format!("| {head} |");
    document.split("\n\n").filter(|part| part.starts_with(&start)).flat_map(text::rows).collect()
}

/// Each alert is in the table of the page, with a link to what to do about it.
#[test]
fn every_alert_is_in_the_table() {
    let document = text::read(PAGE);
    let mut rules = 0;
    for file in ["monitoring/alerts.yml", "monitoring/alerts_cronjob.yml"] {
        let file = text::read(file);
        for alert in file.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
            rules += 1;
            assert!(document.contains(&format!("| [{alert}](")), "{alert} is not in {PAGE}");
        }
    }
    assert!(rules > 20, "{rules}");
}
