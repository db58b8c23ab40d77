//! What goes wrong with a service, and the class that decides what is done about it.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// The class of a fault decides what follows; nothing else does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Time-out, 5xx, 429, connection lost: retried with jitter, honouring `Retry-After`.
    Transient,
    /// The answer to a mutating call was lost: its effect is unknown until it is looked up.
    Ambiguous,
    /// Refused for good (401 or 403 after a fresh log-in, validation, quota): flagged as needing
    /// a person, retried slowly.
    Terminal,
    /// Somebody else wrote in between.
    Conflict,
}

impl Class {
    /// The word in logs and in `error.class` of the JSON document.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Ambiguous => "ambiguous",
            Self::Terminal => "terminal",
            Self::Conflict => "conflict",
        }
    }
}

/// What a service said, as far as anything here distinguishes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// No token may be made beside the ones there are (Auth0: 409).
    NoSlot,
    /// The credentials were refused, also after a fresh log-in.
    Unauthorized,
    /// Authenticated, but not allowed.
    Forbidden,
    /// The connection does not exist.
    NoConnection,
    /// The connection exists but SCIM is not configured for it.
    ScimNotConfigured,
    /// The connection's strategy has no SCIM.
    ScimUnsupported,
    /// The request was refused as invalid.
    Invalid,
    /// Asked too often (429).
    Throttled,
    /// The service failed (5xx).
    Unavailable,
    /// No answer in time.
    Timeout,
    /// No connection could be made; nothing was sent.
    Unreachable,
    /// An answer came that cannot be read.
    Unreadable,
    /// The place was changed by somebody else since it was read.
    Changed,
    /// The place carries the mark of another connection.
    ForeignOwner,
    /// The place is in another container than the one that was delivered to.
    PlaceChanged,
    /// What others put there would be lost.
    ForeignContent,
    /// The operating system refused (permissions, space, a missing folder).
    Io,
    /// Our claim on the connection is gone.
    ClaimLost,
}

impl Code {
    /// The word in logs (`error.type`) and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoSlot => "no_slot",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NoConnection => "no_connection",
            Self::ScimNotConfigured => "scim_not_configured",
            Self::ScimUnsupported => "scim_unsupported",
            Self::Invalid => "invalid",
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::Unreadable => "unreadable",
            Self::Changed => "changed",
            Self::ForeignOwner => "foreign_owner",
            Self::PlaceChanged => "place_changed",
            Self::ForeignContent => "foreign_content",
            Self::Io => "io",
            Self::ClaimLost => "claim_lost",
        }
    }
}

/// A failed operation: what was tried, on what, what the answer was. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub struct Fault {
    /// What was tried, as in "list the tokens of con_…".
    pub operation: String,
    /// What decides.
    pub class: Class,
    /// What the service said.
    pub code: Code,
    /// The answer in words, with the way out where there is one.
    pub detail: String,
    /// When the service asked to be left alone until.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<Duration>,
}

impl Fault {
    /// A fault without a `Retry-After`.
    #[must_use]
    pub fn new(
        operation: impl Into<String>,
        class: Class,
        code: Code,
        detail: impl Into<String>,
    ) -> Self {
        Self { operation: operation.into(), class, code, detail: detail.into(), retry_after: None }
    }

    /// The same where nothing that matters was to be written, so that nothing is in doubt.
    #[must_use]
    pub fn settled(mut self) -> Self {
        if self.class == Class::Ambiguous {
            self.class = Class::Transient;
        }
        self
    }

    /// The same where something was, or may have been, written before.
    #[must_use]
    pub fn in_doubt(mut self) -> Self {
        self.class = Class::Ambiguous;
        self
    }

    /// The same fault with the pause that the service asked for.
    #[must_use]
    pub fn retry_after(mut self, pause: Option<Duration>) -> Self {
        self.retry_after = pause;
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not {}: {}", self.operation, self.detail)
    }
}

/// What the operating system said, in its own words ("No such file or directory").
#[must_use]
pub fn system_words(error: &std::io::Error) -> String {
    error.raw_os_error().map_or_else(
        || error.to_string(),
        |code| nix::errno::Errno::from_raw(code).desc().to_owned(),
    )
}

/// An error and its causes in one line, the way they are shown to people.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
