//! The manual page: options and commands as the command line defines them, the rest by hand in `manual/`.

use std::io;

use clap::Command;
use clap_mangen::Man;

use crate::cli::definition;

/// An apostrophe that stays one, as the renderer of the options expects it to be defined.
const PREAMBLE: &str = ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n";

/// What comes before the options.
const BEFORE: &str = include_str!("manual/before.roff");

/// What comes after the commands.
const AFTER: &str = include_str!("manual/after.roff");

/// The page.
///
/// # Errors
/// None that are known of: it is written to memory.
pub(super) fn page() -> io::Result<String> {
    let mut top = definition();
    // The revision of a build is no part of the page.
    let version = concat!("scimitar ", env!("CARGO_PKG_VERSION"));
    let mut page =
        format!("{PREAMBLE}.TH SCIMITAR 1 \"\" \"{version}\" \"User Commands\"\n{BEFORE}");
    page.push_str(".SH OPTIONS\n");
    page.push_str(&options(&top)?);
    page.push_str(".SH COMMANDS\n");
    top.build();
    for command in top.get_subcommands().filter(|command| is_shown(command)) {
        section(command, &mut page)?;
    }
    page.push_str(AFTER);
    Ok(page)
}

/// A command, or those that it has of its own.
fn section(command: &Command, page: &mut String) -> io::Result<()> {
    let mut inner = command.get_subcommands().filter(|inner| is_shown(inner)).peekable();
    if inner.peek().is_some() {
        return inner.try_for_each(|inner| section(inner, page));
    }
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    page.extend([".SS \"", &escaped(usage), "\"\n", &escaped(&about), ".\n"]);
    page.push_str(&options(command)?);
    if let Some(examples) = command.get_after_help() {
        page.push_str(&verbatim(&examples.to_string()));
    }
    Ok(())
}

fn is_shown(command: &Command) -> bool {
    command.get_name() != "help" && !command.is_hide_set()
}

/// Lines as they are.
fn verbatim(text: &str) -> String {
    let lines = text.lines().map(|line| escaped(line) + "\n");
    format!(".PP\n.nf\n{}.fi\n", lines.collect::<String>())
}

/// A command's own options and arguments; those of all commands are described once.
fn options(command: &Command) -> io::Result<String> {
    let is_top = command.get_name() == "scimitar";
    let hidden = |arg: clap::Arg| {
        let everywhere = arg.is_global_set() || arg.get_id() == "help";
        let hide = everywhere && !is_top;
        arg.hide(hide)
    };
    let own = Man::new(command.clone().mut_args(hidden));
    let text = rendered(|out| own.render_options_section(out))?;
    let own = text.split_once(".SH OPTIONS\n").map(|(_, own)| own).unwrap_or_default();
    // An empty line between two breaks is what roff calls a space.
    Ok(own.replace(".br\n\n.br\n", ".sp\n"))
}

fn rendered(render: impl FnOnce(&mut dyn io::Write) -> io::Result<()>) -> io::Result<String> {
    let mut bytes = Vec::new();
    render(&mut bytes)?;
    String::from_utf8(bytes).map_err(io::Error::other)
}

/// A text in which roff finds nothing of its own.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq").replace('"', "\\(dq")
}
