//! Clients behind places that cannot be read back: whether they use the token that they were given.

use chrono::TimeDelta;

use super::{AskClient, Decision, Situation, Step, step};
use crate::rotation::{
    policy::Mode,
    record::SinkState,
    uptake::{Account, Uptake},
};

/// How long a client that has stopped is left alone after a delivery to it before it is given the token
/// again, which starts it: whatever stopped it may not be over yet.
const LEFT_ALONE: TimeDelta = TimeDelta::hours(6);

/// After each list, the client of each place that can be asked says how it stands with the token there.
pub(super) fn ask(s: &Situation<'_>) -> Option<Decision> {
    let listed = s.list()?.at;
    let id = &s.record.current.as_ref()?.token.id;
    let asked = |sink: &SinkState| sink.client.as_ref().map(|client| client.asked);
    let silent = |sink: &SinkState| {
        let trouble = sink.client.as_ref().and_then(|client| client.trouble.as_ref());
        s.held_back(trouble).is_some()
    };
    let sink = (s.record.places())
        .filter(|sink| sink.uptake == Uptake::ByClient && s.policy.terms.mode == Mode::Rotate)
        .filter(|sink| sink.holds.as_ref() == Some(id) && sink.begun.is_none())
        .find(|sink| asked(sink).is_none_or(|asked| asked < listed) && !silent(sink))?;
    let location = sink.place.location.clone();
    let why = format!("asking {location} whether it has used {id}");
    let (place, delivered) = (sink.place.key.clone(), sink.version.clone()?);
    Some(step(Step::AskClient(AskClient { place, location, id: id.clone(), delivered }), why))
}

/// Whether a client has stopped and may be started by giving it the token again.
pub(super) fn is_to_be_started(s: &Situation<'_>, sink: &SinkState) -> bool {
    let left_alone = sink.since.is_none_or(|since| s.now - since >= LEFT_ALONE);
    sink.uptake == Uptake::ByClient && sink.stopped().is_some() && left_alone
}

/// Why the client of some place is not known to use the current token yet: in words.
pub(super) fn missing(s: &Situation<'_>) -> Option<String> {
    let id = &s.record.current.as_ref()?.token.id;
    let waits = |sink: &&SinkState| sink.uptake == Uptake::ByClient && !sink.is_taken(id);
    let sink = s.record.places().find(waits)?;
    let location = &sink.place.location;
    let client = sink.client.as_ref();
    let said = match client.and_then(|client| client.account.as_ref()) {
        Some(Account::Waits(words) | Account::Stopped(words)) => words.as_str(),
        Some(Account::Uses) | None => "it has not been asked yet",
    };
    let trouble = client.and_then(|client| client.trouble.as_ref());
    let trouble = trouble.map_or_else(String::new, |trouble| format!(" ({})", trouble.fault));
    Some(format!("{location} is not known to use {id} yet: {said}{trouble}"))
}
