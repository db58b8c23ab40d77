//! What goes wrong with PostgreSQL, whether it is tried again, and what people can do about it.

use std::{error::Error as _, io, path::Path};

use tokio_postgres::error::DbError;

use super::address::Address;
use crate::{
    error::chain,
    http::{certificate_words, quote},
    ledger::{LedgerError, format::FormatError},
};

/// A failure that does not say yet of which ledger.
#[derive(Debug)]
pub(super) enum Failure {
    /// The claim or the version is not ours.
    ClaimLost,
    /// It may work later.
    Unavailable(String),
    /// It will not.
    Unusable(String),
    /// The driver's own.
    Postgres(tokio_postgres::Error),
}

/// What is done about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Nothing: it is the answer.
    Answer,
    /// The same once more: another's transaction was in the way.
    Again,
    /// The same once more over another connection: this one is of no use.
    Reconnect,
}

impl Failure {
    /// What is done about it.
    pub(super) fn remedy(&self) -> Remedy {
        let Self::Postgres(error) = self else { return Remedy::Answer };
        let Some(code) = code(error) else { return Remedy::Reconnect };
        match code {
            // Serialization, deadlock, a lock that was not had in time, something made by two at once.
            "40001" | "40P01" | "55P03" | "23505" | "42P06" | "42P07" | "42723" => Remedy::Again,
            // Read-only: a former primary.
            "25006" => Remedy::Reconnect,
            _ if ["08", "57P"].iter().any(|class| code.starts_with(class)) => Remedy::Reconnect,
            _ => Remedy::Answer,
        }
    }

    /// Of that ledger.
    pub(super) fn of(self, address: &Address, ca_file: Option<&Path>) -> LedgerError {
        let url = address.to_string();
        match self {
            Self::ClaimLost => LedgerError::ClaimLost,
            Self::Unavailable(detail) => LedgerError::Unavailable { url, detail },
            Self::Unusable(detail) => LedgerError::Unusable { url, detail },
            Self::Postgres(error) => match in_words(&error, address, ca_file) {
                Words::Unavailable(detail) => LedgerError::Unavailable { url, detail },
                Words::Unusable(detail) => LedgerError::Unusable { url, detail },
            },
        }
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Postgres(error)
    }
}

impl From<FormatError> for Failure {
    fn from(error: FormatError) -> Self {
        Self::Unusable(error.to_string())
    }
}

fn code(error: &tokio_postgres::Error) -> Option<&str> {
    error.code().map(tokio_postgres::error::SqlState::code)
}

enum Words {
    Unavailable(String),
    Unusable(String),
}

fn in_words(error: &tokio_postgres::Error, address: &Address, ca_file: Option<&Path>) -> Words {
    match error.as_db_error() {
        Some(said) => of_server(said, address),
        None => Words::Unavailable(of_connection(error, address, ca_file)),
    }
}

/// What the server said. What is not known to be lasting may pass.
fn of_server(error: &DbError, address: &Address) -> Words {
    let (user, database) = (&address.user, &address.database);
    let said = quote(error.message(), &[]);
    let code = error.code().code();
    let class = code.get(..2).unwrap_or_default();
    let detail = match (class, code) {
        (_, "28P01") => format!(
            "it rejects the password of {user} ({said}): check that `password` in [state] refers to the \
             database's password; Scimitar reads it again for each connection"
        ),
        ("28", _) => format!(
            "it does not accept {user} from this machine ({said}): check pg_hba.conf on the server, and whether \
             it requires encryption (sslmode=verify-full) or a password (`password` in [state])"
        ),
        (_, "3D000") => format!(
            "there is no database {database} on it: create it (docs/postgresql.md), or name another \
             one in [state] url"
        ),
        (_, "42501") => format!(
            "{user} may not do that ({said}): `scimitar check --online` lists the missing permissions, docs/postgresql.md \
             shows how to grant them"
        ),
        (_, "25006") | ("0A", _) if said.contains("read-only") || said.contains("recovery") => {
            "the server is a standby or was made read-only: name the primary in [state] url, or all \
             servers, separated by commas"
                .to_owned()
        }
        (_, "57014") => format!("the statement took longer than {} ms ({said})", super::STATEMENT_TIMEOUT),
        (_, "55P03") => "other transactions kept a row locked".to_owned(),
        ("53", _) => format!(
            "the server has run out of disk space, memory or connections ({said})"
        ),
        ("42" | "3F", _) => {
            return Words::Unusable(format!(
                "its tables are damaged or were changed ({said}): restore the schema scimitar from a \
                 backup, or drop it, and the next run creates it again and rebuilds what it can from \
                 the sinks"
            ));
        }
        ("22", _) => return Words::Unusable(format!("it rejects the data ({said})")),
        _ => format!("{said} (SQLSTATE {code})"),
    };
    Words::Unavailable(detail)
}

/// What happened to the connection.
fn of_connection(
    error: &tokio_postgres::Error,
    address: &Address,
    ca_file: Option<&Path>,
) -> String {
    let names: Vec<String> = address.hosts.iter().map(super::address::Host::name).collect();
    let host = names.join(", ");
    if let Some(words) = certificate_words(error, &host, ca_file) {
        return format!("no encrypted connection to {host}: {words}");
    }
    let said = quote(&chain(error), &[]);
    let mut cause = error.source();
    let mut system = None;
    while let Some(at) = cause {
        system = at.downcast_ref::<io::Error>().map(io::Error::kind).or(system);
        cause = at.source();
    }
    if said.contains("does not allow writes") {
        return format!(
            "none of its servers is writable ({host}): all are standbys, or the primary is unreachable"
        );
    }
    if said.contains("server does not support TLS") {
        return format!("{host} does not support encryption: set ssl = on there (postgresql.conf)");
    }
    if said.contains("password missing") {
        return "it asks for a password: name it as `password` in [state]".to_owned();
    }
    match system {
        Some(io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => {
            format!("nothing listens there ({said})")
        }
        Some(io::ErrorKind::TimedOut) => format!("{host} did not answer in time ({said})"),
        _ => format!("the connection was lost or could not be made ({said})"),
    }
}
