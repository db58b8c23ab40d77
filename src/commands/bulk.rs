//! Rotating many connections with a brake: those with the least life left first, a few before the
//! others, then batch after batch, and no further once too many failed.

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::TimeDelta;
use serde::Serialize;

use super::{
    progress::Overall,
    words::{moment, span},
};
use crate::{
    cli::Bulk,
    clock::{ProviderTime, Timestamp},
    config::Config,
    engine::{
        report::{Outcome, Report},
        row::Row,
        worker::Connection,
    },
    rotation::{record::Record, why::Reason},
    token::ProviderName,
};

/// More connections than this are many: a few of them go first.
pub const MANY: usize = 10;

/// How many go first. When each of them fails, the others are not begun, unless it was said after how
/// many failures to stop.
pub const FIRST: usize = 3;

/// What a rotation asks of its provider: two lists, a create, a delete.
const REQUESTS: f64 = 4.0;

/// Which connections, by their places in the order, are worked on together.
#[must_use]
pub fn stages(count: usize, batch: Option<NonZeroUsize>) -> Vec<Range<usize>> {
    let first = if count > MANY { FIRST } else { 0 };
    let batch = batch.map_or(count, NonZeroUsize::get).max(1);
    let mut stages: Vec<Range<usize>> = (first > 0).then_some(0..first).into_iter().collect();
    let mut from = first;
    while from < count {
        let until = from.saturating_add(batch).min(count);
        stages.push(from..until);
        from = until;
    }
    stages
}

/// Where a connection stands in the order: the least life left first, then what does not expire, what has
/// no token yet last.
#[must_use]
pub fn place(record: Option<&Record>) -> (bool, bool, Option<ProviderTime>) {
    let has_token = record.is_some_and(|record| record.current.is_some());
    let expires = record.and_then(Record::expires_at);
    (!has_token, expires.is_none(), expires)
}

/// How the connections of a call ended, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BulkReport {
    /// Every sink has a new token.
    pub rotated: usize,
    /// It did not work.
    pub failed: usize,
    /// An operator has to decide.
    pub refused: usize,
    /// Something is waited for, or nothing was to be done.
    pub waiting: usize,
    /// Left as they were: the call stopped before it was their turn.
    pub not_begun: usize,
    /// Why the call stopped early.
    pub stopped: Option<String>,
    /// With `--since` this moment, the same call goes on where this one stopped.
    pub since: String,
}

impl BulkReport {
    /// Counts rows.
    #[must_use]
    pub fn of(rows: &[Row], stopped: Option<String>, since: Timestamp) -> Self {
        let mut report = Self { stopped, since: exact(since), ..Self::default() };
        for row in rows {
            *report.count(row.outcome, row.reason) += 1;
        }
        report
    }

    /// The same, of a call that was over before every connection had its turn.
    #[must_use]
    pub fn ended(mut self, interrupted: bool) -> Self {
        if self.not_begun > 0 {
            let why = if interrupted { "interrupted" } else { "timed out (--timeout)" };
            self.stopped.get_or_insert_with(|| why.to_owned());
        }
        self
    }

    fn count(&mut self, outcome: Outcome, reason: Option<Reason>) -> &mut usize {
        match (outcome, reason) {
            (_, Some(Reason::NotBegun)) => &mut self.not_begun,
            (Outcome::Rotated, _) => &mut self.rotated,
            (Outcome::Failed, _) => &mut self.failed,
            (Outcome::Refused, _) => &mut self.refused,
            (Outcome::Waiting | Outcome::Unchanged | Outcome::Planned, _) => &mut self.waiting,
        }
    }

    /// Without what is none.
    pub(super) fn words(&self) -> String {
        let all = [
            (self.rotated, "rotated"),
            (self.failed, "failed"),
            (self.refused, "refused"),
            (self.waiting, "waiting or unchanged"),
            (self.not_begun, "not started"),
        ];
        let some = all.iter().filter(|(count, _)| *count > 0);
        let words: Vec<String> = some.map(|(count, word)| format!("{count} {word}")).collect();
        if words.is_empty() { "none".to_owned() } else { words.join(", ") }
    }

    /// The lines at the end.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("\n{}\n", self.words());
        if let Some(stopped) = &self.stopped {
            text = format!("{text}stopped: {stopped}\n");
        }
        if self.failed + self.refused + self.waiting + self.not_begun > 0 {
            text =
                format!("{text}To continue, run the same command with `--since {}`.\n", self.since);
        }
        text
    }
}

/// The line at the beginning.
#[must_use]
pub fn begins(count: usize, since: Timestamp) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!(
        "rotating {count} connection{plural}; if interrupted, continue with the same command and `--since {}`",
        exact(since)
    )
}

/// To the millisecond: what was rotated in the second before the call is not taken for done by it.
fn exact(at: Timestamp) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

/// A call over many connections, while it goes on.
#[derive(Debug)]
pub(super) struct Going {
    bulk: Bulk,
    overall: Overall,
    /// How long a rotation takes at the least, by what the provider's limit leaves.
    least: BTreeMap<ProviderName, Duration>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    total: usize,
    ended: BulkReport,
    left: BTreeMap<ProviderName, usize>,
    /// When the stage began, and how many of it have ended.
    stage: (Timestamp, usize),
    tenths: usize,
    stopped: Option<String>,
}

impl Going {
    /// A call that begins now.
    pub(super) fn new(
        bulk: Bulk,
        config: &Config,
        connections: &[Arc<Connection>],
        compromised: bool,
        overall: Overall,
        now: Timestamp,
    ) -> Self {
        let mut left: BTreeMap<ProviderName, usize> = BTreeMap::new();
        for connection in connections {
            *left.entry(connection.policy.provider.clone()).or_default() += 1;
        }
        let least = left.keys().filter_map(|name| {
            let pace = config.providers.get(name)?.pace();
            let share = if compromised { 1.0 } else { pace.share.get() };
            let seconds = REQUESTS / (pace.limit?.per_second * share);
            Some((name.clone(), Duration::try_from_secs_f64(seconds).ok()?))
        });
        let state = State {
            total: connections.len(),
            ended: BulkReport::default(),
            left: left.clone(),
            stage: (now, 0),
            tenths: 0,
            stopped: None,
        };
        Self { bulk, overall, least: least.collect(), state: Mutex::new(state) }
    }

    /// Which connections are worked on together, by their places in the order.
    pub(super) fn stages(&self) -> Vec<Range<usize>> {
        stages(self.lock().total, self.bulk.batch)
    }

    /// How long each connection is tried.
    pub(super) fn each(&self) -> Option<Duration> {
        self.bulk.each
    }

    /// Why no further connection is begun, if none is.
    pub(super) fn stopped(&self) -> Option<String> {
        self.lock().stopped.clone()
    }

    /// A connection's work ended.
    pub(super) fn note(&self, provider: &ProviderName, report: &Report, now: Timestamp) {
        let mut state = self.lock();
        *state.ended.count(report.outcome, report.reason) += 1;
        if let Some(left) = state.left.get_mut(provider) {
            *left = left.saturating_sub(1);
        }
        state.stage.1 += 1;
        let failed = state.ended.failed;
        if let Some(most) = self.bulk.stop_after.filter(|most| failed >= most.get()) {
            state.stopped.get_or_insert_with(|| format!("{failed} failed (--stop-after {most})"));
        }
        let tenth = state.done() * 10 / state.total.max(1);
        let milestone = tenth > state.tenths;
        state.tenths = tenth;
        let words = self.words(&state, now);
        drop(state);
        self.overall.show(&words, milestone);
    }

    /// All that were begun together have ended.
    pub(super) fn stage_ended(&self, nth: usize, now: Timestamp) {
        let mut state = self.lock();
        let first = nth == 0 && state.total > MANY && self.bulk.stop_after.is_none();
        if first && state.ended.failed >= FIRST {
            state.stopped = Some(format!("each of the first {FIRST} failed"));
        }
        state.stage = (now, 0);
    }

    /// Nothing more is shown.
    pub(super) fn end(&self) {
        self.overall.end();
    }

    fn words(&self, state: &State, now: Timestamp) -> String {
        let done = format!("{}/{}: {}", state.done(), state.total, state.ended.words());
        let (began, ended) = state.stage;
        let left = state
            .left
            .iter()
            .map(|(provider, left)| (*left, self.least.get(provider).copied().unwrap_or_default()));
        let elapsed = (now - began).to_std().unwrap_or_default();
        match remaining(left.collect(), ended, elapsed) {
            Some(remaining) if !remaining.is_zero() => {
                let end = TimeDelta::from_std(remaining).ok().map(|remaining| now + remaining);
                let end =
                    end.map_or_else(|| format!("in {}", span(remaining)), |at| moment(at, now));
                format!("{done}; done about {end}")
            }
            Some(_) | None => done,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that holds the lock can leave it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn done(&self) -> usize {
        let ended = &self.ended;
        ended.rotated + ended.failed + ended.refused + ended.waiting + ended.not_begun
    }
}

/// How long the rest takes: by the pace that was measured, and no less than the providers' limits allow.
/// `left`: how many are left of each provider, and how long one takes there at the least.
fn remaining(left: Vec<(usize, Duration)>, ended: usize, elapsed: Duration) -> Option<Duration> {
    let all: usize = left.iter().map(|(count, _)| count).sum();
    let times = |each: Duration, count: usize| {
        each.checked_mul(u32::try_from(count).unwrap_or(u32::MAX)).unwrap_or(Duration::MAX)
    };
    let measured = u32::try_from(ended).ok().filter(|ended| *ended > 0).map(|ended| {
        let whole = times(elapsed, all);
        whole / ended
    })?;
    let least = left.into_iter().map(|(count, each)| times(each, count)).max()?;
    Some(measured.max(least))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::parse_timestamp, rotation::fixture};

    #[test]
    fn a_few_go_first_and_the_others_in_batches() {
        assert!(stages(0, None).is_empty());
        assert_eq!(stages(10, None).len(), 1);
        assert_eq!(stages(11, None), [0..3, 3..11]);
        assert_eq!(stages(11, NonZeroUsize::new(4)), [0..3, 3..7, 7..11]);
        assert_eq!(stages(5, NonZeroUsize::new(2)), [0..2, 2..4, 4..5]);
        let all: usize =
            stages(5000, NonZeroUsize::new(64)).iter().map(ExactSizeIterator::len).sum();
        assert_eq!(all, 5000);
    }

    #[test]
    fn the_least_life_left_goes_first() {
        let with = |days: Option<i64>| {
            let mut record = fixture::rotated();
            let current = record.current.as_mut().unwrap();
            current.token.valid_until = days.map(|days| fixture::there() + TimeDelta::days(days));
            record
        };
        let (soon, late, never) = (with(Some(1)), with(Some(30)), with(None));
        let empty = fixture::empty();
        let order = [Some(&soon), Some(&late), Some(&never), Some(&empty)];
        assert!(order.windows(2).all(|two| place(two[0]) < place(two[1])));
        assert_eq!(place(None), place(Some(&empty)));
    }

    #[test]
    fn the_rest_takes_as_long_as_measured_and_as_the_limit_allows() {
        let second = Duration::from_secs(1);
        assert_eq!(remaining(vec![(90, Duration::ZERO)], 0, second), None, "nothing is measured");
        assert_eq!(remaining(vec![(90, Duration::ZERO)], 10, second * 20), Some(second * 180));
        // The first few were fast: the burst of the limit was still there.
        let left = vec![(90, second * 4), (10, second)];
        assert_eq!(remaining(left.clone(), 100, second), Some(second * 360));
        assert_eq!(remaining(left, 10, second * 1000), Some(second * 10_000));
        assert_eq!(remaining(vec![(0, second)], 10, second), Some(Duration::ZERO));
    }

    #[test]
    fn what_was_not_begun_is_told_from_what_was_unchanged() {
        let at = parse_timestamp("2026-11-22T04:00:00Z").unwrap();
        let mut report = BulkReport::of(&[], Some("2 failed (--stop-after 2)".to_owned()), at);
        *report.count(Outcome::Rotated, None) += 5;
        *report.count(Outcome::Failed, None) += 2;
        *report.count(Outcome::Unchanged, Some(Reason::NotBegun)) += 30;
        *report.count(Outcome::Unchanged, None) += 1;
        let text = "\n5 rotated, 2 failed, 1 waiting or unchanged, 30 not started\n\
                    stopped: 2 failed (--stop-after 2)\n\
                    To continue, run the same command with `--since 2026-11-22T04:00:00.000Z`.\n";
        assert_eq!(report.text(), text);
        let mut all = BulkReport::of(&[], None, at);
        *all.count(Outcome::Rotated, None) += 12;
        assert_eq!(all.text(), "\n12 rotated\n");
    }
}
