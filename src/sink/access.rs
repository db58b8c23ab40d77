//! Access tokens that a cloud's log-in gives: kept while they are good, shared by all calls.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::TimeDelta;
use jsonwebtoken::{EncodingKey, Header};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

use super::rules::Effect;

use crate::{
    clock::{Clock, Entropy, Timestamp},
    error::{Class, Code, Fault},
    http::{Endpoint, Http, Reply, Request},
    secret::Secret,
};

/// How long an access token is taken to live when its answer does not say.
const LIFE_UNSAID: Duration = Duration::from_secs(600);

/// The longest life that is believed.
const LONGEST_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// How far ahead of its end an access token is replaced, where its life allows.
const AHEAD: TimeDelta = TimeDelta::seconds(120);

/// `client_assertion_type` of RFC 7523.
pub(super) const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How long an assertion is good for, and how far back it is dated for clocks that are a little off, in
/// seconds.
const ASSERTION_LIFE: i64 = 300;
const ASSERTION_BACK: i64 = 10;

/// What a client proves who it is by (RFC 7523).
pub(super) struct Assertion<'a> {
    /// The algorithm, and what tells the key.
    pub(super) header: Header,
    pub(super) key: EncodingKey,
    pub(super) client: &'a str,
    pub(super) audience: &'a str,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    nbf: i64,
    exp: i64,
    jti: String,
}

impl Assertion<'_> {
    /// Signed; `None`: the key does not sign by that algorithm.
    pub(super) fn signed(&self, now: Timestamp, entropy: &dyn Entropy) -> Option<Secret> {
        let now = now.timestamp();
        let claims = Claims {
            iss: self.client,
            sub: self.client,
            aud: self.audience,
            nbf: now - ASSERTION_BACK,
            exp: now + ASSERTION_LIFE,
            jti: format!("{:016x}{:016x}", entropy.bits(), entropy.bits()),
        };
        jsonwebtoken::encode(&self.header, &claims, &self.key).map(Secret::new).ok()
    }
}

/// The answer of a log-in (RFC 6749).
#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    /// A number, or one as text, as metadata services write it.
    #[serde(default)]
    expires_in: Value,
}

/// What a log-in gave.
pub(super) struct Granted {
    token: Arc<Secret>,
    renew_at: Timestamp,
}

/// A log-in at an OAuth token endpoint (RFC 6749), proven by what is in the form.
pub(super) struct AskToken<'a> {
    /// As in "could not …".
    pub(super) doing: &'a str,
    pub(super) to: &'a Endpoint,
    pub(super) fields: &'a [(&'a str, &'a str)],
}

impl AskToken<'_> {
    /// Sends it; `refused` says what any answer but 200 means.
    ///
    /// # If the answer is lost
    /// An access token was made that nobody has; it ends by itself.
    ///
    /// # Errors
    /// When it was not granted.
    pub(super) async fn send(
        &self,
        http: &Http,
        clock: &dyn Clock,
        refused: impl FnOnce(&Reply) -> Fault,
    ) -> Result<Granted, Fault> {
        let request = Request::new(Method::POST, self.to).form(self.fields).fresh();
        let reply = http.send(request).await.map_err(|lost| {
            let why = Effect::None.unanswered(self.doing, lost);
            Fault { detail: format!("{}: {}", self.to.host(), why.detail), ..why }
        })?;
        if reply.status == 200 { granted(self.doing, &reply, clock) } else { Err(refused(&reply)) }
    }
}

/// What the good answer of a log-in grants.
///
/// # Errors
/// When it cannot be read.
pub(super) fn granted(doing: &str, reply: &Reply, clock: &dyn Clock) -> Result<Granted, Fault> {
    let unreadable = |words: String| Fault::new(doing, Class::Transient, Code::Unreadable, words);
    let answer: TokenAnswer = reply.json().map_err(unreadable)?;
    answer.granted(clock.now()).map_err(|words| unreadable(words.to_owned()))
}

/// The last log-in of a service.
#[derive(Default)]
pub(super) struct AccessTokens(tokio::sync::Mutex<Option<Granted>>);

impl fmt::Debug for AccessTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessTokens")
    }
}

impl TokenAnswer {
    /// What it grants.
    ///
    /// # Errors
    /// In words, when it cannot be a token.
    fn granted(self, now: Timestamp) -> Result<Granted, &'static str> {
        let text = self.expires_in.as_str();
        let seconds = self.expires_in.as_f64().or_else(|| text?.parse().ok());
        Granted::of(Secret::new(self.access_token), seconds, now)
    }
}

impl Granted {
    /// A token that lives so many seconds.
    ///
    /// # Errors
    /// In words, when it cannot be a token.
    pub(super) fn of(
        token: Secret,
        seconds: Option<f64>,
        now: Timestamp,
    ) -> Result<Self, &'static str> {
        let graphic = token.expose().bytes().all(|byte| byte.is_ascii_graphic());
        if token.expose().is_empty() || !graphic {
            return Err("the answer contains no valid access token");
        }
        let life = seconds
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .unwrap_or(LIFE_UNSAID)
            .min(LONGEST_LIFE);
        let life = TimeDelta::from_std(life).unwrap_or_default();
        Ok(Self { token: Arc::new(token), renew_at: now + (life - AHEAD).max(life / 2) })
    }

    /// The token.
    #[cfg(feature = "gcp_secret_manager")]
    pub(super) fn token(&self) -> &Secret {
        &self.token
    }
}

impl AccessTokens {
    /// An access token that will do: the last one while it is good and is not the one that was
    /// `refused`, else that of `log_in`. Callers at the same time share one log-in.
    pub(super) async fn get<F: Future<Output = Result<Granted, Fault>> + Send>(
        &self,
        refused: Option<&Secret>,
        clock: &dyn Clock,
        log_in: impl FnOnce() -> F + Send,
    ) -> Result<Arc<Secret>, Fault> {
        // Held over the log-in: whoever has it logs in for all who wait.
        let mut held = self.0.lock().await;
        if let Some(granted) = &*held {
            let other = refused.is_none_or(|refused| refused.expose() != granted.token.expose());
            if other && clock.now() < granted.renew_at {
                return Ok(Arc::clone(&granted.token));
            }
        }
        let granted = log_in().await?;
        let token = Arc::clone(&granted.token);
        *held = Some(granted);
        Ok(token)
    }
}

/// Where access tokens come from.
#[async_trait]
pub(super) trait LogIn: Sync {
    /// What stands in front of an access token in `Authorization`.
    fn scheme(&self) -> &'static str {
        "Bearer"
    }

    /// An access token: the last one while it is good and was not `refused`.
    ///
    /// # Errors
    /// When there is none.
    async fn access(&self, refused: Option<&Secret>) -> Result<Arc<Secret>, Fault>;
}

/// One call with an access token.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) to: &'a Endpoint,
    pub(super) body: Option<&'a Value>,
    pub(super) effect: Effect,
}

impl Call<'_> {
    /// Sends it. An access token that is not accepted is replaced once: who asks is looked at before
    /// anything is done. The one that was used comes back with the answer, so that no words hold it.
    ///
    /// # Errors
    /// When it was not sent, or not answered.
    pub(super) async fn send(
        &self,
        http: &Http,
        login: &dyn LogIn,
        operation: &str,
    ) -> Result<(Reply, Arc<Secret>), Fault> {
        let mut not_accepted = None;
        loop {
            let access = login.access(not_accepted.as_deref()).await.map_err(|fault| {
                // What was wanted says more than that a log-in was.
                let detail = format!("{}: {}", fault.operation, fault.detail);
                Fault { detail, operation: operation.to_owned(), ..fault }
            })?;
            let mut request = Request::new(self.method.clone(), self.to)
                .credentials(login.scheme(), access.expose());
            if let Some(body) = self.body {
                let bytes = Zeroizing::new(body.to_string().into_bytes());
                request = request.body("application/json", bytes);
            }
            if self.effect == Effect::Writes {
                request = request.fresh();
            }
            let sent = http.send(request).await;
            let reply = sent.map_err(|lost| self.effect.unanswered(operation, lost))?;
            if reply.status != 401 || not_accepted.is_some() {
                return Ok((reply, access));
            }
            not_accepted = Some(access);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[tokio::test]
    async fn a_token_is_kept_until_shortly_before_its_end() {
        let now = SystemClock.now();
        let answer = |text: &str| serde_json::from_str::<TokenAnswer>(text).unwrap();
        for (text, renewed) in [
            (r#"{"access_token":"a","expires_in":3600}"#, 3480),
            (r#"{"access_token":"a","expires_in":"3600"}"#, 3480),
            (r#"{"access_token":"a","expires_in":60}"#, 30),
            (r#"{"access_token":"a"}"#, 480),
            (r#"{"access_token":"a","expires_in":1e300}"#, 480),
            (r#"{"access_token":"a","expires_in":-1}"#, 480),
        ] {
            let granted = answer(text).granted(now).unwrap();
            assert_eq!((granted.renew_at - now).num_seconds(), renewed, "{text}");
        }
        for bad in [r#"{"access_token":""}"#, r#"{"access_token":"a b"}"#] {
            assert!(answer(bad).granted(now).is_err());
        }
        let tokens = AccessTokens::default();
        let grant = |token: &str| Granted::of(Secret::new(token.to_owned()), Some(3600.0), now);
        let first = tokens.get(None, &SystemClock, async || Ok(grant("one").unwrap())).await;
        let first = first.unwrap();
        let kept = tokens.get(None, &SystemClock, async || Ok(grant("two").unwrap())).await;
        assert_eq!(kept.unwrap().expose(), "one");
        let other =
            tokens.get(Some(&first), &SystemClock, async || Ok(grant("two").unwrap())).await;
        assert_eq!(other.unwrap().expose(), "two");
        assert!(!format!("{tokens:?}").contains("two"));
    }
}
