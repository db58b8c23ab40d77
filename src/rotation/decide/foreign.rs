//! What others put where a token is to go: a write must not cost them their own, nor readers theirs.

use super::{Decision, Situation, Status, marks, pressing::presses, rest};
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
        if self.policy.terms.mode == Mode::Observe {
            return found;
        }
        found.extend(marks::claim(self).map(|words| (Reason::ForeignOwner, words)));
        for sink in self.readable() {
            let elsewhere = is_elsewhere(self, sink).map(|words| (Reason::TokenElsewhere, words));
            let lost = || would_be_lost(self, sink).map(|words| (Reason::ForeignContent, words));
            found.extend(elsewhere.or_else(lost));
        }
        found
    }
}

/// What keeps a rotation from its first write: content of others, or readers who take the token
/// from somewhere else. At the end of a life only what would be destroyed counts.
pub(super) fn in_the_way(s: &Situation<'_>) -> Option<Decision> {
    let refused = |reason, words| rest(s, Status::Refused, Some(reason), None, words);
    // Whoever overwrote what holds the readers' token would cut them off.
    let words = s.readable().find_map(|sink| is_elsewhere(s, sink));
    if let Some(words) = words.filter(|_| !presses(s)) {
        return Some(refused(Reason::TokenElsewhere, words));
    }
    let words = s.readable().find_map(|sink| would_be_lost(s, sink))?;
    Some(refused(Reason::ForeignContent, words))
}

/// That readers of a place may take a live token from where no delivery puts the next one.
pub(super) fn is_elsewhere(s: &Situation<'_>, sink: &SinkState) -> Option<String> {
    let seen = s.seen(&sink.place.key)?;
    // What is one text is written over as a whole: see `would_be_lost`.
    let live: Vec<&OtherKey> = (seen.elsewhere.iter())
        .filter(|other| !other.key.is_empty() && s.is_live(&other.id))
        .collect();
    let first = live.first()?;
    // Where our own key has a live token already, another payload would only move the problem.
    let delivered = seen.held.id().is_some_and(|id| s.is_live(id));
    let way_out = match (first.before, &live[..]) {
        _ if delivered => {
            "Change all readers to the key that this delivery writes, then remove the other keys"
                .to_owned()
        }
        (Some(before), [_]) => format!(
            "Write payload = {{ {} = \"{before}{{{{ token }}}}\" }} on the delivery if clients read that key; otherwise remove the key",
            in_toml(&first.key)
        ),
        (Some(before), _) => format!(
            "A payload writes one key: change all clients to read one of these keys, write it on the delivery (payload = {{ {} = \"{before}{{{{ token }}}}\" }}), then remove the others",
            in_toml(&first.key)
        ),
        (None, _) => format!(
            "No payload can write there. Copy the token to a key that this delivery writes, change its readers to that key, then remove it {}",
            first.place()
        ),
    };
    let what = if let [one] = &live[..] {
        format!(
            "{}, a live token of this connection, {}, which this delivery does not write: its readers would keep using a token that is later revoked",
            one.id,
            one.place()
        )
    } else {
        let all: Vec<String> =
            live.iter().map(|one| format!("{} {}", one.id, one.place())).collect();
        format!(
            "{}: live tokens of this connection in keys that this delivery does not write; their readers would keep using a token that is later revoked",
            all.join(", ")
        )
    };
    Some(format!("{} holds {what}. {way_out}", sink.place.location))
}

fn in_toml(key: &str) -> String {
    let bare = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if bare { key.to_owned() } else { format!("{key:?}") }
}

/// What a write to this place would destroy of others, in words, with the way out.
pub(super) fn would_be_lost(s: &Situation<'_>, sink: &SinkState) -> Option<String> {
    let anothers = marks::anothers(s, sink);
    if anothers.is_some() {
        return anothers;
    }
    if sink.overwrite && !sink.overwritten {
        return None;
    }
    let seen = s.seen(&sink.place.key)?;
    let unknown = of_nobody_known(s, sink, &seen.held);
    if unknown.is_some() {
        return unknown;
    }
    let ours = sink.was_ours || sink.holds.is_some();
    let what = match &seen.loss {
        Loss::Nothing => return None,
        Loss::Unparsed(why) => format!("has content that cannot be read ({why}); writing would destroy it"),
        Loss::Value if ours => return None,
        Loss::Value => match &seen.held {
            Held::Unknown(_) => "has content that neither comes from Scimitar nor is a token of this connection; writing would replace it".to_owned(),
            Held::Nothing(_) | Held::Token { .. } | Held::Unreadable(_) => return None,
        },
    };
    let inside = seen.elsewhere.iter().find(|other| s.is_live(&other.id));
    let way_out = match inside {
        Some(other) => format!(
            "{}, a live token of this connection, is part of that content, and its readers would lose it: change them to another place that the token is delivered to, then remove it here",
            other.id
        ),
        None => "repair or remove the content, deliver to another place, or set overwrite = true on this delivery to replace it once".to_owned(),
    };
    Some(format!("{} {what}: {way_out}", sink.place.location))
}

/// A place that nothing was ever delivered to holds a token that this connection neither lists nor
/// remembers: a dead one, or the only copy of another connection's.
fn of_nobody_known(s: &Situation<'_>, sink: &SinkState, held: &Held) -> Option<String> {
    let Held::Token { id, marks, .. } = held else { return None };
    let marked = marks.as_ref().is_some_and(|it| it.connection_id == s.record.key.connection);
    let listed = match s.list() {
        Some(list) => list.get(id).is_some(),
        None => s.record.survey.iter().flat_map(|survey| &survey.tokens).any(|it| it.id == *id),
    };
    (!sink.was_ours && !marked && !listed && !s.record.knows(id)).then(|| {
        format!(
            "{} holds {id}, which is not in the token list of this connection: it may belong to another connection, and writing would replace it. Check connection_id. If nobody needs that token, remove it, or set overwrite = true on this delivery to replace it once; otherwise deliver to another place",
            sink.place.location
        )
    })
}
