//! A watched token's row: what `status`, `explain` and the page's API say of it.

use serde::Serialize;

use crate::{
    clock::{Timestamp, rfc3339},
    ledger::{Ledger, LedgerError},
    rotation::{status::WatchStatus, watch::Watch},
    token::ConnectionName,
};

/// A watched token; `null` where nothing was written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WatchedRow {
    /// Its label.
    pub name: ConnectionName,
    /// How it stands: `valid`, `expires_soon`, `about_to_expire` or `expired`.
    pub standing: &'static str,
    /// The same in words.
    pub why: String,
    /// When it stops working.
    pub expires_at: String,
    /// Who renews it.
    pub owner: Option<String>,
    /// What else to know.
    pub note: Option<String>,
    /// Where it is renewed.
    pub link: Option<String>,
    /// Whether somebody has to do something now.
    pub needs_person: bool,
    /// Which hooks were not told.
    pub warnings: Vec<String>,
    /// The same moment, to be counted with.
    #[serde(skip)]
    pub until: Timestamp,
}

impl WatchedRow {
    /// By the configuration, and what the ledger knows of its hooks.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn of(
        watch: &Watch,
        ledger: &dyn Ledger,
        now: Timestamp,
    ) -> Result<Self, LedgerError> {
        let record = ledger.watched(&watch.name).await?;
        let status = WatchStatus::of(watch, record.as_ref(), now);
        Ok(Self {
            name: watch.name.clone(),
            standing: status.standing(),
            why: status.why,
            expires_at: rfc3339(watch.expires_at),
            owner: watch.owner.clone(),
            note: watch.note.clone(),
            link: watch.link.clone(),
            needs_person: status.needs_person,
            warnings: status.warnings,
            until: watch.expires_at,
        })
    }

    /// The rows of these, in their order.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn all(
        watches: &[Watch],
        ledger: &dyn Ledger,
        now: Timestamp,
    ) -> Result<Vec<Self>, LedgerError> {
        let mut rows = Vec::with_capacity(watches.len());
        for watch in watches {
            rows.push(Self::of(watch, ledger, now).await?);
        }
        Ok(rows)
    }
}
