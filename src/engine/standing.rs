//! How a connection stands by what is on record: `status`, the status page and its API say the same
//! because they ask here.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{
    pages,
    report::{Outcome, Report},
    row::Row,
};
use crate::{
    clock::{Timestamp, rfc3339},
    ledger::{Ledger, LedgerError},
    rotation::{
        ask::Ask,
        decide::{Situation, Verdict, verdict},
        due,
        observe::Observed,
        policy::Policy,
        record::{Phase, Record, Trouble},
        view,
        why::Reason,
    },
    token::{ConnectionKey, LedgerId, TokenId},
    words::{moment, relative},
};

/// A connection's row by its record, if there is one yet; nothing is asked or changed.
#[must_use]
pub fn row(policy: &Policy, record: Option<&Record>, ledger: &LedgerId, now: Timestamp) -> Row {
    let situation = record.map(|record| Situation {
        policy,
        record,
        observed: &NOTHING_SEEN,
        now,
        ask: &Ask::Due,
        ledger,
        ending: None,
    });
    let report = report(situation.as_ref());
    let mut row = Row::from_report(&policy.name, &policy.key.connection, &policy.provider, &report);
    row.next_at = record.and_then(|record| next_at(record, now));
    row
}

/// The same for one that may have no record because the ledger knows it at another tenant.
///
/// # Errors
/// When the ledger cannot be read.
pub async fn row_by(
    ledger: &dyn Ledger,
    policy: &Policy,
    record: Option<&Record>,
    now: Timestamp,
) -> Result<Row, LedgerError> {
    if record.is_none()
        && let Some(other) = ledger.elsewhere(&policy.key, &policy.name).await?
    {
        let report = at_another_tenant(policy, other);
        let (name, id) = (&policy.name, &policy.key.connection);
        return Ok(Row::from_report(name, id, &policy.provider, &report));
    }
    Ok(row(policy, record, ledger.id(), now))
}

/// A connection that the ledger knows at another tenant is refused until an operator says so.
pub(super) fn at_another_tenant(policy: &Policy, other: Record) -> Report {
    let why = format!(
        "the ledger knows {} at {}, the configuration says {}: point the provider back, give the connection a new name, or `scimitar adopt {} --token-id ID` a token of the new tenant",
        policy.name, other.key.tenant, policy.key.tenant, policy.name
    );
    Report {
        outcome: Outcome::Refused,
        reason: Some(Reason::TenantChanged),
        why,
        record: Some(other),
        fault: None,
        hooks_only: false,
    }
}

/// Only the ledger is looked at.
static NOTHING_SEEN: std::sync::LazyLock<Observed> = std::sync::LazyLock::new(Observed::default);

/// A token that nobody here owns, and the two commands that settle it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stranger {
    /// What it is: an unmanaged token, or a probable orphan.
    pub kind: &'static str,
    /// Its id.
    pub id: TokenId,
    /// Its age and its last use.
    pub words: String,
    /// Lets Scimitar retire it by the policy.
    pub adopt: String,
    /// Revokes it.
    pub revoke: String,
}

/// Each token that nobody here owns.
#[must_use]
pub fn strangers_of(record: &Record, now: Timestamp) -> Vec<Stranger> {
    let listed = record.survey.iter().flat_map(|survey| &survey.tokens);
    listed
        .filter_map(|token| Some((token, record.strangers.get(&token.id)?)))
        .map(|(token, stranger)| {
            let (id, name) = (&token.id, &record.name);
            let used = token.last_used_at.map_or_else(
                || "never used".to_owned(),
                |at| format!("last used {}", relative(at, now)),
            );
            Stranger {
                kind: if stranger.probably_ours { "probable orphan" } else { "unmanaged token" },
                id: id.clone(),
                words: format!("made {}, {used}", relative(token.created_at, now)),
                adopt: format!("scimitar adopt {name} --token-id {id} --retire"),
                revoke: format!("scimitar revoke {name} --token-id {id}"),
            }
        })
        .collect()
}

/// The same, a line each.
#[must_use]
pub fn strangers(record: &Record, now: Timestamp) -> Vec<String> {
    let line = |it: Stranger| {
        let Stranger { kind, id, words, adopt, revoke } = it;
        format!(
            "{kind} {id}: {words}; `{adopt}` lets Scimitar retire it by the policy, `{revoke}` revokes it"
        )
    };
    strangers_of(record, now).into_iter().map(line).collect()
}

/// How a connection stands by what is on record; nothing is asked or changed.
#[must_use]
pub fn report(s: Option<&Situation<'_>>) -> Report {
    let Some(s) = s else {
        return Report {
            outcome: Outcome::Unchanged,
            reason: None,
            why: "it was never looked at yet: `scimitar --once` or the daemon does".to_owned(),
            record: None,
            fault: None,
            hooks_only: false,
        };
    };
    let record = s.record;
    let troubled = worst(record);
    let trouble = troubled.map(|(trouble, _)| trouble);
    let cut_off = record.outage().and_then(|sink| Some((sink, sink.holds.as_ref()?)));
    let due = due::next(s.policy, record);
    let wait = record.older.iter().find_map(|older| match verdict(s, older) {
        Verdict::Wait { reason, words, .. } => Some((reason, words)),
        Verdict::Ready(_) => None,
    });
    let (outcome, reason, why) = match (&record.refusal, trouble, &record.phase, wait) {
        (Some(refusal), ..) if refusal.reason == Reason::PreviousInUse && !nobody_has(record) => {
            (Outcome::Waiting, Some(refusal.reason), refusal.words.clone())
        }
        (Some(refusal), ..) => (Outcome::Refused, Some(refusal.reason), refusal.words.clone()),
        (None, ..) if cut_off.is_some() && matches!(record.phase, Phase::Steady) => {
            let words = cut_off.map(|(sink, id)| {
                format!(
                    "{} holds {id}, which no longer works: its readers are cut off",
                    sink.place.location
                )
            });
            (Outcome::Failed, Some(Reason::DeadToken), words.unwrap_or_default())
        }
        (None, Some(trouble), ..) => (
            Outcome::Failed,
            troubled.map(|(_, reason)| reason),
            format!("{}; tried again {}", trouble.fault, moment(trouble.retry_at, s.now)),
        ),
        (None, None, Phase::Minting(_) | Phase::Delivering(_), _) => {
            (Outcome::Waiting, None, "a rotation is under way".to_owned())
        }
        (None, None, Phase::Steady, Some((reason, words))) => {
            (Outcome::Waiting, Some(reason), words)
        }
        (None, None, Phase::Steady, None) if due.policy_changed => {
            let at = due.at.map(|at| moment(s.on_our_clock(at), s.now));
            let at = at.map_or_else(String::new, |at| format!("; it is replaced {at}"));
            (Outcome::Unchanged, Some(Reason::PolicyChanged), format!("{}{at}", due.because))
        }
        (None, None, Phase::Steady, None) => (Outcome::Unchanged, None, idle(record)),
    };
    let fault = trouble.filter(|_| outcome == Outcome::Failed).map(|trouble| trouble.fault.clone());
    Report { outcome, reason, why, record: Some(record.clone()), fault, hooks_only: false }
}

/// Whether no place is known to hold the current token: what keeps its replacement is no mere wait.
fn nobody_has(record: &Record) -> bool {
    let current = record.current.as_ref().map(|current| &current.token.id);
    current.is_some() && record.places().all(|sink| sink.holds.as_ref() != current)
}

/// The last failure on record, and whose it is.
fn worst(record: &Record) -> Option<(&Trouble, Reason)> {
    let troubles = &record.troubles;
    let provider = [&troubles.look, &troubles.revoke].into_iter().flatten();
    let mint =
        troubles.mint.iter().map(|trouble| (trouble, view::blame(record, trouble.fault.code)));
    let places = record.places().filter_map(|sink| sink.trouble.as_ref());
    mint.chain(provider.map(|trouble| (trouble, Reason::ProviderUnavailable)))
        .chain(places.map(|trouble| (trouble, Reason::SinkUnavailable)))
        .max_by_key(|(trouble, _)| trouble.at)
}

/// Whether something was refused for good: it is tried again all the same, but a person has to mend it.
#[must_use]
pub fn is_refused_for_good(record: &Record) -> bool {
    let troubles = &record.troubles;
    let own = [&troubles.look, &troubles.mint, &troubles.revoke].into_iter().flatten();
    let places = record.places().filter_map(|sink| sink.trouble.as_ref());
    own.chain(places).any(Trouble::needs_person)
}

/// When the next rotation starts: one that is overdue starts when what stopped it is tried again,
/// or when what refuses it ends.
#[must_use]
pub fn next_at(record: &Record, now: Timestamp) -> Option<Timestamp> {
    let next = record.next_rotation?;
    if next > now {
        return Some(next);
    }
    let troubles = &record.troubles;
    let retries = [&troubles.mint, &troubles.look].into_iter().flatten();
    let retries = retries.map(|trouble| trouble.retry_at);
    let refused = record.refusal.as_ref().and_then(|refusal| refusal.until);
    Some(retries.chain(refused).fold(next, Timestamp::max))
}

/// Whether a connection may not simply be forgotten when it leaves the configuration.
#[must_use]
pub fn has_something_to_revoke(record: &Record) -> bool {
    !record.older.is_empty() || !record.condemned.is_empty() || record.phase != Phase::Steady
}

/// Says a line for each connection that left the configuration while it has something to be revoked.
///
/// # Errors
/// When the records cannot be read; some lines were said.
pub async fn dormant(
    ledger: &dyn Ledger,
    configured: &BTreeSet<&ConnectionKey>,
    mut say: impl FnMut(String) + Send,
) -> Result<(), LedgerError> {
    let look = |record: Record| {
        if !configured.contains(&record.key) && has_something_to_revoke(&record) {
            say(dormant_words(&record));
        }
    };
    pages::each(ledger, look).await
}

/// What to do about a connection that left with something to be revoked.
#[must_use]
pub fn dormant_words(record: &Record) -> String {
    format!(
        "{} ({}) left the configuration with tokens that are still to be revoked: put it back until `scimitar status` shows it steady, or revoke them at the provider",
        record.name, record.key
    )
}

fn idle(record: &Record) -> String {
    match (record.older.first(), record.next_rotation) {
        (Some(older), _) => format!("{} is to be revoked by the next pass", older.token.id),
        (None, Some(at)) => format!("nothing is due before {}", rfc3339(at)),
        (None, None) => "nothing is due".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        error::{Class, Code, Fault},
        rotation::{fixture, record::Cause},
    };

    #[test]
    fn a_token_that_the_scim_endpoint_refused_is_named_as_the_reason() {
        let mut record = fixture::rotated();
        let mut trouble = fixture::trouble(1);
        trouble.fault = Fault::new("prove a token", Class::Terminal, Code::Unauthorized, "401");
        record.troubles.mint = Some(trouble);
        let reason = |record: &Record| {
            let ledger = LedgerId::try_new("0123456789abcdef0123456789abcdef").unwrap();
            let row = row(&fixture::policy(), Some(record), &ledger, fixture::now());
            assert_eq!(row.outcome, Outcome::Failed);
            row.reason
        };
        assert_eq!(reason(&record), Some(Reason::ProviderUnavailable));
        record.older.push(fixture::older(fixture::token("tok_bad", 5), Cause::Bad));
        assert_eq!(reason(&record), Some(Reason::TokenRefused));
    }

    #[test]
    fn a_replacement_that_lacks_a_slot_is_refused_where_nobody_has_the_current_token() {
        let mut record = fixture::rotated();
        let outcome = |record: &Record| {
            let ledger = LedgerId::try_new("0123456789abcdef0123456789abcdef").unwrap();
            row(&fixture::policy(), Some(record), &ledger, fixture::now()).outcome
        };
        record.refusal = Some(crate::rotation::record::Refusal {
            reason: Reason::PreviousInUse,
            words: "the older token holds the slot".to_owned(),
            since: fixture::now(),
            until: None,
        });
        let current = record.current.as_ref().map(|current| current.token.id.clone());
        let (key, mut place) = fixture::sink("disk", "a", None);
        place.holds = current;
        record.sinks = [(key.clone(), place)].into();
        assert_eq!(outcome(&record), Outcome::Waiting);
        record.sinks.get_mut(&key).unwrap().holds = None;
        assert_eq!(outcome(&record), Outcome::Refused);
    }
}
