//! The log-in: how a token is had, kept alive, and had anew.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::TimeDelta;
use rustify::endpoint::Endpoint as Call;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Mutex;
use vaultrs::api::{
    auth::{
        approle::requests::LoginWithApproleRequest,
        kubernetes::requests::LoginWithKubernetesRequest, oidc::requests::JWTLoginRequest,
    },
    token::requests::{LookupTokenSelfRequest, RenewTokenSelfRequest, RevokeTokenSelfRequest},
};
use zeroize::Zeroizing;

use super::{
    answers::{self, Effect},
    server::VaultServer,
    wire::{Raw, With, fits_a_header},
};
use crate::{
    clock::Timestamp,
    error::{Class, Code, Fault},
    http::Reply,
    secret::{Secret, SecretSource},
};

/// How soon a renewal is tried again, at the soonest.
const SOONEST: TimeDelta = TimeDelta::seconds(1);

/// How the token is had.
#[derive(Clone, Debug)]
pub enum Method {
    /// The token itself; it is renewed where it can be.
    Token(SecretSource),
    /// AppRole.
    Approle {
        /// The role's id.
        role_id: String,
        /// Its secret id, or the token that wraps one.
        secret_id: SecretSource,
        /// Whether it is wrapped: then it is taken out once, and kept in memory alone.
        wrapped: bool,
    },
    /// A service account's token.
    Kubernetes {
        /// The role.
        role: String,
        /// The service account's token.
        jwt: SecretSource,
    },
    /// A signed JSON Web Token.
    Jwt {
        /// The role; `None`: the mount's default.
        role: Option<String>,
        /// The JSON Web Token.
        jwt: SecretSource,
    },
    /// The certificate of the TLS connection.
    Cert {
        /// The role; `None`: any that fits.
        role: Option<String>,
    },
}

/// How to log in.
#[derive(Clone, Debug)]
pub struct Auth {
    /// How the token is had.
    pub method: Method,
    /// Where the method is mounted; the method's own name where nothing else is said.
    pub mount: String,
}

/// A token, good until it is refused or ends.
pub(super) struct Access {
    pub(super) token: Secret,
    serial: u64,
    /// What it was given for in the first place; `None`: for ever.
    life: Option<Duration>,
    ends_at: Option<Timestamp>,
    renewable: bool,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("ends_at", &self.ends_at).finish_non_exhaustive()
    }
}

/// The current token, and how the last attempt ended.
#[derive(Debug, Default)]
pub(super) struct Session {
    attempts: AtomicU64,
    keeper: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    access: Option<Arc<Access>>,
    renew_at: Option<Timestamp>,
    failure: Option<Fault>,
    /// What was unwrapped: the wrapping token works once.
    unwrapped: Option<Unwrapped>,
}

struct Unwrapped {
    /// Which wrapping token it came out of: another one is another secret id.
    of: Secret,
    secret_id: Secret,
}

impl fmt::Debug for Unwrapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unwrapped")
    }
}

#[derive(Deserialize)]
struct LoggedIn {
    auth: Option<Granted>,
}

#[derive(Deserialize)]
struct Granted {
    client_token: String,
    #[serde(default)]
    lease_duration: u64,
    #[serde(default)]
    renewable: bool,
}

#[derive(Deserialize)]
struct Data<T> {
    data: T,
}

#[derive(Deserialize)]
struct Looked {
    #[serde(default)]
    ttl: u64,
    #[serde(default)]
    renewable: bool,
}

#[derive(Deserialize)]
struct SecretId {
    secret_id: String,
}

impl VaultServer {
    /// A token: the cached one while it is good, else a new one.
    pub(super) async fn access(self: &Arc<Self>) -> Result<Arc<Access>, Fault> {
        self.get(None).await
    }

    /// Another token than the one that was just refused.
    pub(super) async fn replace(self: &Arc<Self>, refused: &Access) -> Result<Arc<Access>, Fault> {
        self.get(Some(refused)).await
    }

    /// Callers at the same time share one attempt and its outcome.
    async fn get(self: &Arc<Self>, refused: Option<&Access>) -> Result<Arc<Access>, Fault> {
        let attempts = self.session.attempts.load(Ordering::Acquire);
        // Held over an await: whoever holds it logs in for all who wait.
        let mut state = self.session.state.lock().await;
        let now = self.clock.now();
        let good = state.access.clone().filter(|access| {
            access.ends_at.is_none_or(|end| now < end)
                && refused.is_none_or(|refused| refused.serial != access.serial)
        });
        if let Some(access) = good {
            if state.renew_at.is_some_and(|at| at <= now) {
                self.prolong(&mut state, &access).await;
            }
            // What took its place is at least as good.
            return Ok(state.access.clone().unwrap_or(access));
        }
        let ended = self.session.attempts.load(Ordering::Acquire);
        if let Some(fault) = state.failure.clone().filter(|_| ended != attempts) {
            return Err(fault);
        }
        self.log_in_anew(&mut state).await
    }

    async fn log_in_anew(self: &Arc<Self>, state: &mut State) -> Result<Arc<Access>, Fault> {
        let serial = self.session.attempts.load(Ordering::Acquire).wrapping_add(1);
        let outcome = self.log_in(state, serial).await;
        self.session.attempts.store(serial, Ordering::Release);
        match outcome {
            Ok(access) => {
                let access = Arc::new(access);
                state.renew_at = self.renew_at(&access);
                state.access = Some(access.clone());
                state.failure = None;
                if state.renew_at.is_some() && !self.session.keeper.swap(true, Ordering::AcqRel) {
                    tokio::spawn(keeper(Arc::downgrade(self)));
                }
                Ok(access)
            }
            Err(fault) => {
                state.failure = Some(fault.clone());
                Err(fault)
            }
        }
    }

    /// At two thirds of what is left, a little earlier so that not everybody comes at once.
    fn renew_at(&self, access: &Access) -> Option<Timestamp> {
        let now = self.clock.now();
        let left = access.ends_at? - now;
        if left <= TimeDelta::zero() {
            return None;
        }
        let share = i32::try_from(self.entropy.bits() % 100).unwrap_or(0);
        let at = now + left * 2 / 3 - left * share / 2000;
        Some(at.max(now + SOONEST))
    }

    /// Renews the token, or has a new one where that cannot be; a token that still lives is kept
    /// whatever comes of it.
    async fn prolong(self: &Arc<Self>, state: &mut State, access: &Arc<Access>) {
        let renewed = if access.renewable { self.renew(access).await } else { None };
        if let Some(renewed) = renewed {
            let renewed = Arc::new(renewed);
            state.renew_at = self.renew_at(&renewed);
            state.access = Some(renewed);
            return;
        }
        if matches!(self.settings.auth.method, Method::Token(_)) && !access.renewable {
            // Nothing but another token in its place can help; it is read again when this ends.
            state.renew_at = None;
            return;
        }
        if let Err(fault) = self.log_in_anew(state).await {
            tracing::warn!(sink = %self.settings.sink, "renewing the log-in: {fault}");
            state.renew_at = self.renew_at(access);
        }
    }

    /// `None` when it could not be renewed, or not by much: the end of its longest life is near.
    async fn renew(&self, access: &Access) -> Option<Access> {
        let call = RenewTokenSelfRequest::builder().build().ok()?;
        let reply = self.ask("renew the token", call, Some(&access.token)).await.ok()?;
        let granted = reply.json::<LoggedIn>().ok().filter(|_| reply.status == 200)?.auth?;
        let now = self.clock.now();
        let life = Duration::from_secs(granted.lease_duration);
        let enough = access.life.is_some_and(|first| life >= first / 2);
        enough.then(|| Access {
            token: access.token.clone(),
            serial: access.serial,
            life: access.life,
            ends_at: end(now, life),
            renewable: granted.renewable,
        })
    }

    async fn log_in(&self, state: &mut State, serial: u64) -> Result<Access, Fault> {
        let mount = &self.settings.auth.mount;
        match &self.settings.auth.method {
            Method::Token(source) => self.token(&self.secret("token", source)?, serial).await,
            Method::Approle { role_id, secret_id, wrapped } => {
                let secret_id = self.secret("secret_id", secret_id)?;
                let secret_id =
                    if *wrapped { self.unwrap(state, secret_id).await? } else { secret_id };
                let call = LoginWithApproleRequest {
                    mount: mount.clone(),
                    role_id: role_id.clone(),
                    secret_id: secret_id.expose().to_owned(),
                };
                self.granted(call, serial).await
            }
            Method::Kubernetes { role, jwt } => {
                let call = LoginWithKubernetesRequest {
                    mount: mount.clone(),
                    role: role.clone(),
                    jwt: self.secret("jwt", jwt)?.expose().to_owned(),
                };
                self.granted(call, serial).await
            }
            Method::Jwt { role, jwt } => {
                let call = JWTLoginRequest {
                    mount: mount.clone(),
                    role: role.clone(),
                    jwt: self.secret("jwt", jwt)?.expose().to_owned(),
                };
                self.granted(call, serial).await
            }
            Method::Cert { role } => {
                // The crate's own call names the role in a field that the server does not read.
                let body = role.as_ref().map_or_else(|| json!({}), |role| json!({ "name": role }));
                let bytes = Zeroizing::new(body.to_string().into_bytes());
                self.granted(Raw::post(format!("auth/{mount}/login"), bytes), serial).await
            }
        }
    }

    /// A secret from where it is kept, without what a text file has around it.
    fn secret(&self, what: &str, source: &SecretSource) -> Result<Secret, Fault> {
        let failed = |words: String| {
            Fault::new(self.logging_in(), Class::Terminal, Code::Unauthorized, words)
        };
        let text = source.read().map_err(|words| failed(format!("`{what}`: {words}")))?;
        let text = text.expose().trim();
        if text.is_empty() || !fits_a_header(text) {
            return Err(failed(format!(
                "`{what}` is empty or holds characters that no header may hold"
            )));
        }
        Ok(Secret::new(text.to_owned()))
    }

    /// A token that was given to us: how long it lives is asked.
    async fn token(&self, token: &Secret, serial: u64) -> Result<Access, Fault> {
        let call = LookupTokenSelfRequest {};
        let reply = self.ask("look up the token", call, Some(token)).await?;
        let looked = match reply.status {
            200 => reply
                .json::<Data<Looked>>()
                .map_err(|words| answers::unreadable(&self.logging_in(), &words, Effect::None))?,
            403 if answers::errors(&reply).is_some() => {
                return Err(self.unauthorized(
                    "the token is not known (any more), or its policies keep it from \
                     auth/token/lookup-self, which the policy \"default\" grants",
                ));
            }
            _ => return Err(answers::refused(&self.logging_in(), &reply, Effect::None)),
        };
        let life = Duration::from_secs(looked.data.ttl);
        Ok(Access {
            token: token.clone(),
            serial,
            life: Some(life).filter(|life| !life.is_zero()),
            ends_at: end(self.clock.now(), life),
            renewable: looked.data.renewable,
        })
    }

    /// Takes the secret id out of its wrapping, once.
    ///
    /// # If the answer is lost
    /// The secret id is lost with it: the wrapping token works no second time.
    async fn unwrap(&self, state: &mut State, wrapping: Secret) -> Result<Secret, Fault> {
        if let Some(known) = &state.unwrapped
            && known.of.expose() == wrapping.expose()
        {
            return Ok(known.secret_id.clone());
        }
        let call = Raw::post("sys/wrapping/unwrap".to_owned(), Zeroizing::default());
        let reply = self.ask("unwrap the secret id", call, Some(&wrapping)).await?;
        let said = reply.status;
        if matches!(said, 400 | 403) && answers::errors(&reply).is_some() {
            return Err(self.unauthorized(
                "the wrapping token is not valid: it has expired, or somebody has used it. Unless \
                 an earlier answer to this process was lost, that is a POSSIBLE INTERCEPTION of \
                 the secret id: revoke it, find out who took it, and issue a new one",
            ));
        }
        if said != 200 {
            return Err(answers::refused(&self.logging_in(), &reply, Effect::None));
        }
        let inside: Data<SecretId> = reply
            .json()
            .map_err(|_| self.unauthorized("what was wrapped is no AppRole secret id"))?;
        let secret_id = Secret::new(inside.data.secret_id);
        state.unwrapped = Some(Unwrapped { of: wrapping, secret_id: secret_id.clone() });
        Ok(secret_id)
    }

    async fn granted<E: Call>(&self, call: E, serial: u64) -> Result<Access, Fault> {
        let reply = self.ask(&self.logging_in(), call, None).await?;
        if matches!(reply.status, 400 | 401 | 403)
            && let Some(errors) = answers::errors(&reply)
        {
            let words = crate::http::quote(&errors.join("; "), &[]);
            return Err(self.unauthorized(&format!("answered {}: {words}", reply.status)));
        }
        if reply.status != 200 {
            return Err(answers::refused(&self.logging_in(), &reply, Effect::None));
        }
        let unreadable = |words: &str| answers::unreadable(&self.logging_in(), words, Effect::None);
        let granted = reply.json::<LoggedIn>().map_err(|words| unreadable(&words))?.auth;
        let granted = granted.ok_or_else(|| unreadable("the answer grants no token"))?;
        let token = Secret::new(granted.client_token);
        if token.expose().is_empty() || !fits_a_header(token.expose()) {
            return Err(unreadable("the token that was granted cannot be one"));
        }
        let life = Duration::from_secs(granted.lease_duration);
        Ok(Access {
            token,
            serial,
            life: Some(life).filter(|life| !life.is_zero()),
            ends_at: end(self.clock.now(), life),
            renewable: granted.renewable,
        })
    }

    async fn ask<E: Call>(
        &self,
        operation: &str,
        call: E,
        token: Option<&Secret>,
    ) -> Result<Arc<Reply>, Fault> {
        let wire = self.wire()?;
        let with = With { token, index: None };
        wire.call(call, with)
            .await
            .map_err(|lost| answers::unanswered(operation, lost, Effect::None))
    }

    fn logging_in(&self) -> String {
        format!("log in to {}", self.settings.address.host())
    }

    fn unauthorized(&self, words: &str) -> Fault {
        Fault::new(self.logging_in(), Class::Terminal, Code::Unauthorized, words)
    }

    /// Gives the token back at the end of the process; one that was given to us stays.
    pub async fn close(&self) {
        let access = self.session.state.lock().await.access.take();
        let Some(access) = access else { return };
        if matches!(self.settings.auth.method, Method::Token(_)) {
            return;
        }
        let call = RevokeTokenSelfRequest {};
        match self.ask("revoke the token", call, Some(&access.token)).await {
            Ok(reply) if reply.status == 204 || reply.status == 200 => {}
            Ok(reply) => {
                let fault = answers::refused("give the log-in's token back", &reply, Effect::None);
                tracing::debug!(sink = %self.settings.sink, "{fault}");
            }
            Err(fault) => tracing::debug!(sink = %self.settings.sink, "{fault}"),
        }
    }

    /// Renews when it is due, and says when it is next.
    async fn tend(self: &Arc<Self>) -> Option<Timestamp> {
        let mut state = self.session.state.lock().await;
        let due = state.renew_at?;
        if due <= self.clock.now() {
            let access = state.access.clone()?;
            self.prolong(&mut state, &access).await;
        }
        state.renew_at
    }
}

/// [`keep`], which logs in and so may start another one, as a future of a known type.
fn keeper(server: Weak<VaultServer>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(keep(server))
}

/// Keeps the token alive between calls, as long as there is a server to keep it for: a wrapped
/// secret id and a given token are worth nothing once it has ended.
async fn keep(server: Weak<VaultServer>) {
    while let Some(strong) = server.upgrade() {
        let Some(due) = strong.tend().await else {
            strong.session.keeper.store(false, Ordering::Release);
            return;
        };
        let clock = strong.clock.clone();
        drop(strong);
        clock.sleep_until(due).await;
    }
}

fn end(now: Timestamp, life: Duration) -> Option<Timestamp> {
    // A life of nothing is one without end.
    let life = TimeDelta::from_std(life).ok().filter(|life| !life.is_zero())?;
    now.checked_add_signed(life)
}
