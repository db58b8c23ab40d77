//! Where the token on its way may have got to.

use chrono::TimeDelta;

use super::Situation;
use crate::{
    place::Version,
    rotation::{
        observe::Held,
        record::{Replacement, SinkState},
    },
};

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
