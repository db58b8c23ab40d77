//! What the answer to a DELETE comes to.

use super::Answered;
use crate::{
    error::Fault,
    rotation::{
        decide::Situation,
        event::{Event, RetiringEvent},
    },
    token::TokenId,
};

/// A token was deleted (`true`), was not known (`false`), or neither is certain.
#[must_use]
pub fn revoked(s: &Situation<'_>, id: &TokenId, answer: Result<bool, Fault>) -> Answered {
    let event = |what| Event::Retiring { id: id.clone(), what };
    match answer {
        Ok(true) => {
            Answered::done(event(RetiringEvent::Revoked { at: s.now }), format!("{id} was revoked"))
        }
        Ok(false) => {
            let words = format!(
                "the provider does not know {id}; the next list will show whether it is gone"
            );
            Answered::done(event(RetiringEvent::NotFound), words)
        }
        Err(fault) => {
            let trouble = s.failed(s.record.troubles.revoke.as_ref(), fault.clone());
            Answered::failed(event(RetiringEvent::RevokeFailed { trouble }), fault)
        }
    }
}
