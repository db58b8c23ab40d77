//! A POST of a signed CloudEvent: <https://www.standardwebhooks.com> and CloudEvents 1.0 over HTTP.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_lc_rs::hmac;
use aws_smithy_types::base64;
use reqwest::{
    Method,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use zeroize::Zeroizing;

use super::{Hook, fault, message::Message};
use crate::{
    clock::Clock,
    error::{Class, Code, Fault},
    http::{Endpoint, Http, Reply, Request},
    secret::{Secret, SecretSource},
    token::HookName,
};

/// What a key starts with, by the specification.
const PREFIX: &str = "whsec_";

/// A key's length in bytes, by the specification.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// How a webhook is reached.
#[derive(Clone, Debug)]
pub struct WebhookSettings {
    /// Its label.
    pub name: HookName,
    /// Where to.
    pub url: Endpoint,
    /// Holds a [`SigningKey`]; read each time.
    pub secret: SecretSource,
    /// How long one POST may take.
    pub timeout: Duration,
}

/// A webhook.
#[derive(Debug)]
pub struct Webhook {
    settings: WebhookSettings,
    http: Http,
    clock: Arc<dyn Clock>,
}

/// The key that both sides have.
pub struct SigningKey(hmac::Key);

/// A secret that is no key; the words hold nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it must be whsec_ and 24 to 64 bytes in base64")]
pub struct NotAKey;

impl SigningKey {
    /// Reads `whsec_` and base64.
    ///
    /// # Errors
    /// When it is something else.
    pub fn try_new(secret: &Secret) -> Result<Self, NotAKey> {
        let encoded = secret.expose().strip_prefix(PREFIX).ok_or(NotAKey)?;
        let bytes = Zeroizing::new(base64::decode(encoded).map_err(|_| NotAKey)?);
        if !KEY_BYTES.contains(&bytes.len()) {
            return Err(NotAKey);
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    /// The header `webhook-signature` for this message.
    #[must_use]
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(format!("{id}.{timestamp}.").as_bytes());
        context.update(body);
        format!("v1,{}", base64::encode(context.sign()))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl Webhook {
    /// A webhook that is reached by `http`.
    #[must_use]
    pub fn new(settings: WebhookSettings, http: Http, clock: Arc<dyn Clock>) -> Self {
        Self { settings, http, clock }
    }

    fn fault(&self, class: Class, code: Code, detail: impl Into<String>) -> Fault {
        fault(&self.settings.name, class, code, detail)
    }

    fn headers(&self, id: &str, body: &[u8]) -> Result<HeaderMap, Fault> {
        let refused = |words: String| self.fault(Class::Terminal, Code::Invalid, words);
        let secret =
            self.settings.secret.read().map_err(|words| refused(format!("its secret: {words}")))?;
        let key = SigningKey::try_new(&secret)
            .map_err(|error| refused(format!("its secret is no signing key: {error}")))?;
        // When it is sent, not when it happened: receivers refuse what is minutes old.
        let now = self.clock.now().timestamp();
        let signature = key.sign(id, now, body);
        let texts = [
            ("webhook-id", id.to_owned()),
            ("webhook-timestamp", now.to_string()),
            ("webhook-signature", signature),
        ];
        let mut headers = HeaderMap::new();
        for (name, text) in texts {
            let value = HeaderValue::from_str(&text).map_err(|error| refused(error.to_string()))?;
            headers.insert(HeaderName::from_static(name), value);
        }
        Ok(headers)
    }

    fn judge(&self, reply: &Reply) -> Result<(), Fault> {
        let host = self.settings.url.host();
        let status = reply.status;
        let (class, code, words) = match status {
            200..=299 => return Ok(()),
            300..=399 => {
                let to = reply.redirect().unwrap_or("another address");
                let words = format!(
                    "{host} answered {status}, a redirect to {to}, which is not followed: write that address into `url`"
                );
                (Class::Terminal, Code::Invalid, words)
            }
            408 | 429 => (Class::Transient, Code::Throttled, format!("{host} answered {status}")),
            401 | 403 => (
                Class::Terminal,
                Code::Unauthorized,
                format!(
                    "{host} answered {status}: does it have the same secret, and the right time?"
                ),
            ),
            410 => (
                Class::Terminal,
                Code::Invalid,
                format!(
                    "{host} answered 410: it wants no more; take the hook out of the configuration"
                ),
            ),
            400..=499 => (Class::Terminal, Code::Invalid, format!("{host} answered {status}")),
            _ => (Class::Transient, Code::Unavailable, format!("{host} answered {status}")),
        };
        Err(self.fault(class, code, words).retry_after(reply.retry_after()))
    }
}

#[async_trait]
impl Hook for Webhook {
    fn name(&self) -> &HookName {
        &self.settings.name
    }

    fn longest(&self) -> Duration {
        self.settings.timeout
    }

    async fn run(&self, message: &Message) -> Result<(), Fault> {
        let body = message.cloud_event().to_string().into_bytes();
        let headers = self.headers(message.id(), &body)?;
        let request = Request::new(Method::POST, &self.settings.url)
            .headers(headers)
            .body("application/cloudevents+json", Zeroizing::new(body))
            .within(self.settings.timeout)
            .fresh()
            .without_body();
        match self.http.send(request).await {
            Ok(reply) => self.judge(&reply),
            Err(lost) => Err(self.fault(Class::Transient, lost.code, lost.detail)),
        }
    }
}
