//! `auth` of a sink of Microsoft, as it is configured.

use std::{path::PathBuf, sync::Arc};

use reqwest::Url;

use super::login::{self, Identity};
use crate::{
    http::Endpoint,
    kind::{BuildError, Parts},
    table::{Environment, Keyring, SecretRef, Secrets, Table, Value, secret::reference},
};

/// Where a machine's host says who it is (Microsoft's documentation "Azure Instance Metadata Service").
const METADATA: &str = "http://169.254.169.254";

/// The variable by which Azure's own tools are told another place.
const METADATA_HOST: &str = "AZURE_POD_IDENTITY_AUTHORITY_HOST";

/// What a pod of a workload identity is told.
const TENANT: &str = "AZURE_TENANT_ID";
const CLIENT: &str = "AZURE_CLIENT_ID";
const TOKEN_FILE: &str = "AZURE_FEDERATED_TOKEN_FILE";

/// How to log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sink) enum Auth {
    /// An application by its secret.
    ClientSecret { tenant: String, client: String, secret: SecretRef },
    /// An application by its certificate.
    Certificate { tenant: String, client: String, pem: SecretRef },
    /// An application by a token of another issuer; what is left out, the environment says.
    Workload { tenant: Option<String>, client: Option<String>, file: Option<PathBuf> },
    /// The identity of the machine.
    Managed { client: Option<String> },
}

#[derive(Clone, Copy)]
enum Method {
    ClientSecret,
    Certificate,
    Workload,
    Managed,
}

/// Reads `auth`.
pub(in crate::sink) fn auth(value: &Value<'_>, keyring: Keyring<'_>) -> Option<Auth> {
    let table = value.table("`auth`")?;
    let before = table.findings().count();
    let method = table.require("method", "\"managed_identity\"")?.word(&[
        ("client_secret", Method::ClientSecret),
        ("certificate", Method::Certificate),
        ("workload_identity", Method::Workload),
        ("managed_identity", Method::Managed),
    ])?;
    let read = match method {
        Method::ClientSecret => {
            let (tenant, client) = application(&table);
            let secret = table.require("client_secret", "{ credential = \"azure\" }");
            let secret = secret.and_then(|value| reference(&value, keyring, |_| Ok(())));
            tenant.zip(client).zip(secret).map(|((tenant, client), secret)| Auth::ClientSecret {
                tenant,
                client,
                secret,
            })
        }
        Method::Certificate => {
            let (tenant, client) = application(&table);
            let pem = table.require("certificate", "{ credential = \"azure\" }");
            let pem = pem.and_then(|value| {
                let read = reference(&value, keyring, |_| Ok(()))?;
                check(&value, &read, keyring);
                Some(read)
            });
            tenant.zip(client).zip(pem).map(|((tenant, client), pem)| Auth::Certificate {
                tenant,
                client,
                pem,
            })
        }
        Method::Workload => {
            let tenant = table.get("tenant").and_then(|value| word(&value));
            let client = table.get("client_id").and_then(|value| word(&value));
            let file = table.get("token_file").and_then(|value| value.path());
            let auth = Auth::Workload { tenant, client, file };
            in_a_pod(&table, &auth, keyring);
            Some(auth)
        }
        Method::Managed => {
            Some(Auth::Managed { client: table.get("client_id").and_then(|value| word(&value)) })
        }
    };
    let findings = table.findings();
    table.finish(&[]);
    read.filter(|_| findings.count() == before)
}

fn application(table: &Table<'_>) -> (Option<String>, Option<String>) {
    let tenant = table.require("tenant", "\"acme.onmicrosoft.com\"");
    let client = table.require("client_id", "\"…\"");
    (tenant.and_then(|value| word(&value)), client.and_then(|value| word(&value)))
}

fn word(value: &Value<'_>) -> Option<String> {
    let text = value.string()?;
    if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) {
        value.refuse(
            format!("`{}` may hold letters, digits and . _ - only", value.key()),
            "copy it from the overview of the application in Microsoft Entra",
        );
        return None;
    }
    Some(text.to_owned())
}

/// What is wrong with a certificate that can be read: an error, wherever it is asked for.
fn check(value: &Value<'_>, source: &SecretRef, keyring: Keyring<'_>) {
    if keyring.secrets == Secrets::Unneeded {
        return;
    }
    let Ok(text) = source.read(keyring.env) else { return };
    if let Err(words) = login::certificate(&text) {
        let message = format!("`certificate` cannot be used: {words}");
        value.refuse(message, format!("it was read from {source}"));
    }
}

/// Outside a pod of a workload identity nothing says the rest.
fn in_a_pod(table: &Table<'_>, auth: &Auth, keyring: Keyring<'_>) {
    let Err(words) = auth.federated(keyring.env) else { return };
    let hint = "write tenant, client_id and token_file, or label the pod azure.workload.identity/use: \"true\"";
    match keyring.secrets {
        Secrets::Needed => table.findings().error(table.at(), words, hint),
        Secrets::Checked => table.findings().warning(table.at(), words, hint),
        Secrets::Unneeded => {}
    }
}

impl Auth {
    /// As it runs.
    pub(in crate::sink) fn identity(&self, parts: &Parts) -> Result<Identity, BuildError> {
        match self {
            Self::ClientSecret { tenant, client, secret } => Ok(Identity::ClientSecret {
                tenant: tenant.clone(),
                client: client.clone(),
                secret: parts.secret(secret),
            }),
            Self::Certificate { tenant, client, pem } => Ok(Identity::Certificate {
                tenant: tenant.clone(),
                client: client.clone(),
                pem: parts.secret(pem),
            }),
            Self::Workload { .. } => {
                let env = Arc::clone(&parts.env);
                self.federated(env.as_ref()).map_err(BuildError::new)
            }
            Self::Managed { client } => {
                Ok(Identity::Managed { metadata: metadata(parts)?, client: client.clone() })
            }
        }
    }

    fn federated(&self, env: &dyn Environment) -> Result<Identity, String> {
        let Self::Workload { tenant, client, file } = self else {
            return Err("it is another method".to_owned());
        };
        let var = |name: &str| env.var(name).and_then(|text| text.into_string().ok());
        let said = |own: Option<String>, name: &str| {
            own.or_else(|| var(name).filter(|text| !text.is_empty())).ok_or_else(|| {
                format!("{name} is not set, and `auth` does not say what to use instead")
            })
        };
        let own = file.as_ref().map(|path| path.display().to_string());
        Ok(Identity::Federated {
            tenant: said(tenant.clone(), TENANT)?,
            client: said(client.clone(), CLIENT)?,
            file: PathBuf::from(said(own, TOKEN_FILE)?),
        })
    }
}

/// Where the machine's host says who it is, as Azure's own tools find it.
fn metadata(parts: &Parts) -> Result<Endpoint, BuildError> {
    let told = parts.env.var(METADATA_HOST).and_then(|text| text.into_string().ok());
    let told = told.filter(|text| !text.is_empty()).unwrap_or_else(|| METADATA.to_owned());
    let failed = |words: String| BuildError::new(format!("{METADATA_HOST}: {words}"));
    let url = Url::parse(&told).map_err(|_| failed("it is not a URL".to_owned()))?;
    Endpoint::of_this_host(url).map_err(|error| failed(error.to_string()))
}
