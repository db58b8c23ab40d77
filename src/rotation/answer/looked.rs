//! What a look comes to.

use std::collections::BTreeMap;

use super::Answered;
use crate::{
    error::{Class, Code, Fault},
    rotation::{
        decide::{Situation, Veto},
        event::Event,
        observe::{Held, SeenList, SeenSink},
        trouble::Trouble,
    },
    token::PlaceKey,
};

/// The provider could not be listed.
#[must_use]
pub fn not_listed(s: &Situation<'_>, fault: Fault) -> Answered {
    let trouble = s.look_failed(s.record.troubles.look.as_ref(), fault.clone());
    Answered {
        event: Some(Event::LookFailed(trouble)),
        words: "the provider's tokens could not be listed".to_owned(),
        fault: Some(fault),
    }
}

/// What the provider and the places showed.
#[must_use]
pub fn looked(
    s: &Situation<'_>,
    list: Option<SeenList>,
    sinks: BTreeMap<PlaceKey, SeenSink>,
) -> Event {
    let unread = sinks.iter().filter_map(|(place, seen)| match &seen.held {
        Held::Unreadable(fault) => {
            let before = s.record.sinks.get(place).and_then(|sink| sink.trouble.as_ref());
            Some((place.clone(), s.read_failed(before, fault.clone())))
        }
        Held::Nothing(_) | Held::Token { .. } | Held::Unknown(_) => None,
    });
    let troubles = unread.collect();
    Event::Looked { list, sinks, troubles }
}

/// Whether the places could take a rotation's token: each says so or not, and whether it can be asked
/// what it holds. One of these is enough where not `all` have to.
///
/// # Errors
/// The first failure that speaks against it.
pub fn writable(all: bool, sinks: Vec<(bool, Result<(), Fault>)>) -> Result<(), Fault> {
    let one = sinks.iter().any(|(readable, answer)| *readable && answer.is_ok());
    if one && !all {
        return Ok(());
    }
    sinks.into_iter().try_for_each(|(_, answer)| answer)
}

/// Whether what the SCIM endpoint answers to nobody in particular lets a rotation begin: `Some` is a
/// failure that does not hold it up.
///
/// # Errors
/// One that does.
pub fn endpoint(veto: Veto, answer: Result<(), Fault>) -> Result<Option<Fault>, Fault> {
    match (veto, answer) {
        (_, Ok(())) => Ok(None),
        (Veto::None, Err(fault)) => Ok(Some(fault)),
        (Veto::Refusal, Err(fault)) if fault.class != Class::Terminal => Ok(Some(fault)),
        (Veto::Refusal | Veto::Silence, Err(fault)) => Err(fault),
    }
}

/// What places said to the question whether they would take a write, while none was to be made. Of one that turned
/// out to hold something else than it should, that says nothing.
#[must_use]
pub fn writes_checked(
    s: &Situation<'_>,
    all: bool,
    answers: Vec<(PlaceKey, Result<(), Fault>)>,
) -> Answered {
    let none = Answered { event: None, words: String::new(), fault: None };
    let Some(current) = s.record.current.as_ref().filter(|_| !answers.is_empty()) else {
        return none;
    };
    let mut fault = None;
    let places = answers.into_iter().filter_map(|(place, answer)| {
        let sink = s.record.sinks.get(&place)?;
        let seen = s
            .held(&place)
            .and_then(Held::id)
            .or_else(|| sink.holds.as_ref().filter(|_| !sink.readable));
        if seen != Some(&current.token.id) {
            return None;
        }
        // What somebody changed since it was read was not asked about: the next check reads it.
        let refused = answer.err().filter(|fault| fault.code != Code::Changed);
        fault = fault.take().or_else(|| refused.clone());
        let trouble = refused.map(|fault| s.place_failed(sink.trouble.as_ref(), fault));
        Some((place, trouble))
    });
    let places: BTreeMap<PlaceKey, Option<Trouble>> = places.collect();
    let as_before = |(place, trouble): (&PlaceKey, &Option<Trouble>)| {
        let failed = s.record.sinks.get(place).is_some_and(|sink| sink.unwritable);
        !failed && trouble.is_none()
    };
    if !all && places.iter().all(as_before) {
        return none;
    }
    Answered {
        event: Some(Event::WritesChecked { all_at: all.then_some(s.now), places }),
        words: "the sinks were asked whether they would accept the next token".to_owned(),
        fault,
    }
}

/// What kept a rotation from beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unready {
    /// A sink could not take the token.
    Sink(Fault),
    /// The token could not be used at the SCIM endpoint.
    Endpoint(Fault),
}

/// Nothing is minted that could not be delivered or used.
#[must_use]
pub fn not_ready(s: &Situation<'_>, unready: Unready) -> Answered {
    let before = s.record.troubles.mint.as_ref();
    let (trouble, fault) = match unready {
        Unready::Sink(fault) => {
            (Trouble { of_sink: true, ..s.place_failed(before, fault.clone()) }, fault)
        }
        Unready::Endpoint(fault) => (s.failed(before, fault.clone()), fault),
    };
    Answered {
        event: Some(Event::MintFailed { trouble, no_slot: false }),
        words: "no token is created, because it could not be delivered or used".to_owned(),
        fault: Some(fault),
    }
}
