//! What of all that happens to a connection is news to its hooks.

mod once;

use std::borrow::Cow;

use chrono::TimeDelta;

use super::{
    event::{Event, PlaceEvent, RetiringEvent},
    notice::{Happening, Occasion, ToldFailure},
    noticed::Noticed,
    record::{Decided, Phase, Record, SinkState, Trouble, Work},
};
use crate::{
    clock::Timestamp,
    error::{Class, Code, Fault},
    token::{Listed, PlaceKey, TokenId},
};

/// A failure that may mend by itself is told when it has lasted so long: a 503 that is over with
/// the first retry is no news. Retries double from 2 s, so that a one-shot's two minutes hold one
/// that comes later than this.
const LASTED: TimeDelta = TimeDelta::seconds(30);

/// The same for looking at the provider while nothing is due.
const LOOK_LASTED: TimeDelta = TimeDelta::hours(1);

/// A failure that goes on is told again after so long.
const AGAIN: TimeDelta = TimeDelta::hours(24);

/// What an event may be news of, before it is known what it changes.
#[derive(Default)]
pub(super) struct News {
    certain: Vec<Happening>,
    /// What stands when a pass rests.
    noticed: Option<(Noticed, Timestamp)>,
    /// Tokens on their way out: those that are gone afterwards are news.
    leaving: Vec<Listed>,
    gone_at: Option<Timestamp>,
}

impl Record {
    /// What `event` may be news of. Nothing is looked at when no hook wants to know.
    pub(super) fn news(&self, event: &Event) -> News {
        if self.notices.hooks.is_empty() {
            return News::default();
        }
        let certain = if let Event::Settled { host, .. } = event {
            self.delivered_everywhere(*host)
        } else if let Event::SettledInPart { at } = event {
            self.delivered_in_part(self.provider_clock().to_host(*at))
        } else if let Event::Rested { at, decided: Some(decided), .. } = event {
            self.refused(decided, *at)
        } else {
            None
        };
        let mut certain: Vec<Happening> = certain.into_iter().collect();
        if let Event::Place { place, what: PlaceEvent::Delivered { id, at, .. } } = event {
            let drift = self.mended(place).filter(|_| self.notices.wanted(Occasion::Drift));
            certain.extend(drift.into_iter().chain(self.healed(place, id, *at)));
        }
        let noticed = if let Event::Rested { at, noticed: Some(noticed), .. } = event {
            Some((Noticed::clone(noticed), *at))
        } else {
            None
        };
        let gone_at = if let Event::Retiring { what: RetiringEvent::Revoked { at }, .. } = event {
            Some(*at)
        } else if let Event::Looked { list: Some(list), .. } = event {
            Some(list.at)
        } else if let Event::Retiring { what: RetiringEvent::Expired, .. } = event {
            self.survey.as_ref().map(|survey| survey.at)
        } else {
            None
        };
        let retiring = self.retiring.iter().filter(|_| gone_at.is_some());
        News {
            certain,
            noticed,
            leaving: retiring.map(|retiring| retiring.token.clone()).collect(),
            gone_at,
        }
    }

    /// Writes down what turned out to be news.
    pub(super) fn tell(&mut self, news: News) {
        if self.notices.hooks.is_empty() {
            return;
        }
        let key = self.key.to_string();
        for happening in news.certain {
            self.notices.push(&key, &happening);
        }
        if let Some(at) = news.gone_at {
            for token in news.leaving {
                if self.retiring.iter().all(|retiring| retiring.token.id != token.id) {
                    let happening = self.gone(&token, at);
                    self.notices.push(&key, &happening);
                }
            }
        }
        if self.notices.wanted(Occasion::Failed) {
            self.tell_failures(&key);
        }
        if let Some((noticed, at)) = news.noticed {
            for happening in self.once(noticed, at) {
                self.notices.push(&key, &happening);
            }
        }
    }

    /// What refuses a connection is over when nothing does any more. While it fails instead, that is
    /// not known for a day.
    pub(super) fn note_refusal(&mut self, at: Timestamp) {
        let refused_for = self.refused_for();
        let unclear = refused_for.is_some() || self.failing().next().is_some();
        let wanted = self.notices.wanted(Occasion::Refused);
        let told = &mut self.notices.refusals;
        told.retain(|_, seen| unclear && (at - *seen).abs() < AGAIN);
        told.extend(refused_for.filter(|_| wanted).map(|reason| (reason, at)));
    }

    fn tell_failures(&mut self, key: &str) {
        let mut told = std::mem::take(&mut self.notices.failures);
        let mut news = Vec::new();
        let mut known = Vec::new();
        for (work, lasted, trouble) in self.failing() {
            let terminal = trouble.needs_person();
            let ripe = terminal || trouble.at - trouble.since >= lasted;
            let before = told.remove(&work);
            let again = before.is_none_or(|before| {
                (terminal && !before.terminal) || trouble.at - before.at >= AGAIN
            });
            if ripe && again {
                news.push(self.failed(&trouble));
            }
            let now = match before {
                _ if ripe && again => Some(ToldFailure { at: trouble.at, terminal }),
                before => before,
            };
            known.extend(now.map(|now| (work, now)));
        }
        // What works again is forgotten: failing anew is news.
        self.notices.failures = known.into_iter().collect();
        for happening in news {
            self.notices.push(key, &happening);
        }
    }

    /// What fails, by kind of work, each with how long it must last to be news.
    fn failing(&self) -> impl Iterator<Item = (String, TimeDelta, Cow<'_, Trouble>)> {
        let troubles = &self.troubles;
        let looks_for = |trouble: &Trouble| {
            let due = self.next_rotation.is_some_and(|next| next <= trouble.at);
            if due || self.current.is_none() { LASTED } else { LOOK_LASTED }
        };
        let look_lasted = troubles.look.as_ref().map_or(LOOK_LASTED, looks_for);
        let own = troubles.iter().map(move |(work, trouble)| {
            let lasted = match work {
                Work::Look => look_lasted,
                Work::Mint | Work::Revoke => LASTED,
                Work::Probe => LOOK_LASTED,
            };
            (work.as_str().to_owned(), lasted, Cow::Borrowed(trouble))
        });
        let sinks = self.places().filter_map(|sink| {
            let work = sink.place.key.to_string();
            Some((work, LASTED, Cow::Borrowed(sink.trouble.as_ref()?)))
        });
        let cut_off = self.places().filter_map(|sink| {
            // Ledgers hold it: it stays as it is, and nobody reads it.
            let work = format!("{} holds what is dead", sink.place.key);
            Some((work, TimeDelta::zero(), Cow::Owned(self.cut_off(sink)?)))
        });
        own.chain(sinks).chain(cut_off)
    }

    /// A place whose readers have a token that works no more, as a failure.
    fn cut_off(&self, sink: &SinkState) -> Option<Trouble> {
        let id = sink.holds.as_ref().filter(|_| self.holds_dead(sink))?;
        let at = self.survey.as_ref()?.at;
        let fault = Fault::new(
            format!("keep a token that works in {}", sink.place.location),
            Class::Transient,
            Code::Changed,
            format!("it holds {id}, which no longer works"),
        );
        Some(Trouble {
            count: 1,
            since: sink.since.unwrap_or(at),
            fault,
            at,
            retry_at: at,
            of_sink: true,
        })
    }

    fn delivered_everywhere(&self, at: Timestamp) -> Option<Happening> {
        let Phase::Delivering(replacement) = &self.phase else { return None };
        let words = self.held_everywhere(&replacement.token.id);
        Some(self.delivered(&replacement.token, at, words))
    }

    fn delivered_in_part(&self, at: Timestamp) -> Option<Happening> {
        let Phase::Delivering(replacement) = &self.phase else { return None };
        let id = &replacement.token.id;
        let without = self.places().filter(|sink| sink.holds.as_ref() != Some(id));
        let without: Vec<_> = without.map(|sink| sink.place.location.as_str()).collect();
        let words = format!("the sinks hold {id}, except {}", without.join(", "));
        Some(self.delivered(&replacement.token, at, words))
    }

    /// A place got the current token back, or late.
    fn healed(&self, place: &PlaceKey, id: &TokenId, at: Timestamp) -> Option<Happening> {
        let current = self.current.as_ref().filter(|current| current.token.id == *id)?;
        let location = &self.sinks.get(place)?.place.location;
        let steady = matches!(self.phase, Phase::Steady);
        steady.then(|| self.delivered(&current.token, at, format!("{location} holds {id}")))
    }

    fn delivered(&self, token: &Listed, at: Timestamp, words: String) -> Happening {
        let before = self.current.as_ref().map(|current| &current.token.id);
        Happening {
            occasion: Occasion::Delivered,
            at,
            token: Some(token.id.clone()),
            previous: before.filter(|before| **before != token.id).cloned(),
            expires_at: token.valid_until,
            generation: self.generation,
            threshold: None,
            reason: None,
            words,
        }
    }

    fn gone(&self, token: &Listed, at: Timestamp) -> Happening {
        let deleted = self.deleted.contains_key(&token.id);
        let how = if deleted { "was revoked" } else { "has expired" };
        Happening {
            occasion: Occasion::Revoked,
            at,
            token: Some(token.id.clone()),
            previous: None,
            expires_at: token.valid_until,
            generation: self.generation,
            threshold: None,
            reason: None,
            words: format!("{} {how}", token.id),
        }
    }

    fn failed(&self, trouble: &Trouble) -> Happening {
        self.status(
            Occasion::Failed,
            trouble.at,
            Some(trouble.fault.class.as_str()),
            trouble.fault.to_string(),
        )
    }

    fn refused(&self, decided: &Decided, at: Timestamp) -> Option<Happening> {
        let reason = decided.refused_for()?;
        let as_before = self.refused_for() == Some(reason);
        let lately = |seen: &Timestamp| (at - *seen).abs() < AGAIN;
        let known = as_before || self.notices.refusals.get(&reason).is_some_and(lately);
        (!known).then(|| {
            let (since, words) = (decided.since, decided.words.clone());
            self.status(Occasion::Refused, since, Some(reason.as_str()), words)
        })
    }

    fn status(
        &self,
        occasion: Occasion,
        at: Timestamp,
        reason: Option<&str>,
        words: String,
    ) -> Happening {
        let current = self.current.as_ref().map(|current| &current.token);
        Happening {
            occasion,
            at,
            token: current.map(|token| token.id.clone()),
            previous: None,
            expires_at: current.and_then(|token| token.valid_until),
            generation: self.generation,
            threshold: None,
            reason: reason.map(str::to_owned),
            words,
        }
    }
}
