//! The ledger, opened as a command needs it.

use std::{path::Path, sync::Arc};

use super::AppError;
use crate::{
    clock::{Entropy, SystemEntropy},
    config::{Environment, PostgresConfig, StateConfig},
    error::chain,
    ledger::{
        Ledger, LedgerError,
        moving::Movable,
        postgres::{PostgresLedger, Settings},
        scratch::Scratch,
        sqlite::SqliteLedger,
    },
    secret::SecretSource,
    token::LedgerId,
};

/// How the ledger is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// For records to be written; made when it is not there.
    Write,
    /// For looking: nothing is made or written.
    Look,
}

/// Opens the ledger.
///
/// # Errors
/// In words, with the way out.
pub async fn open_ledger(
    state: &StateConfig,
    usage: Use,
    env: &Arc<dyn Environment>,
) -> Result<Arc<dyn Ledger>, AppError> {
    let failed = |error: LedgerError| AppError::Ledger(chain(&error));
    let opened = match usage {
        Use::Write => Some(made(state, env).await.map_err(failed)?),
        Use::Look => found(state, env).await.map_err(failed)?,
    };
    if let Some(ledger) = opened {
        return Ok(ledger);
    }
    let id = LedgerId::try_new("none-yet").map_err(|error| AppError::Ledger(chain(&error)))?;
    Ok(Arc::new(Scratch::empty(id)))
}

/// Opens it for writing.
///
/// # Errors
/// When it cannot be made or written.
pub async fn made(
    state: &StateConfig,
    env: &Arc<dyn Environment>,
) -> Result<Arc<dyn Ledger>, LedgerError> {
    match state {
        StateConfig::File(path) => in_file(path, |path| SqliteLedger::open(path, &SystemEntropy))
            .await
            .map(|ledger| Arc::new(ledger) as _),
        StateConfig::Postgres(config) => PostgresLedger::open(settings(config, env), entropy())
            .await
            .map(|ledger| Arc::new(ledger) as _),
    }
}

/// Opens it for looking; `None` where there is none.
///
/// # Errors
/// When it cannot be read.
pub async fn found(
    state: &StateConfig,
    env: &Arc<dyn Environment>,
) -> Result<Option<Arc<dyn Ledger>>, LedgerError> {
    match state {
        StateConfig::File(path) => Ok(in_file(path, SqliteLedger::open_read_only)
            .await?
            .map(|ledger| Arc::new(ledger) as _)),
        StateConfig::Postgres(config) => {
            let found = PostgresLedger::open_read_only(settings(config, env), entropy());
            Ok(found.await?.map(|ledger| Arc::new(ledger) as _))
        }
    }
}

/// Opens it to be moved, whether it is of use or not. `new`: it is made where there is none.
///
/// # Errors
/// When it cannot be written, or is not there.
pub async fn to_move(
    state: &StateConfig,
    new: bool,
    env: &Arc<dyn Environment>,
) -> Result<Arc<dyn Movable>, LedgerError> {
    match state {
        StateConfig::File(path) => {
            if !new && !path.exists() {
                let detail = "there is no such file".to_owned();
                return Err(LedgerError::Unusable { url: state.url(), detail });
            }
            let open = |path: &Path| SqliteLedger::open_to_move(path, &SystemEntropy);
            in_file(path, open).await.map(|ledger| Arc::new(ledger) as _)
        }
        StateConfig::Postgres(config) => {
            let opened = PostgresLedger::open_to_move(settings(config, env), entropy());
            opened.await.map(|ledger| Arc::new(ledger) as _)
        }
    }
}

/// How a ledger in PostgreSQL is reached; the password is read for each connection.
#[must_use]
pub fn settings(config: &PostgresConfig, env: &Arc<dyn Environment>) -> Settings {
    let password = config.password.clone().map(|reference| {
        let env = Arc::clone(env);
        SecretSource::new(move || {
            reference.read(&*env).map_err(|error| format!("{reference}: {error}"))
        })
    });
    Settings { address: config.address.clone(), password, ca_file: config.ca_file.clone() }
}

fn entropy() -> Arc<dyn Entropy> {
    Arc::new(SystemEntropy)
}

/// Opens a file where that may block.
async fn in_file<T: Send + 'static>(
    path: &Path,
    open: fn(&Path) -> Result<T, LedgerError>,
) -> Result<T, LedgerError> {
    let path = path.to_owned();
    let url = format!("sqlite://{}", path.display());
    let opened = tokio::task::spawn_blocking(move || open(&path)).await;
    opened.unwrap_or_else(|error| {
        Err(LedgerError::Unavailable { url, detail: format!("the call did not end: {error}") })
    })
}
