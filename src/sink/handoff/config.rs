//! The kind `handoff`: `[sinks.NAME]`, and what `deliver_to` says of what a person has to do.

use std::sync::Arc;

use async_trait::async_trait;

use super::{
    HandoffSink, schema,
    settings::{HandoffSettings, HandoffTarget, KIND as PLACES},
};
use crate::{
    kind::{BuildError, Grant, Parts},
    rotation::policy::Mode,
    sink::{
        Kind, Place, Service,
        kind::{Known, Opened, SinkConfig, Spot, Target},
    },
    table::{Table, Value, page},
    token::SinkName,
};

/// The kind.
pub static KIND: Kind = Kind {
    name: "handoff",
    places: PLACES,
    location: "client",
    schema: schema::sink,
    delivery_schema: schema::target,
    read: |_, _, _| Some(Arc::new(HandoffConfig)),
    absent: None,
    store: None,
    reopen: Some(reopen),
};

/// People; there is nothing to say of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandoffConfig;

impl SinkConfig for HandoffConfig {
    fn deliver(&self, entry: &Table<'_>, _known: &Known<'_>) -> (Option<Spot>, Option<Target>) {
        let target = target(entry);
        let spot = |target: &HandoffTarget| Spot::Named(format!("{PLACES}:{}", target.client));
        (target.as_ref().map(spot), target.map(Target::new))
    }

    fn grant(&self, _: &SinkName, _: &[(&Target, Mode)]) -> Option<Grant> {
        None
    }

    fn readable(&self) -> bool {
        false
    }

    fn by_person(&self) -> bool {
        true
    }

    fn reads_files_once(&self) -> bool {
        false
    }

    fn build(&self, name: &SinkName, _: &Parts) -> Result<Arc<dyn Service>, BuildError> {
        Ok(Arc::new(HandoffSettings { sink: name.clone() }))
    }
}

#[async_trait]
impl Service for HandoffSettings {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn open(&self, target: &Target) -> Opened {
        Ok(Arc::new(HandoffSink::try_new(self, target.of_kind()?)?))
    }

    fn reopen(&self, place: &Place) -> Opened {
        reopen(place)
    }
}

fn reopen(place: &Place) -> Opened {
    let settings = HandoffSettings { sink: place.sink.clone() };
    Ok(Arc::new(HandoffSink::try_new(&settings, &HandoffTarget::remembered(place)?)?))
}

/// Reads what `deliver_to` says of a client.
fn target(table: &Table<'_>) -> Option<HandoffTarget> {
    let client = table.require("client", "\"Okta: initech\"").and_then(|value| line(&value));
    let link = optional(table, "link", link);
    let field = optional(table, "field", line);
    let note = optional(table, "note", line);
    let bearer = optional(table, "bearer", |value| value.boolean());
    let (link, field, note) = (link?, field?, note?);
    Some(HandoffTarget { client: client?, link, field, bearer: bearer?.unwrap_or(false), note })
}

fn line(value: &Value<'_>) -> Option<String> {
    value.line("\"Okta: initech\"")
}

/// `Some(None)` where it is left out; `None` where it is wrong.
fn optional<T>(
    table: &Table<'_>,
    key: &'static str,
    read: impl Fn(&Value<'_>) -> Option<T>,
) -> Option<Option<T>> {
    match table.get(key) {
        Some(value) => read(&value).map(Some),
        None => Some(None),
    }
}

/// Everybody who is told of the hand-off sees it.
fn link(value: &Value<'_>) -> Option<String> {
    page(
        value,
        "write the address of the page where the token is pasted, such as \
         \"https://acme-admin.okta.com/admin/app/…#tab-provisioning\"",
    )
}
