//! One Vault or OpenBao server: the HTTP client that all secrets on it share.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustify::endpoint::Endpoint as Call;
use serde::Deserialize;

use super::{
    access::Session,
    answer::Answer,
    answers::{self, Effect},
    settings::ServerSettings,
    wire::{Raw, Wire, With},
};
use crate::{
    clock::{Clock, Entropy},
    error::{Class, Code, Fault},
    http::Http,
    secret::Secret,
    token::Digest,
};

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

    /// Makes a call with this token, once.
    ///
    /// # If the answer is lost
    /// A call that writes may have been carried out, now or later.
    pub(super) async fn once<E: Call>(
        &self,
        namespace: Option<&str>,
        operation: &str,
        effect: Effect,
        call: E,
        token: &Secret,
    ) -> Result<Arc<Answer>, Fault> {
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
