//! Which command does what.

use super::{
    check,
    condemn::{self, Asked},
    daemon, health,
    output::{Answer, Failure},
    permissions,
    session::Session,
};
use crate::{
    cli::Command,
    engine::worker::{Operation, RotationRequest},
};

impl Session<'_> {
    /// Does it.
    pub(super) async fn carry_out(&self) -> Result<Answer, Failure> {
        match &self.invocation.command {
            Command::Check { online: false } => {
                Ok(check::summary(&self.invocation.config, self.config))
            }
            Command::Check { online: true } => self.check_online().await,
            Command::Run => daemon::run(self).await,
            Command::RotateNow { connections, all, compromised, shot } => {
                if *compromised {
                    let asked = Asked { named: connections, all: *all, dry_run: shot.dry_run };
                    condemn::allowed(self.config, &asked, self.stop, self.console).await?;
                }
                // Only now: what happened while a person was asked is no answer to the call.
                let since = self.clock.now();
                let request = if *compromised {
                    RotationRequest::Compromised { since }
                } else {
                    RotationRequest::Rotate { since }
                };
                self.one_shot(connections, &request, *shot, since).await
            }
            Command::Once { shot } => {
                self.one_shot(&[], &RotationRequest::Due, *shot, self.clock.now()).await
            }
            Command::Plan { connections, until } => self.plan(connections, *until).await,
            Command::Status { connections, exit_code } => {
                self.status(connections, *exit_code).await
            }
            Command::Explain { connection } => self.explain(connection).await,
            Command::Adopt { connection, token_id } => {
                self.operate(connection, &Operation::Adopt(token_id.clone())).await
            }
            Command::Retire { connection, token_id } => {
                self.operate(connection, &Operation::Retire(token_id.clone())).await
            }
            Command::AcceptPlace { connection, place } => {
                self.operate(connection, &Operation::AcceptPlace(place.clone())).await
            }
            Command::Revoke { connection, token_id, force } => {
                self.operate(connection, &Operation::Revoke { id: token_id.clone(), force: *force })
                    .await
            }
            Command::Permissions => Ok(permissions::answer(self.config)),
            Command::Healthcheck => health::ask(&self.invocation.config, self.config).await,
            // They need no configuration and are answered before one is read.
            Command::AuditVerify { .. } | Command::Sandbox(_) | Command::Print(_) => {
                Ok(Answer::done(Vec::new()))
            }
        }
    }
}
