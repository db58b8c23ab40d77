//! What an event means to the history of its connection: a change, or one more look at what stays as it is.

use super::{
    decided::Status,
    event::{Event, PlaceEvent, RetiringEvent},
    record::Record,
};

/// A line of history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// What happened, by the name that the history has for it.
    pub event: &'static str,
    /// In words, where the event says it better than the step that brought it about.
    pub words: Option<String>,
    /// Nothing has changed.
    pub quiet: bool,
}

/// What an event means, by the record before and after it.
#[must_use]
pub fn changed(event: &Event, before: &Record, after: &Record) -> Changed {
    let line = |event, words, quiet| Changed { event, words, quiet };
    let name = event.name();
    if matches!(event, Event::Looked { .. }) {
        return match drifted(before, after) {
            Some(words) => line("drift", Some(words), false),
            None => line(name, None, true),
        };
    }
    if matches!(event, Event::Rested { .. }) {
        let (was, is) = (status(before), status(after));
        let same = was == is && reason(before) == reason(after);
        return match (was, is) {
            (Some(Status::Troubled | Status::Refused), Some(Status::Idle | Status::Waiting)) => {
                line("recovered", None, false)
            }
            (_, Some(Status::Refused)) if !same => line("refused", None, false),
            (_, Some(Status::Troubled)) if !same => line("failing", None, false),
            _ => line(name, None, true),
        };
    }
    // That it fails was said when it began; how often is in the audit log.
    let again = is_failure(event) && status(before) == Some(Status::Troubled);
    line(name, None, again || is_look(event))
}

fn is_failure(event: &Event) -> bool {
    matches!(
        event,
        Event::LookFailed(_)
            | Event::MintFailed { .. }
            | Event::CurrentProbeFailed(_)
            | Event::Place {
                what: PlaceEvent::StageFailed { .. }
                    | PlaceEvent::PromoteFailed { .. }
                    | PlaceEvent::ForgetFailed { .. },
                ..
            }
            | Event::Retiring { what: RetiringEvent::RevokeFailed { .. }, .. }
    )
}

/// Something was asked, beside the lists and the sinks.
fn is_look(event: &Event) -> bool {
    matches!(
        event,
        Event::CurrentProbed { .. }
            | Event::WritesChecked { .. }
            | Event::Place {
                what: PlaceEvent::ClientAsked { .. } | PlaceEvent::ClientSilent { .. },
                ..
            }
    )
}

fn status(record: &Record) -> Option<Status> {
    record.decided.as_ref().map(|decided| decided.status)
}

fn reason(record: &Record) -> Option<super::why::Reason> {
    record.decided.as_ref().and_then(|decided| decided.reason)
}

/// The places that hold what they should not, since this look.
fn drifted(before: &Record, after: &Record) -> Option<String> {
    let new = after.sinks.iter().filter_map(|(key, sink)| {
        let drift = sink.drift.as_ref()?;
        let was = before.sinks.get(key).is_some_and(|was| was.drift.is_some());
        (!was).then(|| format!("{} {}: {}", sink.place.sink, sink.place.location, drift.what))
    });
    let new: Vec<String> = new.collect();
    (!new.is_empty()).then(|| new.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rotation::{decided::Decided, fixture, why::Reason};

    fn standing(status: Status, reason: Option<Reason>) -> Record {
        let mut record = fixture::rotated();
        let (since, until, words) = (fixture::now(), None, "so".to_owned());
        record.decided = Some(Decided { status, reason, words, since, until });
        record
    }

    fn rested(before: &Record, after: &Record) -> (&'static str, bool) {
        let event = Event::Rested {
            at: fixture::now(),
            work_at: None,
            wake_at: None,
            next_rotation: None,
            decided: None,
            warnings: Default::default(),
            noticed: None,
        };
        let changed = changed(&event, before, after);
        (changed.event, changed.quiet)
    }

    #[test]
    fn a_rest_is_told_when_the_connection_stands_otherwise() {
        let idle = standing(Status::Idle, None);
        let away = standing(Status::Troubled, Some(Reason::SinkUnavailable));
        let gone = standing(Status::Troubled, Some(Reason::ProviderUnavailable));
        let refused = standing(Status::Refused, Some(Reason::UnmanagedToken));
        assert_eq!(rested(&idle, &idle), ("rested", true));
        assert_eq!(rested(&idle, &away), ("failing", false));
        assert_eq!(rested(&away, &away), ("rested", true));
        assert_eq!(rested(&away, &gone), ("failing", false));
        assert_eq!(rested(&away, &refused), ("refused", false));
        assert_eq!(rested(&refused, &refused), ("rested", true));
        assert_eq!(rested(&refused, &idle), ("recovered", false));
    }

    #[test]
    fn a_failure_is_told_once() {
        let event = Event::LookFailed(fixture::trouble(1));
        let (idle, away) = (standing(Status::Idle, None), standing(Status::Troubled, None));
        assert!(!changed(&event, &idle, &away).quiet);
        assert!(changed(&event, &away, &away).quiet);
    }

    #[test]
    fn drift_is_told_with_its_place() {
        let (mut before, after) = (fixture::troubled(), fixture::troubled());
        for sink in before.sinks.values_mut() {
            sink.drift = None;
        }
        let words = drifted(&before, &after).unwrap();
        assert!(words.starts_with("vault secret/scim/initech: "), "{words}");
        assert_eq!(drifted(&after, &after), None);
    }
}
