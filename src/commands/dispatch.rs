//! Which command does what.

use super::{
    check,
    condemn::{self, Asked},
    daemon, health,
    output::{Answer, Failure, FailureClass},
    session::Session,
};
use crate::{
    cli::{Bulk, Command},
    clock::Clock,
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
            Command::Run => Box::pin(daemon::run(self)).await,
            Command::RotateNow { of, all, compromised, bulk, shot } => {
                let names = self.named(of).await?;
                if *compromised {
                    let said = *all || of.says_whose();
                    let asked = Asked { names: &names, said, dry_run: shot.dry_run };
                    condemn::allowed(self.config, &asked, self.stop, self.console).await?;
                }
                // Only now: what happened while a person was asked is no answer to the call.
                let now = self.clock.now();
                let since = bulk.since.unwrap_or(now);
                if since > now {
                    let words = "--since must not be in the future; nothing was done";
                    return Err(Failure::new(FailureClass::Usage, words));
                }
                let request = if *compromised {
                    RotationRequest::Compromised { since }
                } else {
                    RotationRequest::Rotate { since }
                };
                Box::pin(self.one_shot(&names, &request, *shot, *bulk, now, false)).await
            }
            Command::Once { of, shot } => {
                let names = self.named(of).await?;
                let (due, now) = (RotationRequest::Due, self.clock.now());
                let all = !of.says_anything();
                Box::pin(self.one_shot(&names, &due, *shot, Bulk::default(), now, all)).await
            }
            Command::Plan { of, until } => self.plan(&self.named(of).await?, *until).await,
            Command::Status { of, list, watch: true, .. } => {
                self.watch_status(&self.asked(of).await?, *list).await
            }
            Command::Status { of, list, exit_code, .. } => {
                self.status(&self.asked(of).await?, *list, *exit_code).await
            }
            Command::History { of } => self.history(&self.named(of).await?).await,
            Command::Names => Ok(self.names()),
            Command::Explain { of } => self.explain(&self.asked(of).await?).await,
            Command::Tokens { of } => self.tokens(&self.asked(of).await?).await,
            Command::Discover { provider, accept } => {
                self.discover(provider.as_ref(), *accept).await
            }
            Command::Adopt { connection, token_id } => {
                self.operate(connection, &Operation::Adopt(token_id.clone())).await
            }
            Command::Retire { connection, token_id } => {
                self.operate(connection, &Operation::Retire(token_id.clone())).await
            }
            Command::AdoptAll { state } => self.adopt_all(state).await,
            Command::AcceptPlace { connection, place } => {
                self.operate(connection, &Operation::AcceptPlace(place.clone())).await
            }
            Command::AcceptUserGone { connection, user } => {
                self.operate(connection, &Operation::AcceptUserGone(user.clone())).await
            }
            Command::Revoke { connection, token_id, force } => {
                self.operate(connection, &Operation::Revoke { id: token_id.clone(), force: *force })
                    .await
            }
            Command::Pause { of, until, reason } => self.pause(of, *until, reason).await,
            Command::Resume { of } => self.resume(of).await,
            Command::Handoff { of, client, token_id } => {
                self.handed_over(of, client.as_deref(), token_id.as_ref()).await
            }
            Command::Permissions => Ok(self.permissions().await),
            Command::Healthcheck => health::ask(&self.invocation.config, self.config).await,
            // They need no configuration and are answered before one is read.
            Command::AuditVerify { .. }
            | Command::Sandbox(_)
            | Command::Print(_)
            | Command::State(_)
            | Command::Import { .. } => Ok(Answer::done(Vec::new())),
        }
    }
}
