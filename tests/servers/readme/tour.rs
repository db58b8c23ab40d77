//! The tour, run as it stands: what is shown there is what is seen.

use std::{env, fs, path::Path, process::Command};

use scimitar::telemetry::audit::actor;

use super::text;

/// The page, and where its clone lies.
const PAGE: &str = "docs/tour.md";
const SHOWN_FOLDER: &str = "/srv/scimitar";

/// What a block is run in, and what its output shows instead of it.
#[derive(Debug, Default)]
pub(super) struct Around {
    /// Further variables of the environment; a `PATH` goes in front of this process' own.
    pub(super) variables: Vec<(&'static str, String)>,
    /// What is there in this run, and what the page shows: addresses, folders.
    pub(super) shown: Vec<(String, &'static str)>,
}

/// Progress, and what a shell without a terminal says of a process that was killed.
const PASSING: &str = "^initech-okta: |^bash: line .* Killed ";

/// The exit statuses that are meant to be seen: done, refused, killed.
const STATUSES: [&str; 3] = ["0", "3", "137"];

/// The seconds after which a block kills, one after the other, until it shows what it is there for: how
/// long a rotation takes depends on the machine.
const MOMENTS: [&str; 9] =
    ["0.06", "0.05", "0.045", "0.055", "0.05", "0.065", "0.045", "0.07", "0.08"];

/// What those stand behind.
const KILL: &str = "timeout -s KILL ";

/// Between the outputs of a block's commands.
const MARK: char = '\u{1}';

#[test]
fn the_tour_shows_what_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let config = text::read("config.example.toml");
    assert!(config.contains("\noverlap = \"1m\"\n"));
    // The tour has a minute to wait for, this test half of it.
    let config = if text::updating() {
        config
    } else {
        config.replace("\noverlap = \"1m\"\n", "\noverlap = \"30s\"\n")
    };
    fs::write(folder.path().join("config.example.toml"), config).unwrap();

    let document = text::read(PAGE);
    let blocks = text::blocks(&document, "tour");
    assert!(blocks.len() > 5);
    let around = in_clone(folder.path());
    let seen: Vec<String> = blocks.iter().map(|block| run(block, folder.path(), &around)).collect();
    if text::updating() {
        let once = text::blocks(&document, "tour, seen once");
        let once: Vec<String> = once.iter().map(|block| run_well(block, folder.path())).collect();
        text::update(PAGE, "tour", &seen);
        return text::update(PAGE, "tour, seen once", &once);
    }
    let (shown, seen) = (plain(&blocks.concat()), plain(&seen.concat()));
    assert_eq!(seen, shown, "UPDATE_README=1 cargo test readme:: rewrites it");
}

#[test]
fn what_was_seen_once_is_worth_showing() {
    let blocks = text::blocks(&text::read(PAGE), "tour, seen once");
    assert!(blocks.len() > 1);
    for block in blocks {
        assert_eq!(mishap(&block), None, "UPDATE_README=1 cargo test readme:: tries again");
    }
}

#[test]
fn a_mishap_is_seen_in_whatever_shape_it_has() {
    for (block, seen) in [
        ("$ a\nTraceback (most recent call last):\n", true),
        ("$ a\nerror: invalid value\n", true),
        ("$ a\ninitech-okta  failed     no current token\n", true),
        ("$ a\nbash: line 1: a: command not found\n", true),
        ("$ curl -w '%{http_code}\\n'\n409\n", true),
        ("$ curl -w '%{http_code}\\n'\n201\n", false),
        ("$ echo $?\n2\n", true),
        ("$ echo $?\n3\n", false),
        ("$ timeout -s KILL 1 a\n$ echo $?\n0\n", true),
        ("$ timeout -s KILL 1 a\n$ echo $?\n137\na (b at c) is healthy.\n", true),
        ("$ timeout -s KILL 1 a\n$ echo $?\n137\na (b at c) is minting.\n", false),
        ("$ a\ninitech-okta  refused    tok_a\n", false),
    ] {
        assert_eq!(mishap(block).is_some(), seen, "{block}");
    }
}

#[test]
fn the_two_commands_are_there() {
    let document = text::read("README.md");
    assert_eq!(
        text::blocks(&document, "ci: first"),
        ["cargo run -- --config config.example.toml --rotate-now\n"]
    );
    assert_eq!(text::blocks(&document, "ci: test"), ["cargo test --all-features\n"]);
}

#[test]
fn what_differs_from_run_to_run_is_made_the_same() {
    let one = "tok_bbbbbbbbbbbbbbbb (2026-11-22T04:00:00Z), 9 s ago; tok_aaaaaaaaaaaaaaaa.\n";
    let two = "tok_aaaaaaaaaaaaaaaa (2026-11-23T05:00:00Z),   just now; tok_bbbbbbbbbbbbbbbb.\n";
    assert_eq!(plain(one), plain(two));
    assert_eq!(plain(one), "tok-1 (<time>), <ago>; tok-2.\n");
    assert_eq!(plain("checked 1s ago\n"), plain("checked just now\n"));
    let whole = "until 2026-11-22 04:00 UTC (in 61 s); from 2026-11-22 04:00:07 UTC (9 s ago)";
    assert_eq!(plain(whole), "until <time> (<ahead>); from <time> (<ago>)\n");
    assert_ne!(
        plain("2026-11-22 04:00 UTC (in 30 days)"),
        plain("2026-11-22 04:00 UTC (in 20 days)")
    );
    assert_ne!(plain("exit status 3"), plain("exit status 0"));
    assert_ne!(plain("in 30 days"), plain("in 20 days"));
    assert_eq!(plain("in 59 s"), plain("in 1 s"));
    assert_eq!(plain("for 59s (since"), plain("for 1m (since"));
    assert_ne!(plain("for 59s."), plain("for 2m."));
    assert_eq!(plain("(overlap = 1m);"), plain("(overlap = 30s);"));
    assert_eq!(
        plain("\"sha256\": \"0123456789abcdef0123456789abcdef\","),
        "\"sha256\": \"<hex>\",\n"
    );
}

/// What the tour shows of its folder.
fn in_clone(folder: &Path) -> Around {
    let folder = folder.canonicalize().unwrap().display().to_string();
    let variables = vec![("SCIMITAR_CONFIG", "config.example.toml".to_owned())];
    Around { variables, shown: vec![(folder, SHOWN_FOLDER)] }
}

/// The block's output at a moment when nothing went wrong.
fn run_well(block: &str, folder: &Path) -> String {
    let mut seen = String::new();
    for moment in MOMENTS {
        let block = match block.split_once(KILL) {
            Some((before, after)) => {
                let (_, command) = after.split_once(' ').unwrap();
                format!("{before}{KILL}{moment} {command}")
            }
            None => block.to_owned(),
        };
        seen = run(&block, folder, &in_clone(folder));
        if mishap(&seen).is_none() {
            return seen;
        }
    }
    panic!("{:?} every time, at last in\n{seen}", mishap(&seen));
}

/// What in a block nobody would want to show: an error, a status that ends the tour, a kill that
/// came too late or too early.
fn mishap(block: &str) -> Option<&str> {
    let unwanted = |line: &str| {
        let words = ["Traceback", "command not found", " failed ", "curl: (", "No such file"];
        let http = line.len() == 3 && (line.starts_with('4') || line.starts_with('5'));
        line.starts_with("error:") || words.iter().any(|word| line.contains(word)) || http
    };
    let shown = || block.lines().filter(|line| !line.starts_with("$ ") && !line.starts_with("> "));
    let statuses =
        || block.lines().zip(block.lines().skip(1)).filter(|(line, _)| *line == "$ echo $?");
    let ended = statuses().map(|(_, status)| status).find(|status| !STATUSES.contains(status));
    let unkilled = block.lines().find(|line| line.contains("-s KILL"));
    let amid = |line: &str| line.ends_with(" is minting.") || line.ends_with(" is delivering.");
    let unkilled = unkilled
        .filter(|_| !statuses().any(|(_, status)| status == "137") || !block.lines().any(amid));
    shown().find(|line| unwanted(line)).or(ended).or(unkilled)
}

/// The block with its commands' output as it is now.
pub(super) fn run(block: &str, folder: &Path, around: &Around) -> String {
    let commands: Vec<String> = commands(block);
    // What a command says on standard error, less what a terminal shows only while it is true,
    // comes behind what it says on standard output.
    let errors = tempfile::NamedTempFile::new().unwrap();
    let file = errors.path().display();
    let behind =
        format!("was=$?; grep -Ev '{PASSING}' {file}; : > {file}; printf '{MARK}'; (exit $was)");
    let real = |command: &str| {
        let shown = around.shown.iter();
        shown.fold(command.to_owned(), |command, (real, shown)| command.replace(shown, real))
    };
    let script: String = commands
        .iter()
        .map(|command| format!("{}\n{behind}\n", real(command).replace("\n> ", "\n")))
        .collect();
    let binary = Path::new(env!("CARGO_BIN_EXE_scimitar")).parent().unwrap();
    let own = env::var("PATH").unwrap_or_default();
    let more = around.variables.iter().filter(|(name, _)| *name == "PATH");
    let more: String = more.map(|(_, folder)| format!("{folder}:")).collect();
    let variables = around.variables.iter().filter(|(name, _)| *name != "PATH");
    let ended = Command::new("bash")
        .args([
            "-c",
            &format!("exec 2>> {file}\n{}exit 0", script.replace("cargo run -- ", "scimitar ")),
        ])
        .current_dir(folder)
        .env_remove("SCIMITAR_LOG")
        .env("PATH", format!("{}:{more}{own}", binary.display()))
        .envs(variables.map(|(name, value)| (*name, value)))
        .output()
        .unwrap();
    assert!(ended.status.success(), "{block}: {ended:?}");
    let said = String::from_utf8(ended.stdout).unwrap();
    let said = around.shown.iter().fold(said, |said, (real, shown)| said.replace(real, shown));
    // Whoever runs this is somebody else on the page.
    let said = said.replace(&format!("(by {})", actor::person()), "(by alice)");
    let mut outputs = said.split(MARK);
    commands.iter().map(|command| format!("$ {command}\n{}", outputs.next().unwrap())).collect()
}

/// What stands behind each `$ ` of a block, with the lines behind `> ` that continue it.
fn commands(block: &str) -> Vec<String> {
    let mut commands: Vec<String> = Vec::new();
    for line in block.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            commands.push(command.to_owned());
        } else if let (Some(last), true) = (commands.last_mut(), line.starts_with("> ")) {
            last.push('\n');
            last.push_str(line);
        }
    }
    commands
}

/// `text` without what differs from run to run: times, ids, digests, widths of columns.
pub(super) fn plain(text: &str) -> String {
    let mut ids: Vec<String> = Vec::new();
    text.lines().map(|line| plain_line(line, &mut ids)).collect()
}

fn plain_line(line: &str, ids: &mut Vec<String>) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let plain: Vec<String> = words
        .iter()
        .enumerate()
        .map(|(index, word)| {
            let before = words.get(..index).unwrap_or_default();
            let seconds = words.get(index + 1).is_some_and(|next| {
                next.trim_end_matches(|c: char| c.is_ascii_punctuation()) == "s"
            });
            let number = word.trim_start_matches('(');
            if seconds && number.bytes().all(|byte| byte.is_ascii_digit()) {
                word.replace(number, "<n>")
            } else if before.ends_with(&["(overlap", "="]) {
                word.replace("30s", "1m")
            } else if is_short_span(word) {
                // How long something has lasted, in a sentence or a column.
                let end = word.trim_start_matches(|c: char| c.is_ascii_alphanumeric());
                format!("<n>s{end}")
            } else {
                plain_word(word, ids)
            }
        })
        .collect();
    [
        ("<day> <clock> UTC", "<time>"),
        ("<n> s ago", "<ago>"),
        ("<n>s ago", "<ago>"),
        ("just now", "<ago>"),
        ("in <n> s", "<ahead>"),
    ]
    .iter()
    .fold(plain.join(" "), |line, (from, to)| line.replace(from, to))
        + "\n"
}

/// Whether it is so many seconds, or the minute that they may come to: "3s", "1m".
fn is_short_span(word: &str) -> bool {
    let word = word.trim_end_matches(|c: char| c.is_ascii_punctuation());
    let seconds = word.strip_suffix('s').unwrap_or_default();
    word == "1m" || !seconds.is_empty() && seconds.bytes().all(|byte| byte.is_ascii_digit())
}

fn plain_word(word: &str, ids: &mut Vec<String>) -> String {
    let inner = |c: char| c.is_ascii_alphanumeric() || "_-:".contains(c);
    let mut plain = String::new();
    let mut rest = word;
    while let Some(start) = rest.find(inner) {
        let (before, from) = rest.split_at(start);
        let length = from.find(|c| !inner(c)).unwrap_or(from.len());
        let part = from.get(..length).unwrap_or(from).trim_end_matches(':');
        let (part, behind) = from.split_at(part.len().max(1));
        plain.push_str(before);
        plain.push_str(&plain_part(part, ids));
        rest = behind;
    }
    plain + rest
}

fn plain_part(part: &str, ids: &mut Vec<String>) -> String {
    let is_time = part.len() == 20 && part.ends_with('Z') && part.get(10..11) == Some("T");
    let is_like = |shape: &str| {
        let same = |(byte, of): (u8, u8)| byte == of || byte.is_ascii_digit() && of == b'0';
        part.len() == shape.len() && part.bytes().zip(shape.bytes()).all(same)
    };
    if part.starts_with("tok_") {
        let known = ids.iter().position(|id| id == part).unwrap_or_else(|| {
            ids.push(part.to_owned());
            ids.len() - 1
        });
        format!("tok-{}", known + 1)
    } else if is_time {
        "<time>".to_owned()
    } else if is_like("0000-00-00") {
        "<day>".to_owned()
    } else if is_like("00:00") || is_like("00:00:00") {
        "<clock>".to_owned()
    } else if part.len() >= 32 && part.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        "<hex>".to_owned()
    } else {
        part.to_owned()
    }
}
