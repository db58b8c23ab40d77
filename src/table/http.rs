//! `http`, at the top, in a provider or in a sink: certificates and the proxy.

use std::path::PathBuf;

use reqwest::Url;

use super::{
    Table, Value,
    secret::{Keyring, SecretRef, Secrets, reference},
    shape, url,
};
use crate::{
    error::system_words,
    http::{
        pem,
        proxy::{self, Proxies},
    },
};

/// `[http]`, at the top or in a provider or sink.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpConfig {
    /// Certificates to trust beside the system's (PEM); absolute.
    pub ca_file: Option<PathBuf>,
    /// The proxy for everything but loopback; `None`: what `HTTPS_PROXY` and `NO_PROXY` say.
    pub proxy: Option<ProxyConfig>,
}

/// A proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProxyConfig {
    /// Its address, without a password.
    Url(Url),
    /// Where its URL is kept, which may hold a password.
    Secret(SecretRef),
}

impl HttpConfig {
    /// What is left out here is taken from `outer`.
    pub(crate) fn or(self, outer: &Self) -> Self {
        Self {
            ca_file: self.ca_file.or_else(|| outer.ca_file.clone()),
            proxy: self.proxy.or_else(|| outer.proxy.clone()),
        }
    }

    /// Whether it names files that may hold something else when they are read again.
    #[must_use]
    pub fn names_files(&self) -> bool {
        self.ca_file.is_some() || matches!(self.proxy, Some(ProxyConfig::Secret(_)))
    }
}

/// Reads `http`, in the file or in a provider or sink.
pub(crate) fn http(parent: &Table<'_>, keyring: Keyring<'_>) -> HttpConfig {
    let name = if parent.name().is_empty() {
        "[http]".to_owned()
    } else {
        format!("`http` of {}", parent.name())
    };
    let Some(table) = parent.get("http").and_then(|value| value.table(name)) else {
        return HttpConfig::default();
    };
    let ca_file = table.get("ca_file").and_then(|value| pem_file(&value, keyring.secrets));
    let proxy = table.get("proxy").and_then(|value| proxy(&value, keyring));
    table.finish(&[]);
    HttpConfig { ca_file, proxy }
}

/// A proxy that the environment names must be one, where no other is named.
pub(crate) fn check_environment(root: &Table<'_>, http: &HttpConfig, keyring: Keyring<'_>) {
    if http.proxy.is_some() || keyring.secrets == Secrets::Unneeded {
        return;
    }
    if let Err(bad) = Proxies::of_environment(|name| keyring.env.var(name)) {
        root.findings().of_environment(bad.to_string(), bad.how());
    }
}

/// Reads the name of a file with certificates. One that is not there is an error for everybody; what
/// is wrong inside one is an error for who asks, and else a warning: only the connections that need the
/// file fail.
pub(crate) fn pem_file(value: &Value<'_>, secrets: Secrets) -> Option<PathBuf> {
    let path = value.path()?;
    let found = match std::fs::metadata(&path) {
        Ok(metadata) if !metadata.is_file() => Err("it is not a regular file".to_owned()),
        Ok(_) => std::fs::read(&path).map_err(|error| system_words(&error)),
        Err(error) => Err(system_words(&error)),
    };
    let shown = format!("`{}` {} cannot be used", value.key(), path.display());
    let bytes = match found {
        Ok(bytes) => bytes,
        Err(trouble) => {
            value.refuse(
                format!("{shown}: {trouble}"),
                "name a readable file with the certificates to trust, in PEM",
            );
            return None;
        }
    };
    if secrets == Secrets::Unneeded {
        return Some(path);
    }
    if let Err(bad) = pem::certificates(&bytes) {
        let words = format!("{shown}: {bad}");
        if secrets == Secrets::Checked {
            value.refuse(words, "store whole certificates there, in PEM");
            return None;
        }
        let hint = "until the file is fixed, only the connections that need it fail; it is \
                    read again with each request";
        value.findings().warning(value.at, words, hint);
    }
    Some(path)
}

fn proxy(value: &Value<'_>, keyring: Keyring<'_>) -> Option<ProxyConfig> {
    if value.is_table() {
        let accept = |secret: &crate::secret::Secret| {
            proxy::parse(secret.expose()).map(drop).map_err(|_| {
                "the secret is not the URL of a proxy: http://USER:PASSWORD@proxy:3128, \
                              with special characters in the password percent-encoded"
            })
        };
        // A sink may be reached through it.
        let here = Keyring { stores: None, ..keyring };
        return reference(value, here, accept).map(ProxyConfig::Secret);
    }
    let url = url(value, "\"http://proxy:3128\"")?;
    if !matches!(url.scheme(), "http" | "https") || url.path() != "/" {
        value.refuse(
            "`proxy` must be the address of an HTTP proxy",
            "write proxy = \"http://proxy:3128\"",
        );
        return None;
    }
    Some(ProxyConfig::Url(url))
}

/// `[http]`, and `http` of a provider or sink.
/// The same as JSON Schema.
pub(crate) fn schema() -> serde_json::Value {
    const PROXY: &str = "The proxy for everything but loopback: its address, or a reference to its \
                         URL if that holds a password. Default: HTTPS_PROXY and NO_PROXY.";
    const ADDRESS: &str = "Its address, without a password.";
    const KEPT: &str = "Its URL, which may hold a password; by reference only.";
    let address = shape::fitting(ADDRESS, r"^https?://[^/@?#]+/?$", "http://proxy:3128");
    shape::table(
        "How other services are reached. In a provider or sink: defaults come from [http].",
    )
    .may(
        "ca_file",
        shape::text("Certificates to trust in addition to the system's, in PEM.", "ca.pem"),
    )
    .may("proxy", shape::any_of_these(PROXY, &[address, shape::secret(KEPT)]))
    .build()
}
