//! Reads `[sinks.NAME]` of type `vault`, and the `deliver_to` entries for it.

use std::path::PathBuf;

use reqwest::Url;

use super::{
    auth::{Auth, Method},
    path::{below, check_path},
    settings::{CUSTOM, VaultTarget},
};
use crate::{
    aws_identity,
    http::pem,
    secret::Secret,
    sink::{
        entry::{labels, overwrite, payload},
        kind::Known,
    },
    table::{
        HttpConfig, Keyring, SecretRef, Secrets, Table, Value, guarded,
        http::{http, pem_file},
        secret::reference,
        shown, suggest, url,
    },
};

/// The methods that this version logs in by.
const METHODS: [&str; 6] = ["token", "approle", "kubernetes", "jwt", "cert", "aws_iam"];

/// A Vault or OpenBao server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultConfig {
    /// Where it is: https, or http to loopback; no path.
    pub address: Url,
    /// The namespace of every call, without slashes around it.
    pub namespace: Option<String>,
    /// How to log in.
    pub auth: Auth<SecretRef, Sts>,
    /// Certificates and proxy; what is left out is the top table's.
    pub http: HttpConfig,
    /// Our own certificate and its key.
    pub client: Option<Certificate>,
}

/// A certificate of our own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The certificate and those that lead to its authority, in PEM.
    pub cert: PathBuf,
    /// Its private key, in PEM.
    pub key: SecretRef,
}

/// The STS that the server asks who signed a log-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sts {
    /// Its region; `None`: the global one.
    pub region: Option<String>,
    /// The address at which the server reaches it, if not that of the region.
    pub endpoint: Option<Url>,
}

/// Reads the rest of a `[sinks.NAME]`.
pub(super) fn sink(
    table: &Table<'_>,
    outer: &HttpConfig,
    keyring: Keyring<'_>,
) -> Option<VaultConfig> {
    let address =
        table.require("address", "\"https://vault.example.com:8200\"").and_then(|v| address(&v));
    let spaced = table.get("namespace").map(|value| namespace(&value));
    let within = spaced.as_ref().map_or(Some(None), |read| read.clone().map(Some));
    let own = http(table, keyring);
    let tls = table.get("tls").map(|value| tls(&value, keyring, &own));
    let certified = tls.as_ref().is_some_and(|tls| {
        // One that is wrong is there all the same.
        tls.as_ref().is_none_or(|(_, client)| client.is_some())
    });
    const EXAMPLE: &str =
        "{ method = \"approle\", role_id = \"…\", secret_id = { credential = \"NAME\" } }";
    let auth =
        table.require("auth", EXAMPLE).and_then(|value| auth(&value, keyring, certified, within));
    let (ca_file, client) = match tls {
        Some(tls) => tls?,
        None => (None, None),
    };
    let own = HttpConfig { ca_file: ca_file.or(own.ca_file), proxy: own.proxy };
    Some(VaultConfig {
        address: address?,
        namespace: match spaced {
            Some(namespace) => Some(namespace?),
            None => None,
        },
        auth: auth?,
        http: own.or(outer),
        client,
    })
}

fn address(value: &Value<'_>) -> Option<Url> {
    const HOW: &str = "write address = \"https://HOST:8200\"; http:// is only for a server on \
                       this machine, such as an agent";
    let url = url(value, "\"https://vault.example.com:8200\"")?;
    let no_path = || match url.path() {
        "/" => Ok(()),
        _ => Err("must not hold a path; a namespace goes into `namespace`".to_owned()),
    };
    let refuse = |trouble: String| value.refuse(format!("`address` {trouble}"), HOW);
    guarded(&url, "tokens").and_then(|()| no_path()).map_err(refuse).ok()?;
    Some(url)
}

fn namespace(value: &Value<'_>) -> Option<String> {
    let text = value.string()?.trim_matches('/');
    if check_path(text).is_err() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        value.refuse("`namespace` is not valid", "write namespace = \"team-a\" or \"org/team-a\"");
        return None;
    }
    Some(text.to_owned())
}

type Tls = (Option<PathBuf>, Option<Certificate>);

fn tls(value: &Value<'_>, keyring: Keyring<'_>, http: &HttpConfig) -> Option<Tls> {
    let table = value.table("`tls`")?;
    let before = table.findings().count();
    let ca = table.get("ca_file");
    if let Some(ca) = ca.filter(|_| http.ca_file.is_some()) {
        table.findings().error(
            ca.key_at,
            "`ca_file` is in both `tls` and `http`",
            "keep one of them",
        );
    }
    let ca_file = ca.and_then(|value| pem_file(&value, keyring.secrets));
    let cert = table.get("client_cert");
    let key = table.get("client_key");
    let read_cert = cert.and_then(|value| pem_file(&value, keyring.secrets));
    let read_key = key.and_then(|value| reference(&value, keyring, is_private_key));
    let client = match (cert, key) {
        (Some(_), Some(_)) => {
            let both = read_cert.zip(read_key);
            let client = both.map(|(cert, key)| Certificate { cert, key });
            client.filter(|client| fit_together(client, value, keyring))
        }
        (None, None) => None,
        (Some(half), None) | (None, Some(half)) => {
            table.findings().error(
                half.key_at,
                "`client_cert` and `client_key` go together",
                "write client_cert = \"cert.pem\", client_key = { file = \"key.pem\" }",
            );
            None
        }
    };
    let findings = table.findings();
    table.finish(&[]);
    (findings.count() == before).then_some((ca_file, client))
}

/// Whether the certificate and the key are a pair, as far as both can be read: an error for who asks,
/// and else a warning, since only what needs them fails.
fn fit_together(client: &Certificate, value: &Value<'_>, keyring: Keyring<'_>) -> bool {
    let (cert, key) = (std::fs::read_to_string(&client.cert), client.key.read(keyring.env));
    let (Ok(cert), Ok(key), true) = (cert, key, keyring.secrets != Secrets::Unneeded) else {
        return true;
    };
    let pem = Secret::new(format!("{cert}\n{}\n", key.expose()));
    let Err(words) = pem::identity(&pem) else { return true };
    let message = format!("`client_cert` and `client_key` do not belong together: {words}");
    let hint = "name the certificate that was issued for this key";
    if keyring.secrets == Secrets::Checked {
        value.refuse(message, hint);
        return false;
    }
    value.findings().warning(value.at, message, hint);
    true
}

fn is_private_key(pem: &Secret) -> Result<(), &'static str> {
    let text = pem.expose();
    if text.contains("ENCRYPTED PRIVATE KEY") {
        return Err("the private key is encrypted; save it without a passphrase");
    }
    if text.contains("PRIVATE KEY-----") {
        return Ok(());
    }
    Err("this is not a private key in PEM (-----BEGIN PRIVATE KEY-----)")
}

/// `within`: the namespace of the secrets, `None` where it has mistakes of its own.
fn auth(
    value: &Value<'_>,
    keyring: Keyring<'_>,
    certified: bool,
    within: Option<Option<String>>,
) -> Option<Auth<SecretRef, Sts>> {
    let table = value.table("`auth`")?;
    let before = table.findings().count();
    let named = table.require("method", "\"approle\"")?;
    let name = named.string()?;
    let method = match name {
        "token" => table
            .require("token", "{ file = \"PATH\" }")
            .and_then(|value| reference(&value, keyring, fits_a_header))
            .map(Method::Token),
        "approle" => approle(&table, keyring),
        "kubernetes" => {
            let role = table.require("role", "\"scimitar\"").and_then(|value| word(&value));
            let jwt = table.get("jwt").map(|value| reference(&value, keyring, fits_a_header));
            let jwt = jwt.map_or(Some(None), |jwt| jwt.map(Some));
            role.zip(jwt).map(|(role, jwt)| Method::Kubernetes { role, jwt })
        }
        "jwt" => {
            let role = table.get("role").and_then(|value| word(&value));
            let jwt = table.require("jwt", "{ file = \"PATH\" }");
            let jwt = jwt.and_then(|value| reference(&value, keyring, fits_a_header));
            jwt.map(|jwt| Method::Jwt { role, jwt })
        }
        "cert" => {
            if !certified {
                named.refuse(
                    "`method = \"cert\"` needs a certificate",
                    "write tls = { client_cert = \"cert.pem\", client_key = { file = \"key.pem\" } } \
                     beside `auth`",
                );
            }
            let role = table.get("role").and_then(|value| word(&value));
            Some(Method::Cert { role })
        }
        "aws_iam" => {
            let role = table.get("role").and_then(|value| word(&value));
            let header_value = table.get("header_value").and_then(|value| header(&value));
            let sts_region = table.get("sts_region").map(|value| aws_identity::region(&value));
            let sts_endpoint = table.get("sts_endpoint").map(|value| {
                if sts_region.is_none() {
                    value.findings().error(
                        value.key_at,
                        "`sts_endpoint` needs the region that its requests are signed for",
                        "write sts_region = \"eu-central-1\" beside it, both as the server has them: \
                         vault read auth/aws/config/client",
                    );
                }
                aws_identity::endpoint(&value)
            });
            let identity = Sts { region: sts_region.flatten(), endpoint: sts_endpoint.flatten() };
            Some(Method::AwsIam { role, header_value, identity })
        }
        unknown => {
            named.refuse(
                format!("there is no method \"{}\"", shown(unknown)),
                suggest(unknown, METHODS, "the methods are"),
            );
            return None;
        }
    };
    let mount = table.get("mount").map(|value| mount(&value));
    let namespace = table.get("namespace").and_then(|value| login_namespace(&value, within));
    let findings = table.findings();
    table.finish(&[]);
    let mount = match mount {
        Some(mount) => mount?,
        // The server calls the method by another name.
        None if name == "aws_iam" => "aws".to_owned(),
        None => name.to_owned(),
    };
    let method = method.filter(|_| findings.count() == before)?;
    Some(Auth { mount, method, namespace })
}

/// The namespace of the log-in; "/" is the root. A token is good there and below, and nowhere else.
fn login_namespace(value: &Value<'_>, within: Option<Option<String>>) -> Option<String> {
    let name = match value.string()? {
        "/" => String::new(),
        _ => namespace(value)?,
    };
    let within = within?.unwrap_or_default();
    let inside = name.is_empty() || within == name || below(&within, &name).is_some();
    if !inside {
        value.refuse(
            "the `namespace` of the log-in is neither that of the secrets nor one above it",
            "its token would not be valid there: write namespace = \"org/team\" beside \
             auth = { namespace = \"org\", … }",
        );
        return None;
    }
    Some(name)
}

fn approle(table: &Table<'_>, keyring: Keyring<'_>) -> Option<Method<SecretRef, Sts>> {
    let role_id = table.require("role_id", "\"…\"").and_then(|value| word(&value));
    let secret_id = table
        .require("secret_id", "{ credential = \"NAME\" }")
        .and_then(|value| reference(&value, keyring, fits_a_header));
    let wrapped = table.get("wrapped").and_then(|value| value.boolean());
    let single_use = table.get("single_use").and_then(|value| value.boolean());
    Some(Method::Approle {
        role_id: role_id?,
        secret_id: secret_id?,
        wrapped: wrapped.unwrap_or(false),
        single_use: single_use.unwrap_or(false),
    })
}

/// White space around a secret is dropped when it is used.
fn fits_a_header(secret: &Secret) -> Result<(), &'static str> {
    let fits = secret.expose().trim().bytes().all(|byte| byte.is_ascii_graphic());
    if fits { Ok(()) } else { Err("it has characters that are not allowed in a header") }
}

fn header(value: &Value<'_>) -> Option<String> {
    let text = value.string()?;
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        value.refuse(
            "`header_value` is not a valid header value",
            "copy `iam_server_id_header_value` from the server: vault read auth/aws/config/client",
        );
        return None;
    }
    Some(text.to_owned())
}

fn word(value: &Value<'_>) -> Option<String> {
    value.unbroken("copy it again from the server's settings")
}

/// Reads what `deliver_to` says of a secret.
pub(super) fn target(table: &Table<'_>, known: &Known<'_>) -> Option<VaultTarget> {
    let path = table.require("path", "\"secret/scim/initech\"").and_then(|value| path(&value));
    let said = table.get("mount").and_then(|value| Some((value, mount(&value)?)));
    let payload = table.get("payload").and_then(|value| payload(&value, None, false));
    let overwrite = overwrite(table);
    let custom_metadata = labels(table, &CUSTOM, known);
    let path = path?;
    if let Some((value, mount)) = &said
        && below(&path, mount).is_none()
    {
        value.refuse("`path` does not lie in this `mount`", "`path` begins with the mount");
    }
    let mount = said.map(|(_, mount)| mount);
    Some(VaultTarget { path, mount, payload, overwrite, custom_metadata })
}

fn path(value: &Value<'_>) -> Option<String> {
    let text = value.string()?;
    let trouble = match check_path(text) {
        Ok(()) if text.contains('/') => return Some(text.to_owned()),
        Ok(()) => "names a mount and no secret in it",
        Err(words) => words,
    };
    value.refuse(
        format!("`path` {trouble}"),
        "write a path such as \"secret/scim/initech\", the mount in front, without \"data/\"",
    );
    None
}

fn mount(value: &Value<'_>) -> Option<String> {
    let text = value.string()?.trim_matches('/');
    if let Err(words) = check_path(text) {
        value.refuse(format!("`mount` {words}"), "write mount = \"secret\"");
        return None;
    }
    Some(text.to_owned())
}
