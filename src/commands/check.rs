//! `check`: everything that is wrong with the configuration, all at once.

use std::{path::Path, sync::Arc};

use super::{
    output::{Answer, Failure, FailureClass, Judge},
    progress::Console,
};
use crate::config::{self, Config, Environment, Problems};

/// Reads the configuration, and prints its warnings to standard error: the way in of every
/// command that needs one. Files are read on a thread of their own, so that one on a mount that
/// hangs holds up no signal.
///
/// # Errors
/// Everything that is wrong with it; nothing was done.
pub async fn load(
    path: &Path,
    env: Arc<dyn Environment>,
    console: &Console,
) -> Result<Config, Failure> {
    let file = path.to_owned();
    let read = tokio::task::spawn_blocking(move || config::load(&file, env.as_ref()))
        .await
        .map_err(|_| {
            let message = format!("reading {} ended by a defect in this program", path.display());
            Failure::new(FailureClass::System, message)
        })?;
    let config = read.map_err(|problems| refused(path, &problems))?;
    for warning in &config.warnings {
        console.print(&format!("warning: {warning}\n"));
    }
    Ok(config)
}

fn refused(path: &Path, problems: &Problems) -> Failure {
    let problems: Vec<_> = problems.iter().cloned().collect();
    let count = match problems.len() {
        1 => "1 mistake".to_owned(),
        count => format!("{count} mistakes"),
    };
    Failure {
        class: FailureClass::Configuration,
        message: format!("{count} in {}; nothing was done", path.display()),
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
    let text = format!(
        "{}: no mistakes; {}, {}, {}\n",
        path.display(),
        counted(config.connections.len(), "connection"),
        counted(config.providers.len(), "provider"),
        counted(config.sinks.len(), "sink")
    );
    Answer { rows: Vec::new(), text: Some(text), failure: None, judge: Judge::Shown }
}
