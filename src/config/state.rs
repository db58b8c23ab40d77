//! `[state]`: where records are kept.

use std::path::{Path, PathBuf};

use crate::{
    ledger::postgres::Address,
    table::{
        HttpConfig, Keyring, SecretRef, Set, Table, Value, http::pem_file, secret::reference,
        too_long,
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
                    "`ca_file` has no meaning for a connection without encryption",
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
                "leave it out: a file asks nobody to log in",
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

fn ledger(value: &Value<'_>) -> Option<PathBuf> {
    const HOW: &str = "write sqlite:///absolute/path/ledger.db, sqlite://relative/ledger.db for a \
                       path that starts at this file's folder, or postgres://USER@HOST/DATABASE";
    let path = value.string()?.strip_prefix("sqlite://");
    let fits = path.is_some_and(|path| {
        !path.is_empty() && !path.ends_with('/') && !path.contains(['?', '#', '\0'])
    });
    if !fits {
        value.refuse("`url` does not name a ledger", HOW);
        return None;
    }
    let path = value.at.source().path(path?);
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
