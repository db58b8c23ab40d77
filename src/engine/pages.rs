//! All records, a page at a time: there may be very many.

use crate::{
    ledger::{Ledger, LedgerError},
    rotation::record::Record,
};

/// How many records are read at once; twice as many are held.
const PAGE: usize = 250;

/// Shows every record, in the order of their keys. The next ones are on their way while these are looked
/// at.
///
/// # Errors
/// When they cannot be read; some were shown.
pub(super) async fn each(
    ledger: &dyn Ledger,
    mut look: impl FnMut(Record) + Send,
) -> Result<(), LedgerError> {
    let mut page = ledger.page(None, PAGE).await?;
    loop {
        let last = page.last().filter(|_| page.len() == PAGE);
        let Some(last) = last.map(|stored| stored.record.key.clone()) else {
            page.into_iter().for_each(|stored| look(stored.record));
            return Ok(());
        };
        let looked = async {
            page.into_iter().for_each(|stored| look(stored.record));
            // A page takes milliseconds to work through: others may want the thread.
            tokio::task::yield_now().await;
        };
        let (next, ()) = tokio::join!(ledger.page(Some(&last), PAGE), looked);
        page = next?;
    }
}
