//! What a hook is given: names, ids and words, never a value.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::{
    clock::rfc3339,
    rotation::{notice::Notice, record::Record},
    token::{ConnectionKey, ConnectionName, ProviderName},
};

/// The version of `data` in the event.
const SCHEMA: u32 = 1;

/// Something that happened to a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    key: ConnectionKey,
    connection: ConnectionName,
    provider: ProviderName,
    notice: Notice,
}

impl Message {
    /// Says what `notice` is about.
    #[must_use]
    pub fn new(record: &Record, notice: &Notice) -> Self {
        Self {
            key: record.key.clone(),
            connection: record.name.clone(),
            provider: record.provider.clone(),
            notice: notice.clone(),
        }
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

    /// The connection's label.
    #[must_use]
    pub fn connection(&self) -> &ConnectionName {
        &self.connection
    }

    /// The event as CloudEvents 1.0 writes it (structured content mode, JSON).
    #[must_use]
    pub fn cloud_event(&self) -> Value {
        let happening = &self.notice.happening;
        let tenant = escaped(self.key.tenant.as_str());
        let connection = escaped(self.key.connection.as_str());
        json!({
            "specversion": "1.0",
            "id": self.id(),
            "source": format!("/scimitar/{tenant}/{connection}"),
            "type": format!("scimitar.connection.{}", self.event()),
            "subject": self.connection,
            "time": happening.at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
            "datacontenttype": "application/json",
            "data": {
                "schema": SCHEMA,
                "event": self.event(),
                "connection": self.connection,
                "connection_id": self.key.connection,
                "provider": self.provider,
                "tenant": self.key.tenant,
                "number": self.notice.number,
                "generation": happening.generation,
                "token_id": happening.token,
                "previous_token_id": happening.previous,
                "expires_at": happening.expires_at.map(rfc3339),
                "reason": happening.reason,
                "why": happening.words,
            },
        })
    }

    /// The environment of a program; what there is nothing to say of is not set.
    #[must_use]
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let happening = &self.notice.happening;
        let all = [
            ("SCIMITAR_EVENT", Some(self.event().to_owned())),
            ("SCIMITAR_NOTICE_ID", Some(self.id().to_owned())),
            ("SCIMITAR_AT", Some(rfc3339(happening.at))),
            ("SCIMITAR_CONNECTION", Some(self.connection.to_string())),
            ("SCIMITAR_CONNECTION_ID", Some(self.key.connection.to_string())),
            ("SCIMITAR_PROVIDER", Some(self.provider.to_string())),
            ("SCIMITAR_TENANT", Some(self.key.tenant.to_string())),
            ("SCIMITAR_GENERATION", Some(happening.generation.to_string())),
            ("SCIMITAR_TOKEN_ID", happening.token.as_ref().map(ToString::to_string)),
            ("SCIMITAR_PREVIOUS_TOKEN_ID", happening.previous.as_ref().map(ToString::to_string)),
            ("SCIMITAR_EXPIRES_AT", happening.expires_at.map(rfc3339)),
            ("SCIMITAR_REASON", happening.reason.clone()),
            ("SCIMITAR_WHY", Some(happening.words.clone())),
        ];
        // A program cannot be given a NUL.
        let set = all.into_iter().filter_map(|(name, value)| Some((name, value?)));
        set.map(|(name, value)| (name, value.replace('\0', " "))).collect()
    }
}

/// A name as one segment of a URI's path.
fn escaped(text: &str) -> String {
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
