//! What others put where a token is to go: a write must not cost them their own, nor readers theirs.

use super::{Decision, Situation, Standing, rest};
use crate::rotation::{
    observe::{Held, Loss, OtherKey},
    record::SinkState,
    why::Reason,
};

impl Situation<'_> {
    /// Whether a place is seen in another container than the one that was delivered to.
    #[must_use]
    pub fn has_moved(&self, sink: &SinkState) -> bool {
        let code = match self.held(&sink.place.key) {
            Some(Held::Unreadable(fault)) => Some(fault.code),
            Some(Held::Nothing(_) | Held::Token { .. } | Held::Unknown(_)) => None,
            None => sink.trouble.as_ref().map(|trouble| trouble.fault.code),
        };
        code == Some(crate::error::Code::PlaceChanged)
    }
}

/// What keeps a rotation from its first write: content of others, or readers who take the token
/// from somewhere else. At the end of a life only what would be destroyed counts.
pub(super) fn in_the_way(s: &Situation<'_>) -> Option<Decision> {
    for sink in s.readable() {
        if let Some(words) = would_be_lost(s, sink) {
            return Some(rest(s, Standing::Refused, Some(Reason::ForeignContent), None, words));
        }
    }
    if super::rotate::presses(s) {
        return None;
    }
    let (sink, other) = s.readable().find_map(|sink| {
        let other = s.seen(&sink.place.key)?.elsewhere.as_ref()?;
        s.is_live(&other.id).then_some((sink, other))
    })?;
    let OtherKey { key, before, id } = other;
    let way_out = match before {
        Some(before) => format!(
            "Write payload = {{ {} = \"{before}{{{{ token }}}}\" }} on the delivery if they read that key; else remove it there",
            in_toml(key)
        ),
        None => format!(
            "No payload can write that key. Copy the token to a key that this delivery writes, let its readers take it from there, then remove it under {key}"
        ),
    };
    let words = format!(
        "{location} holds {id}, a live token of this connection, under the key {key}, which this delivery does not write: its readers would go on with a token that is then revoked. {way_out}",
        location = sink.place.location,
    );
    Some(rest(s, Standing::Refused, Some(Reason::TokenElsewhere), None, words))
}

fn in_toml(key: &str) -> String {
    let bare = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if bare { key.to_owned() } else { format!("{key:?}") }
}

/// What a write to this place would destroy of others, in words, with the way out.
pub(super) fn would_be_lost(s: &Situation<'_>, sink: &SinkState) -> Option<String> {
    if sink.overwrite && !sink.overwritten {
        return None;
    }
    let seen = s.seen(&sink.place.key)?;
    let ours = sink.was_ours || sink.holds.is_some();
    let what = match &seen.loss {
        Loss::Nothing => return None,
        Loss::Unparsed(why) => format!("holds what cannot be read ({why}), and a write would lose all of it"),
        Loss::Value if ours => return None,
        Loss::Value => match &seen.held {
            Held::Unknown(_) => "holds something that is neither Scimitar's nor a token of this connection, and a write would replace it".to_owned(),
            Held::Nothing(_) | Held::Token { .. } | Held::Unreadable(_) => return None,
        },
    };
    Some(format!(
        "{} {what}: repair or remove what is there, deliver to another place, or set overwrite = true on this delivery to replace it once",
        sink.place.location
    ))
}
