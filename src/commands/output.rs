//! What a command says: rows and failures, as the one JSON document or as text, and the exit
//! status that follows from them.

use serde::{Serialize, Serializer};

use super::permissions::Grant;
use crate::{
    clock::{Timestamp, rfc3339},
    config::Problem,
    engine::report::{Outcome, Report},
    rotation::{
        record::Record,
        view::{self, SinkStanding},
        why::Reason,
    },
    sink::Version,
    token::{ConnectionId, ConnectionName, ProviderName, SinkName, TokenId},
};

/// The version of the JSON document.
const SCHEMA: u32 = 1;

/// The exit status of bad usage or bad configuration: nothing was done.
pub const BAD_USAGE: u8 = 2;

/// What a command has to say when it is done.
#[derive(Debug)]
pub struct Answer {
    /// One row a connection.
    pub rows: Vec<Row>,
    /// What text output shows instead of the rows; JSON always shows the rows.
    pub text: Option<String>,
    /// Why the command as a whole did not do what was asked.
    pub failure: Option<Failure>,
    /// How the rows become an exit status.
    pub judge: Judge,
    /// What the services have to grant (`permissions`).
    pub permissions: Option<Vec<Grant>>,
    /// A file that belongs to the program (`schema`, `completions`, `man`).
    pub artefact: Option<File>,
}

/// A file that belongs to the program. Text output is the file itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct File {
    /// What it is called where it is installed.
    pub name: String,
    /// All of it.
    pub text: String,
}

/// How rows become an exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judge {
    /// 1 when one failed, else 3 when one is refused, else 0.
    Outcomes,
    /// 0, whatever they show (`plan`, `explain`, `status`).
    Shown,
}

/// Why a command as a whole did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// What kind of failure; decides the exit status.
    pub class: FailureClass,
    /// What was tried, on what, what was answered, and the way out; no secret.
    pub message: String,
    /// Every mistake in the configuration.
    pub problems: Vec<Problem>,
}

/// What kind of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// The command line is wrong: exit 2.
    Usage,
    /// The configuration is wrong: exit 2.
    Configuration,
    /// The ledger cannot be used: exit 1.
    Ledger,
    /// A right is missing or a service is away (`check --online`): exit 1.
    Online,
    /// The operating system refused something (a port, a folder): exit 1.
    System,
}

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
    /// Where its rotation stands.
    pub phase: Option<&'static str>,
    /// The current token.
    pub token_id: Option<TokenId>,
    /// The one that it replaced, while it lives.
    pub previous_token_id: Option<TokenId>,
    /// When the current token stops working.
    #[serde(serialize_with = "time")]
    pub expires_at: Option<Timestamp>,
    /// When the next rotation starts, as far as can be said.
    #[serde(serialize_with = "time")]
    pub next_at: Option<Timestamp>,
    /// The earliest moment at which an older token may go.
    #[serde(serialize_with = "time")]
    pub revoke_after: Option<Timestamp>,
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
    /// Whether it answers an operator's decision that was not carried out: nothing tries that again,
    /// and `explain` knows nothing of it.
    #[serde(skip)]
    pub by_an_operator: bool,
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
    pub state: SinkStanding,
}

/// A row's error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RowError {
    /// The fault's class.
    pub class: &'static str,
    /// What was tried, what was answered, the way out.
    pub message: String,
}

/// The one JSON document.
#[derive(Debug, Serialize)]
struct Document<'a> {
    schema: u32,
    started_at: String,
    finished_at: String,
    exit_status: u8,
    error: Option<&'a Failure>,
    results: &'a [Row],
    /// What the services have to grant (`permissions`).
    #[serde(skip_serializing_if = "Option::is_none")]
    permissions: Option<&'a [Grant]>,
    /// A file that belongs to the program (`schema`, `completions`, `man`).
    #[serde(skip_serializing_if = "Option::is_none")]
    artefact: Option<&'a File>,
}

impl Answer {
    /// Rows that are judged by how they ended.
    #[must_use]
    pub fn done(rows: Vec<Row>) -> Self {
        Self {
            rows,
            text: None,
            failure: None,
            judge: Judge::Outcomes,
            permissions: None,
            artefact: None,
        }
    }

    /// Rows and words that change nothing.
    #[must_use]
    pub fn shown(rows: Vec<Row>, text: String) -> Self {
        Self { text: Some(text), judge: Judge::Shown, ..Self::done(rows) }
    }

    /// A command that did not do what was asked.
    #[must_use]
    pub fn failed(failure: Failure) -> Self {
        Self { failure: Some(failure), ..Self::done(Vec::new()) }
    }

    /// The exit status, unless a signal decides it.
    #[must_use]
    pub fn exit_status(&self) -> u8 {
        if let Some(failure) = &self.failure {
            return failure.class.exit_status();
        }
        match self.judge {
            Judge::Shown => 0,
            Judge::Outcomes => exit_status(self.rows.iter().map(|row| row.outcome)),
        }
    }

    /// The one JSON document, with a line break at its end.
    ///
    /// # Errors
    /// When it cannot be serialised; a defect.
    pub fn json(
        &self,
        started_at: Timestamp,
        finished_at: Timestamp,
        exit_status: u8,
    ) -> Result<String, serde_json::Error> {
        let document = Document {
            schema: SCHEMA,
            started_at: rfc3339(started_at),
            finished_at: rfc3339(finished_at),
            exit_status,
            error: self.failure.as_ref(),
            results: &self.rows,
            permissions: self.permissions.as_deref(),
            artefact: self.artefact.as_ref(),
        };
        serde_json::to_string(&document).map(|text| text + "\n")
    }
}

impl Failure {
    /// A failure without a place in a file.
    #[must_use]
    pub fn new(class: FailureClass, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), problems: Vec::new() }
    }
}

impl FailureClass {
    /// The exit status that it means.
    #[must_use]
    pub fn exit_status(self) -> u8 {
        match self {
            Self::Usage | Self::Configuration => BAD_USAGE,
            Self::Ledger | Self::Online | Self::System => 1,
        }
    }
}

/// 1 when one failed, else 3 when one is refused until an operator decides, else 0.
#[must_use]
pub fn exit_status(outcomes: impl IntoIterator<Item = Outcome>) -> u8 {
    outcomes.into_iter().fold(0, |status, outcome| match (outcome, status) {
        (Outcome::Failed, _) => 1,
        (Outcome::Refused, 0) => 3,
        (
            Outcome::Refused
            | Outcome::Rotated
            | Outcome::Planned
            | Outcome::Unchanged
            | Outcome::Waiting,
            status,
        ) => status,
    })
}

impl Row {
    /// A connection's row. Names come from the policy, since a record may not be there yet.
    #[must_use]
    pub fn from_report(
        connection: &ConnectionName,
        connection_id: &ConnectionId,
        provider: &ProviderName,
        report: &Report,
    ) -> Self {
        let record = report.record.as_ref();
        let current = record.and_then(|record| record.current.as_ref());
        Self {
            connection: connection.clone(),
            connection_id: connection_id.clone(),
            provider: provider.clone(),
            outcome: report.outcome,
            reason: report.reason,
            why: report.why.clone(),
            phase: record.map(Record::phase_name),
            token_id: current.map(|current| current.token.id.clone()),
            previous_token_id: record.and_then(view::previous).map(|older| older.token.id.clone()),
            expires_at: record.and_then(Record::expires_at),
            next_at: record.and_then(|record| record.next_rotation),
            revoke_after: record.and_then(view::revoke_after),
            sinks: record.map(sinks).unwrap_or_default(),
            warnings: record
                .map(|record| record.warnings.iter().cloned().collect())
                .unwrap_or_default(),
            error: report
                .fault
                .as_ref()
                .map(|fault| RowError { class: fault.class.as_str(), message: fault.to_string() }),
            steps: Vec::new(),
            slots: None,
            by_an_operator: false,
        }
    }
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
            state: view::standing(sink, wanted),
        })
        .collect()
}

fn moment<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    rfc3339(*at).serialize(serializer)
}

#[expect(clippy::ref_option, reason = "serde calls it with a reference to the member")]
fn time<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    at.map(rfc3339).serialize(serializer)
}

#[cfg(test)]
mod tests;
