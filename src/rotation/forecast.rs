//! What will happen if everything goes well: the same decisions, applied to an ideal world.

mod ideal;

use self::ideal::Ideal;
use super::{
    decide::{Decision, Situation, Status, Step, decide_and_tell, wake_at},
    observe::LAG,
    record::Record,
    tokens,
    why::Reason,
};
use crate::{clock::Timestamp, token::Listed};

/// No plan is longer: a policy that rotates every 15 minutes for 90 days has fewer steps.
const MOST_STEPS: usize = 200_000;

/// One thing that will be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// When.
    pub at: Timestamp,
    /// The call or calls, as they will be sent.
    pub call: String,
    /// Why.
    pub why: String,
    /// Live tokens after it.
    pub slots_used: usize,
    /// What is true if the process dies during it, and what the next start does.
    pub if_it_dies: &'static str,
}

/// A plan, and why it ends where nothing more can be said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// What will be done, in order.
    pub steps: Vec<Planned>,
    /// How the first rest stands: what a call would report now.
    pub first_rest: Option<(Status, String)>,
    /// The word for that.
    pub first_reason: Option<Reason>,
}

/// Plays the policy forward from `record` and what was just `observed` until `until`.
#[must_use]
pub fn forecast(s: &Situation<'_>, until: Timestamp) -> Forecast {
    let tokens = match &s.observed.list {
        Some(Ok(list)) => list.tokens.clone(),
        Some(Err(_)) | None => unlisted(s.record),
    };
    let mut ideal = Ideal::new(s, tokens);
    let mut steps = Vec::new();
    let mut first_rest = None;
    let mut first_reason = None;
    for _ in 0..MOST_STEPS {
        let Decision { step, why } = decide_and_tell(&ideal.situation());
        if let Step::Rest(rest) = &step {
            if first_rest.is_none() {
                first_rest = Some((rest.status, why.clone()));
                first_reason = rest.reason;
            }
            let wake = wake_at(&ideal.situation(), rest);
            if rest.status == Status::Refused || wake > until {
                break;
            }
            ideal.sleep(wake);
            continue;
        }
        let Some((call, if_it_dies)) = ideal.play(step) else { break };
        if let Some(call) = call {
            let slots_used = ideal.live();
            steps.push(Planned { at: ideal.now(), call, why, slots_used, if_it_dies });
        }
    }
    Forecast { steps, first_rest, first_reason }
}

/// The tokens of a provider that could not be asked now: what it listed last, and what is too young to
/// have been in that list.
fn unlisted(record: &Record) -> Vec<Listed> {
    let survey = record.survey.as_ref();
    let listed = survey.iter().flat_map(|survey| &survey.tokens);
    let mut all: Vec<Listed> = listed.cloned().collect();
    for known in tokens::tokens(record) {
        let is_young = survey
            .is_none_or(|survey| survey.clock().to_host(known.token.created_at) > survey.at - LAG);
        if is_young && all.iter().all(|token| token.id != known.token.id) {
            all.push(known.token.clone());
        }
    }
    all.retain(|token| !record.deleted.contains_key(&token.id));
    all
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::{rotation::fixture, token::TokenId};

    #[test]
    fn what_the_last_list_could_not_show_is_there_still() {
        let known = |record: &Record| -> Vec<String> {
            unlisted(record).iter().map(|token| token.id.to_string()).collect()
        };
        let mut record = fixture::rotated();
        let survey = record.survey.as_mut().unwrap();
        survey.tokens.retain(|token| token.id.as_str() == "tok_old");
        assert_eq!(known(&record), ["tok_old", "tok_new"], "it was made after that list");
        record.survey.as_mut().unwrap().at = fixture::now() + TimeDelta::hours(1);
        assert_eq!(known(&record), ["tok_old"], "a later list would show it");
        record.survey = None;
        assert_eq!(known(&record), ["tok_new", "tok_old"]);
        let old = TokenId::try_new("tok_old").unwrap();
        record.deleted.insert(old, fixture::now());
        assert_eq!(known(&record), ["tok_new"], "it was deleted since");
    }
}
