//! Where the token on its way may have got to.

use chrono::TimeDelta;

use super::Situation;
use crate::{
    clock::Timestamp,
    place::Version,
    rotation::{
        observe::Held,
        record::{Missing, Replacement, SinkState},
    },
    token::TokenId,
};

/// A token that dies this soon after a wait does not last until its end.
const SPARE: TimeDelta = TimeDelta::minutes(1);

/// Whether any place may hold the token: one that says so, or one whose promote is not settled.
pub(super) fn may_be_somewhere(s: &Situation<'_>, replacement: &Replacement) -> bool {
    let id = &replacement.token.id;
    s.record.sinks.values().any(|sink| {
        let begun = sink.begun.as_ref().is_some_and(|begun| begun.id == *id);
        match s.held(&sink.place.key) {
            Some(Held::Token { id: other, .. }) if other == id => true,
            Some(Held::Token { .. } | Held::Nothing(_)) => begun && !settled(s, sink),
            Some(Held::Unknown(version)) if is_as_before(sink, version) => {
                begun && !settled(s, sink)
            }
            Some(Held::Unknown(_) | Held::Unreadable(_)) | None => {
                begun || sink.holds.as_ref() == Some(id)
            }
        }
    })
}

/// Whether readers may have the token: from a place, or from one that held it before somebody else wrote
/// there.
pub(super) fn may_be_in_use(s: &Situation<'_>, replacement: &Replacement) -> bool {
    replacement.handed_out || may_be_somewhere(s, replacement)
}

/// Whether a place is in the state that the promote begun there was to replace: whatever that is,
/// it is not what was sent.
fn is_as_before(sink: &SinkState, version: &Version) -> bool {
    sink.begun.as_ref().is_some_and(|begun| begun.replaces.as_ref() == Some(version))
}

/// Whether a promote that was begun can no longer land.
pub(super) fn settled(s: &Situation<'_>, sink: &SinkState) -> bool {
    sink.begun.as_ref().is_none_or(|begun| {
        s.now - begun.at >= TimeDelta::from_std(sink.lingers).unwrap_or_default()
    })
}

/// Until when a place that cannot be asked has to wait for this token, because a write of another one that
/// is still on its way would land over it. What its client has is not left to die meanwhile: then it is
/// written at once, and once more when nothing can come after it.
pub(super) fn to_settle(s: &Situation<'_>, sink: &SinkState, id: &TokenId) -> Option<Timestamp> {
    let until = sink.unsettled_until(id, s.now)?;
    let written = sink.holds.as_ref() == Some(id) && sink.begun.is_none();
    (written || !is_cut_off_by(s, sink, until)).then_some(until)
}

/// Whether the token in use, or the one that this place has, does not last until then.
fn is_cut_off_by(s: &Situation<'_>, sink: &SinkState, until: Timestamp) -> bool {
    let left = until + SPARE - s.now;
    let dies = s.record.expires_at().is_some_and(|at| at <= s.provider_now() + left);
    dies || s.record.missing.as_ref().is_some_and(Missing::proves_gone) || s.record.holds_dead(sink)
}
