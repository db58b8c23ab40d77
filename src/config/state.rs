//! `[state]`: where records are kept.

use std::path::{Path, PathBuf};

use crate::{
    ledger::postgres::Address,
    table::{
        Environment, HttpConfig, Keyring, SecretRef, Set, Table, Value, http::pem_file,
        secret::reference, too_long,
    },
};

/// Where the ledger is when `[state]` does not say.
const DEFAULT_LEDGER: &str = "/var/lib/scimitar/ledger.db";

/// Where records are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateConfig {
    /// In an SQLite file; absolute.
    File(PathBuf),
    /// In a PostgreSQL database.
    Postgres(PostgresConfig),
}

/// A ledger in PostgreSQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresConfig {
    /// Where it is, and as whom it is used.
    pub address: Address,
    /// Where the role's password is kept; `None`: it needs none.
    pub password: Option<SecretRef>,
    /// Certificates to trust beside the system's (PEM); absolute.
    pub ca_file: Option<PathBuf>,
}

impl StateConfig {
    /// As it is written in the file and shown in messages; it holds no password.
    #[must_use]
    pub fn url(&self) -> String {
        match self {
            Self::File(path) => format!("sqlite://{}", path.display()),
            Self::Postgres(config) => config.address.to_string(),
        }
    }

    /// The ledger that a url names without a configuration file; paths start at the present folder, and
    /// the password is `$PGPASSWORD`, where that is set.
    ///
    /// # Errors
    /// What is wrong with it, and what to write.
    pub fn of_url(url: &str, env: &dyn Environment) -> Result<Self, String> {
        if Address::is_meant(url) {
            let address = Address::try_new(url)
                .map_err(|refused| format!("it {}: {}", refused.words, refused.hint))?;
            let name = "PGPASSWORD";
            let password = env.var(name).is_some().then(|| SecretRef::of_variable(name));
            return Ok(Self::Postgres(PostgresConfig { address, password, ca_file: None }));
        }
        let path = in_url(url).ok_or_else(|| format!("it does not name a ledger: {HOW}"))?;
        if let Some(trouble) = too_long(Path::new(path)) {
            return Err(format!("it {trouble}: choose a shorter path"));
        }
        Ok(Self::File(path.into()))
    }

    /// The file, where it is one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Postgres(_) => None,
        }
    }
}

/// Reads `[state]`.
pub(super) fn state<'s>(
    root: &Table<'s>,
    http: &HttpConfig,
    keyring: Keyring<'_>,
) -> Set<'s, StateConfig> {
    let default = Set { value: StateConfig::File(DEFAULT_LEDGER.into()), at: root.at() };
    let Some(table) = root.get("state").and_then(|value| value.table("[state]")) else {
        return default;
    };
    let url = table.require("url", "\"sqlite:///var/lib/scimitar/ledger.db\"");
    let password = table.get("password");
    let ca_file = table.get("ca_file");
    let in_postgres = url.and_then(|url| url.string()).is_some_and(Address::is_meant);
    let read = if in_postgres {
        // The sinks that keep secrets are of no use before the ledger is open.
        let here = Keyring { stores: None, ..keyring };
        let password = password.map(|value| reference(&value, here, |_| Ok(())));
        let own = ca_file.map(|value| pem_file(&value, keyring.secrets));
        url.and_then(|url| {
            let address = address(&url)?;
            if let Some(of_nothing) = ca_file.filter(|_| !address.tls) {
                table.findings().error(
                    of_nothing.key_at,
                    "`ca_file` has no effect on an unencrypted connection",
                    "leave it out, or write sslmode=verify-full in `url`",
                );
            }
            let password = password.map_or(Some(None), |password| password.map(Some))?;
            let own = own.map_or(Some(None), |file| file.map(Some))?;
            let ca_file = own.or_else(|| http.ca_file.clone()).filter(|_| address.tls);
            Some(url.set(StateConfig::Postgres(PostgresConfig { address, password, ca_file })))
        })
    } else {
        for of_postgres in [password, ca_file].into_iter().flatten() {
            table.findings().error(
                of_postgres.key_at,
                format!("`{}` is for a ledger in PostgreSQL", of_postgres.key()),
                "leave it out: a file has no log-in",
            );
        }
        url.and_then(|url| ledger(&url).map(|path| url.set(StateConfig::File(path))))
    };
    table.finish(&[]);
    read.unwrap_or(default)
}

/// Nothing of what is refused is shown: it may be a password.
fn address(value: &Value<'_>) -> Option<Address> {
    match Address::try_new(value.string()?) {
        Ok(address) => Some(address),
        Err(refused) => {
            value.refuse(format!("`url` {}", refused.words), refused.hint);
            None
        }
    }
}

/// What a url has to be.
const HOW: &str = "write sqlite:///absolute/path/ledger.db, sqlite://relative/ledger.db for a path relative \
                   to this file's folder, or postgres://USER@HOST/DATABASE";

/// The path in a url, if there can be one.
fn in_url(url: &str) -> Option<&str> {
    let path = url.strip_prefix("sqlite://")?;
    let fits = !path.is_empty() && !path.ends_with('/') && !path.contains(['?', '#', '\0']);
    fits.then_some(path)
}

fn ledger(value: &Value<'_>) -> Option<PathBuf> {
    let Some(path) = in_url(value.string()?) else {
        value.refuse("`url` does not name a ledger", HOW);
        return None;
    };
    let path = value.at.source().path(path);
    if let Some(trouble) = too_long(&path) {
        value.refuse(format!("`url` {trouble}"), "choose a shorter path");
        return None;
    }
    if path.is_dir() {
        value.refuse(
            "`url` names a folder",
            format!("name a file in it: sqlite://{}/ledger.db", path.display()),
        );
        return None;
    }
    Some(path)
}
