//! What the answer of a sink comes to.

use super::Answered;
use crate::{
    error::{Class, Fault},
    place::{Container, Version},
    rotation::{
        decide::{Forget, Promote, Situation, Stage},
        event::{Event, PlaceEvent},
        record::Trouble,
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
            let words = format!("{} holds {id}", promote.location);
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
            let words = format!("nothing in {location} leads to {id} any more");
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

fn done(place: PlaceKey, what: PlaceEvent, words: String) -> Answered {
    Answered::done(Event::Place { place, what }, words)
}

fn failed(place: PlaceKey, what: PlaceEvent, fault: Fault) -> Answered {
    Answered::failed(Event::Place { place, what }, fault)
}

fn one_more(s: &Situation<'_>, place: &PlaceKey, fault: &Fault) -> Trouble {
    let before = s.record.sinks.get(place).and_then(|sink| sink.trouble.as_ref());
    s.failed(before, fault.clone())
}
