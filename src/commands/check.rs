//! `check`: all errors of the configuration at once.

use std::{path::Path, sync::Arc};

use super::{
    output::{Answer, Failure, FailureClass},
    voice::Voice,
};
use crate::{
    app::Use,
    cli::Command,
    config::{self, Config, Environment, Problem, Problems, Secrets},
};

/// Reads the configuration: the way in of every command that needs one. Files are read on a thread
/// of their own, so that one on a mount that hangs holds up no signal.
///
/// # Errors
/// Everything that is wrong with it; nothing was done.
pub async fn load(
    path: &Path,
    env: Arc<dyn Environment>,
    secrets: Secrets,
) -> Result<Config, Failure> {
    let file = path.to_owned();
    let read = tokio::task::spawn_blocking(move || config::load_for(&file, env.as_ref(), secrets))
        .await
        .map_err(|_| {
            let message = format!(
                "a bug in Scimitar ended the reading of {}; please report it",
                path.display()
            );
            Failure::new(FailureClass::System, message)
        })?;
    read.map_err(|problems| refused(path, &problems))
}

/// Says what is suspect in it.
pub fn warn(path: &Path, config: &Config, voice: &Voice) {
    for warning in &config.warnings {
        voice.warn_of(warning);
    }
    warn_of_nothing(path, config, voice);
}

/// Says it where there is nothing to do.
pub fn warn_of_nothing(path: &Path, config: &Config, voice: &Voice) {
    let nothing = config.connections.is_empty() && config.discover.is_empty();
    if nothing && config.watches.is_empty() {
        voice.warn_of(&Problem {
            file: path.display().to_string(),
            line: None,
            column: None,
            message: "there are no connections: nothing is rotated".to_owned(),
            hint: Some(
                "write one with [[connections]], or `include` the files that hold them".to_owned(),
            ),
        });
    }
}

/// What a command wants of the secrets: what stays on this machine and only looks works without.
#[must_use]
pub fn secrets_for(command: &Command) -> Secrets {
    match command {
        Command::Check { online: false } => Secrets::Checked,
        Command::Status { .. }
        | Command::History { .. }
        | Command::Names
        | Command::Tokens { .. }
        | Command::Permissions
        | Command::Healthcheck
        | Command::AuditVerify { .. }
        | Command::Print(_)
        | Command::Import { .. }
        | Command::State(_)
        | Command::Sandbox(_) => Secrets::Unneeded,
        Command::Check { online: true }
        | Command::Run
        | Command::RotateNow { .. }
        | Command::Once { .. }
        | Command::Plan { .. }
        | Command::Explain { .. }
        | Command::Discover { .. }
        | Command::Adopt { .. }
        | Command::Retire { .. }
        | Command::AdoptAll { .. }
        | Command::AcceptPlace { .. }
        | Command::AcceptUserGone { .. }
        | Command::Pause { .. }
        | Command::Resume { .. }
        | Command::Handoff { .. }
        | Command::Revoke { .. } => Secrets::Needed,
    }
}

/// How a command uses the ledger; `None`: not at all.
#[must_use]
pub fn ledger_for(command: &Command) -> Option<Use> {
    match command {
        Command::Run
        | Command::Adopt { .. }
        | Command::Retire { .. }
        | Command::AdoptAll { .. }
        | Command::AcceptPlace { .. }
        | Command::AcceptUserGone { .. }
        | Command::Pause { .. }
        | Command::Resume { .. }
        | Command::Handoff { .. }
        | Command::Discover { accept: true, .. }
        | Command::Revoke { .. } => Some(Use::Write),
        Command::RotateNow { shot, .. } | Command::Once { shot, .. } => {
            Some(if shot.dry_run { Use::Look } else { Use::Write })
        }
        Command::Check { online: true }
        | Command::Plan { .. }
        | Command::Status { .. }
        | Command::History { .. }
        | Command::Names
        | Command::Tokens { .. }
        | Command::Discover { accept: false, .. }
        | Command::Explain { .. } => Some(Use::Look),
        Command::Check { online: false }
        | Command::Permissions
        | Command::Healthcheck
        | Command::AuditVerify { .. }
        | Command::Print(_)
        | Command::Import { .. }
        | Command::State(_)
        | Command::Sandbox(_) => None,
    }
}

fn refused(path: &Path, problems: &Problems) -> Failure {
    let problems: Vec<_> = problems.iter().cloned().collect();
    let count = match problems.len() {
        1 => "1 error".to_owned(),
        count => format!("{count} errors"),
    };
    Failure {
        class: FailureClass::Configuration,
        message: format!("{count} in {}; nothing was changed", path.display()),
        problems,
    }
}

/// What is in a configuration without mistakes.
#[must_use]
pub fn summary(path: &Path, config: &Config) -> Answer {
    let counted = |count: usize, what: &str| {
        let plural = if count == 1 { "" } else { "s" };
        format!("{count} {what}{plural}")
    };
    let watched = match config.watches.len() {
        0 => String::new(),
        count => format!(", {}", counted(count, "watched token")),
    };
    let text = format!(
        "{}: no errors; {}, {}, {}{watched}\n",
        path.display(),
        counted(config.connections.len(), "connection"),
        counted(config.providers.len(), "provider"),
        counted(config.sinks.len(), "sink")
    );
    Answer::shown(Vec::new(), text)
}
