//! The requests about throw-away users, and what the SCIM endpoint answers.

use crate::{
    error::{Class, Code, Fault},
    rotation::probe_user::{ProbeUserName, UserOp},
    token::ScimUserId,
};

/// One request about throw-away users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserAct {
    /// One with this name is created.
    Create(ProbeUserName),
    /// The one with this id is read.
    Read(ScimUserId),
    /// One with this name is searched for.
    Search(ProbeUserName),
    /// The whole of one is replaced.
    Replace(ScimUserId, ProbeUserName),
    /// One attribute is changed.
    Patch(ScimUserId),
    /// It is deactivated.
    Deactivate(ScimUserId),
    /// It is deleted.
    Delete(ScimUserId),
}

impl UserAct {
    /// What is tried with it.
    #[must_use]
    pub fn op(&self) -> UserOp {
        match self {
            Self::Create(_) => UserOp::Create,
            Self::Read(_) => UserOp::Read,
            Self::Search(_) => UserOp::Search,
            Self::Replace(..) => UserOp::Replace,
            Self::Patch(_) => UserOp::Patch,
            Self::Deactivate(_) => UserOp::Deactivate,
            Self::Delete(_) => UserOp::Delete,
        }
    }
}

/// What the SCIM endpoint answers to one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserAnswer {
    /// It was done (2xx), with the users in the answer.
    Done(SeenUsers),
    /// 404.
    NotThere,
    /// The request was refused for what it asked (another 4xx), in words.
    Refused {
        /// The status.
        status: u16,
        /// In words.
        words: String,
    },
    /// The token is not known, or not yet (401).
    Unauthorized,
    /// The token may not do it (403).
    Forbidden,
    /// Nothing was learnt: 429, 5xx, no answer.
    Inconclusive(Fault),
}

/// The users in an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeenUsers {
    /// They.
    pub users: Vec<SeenUser>,
    /// There are others that the answer does not show.
    pub more: bool,
    /// The answer could not be read.
    pub unreadable: bool,
}

/// One user in an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenUser {
    /// Its id.
    pub id: ScimUserId,
    /// Its name.
    pub name: String,
    /// Whether it may log in, where that is shown.
    pub active: Option<bool>,
}

/// Whether this answer shows the user of that id with exactly that name.
#[must_use]
pub fn shows(name: &ProbeUserName, id: &ScimUserId, answer: &UserAnswer) -> bool {
    match answer {
        UserAnswer::Done(seen) => {
            seen.users.iter().any(|user| user.id == *id && user.name == name.as_str())
        }
        UserAnswer::NotThere
        | UserAnswer::Refused { .. }
        | UserAnswer::Unauthorized
        | UserAnswer::Forbidden
        | UserAnswer::Inconclusive(_) => false,
    }
}

/// What an answer without users says, as in "the SCIM endpoint …".
pub(super) fn said(answer: &UserAnswer) -> String {
    match answer {
        UserAnswer::Done(_) => "it gave an answer that could not be parsed".to_owned(),
        UserAnswer::NotThere => "it answered with 404".to_owned(),
        UserAnswer::Refused { words, .. } => words.clone(),
        UserAnswer::Unauthorized => "it answered with 401".to_owned(),
        UserAnswer::Forbidden => "it answered with 403".to_owned(),
        UserAnswer::Inconclusive(fault) => fault.detail.clone(),
    }
}

/// A token that may read users is not refused as such: some endpoints answer 401 where 403 is meant.
pub(super) fn unauthorized(doing: impl Into<String>) -> Fault {
    let words = "the SCIM endpoint answers 401, although it lets the token read users";
    Fault::new(doing.into(), Class::Transient, Code::Unauthorized, words)
}
