//! The stored form of a record: one JSON document, the same in every ledger.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    clock::{Timestamp, Told},
    error::Fault,
    rotation::record::{Record, SCHEMA},
};

/// How many lines of a connection's history are kept.
pub const HISTORY: usize = 1000;

/// Brings a document from one schema to the next; `UPGRADES[0]` reads schema 1 and gives 2.
type Upgrade = fn(Value) -> Value;

/// One for each schema that was ever released before [`SCHEMA`].
const UPGRADES: [Upgrade; SCHEMA as usize - 1] = [decided];

/// Schema 1 kept only what refuses a connection; how a failing one stands was found out anew each
/// time it was shown.
fn decided(mut document: Value) -> Value {
    let Some(record) = document.as_object_mut() else { return document };
    let refusal = record.remove("refusal").filter(|refusal| !refusal.is_null());
    let decided = match refusal {
        Some(mut refusal) => {
            let waits = refusal["reason"] == "previous_in_use";
            refusal["standing"] = if waits { "waiting" } else { "refused" }.into();
            refusal
        }
        None => failing(record).unwrap_or_default(),
    };
    record.insert("decided".to_owned(), decided);
    record.insert("schema".to_owned(), 2.into());
    document
}

/// The last failure of a record of schema 1, as what was decided.
fn failing(record: &serde_json::Map<String, Value>) -> Option<Value> {
    let own = record.get("troubles")?.as_object()?.values();
    let own = own.map(|trouble| ("provider_unavailable", trouble));
    let sinks = record.get("sinks")?.as_object()?.values();
    let sinks = sinks.map(|sink| ("sink_unavailable", &sink["trouble"]));
    let (reason, trouble) = own
        .chain(sinks)
        .filter(|(_, trouble)| trouble.is_object())
        .max_by_key(|(_, trouble)| trouble["at"].as_str().map(str::to_owned))?;
    let fault: Fault = serde_json::from_value(trouble["fault"].clone()).ok()?;
    Some(json!({
        "standing": "troubled",
        "reason": reason,
        "words": fault.to_string(),
        "since": trouble["since"],
        "until": trouble["retry_at"],
    }))
}

/// A document that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// A newer version wrote it.
    #[error(
        "a record has schema {schema}, and this version reads schemas up to {SCHEMA}: run \
         the version that wrote it, or a newer one"
    )]
    Newer {
        /// Its schema.
        schema: u64,
    },
    /// It is not a record.
    #[error(
        "a record cannot be read ({detail}): restore the ledger from a backup, or move it away and let it be rebuilt from the sinks"
    )]
    Unreadable {
        /// Where and why; records hold no secret.
        detail: String,
    },
    /// It is not of this version's schema, and would be unreadable for everyone.
    #[error("this version writes schema {SCHEMA} and cannot write a record of schema {schema}")]
    NotOurs {
        /// Its schema.
        schema: u32,
    },
}

/// Whether a record can be written at all.
///
/// # Errors
/// When it is not of this version's schema.
pub fn writable(record: &Record) -> Result<(), FormatError> {
    if record.schema == SCHEMA {
        Ok(())
    } else {
        Err(FormatError::NotOurs { schema: record.schema })
    }
}

/// Writes a record as it is stored.
///
/// # Errors
/// When it is not of this version's schema.
pub fn encode(record: &Record) -> Result<String, FormatError> {
    writable(record)?;
    serde_json::to_string(record)
        .map_err(|error| FormatError::Unreadable { detail: error.to_string() })
}

/// Reads a record of this or any older schema.
///
/// # Errors
/// When its schema is newer, or it is not a record.
pub fn decode(text: &str) -> Result<Record, FormatError> {
    #[derive(Deserialize)]
    struct Head {
        schema: u64,
    }
    let unreadable =
        |error: serde_json::Error| FormatError::Unreadable { detail: error.to_string() };
    // Nearly every document is of this schema: it is read once.
    let record = match serde_json::from_str::<Record>(text) {
        Ok(record) if record.schema == SCHEMA => return Ok(record),
        read => read,
    };
    let Head { schema } = serde_json::from_str(text).map_err(unreadable)?;
    if schema > u64::from(SCHEMA) {
        return Err(FormatError::Newer { schema });
    }
    if schema == u64::from(SCHEMA) {
        return record.map_err(unreadable);
    }
    let steps = usize::try_from(schema)
        .ok()
        .and_then(|schema| schema.checked_sub(1))
        .and_then(|done| UPGRADES.get(done..))
        .ok_or_else(|| FormatError::Unreadable {
            detail: format!("schema {schema} does not exist"),
        })?;
    let document: Value = serde_json::from_str(text).map_err(unreadable)?;
    let document = steps.iter().fold(document, |older, step| step(older));
    serde_json::from_value(document).map_err(unreadable)
}

/// What a ledger must know of a record without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Columns {
    /// [`Record::wake_at`] in milliseconds since 1970, never earlier than asked.
    pub wake_at: Option<i64>,
    /// [`Record::next_rotation`] in milliseconds since 1970.
    pub next_rotation: Option<i64>,
    /// [`Record::expires_at`] in milliseconds since 1970.
    pub expires_at: Option<i64>,
    /// When the current token was lost ([`Record::lost_at`]), in milliseconds since 1970; 0 when it
    /// was not, `None` when there is none.
    pub lost: Option<i64>,
}

impl Columns {
    /// Those of a record.
    #[must_use]
    pub fn of(record: &Record) -> Self {
        Self {
            wake_at: record.wake_at.map(|at| {
                let floor = at.timestamp_millis();
                if at.timestamp_subsec_nanos() % 1_000_000 == 0 {
                    floor
                } else {
                    floor.saturating_add(1)
                }
            }),
            next_rotation: record.next_rotation.map(|at| at.timestamp_millis()),
            expires_at: record.expires_at().map(|at| at.as_told().timestamp_millis()),
            lost: record
                .current
                .as_ref()
                .map(|_| record.lost_at().map_or(0, |at| at.timestamp_millis())),
        }
    }

    /// Whether the moment to wake has come.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.wake_at.is_some_and(|at| at <= now.timestamp_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::{ConnectionId, ConnectionKey, ConnectionName, ProviderName, Tenant};

    fn record() -> Record {
        Record::new(
            ConnectionKey {
                tenant: Tenant::try_new("acme.eu.auth0.com").unwrap(),
                connection: ConnectionId::try_new("con_1").unwrap(),
            },
            ConnectionName::try_new("initech-okta").unwrap(),
            ProviderName::try_new("acme").unwrap(),
        )
    }

    #[test]
    fn a_newer_schema_is_refused_with_the_way_out() {
        let text = encode(&record()).unwrap();
        let newer = text.replacen("\"schema\":2", "\"schema\":3", 1);
        assert_ne!(text, newer);
        let refused = decode(&newer).unwrap_err();
        assert_eq!(refused, FormatError::Newer { schema: 3 });
        assert!(refused.to_string().contains("a newer one"), "{refused}");
    }

    #[test]
    fn what_is_no_record_is_refused_and_never_half_read() {
        let text = encode(&record()).unwrap();
        let never = text.replacen("\"schema\":2", "\"schema\":0", 1);
        let extra = text.replacen("{\"schema\"", "{\"surprise\":1,\"schema\"", 1);
        let cut = text.get(..text.len() - 1).unwrap();
        for bad in ["", "{}", "[]", "{\"schema\":1}", &never, &extra, cut] {
            let refused = decode(bad).unwrap_err();
            assert!(matches!(refused, FormatError::Unreadable { .. }), "{bad}: {refused}");
        }
    }

    #[test]
    fn only_this_versions_schema_is_written() {
        let mut record = record();
        record.schema = SCHEMA + 1;
        assert_eq!(encode(&record).unwrap_err(), FormatError::NotOurs { schema: SCHEMA + 1 });
    }

    #[test]
    fn a_record_never_wakes_early() {
        let mut record = record();
        let at = crate::clock::parse_timestamp("2026-11-22T04:00:00.000000001Z").unwrap();
        record.wake_at = Some(at);
        let columns = Columns::of(&record);
        assert!(!columns.is_due(at - chrono::TimeDelta::nanoseconds(1)));
        assert!(columns.is_due(at + chrono::TimeDelta::milliseconds(1)));
    }
}
