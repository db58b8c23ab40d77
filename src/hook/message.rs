//! What a hook is given: names, ids and words, never a value.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::{
    clock::{rfc3339, spelled},
    rotation::{notice::Notice, record::Record},
    token::{ConnectionKey, ConnectionName, ProviderName},
};

/// The version of `data` in the event.
const SCHEMA: u32 = 1;

/// What can be said of an event, as templates call it; a program's variables are called so as well.
pub const FIELDS: [&str; 15] = [
    "event",
    "id",
    "at",
    "connection",
    "connection_id",
    "provider",
    "tenant",
    "number",
    "generation",
    "token_id",
    "previous_token_id",
    "expires_at",
    "threshold",
    "reason",
    "why",
];

/// Those that are numbers.
pub(super) const NUMBERS: [&str; 2] = ["number", "generation"];

/// Something that happened to a connection, or to a watched token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    name: ConnectionName,
    /// `None`: a watched token, which no provider is asked about.
    at: Option<(ConnectionKey, ProviderName)>,
    pub(super) notice: Notice,
}

impl Message {
    /// Says what `notice` is about.
    #[must_use]
    pub fn new(record: &Record, notice: &Notice) -> Self {
        Self {
            name: record.name.clone(),
            at: Some((record.key.clone(), record.provider.clone())),
            notice: notice.clone(),
        }
    }

    /// Says what `notice` of a watched token is about.
    #[must_use]
    pub fn of_watched(name: &ConnectionName, notice: &Notice) -> Self {
        Self { name: name.clone(), at: None, notice: notice.clone() }
    }

    /// The same for every hook and every try of one event, and for nothing else.
    #[must_use]
    pub fn id(&self) -> &str {
        self.notice.id.as_str()
    }

    /// What happened, in one word.
    #[must_use]
    pub fn event(&self) -> &'static str {
        self.notice.happening.occasion.as_str()
    }

    /// The label of the connection, or of the watched token.
    #[must_use]
    pub fn connection(&self) -> &ConnectionName {
        &self.name
    }

    fn key(&self) -> Option<&ConnectionKey> {
        self.at.as_ref().map(|(key, _)| key)
    }

    fn provider(&self) -> Option<&ProviderName> {
        self.at.as_ref().map(|(_, provider)| provider)
    }

    /// The event as CloudEvents 1.0 writes it (structured content mode, JSON).
    #[must_use]
    pub fn cloud_event(&self) -> Value {
        let happening = &self.notice.happening;
        let (source, what) = match self.key() {
            Some(key) => {
                let tenant = percent_encoded(key.tenant.as_str());
                let connection = percent_encoded(key.connection.as_str());
                (format!("/scimitar/{tenant}/{connection}"), "connection")
            }
            None => (format!("/scimitar/watch/{}", percent_encoded(self.name.as_str())), "watch"),
        };
        json!({
            "specversion": "1.0",
            "id": self.id(),
            "source": source,
            "type": format!("scimitar.{what}.{}", self.event()),
            "subject": self.name,
            "time": happening.at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
            "datacontenttype": "application/json",
            "data": {
                "schema": SCHEMA,
                "event": self.event(),
                "connection": self.name,
                "connection_id": self.key().map(|key| &key.connection),
                "provider": self.provider(),
                "tenant": self.key().map(|key| &key.tenant),
                "number": self.notice.number,
                "generation": happening.generation,
                "token_id": happening.token,
                "previous_token_id": happening.previous,
                "expires_at": happening.expires_at.map(rfc3339),
                "threshold": happening.threshold.map(spelled),
                "reason": happening.reason,
                "why": happening.words,
            },
        })
    }

    /// What happened, by the names of [`FIELDS`]; `None`: there is nothing to say.
    #[must_use]
    pub fn fields(&self) -> [(&'static str, Option<String>); FIELDS.len()] {
        let happening = &self.notice.happening;
        [
            ("event", Some(self.event().to_owned())),
            ("id", Some(self.id().to_owned())),
            ("at", Some(rfc3339(happening.at))),
            ("connection", Some(self.name.to_string())),
            ("connection_id", self.key().map(|key| key.connection.to_string())),
            ("provider", self.provider().map(ToString::to_string)),
            ("tenant", self.key().map(|key| key.tenant.to_string())),
            ("number", Some(self.notice.number.to_string())),
            ("generation", Some(happening.generation.to_string())),
            ("token_id", happening.token.as_ref().map(ToString::to_string)),
            ("previous_token_id", happening.previous.as_ref().map(ToString::to_string)),
            ("expires_at", happening.expires_at.map(rfc3339)),
            ("threshold", happening.threshold.map(spelled)),
            ("reason", happening.reason.clone()),
            ("why", Some(happening.words.clone())),
        ]
    }

    /// The environment of a program; what there is nothing to say of is not set.
    #[must_use]
    pub fn variables(&self) -> Vec<(String, String)> {
        let variable = |(name, text): (&str, Option<String>)| {
            let name = if name == "id" { "notice_id" } else { name };
            // A program cannot be given a NUL.
            Some((format!("SCIMITAR_{}", name.to_ascii_uppercase()), text?.replace('\0', " ")))
        };
        self.fields().into_iter().filter_map(variable).collect()
    }
}

/// A text as one segment of a URI's path, or one value of a form.
pub(super) fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut uri, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            uri.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(uri, "%{byte:02X}");
        }
        uri
    })
}
