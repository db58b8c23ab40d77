//! One Vault or OpenBao server: reached, logged in to, and asked, for all the places on it.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use rustify::endpoint::Endpoint as Call;

use super::{
    answers::{self, Effect},
    login::Auth,
    session::Session,
    wire::{Wire, With},
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
    /// The namespace of every call.
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
            namespace: self.settings.namespace.clone(),
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
        let access = self.access().await?;
        let reply = self.once(operation, effect, call(), &access.token).await?;
        if reply.status != 403 || answers::errors(&reply).is_none() {
            return Ok(reply);
        }
        let fresh = self.replace(&access).await.map_err(|fault| Fault {
            operation: operation.to_owned(),
            detail: format!("answered 403, and then: {fault}"),
            ..fault
        })?;
        match fresh {
            Some(fresh) => {
                let reply = self.once(operation, effect, call(), &fresh.token).await?;
                if answers::unknown_token(&reply) {
                    let words = "answered 403 to a token that was granted a moment ago: a standby \
                                 that has yet to hear of it";
                    let code = Code::Unavailable;
                    return Err(Fault::new(operation, Class::Transient, code, words));
                }
                Ok(reply)
            }
            None => Ok(reply),
        }
    }

    async fn once<E: Call>(
        &self,
        operation: &str,
        effect: Effect,
        call: E,
        token: &Secret,
    ) -> Result<Arc<Reply>, Fault> {
        let index = self.index.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let with = With { token: Some(token), index: index.as_deref() };
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
