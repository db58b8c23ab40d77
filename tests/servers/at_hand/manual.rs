//! The manual page, as mandoc reads it.

use std::{path::Path, process::Command};

use super::{commands, debian, printed};

fn mandoc() -> Command {
    debian::command(&debian::root(&["mandoc"]), "usr/bin/mandoc")
}

fn page() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/scimitar.1"))
}

#[test]
fn mandoc_has_nothing_to_say_against_it() {
    let ended = mandoc().args(["-T", "lint", "-W", "warning"]).arg(page()).output().unwrap();
    let said = String::from_utf8(ended.stdout).unwrap();
    let said: Vec<_> = said.lines().collect();
    // A date would be that of the day it was made on, and the page another one every day.
    let undated = said.iter().all(|line| line.ends_with("missing date, using \"\": TH"));
    assert!(undated && said.len() <= 1, "{said:?}");
}

/// Every command has a section with its options, every option of all of them is described once.
#[test]
fn it_tells_of_every_command_and_option() {
    let ended = mandoc().args(["-T", "ascii", "-O", "width=100"]).arg(page()).output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    let page = plain(&String::from_utf8(ended.stdout).unwrap());
    for heading in [
        "NAME",
        "SYNOPSIS",
        "OPTIONS",
        "COMMANDS",
        "EXIT STATUS",
        "FILES",
        "ENVIRONMENT",
        "SIGNALS",
        "EXAMPLES",
    ] {
        assert!(page.lines().any(|line| line == heading), "{heading}\n{page}");
    }
    let (_, sections) = page.split_once("\nCOMMANDS\n").unwrap();
    let (sections, _) = sections.split_once("\nEXIT STATUS\n").unwrap();
    let mut count = 0;
    for command in commands() {
        let usage = format!("   scimitar {command} ");
        let (_, section) =
            sections.split_once(&usage).unwrap_or_else(|| panic!("{command}\n{page}"));
        let section = section.split("\n   scimitar ").next().unwrap();
        for flag in flags(&printed(&[&command, "--help"])) {
            count += 1;
            let everywhere =
                ["--config", "--output", "--quiet", "--verbose", "--help"].contains(&flag.as_str());
            let place = if everywhere { &page } else { section };
            assert!(place.contains(&flag), "{command} {flag}\n{page}");
            assert!(!everywhere || !section.contains(&format!("   {flag}")), "{command} {flag}");
        }
    }
    assert!(count > 40, "{count}");
}

/// Without the backspaces that terminals are told bold and italic by.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    for c in text.chars() {
        if c == '\u{8}' {
            plain.pop();
        } else {
            plain.push(c);
        }
    }
    plain
}

fn flags(help: &str) -> Vec<String> {
    let options = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    let names = options.filter_map(|line| line.split(' ').find(|word| word.starts_with("--")));
    // One that can be given several times ends in dots.
    names.map(|name| name.trim_end_matches('.').to_owned()).collect()
}
