//! `state copy` and `state reopen`: a ledger as a whole. They ask no service.

use std::{path::Path, sync::Arc};

use super::{
    check,
    output::{Answer, Failure, FailureClass},
};
use crate::{
    app,
    cli::StateCommand,
    config::{Environment, Secrets, StateConfig},
    ledger::moving::{MoveError, Standing, transfer},
};

/// Does it.
pub(super) async fn answer(
    asked: &StateCommand,
    env: &Arc<dyn Environment>,
) -> Result<Answer, Failure> {
    match asked {
        StateCommand::Copy { from, to } => copy(from, to, env).await,
        StateCommand::Reopen { ledger } => reopen(ledger, env).await,
    }
}

async fn copy(from: &str, to: &str, env: &Arc<dyn Environment>) -> Result<Answer, Failure> {
    let (old, new) = (named(from, env).await?, named(to, env).await?);
    let old = app::ledger::to_move(&old, false, env).await?;
    let new = app::ledger::to_move(&new, true, env).await?;
    if old.url() == new.url() {
        return Err(Failure::new(FailureClass::Usage, "FROM and TO are the same ledger"));
    }
    let moved = transfer(&*old, &*new).await.map_err(|error| match error {
        MoveError::Refused(words) => {
            Failure::new(FailureClass::Usage, format!("{words}; nothing was done"))
        }
        MoveError::Ledger(error) => error.into(),
    })?;
    let (old, new) = (old.url(), new.url());
    let text = format!(
        "moved {moved} from {old} to {new}.\n\
         Now set [state] url = \"{new}\" wherever this ledger is used, and start Scimitar again. {old} is \
         unchanged and can no longer be used: keep it as long as you would keep a backup.\n"
    );
    Ok(Answer::shown(Vec::new(), text))
}

async fn reopen(ledger: &str, env: &Arc<dyn Environment>) -> Result<Answer, Failure> {
    let state = named(ledger, env).await?;
    let opened = app::ledger::to_move(&state, false, env).await?;
    match opened.standing().await? {
        Standing::MovedTo(there) => {
            opened.seal(None).await?;
            let text = format!(
                "{} is reopened in the state it had when it was moved. What was done in {there} since then is \
                 not in it: the next check learns it from the provider and the sinks. Never use both ledgers\n",
                opened.url()
            );
            Ok(Answer::shown(Vec::new(), text))
        }
        Standing::FilledFrom(there) => Err(Failure::new(
            FailureClass::Usage,
            format!(
                "{url} holds only a part of what was in {there}, and is not opened: use {there} again \
                 (`scimitar state reopen {there}`), or finish with `scimitar state copy {there} {url}`",
                url = opened.url()
            ),
        )),
        Standing::Empty | Standing::InUse => Err(Failure::new(
            FailureClass::Usage,
            format!("{} was not moved; there is nothing to reopen", opened.url()),
        )),
    }
}

/// The ledger that is meant.
async fn named(text: &str, env: &Arc<dyn Environment>) -> Result<StateConfig, Failure> {
    let path = Path::new(text);
    if path.extension().is_some_and(|end| end == "toml") {
        let config = check::load(path, Arc::clone(env), Secrets::Unneeded).await?;
        return Ok(config.state);
    }
    // What is refused is not shown: it may hold a password.
    StateConfig::of_url(text, &**env).map_err(|words| {
        let words = format!("the address of the ledger is not valid: {words}; nothing was done");
        Failure::new(FailureClass::Usage, words)
    })
}
