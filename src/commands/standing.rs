//! In one word how a connection stands, the worst first: the states that `status` counts and sorts by;
//! and what `explain` begins with.

use super::screen::Ink;
use crate::{
    clock::Timestamp,
    engine::{report::Outcome, row::Row},
    rotation::{
        decide::Status,
        policy::{Mode, Policy},
        status::ConnectionStatus,
        why::Reason,
    },
};

/// How a connection stands; the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// A person must do something.
    Attention,
    /// Something fails and is retried.
    Failing,
    /// Not checked yet.
    Unchecked,
    /// An operator paused it.
    Paused,
    /// Something is under way that time or evidence will end.
    Waiting,
    /// Watched only: the policy is `mode = "observe"`.
    Observed,
    /// All is well.
    Healthy,
}

impl State {
    /// All of them, the worst first.
    pub const ALL: [Self; 7] = [
        Self::Attention,
        Self::Failing,
        Self::Unchecked,
        Self::Paused,
        Self::Waiting,
        Self::Observed,
        Self::Healthy,
    ];

    /// By how it stands; `checked`: whether there is a record.
    #[must_use]
    pub fn of(status: &ConnectionStatus, policy: &Policy, checked: bool) -> Self {
        let person = status.concerns.iter().any(|concern| concern.needs_person());
        match status.outcome {
            Outcome::Refused => Self::Attention,
            Outcome::Failed if status.for_good => Self::Attention,
            _ if person => Self::Attention,
            Outcome::Failed => Self::Failing,
            _ if !checked => Self::Unchecked,
            _ if status.pause.is_some() || status.reason == Some(Reason::Freeze) => Self::Paused,
            Outcome::Waiting => Self::Waiting,
            Outcome::Unchanged | Outcome::Rotated | Outcome::Planned => match policy.terms.mode {
                Mode::Observe => Self::Observed,
                Mode::Rotate => Self::Healthy,
            },
        }
    }

    /// The word in a table.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Attention => "attention",
            Self::Failing => "failing",
            Self::Unchecked => "unchecked",
            Self::Paused => "paused",
            Self::Waiting => "waiting",
            Self::Observed => "observed",
            Self::Healthy => "healthy",
        }
    }

    /// "2 need attention", "37 healthy".
    #[must_use]
    pub fn counted(self, count: usize) -> String {
        match self {
            Self::Attention if count == 1 => "1 needs attention".to_owned(),
            Self::Attention => format!("{count} need attention"),
            Self::Unchecked => format!("{count} not checked yet"),
            Self::Failing | Self::Paused | Self::Waiting | Self::Observed | Self::Healthy => {
                format!("{count} {}", self.as_str())
            }
        }
    }

    /// Whether more than a line is said of it.
    #[must_use]
    pub fn is_bad(self) -> bool {
        matches!(self, Self::Attention | Self::Failing)
    }

    /// Its colour.
    #[must_use]
    pub fn ink(self) -> Ink {
        match self {
            Self::Attention => Ink::Yellow,
            Self::Failing => Ink::Red,
            Self::Unchecked | Self::Waiting => Ink::Dim,
            Self::Paused | Self::Observed => Ink::Blue,
            Self::Healthy => Ink::Green,
        }
    }
}

/// How a connection stands, and why: what an explanation begins with.
#[derive(Clone, Debug)]
pub struct Stands {
    pub(super) state: State,
    /// Whether it fails or is refused, whatever else there is to look at.
    pub(super) outcome: Outcome,
    /// Since when, where that is worth saying.
    pub(super) since: Option<Timestamp>,
    /// Why.
    pub(super) cause: String,
    /// What a look just now showed, where the cause is what is on record.
    pub(super) seen: Option<String>,
    pub(super) reason: Option<Reason>,
    /// When what holds it up ends, or is tried again.
    pub(super) until: Option<Timestamp>,
    /// When the next rotation starts.
    pub(super) next_at: Option<Timestamp>,
}

impl Stands {
    /// By what is on record; `checked`: whether there is a record.
    #[must_use]
    pub fn on_record(status: &ConnectionStatus, policy: &Policy, checked: bool) -> Self {
        Self {
            state: State::of(status, policy, checked),
            outcome: status.outcome,
            since: status.since.filter(|_| is_stuck(status.outcome)),
            cause: without_next_try(&status.why),
            seen: None,
            reason: status.reason,
            until: status.until,
            next_at: status.next_at,
        }
    }

    /// The same with what a look just now showed: `found` is how the connection would rest by it, `None`
    /// where there is something to be done first.
    pub(super) fn and_found(self, row: &Row, found: Option<Status>) -> Self {
        let (cause, reason) = (without_next_try(&row.why), row.reason);
        let (state, outcome) = match found {
            Some(Status::Troubled) => (self.state.min(State::Failing), Outcome::Failed),
            Some(Status::Refused) => (State::Attention, Outcome::Refused),
            // It is not over before it is found out by who may write it down.
            Some(Status::Idle | Status::Waiting) | None if is_stuck(self.outcome) => {
                let seen = Some(cause).filter(|cause| !cause.is_empty() && *cause != self.cause);
                return Self { seen, ..self };
            }
            Some(Status::Idle | Status::Waiting) | None => (self.state, self.outcome),
        };
        let since = self.since.filter(|_| outcome == self.outcome);
        // What is on record ends with the pause, say; what was found just now does not.
        let until = self.until.filter(|_| outcome == self.outcome);
        Self { state, outcome, since, until, cause, reason, ..self }
    }
}

fn is_stuck(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Failed | Outcome::Refused)
}

/// The words without the time of the next try, which is said once.
fn without_next_try(why: &str) -> String {
    why.split("; next try at ").next().unwrap_or(why).to_owned()
}
