//! An answer, and what was sent for it: a server may repeat that in its words.

use std::ops::Deref;

use crate::{
    http::Reply,
    secret::Secret,
    sink::rules::secret_version::{hidden, strings_in},
};

/// Members of the calls below `auth/` and `sys/` that hold no secret, and that errors name.
const SHOWN: [&str; 3] = ["role", "name", "paths"];

/// The texts of a call that no message may show. `path` starts with `/v1/`.
pub(super) fn secrets(token: Option<&Secret>, path: &str, body: &[u8]) -> Vec<Secret> {
    let own = path.starts_with("/v1/auth/") || path.starts_with("/v1/sys/");
    let mut sent = strings_in(body, |key| own && SHOWN.contains(&key));
    sent.extend(token.cloned());
    sent
}

/// An answer; it knows which texts of the request no message may show.
pub(super) struct Answer {
    reply: Reply,
    sent: Vec<Secret>,
}

impl Answer {
    /// The answer to a call that sent these.
    pub(super) fn of(reply: Reply, sent: Vec<Secret>) -> Self {
        Self { reply, sent }
    }

    /// What no message may show.
    pub(super) fn hidden(&self) -> Vec<&str> {
        hidden(&self.sent)
    }
}

impl Deref for Answer {
    type Target = Reply;

    fn deref(&self) -> &Reply {
        &self.reply
    }
}
