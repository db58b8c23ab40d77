//! The SCIM client that proves a token (RFC 7644).

mod scim;

use std::{fmt, time::Duration};

use async_trait::async_trait;
use reqwest::Url;

pub use self::scim::ScimClient;
use crate::{error::Fault, token::TokenValue};

/// What the SCIM endpoint says of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It works (200).
    Accepted,
    /// It is known, but may not read users (403).
    NotScoped,
    /// It is not known, or not yet (401).
    Unauthorized,
    /// Nothing was learnt: 404, 429, 5xx, no answer.
    Inconclusive(Fault),
}

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
    async fn read(&self, endpoint: &Url, token: &TokenValue) -> Verdict;
}
