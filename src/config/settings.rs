//! The tables that are there once: `[log]`, `[engine]`, `[http]`, `[metrics]`.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    error::system_words,
    shown::is_invisible,
    table::{At, Secrets, Set, Table, Value, amount::SECOND},
    telemetry::{
        audit::file::{self, AppendError},
        metrics::PER_CONNECTION_LIMIT,
    },
};

/// The most that `per_connection_limit` can be: each of so many has some fifty series.
const MOST_SERIES: u32 = 1_000_000;

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
    /// To systemd's journal, with fields.
    Journald,
}

/// `[log]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogConfig {
    /// How lines are written; `None`: as suits where they go.
    pub format: Option<LogFormat>,
    /// The audit log; absolute. `None`: there is none.
    pub audit: Option<PathBuf>,
}

/// `[engine]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineConfig {
    /// How many connections are worked on at once.
    pub max_parallel: u32,
    /// How often a steady connection is looked at; `None`: as often as its tenant's limit bears
    /// ([`super::Config::surveys`]).
    pub survey_interval: Option<Duration>,
    /// How long one request may take.
    pub request_timeout: Duration,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self { max_parallel: 16, survey_interval: None, request_timeout: Duration::from_secs(30) }
    }
}

/// `[metrics]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsConfig {
    /// Written at the end of each one-shot; absolute.
    pub textfile: Option<PathBuf>,
    /// The label that tells its series from those of other files in the folder.
    pub instance_name: String,
    /// With more connections than this, only the most urgent have series of their own; 0: none
    /// ever has.
    pub per_connection_limit: usize,
}

/// Reads `[log]`, and says where the audit log is named.
pub(super) fn log<'s>(root: &Table<'s>, secrets: Secrets) -> (LogConfig, Option<At<'s>>) {
    let Some(table) = root.get("log").and_then(|value| value.table("[log]")) else {
        return (LogConfig::default(), None);
    };
    let format = table.get("format").and_then(|value| {
        value.word(&[
            ("text", LogFormat::Text),
            ("json", LogFormat::Json),
            ("journald", LogFormat::Journald),
        ])
    });
    let audit = table.get("audit").and_then(|value| audit(&value, secrets).map(|it| value.set(it)));
    table.finish(&[]);
    let at = audit.as_ref().map(|audit| audit.at);
    (LogConfig { format, audit: audit.map(|audit| audit.value) }, at)
}

fn audit(value: &Value<'_>, secrets: Secrets) -> Option<PathBuf> {
    const HOW: &str = "name a file in an existing folder that scimitar may write to, such \
                       as \"/var/log/scimitar/audit.jsonl\"";
    let path = value.path()?;
    if path.is_dir() || path.file_name().is_none() {
        value.refuse("`audit` names a folder", HOW);
        return None;
    }
    // No rotation waits for an audit log: only who asks what is wrong is told beforehand.
    let trouble = if secrets == Secrets::Checked { file::probe(&path).err() } else { None };
    match trouble {
        Some(AppendError::Io { error, what })
            if error.kind() == io::ErrorKind::PermissionDenied =>
        {
            value.findings().warning(
                value.at,
                format!("`audit`: {what}: {}", system_words(&error)),
                "run `check` as the user that scimitar runs as",
            );
            Some(path)
        }
        Some(trouble) => {
            value.refuse(format!("`audit` cannot be written: {trouble}"), HOW);
            None
        }
        None => Some(path),
    }
}

/// A request that takes longer uses up most of the time that services are given to stop.
const PATIENT: Duration = Duration::from_secs(60);

/// Reads `[engine]`.
pub(super) fn engine(root: &Table<'_>) -> EngineConfig {
    let default = EngineConfig::default();
    let Some(table) = root.get("engine").and_then(|value| value.table("[engine]")) else {
        return default;
    };
    let day = Duration::from_secs(86_400);
    let max_parallel = table.get("max_parallel").and_then(|value| value.integer(1..=10_000));
    let survey_interval =
        table.get("survey_interval").and_then(|value| value.duration(SECOND..=day));
    let request_timeout = table.get("request_timeout").and_then(|value| {
        let timeout = value.duration(SECOND..=Duration::from_secs(600))?;
        if timeout > PATIENT {
            value.findings().warning(
                value.at,
                "to stop, Scimitar may wait that long for each running request; the units in systemd/ allow 90 s \
                 in total",
                "at most \"60s\", or set TimeoutStopSec= (terminationGracePeriodSeconds) to four times this; \
                 if Scimitar is killed, nothing is lost, and the next start continues",
            );
        }
        Some(timeout)
    });
    table.finish(&[]);
    EngineConfig {
        max_parallel: max_parallel.unwrap_or(default.max_parallel),
        survey_interval,
        request_timeout: request_timeout.unwrap_or(default.request_timeout),
    }
}

/// Reads `[metrics]`.
pub(super) fn metrics<'s>(
    root: &Table<'s>,
    secrets: Secrets,
    ledger: Option<&Path>,
) -> (MetricsConfig, Option<At<'s>>) {
    let own_name = root.at().source().stem();
    let Some(table) = root.get("metrics").and_then(|value| value.table("[metrics]")) else {
        let per_connection_limit = PER_CONNECTION_LIMIT;
        let instance_name = own_name;
        return (MetricsConfig { textfile: None, instance_name, per_connection_limit }, None);
    };
    let limit = table
        .get("per_connection_limit")
        .and_then(|value| value.integer(0..=MOST_SERIES))
        .and_then(|limit| usize::try_from(limit).ok());
    let textfile =
        table.get("textfile").and_then(|value| textfile(&value).map(|path| value.set(path)));
    if let Some(set) = textfile.as_ref().filter(|_| secrets == Secrets::Checked) {
        warn_if_away(&table, set, ledger);
    }
    let instance_name = table.get("instance_name").and_then(|value| instance_name(&value));
    table.finish(&[]);
    let at = textfile.as_ref().map(|set| set.at);
    let metrics = MetricsConfig {
        textfile: textfile.map(|set| set.value),
        instance_name: instance_name.unwrap_or(own_name),
        per_connection_limit: limit.unwrap_or(PER_CONNECTION_LIMIT),
    };
    (metrics, at)
}

fn textfile(value: &Value<'_>) -> Option<PathBuf> {
    let path = value.path()?;
    if path.file_name().is_none() || path.is_dir() {
        value.refuse("`textfile` names a folder", "name a file in it that ends in .prom");
        return None;
    }
    if path.extension().is_none_or(|end| end != "prom") {
        value.findings().warning(
            value.at,
            "`textfile` does not end in .prom: node_exporter reads no other files",
            format!("name it {}.prom", path.display()),
        );
    }
    Some(path)
}

/// A folder that is not there is made by nobody, but for that of the ledger: a run makes it.
fn warn_if_away(table: &Table<'_>, textfile: &Set<'_, PathBuf>, ledger: Option<&Path>) {
    let Some(folder) = textfile.value.parent() else { return };
    if !folder.is_dir() && !ledger.is_some_and(|ledger| ledger.starts_with(folder)) {
        table.findings().warning(
            textfile.at,
            format!(
                "`textfile`: the folder {} does not exist, so no metrics are written",
                folder.display()
            ),
            "name the folder in node_exporter's --collector.textfile.directory",
        );
    }
}

fn instance_name(value: &Value<'_>) -> Option<String> {
    let text = value.string()?;
    if text.len() > 128 || text.chars().any(|c| c.is_control() || is_invisible(c)) {
        value.refuse(
            "`instance_name` must be at most 128 printable characters",
            "write instance_name = \"scimitar-emea\"",
        );
        return None;
    }
    Some(text.to_owned())
}
