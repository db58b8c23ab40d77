//! Whether the current token is what the policy asks for.

use chrono::TimeDelta;

use super::{Decision, Situation, note};
use crate::rotation::{
    due::{self, Mismatch},
    event::Event,
};

/// A `Date` says whole seconds, so a later answer can show a moment earlier than one did before.
const RESOLUTION: TimeDelta = TimeDelta::seconds(1);

/// Notes since when the current token has not satisfied the policy: the next window after that is
/// the one in which it is replaced.
pub(super) fn judge(s: &Situation<'_>) -> Option<Decision> {
    let current = s.record.current.as_ref()?;
    let mismatch = due::mismatch(s.policy, current);
    if mismatch.is_some() == s.record.unsatisfied_since.is_some() {
        return None;
    }
    // What is noted is past by every later answer too.
    let unsatisfied_since = mismatch.as_ref().map(|_| s.provider_now() - RESOLUTION);
    let why = match mismatch {
        Some(Mismatch::Replace(words)) => format!("{}: {words}", current.token.id),
        Some(Mismatch::Outlives) => {
            format!("{} lives longer than the policy allows (token_lifetime)", current.token.id)
        }
        None => format!("{} satisfies the policy again", current.token.id),
    };
    Some(note(Event::Judged { unsatisfied_since }, &why))
}
