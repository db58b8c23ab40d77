//! The credentials that requests are signed with, and what STS last said about them.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use aws_credential_types::{
    Credentials,
    provider::{self, ProvideCredentials, SharedCredentialsProvider, future},
};
use chrono::TimeDelta;

use crate::{clock::Timestamp, error::Fault, place::Container};

/// How long Scimitar does not ask STS again after STS refused to name the account.
const DENIED: TimeDelta = TimeDelta::hours(1);

/// How long callers share a failed call to STS.
const FAILED: TimeDelta = TimeDelta::seconds(30);

/// The credentials that the region's client used last.
pub(super) type Signing = Arc<Mutex<Option<Credentials>>>;

/// A credentials provider that keeps the last credentials it gave out.
pub(super) struct Noted {
    pub(super) inner: SharedCredentialsProvider,
    pub(super) signing: Signing,
}

impl fmt::Debug for Noted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Noted")
    }
}

impl Noted {
    fn note(&self, credentials: &Credentials) {
        *self.signing.lock().unwrap_or_else(PoisonError::into_inner) = Some(credentials.clone());
    }

    async fn load(&self) -> provider::Result {
        let credentials = self.inner.provide_credentials().await?;
        self.note(&credentials);
        Ok(credentials)
    }
}

impl ProvideCredentials for Noted {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.load())
    }

    fn fallback_on_interrupt(&self) -> Option<Credentials> {
        let credentials = self.inner.fallback_on_interrupt()?;
        self.note(&credentials);
        Some(credentials)
    }
}

/// The last answer of STS, for the credentials with one access key ID.
pub(super) struct Known {
    /// The access key ID.
    pub(super) key: String,
    /// The account of the credentials; `None`: STS refuses to name it.
    pub(super) found: Result<Option<Container>, Fault>,
    pub(super) at: Timestamp,
}

impl Known {
    /// Whether the answer is still valid for these credentials.
    pub(super) fn holds(&self, key: &str, now: Timestamp) -> bool {
        let age = (now - self.at).abs();
        self.key == key
            && match self.found {
                Ok(Some(_)) => true,
                Ok(None) => age < DENIED,
                Err(_) => age < FAILED,
            }
    }
}
