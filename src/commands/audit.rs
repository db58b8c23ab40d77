//! The audit log of a command, and `audit verify`.

use std::{
    fmt::Write,
    fs::File,
    io::{self, BufReader},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::output::{Answer, AuditReport, Failure, FailureClass};
use crate::{
    cli::Command,
    clock::Clock,
    config::Problem,
    error::system_words,
    telemetry::{
        audit::{
            Audit,
            actor::{Actor, Kind, Who},
            file::{self, Paths},
            verify::{Broken, Verified, Verifier, lines},
            writer::AuditFile,
        },
        metrics::Metrics,
    },
};

/// What stands for standard input.
const STDIN: &str = "-";

/// The audit log that a command writes to; what cannot be counted beside it is counted beside the
/// file of the ledger, where it is one.
#[must_use]
pub fn log(
    path: &Path,
    ledger: Option<&Path>,
    actor: Actor,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
) -> Arc<dyn Audit> {
    let paths = Paths { log: path.to_owned(), aside: ledger.map(file::missed_beside) };
    Arc::new(AuditFile::new(paths, actor, clock, metrics))
}

/// Who does it: this process, or the one at the other end of the control socket.
#[must_use]
pub fn actor(command: &Command, caller: Option<&Who>) -> Actor {
    let (kind, typed) = match command {
        Command::Run => (Kind::Daemon, "run"),
        Command::RotateNow { compromised: true, .. } => {
            (Kind::Operator, "--rotate-now --compromised")
        }
        Command::RotateNow { compromised: false, .. } => (Kind::OneShot, "--rotate-now"),
        Command::Once { .. } => (Kind::OneShot, "--once"),
        Command::Adopt { .. } => (Kind::Operator, "adopt"),
        Command::Retire { .. } => (Kind::Operator, "adopt --retire"),
        Command::AdoptAll { .. } => (Kind::Operator, "adopt --all-from"),
        Command::AcceptPlace { .. } => (Kind::Operator, "adopt --place"),
        Command::AcceptUserGone { .. } => (Kind::Operator, "adopt --user-gone"),
        Command::Revoke { force: false, .. } => (Kind::Operator, "revoke"),
        Command::Revoke { force: true, .. } => (Kind::Operator, "revoke --force"),
        Command::Pause { .. } => (Kind::Operator, "pause"),
        Command::Resume { .. } => (Kind::Operator, "resume"),
        Command::Handoff { .. } => (Kind::Operator, "handoff"),
        Command::Discover { accept: true, .. } => (Kind::Operator, "discover --accept"),
        // These change nothing and write no line.
        Command::Discover { accept: false, .. } => (Kind::OneShot, "discover"),
        Command::Check { .. } => (Kind::OneShot, "check"),
        Command::Plan { .. } => (Kind::OneShot, "plan"),
        Command::Status { .. } => (Kind::OneShot, "status"),
        Command::History { .. } => (Kind::OneShot, "history"),
        Command::Names => (Kind::OneShot, "names"),
        Command::Explain { .. } => (Kind::OneShot, "explain"),
        Command::Tokens { .. } => (Kind::OneShot, "tokens"),
        Command::Permissions => (Kind::OneShot, "permissions"),
        Command::Healthcheck => (Kind::OneShot, "healthcheck"),
        Command::Print(_) => (Kind::OneShot, "print"),
        Command::Import { .. } => (Kind::OneShot, "import"),
        Command::State(_) => (Kind::OneShot, "state"),
        Command::AuditVerify { .. } => (Kind::OneShot, "audit verify"),
        Command::Sandbox(_) => (Kind::OneShot, "sandbox"),
    };
    match caller {
        None => Actor::this_process(kind, typed),
        Some(who) => Actor::other_process(kind, typed, who),
    }
}

/// Reads the files, oldest first, and says whether they are one intact chain.
pub async fn verify(files: &[PathBuf], head: Option<String>) -> Answer {
    let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    let (paths, told) = (files.to_vec(), names.clone());
    let (missing, told_of) = (paths.clone(), names.clone());
    // Files on a mount that hangs hold up no signal.
    let absent = tokio::task::spawn_blocking(move || absent(&missing, &told_of)).await;
    if let Ok(Some(words)) = absent {
        return Answer::failed(Failure::new(FailureClass::Usage, words));
    }
    let read = tokio::task::spawn_blocking(move || read(&paths, &told, head)).await;
    match read {
        Ok(Ok(found)) if !found.holes.is_empty() => {
            let verdict = verdict(names, found);
            let message = format!(
                "the audit log is incomplete: {} could not be written; all lines present are \
                 unchanged",
                lines(verdict.missed)
            );
            let problems = verdict.holes.clone();
            let failure = Failure { class: FailureClass::Audit, message, problems };
            Answer { audit: Some(verdict), ..Answer::failed(failure) }
        }
        Ok(Ok(found)) => {
            let verdict = verdict(names, found);
            Answer { audit: Some(verdict.clone()), ..Answer::shown(Vec::new(), text(&verdict)) }
        }
        Ok(Err(broken)) => Answer::failed(Failure {
            class: FailureClass::Audit,
            message: "audit log verification failed".to_owned(),
            problems: vec![problem(broken)],
        }),
        Err(_) => Answer::failed(Failure::new(
            FailureClass::System,
            "a bug in Scimitar ended the reading of the audit log; please report it",
        )),
    }
}

/// The files that do not exist: what was typed is wrong, and nothing is known of any log.
fn absent(files: &[PathBuf], names: &[String]) -> Option<String> {
    let typed = files.iter().zip(names).filter(|(path, _)| path.as_os_str() != STDIN);
    let absent = typed.filter(|(path, _)| path.try_exists().is_ok_and(|exists| !exists));
    let absent: Vec<&str> = absent.map(|(_, name)| name.as_str()).collect();
    (!absent.is_empty())
        .then(|| format!("no such file: {}; nothing was verified", absent.join(", ")))
}

fn read(files: &[PathBuf], names: &[String], head: Option<String>) -> Result<Verified, Broken> {
    let mut verifier = Verifier::new(head);
    for (path, name) in files.iter().zip(names) {
        if path.as_os_str() == STDIN {
            verifier.file(name, io::stdin().lock())?;
        } else {
            let file = File::open(path).map_err(|error| Broken {
                file: name.clone(),
                line: None,
                what: format!("the file cannot be opened: {}", system_words(&error)),
            })?;
            verifier.file(name, BufReader::new(file))?;
        }
    }
    if let (Some(path), Some(name)) = (files.last(), names.last()) {
        verifier.missed_after(name, file::last(path).as_ref(), file::missed(path));
    }
    verifier.finish(names.last().map_or("", String::as_str))
}

fn verdict(files: Vec<String>, found: Verified) -> AuditReport {
    AuditReport {
        files,
        lines: found.lines,
        follows: found.follows,
        head: found.last.as_ref().map(|last| last.hash.clone()),
        seq: found.last.map(|last| last.seq),
        after_head: found.after_head,
        remarks: found.remarks.into_iter().map(problem).collect(),
        missed: found.missed,
        holes: found.holes.into_iter().map(problem).collect(),
    }
}

fn problem(broken: Broken) -> Problem {
    Problem {
        file: broken.file,
        line: broken.line,
        column: broken.line.map(|_| 1),
        message: broken.what,
        hint: None,
    }
}

fn text(verdict: &AuditReport) -> String {
    let mut text: String =
        verdict.remarks.iter().map(|remark| format!("note: {remark}\n")).collect();
    let begin = verdict.follows.as_ref().map_or_else(
        || "from the beginning of the chain".to_owned(),
        |follows| format!("after the line with hash {follows} in an earlier file"),
    );
    match (&verdict.head, verdict.seq) {
        (Some(head), Some(seq)) => {
            let count = lines(verdict.lines);
            // Writing to a String cannot fail.
            let _ = writeln!(text, "intact: {count}, {begin}, to line {seq} with hash {head}");
        }
        _ => text.push_str("the log is empty; whether lines were removed is not known\n"),
    }
    match verdict.after_head {
        Some(0) => text.push_str("the last line has the given hash\n"),
        Some(after) => {
            let count = lines(after);
            let _ = writeln!(text, "the line with the given hash is present, followed by {count}");
        }
        None if verdict.head.is_some() => text.push_str(
            "to detect lines removed from the end, pass --head HASH with a hash kept elsewhere\n",
        ),
        None => {}
    }
    text
}
