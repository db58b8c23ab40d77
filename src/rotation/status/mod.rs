//! How a connection stands: the only opinion on it. `--once`, `status`, `explain`, the status page,
//! its API and the metrics render what is said here.

mod answer;
mod blocked;
mod concern;
mod watched;

use std::collections::BTreeSet;

use serde::Serialize;

pub(super) use self::blocked::{held, holds_back, pending_since};
pub use self::{
    answer::outcome,
    blocked::{blocks_revocation, blocks_rotation, is_failing, needs_person},
    concern::{
        Concern, HAND_OFF_AT_MOST, HAND_OFF_LONG, HAND_OFF_PART, REVOCATION_STUCK, SOON_PART,
        SURVEYS_MISSED, URGENT_PART, is_neglected,
    },
    watched::WatchStatus,
};
use super::{
    decided::Status,
    due, hold,
    pause::Pause,
    policy::{Mode, Policy},
    record::{Phase, Record, SinkState, Trouble, Work},
    view,
    why::Reason,
};
use crate::{
    clock::{ProviderTime, Timestamp},
    error::Fault,
};

/// How a connection stands, or how a call ended for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every sink has a new token.
    Rotated,
    /// `--dry-run`, `plan`: what would be done.
    Planned,
    /// Nothing was due.
    Unchanged,
    /// Something is under way that time or evidence will end.
    Waiting,
    /// Nothing goes on until an operator decides (or, for a rotation by hand, until the time in the words).
    Refused,
    /// It did not work.
    Failed,
}

impl Outcome {
    /// The word, in results and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rotated => "rotated",
            Self::Planned => "planned",
            Self::Unchanged => "unchanged",
            Self::Waiting => "waiting",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

impl From<Status> for Outcome {
    fn from(status: Status) -> Self {
        match status {
            Status::Idle => Self::Unchanged,
            Status::Waiting => Self::Waiting,
            Status::Troubled => Self::Failed,
            Status::Refused => Self::Refused,
        }
    }
}

/// How a connection stands.
#[derive(Clone, Debug)]
pub struct ConnectionStatus {
    /// In one word.
    pub outcome: Outcome,
    /// Why, in one word.
    pub reason: Option<Reason>,
    /// Why, in words.
    pub why: String,
    /// Since when it has stood so, where that is known.
    pub since: Option<Timestamp>,
    /// When that ends by itself or is tried again, if it is.
    pub until: Option<Timestamp>,
    /// The failure that keeps it from going on.
    pub fault: Option<Fault>,
    /// When the next rotation starts, as far as is known.
    pub next_at: Option<Timestamp>,
    /// It failed for good: it is tried again all the same, and fails until a person changes something.
    pub for_good: bool,
    /// A person has to do something.
    pub needs_person: bool,
    /// Why no rotation can start.
    pub rotation_blocked: BTreeSet<Reason>,
    /// Why older tokens have to stay.
    pub revocation_blocked: BTreeSet<Reason>,
    /// Since when one could have gone but for evidence or failures.
    pub revocation_pending: Option<Timestamp>,
    /// Since when a place that cannot be asked was to take a token.
    pub handoff_waiting: Option<Timestamp>,
    /// When the older token expires that the client of a place uses where a person is to take a token.
    pub handoff_deadline: Option<Timestamp>,
    /// How the SCIM configuration differs from the policy, in words, and since when.
    pub scim_drift: Option<(String, Timestamp)>,
    /// What the client behind a place says of having stopped, and since when.
    pub client_stopped: Option<(String, Timestamp)>,
    /// Since when the current token is known to be gone at the provider: clients that use it are locked out.
    pub gone_since: Option<ProviderTime>,
    /// An operator's pause that has not ended.
    pub pause: Option<Pause>,
    /// What a person should look at.
    pub concerns: BTreeSet<Concern>,
}

impl ConnectionStatus {
    /// By the record; `policy` is `None` for a connection that is no longer configured. Nothing is
    /// asked or changed.
    #[must_use]
    pub fn of(record: &Record, policy: Option<&Policy>, now: Timestamp) -> Self {
        let mut status = as_decided(record, now);
        let retiring = || record.retiring.iter();
        status.next_at = next_at(record, now);
        status.rotation_blocked = blocked::rotation(record, policy, now);
        status.revocation_blocked =
            retiring().flat_map(|retiring| holds_back(record, retiring, now)).collect();
        status.revocation_pending =
            retiring().filter_map(|retiring| pending_since(record, retiring, now)).min();
        status.handoff_waiting = blocked::handoff_since(record);
        status.handoff_deadline = blocked::handoff_ends(record);
        let scim = record.scim.as_ref();
        status.scim_drift = scim.and_then(|scim| Some((scim.drift()?, scim.since?)));
        status.client_stopped = blocked::client_stopped(record);
        status.gone_since = view::gone_since(record);
        status.paused(record, policy, now);
        if let Some(policy) = policy.filter(|_| status.revocation_pending.is_some()) {
            status.revocation_blocked.extend(held(record, policy, now));
        }
        let observed = policy.is_some_and(|policy| policy.terms.mode == Mode::Observe);
        if observed && !record.retiring.is_empty() {
            status.revocation_blocked.insert(Reason::Observe);
        }
        status.concerns = concern::concerns(record, policy, &status, now);
        status.for_good =
            status.outcome == Outcome::Failed && record.troubles().any(Trouble::needs_person);
        status.needs_person = matches!(status.outcome, Outcome::Failed | Outcome::Refused)
            || status.concerns.iter().any(|concern| concern.needs_person());
        status
    }

    /// What a pause that was asked for since the last pass means: that pass did not know of it.
    fn paused(&mut self, record: &Record, policy: Option<&Policy>, now: Timestamp) {
        let Some(pause) = record.pause.as_ref().filter(|pause| pause.lasts(now)) else { return };
        self.pause = Some(pause.clone());
        let nothing_else =
            matches!(self.reason, None | Some(Reason::PolicyChanged | Reason::Freeze));
        if self.outcome == Outcome::Unchanged && nothing_else {
            (self.reason, self.why) = (Some(Reason::Paused), pause.words());
            self.until = Some(pause.until);
        }
        let Some(policy) = policy.filter(|policy| policy.terms.mode == Mode::Rotate) else {
            return;
        };
        let clock = record.believed_clock();
        let due = due::next(policy, record);
        let start = hold::start(policy, record, &due, clock.to_provider(now));
        self.next_at = start.map(|start| clock.to_host(start.at));
    }

    /// Of a connection that has no record yet.
    #[must_use]
    pub fn unseen() -> Self {
        Self::new(
            Outcome::Unchanged,
            None,
            "not checked yet; run `scimitar --once` or start the daemon",
        )
    }

    /// Of a connection that the ledger knows at another tenant: it is refused until an operator says
    /// so.
    #[must_use]
    pub fn at_another_tenant(policy: &Policy, other: &Record) -> Self {
        let name = &policy.name;
        let why = format!(
            "the ledger has {name} at {}, the configuration says {}: set the provider back, give the connection a new name, or `scimitar adopt {name} --token-id ID` with a token of the new tenant",
            other.key.tenant, policy.key.tenant
        );
        Self {
            needs_person: true,
            rotation_blocked: [Reason::TenantChanged].into(),
            concerns: [Concern::RotationBlocked].into(),
            ..Self::new(Outcome::Refused, Some(Reason::TenantChanged), why)
        }
    }

    /// What a person should look at and nothing else in a row says: each with its word in front.
    pub fn warnings(&self) -> impl Iterator<Item = String> {
        self.concerns.iter().filter_map(|concern| concern.warning(self))
    }

    /// An operator's pause in words, where what is said of the connection does not say it.
    #[must_use]
    pub fn pause_beside(&self, why: &str) -> Option<String> {
        self.pause.as_ref().map(Pause::words).filter(|words| !why.contains(words.as_str()))
    }

    fn new(outcome: Outcome, reason: Option<Reason>, why: impl Into<String>) -> Self {
        Self {
            outcome,
            reason,
            why: why.into(),
            since: None,
            until: None,
            fault: None,
            next_at: None,
            for_good: false,
            needs_person: false,
            rotation_blocked: BTreeSet::new(),
            revocation_blocked: BTreeSet::new(),
            revocation_pending: None,
            handoff_waiting: None,
            handoff_deadline: None,
            scim_drift: None,
            client_stopped: None,
            gone_since: None,
            pause: None,
            concerns: BTreeSet::new(),
        }
    }
}

/// What the last pass came to, or that one is under way.
fn as_decided(record: &Record, now: Timestamp) -> ConnectionStatus {
    let rested = record.work_at.is_some();
    let is_paused = record.pause.as_ref().is_some_and(|pause| pause.lasts(now));
    match &record.decided {
        _ if !rested && record.phase != Phase::Steady => {
            ConnectionStatus::new(Outcome::Waiting, None, "a rotation is in progress")
        }
        None => {
            ConnectionStatus::new(Outcome::Unchanged, None, "the first check has not finished yet")
        }
        // What was decided then no longer holds.
        Some(decided) if decided.reason == Some(Reason::Paused) && !is_paused => {
            let words = "the pause has ended; not checked since";
            ConnectionStatus::new(Outcome::from(decided.status), None, words)
        }
        Some(decided) => {
            let outcome = Outcome::from(decided.status);
            ConnectionStatus {
                since: Some(decided.since),
                until: decided.until,
                fault: (outcome == Outcome::Failed).then(|| record.last_fault().cloned()).flatten(),
                ..ConnectionStatus::new(outcome, decided.reason, decided.words.clone())
            }
        }
    }
}

/// When the next rotation starts: one that is overdue starts when what stopped it is tried again,
/// or when what refuses it ends.
fn next_at(record: &Record, now: Timestamp) -> Option<Timestamp> {
    let next = record.next_rotation?;
    if next > now {
        return Some(next);
    }
    let stops = |work| matches!(work, Work::Mint | Work::Look);
    let retries = record.troubles.iter().filter(|(work, _)| stops(*work));
    let retries = retries.map(|(_, trouble)| trouble.retry_at);
    let refused = record.refusal().and_then(|refusal| refusal.until);
    Some(retries.chain(refused).fold(next, Timestamp::max))
}

impl Record {
    /// All that fails now: at the provider, and at the places of the policy.
    pub fn troubles(&self) -> impl Iterator<Item = &Trouble> {
        let own = self.troubles.iter().map(|(_, trouble)| trouble);
        own.chain(self.places().filter_map(|sink: &SinkState| sink.trouble.as_ref()))
    }

    /// The last failure of those.
    #[must_use]
    pub fn last_fault(&self) -> Option<&Fault> {
        self.troubles().max_by_key(|trouble| trouble.at).map(|trouble| &trouble.fault)
    }
}
