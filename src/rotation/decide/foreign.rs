//! What others put where a token is to go: a write must not cost them their own, nor readers theirs.

use super::{Decision, Situation, Standing, rest, sinks};
use crate::rotation::{
    observe::{Held, Loss, OtherKey},
    policy::Mode,
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

    /// What at the places themselves would keep a rotation from its first write, however entitled
    /// it is, each with the way out.
    #[must_use]
    pub fn obstacles(&self) -> Vec<(Reason, String)> {
        let mut found: Vec<(Reason, String)> = Vec::new();
        for sink in self.record.places() {
            if let Some(Held::Unreadable(fault)) = self.held(&sink.place.key)
                && self.has_moved(sink)
            {
                found.push((Reason::PlaceChanged, fault.to_string()));
            }
        }
        if self.policy.mode == Mode::Observe {
            return found;
        }
        found.extend(sinks::claim(self).map(|words| (Reason::ForeignOwner, words)));
        for sink in self.readable() {
            found.extend(would_be_lost(self, sink).map(|words| (Reason::ForeignContent, words)));
            found.extend(is_elsewhere(self, sink).map(|words| (Reason::TokenElsewhere, words)));
        }
        found
    }
}

/// What keeps a rotation from its first write: content of others, or readers who take the token
/// from somewhere else. At the end of a life only what would be destroyed counts.
pub(super) fn in_the_way(s: &Situation<'_>) -> Option<Decision> {
    let refused = |reason, words| rest(s, Standing::Refused, Some(reason), None, words);
    if let Some(words) = s.readable().find_map(|sink| would_be_lost(s, sink)) {
        return Some(refused(Reason::ForeignContent, words));
    }
    if super::rotate::presses(s) {
        return None;
    }
    let words = s.readable().find_map(|sink| is_elsewhere(s, sink))?;
    Some(refused(Reason::TokenElsewhere, words))
}

/// That readers of a place may take a live token from where no delivery puts the next one.
fn is_elsewhere(s: &Situation<'_>, sink: &SinkState) -> Option<String> {
    let OtherKey { key, before, id } =
        s.seen(&sink.place.key)?.elsewhere.as_ref().filter(|other| s.is_live(&other.id))?;
    let way_out = match before {
        Some(before) => format!(
            "Write payload = {{ {} = \"{before}{{{{ token }}}}\" }} on the delivery if they read that key; else remove it there",
            in_toml(key)
        ),
        None => format!(
            "No payload can write that key. Copy the token to a key that this delivery writes, let its readers take it from there, then remove it under {key}"
        ),
    };
    Some(format!(
        "{location} holds {id}, a live token of this connection, under the key {key}, which this delivery does not write: its readers would go on with a token that is then revoked. {way_out}",
        location = sink.place.location,
    ))
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
