//! `import` and `adopt --all-from`: what another tool manages is taken over.

use std::{path::Path, sync::Arc};

use super::{
    operate::row,
    output::{Answer, Failure, FailureClass, File},
    session::Session,
};
use crate::{
    app::Use,
    config::Problem,
    engine::worker::{Connection, Operation},
    import::{self, ImportError, ManagedToken, State, Tool, handover},
};

/// The connections as TOML, with the steps.
pub(super) async fn answer(tool: Tool, state: &Path) -> Answer {
    let file = state.to_owned();
    match off_the_loop(move || import::read(tool, &file)).await {
        Ok(read) => {
            let text = handover(&read, &state.display().to_string());
            let file = File { name: "imported.toml".to_owned(), text };
            Answer { artefact: Some(file.clone()), ..Answer::shown(Vec::new(), file.text) }
        }
        Err(failure) => Answer::failed(failure),
    }
}

impl Session<'_> {
    pub(super) async fn adopt_all(&self, state: &Path) -> Result<Answer, Failure> {
        let file = state.to_owned();
        let read = off_the_loop(move || import::read_any(&file)).await?;
        let app = self.app(Use::Write).await?;
        let (found, left) = self.matched(&read, &app.connections);
        for message in read.unreadable.iter().chain(&left) {
            self.voice.warn_of(&Problem {
                file: state.display().to_string(),
                line: None,
                column: None,
                message: format!("not taken over: {message}"),
                hint: None,
            });
        }
        let nothing = found.is_empty();
        let mut rows = Vec::new();
        for (connection, token) in &found {
            let operation = Operation::TakeOver(token.token.clone());
            rows.push(row(&app.engine, connection, &operation, &self.patience()).await);
        }
        app.close(self.farewell(None)).await;
        if nothing {
            let message = format!(
                "{} names no token of a configured connection; nothing was done. `scimitar import` \
                 prints the connections to configure",
                state.display()
            );
            return Err(Failure::new(FailureClass::Usage, message));
        }
        Ok(Answer::done(rows))
    }

    /// The tokens, each with its connection, and what is said of the others.
    fn matched<'a>(
        &self,
        state: &'a State,
        connections: &'a [Arc<Connection>],
    ) -> (Vec<(&'a Arc<Connection>, &'a ManagedToken)>, Vec<String>) {
        let (mut found, mut left) = (Vec::new(), Vec::new());
        for token in &state.tokens {
            let its = connections.iter().filter(|connection| {
                let policy = &connection.policy;
                let kind = self.config.providers.get(&policy.provider).map(|of| of.word());
                let id = token.connection.as_ref();
                kind == Some(token.kind) && id.is_none_or(|id| *id == policy.key.connection)
            });
            let its: Vec<&Arc<Connection>> = its.collect();
            match its.as_slice() {
                [one] => found.push((*one, token)),
                [] => left.push(format!(
                    "{} ({}): no configured connection matches",
                    token.token, token.address
                )),
                several => {
                    let names: Vec<&str> =
                        several.iter().map(|one| one.policy.name.as_str()).collect();
                    left.push(format!(
                        "{} ({}): it may belong to {}; choose the connection: `scimitar adopt NAME --token-id {}`",
                        token.token,
                        token.address,
                        names.join(" or "),
                        token.token
                    ));
                }
            }
        }
        (found, left)
    }
}

/// Reads a file on a thread of its own: one on a mount that hangs holds up no signal.
async fn off_the_loop(
    read: impl FnOnce() -> Result<State, ImportError> + Send + 'static,
) -> Result<State, Failure> {
    let read = tokio::task::spawn_blocking(read).await.map_err(|error| Failure::system(&error))?;
    read.map_err(|error| {
        let class = match &error {
            ImportError::Unreadable { .. } => FailureClass::System,
            ImportError::NotAState { .. } => FailureClass::Usage,
        };
        Failure::new(class, error.to_string())
    })
}
