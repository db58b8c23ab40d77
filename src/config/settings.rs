//! The tables that are there once: `[state]`, `[log]`, `[engine]`, `[http]`, `[metrics]`.

use std::{io, net::IpAddr, path::PathBuf, time::Duration};

use reqwest::Url;

use super::{
    amount::SECOND,
    secret::Secrets,
    source::At,
    table::{Set, Table, Value},
};
use crate::{
    error::system_words,
    telemetry::{
        audit::file::{self, AppendError},
        metrics::PER_CONNECTION_LIMIT,
    },
};

/// Where the ledger is when `[state]` does not say.
const DEFAULT_LEDGER: &str = "/var/lib/scimitar/ledger.db";

/// The most that `per_connection_limit` can be: each of so many has some fifty series.
const MOST_SERIES: u32 = 1_000_000;

/// Where records are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateConfig {
    /// The SQLite file; absolute.
    pub path: PathBuf,
}

impl StateConfig {
    /// As it is written in the file and shown in messages.
    #[must_use]
    pub fn url(&self) -> String {
        format!("sqlite://{}", self.path.display())
    }
}

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

/// `[http]`, at the top or in a provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpConfig {
    /// Certificates to trust beside the system's (PEM); absolute.
    pub ca_file: Option<PathBuf>,
    /// The proxy for everything but loopback; `None`: what `HTTPS_PROXY` and `NO_PROXY` say.
    pub proxy: Option<Url>,
}

impl HttpConfig {
    /// What is left out here is taken from `outer`.
    pub(super) fn or(self, outer: &Self) -> Self {
        Self {
            ca_file: self.ca_file.or_else(|| outer.ca_file.clone()),
            proxy: self.proxy.or_else(|| outer.proxy.clone()),
        }
    }
}

/// `[metrics]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsConfig {
    /// Written at the end of each one-shot; absolute.
    pub textfile: Option<PathBuf>,
    /// With more connections than this, only the most urgent have series of their own; 0: none
    /// ever has.
    pub per_connection_limit: usize,
}

impl Default for MetricsConfig {
    fn default() -> Self {
        Self { textfile: None, per_connection_limit: PER_CONNECTION_LIMIT }
    }
}

/// Reads `[state]`.
pub(super) fn state<'s>(root: &Table<'s>) -> Set<'s, StateConfig> {
    let default = Set { value: StateConfig { path: DEFAULT_LEDGER.into() }, at: root.at() };
    let Some(table) = root.get("state").and_then(|value| value.table("[state]")) else {
        return default;
    };
    let url = table.require("url", "\"sqlite:///var/lib/scimitar/ledger.db\"");
    table.finish(&[]);
    let read = url.and_then(|url| ledger(&url).map(|path| url.set(StateConfig { path })));
    read.unwrap_or(default)
}

fn ledger(value: &Value<'_>) -> Option<PathBuf> {
    const HOW: &str = "write sqlite:///absolute/path/ledger.db, or sqlite://relative/ledger.db \
                       for a path that starts at this file's folder";
    let url = value.string()?;
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        value.findings().error(
            value.at,
            "a ledger in PostgreSQL (`postgres://`) comes in a later version",
            HOW,
        );
        return None;
    }
    let path = url.strip_prefix("sqlite://");
    let fits = path.is_some_and(|path| {
        !path.is_empty() && !path.ends_with('/') && !path.contains(['?', '#', '\0'])
    });
    if !fits {
        value.refuse("`url` does not name a ledger file", HOW);
        return None;
    }
    let path = value.at.source().path(path?);
    if path.is_dir() {
        value.refuse(
            "`url` names a folder",
            format!("name a file in it: sqlite://{}/ledger.db", path.display()),
        );
        return None;
    }
    Some(path)
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
    const HOW: &str = "name a file in a folder that is there and that scimitar may write to, such \
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
                "check it as the user that scimitar runs as",
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
                "a stop may have to wait that long for each request in hand: the units in systemd/ give it \
                 90 s in all",
                "at most \"60s\", or set TimeoutStopSec= (terminationGracePeriodSeconds) to four times this; \
                 one that is killed loses nothing, and the next start goes on from there",
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

/// Reads `http`, in the file or in a provider.
pub(super) fn http(parent: &Table<'_>) -> HttpConfig {
    let name = if parent.name().is_empty() {
        "[http]".to_owned()
    } else {
        format!("`http` of {}", parent.name())
    };
    let Some(table) = parent.get("http").and_then(|value| value.table(name)) else {
        return HttpConfig::default();
    };
    let ca_file = table.get("ca_file").and_then(|value| ca_file(&value));
    let proxy = table.get("proxy").and_then(|value| proxy(&value));
    table.finish(&[]);
    HttpConfig { ca_file, proxy }
}

/// Reads the name of a file with certificates.
pub(super) fn ca_file(value: &Value<'_>) -> Option<PathBuf> {
    let path = value.path()?;
    let trouble = match std::fs::metadata(&path) {
        Ok(metadata) if !metadata.is_file() => Some("it is not a regular file".to_owned()),
        Ok(_) => match std::fs::read(&path) {
            Ok(bytes) => {
                let mark: &[u8] = b"-----BEGIN CERTIFICATE-----";
                let found = bytes.windows(mark.len()).any(|window| window == mark);
                (!found).then(|| "it holds no certificate in PEM".to_owned())
            }
            Err(error) => Some(system_words(&error)),
        },
        Err(error) => Some(system_words(&error)),
    };
    if let Some(trouble) = trouble {
        value.refuse(
            format!("`{}` {} cannot be used: {trouble}", value.key(), path.display()),
            "name a readable file with the certificates to trust, in PEM",
        );
        return None;
    }
    Some(path)
}

fn proxy(value: &Value<'_>) -> Option<Url> {
    let url = url(value, "\"http://proxy:3128\"")?;
    if !matches!(url.scheme(), "http" | "https") || url.path() != "/" {
        value.refuse(
            "`proxy` must be the address of an HTTP proxy",
            "write proxy = \"http://proxy:3128\"",
        );
        return None;
    }
    Some(url)
}

/// A URL with a host, without credentials, query or fragment: those are where secrets hide, so
/// nothing of a refused one is shown.
pub(super) fn url(value: &Value<'_>, example: &str) -> Option<Url> {
    let text = value.string()?;
    let parsed = Url::parse(text).ok().filter(Url::has_host);
    let Some(url) = parsed else {
        value.refuse(
            format!("`{}` is not a URL", value.key()),
            format!("write {} = {example}", value.key()),
        );
        return None;
    };
    if !url.username().is_empty() || url.password().is_some() {
        let hint = if value.key() == "proxy" {
            "leave it out here and set HTTPS_PROXY in the environment, which may hold it"
        } else {
            "write the address alone"
        };
        value.refuse(format!("`{}` must not hold a user name or password", value.key()), hint);
        return None;
    }
    if url.query().is_some() || url.fragment().is_some() {
        value.refuse(
            format!("`{}` must not hold a query or fragment", value.key()),
            "end it before the `?` or `#`",
        );
        return None;
    }
    Some(url)
}

/// Whether a URL's host can only be this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Reads `[metrics]`.
pub(super) fn metrics<'s>(root: &Table<'s>) -> (MetricsConfig, Option<At<'s>>) {
    let table = root.get("metrics").and_then(|value| value.table("[metrics]"));
    let Some(table) = table else {
        return (MetricsConfig::default(), None);
    };
    let limit = table
        .get("per_connection_limit")
        .and_then(|value| value.integer(0..=MOST_SERIES))
        .and_then(|limit| usize::try_from(limit).ok());
    let textfile = table.get("textfile").and_then(|value| {
        let path = value.path()?;
        let named = path.file_name().is_some() && !path.is_dir();
        if !named {
            value.refuse("`textfile` names a folder", "name a file in it that ends in .prom");
        }
        named.then(|| value.set(path))
    });
    table.finish(&[]);
    let at = textfile.as_ref().map(|set| set.at);
    let textfile = textfile.map(|set| set.value);
    let per_connection_limit = limit.unwrap_or(PER_CONNECTION_LIMIT);
    (MetricsConfig { textfile, per_connection_limit }, at)
}
