//! One connection's row: what `status`, every other command and the page's API answer with.

use serde::{Serialize, Serializer};

use super::report::{Outcome, Report};
use crate::{
    clock::{ProviderTime, Timestamp, Told, rfc3339},
    error::{Class, Code},
    rotation::{
        decide::still_hold,
        policy::Policy,
        record::{Record, SinkState},
        status::ConnectionStatus,
        view::{self, SinkStatus},
        why::Reason,
    },
    sink::Version,
    token::{ConnectionId, ConnectionName, ProviderName, Scopes, SinkName, TokenId},
};

/// The version of the JSON document that holds the rows.
pub const SCHEMA: u32 = 1;

/// One connection's row: exactly the members of the contract, `null` where there is nothing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Its label.
    pub connection: ConnectionName,
    /// Its id at the provider.
    pub connection_id: ConnectionId,
    /// The provider's label.
    pub provider: ProviderName,
    /// How the call ended for it.
    pub outcome: Outcome,
    /// Why it waits or is refused.
    pub reason: Option<Reason>,
    /// The same in words.
    pub why: String,
    /// Who is asked about it; the member is there only where somebody wrote that down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Where its rotation stands.
    pub phase: Option<&'static str>,
    /// Whether anything may be changed: `rotate` or `observe`.
    pub mode: Option<&'static str>,
    /// The current token.
    pub token_id: Option<TokenId>,
    /// The one that it replaced, while it lives.
    pub previous_token_id: Option<TokenId>,
    /// When the current token was created.
    #[serde(serialize_with = "time")]
    pub created_at: Option<ProviderTime>,
    /// When the current token stops working.
    #[serde(serialize_with = "time")]
    pub expires_at: Option<ProviderTime>,
    /// When a client last used it, as far as is known.
    #[serde(serialize_with = "time")]
    pub last_used_at: Option<ProviderTime>,
    /// What it may do.
    pub scopes: Option<Scopes>,
    /// When the next rotation starts, as far as is known.
    #[serde(serialize_with = "time")]
    pub next_at: Option<Timestamp>,
    /// When what failed is tried again.
    #[serde(serialize_with = "time")]
    pub retry_at: Option<Timestamp>,
    /// The earliest moment at which an older token may go.
    #[serde(serialize_with = "time")]
    pub revoke_after: Option<ProviderTime>,
    /// Until when an operator paused it; the member is there only then.
    #[serde(serialize_with = "time", skip_serializing_if = "Option::is_none")]
    pub paused_until: Option<Timestamp>,
    /// What each place holds.
    pub sinks: Vec<SinkRow>,
    /// What draws attention without stopping anything.
    pub warnings: Vec<String>,
    /// The fault that ended it.
    pub error: Option<RowError>,
    /// What will be done (`plan`, `--dry-run`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<PlannedRow>,
    /// How many tokens the provider allows, where that is known; shown with the steps.
    #[serde(skip)]
    pub slots: Option<u32>,
    /// Since when the current token is known to be gone at the provider, for what people read; JSON has it in
    /// `why` or `warnings`.
    #[serde(skip)]
    pub gone: Option<ProviderTime>,
    /// Whether it answers an operator's decision that was not carried out: nothing tries that again,
    /// and `explain` knows nothing of it.
    #[serde(skip)]
    pub by_an_operator: bool,
    /// What the services say where it fails.
    #[serde(skip)]
    pub faults: Vec<(Class, Code)>,
    /// What an operator's decision came to, in a word for people: `revoked`, `paused`.
    #[serde(skip)]
    pub done: Option<&'static str>,
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlannedRow {
    /// When.
    #[serde(serialize_with = "moment")]
    pub at: Timestamp,
    /// The call or calls.
    pub call: String,
    /// Why.
    pub why: String,
    /// Live tokens after it.
    pub slots_used: usize,
    /// What is true if the process dies during it, and what the next start does.
    pub if_it_dies: &'static str,
}

/// What one place holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SinkRow {
    /// The sink's label.
    pub sink: SinkName,
    /// Where in it.
    pub location: String,
    /// The state in which it was last seen; `None` where nothing is there or it was not asked.
    pub version: Option<Version>,
    /// Whether it has the token that it is meant to hold.
    pub state: SinkStatus,
}

/// A row's error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RowError {
    /// The fault's class.
    pub class: &'static str,
    /// What was tried, what was answered, the way out.
    pub message: String,
}

impl Row {
    /// A connection's row, with what a person should look at.
    #[must_use]
    pub fn of(policy: &Policy, report: &Report, now: Timestamp) -> Self {
        let mut row =
            Self::from_report(&policy.name, &policy.key.connection, &policy.provider, report);
        row.owner.clone_from(&policy.terms.owner);
        row.mode = Some(policy.terms.mode.as_str());
        if let Some(record) = report.record.as_ref().filter(|record| record.key == policy.key) {
            let status = ConnectionStatus::of(record, Some(policy), now);
            row.warnings.extend(status.warnings().chain(status.pause_beside(&row.why)));
        }
        row
    }

    /// A connection's row. Names come from the policy, since a record may not be there yet.
    #[must_use]
    pub fn from_report(
        connection: &ConnectionName,
        connection_id: &ConnectionId,
        provider: &ProviderName,
        report: &Report,
    ) -> Self {
        Self::of_record(connection, connection_id, provider, report, report.record.as_ref())
    }

    /// The same of a record that the report does not hold.
    pub(super) fn of_record(
        connection: &ConnectionName,
        connection_id: &ConnectionId,
        provider: &ProviderName,
        report: &Report,
        record: Option<&Record>,
    ) -> Self {
        let current = record.and_then(|record| record.current.as_ref());
        let listed = record.zip(current).map(|(record, it)| view::freshest(record, &it.token));
        let failed = report.outcome == Outcome::Failed;
        let decided = record.and_then(|record| record.decided.as_ref()).filter(|_| failed);
        Self {
            connection: connection.clone(),
            connection_id: connection_id.clone(),
            provider: provider.clone(),
            outcome: report.outcome,
            reason: report.reason,
            why: report.why.clone(),
            owner: None,
            phase: record.map(Record::phase_name),
            mode: None,
            token_id: current.map(|current| current.token.id.clone()),
            previous_token_id: record
                .and_then(view::previous)
                .map(|retiring| retiring.token.id.clone()),
            created_at: listed.map(|token| token.created_at),
            expires_at: record.and_then(Record::expires_at),
            last_used_at: record.and_then(view::current_use),
            scopes: listed.map(|token| token.scopes.clone()),
            next_at: record.and_then(|record| record.next_rotation),
            retry_at: decided.and_then(|decided| decided.until),
            revoke_after: record.and_then(view::revoke_after),
            paused_until: record.and_then(|record| Some(record.pause.as_ref()?.until)),
            sinks: record.map(sinks).unwrap_or_default(),
            warnings: record
                .map(|record| {
                    still_hold(record).cloned().chain(record.notices.warnings()).collect()
                })
                .unwrap_or_default(),
            error: report
                .fault
                .as_ref()
                .map(|fault| RowError { class: fault.class.as_str(), message: fault.to_string() }),
            steps: Vec::new(),
            slots: None,
            gone: record.and_then(view::gone_since),
            by_an_operator: false,
            faults: if failed { faults(report, record) } else { Vec::new() },
            done: None,
        }
    }
}

/// What keeps it from going on, and what failed at the services and is tried again.
fn faults(report: &Report, record: Option<&Record>) -> Vec<(Class, Code)> {
    let tried = record.into_iter().flat_map(|record| {
        let works = record.troubles.iter().map(|(_, trouble)| trouble);
        works.chain(record.places().flat_map(SinkState::troubles))
    });
    let faults = report.fault.iter().chain(tried.map(|trouble| &trouble.fault));
    faults.map(|fault| (fault.class, fault.code)).collect()
}

/// A row for each place that the policy names.
fn sinks(record: &Record) -> Vec<SinkRow> {
    let wanted = view::wanted(record);
    record
        .sinks
        .values()
        .filter(|sink| !sink.removed)
        .map(|sink| SinkRow {
            sink: sink.place.sink.clone(),
            location: sink.place.location.clone(),
            version: sink.version.clone().filter(Version::is_of_something),
            state: view::sink_status(sink, wanted),
        })
        .collect()
}

fn moment<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    rfc3339(*at).serialize(serializer)
}

#[expect(clippy::ref_option, reason = "serde calls it with a reference to the member")]
fn time<S: Serializer>(at: &Option<impl Told>, serializer: S) -> Result<S::Ok, S::Error> {
    at.map(rfc3339).serialize(serializer)
}
