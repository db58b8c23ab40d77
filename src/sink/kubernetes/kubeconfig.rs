//! What a kubeconfig says of one context: where the cluster is, and who we are to it.
//!
//! Fields from the Kubernetes reference, `client-go` config API `v1` ("kubeconfig"). What would make
//! the connection something else than it says (another server name, no verification, a program that
//! is run) is refused, never ignored.

use std::{fmt, path::Path};

use aws_smithy_types::base64;
use reqwest::Url;
use serde::Deserialize;

use super::{files, yaml};
use crate::{http::Endpoint, secret::Secret};

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    clusters: Option<Vec<Named>>,
    #[serde(default)]
    users: Option<Vec<Named>>,
    #[serde(default)]
    contexts: Option<Vec<Named>>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
    #[serde(default)]
    cluster: Option<ClusterEntry>,
    #[serde(default)]
    user: Option<UserEntry>,
    #[serde(default)]
    context: Option<ContextEntry>,
}

#[derive(Deserialize)]
struct ContextEntry {
    cluster: String,
    user: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct ClusterEntry {
    server: Option<String>,
    certificate_authority: Option<String>,
    certificate_authority_data: Option<String>,
    insecure_skip_tls_verify: Option<String>,
    tls_server_name: Option<String>,
    proxy_url: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct UserEntry {
    token: Option<String>,
    #[serde(rename = "tokenFile")]
    token_file: Option<String>,
    client_certificate: Option<String>,
    client_certificate_data: Option<String>,
    client_key: Option<String>,
    client_key_data: Option<String>,
    username: Option<String>,
    exec: Option<serde_json::Value>,
    auth_provider: Option<serde_json::Value>,
    #[serde(rename = "as")]
    impersonated: Option<String>,
}

/// A cluster and our credentials there.
pub(super) struct Access {
    /// Where its API is.
    pub(super) server: Endpoint,
    /// The authorities that its certificate may come from, in PEM; beside the system's.
    pub(super) authorities: Option<Vec<u8>>,
    /// The bearer token.
    pub(super) token: Option<Secret>,
    /// A certificate of our own and its key, in PEM.
    pub(super) identity: Option<Secret>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("server", &self.server).finish_non_exhaustive()
    }
}

/// Reads the context of this name, and the files that it names.
///
/// # Errors
/// In words that hold no credential.
pub(super) fn read(text: &Secret, context: &str) -> Result<Access, String> {
    let value = yaml::parse(text.expose())?;
    let document: Document = serde_json::from_value(value)
        .map_err(|_| "it does not have the structure of a kubeconfig".to_owned())?;
    let found = find(document.contexts, context, "context")?.context;
    let ContextEntry { cluster, user } =
        found.ok_or_else(|| format!("the context \"{context}\" is empty"))?;
    let server = find(document.clusters, &cluster, "cluster")?.cluster.unwrap_or_default();
    let user = find(document.users, &user, "user")?.user.unwrap_or_default();
    let authorities = server.authorities()?;
    let server = server.endpoint()?;
    let (token, identity) = user.credentials()?;
    Ok(Access { server, authorities, token, identity })
}

fn find(list: Option<Vec<Named>>, name: &str, what: &str) -> Result<Named, String> {
    let list = list.unwrap_or_default();
    let names: Vec<String> = list.iter().map(|one| one.name.clone()).collect();
    list.into_iter().find(|one| one.name == name).ok_or_else(|| {
        let there = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        format!("it has no {what} \"{name}\" (there: {there})")
    })
}

impl ClusterEntry {
    fn endpoint(self) -> Result<Endpoint, String> {
        if self.insecure_skip_tls_verify.is_some_and(|flag| flag == "true") {
            return Err("insecure-skip-tls-verify = true would give the token to any server \
                        that answers; name the cluster's authority in certificate-authority-data"
                .to_owned());
        }
        if self.tls_server_name.is_some() {
            return Err(
                "tls-server-name is not supported: name the server as its certificate does \
                        in `server`"
                    .to_owned(),
            );
        }
        if self.proxy_url.is_some() {
            return Err(
                "proxy-url is not supported: write http = { proxy = \"…\" } in the sink".to_owned()
            );
        }
        let server = self.server.ok_or("the cluster has no `server`")?;
        let url = Url::parse(&server).map_err(|_| "`server` is not a URL".to_owned())?;
        if url.query().is_some() {
            return Err("`server` must not hold a query".to_owned());
        }
        Endpoint::try_new(url).map_err(|error| format!("`server`: {error}"))
    }

    fn authorities(&self) -> Result<Option<Vec<u8>>, String> {
        let data = self.certificate_authority_data.as_deref();
        let file = self.certificate_authority.as_deref();
        let pem = kept(data, file, "certificate-authority")?;
        Ok(pem.map(|pem| pem.expose().as_bytes().to_vec()))
    }
}

impl UserEntry {
    fn credentials(self) -> Result<(Option<Secret>, Option<Secret>), String> {
        if self.exec.is_some() {
            return Err(
                "its user logs in by a program (exec), which Scimitar does not run, because it \
                        would run with the daemon's permissions; use a service account's token, or a \
                        client certificate"
                    .to_owned(),
            );
        }
        if self.auth_provider.is_some() {
            return Err(
                "its user logs in by auth-provider, which Kubernetes removed in 1.26; use a \
                        service account's token, or a client certificate"
                    .to_owned(),
            );
        }
        if self.username.is_some() {
            return Err("its user logs in by username and password, which Kubernetes removed in \
                        1.19; use a service account's token, or a client certificate"
                .to_owned());
        }
        if self.impersonated.is_some() {
            return Err(
                "its user impersonates another (as), which is not supported: use the other account's \
                        own credentials"
                    .to_owned(),
            );
        }
        // The file wins, as in kubectl: it is the one that is renewed.
        let token = match (self.token_file, self.token) {
            (Some(file), _) => Some(file_at(&file, "tokenFile")?),
            (None, token) => token.map(Secret::new),
        };
        let certificate = (self.client_certificate_data, self.client_certificate);
        let key = (self.client_key_data, self.client_key);
        let certificate =
            kept(certificate.0.as_deref(), certificate.1.as_deref(), "client-certificate")?;
        let key = kept(key.0.as_deref(), key.1.as_deref(), "client-key")?;
        let identity = match (certificate, key) {
            (Some(certificate), Some(key)) => {
                Some(Secret::new(format!("{}\n{}\n", certificate.expose(), key.expose())))
            }
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                return Err("client-certificate and client-key go together".to_owned());
            }
        };
        if token.is_none() && identity.is_none() {
            return Err("its user has neither a token nor a client certificate".to_owned());
        }
        Ok((token.map(|token| Secret::new(token.expose().trim().to_owned())), identity))
    }
}

/// What stands in the file itself, in base64, or in another one; the former wins, as in kubectl.
fn kept(data: Option<&str>, file: Option<&str>, what: &str) -> Result<Option<Secret>, String> {
    match (data, file) {
        (Some(data), _) => {
            let bytes =
                base64::decode(data.trim()).map_err(|_| format!("{what}-data is not in base64"))?;
            let text = String::from_utf8(bytes);
            text.map(|text| Some(Secret::new(text))).map_err(|_| format!("{what}-data is not PEM"))
        }
        (None, Some(file)) => file_at(file, what).map(Some),
        (None, None) => Ok(None),
    }
}

fn file_at(file: &str, what: &str) -> Result<Secret, String> {
    let path = Path::new(file);
    if !path.is_absolute() {
        return Err(format!(
            "{what} is a relative path, and it is not known what it is relative to: write the whole path, or \
             embed the file (kubectl config view --raw --flatten)"
        ));
    }
    files::read(path).map_err(|words| format!("{what} {file}: {words}"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn config(cluster: &str, user: &str) -> Secret {
        Secret::new(format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: other\ncontexts:\n- name: prod\n  context: \
             {{cluster: c, user: u}}\nclusters:\n- name: c\n  cluster: {{{cluster}}}\nusers:\n- name: \
             u\n  user: {{{user}}}\n"
        ))
    }

    const SERVER: &str = "server: 'https://k8s.example.com:6443'";

    fn refused(cluster: &str, user: &str) -> String {
        let refused = read(&config(cluster, user), "prod").unwrap_err();
        assert!(!refused.contains("canary"), "{refused}");
        refused
    }

    #[test]
    fn a_token_and_a_certificate_are_read_from_where_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        fs::write(&file, "from-file\n").unwrap();
        let access = read(&config(SERVER, "token: inline"), "prod").unwrap();
        assert_eq!(access.server.host(), "k8s.example.com:6443");
        assert_eq!(access.token.unwrap().expose(), "inline");
        let both = format!("token: inline, tokenFile: '{}'", file.display());
        let access = read(&config(SERVER, &both), "prod").unwrap();
        assert_eq!(access.token.unwrap().expose(), "from-file", "the one that is renewed");
        let (cert, key) = (base64::encode("CERT"), base64::encode("KEY"));
        let user = format!("client-certificate-data: {cert}, client-key-data: {key}");
        let ca = format!("{SERVER}, certificate-authority-data: {}", base64::encode("CA"));
        let access = read(&config(&ca, &user), "prod").unwrap();
        assert_eq!(access.identity.as_ref().unwrap().expose(), "CERT\nKEY\n");
        assert_eq!(access.authorities.as_deref(), Some(&b"CA"[..]));
        assert!(!format!("{access:?}").contains("KEY"));
    }

    #[test]
    fn what_cannot_be_done_safely_is_refused_with_the_way_out() {
        for (cluster, user, words) in [
            (SERVER, "exec: {command: canary}", "a program (exec)"),
            (SERVER, "auth-provider: {name: gcp}", "auth-provider"),
            (SERVER, "username: a, password: canary", "username"),
            (SERVER, "token: canary, as: root", "impersonates"),
            (SERVER, "", "neither a token nor a client certificate"),
            (SERVER, "client-key-data: Y2FuYXJ5", "go together"),
            (SERVER, "client-key-data: '*'", "not in base64"),
            (SERVER, "tokenFile: token", "relative path"),
            (SERVER, "tokenFile: /nowhere/token", "No such file"),
            ("", "token: canary", "no `server`"),
            ("server: 'http://k8s.example.com'", "token: canary", "unencrypted"),
            ("server: 'https://h/?token=canary'", "token: canary", "query"),
            ("server: 'https://h', insecure-skip-tls-verify: true", "token: canary", "any server"),
            ("server: 'https://h', tls-server-name: x", "token: canary", "tls-server-name"),
            ("server: 'https://h', proxy-url: 'http://p'", "token: canary", "http = { proxy"),
        ] {
            let said = refused(cluster, user);
            assert!(said.contains(words), "{cluster} {user}: {said}");
        }
        let other = read(&config(SERVER, "token: canary"), "staging").unwrap_err();
        assert_eq!(other, "it has no context \"staging\" (there: prod)");
        let none = read(&Secret::new("kind: Config\n".to_owned()), "prod").unwrap_err();
        assert!(none.contains("(there: none)"), "{none}");
        let shape = read(&Secret::new("contexts: canary\n".to_owned()), "prod").unwrap_err();
        assert_eq!(shape, "it does not have the structure of a kubeconfig");
    }
}
