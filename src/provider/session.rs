//! Access tokens that a log-in gives: kept while they are good, shared by all calls of a tenant.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::TimeDelta;
use tokio::sync::Mutex;

use crate::{
    clock::{Clock, Timestamp},
    error::Fault,
    secret::Secret,
    token::ProviderName,
};

/// How long an access token is taken to live when its answer does not say.
const LIFE_UNSAID: Duration = Duration::from_secs(600);

/// The longest life that is believed.
const LONGEST_LIFE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How far ahead of its end an access token is renewed, at least, where its life allows.
const RENEWED_AHEAD: Duration = Duration::from_secs(60);

/// A right that is granted meanwhile is in a new access token: one older than this is replaced before
/// a right counts as missing.
const RIGHTS_KNOWN_FOR: TimeDelta = TimeDelta::minutes(5);

/// An access token.
#[derive(Debug)]
pub(super) struct Access {
    pub(super) token: Secret,
    /// What is granted, where that could be seen.
    pub(super) scope: Option<BTreeSet<String>>,
    pub(super) serial: u64,
    pub(super) issued_at: Timestamp,
    pub(super) expires_at: Timestamp,
}

impl Access {
    /// From the answer of a log-in: a token, and how many seconds it lives.
    ///
    /// # Errors
    /// In words, when it cannot be a token.
    pub(super) fn granted(
        token: String,
        expires_in: Option<&serde_json::Value>,
        scope: Option<String>,
        serial: u64,
        now: Timestamp,
    ) -> Result<Self, &'static str> {
        let token = Secret::new(token);
        let graphic = token.expose().bytes().all(|byte| byte.is_ascii_graphic());
        if token.expose().is_empty() || !graphic {
            return Err("the answer contains no valid access token");
        }
        let life = expires_in
            .and_then(serde_json::Value::as_f64)
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .unwrap_or(LIFE_UNSAID)
            .min(LONGEST_LIFE);
        Ok(Self {
            token,
            scope: scope.map(|scope| scope.split_whitespace().map(str::to_owned).collect()),
            serial,
            issued_at: now,
            expires_at: now + TimeDelta::from_std(life).unwrap_or_default(),
        })
    }

    /// Whether rights that were granted meanwhile may be missing in it.
    pub(super) fn is_old(&self, now: Timestamp) -> bool {
        (now - self.issued_at).abs() > RIGHTS_KNOWN_FOR
    }
}

/// The log-in's last outcome.
#[derive(Debug, Default)]
pub(super) struct Session {
    /// Attempts that came to an end, by which a waiter sees that one did while it waited.
    attempts: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    access: Option<Arc<Access>>,
    renew_at: Option<Timestamp>,
    failure: Option<Fault>,
    /// Until when the log-in asked to be left alone.
    closed: Option<(Timestamp, Timestamp)>,
}

/// What will do.
#[derive(Clone, Copy)]
pub(super) enum Want<'a> {
    Valid,
    OtherThan(&'a Access),
    New,
}

impl Session {
    /// An access token that will do: the cached one, or that of `log_in`. Callers at the same time
    /// share one log-in and its outcome.
    pub(super) async fn get<F: Future<Output = Result<Access, Fault>> + Send>(
        &self,
        want: Want<'_>,
        provider: &ProviderName,
        clock: &dyn Clock,
        log_in: impl FnOnce(u64) -> F + Send,
    ) -> Result<Arc<Access>, Fault> {
        let attempts = self.attempts.load(Ordering::Acquire);
        // The one lock that is held over an await: whoever holds it logs in for all who wait.
        // A caller that is dropped meanwhile frees it, and the next one logs in.
        let mut state = self.state.lock().await;
        let now = clock.now();
        if let Some(access) = state.good(want, now) {
            return Ok(access);
        }
        let ended = self.attempts.load(Ordering::Acquire);
        let joined = ended != attempts;
        let held_off = state.closed.is_some_and(|(since, until)| since <= now && now < until);
        if let Some(fault) = state.failure.clone().filter(|_| joined || held_off) {
            return state.still_valid(want, now).ok_or(fault);
        }
        let serial = ended.wrapping_add(1);
        let outcome = log_in(serial).await;
        self.attempts.store(serial, Ordering::Release);
        let now = clock.now();
        match outcome {
            Ok(access) => {
                state.renew_at = Some(renew_at(now, access.expires_at));
                state.failure = None;
                state.closed = None;
                let access = Arc::new(access);
                state.access = Some(access.clone());
                Ok(access)
            }
            Err(fault) => {
                state.failure = Some(fault.clone());
                state.closed = fault
                    .retry_after
                    .and_then(|pause| TimeDelta::from_std(pause).ok())
                    .map(|pause| (now, now + pause));
                let Some(access) = state.still_valid(want, now) else {
                    return Err(fault);
                };
                // The cached token is good for a while yet: use it, and try again soon.
                tracing::warn!(%provider, error = %fault, "{provider}: access token renewal failed; still using the current one: {fault}");
                state.renew_at = Some(renew_at(now, access.expires_at));
                Ok(access)
            }
        }
    }
}

impl State {
    fn good(&self, want: Want<'_>, now: Timestamp) -> Option<Arc<Access>> {
        let access = self.access.as_ref()?;
        let good = match want {
            Want::Valid => self.renew_at.is_some_and(|at| now < at),
            Want::OtherThan(refused) => access.serial != refused.serial && now < access.expires_at,
            Want::New => false,
        };
        good.then(|| access.clone())
    }

    /// What will do after a failed renewal.
    fn still_valid(&self, want: Want<'_>, now: Timestamp) -> Option<Arc<Access>> {
        let access = self.access.as_ref()?;
        let will_do = matches!(want, Want::Valid) && now < access.expires_at;
        will_do.then(|| access.clone())
    }
}

/// At nine tenths of what is left or a minute before the end, whichever is earlier; where that
/// would be at once, at half.
fn renew_at(now: Timestamp, expires_at: Timestamp) -> Timestamp {
    let left = (expires_at - now).to_std().unwrap_or_default();
    let wait = left.mul_f64(0.9).min(left.saturating_sub(RENEWED_AHEAD)).max(left / 2);
    now + TimeDelta::from_std(wait).unwrap_or_default()
}
