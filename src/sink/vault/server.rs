//! One Vault or OpenBao server: reached, logged in to, and asked, for all the places on it.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustify::endpoint::Endpoint as Call;
use serde::Deserialize;

use super::{
    answers::{self, Effect},
    login::Auth,
    session::Session,
    wire::{Raw, Wire, With},
};
use crate::{
    clock::{Clock, Entropy},
    error::{Class, Code, Fault},
    http::{Endpoint, Http, HttpSettings, Reply},
    secret::{Secret, SecretSource},
    token::{Digest, SinkName},
};

/// A certificate of our own, for the TLS connection.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate and those that lead to its authority, in PEM.
    pub cert: SecretSource,
    /// Its private key, in PEM.
    pub key: SecretSource,
}

/// `[sinks.NAME]` of type `vault`.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// The sink's label.
    pub sink: SinkName,
    /// Where it is; without a path.
    pub address: Endpoint,
    /// The namespace of the secrets, and of the log-in unless that has its own.
    pub namespace: Option<String>,
    /// How to log in.
    pub auth: Auth,
    /// How to reach it.
    pub http: HttpSettings,
    /// Our own certificate.
    pub identity: Option<Identity>,
}

/// The server, shared by all places on it: one log-in, one set of connections.
pub struct VaultServer {
    pub(super) settings: ServerSettings,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) session: Session,
    http: Mutex<Option<Built>>,
    /// The last `X-Vault-Index`: reads are not answered from before our own writes.
    index: Mutex<Option<String>>,
    /// What an operator should know of the log-in's secret id.
    noted: Mutex<Option<String>>,
}

/// A cluster, as every node of it calls itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Cluster {
    #[serde(rename = "cluster_id")]
    pub(super) id: String,
    #[serde(rename = "cluster_name", default)]
    pub(super) name: String,
}

impl ServerSettings {
    /// The namespace of the log-in.
    pub(super) fn login_namespace(&self) -> Option<&str> {
        self.auth.namespace_in(self.namespace.as_deref())
    }

    /// The way from there down to the secrets, with a slash behind it.
    pub(super) fn inside(&self) -> String {
        self.auth.way_down(self.namespace.as_deref())
    }
}

/// A client, and what it was built of.
struct Built {
    of: Digest,
    http: Http,
}

impl fmt::Debug for VaultServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VaultServer").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl VaultServer {
    /// A server; nothing is asked of it yet, and certificates are read when it is.
    ///
    /// # Errors
    /// When the proxy is of no use.
    pub fn try_new(
        settings: ServerSettings,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Arc<Self>, Fault> {
        settings.http.check().map_err(|error| {
            let what = format!("reach {}", settings.address.host());
            Fault::new(what, Class::Terminal, Code::Invalid, error.to_string())
        })?;
        Ok(Arc::new(Self {
            settings,
            clock,
            entropy,
            session: Session::default(),
            http: Mutex::default(),
            index: Mutex::default(),
            noted: Mutex::default(),
        }))
    }

    /// The client; built anew when the files that it is made of have changed.
    pub(super) fn wire(&self) -> Result<Wire, Fault> {
        let invalid = |words: String| {
            let what = format!("reach {}", self.settings.address.host());
            Fault::new(what, Class::Terminal, Code::Invalid, words)
        };
        let pem = match &self.settings.identity {
            None => None,
            Some(identity) => {
                let cert = identity
                    .cert
                    .read()
                    .map_err(|words| invalid(format!("`client_cert`: {words}")))?;
                let key = identity
                    .key
                    .read()
                    .map_err(|words| invalid(format!("`client_key`: {words}")))?;
                Some(Secret::new(format!("{}\n{}\n", cert.expose(), key.expose())))
            }
        };
        let mut of = pem.as_ref().map(|pem| pem.expose().as_bytes().to_vec()).unwrap_or_default();
        if let Some(path) = &self.settings.http.ca_file {
            let read = std::fs::read(path);
            of.extend(read.map_err(|error| invalid(format!("{}: {error}", path.display())))?);
        }
        let of = Digest::of(&zeroize::Zeroizing::new(of));
        let mut built = self.http.lock().unwrap_or_else(PoisonError::into_inner);
        let http = match built.as_ref().filter(|built| built.of == of) {
            Some(built) => built.http.clone(),
            None => {
                let settings = self.settings.http.clone();
                let http = match &pem {
                    Some(pem) => Http::with_identity(settings, pem),
                    None => Http::try_new(settings),
                };
                let http = http.map_err(|error| invalid(error.to_string()))?;
                *built = Some(Built { of, http: http.clone() });
                http
            }
        };
        Ok(Wire {
            http,
            base: self.settings.address.url().as_str().trim_end_matches('/').to_owned(),
        })
    }

    /// Makes a call with a token. A 403 is answered once by a fresh log-in: it says the same of a
    /// token that has ended and of one that may not. One that was had a moment ago and lives is
    /// not replaced.
    ///
    /// # If the answer is lost
    /// A call that writes may have been carried out, now or later.
    pub(super) async fn send<E: Call>(
        self: &Arc<Self>,
        operation: &str,
        effect: Effect,
        call: impl Fn() -> E,
    ) -> Result<Arc<Reply>, Fault> {
        let namespace = self.settings.namespace.as_deref();
        self.send_within(namespace, operation, effect, call).await
    }

    /// The same in another namespace than that of the secrets.
    ///
    /// # If the answer is lost
    /// A call that writes may have been carried out, now or later.
    pub(super) async fn send_within<E: Call>(
        self: &Arc<Self>,
        namespace: Option<&str>,
        operation: &str,
        effect: Effect,
        call: impl Fn() -> E,
    ) -> Result<Arc<Reply>, Fault> {
        let access = self.access().await?;
        let reply = self.once(namespace, operation, effect, call(), &access.token).await?;
        if reply.status != 403 || answers::errors(&reply).is_none() {
            self.session.heard_of();
            return Ok(reply);
        }
        let fresh = self.replace(&access).await.map_err(|fault| Fault {
            operation: operation.to_owned(),
            detail: format!("answered 403, and then: {fault}"),
            ..fault
        })?;
        match fresh {
            Some(fresh) => {
                let reply = self.once(namespace, operation, effect, call(), &fresh.token).await?;
                if answers::unknown_token(&reply) {
                    let mut words = "answered 403 to a token that was granted a moment ago: a \
                                     standby that has yet to hear of it"
                        .to_owned();
                    if self.session.unheard_of_again() {
                        words.push_str(
                            ", or the token is bound to other addresses than the one that Scimitar \
                             calls from (token_bound_cidrs of the role)",
                        );
                    }
                    let code = Code::Unavailable;
                    return Err(Fault::new(operation, Class::Transient, code, words));
                }
                self.session.heard_of();
                Ok(reply)
            }
            None => Ok(reply),
        }
    }

    /// Which cluster this is; `None` where something in front of it does not let that be asked. It is
    /// told without a token, and in no namespace.
    pub(super) async fn cluster(&self) -> Result<Option<Cluster>, Fault> {
        const OPERATION: &str = "ask which cluster this is";
        let call = Raw::get("sys/health".to_owned());
        let asked = self.wire()?.call(call, With::default()).await;
        let reply = asked.map_err(|lost| answers::unanswered(OPERATION, lost, Effect::None))?;
        match reply.status {
            // A standby tells it as well.
            200 | 429 | 472 | 473 => {
                let told = reply.json::<Cluster>().ok();
                Ok(told.filter(|cluster| !cluster.id.is_empty()))
            }
            500..=599 => Err(answers::refused(OPERATION, &reply, Effect::None)),
            _ => Ok(None),
        }
    }

    pub(super) fn noted(&self) -> MutexGuard<'_, Option<String>> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn once<E: Call>(
        &self,
        namespace: Option<&str>,
        operation: &str,
        effect: Effect,
        call: E,
        token: &Secret,
    ) -> Result<Arc<Reply>, Fault> {
        let index = self.index.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let with = With { token: Some(token), index: index.as_deref(), namespace };
        let wire = self.wire()?;
        let reply = wire
            .call(call, with)
            .await
            .map_err(|lost| answers::unanswered(operation, lost, effect))?;
        if let Some(index) = reply.text("x-vault-index")
            && effect == Effect::Writes
        {
            *self.index.lock().unwrap_or_else(PoisonError::into_inner) = Some(index.to_owned());
        }
        Ok(reply)
    }
}
