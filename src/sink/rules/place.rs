//! Places as they are configured, and as the ledger remembers them.

use serde::de::DeserializeOwned;

use crate::{
    error::{Class, Code, Fault},
    sink::Place,
};

/// What cannot be used as it is configured.
pub(in crate::sink) fn invalid(operation: &str, words: String) -> Fault {
    Fault::new(operation, Class::Terminal, Code::Invalid, words)
}

/// What the ledger remembers of a place cannot be used; `words` follow that.
pub(in crate::sink) fn not_remembered(place: &Place, words: &str) -> Fault {
    let words = format!("what the ledger remembers of it {words}");
    invalid(&format!("reopen {}", place.location), words)
}

/// The `deliver_to` entry of a place that the ledger remembers.
pub(in crate::sink) fn remembered<T: DeserializeOwned>(place: &Place) -> Result<T, Fault> {
    serde_json::from_value(place.delivery.clone())
        .map_err(|problem| not_remembered(place, &format!("cannot be read: {problem}")))
}
