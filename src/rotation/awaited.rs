//! What a previous token waits for before it is revoked, told by the record alone: for all that shows it.
//! What is decided (`decide::retire`) also knows what a list has just said.

use std::time::Duration;

use chrono::TimeDelta;

use super::{
    decide::first_use,
    record::{Record, Retiring},
    uptake::Uptake,
    view,
};
use crate::{clock::ProviderTime, token::TokenId, words::span};

/// What has to happen beside the end of the overlap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Awaited {
    /// Places whose clients are not known to use the new token yet.
    pub clients: Vec<String>,
    /// The new token has to be used by its client first.
    pub first_use: bool,
    /// The previous one has to be unused for so long.
    pub idle: Option<Duration>,
    /// When the token goes without all that; `None`: it waits however long that takes.
    pub latest: Option<ProviderTime>,
    /// There is no such time although the policy could name one (`revoke_at_latest`).
    pub latest_is_unset: bool,
}

impl Awaited {
    /// Of a previous token; `None`: nothing but its overlap keeps it.
    #[must_use]
    pub fn of(record: &Record, retiring: &Retiring) -> Option<Self> {
        let current = record.current.as_ref().map(|current| &current.token.id);
        let clients = current.map(|id| clients(record, id)).unwrap_or_default();
        let first_use = retiring.retire.after_use && !is_used(record, retiring);
        let idle = if retiring.on_evidence {
            Some(view::unused_for(retiring))
        } else {
            retiring.retire.when_idle
        };
        let latest = retiring.retire.at_latest.filter(|_| !retiring.on_evidence);
        let latest = latest.and_then(|latest| {
            retiring.superseded_at?.checked_add_signed(TimeDelta::from_std(latest).ok()?)
        });
        let waits = first_use || idle.is_some() || !clients.is_empty();
        let latest_is_unset = latest.is_none() && !retiring.on_evidence;
        waits.then_some(Self { clients, first_use, idle, latest, latest_is_unset })
    }

    /// In words, behind "once" or "until".
    #[must_use]
    pub fn words(&self) -> String {
        let clients = self.clients.iter().map(|at| format!("{at} is known to use the new token"));
        let used = self.first_use.then(|| "the new token has been used".to_owned());
        let idle = self.idle.map(|idle| format!("this one has been unused for {}", span(idle)));
        clients.chain(used).chain(idle).collect::<Vec<_>>().join(" and ")
    }
}

fn clients(record: &Record, id: &TokenId) -> Vec<String> {
    let waits =
        record.places().filter(|sink| sink.uptake == Uptake::ByClient && !sink.is_taken(id));
    waits.map(|sink| sink.place.location.clone()).collect()
}

/// Whether a client has used the new token, as far as that counts: where a person took it there, a use before
/// the person's word says nothing.
fn is_used(record: &Record, retiring: &Retiring) -> bool {
    let Some(current) = &record.current else { return false };
    let by_person = record.places().any(|sink| matches!(sink.uptake, Uptake::ByPerson { .. }));
    match (by_person, retiring.superseded_at) {
        (false, _) => current.first_use.is_some(),
        (true, None) => false,
        (true, Some(since)) => first_use(current, since).is_ok_and(|used| used > since),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rotation::{fixture, uptake::Taken};

    const DAY: Duration = Duration::from_secs(86_400);

    fn record() -> Record {
        let mut record = fixture::rotated();
        record.retiring[0].retire.after_use = true;
        record.retiring[0].retire.when_idle = Some(3 * DAY);
        record
    }

    fn words(record: &Record) -> Option<String> {
        Awaited::of(record, &record.retiring[0]).map(|awaited| awaited.words())
    }

    #[test]
    fn what_has_happened_is_not_awaited() {
        let mut record = record();
        let idle = "this one has been unused for 3 days";
        assert_eq!(words(&record), Some(format!("the new token has been used and {idle}")));
        record.current.as_mut().unwrap().first_use = Some(fixture::there());
        assert_eq!(words(&record).as_deref(), Some(idle));
        record.retiring[0].retire.when_idle = None;
        assert_eq!(words(&record), None);
    }

    #[test]
    fn a_use_before_a_persons_word_does_not_count() {
        let mut record = record();
        record.retiring[0].retire.when_idle = None;
        let since = fixture::there();
        record.retiring[0].superseded_at = Some(since);
        let current = record.current.as_mut().unwrap();
        (current.first_use, current.probe) = (Some(since), None);
        current.token.last_used_at = Some(since - TimeDelta::minutes(1));
        let instructions = "put it into the client".to_owned();
        for sink in record.sinks.values_mut() {
            sink.uptake = Uptake::ByPerson { instructions: instructions.clone() };
        }
        assert_eq!(words(&record).as_deref(), Some("the new token has been used"));
        record.current.as_mut().unwrap().token.last_used_at = Some(since + TimeDelta::minutes(1));
        assert_eq!(words(&record), None);
    }

    #[test]
    fn a_client_that_can_be_asked_is_awaited_by_its_place() {
        let mut record = record();
        record.retiring[0].retire.after_use = false;
        record.retiring[0].retire.when_idle = None;
        let id = record.current.as_ref().unwrap().token.id.clone();
        let (_, sink) = record.sinks.iter_mut().next().unwrap();
        sink.uptake = Uptake::ByClient;
        let at = sink.place.location.clone();
        assert_eq!(words(&record), Some(format!("{at} is known to use the new token")));
        let (_, sink) = record.sinks.iter_mut().next().unwrap();
        sink.taken = Some(Taken { id, at: fixture::now(), by: None });
        assert_eq!(words(&record), None);
    }

    #[test]
    fn what_goes_on_evidence_alone_has_no_latest_moment() {
        let mut record = record();
        let retiring = &mut record.retiring[0];
        (retiring.superseded_at, retiring.retire.at_latest) = (Some(fixture::there()), Some(DAY));
        let awaited = Awaited::of(&record, &record.retiring[0]).unwrap();
        assert_eq!(awaited.latest, Some(fixture::there() + TimeDelta::days(1)));
        record.retiring[0].on_evidence = true;
        record.retiring[0].retire.when_idle = None;
        record.retiring[0].retire.after_use = false;
        let awaited = Awaited::of(&record, &record.retiring[0]).unwrap();
        assert_eq!((awaited.latest, awaited.idle), (None, Some(DAY)), "a day, if nothing is said");
        assert!(!awaited.latest_is_unset, "it would not count");
    }
}
