//! The log-in: an access token by a service account's key, a workload identity federation, or the
//! metadata server.

use std::{fs, sync::Arc};

use async_trait::async_trait;
use http::{HeaderMap, HeaderName, HeaderValue};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::credentials::{self, Credentials, Federated, ServiceAccount};
use crate::{
    clock::{Clock, Timestamp, parse_timestamp},
    error::{Class, Code, Fault, system_words},
    http::{Endpoint, Http, Reply, Request, quote},
    secret::{Secret, SecretSource},
    sink::{
        access::{AccessTokens, AskToken, Granted, LogIn, granted},
        rules::Effect,
    },
};

/// As in "could not …".
const DOING: &str = "log in to Google Cloud";

/// What an access token is asked for; roles say what may be done with it.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// The longest life of an assertion, in seconds (Google's documentation "Using OAuth 2.0 for Server to
/// Server Applications").
const LIFE: i64 = 3600;

/// How far back an assertion is dated, for clocks that are a little off.
const BACK: i64 = 10;

/// Who we are to Google.
#[derive(Clone, Debug)]
pub enum Origin {
    /// Who the metadata server says.
    Metadata(Endpoint),
    /// Who a file of credentials says.
    Credentials(SecretSource),
}

/// The log-in of a project.
#[derive(Debug)]
pub(super) struct Login {
    origin: Origin,
    http: Http,
    clock: Arc<dyn Clock>,
    tokens: AccessTokens,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    scope: &'a str,
    aud: &'a str,
    iat: i64,
    exp: i64,
}

/// An answer of the IAM Credentials API.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Impersonated {
    access_token: String,
    expire_time: String,
}

impl Login {
    pub(super) fn new(origin: Origin, http: Http, clock: Arc<dyn Clock>) -> Self {
        Self { origin, http, clock, tokens: AccessTokens::default() }
    }

    /// # If the answer is lost
    /// An access token was made that nobody has; it ends by itself.
    async fn log_in(&self) -> Result<Granted, Fault> {
        match &self.origin {
            Origin::Metadata(base) => self.by_metadata(base).await,
            Origin::Credentials(source) => {
                let unusable = |words: String| {
                    let words =
                        format!("the credentials cannot be used: {words}; nothing was sent");
                    fault(Class::Terminal, Code::Invalid, words)
                };
                let text = source.read().map_err(unusable)?;
                match credentials::read(&text).map_err(unusable)? {
                    Credentials::Key(account) => self.by_key(&account).await,
                    Credentials::Federated(federated) => self.federated(&federated).await,
                }
            }
        }
    }

    async fn by_metadata(&self, base: &Endpoint) -> Result<Granted, Fault> {
        let path = ["computeMetadata", "v1", "instance", "service-accounts", "default", "token"];
        let to = base
            .join(&path)
            .map_err(|error| fault(Class::Terminal, Code::Invalid, error.to_string()))?;
        let mut headers = HeaderMap::new();
        let flavour = HeaderName::from_static("metadata-flavor");
        headers.insert(flavour, HeaderValue::from_static("Google"));
        let request = Request::new(Method::GET, &to).headers(headers);
        let reply = self.http.send(request).await.map_err(|lost| {
            let why = Effect::None.unanswered("", lost);
            let words = format!(
                "the metadata server does not answer: {}; outside Google Cloud write credentials = {{ file = \
                 \"…\" }}",
                why.detail
            );
            fault(why.class, why.code, words)
        })?;
        // Whoever else answers at that address has no such header.
        if reply.text("metadata-flavor") != Some("Google") {
            let words = "the answer at the metadata server's address is not from Google; write credentials = \
                         { file = \"…\" }";
            return Err(fault(Class::Terminal, Code::Unreadable, words.to_owned()));
        }
        if reply.status == 404 {
            let words = "the metadata server knows no service account: attach one to the instance, or bind \
                         the Kubernetes service account to one";
            return Err(fault(Class::Terminal, Code::Unauthorized, words.to_owned()));
        }
        if reply.status != 200 {
            return Err(refused(&to, &reply, &[]));
        }
        granted(DOING, &reply, &*self.clock)
    }

    /// RFC 7523: an assertion that is signed with the service account's key.
    async fn by_key(&self, account: &ServiceAccount) -> Result<Granted, Fault> {
        let unsigned = || {
            let words = "the credentials' private_key cannot sign; nothing was sent".to_owned();
            fault(Class::Terminal, Code::Invalid, words)
        };
        let key = EncodingKey::from_rsa_pem(account.key.expose().as_bytes());
        let key = key.map_err(|_| unsigned())?;
        let iat = self.clock.now().timestamp() - BACK;
        let claims = Claims {
            iss: &account.email,
            scope: SCOPE,
            aud: account.token.url().as_str(),
            iat,
            exp: iat + LIFE,
        };
        let header = Header { kid: account.key_id.clone(), ..Header::new(Algorithm::RS256) };
        let assertion = jsonwebtoken::encode(&header, &claims, &key).map_err(|_| unsigned())?;
        let assertion = Zeroizing::new(assertion);
        let fields = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
            ("assertion", assertion.as_str()),
        ];
        self.by_form(&account.token, &fields, &assertion).await
    }

    /// RFC 8693: a token of another issuer for one of Google's, and that for a service account's where one
    /// is acted for.
    async fn federated(&self, federated: &Federated) -> Result<Granted, Fault> {
        let subject = subject(federated).map_err(|words| {
            let file = federated.file.display();
            let words = format!("the token to log in with, {file}: {words}; nothing was sent");
            fault(Class::Terminal, Code::Io, words)
        })?;
        let fields = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("audience", federated.audience.as_str()),
            ("scope", SCOPE),
            ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ("subject_token_type", federated.token_type.as_str()),
            ("subject_token", subject.expose()),
        ];
        let granted = self.by_form(&federated.token, &fields, subject.expose()).await?;
        let Some(to) = &federated.impersonate else { return Ok(granted) };
        let token = granted.token();
        let body = json!({ "scope": [SCOPE], "lifetime": "3600s" });
        let request = Request::new(Method::POST, to).bearer(token.expose()).json(&body);
        let reply = self.send(to, request).await?;
        if reply.status != 200 {
            return Err(refused(to, &reply, &[token.expose()]));
        }
        let answer: Impersonated = reply.json().map_err(unreadable)?;
        let now = self.clock.now();
        let ends: Option<Timestamp> = parse_timestamp(&answer.expire_time);
        let seconds =
            ends.and_then(|ends| (ends - now).to_std().ok()).map(|left| left.as_secs_f64());
        Granted::of(Secret::new(answer.access_token), seconds, now)
            .map_err(|words| unreadable(words.to_owned()))
    }

    async fn send(&self, to: &Endpoint, request: Request<'_>) -> Result<Reply, Fault> {
        self.http.send(request).await.map_err(|lost| {
            let why = Effect::None.unanswered("", lost);
            fault(why.class, why.code, format!("{}: {}", to.host(), why.detail))
        })
    }

    /// What is sent in this form is proven by a `proof` in it.
    async fn by_form(
        &self,
        to: &Endpoint,
        fields: &[(&str, &str)],
        proof: &str,
    ) -> Result<Granted, Fault> {
        let ask = AskToken { doing: DOING, to, fields };
        ask.send(&self.http, &*self.clock, |reply| refused(to, reply, &[proof])).await
    }
}

#[async_trait]
impl LogIn for Login {
    async fn access(&self, refused: Option<&Secret>) -> Result<Arc<Secret>, Fault> {
        self.tokens.get(refused, &*self.clock, || self.log_in()).await
    }
}

/// The other issuer's token. It is renewed in its file, so it is read each time.
fn subject(federated: &Federated) -> Result<Secret, String> {
    let text = fs::read_to_string(&federated.file).map(Zeroizing::new);
    let text = text.map_err(|error| system_words(&error))?;
    let token = match &federated.field {
        None => text.trim().to_owned(),
        Some(field) => {
            let read: Value =
                serde_json::from_str(&text).map_err(|_| "it is not JSON".to_owned())?;
            let token = read[field].as_str();
            token.ok_or_else(|| "it lacks subject_token_field_name".to_owned())?.to_owned()
        }
    };
    if token.is_empty() { Err("it is empty".to_owned()) } else { Ok(Secret::new(token)) }
}

/// Any answer but a good one.
fn refused(to: &Endpoint, reply: &Reply, hidden: &[&str]) -> Fault {
    #[derive(Deserialize)]
    struct Said {
        error: Value,
        #[serde(default)]
        error_description: String,
    }
    let status = reply.status;
    let said = reply.json::<Said>().ok();
    let (name, words) = match &said {
        None => ("", ""),
        Some(Said { error: Value::String(name), error_description }) => {
            (name.as_str(), error_description.as_str())
        }
        // As the other APIs of Google say it.
        Some(Said { error, .. }) => (
            error["status"].as_str().unwrap_or_default(),
            error["message"].as_str().unwrap_or_default(),
        ),
    };
    let words = [quote(name, hidden), quote(words, hidden)];
    let words: Vec<&str> = words.iter().map(String::as_str).filter(|it| !it.is_empty()).collect();
    let said_so = said.is_some();
    let (class, code, way_out) = match status {
        429 => (Class::Transient, Code::Throttled, ""),
        400 | 401 | 403 | 404 if said_so => (
            Class::Terminal,
            Code::Unauthorized,
            "; check that the key or the federation is not deleted or disabled, and that this machine's clock \
             is right",
        ),
        300..=399 => (Class::Terminal, Code::Invalid, "; a redirect, which Scimitar never follows"),
        400..=499 => (Class::Transient, Code::Unreadable, ""),
        _ => (Class::Transient, Code::Unavailable, ""),
    };
    let words = format!("{} answered {status} {}{way_out}", to.host(), words.join(": "));
    fault(class, code, words).retry_after(reply.retry_after())
}

fn unreadable(words: String) -> Fault {
    fault(Class::Transient, Code::Unreadable, words)
}

fn fault(class: Class, code: Code, words: String) -> Fault {
    Fault::new(DOING, class, code, words)
}
