//! The log-in: the ways to a token.

use std::{collections::BTreeMap, fs, path::PathBuf, sync::Arc, time::Duration};

use aws_smithy_types::base64;
use rustify::endpoint::Endpoint as Call;
use serde::{Deserialize, Serialize};
use serde_json::json;
use vaultrs::api::{
    auth::{
        approle::requests::LoginWithApproleRequest,
        kubernetes::requests::LoginWithKubernetesRequest, oidc::requests::JWTLoginRequest,
    },
    token::requests::LookupTokenSelfRequest,
};
use zeroize::Zeroizing;

use super::{
    access::{Access, State, Unwrapped},
    answer::Answer,
    answers::{self, Effect},
    auth::Method,
    server::VaultServer,
    wire::{Raw, With, fits_a_header},
};
use crate::{
    aws_identity::SignedIdentity,
    error::{Class, Code, Fault},
    secret::{Secret, SecretSource},
};

/// Where Kubernetes puts a service account's token; every user of the container can read it.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// The header that binds a signed request to one server (Vault's documentation of the AWS method).
const SERVER_ID: &str = "x-vault-aws-iam-server-id";

/// A file that everybody may read, as certificates are.
pub(super) fn readable(path: PathBuf) -> SecretSource {
    SecretSource::new(move || {
        let read = fs::read_to_string(&path).map(Zeroizing::new);
        match read {
            Ok(text) => Ok(Secret::new(text.trim().to_owned())),
            Err(error) => Err(format!("{}: {error}", path.display())),
        }
    })
}

/// The body of a log-in by a signed request, as the server takes it apart.
fn aws_login(role: Option<&str>, signed: &SignedIdentity) -> Zeroizing<Vec<u8>> {
    #[derive(Serialize)]
    struct Body<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        role: Option<&'a str>,
        iam_http_request_method: &'a str,
        iam_request_url: String,
        iam_request_body: String,
        iam_request_headers: &'a str,
    }
    let headers: BTreeMap<&str, [&str; 1]> =
        signed.headers.iter().map(|(name, value)| (name.as_str(), [value.as_str()])).collect();
    // Maps of text cannot fail to be written.
    let headers = Zeroizing::new(serde_json::to_vec(&headers).unwrap_or_default());
    let headers = Zeroizing::new(base64::encode(headers.as_slice()));
    let body = Body {
        role,
        iam_http_request_method: signed.method,
        iam_request_url: base64::encode(&signed.url),
        iam_request_body: base64::encode(signed.body),
        iam_request_headers: &headers,
    };
    Zeroizing::new(serde_json::to_vec(&body).unwrap_or_default())
}

#[derive(Deserialize)]
pub(super) struct LoggedIn {
    pub(super) auth: Option<Granted>,
}

#[derive(Deserialize)]
pub(super) struct Granted {
    client_token: String,
    #[serde(default)]
    pub(super) lease_duration: u64,
    #[serde(default)]
    pub(super) renewable: bool,
    #[serde(default)]
    metadata: Option<BTreeMap<String, String>>,
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
    /// Logs in; where the log-in is by a token, looks that up.
    pub(super) async fn log_in(&self, state: &mut State, serial: u64) -> Result<Access, Fault> {
        let mount = &self.settings.auth.mount;
        match &self.settings.auth.method {
            Method::Token(source) => self.token(&self.secret("token", source)?, serial).await,
            Method::Approle { role_id, secret_id, wrapped, .. } => {
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
                let jwt = match jwt {
                    Some(jwt) => self.secret("jwt", jwt)?,
                    None => self.secret("jwt", &readable(SERVICE_ACCOUNT.into()))?,
                };
                let call = LoginWithKubernetesRequest {
                    mount: mount.clone(),
                    role: role.clone(),
                    jwt: jwt.expose().to_owned(),
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
            Method::AwsIam { role, header_value, identity } => {
                let server_id = header_value.as_deref().map(|value| (SERVER_ID, value));
                let signed = identity.signed(&self.logging_in(), server_id.as_slice()).await?;
                let bytes = aws_login(role.as_deref(), &signed);
                self.granted(Raw::post(format!("auth/{mount}/login"), bytes), serial).await
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
    pub(super) fn secret(&self, what: &str, source: &SecretSource) -> Result<Secret, Fault> {
        let failed = |words: String| {
            Fault::new(self.logging_in(), Class::Terminal, Code::Unauthorized, words)
        };
        let text = source.read().map_err(|words| failed(format!("`{what}`: {words}")))?;
        let text = text.expose().trim();
        if text.is_empty() || !fits_a_header(text) {
            return Err(failed(format!(
                "`{what}` is empty or has characters that are not allowed in a header"
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
                    "the token is not (or no longer) known, or its policies do not grant \"read\" on \
                     auth/token/lookup-self, as the policy \"default\" does",
                ));
            }
            _ => return Err(answers::refused(&self.logging_in(), &reply, Effect::None)),
        };
        let life = Duration::from_secs(looked.data.ttl);
        Ok(Access::new(token.clone(), serial, self.clock.now(), life, looked.data.renewable))
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
                "the wrapping token is not valid: it has expired, or somebody has used it. It \
                 works once, so each start of scimitar needs a new one. Unless an earlier start \
                 used it, or the answer to this one was lost, this is a POSSIBLE INTERCEPTION of \
                 the secret id: revoke it, find out who used it, and issue a new one",
            ));
        }
        if said != 200 {
            return Err(answers::refused(&self.logging_in(), &reply, Effect::None));
        }
        if let Err(lost) = reply.body() {
            return Err(self.unauthorized(&format!(
                "the secret id was unwrapped, but {lost}: the secret id is lost, and the wrapping token \
                 does not work a second time; issue a new one"
            )));
        }
        let inside: Data<SecretId> = reply
            .json()
            .map_err(|_| self.unauthorized("the wrapped value is not an AppRole secret id"))?;
        let secret_id = Secret::new(inside.data.secret_id);
        state.unwrapped = Some(Unwrapped { of: wrapping, secret_id: secret_id.clone() });
        Ok(secret_id)
    }

    async fn granted<E: Call>(&self, call: E, serial: u64) -> Result<Access, Fault> {
        let reply = self.ask(&self.logging_in(), call, None).await?;
        if matches!(reply.status, 400 | 401 | 403)
            && let Some(errors) = answers::errors(&reply)
        {
            let words = crate::http::quote(&errors.join("; "), &reply.hidden());
            let way_out = self.way_out(reply.status);
            return Err(
                self.unauthorized(&format!("answered {}: {words}; {way_out}", reply.status))
            );
        }
        if reply.status != 200 {
            return Err(answers::refused(&self.logging_in(), &reply, Effect::None));
        }
        let unreadable = |words: &str| answers::unreadable(&self.logging_in(), words, Effect::None);
        let granted = reply.json::<LoggedIn>().map_err(|words| unreadable(&words))?.auth;
        let granted = granted.ok_or_else(|| unreadable("the answer contains no token"))?;
        let token = Secret::new(granted.client_token);
        if token.expose().is_empty() {
            return Err(self.unauthorized(
                "the log-in was accepted but grants no token yet, as with a second factor; remove \
                 the second factor from the role, because nobody can enter it",
            ));
        }
        if !fits_a_header(token.expose()) {
            return Err(unreadable("the granted token is not valid"));
        }
        let life = Duration::from_secs(granted.lease_duration);
        let role = granted.metadata.and_then(|mut told| told.remove("role_name"));
        Ok(Access::new(token, serial, self.clock.now(), life, granted.renewable).of_role(role))
    }

    /// What to do about a log-in that is rejected with this status.
    fn way_out(&self, status: u16) -> String {
        let mount = &self.settings.auth.mount;
        // The same words for a role that may not, and for a method that is not there.
        let enabled = match status {
            403 => format!("is the method enabled at auth/{mount}? "),
            _ => String::new(),
        };
        let compare = match &self.settings.auth.method {
            Method::Approle { .. } => {
                "compare `role_id` with the role; if the secret ID has expired, was used up or was destroyed, \
                 put a new one where `secret_id` is kept: it is read again at each try"
            }
            Method::Kubernetes { .. } | Method::Jwt { .. } => {
                "compare `role`, and what it is bound to, with the claims of the JWT"
            }
            Method::Cert { .. } => "compare the client certificate with what the role allows",
            Method::AwsIam { .. } => {
                "compare `role` and `header_value` with the role at the server"
            }
            Method::Token(_) => "put a token that works where `token` is kept",
        };
        format!("{enabled}{compare}")
    }

    /// A call of the log-in itself, which is answered by no further log-in.
    pub(super) async fn ask<E: Call>(
        &self,
        operation: &str,
        call: E,
        token: Option<&Secret>,
    ) -> Result<Arc<Answer>, Fault> {
        let wire = self.wire()?;
        let namespace = self.settings.login_namespace();
        let with = With { token, index: None, namespace };
        wire.call(call, with)
            .await
            .map_err(|lost| answers::unanswered(operation, lost, Effect::None))
    }

    pub(super) fn logging_in(&self) -> String {
        format!("log in to {}", self.settings.address.host())
    }

    pub(super) fn unauthorized(&self, words: &str) -> Fault {
        Fault::new(self.logging_in(), Class::Terminal, Code::Unauthorized, words)
    }
}
