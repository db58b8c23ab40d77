//! Which connections do not do well, so that people are told when that begins, when it changes,
//! when it goes on for long, and when it ends; and not of each attempt in between.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use super::{
    outages::{Cover, reminder},
    report::Outcome,
};
use crate::{clock::Timestamp, error::Code, rotation::why::Reason, token::ConnectionKey};

/// After so many attempts a connection's failure is told of by itself, unless people were told of the
/// service that it waits for.
const PATIENCE: u32 = 3;

/// How a connection stands: what is told anew when it changes.
pub(super) type Standing = (Outcome, Option<Reason>, Option<Code>);

/// What people are to be told of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// It began to fail or to be refused, or does so for another reason.
    Began,
    /// It has failed for so long.
    Lasts(TimeDelta),
    /// It does well again, after so long.
    Recovered(TimeDelta),
    /// Nothing that they do not know.
    Nothing,
}

/// The connections that do not do well. One small entry for each of them, and none for the others.
#[derive(Debug, Default)]
pub(super) struct Troubles(BTreeMap<ConnectionKey, Trouble>);

#[derive(Debug)]
struct Trouble {
    standing: Standing,
    since: Timestamp,
    /// When people are reminded.
    due: Timestamp,
    /// Whether they were told of it by its own name.
    told: bool,
    attempts: u32,
    /// Until when its failures are those of a service.
    covered: Option<Timestamp>,
    /// When it is tried again, by the ledger; `None`: the ledger knows nothing of its trouble.
    again: Option<Timestamp>,
}

impl Troubles {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Forgets connections that left.
    pub(super) fn retain(&mut self, stays: impl Fn(&ConnectionKey) -> bool) {
        self.0.retain(|key, _| stays(key));
    }

    /// Whether it is one of them.
    pub(super) fn has(&self, key: &ConnectionKey) -> bool {
        self.0.contains_key(key)
    }

    /// Notes when one of them is tried again, where its trouble is on record.
    pub(super) fn retries(&mut self, key: &ConnectionKey, at: Option<Timestamp>) {
        if let Some(trouble) = self.0.get_mut(key) {
            trouble.again = at;
        }
    }

    /// Those that should have been tried again by now, with the time that was meant: another process on
    /// the same ledger may have done it.
    pub(super) fn overdue(&self, now: Timestamp) -> BTreeMap<ConnectionKey, Option<Timestamp>> {
        let late = |trouble: &Trouble| trouble.again.filter(|at| *at < now);
        let all = self.0.iter().filter_map(|(key, trouble)| Some((key, late(trouble)?)));
        all.map(|(key, at)| (key.clone(), Some(at))).collect()
    }

    /// Takes in how a call ended for a connection; `failed` is when what keeps it from going on was last
    /// tried.
    pub(super) fn judge(
        &mut self,
        key: &ConnectionKey,
        standing: Standing,
        (cover, failed): (Cover, Option<Timestamp>),
        now: Timestamp,
    ) -> Told {
        let (outcome, ..) = standing;
        if !matches!(outcome, Outcome::Failed | Outcome::Refused) {
            let before = self.0.remove(key).filter(|before| before.told);
            return before.map_or(Told::Nothing, |before| {
                Told::Recovered((now - before.since).max(TimeDelta::zero()))
            });
        }
        let entry = self.0.entry(key.clone()).or_insert_with(|| Trouble {
            standing,
            since: now,
            due: reminder(now, now),
            told: false,
            attempts: 0,
            covered: None,
            again: None,
        });
        let changed = entry.standing != standing;
        entry.standing = standing;
        entry.attempts = entry.attempts.saturating_add(1);
        if cover == Cover::Told || cover == Cover::Perhaps && entry.attempts < PATIENCE {
            entry.covered = Some(now);
            return Told::Nothing;
        }
        // The service is back, and this connection has not asked it since.
        let covered = entry.covered.filter(|covered| *covered <= now);
        if failed.is_some_and(|failed| covered.is_some_and(|covered| failed <= covered)) {
            return Told::Nothing;
        }
        let first = !entry.told || changed;
        entry.told = true;
        if first {
            entry.due = reminder(entry.since.min(now), now);
            return Told::Began;
        }
        // Whoever is to decide was told: saying it again makes nobody decide sooner.
        if outcome == Outcome::Failed && now >= entry.due {
            entry.due = reminder(entry.since.min(now), now);
            return Told::Lasts(now - entry.since);
        }
        Told::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::parse_timestamp,
        token::{ConnectionId, Tenant},
    };

    const FAILED: Standing =
        (Outcome::Failed, Some(Reason::ProviderUnavailable), Some(Code::Forbidden));
    const REFUSED: Standing = (Outcome::Refused, Some(Reason::UnmanagedToken), None);
    const WELL: Standing = (Outcome::Unchanged, None, None);
    const ALONE: (Cover, Option<Timestamp>) = (Cover::None, None);

    fn key() -> ConnectionKey {
        ConnectionKey {
            tenant: Tenant::try_new("acme.example").unwrap(),
            connection: ConnectionId::try_new("con_1").unwrap(),
        }
    }

    fn at(seconds: i64) -> Timestamp {
        parse_timestamp("2026-11-22T12:00:00Z").unwrap() + TimeDelta::seconds(seconds)
    }

    #[test]
    fn a_failure_is_told_when_it_begins_lasts_and_ends() {
        let mut troubles = Troubles::default();
        let mut told = Vec::new();
        for second in (0..=360).step_by(20) {
            let standing = if second < 360 { FAILED } else { WELL };
            let judged = troubles.judge(&key(), standing, ALONE, at(second));
            if judged != Told::Nothing {
                told.push((second, judged));
            }
        }
        let lasts = |seconds| Told::Lasts(TimeDelta::seconds(seconds));
        let ended = Told::Recovered(TimeDelta::seconds(360));
        assert_eq!(told, [(0, Told::Began), (60, lasts(60)), (300, lasts(300)), (360, ended)]);
        assert_eq!(troubles.len(), 0);
        assert_eq!(troubles.judge(&key(), WELL, ALONE, at(400)), Told::Nothing);
    }

    #[test]
    fn a_refusal_is_told_once_and_when_it_changes() {
        let mut troubles = Troubles::default();
        assert_eq!(troubles.judge(&key(), REFUSED, ALONE, at(0)), Told::Began);
        for day in 1..30 {
            let now = at(day * 86_400);
            assert_eq!(troubles.judge(&key(), REFUSED, ALONE, now), Told::Nothing);
        }
        let other = (Outcome::Refused, Some(Reason::ForeignOwner), None);
        assert_eq!(troubles.judge(&key(), other, ALONE, at(31 * 86_400)), Told::Began);
    }

    #[test]
    fn one_that_others_may_have_mended_is_asked_about() {
        let mut troubles = Troubles::default();
        assert_eq!(troubles.judge(&key(), FAILED, ALONE, at(0)), Told::Began);
        assert!(troubles.overdue(at(3_600)).is_empty(), "the ledger knows nothing of it");
        troubles.retries(&key(), Some(at(60)));
        assert!(troubles.overdue(at(60)).is_empty(), "it is due just now");
        assert_eq!(troubles.overdue(at(61)), [(key(), Some(at(60)))].into());
        let ended = Told::Recovered(TimeDelta::seconds(61));
        assert_eq!(troubles.judge(&key(), WELL, ALONE, at(61)), ended);
        assert!(!troubles.has(&key()) && troubles.overdue(at(61)).is_empty());
    }

    #[test]
    fn what_a_service_causes_is_not_told_of_each_connection() {
        let mut troubles = Troubles::default();
        for second in 0..100 {
            assert_eq!(
                troubles.judge(&key(), FAILED, (Cover::Told, Some(at(second))), at(second)),
                Told::Nothing
            );
        }
        assert_eq!(troubles.len(), 1, "it is in trouble all the same");
        // The service is back, and the connection has yet to find out.
        let stale = (Cover::None, Some(at(99)));
        assert_eq!(troubles.judge(&key(), FAILED, stale, at(100)), Told::Nothing);
        assert_eq!(troubles.judge(&key(), WELL, ALONE, at(100)), Told::Nothing);
        // A service of which nobody was told, since it answers others, is no cause.
        for second in 0..2 {
            assert_eq!(
                troubles.judge(&key(), FAILED, (Cover::Perhaps, None), at(second)),
                Told::Nothing
            );
        }
        assert_eq!(troubles.judge(&key(), FAILED, (Cover::Perhaps, None), at(3)), Told::Began);
    }
}
