//! What the answer of a sink comes to.

use super::Answered;
use crate::{
    error::{Class, Fault},
    place::{Container, Version},
    rotation::{
        decide::{AskClient, Forget, Promote, Situation, Stage},
        event::{Event, PlaceEvent},
        record::Trouble,
        uptake::{Account, TO_HAND_OVER, Uptake},
    },
    token::PlaceKey,
};

/// A place keeps the token beside what its readers get, or may not.
#[must_use]
pub fn staged(s: &Situation<'_>, stage: &Stage, answer: Result<(), Fault>) -> Answered {
    let place = stage.place.clone();
    match answer {
        Ok(()) => {
            let id = stage.metadata.id().clone();
            let words = format!("{} keeps {id} staged", stage.location);
            done(place, PlaceEvent::Staged { id }, words)
        }
        Err(fault) => {
            let trouble = one_more(s, &place, &fault);
            failed(place, PlaceEvent::StageFailed { trouble }, fault)
        }
    }
}

/// A place holds the token, or may not.
#[must_use]
pub fn promoted(
    s: &Situation<'_>,
    promote: &Promote,
    answer: Result<(Version, Option<Container>), Fault>,
) -> Answered {
    let place = promote.place.clone();
    match answer {
        Ok((version, container)) => {
            let id = promote.metadata.id().clone();
            let location = &promote.location;
            let by_person = s
                .record
                .sinks
                .get(&place)
                .is_some_and(|sink| matches!(sink.uptake, Uptake::ByPerson { .. }));
            let words = if by_person {
                format!("{id} {TO_HAND_OVER} {location}")
            } else {
                format!("{location} holds {id}")
            };
            let (at, provider) = (s.now, s.provider_shown());
            let what = PlaceEvent::Delivered { id, version, at, provider, container };
            done(place, what, words)
        }
        Err(fault) => {
            let trouble = one_more(s, &place, &fault);
            let certain = fault.class != Class::Ambiguous;
            failed(place, PlaceEvent::PromoteFailed { trouble, certain }, fault)
        }
    }
}

/// Nothing in a place leads to the token any more, or something may.
#[must_use]
pub fn forgotten(s: &Situation<'_>, forget: &Forget, answer: Result<(), Fault>) -> Answered {
    let Forget { place, location, id, .. } = forget;
    match answer {
        Ok(()) => {
            let words = format!("nothing in {location} refers to {id} any more");
            done(place.clone(), PlaceEvent::Forgotten { id: id.clone() }, words)
        }
        Err(fault) => {
            let residue = s.record.sinks.get(place).and_then(|sink| sink.residue.get(id));
            let before = residue.and_then(|residue| residue.trouble.as_ref());
            let trouble = s.failed(before, fault.clone());
            failed(place.clone(), PlaceEvent::ForgetFailed { id: id.clone(), trouble }, fault)
        }
    }
}

/// What the client behind a place says, or that it could not be asked.
#[must_use]
pub fn client(s: &Situation<'_>, ask: &AskClient, answer: Result<Account, Fault>) -> Answered {
    let AskClient { place, location, id, .. } = ask;
    match answer {
        Ok(account) => {
            let words = match &account {
                Account::Uses => format!("{location} uses {id}"),
                Account::Waits(words) | Account::Stopped(words) => format!("{location}: {words}"),
            };
            let what = PlaceEvent::ClientAsked { id: id.clone(), at: s.now, account };
            done(place.clone(), what, words)
        }
        Err(fault) => {
            let client = s.record.sinks.get(place).and_then(|sink| sink.client.as_ref());
            let trouble = client.and_then(|client| client.trouble.as_ref());
            let what = PlaceEvent::ClientSilent { trouble: s.failed(trouble, fault.clone()) };
            failed(place.clone(), what, fault)
        }
    }
}

fn done(place: PlaceKey, what: PlaceEvent, words: String) -> Answered {
    Answered::done(Event::Place { place, what }, words)
}

fn failed(place: PlaceKey, what: PlaceEvent, fault: Fault) -> Answered {
    Answered::failed(Event::Place { place, what }, fault)
}

fn one_more(s: &Situation<'_>, place: &PlaceKey, fault: &Fault) -> Trouble {
    let before = s.record.sinks.get(place).and_then(|sink| sink.trouble.as_ref());
    s.place_failed(before, fault.clone())
}
