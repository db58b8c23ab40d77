//! What the answer to a create comes to.

use super::Answered;
use crate::{
    error::{Class, Code, Fault},
    rotation::{decide::Situation, event::Event, record::Intent},
    token::{Digest, Listed},
};

/// A token was made, or not, or that is not known.
#[must_use]
pub fn created(
    s: &Situation<'_>,
    intent: &Intent,
    answer: Result<(Listed, Digest), Fault>,
) -> Answered {
    let fault = match answer {
        Ok((token, digest)) if !intent.known.contains(&token.id) => {
            let words = format!("{} was created", token.id);
            let (retire, verify) = (s.policy.terms.retire.clone(), s.policy.terms.verify);
            let event = Event::Minted { token, retire, verify, digest: Some(digest) };
            return Answered::done(event, words);
        }
        // A value that may be another token's proves nothing.
        Ok((token, _)) => Fault::new(
            format!("create a token for {}", s.record.name),
            Class::Ambiguous,
            Code::Unreadable,
            format!("the answer names {}, which existed before", token.id),
        ),
        Err(fault) => fault,
    };
    let trouble = s.failed(s.record.troubles.mint.as_ref(), fault.clone());
    let event = if fault.class == Class::Ambiguous {
        Event::MintLost(trouble)
    } else {
        Event::MintFailed { trouble, no_slot: fault.code == Code::NoSlot }
    };
    Answered::failed(event, fault)
}
