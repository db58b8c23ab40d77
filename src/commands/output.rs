//! What a command says: rows and failures, as the one JSON document or as text, and the exit
//! status that follows from them.

use std::io::Write;

use serde::{Serialize, Serializer, ser::SerializeSeq};
use serde_json::value::RawValue;

use super::{bulk::BulkReport, changes::History, discovered::Discovered};
pub use crate::engine::row::{PlannedRow, Row, RowError, SCHEMA, SinkRow};
use crate::{
    app::AppError,
    clock::{Timestamp, rfc3339},
    config::Problem,
    engine::{report::Outcome, token_row::TokenRow, watched_row::WatchedRow},
    error::chain,
    kind::Grant,
    ledger::LedgerError,
    rotation::status::Concern,
};

/// The exit status of bad usage or bad configuration: nothing was done.
pub const BAD_USAGE: u8 = 2;

/// What an intact audit log holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditReport {
    /// The files, in the order of reading.
    pub files: Vec<String>,
    /// How many lines they have.
    pub lines: u64,
    /// The hash of the line that the first of them follows; `None` at the beginning of the chain.
    pub follows: Option<String>,
    /// The hash of the last line.
    pub head: Option<String>,
    /// Its number.
    pub seq: Option<u64>,
    /// How many lines stand behind the head that was asked for.
    pub after_head: Option<u64>,
    /// What the log tells of itself and is no fault of it.
    pub remarks: Vec<Problem>,
    /// How many lines could not be written.
    pub missed: u64,
    /// Where they are missing.
    pub holes: Vec<Problem>,
}

/// What a command has to say when it is done.
#[derive(Debug)]
pub struct Answer {
    /// One row a connection.
    pub rows: Vec<Row>,
    /// The same, where there may be very many: what was made of each row, in the place of `rows`.
    pub made: Vec<MadeRow>,
    /// One row a watched token (`status`, `explain`).
    pub watched: Vec<WatchedRow>,
    /// What text output shows instead of the rows; JSON always shows the rows.
    pub text: Option<String>,
    /// Why the command as a whole did not do what was asked.
    pub failure: Option<Failure>,
    /// What that means for the answer, where providers and sinks were not asked because they could not be.
    pub from_ledger: Option<FromLedger>,
    /// How the rows become an exit status.
    pub judge: Judge,
    /// How a call over many connections ended.
    pub bulk: Option<BulkReport>,
    /// What the services have to grant (`permissions`).
    pub permissions: Option<Vec<Grant>>,
    /// The tokens that the ledger knows (`tokens`).
    pub tokens: Option<Vec<TokenRow>>,
    /// The last changes of connections (`history`).
    pub history: Option<Vec<History>>,
    /// Which connections the providers have (`discover`).
    pub discovered: Option<Vec<Discovered>>,
    /// What is in an audit log (`audit verify`).
    pub audit: Option<AuditReport>,
    /// A file that belongs to the program (`schema`, `completions`, `man`).
    pub artefact: Option<File>,
}

/// An answer that the ledger alone gave, although more was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FromLedger {
    /// Whether every connection that was asked for is in it.
    pub complete: bool,
    /// Why nobody else was asked.
    pub why: String,
    /// What is wrong with the configuration.
    pub problems: Vec<Problem>,
}

/// What is kept of a row.
#[derive(Debug)]
pub struct MadeRow {
    /// How the connection stands.
    pub outcome: Outcome,
    /// The row, where it is printed as JSON.
    pub json: Option<Box<RawValue>>,
}

/// The rows as JSON.
#[derive(Clone, Copy, Debug)]
struct Results<'a>(&'a [Row], &'a [MadeRow]);

impl Serialize for Results<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let made = self.1.iter().filter_map(|made| made.json.as_ref());
        let mut rows = serializer.serialize_seq(None)?;
        self.0.iter().try_for_each(|row| rows.serialize_element(row))?;
        made.into_iter().try_for_each(|row| rows.serialize_element(row))?;
        rows.end()
    }
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
    /// An audit log is not what was written: exit 1.
    Audit,
    /// The operating system refused something (a port, a folder): exit 1.
    System,
}

/// The one JSON document.
#[derive(Debug, Serialize)]
struct Document<'a> {
    schema: u32,
    started_at: String,
    finished_at: String,
    exit_status: u8,
    error: Option<&'a Failure>,
    results: Results<'a>,
    /// Why the answer is from the ledger alone, and whether it is complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    from_ledger: Option<&'a FromLedger>,
    /// The watched tokens (`status`, `explain`).
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    watched: &'a [WatchedRow],
    /// How a call over many connections ended (`--rotate-now`).
    #[serde(skip_serializing_if = "Option::is_none")]
    bulk: Option<&'a BulkReport>,
    /// What the services have to grant (`permissions`).
    #[serde(skip_serializing_if = "Option::is_none")]
    permissions: Option<&'a [Grant]>,
    /// The tokens that the ledger knows (`tokens`).
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<&'a [TokenRow]>,
    /// The last changes of connections (`history`).
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<&'a [History]>,
    /// Which connections the providers have (`discover`).
    #[serde(skip_serializing_if = "Option::is_none")]
    discovered: Option<&'a [Discovered]>,
    /// What is in an audit log (`audit verify`).
    #[serde(skip_serializing_if = "Option::is_none")]
    audit: Option<&'a AuditReport>,
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
            made: Vec::new(),
            watched: Vec::new(),
            text: None,
            failure: None,
            from_ledger: None,
            judge: Judge::Outcomes,
            bulk: None,
            permissions: None,
            tokens: None,
            history: None,
            discovered: None,
            audit: None,
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
            Judge::Outcomes => {
                // Nothing but a person renews a token that has expired.
                let expired =
                    self.watched.iter().filter(|row| row.standing == Concern::Expired.as_str());
                let made = self.made.iter().map(|made| made.outcome);
                let outcomes = self.rows.iter().map(|row| row.outcome).chain(made);
                exit_status(outcomes.chain(expired.map(|_| Outcome::Refused)))
            }
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
        let mut text = Vec::new();
        self.write_json(&mut text, started_at, finished_at, exit_status)?;
        String::from_utf8(text).map_err(serde::ser::Error::custom)
    }

    /// The same, written as it is made.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_json(
        &self,
        mut to: impl Write,
        started_at: Timestamp,
        finished_at: Timestamp,
        exit_status: u8,
    ) -> Result<(), serde_json::Error> {
        let document = Document {
            schema: SCHEMA,
            started_at: rfc3339(started_at),
            finished_at: rfc3339(finished_at),
            exit_status,
            error: self.failure.as_ref(),
            results: Results(&self.rows, &self.made),
            from_ledger: self.from_ledger.as_ref(),
            watched: &self.watched,
            bulk: self.bulk.as_ref(),
            permissions: self.permissions.as_deref(),
            tokens: self.tokens.as_deref(),
            history: self.history.as_deref(),
            discovered: self.discovered.as_deref(),
            audit: self.audit.as_ref(),
            artefact: self.artefact.as_ref(),
        };
        serde_json::to_writer(&mut to, &document)?;
        to.write_all(b"\n").map_err(serde_json::Error::io)
    }
}

impl Failure {
    /// A failure without a place in a file.
    #[must_use]
    pub fn new(class: FailureClass, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), problems: Vec::new() }
    }

    /// What the operating system refused.
    pub(super) fn system(error: &dyn std::error::Error) -> Self {
        Self::new(FailureClass::System, chain(error))
    }
}

impl From<AppError> for Failure {
    fn from(error: AppError) -> Self {
        let class = match &error {
            AppError::Configuration(_) => FailureClass::Configuration,
            AppError::Ledger(_) => FailureClass::Ledger,
            AppError::Build(_) => FailureClass::System,
        };
        Self::new(class, error.to_string())
    }
}

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        Self::new(FailureClass::Ledger, chain(&error))
    }
}

impl FailureClass {
    /// The exit status that it means.
    #[must_use]
    pub fn exit_status(self) -> u8 {
        match self {
            Self::Usage | Self::Configuration => BAD_USAGE,
            Self::Ledger | Self::Online | Self::Audit | Self::System => 1,
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

#[cfg(test)]
mod tests;
