//! What a place is, and whether what it holds can be believed and works.

use std::collections::BTreeSet;

use super::{
    notice::{Notice, Occasion},
    observe::{Held, SeenSink},
    record::{Phase, Record, SinkState},
};
use crate::{
    clock::Timestamp,
    error::{Class, Code, Fault},
    shown::shell_word,
    token::{Digest, PlaceKey, TokenId},
    words::date,
};

impl Record {
    /// What a read of a place says, as far as it can be believed: the same path in another
    /// container is another place, and says nothing of what readers get.
    #[must_use]
    pub fn believed(&self, key: &PlaceKey, seen: SeenSink) -> SeenSink {
        let Some(sink) = self.sinks.get(key) else { return seen };
        let Some((was, is)) = moved(sink, &seen) else { return seen };
        let confirm =
            format!("`scimitar adopt {} --place {}`", self.name, shell_word(&sink.place.location));
        let gone = seen.container.as_ref().is_some_and(|is| is.is_missing());
        let words = if gone {
            format!(
                "its folder is missing, and Scimitar delivered to {was}: a mount did not come up, or the folder was removed. Restore it, or, if Scimitar is to make it again, confirm with {confirm}"
            )
        } else {
            format!(
                "it is now in {is}, but Scimitar delivered to {was}: Scimitar does not read from or write to a different place. Restore the original one, or, if readers now take the token from here, confirm with {confirm}"
            )
        };
        let fault = Fault::new(
            format!("read {}", sink.place.location),
            Class::Terminal,
            Code::PlaceChanged,
            words,
        );
        SeenSink { held: Held::Unreadable(fault), ..seen }
    }

    /// Whether a value is the one that this token was minted or proven with; `None`: not known.
    #[must_use]
    pub fn is_genuine(&self, id: &TokenId, value: &Digest) -> Option<bool> {
        self.digests.get(id).map(|digest| digest == value)
    }

    /// Whether what a place holds is a token that is known to work no more. Its readers are cut off.
    #[must_use]
    pub fn holds_dead(&self, sink: &SinkState) -> bool {
        let Some(id) = &sink.holds else { return false };
        let current = self.current.as_ref().map(|current| &current.token.id);
        let wanted = Some(id) == current || Some(id) == self.target();
        let deleted = self.deleted.contains_key(id) && !self.vanished.contains(id);
        let Some(survey) = self.survey.as_ref().filter(|_| !wanted) else { return false };
        let now = survey.clock().to_provider(survey.at);
        match survey.tokens.iter().find(|token| token.id == *id) {
            Some(token) => deleted || token.valid_until.is_some_and(|until| until <= now),
            None => deleted || sink.unlisted.as_ref().is_some_and(super::record::Unlisted::twice),
        }
    }

    /// The places that can be asked what they hold, those that left the policy too.
    #[must_use]
    pub fn readable_places(&self) -> BTreeSet<PlaceKey> {
        let readable = self.sinks.values().filter(|sink| sink.readable);
        readable.map(|sink| sink.place.key.clone()).collect()
    }

    /// The first place of the policy that holds a token that works no more.
    #[must_use]
    pub fn outage(&self) -> Option<&SinkState> {
        self.places().find(|sink| self.holds_dead(sink))
    }

    /// Whether the readers of every place of the policy have this token.
    #[must_use]
    pub fn all_have(&self, id: &TokenId) -> bool {
        self.places().all(|sink| sink.has(id))
    }

    /// The first of [`Self::handoffs`].
    #[must_use]
    pub fn handoff(&self) -> Option<(&SinkState, &TokenId, String)> {
        self.handoffs().next()
    }

    /// The places of the policy where a token waits for a person, with the token and what is to be done.
    pub fn handoffs(&self) -> impl Iterator<Item = (&SinkState, &TokenId, String)> {
        self.places().filter_map(|sink| {
            let (id, instructions) = sink.waits_for_person()?;
            let source = self.places().find(|other| other.readable && other.has(id));
            let source = source.map_or("a place that holds it", |other| &*other.place.location);
            let since = sink.since.map_or_else(String::new, |at| format!(" (since {})", date(at)));
            let several = self.places().filter(|it| it.waits_for_person().is_some()).count() > 1;
            let client = if several {
                format!(" --client {}", shell_word(&sink.place.location))
            } else {
                String::new()
            };
            let token = if sink.offered.is_empty() {
                String::new()
            } else {
                format!(" --token-id {id}")
            };
            let words = format!(
                "{}{since}: copy it from {source} and {instructions}; then `scimitar handoff {} --done{client}{token}`",
                waits(sink, id),
                self.name
            );
            Some((sink, id, words))
        })
    }

    /// That every place has this token, in words; a person's client has it when that person says so.
    #[must_use]
    pub fn held_everywhere(&self, id: &TokenId) -> String {
        let waiting = self.places().filter(|sink| sink.waits_for_person().is_some());
        let clients: Vec<&str> = waiting.map(|sink| sink.place.location.as_str()).collect();
        if clients.is_empty() {
            return format!("every sink holds {id}");
        }
        format!("every sink that Scimitar writes to holds {id}, but not yet {}", clients.join(", "))
    }

    /// What hooks were to be told of a hand-off that nobody waits for any more is dropped; one that is being
    /// told is left to whoever does so.
    pub(super) fn drop_stale_handoffs(&mut self) {
        for sink in self.sinks.values_mut() {
            // What is revoked is no longer to be handed over to anybody.
            sink.offered.retain(|offered| !self.deleted.contains_key(&offered.id));
        }
        let waiting: Vec<String> = (self.places())
            .filter_map(|sink| Some((sink, sink.waits_for_person()?.0)))
            .map(|(sink, id)| whose(sink, id))
            .collect();
        self.notices.retain(|Notice { begun, happening, .. }| {
            let is_of = |waits: &String| happening.words.starts_with(waits);
            let is_handoff = happening.occasion == Occasion::Handoff;
            !is_handoff || begun.is_some() || waiting.iter().any(is_of)
        });
    }

    /// Since when readers are known to be without a token that works.
    #[must_use]
    pub fn cut_off_since(&self) -> Option<Timestamp> {
        let lost = self.missing.as_ref().filter(|_| self.has_lost_current());
        let lost = lost.map(|missing| self.provider_clock().to_host(missing.first));
        let dead = self.places().filter(|sink| self.holds_dead(sink));
        dead.filter_map(|sink| sink.since).chain(lost).min()
    }

    /// Only values of tokens that are in use, or in a place, are of interest.
    pub(super) fn forget_digests(&mut self) {
        let mut kept: Vec<TokenId> = self.alive().cloned().collect();
        kept.extend(self.sinks.values().filter_map(|sink| sink.holds.clone()));
        kept.extend(self.sinks.values().filter_map(|sink| Some(sink.begun.as_ref()?.id.clone())));
        self.digests.retain(|id, _| kept.contains(id));
    }

    /// The token on its way, where one is.
    pub(super) fn on_its_way(&self) -> Option<&TokenId> {
        match &self.phase {
            Phase::Delivering(replacement) => Some(&replacement.token.id),
            Phase::Steady | Phase::Minting(_) => None,
        }
    }
}

/// How every notice of a hand-off begins, also of earlier versions: by it they are known.
fn whose(sink: &SinkState, id: &TokenId) -> String {
    format!("{}: {id} ", sink.place.location)
}

fn waits(sink: &SinkState, id: &TokenId) -> String {
    format!("{}needs to be handed over by a person", whose(sink, id))
}

/// In what a place was when it held a token of ours, and in what else it is seen now, in words.
fn moved<'a>(sink: &'a SinkState, seen: &'a SeenSink) -> Option<(&'a str, &'a str)> {
    let Some(was) = sink.container.as_ref() else {
        // Before it was recorded what a place is in, a token was in something: a folder that is
        // missing now is none that is still to be made.
        let gone = seen.container.as_ref().filter(|is| is.is_missing())?;
        let had = sink.holds.is_some() || sink.was_ours || sink.since.is_some();
        return had.then_some(("a folder that was there", &*gone.words));
    };
    let Some(is) = seen.container.as_ref() else {
        // A service that cannot say who it is and holds nothing may be any other.
        let empty = matches!(seen.held, Held::Nothing(_));
        return (was.strict && empty).then_some((&*was.words, "an unknown container"));
    };
    // A write whose answer was lost is ours as well.
    let sent = |id: &TokenId| sink.begun.as_ref().is_some_and(|begun| begun.id == *id);
    let same_content = seen.held.id().is_some_and(|id| Some(id) == sink.holds.as_ref() || sent(id));
    let readable = !matches!(seen.held, Held::Unreadable(_));
    // One that an operator accepted as missing is made by the delivery.
    let strict = is.strict || (was.strict && !was.is_missing());
    let another = was.id != is.id && (strict || !same_content);
    (readable && another).then_some((&*was.words, &*is.words))
}
