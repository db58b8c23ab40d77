//! The SCIM client that proves a token (RFC 7644).

mod scim;
mod user;

use std::{fmt, time::Duration};

use async_trait::async_trait;
use reqwest::Url;

pub use self::scim::ScimClient;
pub use crate::rotation::answer::{ProbeAnswer, SeenUser, SeenUsers, UserAct, UserAnswer};
use crate::{error::Fault, token::TokenValue};

/// Asks a SCIM endpoint.
#[async_trait]
pub trait ScimProbe: fmt::Debug + Send + Sync {
    /// How long after it was sent a probe may still arrive.
    fn longest(&self) -> Duration;

    /// Asks without credentials: there is a SCIM endpoint when that is refused with 401 or 403.
    ///
    /// # Errors
    /// Any other answer, or none.
    async fn anonymous(&self, endpoint: &Url) -> Result<(), Fault>;

    /// `GET {endpoint}/Users?count=1` with the token.
    async fn read(&self, endpoint: &Url, token: &TokenValue) -> ProbeAnswer;

    /// One operation on a throw-away user.
    ///
    /// # If the answer is lost
    /// A create, a change or a delete may have been done. A user is found by its name.
    async fn user(&self, endpoint: &Url, token: &TokenValue, act: &UserAct) -> UserAnswer;
}
