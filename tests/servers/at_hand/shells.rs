//! Completions, in the shells that read them. Elvish's and PowerShell's are only looked at: neither
//! completes anything without a terminal, and the second is not among Debian's packages.

use std::{
    fs,
    io::Write as _,
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
fn fish_completes_commands_and_options() {
    let mut shell = debian::command(&debian::root(&["fish"]), "usr/bin/fish");
    shell.arg("--no-config");
    let script = "
        source ./completions
        complete -C 'scimitar pl'
        complete -C 'scimitar plan --unt'
        complete -C 'scimitar --rot'
    ";
    let said = run(shell, "fish", script);
    let words: Vec<_> = said.lines().filter_map(|line| line.split('\t').next()).collect();
    assert_eq!(words, ["plan", "--until", "--rotate-now"], "{said}");
}

/// zsh's own completion takes it for the program.
#[test]
fn zsh_reads_it() {
    let root = debian::root(&["zsh"]);
    let mut shell = debian::command(&root, "bin/zsh");
    shell.arg("-f").env("ROOT", &root);
    let script = "
        module_path=($ROOT/usr/lib/*/zsh/*(/))
        fpath=($ROOT/usr/share/zsh/functions/Completion $ROOT/usr/share/zsh/functions/Completion/*(/))
        autoload -Uz compinit
        compinit -u -d ./dump
        source ./completions
        echo $_comps[scimitar] ${+functions[_scimitar]}
    ";
    assert_eq!(run(shell, "zsh", script), "_scimitar 1\n");
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
