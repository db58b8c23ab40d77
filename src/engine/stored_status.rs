//! How a connection stands by what is on record: `status`, the status page and its API say the same
//! because they ask here.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{
    report::{Outcome, Report},
    row::Row,
};
use crate::{
    clock::Timestamp,
    ledger::{Ledger, LedgerError},
    rotation::{
        policy::Policy,
        record::{Phase, Record},
        status::ConnectionStatus,
        why::Reason,
    },
    token::{ConnectionKey, TokenId},
    words::{moment, relative},
};

/// How many keys of records are held at once.
const KEYS: usize = 1_000;

/// How a connection stands by its record, if there is one yet; nothing is asked or changed.
#[must_use]
pub fn status(policy: &Policy, record: Option<&Record>, now: Timestamp) -> ConnectionStatus {
    record.map_or_else(ConnectionStatus::unseen, |record| {
        ConnectionStatus::of(record, Some(policy), now)
    })
}

/// Its row.
#[must_use]
pub fn row(policy: &Policy, record: Option<&Record>, now: Timestamp) -> Row {
    row_of(policy, status(policy, record, now), record, now)
}

fn row_of(
    policy: &Policy,
    status: ConnectionStatus,
    record: Option<&Record>,
    now: Timestamp,
) -> Row {
    let (next_at, until) = (status.next_at, status.until);
    let pause = status.pause_beside(&status.why);
    let warnings: Vec<String> = status.warnings().chain(pause).collect();
    let mut report = Report::of_status(status, None);
    let says_when = report.why.contains("next try ");
    let retried = report.outcome == Outcome::Failed || report.reason == Some(Reason::PlaceChanged);
    if let Some(until) = until.filter(|_| retried && !says_when) {
        report.why = format!("{}; next try at {}", report.why, moment(until, now));
    }
    let (name, key) = (&policy.name, &policy.key);
    let mut row = Row::of_record(name, &key.connection, &policy.provider, &report, record);
    row.warnings.extend(warnings);
    row.owner.clone_from(&policy.terms.owner);
    row.mode = Some(policy.terms.mode.as_str());
    row.next_at = next_at;
    row
}

/// Status and row of one that may have no record because the ledger knows it at another tenant.
///
/// # Errors
/// When the ledger cannot be read.
pub async fn looked_up(
    ledger: &dyn Ledger,
    policy: &Policy,
    record: Option<&Record>,
    now: Timestamp,
) -> Result<(ConnectionStatus, Row), LedgerError> {
    let other = match record {
        Some(_) => None,
        None => ledger.elsewhere(&policy.key, &policy.name).await?,
    };
    Ok(looked_at(policy, record, other.as_ref(), now))
}

/// The same where what the ledger has of it at another tenant is known.
fn looked_at(
    policy: &Policy,
    record: Option<&Record>,
    other: Option<&Record>,
    now: Timestamp,
) -> (ConnectionStatus, Row) {
    let (status, record) = stands(policy, record, other, now);
    (status.clone(), row_of(policy, status, record, now))
}

/// How a connection stands, and the record that its row is made from: where it has none of its own, what
/// the ledger has of it at another tenant.
#[must_use]
pub fn stands<'r>(
    policy: &Policy,
    record: Option<&'r Record>,
    other: Option<&'r Record>,
    now: Timestamp,
) -> (ConnectionStatus, Option<&'r Record>) {
    match (record, other) {
        (None, Some(other)) => (ConnectionStatus::at_another_tenant(policy, other), Some(other)),
        (record, _) => (status(policy, record, now), record),
    }
}

/// A token that nobody here owns, and the two commands that settle it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnmanagedRow {
    /// What it is: an unmanaged token, or a probable orphan.
    pub kind: &'static str,
    /// Its id.
    pub id: TokenId,
    /// Its age and its last use.
    pub words: String,
    /// Lets Scimitar retire it according to the policy.
    pub adopt: String,
    /// Revokes it.
    pub revoke: String,
}

/// Each token that nobody here owns.
#[must_use]
pub fn unmanaged_of(record: &Record, now: Timestamp) -> Vec<UnmanagedRow> {
    let listed = record.survey.iter().flat_map(|survey| &survey.tokens);
    listed
        .filter_map(|token| Some((token, record.unmanaged.get(&token.id)?)))
        .map(|(token, unmanaged)| {
            let (id, name) = (&token.id, &record.name);
            let used = token.last_used_at.map_or_else(
                || "never used".to_owned(),
                |at| format!("last used {}", relative(at, now)),
            );
            UnmanagedRow {
                kind: if unmanaged.probably_ours { "probable orphan" } else { "unmanaged token" },
                id: id.clone(),
                words: format!("created {}, {used}", relative(token.created_at, now)),
                adopt: format!("scimitar adopt {name} --token-id {id} --retire"),
                revoke: format!("scimitar revoke {name} --token-id {id}"),
            }
        })
        .collect()
}

/// The same in a line.
#[must_use]
pub fn unmanaged_line(it: &UnmanagedRow) -> String {
    let UnmanagedRow { kind, id, words, adopt, revoke } = it;
    format!(
        "{kind} {id}: {words}; `{adopt}` lets Scimitar retire it according to the policy, `{revoke}` revokes it"
    )
}

/// Whether a connection may not simply be forgotten when it leaves the configuration.
#[must_use]
pub fn has_something_to_revoke(record: &Record) -> bool {
    !record.retiring.is_empty() || !record.condemned.is_empty() || record.phase != Phase::Steady
}

/// Says a line for each connection that is no longer configured while it has something to be revoked.
///
/// # Errors
/// When the records cannot be read; some lines were said.
pub async fn dormant(
    ledger: &dyn Ledger,
    configured: &BTreeSet<&ConnectionKey>,
    mut say: impl FnMut(String) + Send,
) -> Result<(), LedgerError> {
    let mut after = None;
    loop {
        let page = ledger.keys(after.as_ref(), KEYS).await?;
        let left: Vec<_> = page.iter().filter(|key| !configured.contains(*key)).collect();
        for stored in ledger.load_many(&left).await?.into_iter().flatten() {
            if has_something_to_revoke(&stored.record) {
                say(dormant_words(&stored.record));
            }
        }
        if page.len() < KEYS {
            return Ok(());
        }
        after = page.into_iter().next_back();
    }
}

/// What to do about a connection that left with something to be revoked.
#[must_use]
pub fn dormant_words(record: &Record) -> String {
    format!(
        "{} ({}) is no longer in the configuration, but has tokens that are still to be revoked: put it back until they are revoked, or revoke them at the provider",
        record.name, record.key
    )
}
