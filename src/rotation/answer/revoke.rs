//! What the answer to a DELETE comes to.

use super::Answered;
use crate::{
    error::Fault,
    rotation::{decide::Situation, event::Event},
    token::TokenId,
};

/// A token was deleted (`true`), was not known (`false`), or neither is certain.
#[must_use]
pub fn revoked(s: &Situation<'_>, id: &TokenId, answer: Result<bool, Fault>) -> Answered {
    match answer {
        Ok(true) => Answered::done(
            Event::Revoked { id: id.clone(), at: s.now },
            format!("{id} was revoked"),
        ),
        Ok(false) => Answered::done(
            Event::NotFound(id.clone()),
            format!("the provider does not know {id}; a list will show it"),
        ),
        Err(fault) => {
            let trouble = s.failed(s.record.troubles.revoke.as_ref(), fault.clone());
            Answered::failed(Event::RevokeFailed(trouble), fault)
        }
    }
}
