//! While only watching, nothing is changed: a delivery that was begun before is finished, and what an
//! operator asks to revoke is revoked.

use scimitar::{
    rotation::record::{Cause, Phase},
    token::TokenId,
};

use super::world::{Pid, World};

/// What a process is about to do to a service.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change<'a> {
    /// It makes a token.
    Create,
    /// It deletes one.
    Revoke(&'a TokenId),
    /// It shows that a sink could be written to, which is a write at some of them.
    Prove,
    /// It keeps a token beside what readers get, or gives it to them.
    Deliver(&'a TokenId),
    /// It takes away what leads to a token.
    Forget,
    /// It makes or replaces a SCIM configuration.
    Configure,
}

impl World {
    /// Called before each change that a process makes.
    pub(crate) fn promise_observe(&mut self, pid: Pid, index: usize, change: Change<'_>) {
        let conn = &self.conns[index];
        if !conn.attempts.get(&pid).is_some_and(|attempt| attempt.observes) {
            return;
        }
        let record = conn.record.as_ref();
        let allowed = match change {
            Change::Create | Change::Prove | Change::Forget | Change::Configure => false,
            Change::Revoke(id) => record.is_some_and(|record| {
                let asked = |cause| matches!(cause, Cause::Asked | Cause::Forced);
                record.retiring.iter().any(|one| one.token.id == *id && asked(one.cause))
            }),
            Change::Deliver(id) => record.is_some_and(|record| {
                matches!(&record.phase, Phase::Delivering(begun) if !begun.found && begun.token.id == *id)
            }),
        };
        if !allowed {
            self.violate("observe changes nothing", format!("{change:?}"));
        }
    }
}
