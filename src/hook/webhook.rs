//! A POST: a CloudEvent, signed as <https://www.standardwebhooks.com> says, or what a service of its
//! own kind wants.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_lc_rs::hmac;
use aws_smithy_types::base64;
use reqwest::{
    Method,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use zeroize::Zeroizing;

use super::{
    Hook, fault,
    message::Message,
    post::{Address, HeaderText, Post, address},
};
use crate::{
    clock::Clock,
    error::{Class, Code, Fault},
    http::{Endpoint, Http, Reply, Request},
    kind::{Credential, Unread},
    secret::Secret,
    token::HookName,
};

/// What a key starts with, by the specification.
const PREFIX: &str = "whsec_";

/// A key's length in bytes, by the specification.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Why a secret cannot be the value of a header.
pub const NOT_A_HEADER: &str =
    "the secret has characters that are not allowed in a header, such as a line end";

/// How a webhook is reached.
#[derive(Clone, Debug)]
pub struct WebhookSettings {
    /// Its label.
    pub name: HookName,
    /// What is sent where; its secrets are read each time.
    pub post: Post<Credential>,
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
#[error("it must be whsec_ followed by 24 to 64 bytes in base64")]
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

    fn refused(&self, words: impl Into<String>) -> Fault {
        self.fault(Class::Terminal, Code::Invalid, words)
    }

    /// A secret as it is now; `what` is how messages call it.
    async fn read(&self, what: &str, secret: &Credential) -> Result<Secret, Fault> {
        let read = secret.read().await;
        read.map_err(|Unread { class, words }| {
            // A store that is away is no mistake of the configuration.
            let code = if class == Class::Terminal { Code::Invalid } else { Code::Unavailable };
            self.fault(class, code, format!("{what}: {words}"))
        })
    }

    async fn url(&self) -> Result<Endpoint, Fault> {
        match &self.settings.post.url {
            Address::Plain(endpoint) => Ok(endpoint.clone()),
            Address::Kept(secret) => {
                let url = self.read("its `url`", secret).await?;
                address(url.expose()).map_err(|words| self.refused(format!("its `url`: {words}")))
            }
        }
    }

    /// The body and what it is.
    async fn body(&self, message: &Message) -> Result<(&str, Zeroizing<Vec<u8>>), Fault> {
        let Some(body) = &self.settings.post.body else {
            let event = message.cloud_event().to_string().into_bytes();
            return Ok(("application/cloudevents+json", Zeroizing::new(event)));
        };
        let mut secrets = BTreeMap::new();
        for (name, secret) in &body.secrets {
            secrets
                .insert(name.clone(), self.read(&format!("its `secrets.{name}`"), secret).await?);
        }
        let filled =
            body.template.render(message, &secrets).map_err(|words| self.refused(words))?;
        Ok((body.template.content_type(), filled))
    }

    async fn headers(&self, id: &str, body: &[u8]) -> Result<HeaderMap, Fault> {
        let mut headers = HeaderMap::new();
        for (name, text) in &self.settings.post.headers {
            let value = match text {
                HeaderText::Plain(value) => value.clone(),
                HeaderText::Kept(secret) => {
                    let text = self.read(&format!("its header {name}"), secret).await?;
                    let mut value = HeaderValue::from_str(text.expose())
                        .map_err(|_| self.refused(format!("its header {name}: {NOT_A_HEADER}")))?;
                    value.set_sensitive(true);
                    value
                }
            };
            headers.insert(name, value);
        }
        let mut set = |name, text: String| {
            let value =
                HeaderValue::from_str(&text).map_err(|error| self.refused(error.to_string()))?;
            headers.insert(HeaderName::from_static(name), value);
            Ok(())
        };
        // By it a repetition is known, whether or not the request is signed.
        set("webhook-id", id.to_owned())?;
        if let Some(secret) = &self.settings.post.secret {
            let secret = self.read("its secret", secret).await?;
            let key = SigningKey::try_new(&secret).map_err(|error| {
                self.refused(format!("its secret is not a signing key: {error}"))
            })?;
            // When it is sent, not when it happened: receivers refuse what is minutes old.
            let now = self.clock.now().timestamp();
            set("webhook-timestamp", now.to_string())?;
            set("webhook-signature", key.sign(id, now, body))?;
        }
        Ok(headers)
    }

    fn judge(&self, host: &str, reply: &Reply) -> Result<(), Fault> {
        let signed = self.settings.post.secret.is_some();
        let status = reply.status;
        let (class, code, words) = match status {
            200..=299 => return Ok(()),
            300..=399 => {
                let to = reply.redirect().unwrap_or("another address");
                let words = format!(
                    "{host} answered {status}, a redirect to {to}, which Scimitar does not follow: write that address into `url`"
                );
                (Class::Terminal, Code::Invalid, words)
            }
            408 | 429 => (Class::Transient, Code::Throttled, format!("{host} answered {status}")),
            401 | 403 => {
                let ask = if signed {
                    "check that it has the same secret and the right time"
                } else {
                    "check that the key in `url`, `headers` or `secrets` is still valid"
                };
                (Class::Terminal, Code::Unauthorized, format!("{host} answered {status}: {ask}"))
            }
            410 => (
                Class::Terminal,
                Code::Invalid,
                format!(
                    "{host} answered 410: it no longer accepts events; remove the hook from the configuration"
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
        let url = self.url().await?;
        let (kind, body) = self.body(message).await?;
        let headers = self.headers(message.id(), &body).await?;
        let request = Request::new(Method::POST, &url)
            .headers(headers)
            .body(kind, body)
            .within(self.settings.timeout)
            .fresh()
            .without_body();
        match self.http.send(request).await {
            Ok(reply) => self.judge(&url.host(), &reply),
            Err(lost) => Err(self.fault(Class::Transient, lost.code, lost.detail)),
        }
    }
}
