//! Builds the clients and sends requests.

use std::{
    fmt, fs,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use reqwest::{
    Certificate, Client, Identity, Method, Proxy, Url, header,
    header::{HeaderMap, HeaderValue},
    redirect, retry,
};
use serde::Serialize;
use zeroize::Zeroizing;

use super::{
    endpoint::Endpoint,
    pem,
    proxy::Proxies,
    reply::{Reply, Sent, Unanswered},
    unanswered::{Way, deepest, unanswered},
};
use crate::{
    error::{Code, system_words},
    secret::Secret,
};

/// The longest that making a connection may take, where the whole request may take longer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an idle connection is kept: for the calls of one step, and no longer. Its buffers still hold
/// what it carried last, values of tokens too; they are wiped with it. The pool looks once in this time.
const IDLE: Duration = Duration::from_millis(1_500);

/// How to reach services.
#[derive(Clone)]
pub struct HttpSettings {
    /// PEM file with further certificate authorities, beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Through which proxy; `None`: as `HTTPS_PROXY` and `NO_PROXY` say. Loopback addresses are
    /// never asked for through a proxy.
    pub proxy: Option<Url>,
    /// How long a request may take from its first step to the last byte of its answer.
    pub request_timeout: Duration,
    /// What is said of ourselves, such as `scimitar/0.2.0`.
    pub user_agent: String,
}

impl HttpSettings {
    /// Looks at what needs no file.
    ///
    /// # Errors
    /// When the proxy is of no use.
    pub fn check(&self) -> Result<(), HttpError> {
        self.proxy.as_ref().map_or(Ok(()), check_proxy)
    }
}

impl fmt::Debug for HttpSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A proxy's URL may hold a password.
        f.debug_struct("HttpSettings")
            .field("ca_file", &self.ca_file)
            .field("proxy", &self.proxy.as_ref().and_then(Url::host_str))
            .field("request_timeout", &self.request_timeout)
            .field("user_agent", &self.user_agent)
            .finish()
    }
}

/// Settings that no client can be built from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// The client's own certificate or its key is of no use.
    #[error("client certificate: {0}")]
    Identity(String),
    /// The certificates to trust are of no use.
    #[error("certificates to trust: {0}")]
    Authorities(String),
    /// The proxy's URL is of no use.
    #[error("proxy: {0}")]
    Proxy(String),
    /// The client itself could not be built.
    #[error("no HTTP client can be built: {0}")]
    Client(String),
}

/// A request that is not sent yet.
#[derive(Clone)]
pub struct Request<'a> {
    method: Method,
    to: &'a Endpoint,
    credentials: Option<(&'static str, &'a str)>,
    accept: &'static str,
    headers: HeaderMap,
    body: Option<(&'a str, Zeroizing<Vec<u8>>)>,
    fresh: bool,
    keep_body: bool,
    within: Option<Duration>,
}

impl<'a> Request<'a> {
    /// A request without credentials and body.
    #[must_use]
    pub fn new(method: Method, to: &'a Endpoint) -> Self {
        Self {
            method,
            to,
            credentials: None,
            accept: "application/json",
            headers: HeaderMap::new(),
            body: None,
            fresh: false,
            keep_body: true,
            within: None,
        }
    }

    /// With a bearer token.
    #[must_use]
    pub fn bearer(self, token: &'a str) -> Self {
        self.credentials("Bearer", token)
    }

    /// With a token under another scheme than `Bearer`.
    #[must_use]
    pub fn credentials(mut self, scheme: &'static str, token: &'a str) -> Self {
        self.credentials = Some((scheme, token));
        self
    }

    /// With another `Accept` than `application/json`.
    #[must_use]
    pub fn accept(mut self, accept: &'static str) -> Self {
        self.accept = accept;
        self
    }

    /// With further headers; those that hold a secret are marked sensitive by the caller.
    #[must_use]
    pub fn headers(mut self, headers: HeaderMap) -> Self {
        self.headers = headers;
        self
    }

    /// With a body that is encoded already.
    #[must_use]
    pub fn body(mut self, kind: &'a str, bytes: Zeroizing<Vec<u8>>) -> Self {
        self.body = Some((kind, bytes));
        self
    }

    /// With a JSON body. What cannot be JSON is sent as `null`, which every service refuses.
    #[must_use]
    pub fn json(mut self, body: &impl Serialize) -> Self {
        let bytes = serde_json::to_vec(body).unwrap_or_else(|_| b"null".to_vec());
        self.body = Some(("application/json", Zeroizing::new(bytes)));
        self
    }

    /// With a form as its body.
    #[must_use]
    pub fn form(mut self, fields: &[(&str, &str)]) -> Self {
        // A query is encoded as a form is; this saves a further dependency.
        let mut url = self.to.url().clone();
        url.query_pairs_mut().clear().extend_pairs(fields);
        let bytes = url.query().unwrap_or_default().as_bytes().to_vec();
        self.body = Some(("application/x-www-form-urlencoded", Zeroizing::new(bytes)));
        self
    }

    /// Over a connection of its own: no idle one can turn out to be dead half-way, so that
    /// [`Sent::No`] is certain and everything else is not a matter of an old connection.
    #[must_use]
    pub fn fresh(mut self) -> Self {
        self.fresh = true;
        self
    }

    /// The answer's body is read but not kept.
    #[must_use]
    pub fn without_body(mut self) -> Self {
        self.keep_body = false;
        self
    }

    /// Within another time than the settings' `request_timeout`.
    #[must_use]
    pub fn within(mut self, time: Duration) -> Self {
        self.within = Some(time);
        self
    }
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.to)
    }
}

/// The client. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Http(Arc<Inner>);

struct Inner {
    settings: HttpSettings,
    /// Those of `ca_file`, once they could be read: a file that is of no use stops the requests that
    /// need it, and nothing else.
    certificates: OnceLock<Vec<Certificate>>,
    proxies: Result<Proxies, String>,
    /// Who we are, to services that ask for a certificate.
    identity: Option<Identity>,
    /// By route and by whether connections are kept. Built when first needed: loading the
    /// system's certificate authorities takes time, and can fail where no `https` is spoken.
    clients: [[OnceLock<Client>; 2]; 3],
}

/// Which of the clients serves an endpoint.
#[derive(Clone, Copy)]
enum Route {
    /// Plain `http` on this machine: no proxy, no certificate authorities.
    Plain,
    /// `https` on this machine: no proxy.
    Local,
    /// `https` elsewhere.
    Remote,
}

impl Http {
    /// Checks the settings; certificate authorities, the system's and those of `ca_file`, are loaded
    /// with the first `https` request.
    ///
    /// # Errors
    /// When a setting is of no use.
    pub fn try_new(settings: HttpSettings) -> Result<Self, HttpError> {
        Self::build(settings, None)
    }

    /// The same with a certificate of our own: `pem` holds the certificate, those that lead to
    /// its authority, and the private key.
    ///
    /// # Errors
    /// When a setting, the certificate or the key is of no use.
    pub fn with_identity(settings: HttpSettings, pem: &Secret) -> Result<Self, HttpError> {
        let identity = pem::identity(pem).map_err(HttpError::Identity)?;
        Self::build(settings, Some(identity))
    }

    /// The same with the certificate authorities at hand, in PEM, that are trusted beside the system's;
    /// those of `ca_file` are to be among them. `authorities` may be blank.
    ///
    /// # Errors
    /// When a setting, an authority, the certificate or the key is of no use.
    pub fn trusting(
        settings: HttpSettings,
        authorities: &[u8],
        identity: Option<&Secret>,
    ) -> Result<Self, HttpError> {
        let identity = identity.map(pem::identity).transpose().map_err(HttpError::Identity)?;
        let http = Self::build(settings, identity)?;
        let read = if authorities.trim_ascii().is_empty() {
            Vec::new()
        } else {
            let read = pem::certificates(authorities);
            read.map_err(|bad| HttpError::Authorities(bad.to_string()))?
        };
        http.0.certificates.get_or_init(|| read);
        Ok(http)
    }

    fn build(settings: HttpSettings, identity: Option<Identity>) -> Result<Self, HttpError> {
        settings.check()?;
        let proxies = match &settings.proxy {
            Some(proxy) => Ok(Proxies::fixed(proxy.clone())),
            None => Proxies::of_environment(|name| std::env::var_os(name))
                .map_err(|error| error.to_string()),
        };
        let (certificates, clients) = (OnceLock::new(), Default::default());
        let inner = Inner { settings, certificates, proxies, identity, clients };
        let plain =
            inner.build(Route::Plain, true).map_err(|error| HttpError::Client(deepest(&error)))?;
        let [[_, kept], ..] = &inner.clients;
        kept.get_or_init(|| plain);
        Ok(Self(Arc::new(inner)))
    }

    /// Sends a request once and reads the answer, whatever its status.
    ///
    /// # If the answer is lost
    /// [`Unanswered::sent`] says whether the service can have seen the request.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn send(&self, request: Request<'_>) -> Result<Reply, Unanswered> {
        let within = request.within.unwrap_or(self.0.settings.request_timeout);
        let client = self.0.client(request.to, request.fresh)?;
        let mut headers = request.headers;
        headers.insert(header::ACCEPT, HeaderValue::from_static(request.accept));
        if let Some((scheme, token)) = request.credentials {
            let text = Zeroizing::new(format!("{scheme} {token}"));
            let mut value = HeaderValue::from_str(&text).map_err(|_| Unanswered {
                sent: Sent::No,
                code: Code::Invalid,
                detail: "the token has characters that are not allowed in a header".to_owned(),
            })?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        let mut builder = client.request(request.method, request.to.url().clone()).timeout(within);
        if let Some((kind, body)) = request.body {
            let value = HeaderValue::from_str(kind).map_err(|_| Unanswered {
                sent: Sent::No,
                code: Code::Invalid,
                detail: "the content type has characters that are not allowed in a header"
                    .to_owned(),
            })?;
            headers.insert(header::CONTENT_TYPE, value);
            builder = builder.body(body.to_vec());
        }
        match builder.headers(headers).send().await {
            Ok(response) => Ok(Reply::read(response, request.keep_body).await),
            Err(error) => Err(unanswered(&error, &self.0.way(request.to, within))),
        }
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Http").field(&self.0.settings).finish()
    }
}

impl Inner {
    fn client(&self, to: &Endpoint, fresh: bool) -> Result<Client, Unanswered> {
        let route = match (to.is_encrypted(), to.is_loopback()) {
            (false, _) => Route::Plain,
            (true, true) => Route::Local,
            (true, false) => Route::Remote,
        };
        let [plain, local, remote] = &self.clients;
        let [fresh_slot, kept_slot] = match route {
            Route::Plain => plain,
            Route::Local => local,
            Route::Remote => remote,
        };
        let slot = if fresh { fresh_slot } else { kept_slot };
        if let Some(client) = slot.get() {
            return Ok(client.clone());
        }
        let unusable = |detail| Unanswered { sent: Sent::No, code: Code::Invalid, detail };
        if !matches!(route, Route::Plain) {
            self.read_certificates().map_err(unusable)?;
        }
        if let (Route::Remote, Err(words)) = (route, &self.proxies) {
            return Err(unusable(words.clone()));
        }
        let client = self.build(route, !fresh).map_err(|error| Unanswered {
            sent: Sent::No,
            code: Code::Unreachable,
            detail: format!(
                "no encrypted connection can be made: {}; install the system's certificate \
                 authorities (the package ca-certificates) or name a PEM file in `ca_file`",
                deepest(&error)
            ),
        })?;
        Ok(slot.get_or_init(|| client).clone())
    }

    /// Reads `ca_file`, again until it is of use: whoever mends it need not start us again.
    fn read_certificates(&self) -> Result<(), String> {
        let Some(path) =
            self.settings.ca_file.as_ref().filter(|_| self.certificates.get().is_none())
        else {
            return Ok(());
        };
        let failed = |words: String| format!("`ca_file` {}: {words}", path.display());
        let read = fs::read(path).map_err(|error| failed(system_words(&error)))?;
        let read = pem::certificates(&read).map_err(|bad| failed(bad.to_string()))?;
        self.certificates.get_or_init(|| read);
        Ok(())
    }

    fn way<'a>(&'a self, to: &'a Endpoint, within: Duration) -> Way<'a> {
        let remote = to.is_encrypted() && !to.is_loopback();
        let proxies = self.proxies.as_ref().ok().filter(|_| remote);
        Way {
            to,
            proxy: proxies.and_then(|proxies| proxies.of(to.url())),
            ca_file: self.settings.ca_file.as_deref(),
            within,
        }
    }

    fn build(&self, route: Route, keep: bool) -> reqwest::Result<Client> {
        let timeout = self.settings.request_timeout;
        let builder = Client::builder()
            .user_agent(&self.settings.user_agent)
            .http1_only()
            .referer(false)
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .connect_timeout(CONNECT_TIMEOUT.min(timeout.mul_f64(0.8)))
            .read_timeout(timeout)
            .timeout(timeout)
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(if keep { 16 } else { 0 });
        let certificates = self.certificates.get().into_iter().flatten().cloned();
        // Whatever a resolver says, `localhost` is this machine; the URL's port is used.
        let loopback = [
            SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            SocketAddr::from((Ipv6Addr::LOCALHOST, 0)),
        ];
        let builder = match (route, self.proxies.clone().unwrap_or_default()) {
            (Route::Plain, _) => {
                builder.no_proxy().resolve_to_addrs("localhost", &loopback).tls_certs_only([])
            }
            (Route::Local, _) => builder
                .no_proxy()
                .resolve_to_addrs("localhost", &loopback)
                .tls_certs_merge(certificates),
            (Route::Remote, proxies) => {
                let proxy = Proxy::custom(move |url| proxies.of(url).cloned());
                builder.no_proxy().proxy(proxy).tls_certs_merge(certificates)
            }
        };
        match (&self.identity, route) {
            (Some(identity), Route::Local | Route::Remote) => {
                builder.identity(identity.clone()).build()
            }
            (Some(_), Route::Plain) | (None, _) => builder.build(),
        }
    }
}

/// Says in words why a proxy is of no use; nothing of it is shown.
fn check_proxy(proxy: &Url) -> Result<(), HttpError> {
    if !matches!(proxy.scheme(), "http" | "https") {
        return Err(HttpError::Proxy(format!(
            "the scheme {}: is not supported: use http:// or https://",
            proxy.scheme()
        )));
    }
    Proxy::all(proxy.clone())
        .map(drop)
        .map_err(|error| HttpError::Proxy(deepest(&error.without_url())))
}
