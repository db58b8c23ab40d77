//! The ledger, opened as a command needs it.

use std::{path::Path, sync::Arc};

use super::AppError;
use crate::{
    clock::SystemEntropy,
    error::chain,
    ledger::{Ledger, scratch::Scratch, sqlite::SqliteLedger},
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
pub fn open_ledger(path: &Path, usage: Use) -> Result<Arc<dyn Ledger>, AppError> {
    let failed = |error: &dyn std::error::Error| AppError::Ledger(chain(error));
    match usage {
        Use::Write => {
            let ledger =
                SqliteLedger::open(path, &SystemEntropy).map_err(|error| failed(&error))?;
            Ok(Arc::new(ledger))
        }
        Use::Look => match SqliteLedger::open_read_only(path).map_err(|error| failed(&error))? {
            Some(ledger) => Ok(Arc::new(ledger)),
            None => {
                let id = LedgerId::try_new("none-yet").map_err(|error| failed(&error))?;
                Ok(Arc::new(Scratch::empty(id)))
            }
        },
    }
}
