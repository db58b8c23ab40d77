//! Completions, in the shells that read them. Elvish's and PowerShell's are only looked at: neither
//! completes anything without a terminal, and the second is not among Debian's packages.

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use super::{commands, debian, printed};

/// Runs a script on a shell's standard input, the completions beside it in `completions`.
fn run(mut shell: Command, name: &str, script: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("completions"), printed(&["completions", name])).unwrap();
    let mut child = shell
        .current_dir(folder.path())
        .env("HOME", folder.path())
        .env("TERM", "dumb")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success() && ended.stderr.is_empty(), "{name}: {ended:?}");
    String::from_utf8(ended.stdout).unwrap()
}

#[test]
fn bash_completes_commands_options_and_words() {
    let script = "
        source ./completions
        ask() {
            COMP_WORDS=(\"$@\") COMP_CWORD=$(($# - 1)) COMPREPLY=()
            _scimitar \"$1\" \"${@: -1}\" \"${@: -2:1}\"
            echo \"${COMPREPLY[*]}\"
        }
        complete -p scimitar
        ask scimitar pl
        ask scimitar completions z
        ask scimitar --rot
        ask scimitar plan --unt
        ask scimitar --output j
        ask scimitar ''
    ";
    let said = run(Command::new("bash"), "bash", script);
    let lines: Vec<_> = said.lines().collect();
    assert!(lines[0].contains("-F _scimitar"), "{said}");
    assert_eq!(lines[1..6], ["plan", "zsh", "--rotate-now", "--until", "json"]);
    let all: Vec<_> = lines[6].split(' ').collect();
    for command in commands() {
        assert!(all.contains(&command.as_str()), "{command}: {said}");
    }
}

#[test]
fn fish_completes_commands_options_and_names() {
    let root = debian::root(&["fish"]);
    let mut shell = debian::command(&root, "usr/bin/fish");
    shell.arg("--no-config").env("ROOT", &root).env("PROGRAM", env!("CARGO_BIN_EXE_scimitar"));
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.example.toml");
    shell.env("SCIMITAR_CONFIG", example);
    // The program is asked for names as it was typed; one that is not there leaves the terminal alone.
    let script = "
        set fish_function_path $ROOT/usr/share/fish/functions
        source ./completions
        complete -C 'scimitar pl'
        complete -C 'scimitar plan --unt'
        complete -C 'scimitar --rot'
        complete -C \"$PROGRAM rotate ini\"
        complete -C \"/nowhere/scimitar rotate ini\"
    ";
    let said = run(shell, "fish", script);
    let words: Vec<_> = said.lines().filter_map(|line| line.split('\t').next()).collect();
    assert_eq!(words, ["plan", "--until", "--rotate-now", "initech-okta"], "{said}");
}

/// zsh's own completion takes it for the program, and the names come from there. (It completes nothing without a
/// terminal: what it would offer is printed.)
#[test]
fn zsh_reads_it_and_is_told_the_names() {
    let root = debian::root(&["zsh"]);
    let mut shell = debian::command(&root, "bin/zsh");
    let program = Path::new(env!("CARGO_BIN_EXE_scimitar")).parent().unwrap().display();
    let path = std::env::var("PATH").unwrap_or_default();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.example.toml");
    shell.arg("-f").env("ROOT", &root).env("PATH", format!("{program}:{path}"));
    shell.env("EXAMPLE", &example).env("SCIMITAR_CONFIG", "/nowhere/scimitar.toml");
    let script = "
        module_path=($ROOT/usr/lib/*/zsh/*(/))
        fpath=($ROOT/usr/share/zsh/functions/Completion $ROOT/usr/share/zsh/functions/Completion/*(/))
        autoload -Uz compinit
        compinit -u -d ./dump
        source ./completions
        echo $_comps[scimitar] ${+functions[_scimitar]}
        compadd() { print -l -- ${(P)@[-1]} }
        words=(scimitar --config $EXAMPLE explain ''); _scimitar_names
        words=(scimitar --config=$EXAMPLE rotate ''); _scimitar_names
    ";
    assert_eq!(run(shell, "zsh", script), "_scimitar 1\ninitech-okta\ninitech-okta\n");
}

#[test]
fn the_others_know_every_command() {
    for shell in ["zsh", "elvish", "powershell"] {
        let text = printed(&["completions", shell]);
        for command in commands() {
            assert!(text.contains(&command), "{shell} {command}");
        }
    }
}
