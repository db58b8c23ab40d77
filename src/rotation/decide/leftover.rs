//! A throw-away user that a proof by writing left behind: when it is deleted, and with which token.

use super::{Decision, Situation, acts, held, sinks, step};
use crate::{
    clock::Timestamp,
    rotation::{policy::Mode, probe_user::ProbeUser},
    token::{Scopes, TokenId},
};

/// It holds nothing up: it is deleted once nothing else is to be done, with the token that every place is
/// to hold. A proof by writing deletes it as well, before it creates another.
pub(super) fn at_rest(s: &Situation<'_>) -> Option<Decision> {
    let user = s.record.probe_user.as_ref()?;
    let may = s.ending.is_none()
        && s.policy.terms.mode == Mode::Rotate
        && held::change(s, &sinks::due(s)).is_none()
        && is_due(s, user);
    let id = in_hand(s).filter(|_| may)?;
    let why = format!("deleting the throw-away user {} of an earlier probe", user.name);
    Some(step(acts::remove_user(s, id), why))
}

/// When the next try is due; `None`: there is no such user, or nothing to delete it with.
pub(super) fn due_at(s: &Situation<'_>) -> Option<Timestamp> {
    let user = s.record.probe_user.as_ref().filter(|_| s.policy.terms.mode == Mode::Rotate)?;
    user.due_at()
}

fn is_due(s: &Situation<'_>, user: &ProbeUser) -> bool {
    match &user.trouble {
        Some(trouble) => {
            // A person's call looks for it at once, and no clock step makes the pause longer.
            let seldom = user.seldom(trouble).filter(|until| {
                s.request.since().is_none() && *until > s.now && trouble.at <= s.now
            });
            s.held_back(Some(trouble)).is_none() && seldom.is_none()
        }
        None => user.due_at().is_none_or(|at| at <= s.now),
    }
}

/// The token to do it with: its value is in memory, and it may read and delete users.
fn in_hand<'s>(s: &Situation<'s>) -> Option<&'s TokenId> {
    let id = s.observed.in_hand.as_ref()?;
    let scopes = s.policy.capabilities.user_scopes.as_ref()?;
    let granted: &Scopes = &s.live().find(|token| token.id == *id)?.scopes;
    (granted.contains(&scopes.read) && granted.contains(&scopes.delete)).then_some(id)
}
