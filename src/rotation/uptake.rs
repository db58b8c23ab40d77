//! Whether the client behind a place uses the token that was put there, where the place cannot be read
//! back: a person's word, or what the client itself says.

use serde::{Deserialize, Serialize};

use super::trouble::Trouble;
use crate::{
    clock::{Timestamp, stored},
    token::TokenId,
};

/// What is said of a token that a person is to take to a client: histories know it by these words, so that
/// it is called delivered only once the person has said so.
pub const TO_HAND_OVER: &str = "waits to be handed over to";

/// What has to happen after a delivery before the client behind a place uses the token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Uptake {
    /// Nothing: the client gets what is delivered.
    #[default]
    AtOnce,
    /// A person copies the token to the client and says that it is done.
    ByPerson {
        /// Where the person has to put it, as in "put it into …".
        instructions: String,
    },
    /// The client can be asked whether it has used the token.
    ByClient,
}

impl Uptake {
    pub(super) fn is_at_once(&self) -> bool {
        *self == Self::AtOnce
    }
}

/// The client uses the token that the place was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Taken {
    /// The token.
    pub id: TokenId,
    /// When that was known.
    #[serde(with = "stored")]
    pub at: Timestamp,
    /// Who said so; `None`: the client itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// A token that waited for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offered {
    /// The token.
    pub id: TokenId,
    /// Since when.
    #[serde(default, with = "stored")]
    pub since: Option<Timestamp>,
}

/// What a client says of the token that its place was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Account {
    /// It has used it.
    Uses,
    /// It has not used it yet, or cannot tell: in words.
    Waits(String),
    /// It has stopped, and does not start by a new token alone: in words.
    Stopped(String),
}

/// What the client behind a place last said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// When it was last asked.
    #[serde(with = "stored")]
    pub asked: Timestamp,
    /// Its last answer; `None`: none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Account>,
    /// Since when it has said that it stopped.
    #[serde(default, with = "stored", skip_serializing_if = "Option::is_none")]
    pub stopped_since: Option<Timestamp>,
    /// Why it could not be asked the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<Trouble>,
}

impl Client {
    /// After another answer.
    pub(super) fn said(before: Option<Self>, account: Account, at: Timestamp) -> Self {
        let since = before.and_then(|before| before.stopped_since).unwrap_or(at);
        let stopped = matches!(account, Account::Stopped(_));
        Self {
            asked: at,
            account: Some(account),
            stopped_since: stopped.then_some(since),
            trouble: None,
        }
    }

    /// After it could not be asked.
    pub(super) fn silent(before: Option<Self>, trouble: Trouble) -> Self {
        let asked = trouble.at;
        match before {
            Some(before) => Self { asked, trouble: Some(trouble), ..before },
            None => Self { asked, account: None, stopped_since: None, trouble: Some(trouble) },
        }
    }
}
