//! All records, a page at a time: there may be very many.

use crate::{
    ledger::{Ledger, LedgerError},
    rotation::record::Record,
};

/// How many records are held at once.
const PAGE: usize = 500;

/// Shows every record, in the order of their keys.
///
/// # Errors
/// When they cannot be read; some were shown.
pub(super) async fn each(
    ledger: &dyn Ledger,
    mut look: impl FnMut(Record) + Send,
) -> Result<(), LedgerError> {
    let mut last = None;
    loop {
        let page = ledger.page(last.as_ref(), PAGE).await?;
        let whole = page.len() == PAGE;
        last = page.last().map(|stored| stored.record.key.clone());
        for stored in page {
            look(stored.record);
        }
        if !whole {
            return Ok(());
        }
        // A page takes milliseconds to work through: others may want the thread.
        tokio::task::yield_now().await;
    }
}
