//! `completions`: what clap makes, and the names of connections, which the program is asked for.

use clap::{Arg, Command};
use clap_complete::{Generator, Shell};

use super::output::File;
use crate::cli::definition;

const BASH: &str = include_str!("completions/names.bash");
const FISH: &str = include_str!("completions/names.fish");
const ZSH: &str = include_str!("completions/names.zsh");

/// Where zsh's script begins to run.
const ZSH_RUNS: &str = "if [ \"$funcstack[1]\" = ";

/// What clap lets zsh complete a connection by.
const ZSH_DEFAULT: &str = ":_default'";

/// The script for a shell.
///
/// # Errors
/// None that are known of: it is written to memory.
pub(super) fn script(shell: Shell) -> std::io::Result<File> {
    let mut command = definition();
    let name = shell.file_name(command.get_name());
    command.set_bin_name("scimitar");
    command.build();
    let mut bytes = Vec::new();
    shell.try_generate(&command, &mut bytes)?;
    let text = String::from_utf8(bytes).map_err(std::io::Error::other)?;
    let text = if shell == Shell::Bash {
        text + &filled(BASH, &command, "|")
    } else if shell == Shell::Fish {
        text + &filled(FISH, &command, " ")
    } else if shell == Shell::Zsh {
        zsh(&text)
    } else {
        text
    };
    Ok(File { name, text })
}

/// The piece with what the command line has.
fn filled(piece: &str, command: &Command, between: &str) -> String {
    let takes = |inner: &&Command| inner.get_arguments().any(is_named);
    let commands: Vec<&str> =
        command.get_subcommands().filter(takes).map(Command::get_name).collect();
    let inner = command.get_subcommands().flat_map(Command::get_arguments);
    let mut values: Vec<String> = inner
        .chain(command.get_arguments())
        .filter(|arg| arg.get_action().takes_values() && arg.get_id() != "rotate_now")
        .filter_map(|arg| Some(format!("--{}", arg.get_long()?)))
        .collect();
    values.sort();
    values.dedup();
    values.push("-o".to_owned());
    piece.replace("@COMMANDS@", &commands.join(between)).replace("@VALUES@", &values.join("|"))
}

/// Whether it is a connection's name, or several.
fn is_named(arg: &Arg) -> bool {
    arg.is_positional() && matches!(arg.get_id().as_str(), "connection" | "connections")
}

/// Connections are completed by their names.
fn zsh(text: &str) -> String {
    let names = |line: &str| {
        let is_name = line.contains(":CONNECTION:_default'")
            || ["'*::connections", "':connection", "'::connection"]
                .iter()
                .any(|start| line.trim_start().starts_with(start));
        if is_name { line.replace(ZSH_DEFAULT, ":_scimitar_names'") } else { line.to_owned() }
    };
    let text: String = text.lines().map(|line| names(line) + "\n").collect();
    match text.find(ZSH_RUNS).and_then(|place| text.split_at_checked(place)) {
        Some((before, runs)) => format!("{before}{ZSH}{runs}"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shell_asks_for_names_where_connections_stand() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let text = script(shell).unwrap().text;
            assert!(text.contains("-q __names 2>/dev/null"), "{shell}");
            assert!(!text.contains("@COMMANDS@") && !text.contains("@VALUES@"), "{shell}");
        }
        let zsh = script(Shell::Zsh).unwrap().text;
        assert!(zsh.matches(":_scimitar_names'").count() > 8, "{zsh}");
        let bash = script(Shell::Bash).unwrap().text;
        let commands = bash.lines().find(|line| line.ends_with("|--rotate-now) named=1 ;;"));
        for command in ["rotate", "once", "status", "explain", "history", "pause", "revoke"] {
            assert!(commands.unwrap().contains(command), "{commands:?}");
        }
        assert!(!commands.unwrap().contains("sandbox"), "{commands:?}");
    }
}
