//! The session's token, and what the session remembers between two calls.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::TimeDelta;
use tokio::sync::Mutex;

use crate::{clock::Timestamp, error::Fault, secret::Secret};

/// A token, used until the server refuses it or it expires.
#[derive(Clone)]
pub(super) struct Access {
    pub(super) token: Secret,
    /// Which login attempt it came from.
    pub(super) serial: u64,
    /// When it was issued.
    pub(super) since: Timestamp,
    /// Its lifetime when it was issued; `None`: it does not expire.
    pub(super) life: Option<Duration>,
    pub(super) ends_at: Option<Timestamp>,
    /// Whether to renew it; false once the server has refused that.
    pub(super) renewable: bool,
    /// The AppRole's name, if the login returned it.
    role: Option<String>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("ends_at", &self.ends_at).finish_non_exhaustive()
    }
}

impl Access {
    /// A token that was issued now. With a `life` of zero it does not expire.
    pub(super) fn new(
        token: Secret,
        serial: u64,
        now: Timestamp,
        life: Duration,
        renewable: bool,
    ) -> Self {
        let life = Some(life).filter(|life| !life.is_zero());
        let ends_at = life.and_then(|life| end(now, life));
        Self { token, serial, since: now, life, ends_at, renewable, role: None }
    }

    /// The same token, issued to the AppRole of this name.
    pub(super) fn of_role(self, role: Option<String>) -> Self {
        Self { role, ..self }
    }

    /// The same token, renewed: it lives for `life` from now on.
    pub(super) fn renewed(&self, now: Timestamp, life: Duration, renewable: bool) -> Self {
        Self { ends_at: end(now, life), renewable, ..self.clone() }
    }

    /// The same token, which is not renewed again.
    pub(super) fn unrenewable(&self) -> Self {
        Self { renewable: false, ..self.clone() }
    }

    /// The AppRole's name.
    pub(super) fn role(&self) -> Option<&str> {
        self.role.as_deref()
    }
}

/// The current token, and how the last attempt ended.
#[derive(Debug, Default)]
pub(super) struct Session {
    /// The number of login attempts so far.
    pub(super) attempts: AtomicU64,
    /// Whether a task renews the token.
    pub(super) keeper: AtomicBool,
    /// How many times in a row the server did not know a token that it had just issued.
    unheard: AtomicU32,
    pub(super) state: Mutex<State>,
}

impl Session {
    /// Notes that the server knows the token.
    pub(super) fn heard_of(&self) {
        self.unheard.store(0, Ordering::Relaxed);
    }

    /// Notes that the server does not know a token that it has just issued. Returns whether that was
    /// so the last time as well.
    pub(super) fn unheard_of_again(&self) -> bool {
        self.unheard.fetch_add(1, Ordering::Relaxed) > 0
    }
}

/// What only one caller at a time may read or change.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) access: Option<Arc<Access>>,
    pub(super) renew_at: Option<Timestamp>,
    pub(super) failure: Option<(Timestamp, Fault)>,
    /// The unwrapped secret ID, kept because the wrapping token works only once.
    pub(super) unwrapped: Option<Unwrapped>,
}

/// A secret ID that was unwrapped.
pub(super) struct Unwrapped {
    /// The wrapping token that it came from: another wrapping token holds another secret ID.
    pub(super) of: Secret,
    pub(super) secret_id: Secret,
}

impl fmt::Debug for Unwrapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unwrapped")
    }
}

fn end(now: Timestamp, life: Duration) -> Option<Timestamp> {
    now.checked_add_signed(TimeDelta::from_std(life).ok()?)
}
