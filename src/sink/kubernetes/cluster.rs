//! One cluster: the HTTP client that all Secrets in it share.

use std::{
    fmt, fs,
    sync::{Arc, Mutex, PoisonError},
};

use reqwest::{Method, Url};
use zeroize::Zeroizing;

use super::{
    files,
    kubeconfig::{self, Access},
    settings::{ClusterSettings, Reach},
};
use crate::{
    error::{Class, Code, Fault, system_words},
    http::{Endpoint, Http, Reply, Request},
    secret::Secret,
    sink::rules::Effect,
    table::Environment,
    token::Digest,
};

/// The cluster, shared by all places in it: one set of connections.
pub struct Cluster {
    pub(super) settings: ClusterSettings,
    http: Mutex<Option<Built>>,
}

/// A client, and what it was built of.
struct Built {
    of: Digest,
    http: Http,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// One request.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    /// The path behind the server's own, segment by segment.
    pub(super) path: &'a [&'a str],
    /// Whether it is only tried out (`dryRun=All`).
    pub(super) dry: bool,
    pub(super) body: Option<(&'static str, Zeroizing<Vec<u8>>)>,
}

/// JSON as it is.
pub(super) const JSON: &str = "application/json";

/// RFC 7396: what is not named stays, what is `null` goes.
pub(super) const MERGE_PATCH: &str = "application/merge-patch+json";

impl<'a> Call<'a> {
    pub(super) fn get(path: &'a [&'a str]) -> Self {
        Self { method: Method::GET, path, dry: false, body: None }
    }
}

impl Cluster {
    /// A cluster; nothing is asked of it yet, and credentials are read when it is.
    ///
    /// # Errors
    /// When the proxy is of no use.
    pub fn try_new(settings: ClusterSettings) -> Result<Arc<Self>, Fault> {
        settings.http.check().map_err(|error| {
            let what = format!("reach the cluster of [sinks.{}]", settings.sink);
            Fault::new(what, Class::Terminal, Code::Invalid, error.to_string())
        })?;
        Ok(Arc::new(Self { settings, http: Mutex::default() }))
    }

    /// Sends a request with the credentials of this moment.
    ///
    /// # If the answer is lost
    /// A call that writes may have been carried out, now or later.
    pub(super) async fn send(
        &self,
        operation: &str,
        effect: Effect,
        call: Call<'_>,
    ) -> Result<Reply, Fault> {
        let unusable = |words: String| Fault::new(operation, Class::Terminal, Code::Invalid, words);
        let access = self.access().map_err(unusable)?;
        let http = self.client(&access).map_err(unusable)?;
        let to = access.server.join(call.path).map_err(|error| unusable(error.to_string()))?;
        let to = if call.method == Method::GET {
            to
        } else {
            // Who wrote which field is kept under this name (managedFields).
            let to = to.query("fieldManager", "scimitar");
            if call.dry { to.query("dryRun", "All") } else { to }
        };
        let mut request = Request::new(call.method, &to);
        if let Some(token) = &access.token {
            request = request.bearer(token.expose());
        }
        if let Some((kind, body)) = call.body {
            request = request.body(kind, body);
        }
        if effect == Effect::Writes {
            request = request.fresh();
        }
        let sent = http.send(request).await;
        sent.map_err(|lost| effect.unanswered(operation, lost))
    }

    /// Where the API is and who we are, read again each time: both are renewed in their places.
    fn access(&self) -> Result<Access, String> {
        match &self.settings.reach {
            Reach::InCluster { folder, env } => {
                let server = own_server(env.as_ref())?;
                let read = |name: &str| {
                    let path = folder.join(name);
                    files::read(&path).map_err(|words| {
                        format!(
                            "{}: {words}; the pod needs a service account whose token is mounted \
                             (automountServiceAccountToken)",
                            path.display()
                        )
                    })
                };
                let token = Secret::new(read("token")?.expose().trim().to_owned());
                let authorities = read("ca.crt")?.expose().as_bytes().to_vec();
                let authorities = Some(authorities);
                Ok(Access { server, authorities, token: Some(token), identity: None })
            }
            Reach::Kubeconfig { source, context } => {
                let failed = |words: String| format!("the kubeconfig: {words}");
                kubeconfig::read(&source.read().map_err(failed)?, context).map_err(failed)
            }
        }
    }

    /// The client; built anew when what it is made of has changed.
    fn client(&self, access: &Access) -> Result<Http, String> {
        let mut authorities = access.authorities.clone().unwrap_or_default();
        if let Some(path) = &self.settings.http.ca_file {
            let read = fs::read(path);
            let read =
                read.map_err(|error| format!("{}: {}", path.display(), system_words(&error)))?;
            authorities.push(b'\n');
            authorities.extend(read);
        }
        let identity = access.identity.as_ref().map(Secret::expose).unwrap_or_default();
        let of = Zeroizing::new([&authorities, &[0][..], identity.as_bytes()].concat());
        let of = Digest::of(&of);
        let mut built = self.http.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(built) = built.as_ref().filter(|built| built.of == of) {
            return Ok(built.http.clone());
        }
        let settings = self.settings.http.clone();
        let http = Http::trusting(settings, &authorities, access.identity.as_ref());
        let http = http.map_err(|error| error.to_string())?;
        *built = Some(Built { of, http: http.clone() });
        Ok(http)
    }
}

/// Where Kubernetes says that the API is (its documentation "Accessing the Kubernetes API from a Pod").
fn own_server(env: &dyn Environment) -> Result<Endpoint, String> {
    let var = |name| env.var(name).and_then(|text| text.into_string().ok());
    let (host, port) = (var("KUBERNETES_SERVICE_HOST"), var("KUBERNETES_SERVICE_PORT"));
    let Some((host, port)) = host.zip(port) else {
        return Err(NO_CLUSTER.to_owned());
    };
    // An IPv6 address stands there without its brackets.
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    let url = Url::parse(&format!("https://{host}:{port}")).ok();
    let endpoint = url.and_then(|url| Endpoint::try_new(url).ok());
    endpoint.ok_or_else(|| "KUBERNETES_SERVICE_HOST and _PORT are not an address".to_owned())
}

/// What is wrong outside a cluster.
pub(super) const NO_CLUSTER: &str = "KUBERNETES_SERVICE_HOST is not set, so this process does not run in a pod; from elsewhere write \
     kubeconfig = { file = \"…\" } and context = \"…\"";

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, path::Path, time::Duration};

    use super::*;
    use crate::{http::HttpSettings, token::SinkName};

    fn in_cluster(folder: &Path, vars: &[(&str, &str)]) -> Arc<Cluster> {
        let vars = vars.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        let env: BTreeMap<String, String> = vars.collect();
        let settings = ClusterSettings {
            sink: SinkName::try_new("k").unwrap(),
            reach: Reach::InCluster { folder: folder.to_owned(), env: Arc::new(env) },
            namespace: "team-a".to_owned(),
            create: true,
            http: HttpSettings {
                ca_file: None,
                proxy: None,
                request_timeout: Duration::from_secs(1),
                user_agent: "scimitar".to_owned(),
            },
        };
        Cluster::try_new(settings).unwrap()
    }

    #[test]
    fn a_pods_token_is_read_again_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let vars = [("KUBERNETES_SERVICE_HOST", "fd00::1"), ("KUBERNETES_SERVICE_PORT", "443")];
        let cluster = in_cluster(folder.path(), &vars);
        let missing = cluster.access().unwrap_err();
        assert!(missing.contains("automountServiceAccountToken"), "{missing}");
        fs::write(folder.path().join("ca.crt"), "CA").unwrap();
        for token in ["one", "two"] {
            fs::write(folder.path().join("token"), token).unwrap();
            let access = cluster.access().unwrap();
            assert_eq!(access.token.unwrap().expose(), token);
            assert_eq!(access.server.url().as_str(), "https://[fd00::1]/");
            assert_eq!(access.authorities.as_deref(), Some(&b"CA"[..]));
        }
        let outside = in_cluster(folder.path(), &vars[1..]).access().unwrap_err();
        assert!(outside.contains("does not run in a pod") && outside.contains("kubeconfig"));
        let odd = [("KUBERNETES_SERVICE_HOST", "a b"), ("KUBERNETES_SERVICE_PORT", "x")];
        assert!(in_cluster(folder.path(), &odd).access().is_err());
    }
}
