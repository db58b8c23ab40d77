//! Places as they are configured, and as the ledger remembers them.

use serde::de::DeserializeOwned;

use crate::{
    error::{Class, Code, Fault},
    sink::{Container, Place},
};

/// What cannot be used as it is configured.
pub(in crate::sink) fn invalid(operation: &str, words: String) -> Fault {
    Fault::new(operation, Class::Terminal, Code::Invalid, words)
}

/// What the ledger remembers of a place cannot be used; `words` follow that.
pub(in crate::sink) fn not_remembered(place: &Place, words: &str) -> Fault {
    let words = format!("the ledger's record of it {words}");
    invalid(&format!("reopen {}", place.location), words)
}

/// The `deliver_to` entry of a place that the ledger remembers.
pub(in crate::sink) fn remembered<T: DeserializeOwned>(place: &Place) -> Result<T, Fault> {
    place
        .delivery
        .read()
        .map_err(|problem| not_remembered(place, &format!("cannot be read: {problem}")))
}

/// Why a place is another than the one that was read, in words: what it is in has changed (`leads`
/// says what leads there), or can no longer be told (`untold`).
pub(in crate::sink) fn elsewhere_now(
    read: &Container,
    now: Option<&Container>,
    leads: &str,
    untold: &str,
) -> Option<String> {
    let now = match now {
        Some(now) if now.id == read.id => return None,
        Some(now) => format!("{leads} {}", now.words),
        None => untold.to_owned(),
    };
    Some(format!("it was read in {}, but {now}", read.words))
}
