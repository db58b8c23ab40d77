//! What is told of a step, and how loudly.

use crate::{
    rotation::{
        event::{Event, PlaceEvent},
        record::Record,
    },
    telemetry::audit::entry::{Entry, Outcome, Subject, Where},
    token::{ConnectionName, TokenId},
};

/// A line of the audit log, and how it is told.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) entry: Entry,
    token: Option<TokenId>,
    volume: Volume,
}

impl Said {
    /// Of an event that led from one record to another.
    pub(super) fn of(
        event: &Event,
        entry: Entry,
        token: Option<TokenId>,
        before: &Record,
        after: &Record,
    ) -> Self {
        let volume = volume(event, entry.outcome, before, after);
        Self { entry, token, volume }
    }

    /// The same where a warning is not for the log to give.
    pub(super) fn quietly(self) -> Self {
        let volume = if self.volume == Volume::Warn { Volume::Info } else { self.volume };
        Self { volume, ..self }
    }

    /// Tells it. The message says it all to people: many ways to look show nothing else.
    pub(super) fn tell(&self, name: &ConnectionName) {
        let Self { entry, token, volume } = self;
        let generation = entry.subject.as_ref().map(Subject::generation);
        let token_id = token.as_ref().map(TokenId::as_str);
        let sink = entry.place.as_ref().map(Where::sink);
        let location = entry.place.as_ref().map(Where::location);
        let (event, words) = (entry.event, entry.words.as_str());
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    event,
                    generation,
                    token_id,
                    sink,
                    location,
                    why = words,
                    "{name}: {words}"
                )
            };
        }
        match volume {
            Volume::Warn => line!(warn),
            Volume::Info => line!(info),
            Volume::Debug => line!(debug),
        }
    }
}

/// How loudly a step is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Volume {
    /// A person may have to do something.
    Warn,
    /// Something changed, as planned.
    Info,
    /// A step towards that, or what is told elsewhere.
    Debug,
}

/// What somebody else did, at the provider or at a place, is for a person to look into.
fn is_alarming(before: &Record, after: &Record) -> bool {
    let drifted = after.sinks.iter().any(|(key, sink)| {
        sink.drift.is_some() && before.sinks.get(key).is_some_and(|known| known.drift.is_none())
    });
    drifted
        || before.missing.is_none() && after.missing.is_some()
        || !after.vanished.is_subset(&before.vanished)
        || after.unmanaged.keys().any(|id| !before.unmanaged.contains_key(id))
}

/// A rotation is told by what starts it, the token that is made, each delivery, and its end (by the daemon
/// and by the command's answer); what leads from one to the next is for those who ask for more.
fn volume(event: &Event, outcome: Outcome, before: &Record, after: &Record) -> Volume {
    match (event, outcome) {
        // How the call ends, or how the service is, is told with its error.
        (_, Outcome::Refused | Outcome::Failed | Outcome::Unknown) => Volume::Debug,
        (Event::Looked { .. }, _) if is_alarming(before, after) => Volume::Warn,
        (Event::Intended(_), _) => Volume::Info,
        (_, Outcome::Announced) => Volume::Debug,
        (
            Event::Configured { .. }
            | Event::Proven(_)
            | Event::ValueKnown { .. }
            | Event::Judged { .. }
            | Event::Settled { .. }
            | Event::CurrentProbed { .. }
            | Event::WritesChecked { .. }
            | Event::ProbeUser(_)
            | Event::Notified { .. },
            _,
        ) => Volume::Debug,
        (
            Event::Place { what: PlaceEvent::Staged { .. } | PlaceEvent::Forgotten { .. }, .. },
            _,
        ) => Volume::Debug,
        _ => Volume::Info,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::rotation::fixture;

    fn looked(before: &Record, after: &Record) -> Volume {
        let event = Event::Looked { list: None, sinks: BTreeMap::new(), troubles: BTreeMap::new() };
        volume(&event, Outcome::Noted, before, after)
    }

    #[test]
    fn what_others_did_is_loud_once() {
        let (mut before, after) = (fixture::troubled(), fixture::troubled());
        for sink in before.sinks.values_mut() {
            sink.drift = None;
        }
        assert_eq!(looked(&before, &after), Volume::Warn, "drift");
        assert_eq!(looked(&after, &after), Volume::Info, "it was said");
        let mut known = fixture::troubled();
        assert!(!known.unmanaged.is_empty());
        known.unmanaged.clear();
        assert_eq!(looked(&known, &after), Volume::Warn, "a token of somebody else");
    }

    #[test]
    fn what_failed_is_told_elsewhere() {
        let record = fixture::rotated();
        let failed = Event::LookFailed(fixture::trouble(1));
        for outcome in [Outcome::Failed, Outcome::Refused, Outcome::Unknown] {
            assert_eq!(volume(&failed, outcome, &record, &record), Volume::Debug);
        }
    }
}
