//! The configuration: TOML text in, validated types out. Every mistake is reported, all at once,
//! each with its place and the way out; no service is called and nothing is written.

mod checks;
mod connection;
mod control;
pub mod discover;
mod holds;
mod hooks;
mod include;
mod pieces;
mod places;
mod policy;
mod provider;
pub mod schema;
mod scopes;
mod server;
mod settings;
mod sink;
mod state;
mod survey;
mod terms;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, iter,
    path::{Path, PathBuf},
    sync::Arc,
};

use toml::{Spanned, de::DeTable};

pub use self::{
    connection::ConnectionConfig,
    control::control_socket,
    hooks::{HookCall, HookConfig},
    server::ServerConfig,
    settings::{EngineConfig, LogConfig, LogFormat, MetricsConfig},
    sink::DeliverTo,
    state::{PostgresConfig, StateConfig},
    survey::{Survey, SurveyReason},
};
use self::{
    connection::{Read, Reader},
    discover::{Inventories, Made, Refused, Rule},
    pieces::Pieces,
    places::{Mounts, Places},
};
use crate::{
    clock::Timestamp,
    provider::{connections::Found, kind::Needs},
    rotation::{policy::Mode, watch::Watch},
    shared::Shared,
    sink::SinkConfig,
    table::{
        At, Findings, Keyring, Table, http,
        source::{Source, Unread},
    },
    telemetry::audit::{chain, file::head_path},
    token::{ProviderName, SinkName},
};
pub use crate::{
    provider::config::ProviderConfig,
    table::{
        Environment, HttpConfig, Problem, Problems, ProcessEnvironment, ProxyConfig, SecretError,
        SecretRef, Secrets, StoredSecret,
    },
};

/// A whole configuration without mistakes.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where records are kept.
    pub state: StateConfig,
    /// Where the status page is; `None`: no port is opened.
    pub server: Option<ServerConfig>,
    /// Where the daemon serves commands; absolute. `None`: nowhere.
    pub control: Option<PathBuf>,
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
    pub connections: Shared<Vec<ConnectionConfig>>,
    /// Tokens that no provider is asked about, in the order of the files.
    pub watches: Vec<Watch>,
    /// For which connections that are found the same policy holds, in the order of the files.
    pub discover: Vec<Rule>,
    /// The providers that a rule of those rotates connections of.
    pub rotates_found: BTreeSet<ProviderName>,
    /// Which of those that were found cannot be rotated.
    pub refused: Vec<Refused>,
    /// The secrets that are kept in sinks.
    pub stored_secrets: BTreeSet<StoredSecret>,
    /// What works but is probably not meant.
    pub warnings: Vec<Problem>,
    /// The SHA-256 of the files that it was read from, one behind the other.
    pub sha256: String,
    /// What it was read from, where connections are discovered.
    pub files: Arc<Files>,
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
    let findings = Findings::default();
    let files = Files::read(path, &findings);
    let files = files.map_err(|unread| Problems::new(vec![unread.problem(path)]))?;
    let files = Arc::new(files);
    of_files(files, findings, Keyring { env, secrets, stores: None }, &Inventories::new())
}

/// What can be read of a configuration with errors, with what providers were seen to have: enough to say
/// how its connections stand. `None` when not even the main file can be read.
#[must_use]
pub fn salvage(path: &Path, env: &dyn Environment, inventories: &Inventories) -> Option<Config> {
    let main = Source::read(path, 0).ok()?;
    // What is wrong with it was said when it was read as a whole.
    let findings = Findings::default();
    let (document, _) = DeTable::parse_recoverable(main.text());
    let included = include::sources(&Table::root(document.get_ref(), main.at(0), &findings), path);
    drop(document);
    let files = Files { main, included };
    let documents: Vec<_> =
        files.all().map(|source| (source, DeTable::parse_recoverable(source.text()).0)).collect();
    let mut taken = BTreeSet::new();
    let made: Vec<_> = documents
        .iter()
        .map(|(_, document)| discover::made(document.get_ref(), inventories, &mut taken))
        .collect();
    let roots = documents.iter().map(|(source, document)| {
        let root = Table::root(document.get_ref(), source.at(0), &findings);
        File { root, source, pieces: None }
    });
    let keyring = Keyring { env, secrets: Secrets::Unneeded, stores: None };
    read(&files, roots.collect(), &made, keyring)
}

/// What [`Config::sha256`] would be of what the files hold now, whether that is valid or not; `None`:
/// the file at `path` cannot be read.
#[must_use]
pub fn digest(path: &Path) -> Option<String> {
    Some(Files::read(path, &Findings::default()).ok()?.sha256())
}

/// `included` is what was found while the files were gathered.
fn of_files(
    files: Arc<Files>,
    included: Findings,
    keyring: Keyring<'_>,
    inventories: &Inventories,
) -> Result<Config, Problems> {
    if included.count() == 0
        && let Some(config) = in_pieces(&files, keyring, inventories)
    {
        return Ok(with_files(config, files));
    }
    let read = as_a_whole(&files);
    let config = read_all(&files, &read, keyring, &included, inventories);
    let (errors, warnings) = included.into_lists();
    match config {
        Some(config) if errors.is_empty() => Ok(with_files(Config { warnings, ..config }, files)),
        Some(_) | None => Err(Problems::new(errors)),
    }
}

/// The files are read once more for what is discovered, and only for that: they may be large.
fn with_files(config: Config, files: Arc<Files>) -> Config {
    if config.discover.is_empty() { config } else { Config { files, ..config } }
}

/// Reads files with very many connections, a piece of them at a time; `None` where they have few, or any
/// error: then they are read as a whole, which says everything in its place.
fn in_pieces(files: &Files, keyring: Keyring<'_>, inventories: &Inventories) -> Option<Config> {
    let read: Vec<_> = files.all().map(Pieces::of).collect();
    if read.iter().all(Option::is_none) {
        return None;
    }
    let findings = Findings::default();
    let config = read_all(files, &read, keyring, &findings, inventories)?;
    let (errors, warnings) = findings.into_lists();
    errors.is_empty().then_some(Config { warnings, ..config })
}

fn as_a_whole(files: &Files) -> Vec<Option<Pieces>> {
    files.all().map(|_| None).collect()
}

impl Config {
    /// The same configuration, as its files were when they were read, with the connections that
    /// providers were seen to have. One that cannot be rotated is in `refused`, and no error.
    ///
    /// # Errors
    /// What is wrong since with what the files name, such as a secret.
    pub fn with(
        &self,
        inventories: &Inventories,
        env: &dyn Environment,
        secrets: Secrets,
    ) -> Result<Self, Problems> {
        if self.discover.is_empty() {
            return Ok(self.clone());
        }
        let keyring = Keyring { env, secrets, stores: None };
        of_files(Arc::clone(&self.files), Findings::default(), keyring, inventories)
    }

    /// What is asked of a provider.
    #[must_use]
    pub fn needs(&self, provider: &ProviderName) -> Needs {
        let all = self.connections.iter().filter(|connection| connection.provider == *provider);
        let mode = if self.rotates_found.contains(provider) { Mode::Rotate } else { Mode::Observe };
        let of_rules = Needs { discovers: self.discovers(provider), ..Needs::of(mode) };
        all.fold(of_rules, |needs, connection| needs.and(&connection.terms))
    }

    /// Whether the connections of a provider are discovered.
    #[must_use]
    pub fn discovers(&self, provider: &ProviderName) -> bool {
        self.discover.iter().any(|rule| rule.provider == *provider)
    }

    /// Whether a policy holds for a connection that a provider was found to have.
    #[must_use]
    pub fn holds_for(&self, provider: &ProviderName, found: &Found) -> bool {
        self.discover.iter().any(|rule| rule.provider == *provider && rule.holds_for(found))
    }
}

/// The files of a configuration, as they were when they were read.
#[derive(Default)]
pub struct Files {
    main: Source,
    included: Vec<Source>,
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files").field("included", &self.included.len()).finish_non_exhaustive()
    }
}

impl Files {
    /// The file at `path` and those that it includes; what is wrong with those is in `findings`.
    fn read(path: &Path, findings: &Findings) -> Result<Self, Unread> {
        let main = Source::read(path, 0)?;
        let pieces = Pieces::of(&main);
        let text = pieces.as_ref().map_or_else(|| main.text(), |pieces| pieces.rest.as_str());
        let included = match parse(&main, text, findings) {
            Some(document) => {
                include::sources(&Table::root(document.get_ref(), main.at(0), findings), path)
            }
            None => Vec::new(),
        };
        drop(pieces);
        Ok(Self { main, included })
    }

    fn sha256(&self) -> String {
        let mut digest = chain::Digester::default();
        self.all().for_each(|source| digest.update(source.text().as_bytes()));
        digest.finish()
    }

    fn all(&self) -> impl Iterator<Item = &Source> {
        iter::once(&self.main).chain(&self.included)
    }

    /// The same place, for as long as the files are there.
    fn at(&self, at: At<'_>) -> At<'_> {
        let (order, offset) = at.order();
        let included = order.checked_sub(1).and_then(|nth| self.included.get(nth));
        included.unwrap_or(&self.main).at(offset)
    }
}

/// A file as it is read.
struct File<'s> {
    root: Table<'s>,
    source: &'s Source,
    /// Where its connections are, if they are not in the table.
    pieces: Option<&'s Pieces>,
}

/// `None` only when the main file is not TOML; everything that is wrong is in `findings`.
fn read_all(
    files: &Files,
    pieces: &[Option<Pieces>],
    keyring: Keyring<'_>,
    findings: &Findings,
    inventories: &Inventories,
) -> Option<Config> {
    let all = files.all().zip(pieces);
    let mut documents = all.map(|(source, pieces)| parsed(source, pieces.as_ref(), findings));
    let main = documents.next().flatten()?;
    let documents: Vec<_> = iter::once(main).chain(documents.flatten()).collect();
    let mut taken = BTreeSet::new();
    let made: Vec<Vec<Made<'_>>> = documents
        .iter()
        .map(|(_, _, document)| discover::made(document.get_ref(), inventories, &mut taken))
        .collect();
    let roots = documents.iter().map(|(source, pieces, document)| {
        let root = Table::root(document.get_ref(), source.at(0), findings);
        File { root, source, pieces: *pieces }
    });
    let config = read(files, roots.collect(), &made, keyring)?;
    Some(Config { sha256: files.sha256(), ..config })
}

/// Parses a file, but for what was split off it.
fn parsed<'s>(
    source: &'s Source,
    pieces: Option<&'s Pieces>,
    findings: &Findings,
) -> Option<(&'s Source, Option<&'s Pieces>, Spanned<DeTable<'s>>)> {
    let text = pieces.map_or_else(|| source.text(), |pieces| pieces.rest.as_str());
    let document = parse(source, text, findings)?;
    if let Some((key, _)) =
        document.get_ref().get_key_value("connections").filter(|_| pieces.is_some())
    {
        findings.plain_error(
            source.at(key.span().start),
            "connections are written in two ways: use [[connections]] for each",
        );
    }
    Some((source, pieces, document))
}

/// Reads what was parsed. What has mistakes is missing from the answer, and noted.
fn read<'s>(
    sources: &'s Files,
    files: Vec<File<'s>>,
    made: &'s [Vec<Made<'s>>],
    keyring: Keyring<'_>,
) -> Option<Config> {
    let root = &files.first()?.root;
    let findings = root.findings();
    // They are read already.
    root.get("include");
    let stores = sink::stores(root);
    let http = http::http(root, keyring);
    let state = state::state(root, &http, keyring);
    let server = server::server(root);
    let control = control::control(root);
    let (log, audit_at) = settings::log(root, keyring.secrets);
    let engine = settings::engine(root);
    http::check_environment(root, &http, keyring);
    let (metrics, _) = settings::metrics(root, keyring.secrets, state.value.file());
    let of_stores = Keyring { stores: Some(&stores), ..keyring };
    let hooks = hooks::hooks(root, of_stores);

    let mut places = Places::new(Mounts::read());
    if let Some(file) = state.value.file() {
        places.warn_if_volatile("the ledger", file, state.at, findings);
        places.reserve(file, "the ledger");
    } else {
        places.are_of_replicas();
    }
    if let Some(textfile) = &metrics.textfile {
        places.reserve(textfile, "the metrics");
    }
    if let Some((audit, at)) = log.audit.as_ref().zip(audit_at) {
        places.reserve_apart(audit, "the audit log", at, findings);
        places.reserve_apart(&head_path(audit), "the audit log's head", at, findings);
    }

    let providers = provider::providers(root, &http, of_stores);
    let sinks = sink::sinks(root, &http, keyring);
    let now = keyring.env.now();
    let read = connections(sources, files, made, &providers, &sinks, places, now);
    Some(Config {
        state: state.value,
        server,
        control,
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
        connections: read.connections.into(),
        watches: read.watches,
        discover: read.rules,
        rotates_found: read.rotates_found,
        refused: read.refused,
        stored_secrets: stores.named.into_inner(),
        warnings: Vec::new(),
        sha256: String::new(),
        files: Arc::default(),
    })
}

fn connections<'s>(
    sources: &'s Files,
    files: Vec<File<'s>>,
    made: &'s [Vec<Made<'s>>],
    providers: &'s provider::Providers<'s>,
    sinks: &'s sink::Sinks<'s>,
    places: Places<'s>,
    now: Timestamp,
) -> Read {
    let Some(File { root, .. }) = files.first() else { return Read::default() };
    let mut reader = Reader::new(root, sources, providers, sinks, places, now);
    for (File { root, source, pieces }, made) in files.into_iter().zip(made) {
        reader.read(&root);
        for (at, piece) in pieces.into_iter().flat_map(|pieces| pieces.parsed(source)) {
            match &piece {
                Some(piece) => reader.read(&Table::piece(piece.get_ref(), at, root.findings())),
                // The whole is parsed then, and says why.
                None => root.findings().plain_error(at, "it cannot be parsed on its own"),
            }
        }
        reader.watches(&root);
        reader.rules(&root, made);
        root.finish(&[]);
    }
    reader.discovered();
    reader.finish()
}

fn parse<'s>(source: &Source, text: &'s str, findings: &Findings) -> Option<Spanned<DeTable<'s>>> {
    match DeTable::parse(text) {
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
