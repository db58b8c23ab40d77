//! Misbehaviour on demand, for tests: which requests, and what happens to them instead.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    sync::{Arc, Mutex, PoisonError},
};

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::{quirks::Quirks, state::View, storage::Storage, wire::TenantRequest};
use crate::clock::Timestamp;

/// How many requests the log remembers.
const REMEMBERED: usize = 20_000;

/// The handle on a running sandbox's misbehaviour. Clones share it.
#[derive(Clone, Debug)]
pub struct Faults {
    inner: Arc<Mutex<Inner>>,
    /// Counts releases; whoever waits goes on when it grows.
    releases: Arc<watch::Sender<u64>>,
    /// How many requests began to wait at which count of releases, and are not done.
    waiting: Arc<watch::Sender<BTreeMap<u64, usize>>>,
    storage: Storage,
}

#[derive(Debug, Default)]
struct Inner {
    rules: Vec<(Rule, View)>,
    quirks: Quirks,
    seen: VecDeque<Seen>,
}

/// What happens to some of the requests that match. The first rule that applies is the only one.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// `GET`, `POST`, …; any when absent.
    #[serde(default)]
    pub method: Option<String>,
    /// What the path begins with, as it is sent (without a query).
    #[serde(default)]
    pub path: String,
    /// What the path ends with.
    #[serde(default)]
    pub path_end: String,
    /// How many matching requests are served as usual first.
    #[serde(default)]
    pub skip: u32,
    /// How many are then misled; absent: all, until [`Faults::clear`].
    #[serde(default)]
    pub count: Option<u32>,
    /// What happens to them.
    pub act: Act,
}

/// A misbehaviour.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Act {
    /// 429 without any effect, with `Retry-After` in seconds when given.
    Throttle {
        /// Seconds.
        retry_after: Option<u64>,
    },
    /// This status without any effect; 5xx and 4xx bodies have the shape of the API asked.
    Status(u16),
    /// 502 from a proxy in front, in HTML, without any effect.
    BadGateway,
    /// 404: the connection does not exist.
    NoConnection,
    /// 404: SCIM is not configured for the connection.
    ScimNotConfigured,
    /// 404: the connection's strategy has no SCIM.
    ScimUnsupported,
    /// The connection is closed without any effect and without an answer.
    DropBefore,
    /// It takes effect; the connection is closed without an answer.
    DropAfter,
    /// It takes effect; the connection is closed after this many bytes of the answer.
    CutAfter(usize),
    /// It takes effect; then 500 is answered.
    ErrorAfter,
    /// It takes effect, and is answered, when released, even to a caller that has left.
    HoldBefore,
    /// It takes effect now and is answered when released.
    HoldAfter,
    /// It takes effect, and is answered, this many seconds later.
    Delay(u32),
    /// It is answered at once by `answer`, and takes effect later.
    Late {
        /// What the caller learns.
        answer: LateAnswer,
        /// Seconds until it takes effect; absent: when released.
        after: Option<u32>,
    },
    /// Token lists, and which tokens the SCIM endpoint accepts, are as they were this many
    /// seconds ago.
    Lag(u32),
    /// The same, as they were when this rule was added, until released.
    Freeze,
    /// It takes effect; the JSON that is answered ends in the middle.
    Truncate,
    /// It takes effect; every object in the answer has members that nobody knows.
    ExtraMembers,
    /// `valid_until` in the answer is off by this many seconds.
    ValidUntilOff(i64),
}

/// What a caller learns whose request takes effect later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LateAnswer {
    /// 500.
    ServerError,
    /// The connection is closed.
    Dropped,
    /// Nothing, until it has taken effect; then the connection is closed.
    Silence,
}

/// One request that came in. Neither query, headers nor body are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// The method.
    pub method: String,
    /// The path, without its query.
    pub path: String,
    /// When it came, by the sandbox's clock.
    pub at: Timestamp,
}

impl Rule {
    /// A rule for all requests with this method (any when empty) whose path begins with `path`.
    #[must_use]
    pub fn new(method: &str, path: &str, act: Act) -> Self {
        Self {
            method: (!method.is_empty()).then(|| method.to_owned()),
            path: path.to_owned(),
            path_end: String::new(),
            skip: 0,
            count: None,
            act,
        }
    }

    /// The same, for paths that end with this too.
    #[must_use]
    pub fn ending(mut self, end: &str) -> Self {
        end.clone_into(&mut self.path_end);
        self
    }

    /// The same, for one request only: the `nth` that matches, counted from 1.
    #[must_use]
    pub fn nth(mut self, nth: u32) -> Self {
        self.skip = nth.saturating_sub(1);
        self.count = Some(1);
        self
    }

    /// The same, for this many requests.
    #[must_use]
    pub fn times(mut self, count: u32) -> Self {
        self.count = Some(count);
        self
    }

    fn matches(&self, ask: &TenantRequest) -> bool {
        self.method.as_ref().is_none_or(|method| ask.method.as_str() == method)
            && ask.path.starts_with(&self.path)
            && ask.path.ends_with(&self.path_end)
    }

    /// Counts a matching request and says whether the rule applies to it.
    fn applies(&mut self) -> bool {
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        match &mut self.count {
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
            None => true,
        }
    }
}

impl Faults {
    pub(super) fn new(storage: Storage) -> Self {
        Self {
            inner: Arc::default(),
            releases: Arc::new(watch::Sender::new(0)),
            waiting: Arc::default(),
            storage,
        }
    }

    /// Adds a rule behind those there are.
    ///
    /// # Errors
    /// [`Act::Freeze`] reads the state, which may lie in a folder that cannot be read.
    pub fn add(&self, rule: Rule) -> io::Result<()> {
        let view = match rule.act {
            Act::Freeze => View::Sequence(self.storage.sequence()?),
            Act::Throttle { .. }
            | Act::Status(_)
            | Act::BadGateway
            | Act::NoConnection
            | Act::ScimNotConfigured
            | Act::ScimUnsupported
            | Act::DropBefore
            | Act::DropAfter
            | Act::CutAfter(_)
            | Act::ErrorAfter
            | Act::HoldBefore
            | Act::HoldAfter
            | Act::Delay(_)
            | Act::Late { .. }
            | Act::Lag(_)
            | Act::Truncate
            | Act::ExtraMembers
            | Act::ValidUntilOff(_) => View::Now,
        };
        self.with(|inner| inner.rules.push((rule, view)));
        Ok(())
    }

    /// Removes all rules and quirks. What waits goes on waiting.
    pub fn clear(&self) {
        self.with(|inner| {
            inner.rules.clear();
            inner.quirks = Quirks::default();
        });
    }

    /// Changes the tenant's standing habits.
    pub fn quirks(&self, change: impl FnOnce(&mut Quirks)) {
        self.with(|inner| change(&mut inner.quirks));
    }

    /// Lets everything go that waits now, thaws frozen lists, and returns once all late effects
    /// have taken place.
    pub async fn release(&self) {
        self.with(|inner| inner.rules.retain(|(rule, _)| rule.act != Act::Freeze));
        self.releases.send_modify(|count| *count += 1);
        let now = *self.releases.borrow();
        self.until_waiting(|waiting| waiting.range(..now).next().is_none()).await;
    }

    /// Returns once at least `count` requests wait for a release.
    pub async fn until_held(&self, count: usize) {
        let now = *self.releases.borrow();
        self.until_waiting(|waiting| waiting.range(now..).map(|(_, n)| n).sum::<usize>() >= count)
            .await;
    }

    /// The requests that came in, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<Seen> {
        self.with(|inner| inner.seen.iter().cloned().collect())
    }

    /// Empties the log of requests.
    pub fn forget_requests(&self) {
        self.with(|inner| inner.seen.clear());
    }

    /// Logs a request and says what happens to it, with the tenant's habits.
    pub(super) fn judge(&self, ask: &TenantRequest, now: Timestamp) -> (Option<Act>, View, Quirks) {
        self.with(|inner| {
            if inner.seen.len() >= REMEMBERED {
                inner.seen.pop_front();
            }
            inner.seen.push_back(Seen {
                method: ask.method.to_string(),
                path: ask.path.clone(),
                at: now,
            });
            let hit = inner
                .rules
                .iter_mut()
                .filter(|(rule, _)| rule.matches(ask))
                .find_map(|(rule, view)| rule.applies().then(|| (rule.act.clone(), *view)));
            let quirks = inner.quirks.clone();
            match hit {
                Some((Act::Lag(seconds), _)) => {
                    (None, View::At(now - TimeDelta::seconds(seconds.into())), quirks)
                }
                Some((Act::Freeze, view)) => (None, view, quirks),
                Some((act, _)) => (Some(act), View::Now, quirks),
                None => (None, View::Now, quirks),
            }
        })
    }

    /// Starts to wait for the next release; counted until dropped.
    pub(super) fn wait(&self) -> Wait {
        let releases = self.releases.subscribe();
        let seen = *releases.borrow();
        self.waiting.send_modify(|waiting| *waiting.entry(seen).or_default() += 1);
        Wait { releases, seen, waiting: Arc::clone(&self.waiting) }
    }

    async fn until_waiting(&self, done: impl Fn(&BTreeMap<u64, usize>) -> bool) {
        // The sender lives as long as `self`.
        let _ = self.waiting.subscribe().wait_for(|waiting| done(waiting)).await;
    }

    fn with<R>(&self, act: impl FnOnce(&mut Inner) -> R) -> R {
        act(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Someone who waits for a release, and is counted until what followed is done.
#[derive(Debug)]
pub(super) struct Wait {
    releases: watch::Receiver<u64>,
    seen: u64,
    waiting: Arc<watch::Sender<BTreeMap<u64, usize>>>,
}

impl Wait {
    /// Returns at the next release after the wait began.
    pub(super) async fn released(&mut self) {
        let seen = self.seen;
        if self.releases.wait_for(|count| *count > seen).await.is_err() {
            // The sandbox is gone and nobody can release any more.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.waiting.send_modify(|waiting| {
            if let Some(count) = waiting.get_mut(&self.seen) {
                *count -= 1;
                if *count == 0 {
                    waiting.remove(&self.seen);
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_counts_only_what_it_matches() {
        let mut rule = Rule::new("POST", "/api/", Act::DropAfter).nth(3);
        assert_eq!(
            (0..5).map(|_| rule.applies()).collect::<Vec<_>>(),
            [false, false, true, false, false]
        );
        let mut rule = Rule::new("", "", Act::BadGateway).times(2);
        assert_eq!((0..3).map(|_| rule.applies()).collect::<Vec<_>>(), [true, true, false]);
    }

    #[test]
    fn rules_can_be_written_as_json() {
        for (text, act) in [
            (r#"{"act":{"throttle":{"retry_after":7}}}"#, Act::Throttle { retry_after: Some(7) }),
            (
                r#"{"act":"drop_after","method":"POST","path":"/api/v2/","skip":1,"count":1}"#,
                Act::DropAfter,
            ),
            (
                r#"{"act":{"late":{"answer":"server_error","after":null}}}"#,
                Act::Late { answer: LateAnswer::ServerError, after: None },
            ),
            (r#"{"act":{"status":503}}"#, Act::Status(503)),
        ] {
            assert_eq!(serde_json::from_str::<Rule>(text).unwrap().act, act);
        }
        assert!(serde_json::from_str::<Rule>(r#"{"act":"drop_after","pth":"/"}"#).is_err());
    }
}
