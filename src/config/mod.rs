//! The configuration: TOML text in, validated types out. Every mistake is reported, all at once,
//! each with its place and the way out; no service is called and nothing is written.

mod checks;
mod connection;
mod hooks;
mod include;
mod places;
mod policy;
mod provider;
pub mod schema;
mod scopes;
mod server;
mod settings;
mod sink;
mod survey;
mod tenants;
mod terms;

use std::{collections::BTreeMap, path::Path, sync::Arc};

use toml::{Spanned, de::DeTable};

pub use self::{
    connection::ConnectionConfig,
    hooks::{HookCall, HookConfig},
    server::ServerConfig,
    settings::{EngineConfig, LogConfig, LogFormat, MetricsConfig, StateConfig},
    sink::DeliverTo,
    survey::{Survey, SurveyReason},
};
use self::{
    connection::Reader,
    places::{Mounts, Places},
};
pub use crate::{
    provider::config::ProviderConfig,
    table::{
        Environment, HttpConfig, Problem, Problems, ProcessEnvironment, ProxyConfig, SecretError,
        SecretRef, Secrets,
    },
};
use crate::{
    sink::SinkConfig,
    table::{Findings, Keyring, Table, http, source::Source},
    telemetry::audit::{chain, file::head_path},
    token::{ProviderName, SinkName},
};

/// A whole configuration without mistakes.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where records are kept.
    pub state: StateConfig,
    /// Where the status page is; `None`: no port is opened.
    pub server: Option<ServerConfig>,
    /// How log lines are written.
    pub log: LogConfig,
    /// How much is done at once, and how often.
    pub engine: EngineConfig,
    /// Certificates and proxy for everything that does not say its own.
    pub http: HttpConfig,
    /// Where metrics are written.
    pub metrics: MetricsConfig,
    /// Who is told what happens, in the order of the file.
    pub hooks: Vec<HookConfig>,
    /// Who issues tokens.
    pub providers: BTreeMap<ProviderName, ProviderConfig>,
    /// Where tokens can go.
    pub sinks: BTreeMap<SinkName, Arc<dyn SinkConfig>>,
    /// Whose tokens are rotated, in the order of the files.
    pub connections: Vec<ConnectionConfig>,
    /// What works but is probably not meant.
    pub warnings: Vec<Problem>,
    /// The SHA-256 of the files that it was read from, one behind the other.
    pub sha256: String,
}

/// Reads the configuration file at `path` and those that it includes.
///
/// # Errors
/// Everything that is wrong with it, in the order of the files.
pub fn load(path: &Path, env: &dyn Environment) -> Result<Config, Problems> {
    load_for(path, env, Secrets::Needed)
}

/// The same for a command that wants less of the secrets than their values.
///
/// # Errors
/// As [`load`].
pub fn load_for(path: &Path, env: &dyn Environment, secrets: Secrets) -> Result<Config, Problems> {
    let keyring = Keyring { env, secrets };
    let main = Source::read(path, 0).map_err(|unread| Problems::new(vec![unread.problem(path)]))?;
    let findings = Findings::default();
    let config = read_all(&main, path, keyring, &findings);
    let (errors, warnings) = findings.into_lists();
    match config {
        Some(config) if errors.is_empty() => Ok(Config { warnings, ..config }),
        Some(_) | None => Err(Problems::new(errors)),
    }
}

/// `None` only when the main file is not TOML; everything that is wrong is in `findings`.
fn read_all(
    main: &Source,
    path: &Path,
    keyring: Keyring<'_>,
    findings: &Findings,
) -> Option<Config> {
    let document = parse(main, findings)?;
    let root = Table::root(document.get_ref(), main.at(0), findings);
    let included = include::sources(&root, path);
    let documents: Vec<_> = included
        .iter()
        .filter_map(|source| parse(source, findings).map(|document| (source, document)))
        .collect();
    let roots = documents
        .iter()
        .map(|(source, document)| Table::root(document.get_ref(), source.at(0), findings));
    let mut bytes = main.text().as_bytes().to_vec();
    included.iter().for_each(|source| bytes.extend_from_slice(source.text().as_bytes()));
    let config = read(root, roots.collect(), keyring);
    Some(Config { sha256: chain::sha256(&bytes), ..config })
}

/// Reads what was parsed. What has mistakes is missing from the answer, and noted.
fn read<'s>(root: Table<'s>, included: Vec<Table<'s>>, keyring: Keyring<'_>) -> Config {
    let findings = root.findings();
    let state = settings::state(&root);
    let server = server::server(&root);
    let (log, audit_at) = settings::log(&root, keyring.secrets);
    let engine = settings::engine(&root);
    let http = http::http(&root, keyring);
    http::check_environment(&root, &http, keyring);
    let (metrics, _) = settings::metrics(&root, keyring.secrets, &state.value.path);
    let hooks = hooks::hooks(&root, keyring);
    root.later("discover", "`[[discover]]`");

    let mut places = Places::new(Mounts::read());
    places.warn_if_volatile("the ledger", &state.value.path, state.at, findings);
    places.reserve(&state.value.path, "the ledger");
    if let Some(textfile) = &metrics.textfile {
        places.reserve(textfile, "the metrics");
    }
    if let Some((audit, at)) = log.audit.as_ref().zip(audit_at) {
        places.reserve_apart(audit, "the audit log", at, findings);
        places.reserve_apart(&head_path(audit), "the audit log's head", at, findings);
    }

    let providers = provider::providers(&root, &http, keyring);
    let sinks = sink::sinks(&root, &http, keyring);
    let connections = connections(root, included, &providers, &sinks, places);
    Config {
        state: state.value,
        server,
        log,
        engine,
        http,
        metrics,
        hooks,
        providers: providers
            .into_iter()
            .filter_map(|(name, set)| Some((name, set.value?)))
            .collect(),
        sinks: sinks.into_iter().filter_map(|(name, set)| Some((name, set.value?))).collect(),
        connections,
        warnings: Vec::new(),
        sha256: String::new(),
    }
}

fn connections<'s>(
    root: Table<'s>,
    included: Vec<Table<'s>>,
    providers: &tenants::Providers<'s>,
    sinks: &sink::Sinks<'s>,
    places: Places<'s>,
) -> Vec<ConnectionConfig> {
    let mut reader = Reader::new(&root, providers, sinks, places);
    reader.read(&root);
    root.finish(&["discover"]);
    for file in included {
        file.later("discover", "`[[discover]]`");
        reader.read(&file);
        file.finish(&["discover"]);
    }
    reader.finish()
}

fn parse<'s>(source: &'s Source, findings: &Findings) -> Option<Spanned<DeTable<'s>>> {
    match DeTable::parse(source.text()) {
        Ok(document) => Some(document),
        Err(error) => {
            // Without a place it is the end that was not reached.
            let offset = error.span().map_or(usize::MAX, |span| span.start);
            // Only the parser's own words: its Display would print the line.
            findings
                .plain_error(source.at(offset), format!("this is not TOML: {}", error.message()));
            None
        }
    }
}
