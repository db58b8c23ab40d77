//! The last changes of a connection, as `history` and `explain` tell them.

use serde::Serialize;

use crate::{
    ledger::{Entry, Ledger, LedgerError, history::Change},
    token::{ConnectionKey, ConnectionName, ProviderName},
};

/// How many changes are shown.
pub const SHOWN: usize = 50;

/// The last changes of one connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct History {
    /// Its label.
    pub connection: ConnectionName,
    /// The provider's label.
    pub provider: ProviderName,
    /// Oldest first.
    pub changes: Vec<Change>,
}

/// The last changes of one connection, oldest first: at most [`SHOWN`].
///
/// # Errors
/// When the ledger cannot be read.
pub async fn changes(ledger: &dyn Ledger, key: &ConnectionKey) -> Result<Vec<Change>, LedgerError> {
    let entries: Vec<Entry> = ledger.history(key, usize::MAX).await?;
    Ok(Change::of(entries, SHOWN))
}
