//! The command reference, `docs/commands.md`: what stands behind its mark is what `--help` prints.

use std::{fmt::Write as _, fs, path::Path};

use super::printed;

const MARK: &str = "<!-- From here on this page is generated from --help; do not edit it. -->\n";

/// What every command takes, described once at the top.
const EVERYWHERE: [&str; 5] = ["--config", "--output", "--quiet", "--verbose", "--help"];

#[test]
fn the_command_reference_is_what_help_prints() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/commands.md");
    let page = fs::read_to_string(&path).unwrap();
    let (head, kept) = page.split_once(MARK).unwrap();
    let mut generated = String::new();
    tell(&[], &mut generated);
    if std::env::var_os("UPDATE_ARTEFACTS").is_some() {
        fs::write(&path, format!("{head}{MARK}{generated}")).unwrap();
        return;
    }
    assert!(
        kept == generated,
        "docs/commands.md is not what the program prints; to rewrite it: \
         UPDATE_ARTEFACTS=1 cargo test --test servers at_hand::"
    );
    for command in super::commands() {
        assert!(kept.contains(&format!("\n## `scimitar {command}")), "{command}");
    }
}

/// One command, and those below it.
fn tell(command: &[&str], page: &mut String) {
    let help = printed(&[command, &["--help"]].concat());
    let (about, usage) = help.split_once("\n\n").unwrap();
    let words: Vec<&str> = std::iter::once("scimitar").chain(command.iter().copied()).collect();
    let name = words.join(" ");
    let about = about.split_whitespace().collect::<Vec<_>>().join(" ");
    let shown = if command.is_empty() { usage.trim_end().to_owned() } else { own(usage) };
    writeln!(page, "\n## `{name}`\n\n{about}\n\n```text\n{shown}\n```").unwrap();
    let Some((_, listed)) = help.split_once("\nCommands:\n") else { return };
    let listed = listed.split("\n\n").next().unwrap_or_default();
    // A line that goes on with what is said of the one before it stands further in.
    let named = listed.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    for below in named.filter_map(|line| line.split_whitespace().next()) {
        if below != "help" {
            tell(&[command, &[below]].concat(), page);
        }
    }
}

/// The help without the options that every command has.
fn own(help: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut skipping = false;
    for line in help.lines() {
        let option = line.starts_with("  ") && line.trim_start().starts_with('-');
        if option && line.len() - line.trim_start().len() < 10 {
            skipping = EVERYWHERE
                .iter()
                .any(|flag| line.split([' ', ',', '.', '=', '[']).any(|word| word == *flag));
        } else if !line.is_empty() && !line.starts_with(' ') {
            skipping = false;
        }
        if !skipping {
            kept.push(line.trim_end());
        }
    }
    let text = kept.join("\n");
    let mut text = text.trim_end().to_owned();
    if let Some(rest) = text.strip_suffix("Options:") {
        text = rest.trim_end().to_owned();
    }
    while text.contains("\n\n\n") {
        text = text.replace("\n\n\n", "\n\n");
    }
    let text = text.replace("Options:\n\n", "Options:\n");
    // Where none is left, their heading goes as well.
    match text.split_once("Options:\n") {
        Some((before, after)) if !after.starts_with(' ') => format!("{before}{after}"),
        _ => text,
    }
}
