//! What an operator may decide about one token, and what follows for the record.

use std::collections::BTreeSet;

use super::{
    decide::{Situation, irreplaceable},
    event::{Event, PlaceEvent, ProbeUserEvent, TakenOver},
    observe::{Held, OtherKey},
    policy::Verify,
    probe_user::ProbeUserName,
    record::{Cause, Phase, Record, Retiring, SinkState},
    request::is_since,
    uptake::{Offered, Uptake},
};
use crate::{
    clock::{ProviderTime, Timestamp, spelled},
    error::Fault,
    token::{Listed, TokenId},
    words::date,
};

/// Why what an operator asked for is not done.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum NotDone {
    /// It is so already.
    #[error("{0}")]
    Already(String),
    /// It may not be done; in words that say why not and what to do.
    #[error("{0}")]
    Refused(String),
    /// The provider could not be asked, so nothing was changed.
    #[error("{0}")]
    NotAsked(Fault),
}

/// What follows for the record, and what is said of it.
pub type Done = (Vec<Event>, String);

impl Record {
    /// The tokens in use that a `--compromised` of that moment condemns: the current one, those it
    /// replaced, and one on its way that a sink may already hold. What began after it is its answer, but
    /// for what began at a moment to come: the clock was set back since.
    #[must_use]
    pub fn leaked(&self, since: Timestamp, now: Timestamp) -> BTreeSet<TokenId> {
        let is_older = |began: Timestamp| !is_since(since, began, now);
        // What an operator asked to revoke may have been in use, and is not gone yet.
        let superseded = self.retiring.iter().filter(|retiring| {
            let asked = retiring.cause == Cause::Asked && retiring.superseded_at.is_some();
            retiring.cause == Cause::Superseded || asked
        });
        let mut ids: BTreeSet<TokenId> =
            superseded.map(|retiring| retiring.token.id.clone()).collect();
        let current = self.current.as_ref().filter(|current| is_older(current.began));
        ids.extend(current.map(|current| current.token.id.clone()));
        if let Phase::Delivering(replacement) = &self.phase
            && is_older(replacement.began)
        {
            let id = &replacement.token.id;
            let placed = self.sinks.values().any(|sink| {
                sink.holds.as_ref() == Some(id)
                    || sink.begun.as_ref().is_some_and(|begun| begun.id == *id)
                    || sink.astray.contains_key(id)
            });
            ids.extend(placed.then(|| id.clone()));
        }
        ids
    }
}

/// A token that a sink holds counts as the current one from now on.
///
/// # Errors
/// When it is so already, may not be done, or the provider could not be asked.
pub fn adopt(s: &Situation<'_>, id: &TokenId) -> Result<Done, NotDone> {
    let token = listed(s, id)?;
    idle(s)?;
    let holder = s.record.places().find_map(|sink| match s.held(&sink.place.key)? {
        Held::Token { id: held, marks, .. } if held == id => {
            Some((sink.place.location.clone(), marks.as_ref().map_or(0, |marks| marks.generation)))
        }
        Held::Token { .. } | Held::Nothing(_) | Held::Unknown(_) | Held::Unreadable(_) => None,
    });
    let retire = s.policy.terms.retire.clone();
    let at = s.provider_shown();
    if let Some((location, generation)) = holder {
        if s.record.current.as_ref().is_some_and(|current| current.token.id == *id) {
            return Err(NotDone::Already(format!("{id} is already the current token")));
        }
        let made = s.on_our_clock(token.created_at).min(s.now);
        let event = Event::TakenOver(Box::new(TakenOver {
            token,
            generation: generation.max(s.record.generation),
            previous: Vec::new(),
            marked: None,
            rebuilt: false,
            retire,
            verify: s.policy.terms.verify,
            at,
            made,
        }));
        return Ok((
            vec![event],
            format!(
                "{location} holds {id}: it becomes the current token {}",
                match s.policy.terms.verify {
                    Verify::Read | Verify::Write => "once the SCIM endpoint accepts it",
                    Verify::Off => "now (verify = \"off\")",
                }
            ),
        ));
    }
    if s.record.knows(id) {
        return Err(NotDone::Refused(format!(
            "{id} is already managed by Scimitar: `scimitar explain {}` says what happens to it",
            s.record.name
        )));
    }
    Err(NotDone::Refused(format!(
        "no sink holds {id}, so it cannot be taken over; `scimitar adopt {name} --token-id {id} --retire` makes it a previous token, which is retired according to the policy; `scimitar revoke {name} --token-id {id}` revokes it now",
        name = s.record.name
    )))
}

/// A token that another tool managed: the current one from now on where a place holds it, else a previous
/// one.
///
/// # Errors
/// As [`adopt`] and [`retire`]; it is so already where an earlier call did it.
pub fn take_over(s: &Situation<'_>, id: &TokenId) -> Result<Done, NotDone> {
    if s.record.retiring.iter().any(|retiring| retiring.token.id == *id) {
        let name = &s.record.name;
        let words =
            format!("{id} is already being retired: `scimitar explain {name}` says until when");
        return Err(NotDone::Already(words));
    }
    let held = s.record.places().any(|sink| s.held(&sink.place.key).and_then(Held::id) == Some(id));
    if held { adopt(s, id) } else { retire(s, id) }
}

/// A place that holds a token where nothing is delivered.
fn held_beside<'a>(s: &Situation<'a>, id: &TokenId) -> Option<(&'a SinkState, &'a OtherKey)> {
    let (record, observed) = (s.record, s.observed);
    record.places().find_map(|sink| {
        let seen = observed.seen(&sink.place.key, s.now)?;
        Some((sink, seen.elsewhere.iter().find(|other| other.id == *id)?))
    })
}

/// A token that no sink holds counts as a previous one from now on, which the policy retires.
///
/// # Errors
/// When it is so already, may not be done, or the provider could not be asked.
pub fn retire(s: &Situation<'_>, id: &TokenId) -> Result<Done, NotDone> {
    let token = listed(s, id)?;
    idle(s)?;
    let held =
        s.record.places().find(|sink| s.held(&sink.place.key).and_then(Held::id) == Some(id));
    if let Some(sink) = held {
        return Err(NotDone::Refused(format!(
            "{} holds {id}: a token that readers get cannot be retired; `scimitar adopt {} --token-id {id}` takes it over",
            sink.place.location, s.record.name
        )));
    }
    if let Some((sink, other)) = held_beside(s, id) {
        return Err(NotDone::Refused(format!(
            "{} holds {id} {}: a token that readers may get cannot be retired; first change them to read the delivered token, and remove this one there",
            sink.place.location,
            other.place()
        )));
    }
    if s.record.knows(id) {
        return Err(NotDone::Refused(format!(
            "{id} is already managed by Scimitar: `scimitar explain {}` says what happens to it",
            s.record.name
        )));
    }
    if s.record.current.is_none() {
        return Err(NotDone::Refused(format!(
            "there is no current token, so {id} cannot become a previous token; `scimitar revoke {} --token-id {id}` revokes it now, and clients that use it lose access",
            s.record.name
        )));
    }
    let retire = s.policy.terms.retire.clone();
    let overlap = spelled(retire.overlap);
    let used = if retire.after_use { " and a client has used the current token" } else { "" };
    let idle = retire
        .when_idle
        .map(|idle| format!(" and it has been unused for {}", spelled(idle)))
        .unwrap_or_default();
    let latest = retire
        .at_latest
        .map(|latest| format!(" (after {} in any case)", spelled(latest)))
        .unwrap_or_default();
    let words = format!(
        "no sink holds {id}: it is now a previous token and will be revoked once {overlap} have passed{used}{idle}{latest}; to undo this before then, put it into a sink and run `scimitar adopt {} --token-id {id}`",
        s.record.name
    );
    let at = s.provider_shown();
    Ok((vec![Event::Retired { token, cause: Cause::Superseded, retire, at }], words))
}

/// A place is where it is seen to be now, whatever it was in before.
///
/// # Errors
/// When it is so already, may not be done, or the provider could not be asked.
pub fn accept_place(s: &Situation<'_>, which: &str) -> Result<Done, NotDone> {
    let names =
        |sink: &&SinkState| sink.place.location == which || sink.place.sink.as_str() == which;
    let named: Vec<&SinkState> = s.record.sinks.values().filter(names).collect();
    let [sink] = named.as_slice() else {
        let known: Vec<&str> =
            s.record.sinks.values().map(|sink| sink.place.location.as_str()).collect();
        let what = if named.is_empty() {
            "no sink location is called"
        } else {
            "several sink locations are called"
        };
        return Err(NotDone::Refused(format!(
            "{what} {which}; the sink locations of {} are {}",
            s.record.name,
            known.join(", ")
        )));
    };
    let location = &sink.place.location;
    let seen = s.seen(&sink.place.key).and_then(|seen| seen.container.clone());
    let Some(container) = seen else {
        return Err(NotDone::Refused(format!(
            "it is not known what {location} is in (which folder, account or cluster): try again once Scimitar can read it"
        )));
    };
    if !s.has_moved(sink) {
        return Err(NotDone::Refused(format!(
            "{location} has not moved: there is nothing to accept"
        )));
    }
    let words = format!(
        "an operator confirmed that {location} is now in {}: its content is used from now on",
        container.words
    );
    let (place, what) = (sink.place.key.clone(), PlaceEvent::Accepted { container });
    Ok((vec![Event::Place { place, what }], words))
}

/// A person has deleted a throw-away user, or has seen that there is none.
///
/// # Errors
/// When no user of that name is on record.
pub fn accept_user_gone(s: &Situation<'_>, user: &ProbeUserName) -> Result<Done, NotDone> {
    match &s.record.probe_user {
        Some(left) if left.name == *user => {
            let words = format!("an operator confirmed that the throw-away user {user} is gone");
            Ok((vec![Event::ProbeUser(ProbeUserEvent::Gone)], words))
        }
        Some(left) => Err(NotDone::Refused(format!(
            "the throw-away user of {} is named {}",
            s.record.name, left.name
        ))),
        None => Err(NotDone::Already(format!("no throw-away user of {} is left", s.record.name))),
    }
}

/// A person says that a client has a token that waited for it. `shown`: what the provider's clock shows
/// now, where it could be asked. The record knows that clock only against the one of whoever looked last,
/// which may be another host's.
///
/// # Errors
/// When no token waits for a person there, several clients do and none is named, or a client was offered
/// several tokens and it is not said which one it has: the word for one must not count for another.
pub fn handed_over(
    record: &Record,
    by: &str,
    client: Option<&str>,
    token: Option<&TokenId>,
    at: Timestamp,
    shown: Option<ProviderTime>,
) -> Result<(Event, String), NotDone> {
    let waiting: Vec<(&SinkState, Vec<Offered>)> = record
        .places()
        .map(|sink| (sink, sink.offers().collect::<Vec<_>>()))
        .filter(|(_, offers)| !offers.is_empty())
        .collect();
    let is_meant = |sink: &SinkState| {
        client.is_none_or(|it| sink.place.location == it || sink.place.sink.as_str() == it)
    };
    let has = |offers: &[Offered]| {
        token.is_none_or(|token| offers.iter().any(|offered| offered.id == *token))
    };
    let mut meant: Vec<_> = waiting.iter().filter(|(sink, _)| is_meant(sink)).collect();
    if meant.iter().any(|(_, offers)| has(offers)) {
        meant.retain(|(_, offers)| has(offers));
    }
    let (sink, offers) = match (meant.as_slice(), client) {
        ([one], _) => *one,
        _ if waiting.is_empty() => return Err(nothing_waits(record, client, token)),
        ([], client) => {
            return Err(NotDone::Refused(format!(
                "no token waits for {}; one waits for {}",
                client.unwrap_or("a person"),
                locations(&waiting)
            )));
        }
        (_, _) => {
            return Err(NotDone::Refused(format!(
                "several clients wait for a token: {}; name the one that has it with --client",
                locations(&waiting)
            )));
        }
    };
    let location = &sink.place.location;
    let id = match (token, offers.as_slice()) {
        (Some(token), offers) if offers.iter().any(|offered| offered.id == *token) => token,
        (Some(token), _) if sink.is_taken(token) => {
            return Err(NotDone::Already(format!(
                "it was already confirmed that {location} has {token}"
            )));
        }
        (Some(token), offers) => {
            return Err(NotDone::Refused(format!(
                "{token} does not wait for {location}; waiting are: {}",
                named(offers)
            )));
        }
        (None, [one]) => &one.id,
        (None, offers) => {
            let newest = offers.last().map_or("ID", |newest| newest.id.as_str());
            return Err(NotDone::Refused(format!(
                "{location} was offered several tokens since the last confirmed one: {}. Name the one it has with --token-id, \
                 or give it the newest one and run `scimitar handoff {} --done --token-id {newest}`",
                named(offers),
                record.name
            )));
        }
    };
    let newer = offers.last().filter(|newest| newest.id != *id);
    let newer = newer.map_or_else(String::new, |it| format!("; {} still waits for it", it.id));
    let words = format!("{by} confirmed that {location} has {id}{newer}");
    let known = record.believed_clock().to_provider(at);
    // The overlap counts from here: rather later than too early.
    let provider = shown.map_or(known, |shown| shown.max(known));
    let what = PlaceEvent::HandedOver { id: id.clone(), at, provider, by: by.to_owned() };
    Ok((Event::Place { place: sink.place.key.clone(), what }, words))
}

/// Why a word is not taken where nothing waits. One that is another than the word on record is an error: who
/// says it takes the client to have another token than Scimitar does.
fn nothing_waits(record: &Record, client: Option<&str>, token: Option<&TokenId>) -> NotDone {
    let by_person = |sink: &&SinkState| matches!(sink.uptake, Uptake::ByPerson { .. });
    let is_meant = |sink: &&SinkState| {
        client.is_none_or(|it| sink.place.location == it || sink.place.sink.as_str() == it)
    };
    let meant: Vec<&SinkState> = record.places().filter(by_person).filter(is_meant).collect();
    let Some(sink) = meant.first() else {
        let words = match client {
            Some(client) => {
                format!("there is no client {client}, and no token needs to be handed over")
            }
            None => "no token needs to be handed over".to_owned(),
        };
        return if client.is_some() { NotDone::Refused(words) } else { NotDone::Already(words) };
    };
    match token.filter(|token| !meant.iter().any(|sink| sink.is_taken(token))) {
        None => NotDone::Already("no token needs to be handed over".to_owned()),
        Some(token) => NotDone::Refused(format!(
            "{token} does not wait for {location}: {known}. If the client has {token}, give it the newest one now \
             (`scimitar explain {name}` says where it is and until when the previous ones are kept)",
            location = sink.place.location,
            known = match &sink.taken {
                Some(taken) => format!("it was confirmed that it has {}", taken.id),
                None => "nothing was offered to it".to_owned(),
            },
            name = record.name
        )),
    }
}

fn locations(waiting: &[(&SinkState, Vec<Offered>)]) -> String {
    let all: Vec<&str> = waiting.iter().map(|(sink, _)| &*sink.place.location).collect();
    all.join(", ")
}

/// Tokens that wait for a person, each with since when.
fn named(offers: &[Offered]) -> String {
    let all: Vec<String> = offers
        .iter()
        .map(|Offered { id, since }| match since {
            Some(since) => format!("{id} (since {})", date(*since)),
            None => id.to_string(),
        })
        .collect();
    all.join(", ")
}

/// A token is to be revoked.
///
/// # Errors
/// When it is so already, may not be done, or the provider could not be asked.
pub fn revoke(s: &Situation<'_>, id: &TokenId, force: bool) -> Result<Done, NotDone> {
    let token = listed(s, id)?;
    let target = s.record.target() == Some(id)
        || s.record.current.as_ref().is_some_and(|current| current.token.id == *id);
    let holder = s.record.sinks.values().find(|sink| {
        sink.holds.as_ref() == Some(id) || s.held(&sink.place.key).and_then(Held::id) == Some(id)
    });
    if (target || holder.is_some()) && !force {
        let place = holder.map_or("the sinks", |sink| sink.place.location.as_str());
        return Err(NotDone::Refused(format!(
            "{id} is the token in use ({place} holds it): revoking it causes an outage until the next rotation. `scimitar rotate {name}` replaces it without an outage; --force revokes it anyway",
            name = s.record.name
        )));
    }
    let is_previous = |older: &Retiring| older.token.id == *id && older.cause == Cause::Superseded;
    if !force
        && let Some((_, _, words)) = s.record.handoff()
        && s.record.retiring.iter().any(is_previous)
    {
        return Err(NotDone::Refused(format!(
            "a client may still use {id}: {words}; --force revokes it anyway, and that client loses access"
        )));
    }
    if matches!(&s.record.phase, Phase::Delivering(replacement) if replacement.token.id == *id) {
        return Err(NotDone::Refused(format!(
            "{id} is being delivered now: wait until the delivery has ended; `scimitar explain {}` says when",
            s.record.name
        )));
    }
    let cause = if force { Cause::Forced } else { Cause::Asked };
    let retired = Event::Retired {
        token,
        cause,
        retire: s.policy.terms.retire.clone(),
        at: s.provider_shown(),
    };
    // The last one that works is not revoked on the same word once another is there: its clients may not
    // have that yet.
    if !force
        && let Ok(asked) = s.record.clone().apply(retired.clone())
        && let Some(words) = irreplaceable(s, &asked, id)
    {
        return Err(NotDone::Refused(words));
    }
    Ok((vec![retired], format!("an operator asked to revoke {id}")))
}

fn listed(s: &Situation<'_>, id: &TokenId) -> Result<Listed, NotDone> {
    match &s.observed.list {
        Some(Ok(list)) => list.get(id).cloned().ok_or_else(|| {
            let known: Vec<&str> = list.tokens.iter().map(|token| token.id.as_str()).collect();
            NotDone::Refused(format!(
                "the provider does not list {id} for this connection; it lists {}",
                if known.is_empty() { "no token".to_owned() } else { known.join(", ") }
            ))
        }),
        Some(Err(fault)) => Err(NotDone::NotAsked(fault.clone())),
        None => Err(NotDone::Refused("the provider was not asked".to_owned())),
    }
}

fn idle(s: &Situation<'_>) -> Result<(), NotDone> {
    match s.record.phase {
        Phase::Steady => Ok(()),
        Phase::Minting(_) | Phase::Delivering(_) => Err(NotDone::Refused(format!(
            "a rotation is in progress: let `scimitar --once` finish it first, `scimitar explain {}` says where it stands",
            s.record.name
        ))),
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use crate::rotation::fixture;

    #[test]
    fn a_clock_that_was_set_back_hides_no_leak() {
        let record = fixture::rotated();
        let current = record.current.as_ref().unwrap();
        let earlier = current.began - TimeDelta::hours(3);
        assert!(record.leaked(earlier, earlier).contains(&current.token.id));
        // What began after the call is its answer.
        let later = current.began + TimeDelta::seconds(1);
        assert!(!record.leaked(current.began, later).contains(&current.token.id));
        assert!(record.leaked(later, later).contains(&current.token.id));
    }
}
