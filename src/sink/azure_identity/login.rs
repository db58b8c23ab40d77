//! The log-in: an access token of Microsoft Entra ID by a client secret, a certificate or another issuer's
//! token, or of the machine's own managed identity.

use std::{fs, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use aws_lc_rs::digest::{SHA256, digest};
use aws_smithy_types::base64;
use http::{HeaderMap, HeaderName, HeaderValue};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::Method;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::{
    clock::{Clock, Entropy},
    error::{Class, Code, Fault, system_words},
    http::{Endpoint, Http, Reply, Request, quote},
    secret::{Secret, SecretSource},
    sink::{
        access::{ASSERTION_TYPE, AccessTokens, AskToken, Assertion, Granted, LogIn, granted},
        rules::Effect,
    },
};

/// As in "could not …".
const DOING: &str = "log in to Azure";

/// Where log-ins are, and what access tokens are asked for.
#[derive(Clone, Debug)]
pub struct Authority {
    /// Microsoft Entra ID, or its like of a national cloud.
    pub login: Endpoint,
    /// What is asked for there, without a slash at the end.
    pub resource: String,
}

/// Who we are to Azure.
#[derive(Clone, Debug)]
pub enum Identity {
    /// An application by its secret.
    ClientSecret {
        /// The tenant.
        tenant: String,
        /// The application.
        client: String,
        /// Its secret.
        secret: SecretSource,
    },
    /// An application by its certificate.
    Certificate {
        /// The tenant.
        tenant: String,
        /// The application.
        client: String,
        /// The certificate and its key, in PEM.
        pem: SecretSource,
    },
    /// An application by a token of another issuer.
    Federated {
        /// The tenant.
        tenant: String,
        /// The application.
        client: String,
        /// The file that the token is in.
        file: PathBuf,
    },
    /// The identity of the machine.
    Managed {
        /// Where the machine's host says who it is.
        metadata: Endpoint,
        /// Which identity, where it has several.
        client: Option<String>,
    },
}

/// The log-in of a sink.
#[derive(Debug)]
pub(in crate::sink) struct Login {
    authority: Authority,
    identity: Identity,
    http: Http,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    tokens: AccessTokens,
}

impl Login {
    pub(in crate::sink) fn new(
        authority: Authority,
        identity: Identity,
        http: Http,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self { authority, identity, http, clock, entropy, tokens: AccessTokens::default() }
    }

    /// # If the answer is lost
    /// An access token was made that nobody has; it ends by itself.
    async fn log_in(&self) -> Result<Granted, Fault> {
        let unread = |what: &str, words: String| {
            let words = format!("{what} cannot be read: {words}; nothing was sent");
            fault(Class::Terminal, Code::Io, words)
        };
        match &self.identity {
            Identity::Managed { metadata, client } => {
                self.managed(metadata, client.as_deref()).await
            }
            Identity::ClientSecret { tenant, client, secret } => {
                let secret = secret.read().map_err(|words| unread("the client secret", words))?;
                let to = self.to(tenant)?;
                self.by(&to, client, &[("client_secret", secret.expose())]).await
            }
            Identity::Certificate { tenant, client, pem } => {
                let pem = pem.read().map_err(|words| unread("the certificate", words))?;
                let to = self.to(tenant)?;
                let assertion = self.assertion(&pem, client, &to).map_err(|words| {
                    let words =
                        format!("the certificate cannot be used: {words}; nothing was sent");
                    fault(Class::Terminal, Code::Invalid, words)
                })?;
                self.by_assertion(&to, client, &assertion).await
            }
            Identity::Federated { tenant, client, file } => {
                // It is renewed in its file, so it is read each time.
                let text = fs::read_to_string(file).map(Zeroizing::new);
                let what = format!("the token to log in with, {}", file.display());
                let text = text.map_err(|error| unread(&what, system_words(&error)))?;
                let to = self.to(tenant)?;
                self.by_assertion(&to, client, &Secret::new(text.trim().to_owned())).await
            }
        }
    }

    fn to(&self, tenant: &str) -> Result<Endpoint, Fault> {
        let to = self.authority.login.join(&[tenant, "oauth2", "v2.0", "token"]);
        to.map_err(|error| fault(Class::Terminal, Code::Invalid, error.to_string()))
    }

    async fn by_assertion(
        &self,
        to: &Endpoint,
        client: &str,
        assertion: &Secret,
    ) -> Result<Granted, Fault> {
        let proof =
            [("client_assertion_type", ASSERTION_TYPE), ("client_assertion", assertion.expose())];
        self.by(to, client, &proof).await
    }

    async fn by(
        &self,
        to: &Endpoint,
        client: &str,
        proof: &[(&str, &str)],
    ) -> Result<Granted, Fault> {
        let scope = format!("{}/.default", self.authority.resource);
        let fields = [
            ("grant_type", "client_credentials"),
            ("client_id", client),
            ("scope", scope.as_str()),
        ];
        let fields = [&fields[..], proof].concat();
        let hidden: Vec<&str> = proof.iter().map(|(_, text)| *text).collect();
        let ask = AskToken { doing: DOING, to, fields: &fields };
        ask.send(&self.http, &*self.clock, |reply| refused(to, reply, &hidden)).await
    }

    /// RFC 7523, with what tells the certificate (RFC 7515, `x5t#S256`).
    fn assertion(&self, pem: &Secret, client: &str, to: &Endpoint) -> Result<Secret, String> {
        let (thumbprint, key) = certificate(pem)?;
        let header = Header { x5t_s256: Some(thumbprint), ..Header::new(Algorithm::PS256) };
        let assertion = Assertion { header, key, client, audience: to.url().as_str() };
        let signed = assertion.signed(self.clock.now(), &*self.entropy);
        signed.ok_or_else(|| "its key cannot sign".to_owned())
    }

    /// What the machine's host says of its identity (Microsoft's documentation "How to use managed
    /// identities on an Azure VM to acquire an access token").
    async fn managed(&self, metadata: &Endpoint, client: Option<&str>) -> Result<Granted, Fault> {
        let to = metadata.join(&["metadata", "identity", "oauth2", "token"]);
        let to = to.map_err(|error| fault(Class::Terminal, Code::Invalid, error.to_string()))?;
        let mut to =
            to.query("api-version", "2018-02-01").query("resource", &self.authority.resource);
        if let Some(client) = client {
            to = to.query("client_id", client);
        }
        let mut headers = HeaderMap::new();
        headers.insert(HeaderName::from_static("metadata"), HeaderValue::from_static("true"));
        let request = Request::new(Method::GET, &to).headers(headers);
        let reply = self.http.send(request).await.map_err(|lost| {
            let why = Effect::None.unanswered("", lost);
            let words = format!(
                "the machine's metadata service does not answer: {}; outside Azure use another method",
                why.detail
            );
            fault(why.class, why.code, words)
        })?;
        // It is asked to wait for a minute and more after a boot.
        if matches!(reply.status, 404 | 410) {
            let words = "the metadata service is not ready".to_owned();
            return Err(fault(Class::Transient, Code::Unavailable, words));
        }
        if reply.status != 200 {
            return Err(refused(&to, &reply, &[]));
        }
        granted(DOING, &reply, &*self.clock)
    }
}

#[async_trait]
impl LogIn for Login {
    async fn access(&self, refused: Option<&Secret>) -> Result<Arc<Secret>, Fault> {
        self.tokens.get(refused, &*self.clock, || self.log_in()).await
    }
}

/// What tells the first certificate of a PEM file, and the key in it.
///
/// # Errors
/// In words that quote nothing of it.
pub(super) fn certificate(pem: &Secret) -> Result<(String, EncodingKey), String> {
    let certificate = section(pem.expose(), "CERTIFICATE")
        .ok_or("it holds no certificate in PEM (-----BEGIN CERTIFICATE-----)")?;
    let lines = certificate.lines().filter(|line| !line.starts_with("-----"));
    let der = base64::decode(lines.map(str::trim).collect::<String>())
        .map_err(|_| "its certificate is not in base64")?;
    let thumbprint = base64::encode(digest(&SHA256, &der).as_ref());
    let thumbprint = thumbprint.trim_end_matches('=').replace('+', "-").replace('/', "_");
    let key = section(pem.expose(), "PRIVATE KEY")
        .or_else(|| section(pem.expose(), "RSA PRIVATE KEY"))
        .ok_or("it holds no private key in PEM (-----BEGIN PRIVATE KEY-----)")?;
    // The library's own words may quote what it could not read.
    let key = EncodingKey::from_rsa_pem(key.as_bytes())
        .map_err(|_| "its private key is not an RSA key of at least 2048 bits")?;
    Ok((thumbprint, key))
}

/// The first section of this label.
fn section<'t>(pem: &'t str, label: &str) -> Option<&'t str> {
    let end = format!("-----END {label}-----");
    let from = pem.find(&format!("-----BEGIN {label}-----"))?;
    let rest = pem.get(from..)?;
    rest.get(..rest.find(&end)? + end.len())
}

/// Any answer but a good one.
fn refused(to: &Endpoint, reply: &Reply, hidden: &[&str]) -> Fault {
    #[derive(Deserialize)]
    struct Said {
        error: String,
        #[serde(default)]
        error_description: String,
    }
    let status = reply.status;
    let said = reply.json::<Said>().ok();
    let words = said.as_ref().map(|said| {
        // What follows the first line are numbers by which Microsoft finds the request again.
        let first = said.error_description.lines().next().unwrap_or_default();
        format!("{}: {}", quote(&said.error, hidden), quote(first, hidden))
    });
    let (class, code, way_out) = match status {
        429 => (Class::Transient, Code::Throttled, ""),
        400 | 401 | 403 if said.is_some() => (
            Class::Terminal,
            Code::Unauthorized,
            "; compare tenant, client_id and the credential with the application in Microsoft Entra",
        ),
        300..=399 => (Class::Terminal, Code::Invalid, "a redirect, which Scimitar never follows"),
        400..=499 => (Class::Transient, Code::Unreadable, ""),
        _ => (Class::Transient, Code::Unavailable, ""),
    };
    let words = words.unwrap_or_default();
    let words = format!("{} answered {status} {words}{way_out}", to.host());
    fault(class, code, words).retry_after(reply.retry_after())
}

fn fault(class: Class, code: Code, words: String) -> Fault {
    Fault::new(DOING, class, code, words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_with_its_key_is_refused_in_words() {
        let block = |label: &str, text: &str| {
            format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
        };
        for (pem, words) in [
            ("canary".to_owned(), "holds no certificate"),
            (block("CERTIFICATE", "can*ary"), "is not in base64"),
            (block("CERTIFICATE", "AAAA"), "holds no private key"),
            (block("CERTIFICATE", "AAAA") + &block("PRIVATE KEY", "canary"), "not an RSA key"),
        ] {
            let refused = certificate(&Secret::new(pem)).err().unwrap();
            assert!(refused.contains(words) && !refused.contains("canary"), "{refused}");
        }
    }
}
