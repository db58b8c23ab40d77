//! What a file of credentials says, as Google writes it: a service account's key, or the configuration of
//! a workload identity federation.

use std::path::PathBuf;

use jsonwebtoken::EncodingKey;
use reqwest::Url;
use serde::Deserialize;

use crate::{http::Endpoint, secret::Secret};

/// Where log-ins are, unless the file says otherwise.
const TOKEN: &str = "https://oauth2.googleapis.com/token";

/// How to log in.
pub(super) enum Credentials {
    /// By a service account's key.
    Key(ServiceAccount),
    /// By a token of another issuer.
    Federated(Federated),
}

/// A service account's key.
pub(super) struct ServiceAccount {
    pub(super) email: String,
    pub(super) key_id: Option<String>,
    /// The private key in PEM.
    pub(super) key: Secret,
    pub(super) token: Endpoint,
}

/// A workload identity federation.
pub(super) struct Federated {
    pub(super) audience: String,
    /// Of which kind the other issuer's token is.
    pub(super) token_type: String,
    pub(super) token: Endpoint,
    /// The file that the other issuer's token is in.
    pub(super) file: PathBuf,
    /// The key that it stands under, where the file is JSON.
    pub(super) field: Option<String>,
    /// Where the service account that is acted for is asked for its token.
    pub(super) impersonate: Option<Endpoint>,
}

#[derive(Deserialize)]
struct Kind {
    #[serde(default)]
    r#type: String,
}

#[derive(Deserialize)]
struct KeyFile {
    client_email: String,
    #[serde(default)]
    private_key_id: Option<String>,
    private_key: String,
    #[serde(default)]
    token_uri: Option<String>,
}

#[derive(Deserialize)]
struct FederationFile {
    audience: String,
    subject_token_type: String,
    token_url: String,
    credential_source: Source,
    #[serde(default)]
    service_account_impersonation_url: Option<String>,
}

#[derive(Deserialize)]
struct Source {
    #[serde(default)]
    file: Option<PathBuf>,
    #[serde(default)]
    format: Option<Format>,
}

#[derive(Deserialize)]
struct Format {
    r#type: String,
    #[serde(default)]
    subject_token_field_name: Option<String>,
}

/// Reads a file of credentials.
///
/// # Errors
/// In words that quote nothing of it but its `type`.
pub(super) fn read(text: &Secret) -> Result<Credentials, String> {
    let text = text.expose();
    let kind = serde_json::from_str::<Kind>(text);
    let kind =
        kind.map_err(|_| "it is not a JSON object in Google's credentials format".to_owned())?;
    match kind.r#type.as_str() {
        "service_account" => key(text).map(Credentials::Key),
        "external_account" => federated(text).map(Credentials::Federated),
        "authorized_user" | "external_account_authorized_user" => {
            Err("it is a person's log-in; use a service account's key or a workload identity \
                 federation"
                .to_owned())
        }
        other => {
            let known = !other.is_empty() && other.len() < 40 && other.bytes().all(is_word);
            let named = if known { format!("\"{other}\"") } else { "of no type".to_owned() };
            Err(format!("it is {named}, and not \"service_account\" or \"external_account\""))
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte == b'_'
}

fn key(text: &str) -> Result<ServiceAccount, String> {
    let file: KeyFile = serde_json::from_str(text)
        .map_err(|_| "the key lacks client_email or private_key, or they have another form")?;
    let key = Secret::new(file.private_key);
    // The library's own words may quote what it could not read.
    EncodingKey::from_rsa_pem(key.expose().as_bytes())
        .map_err(|_| "its private_key is not an RSA private key in PEM")?;
    let token = endpoint(file.token_uri.as_deref().unwrap_or(TOKEN), "token_uri")?;
    Ok(ServiceAccount { email: file.client_email, key_id: file.private_key_id, key, token })
}

fn federated(text: &str) -> Result<Federated, String> {
    let file: FederationFile = serde_json::from_str(text).map_err(|_| {
        "the federation lacks audience, subject_token_type, token_url or credential_source, or they have another \
         form"
    })?;
    let Some(path) = file.credential_source.file else {
        return Err("its credential_source is not a file; gcloud iam workload-identity-pools \
                    create-cred-config with --credential-source-file makes one with a file"
            .to_owned());
    };
    let field = match file.credential_source.format {
        Some(format) if format.r#type == "json" => Some(
            format
                .subject_token_field_name
                .ok_or("its credential_source is JSON and lacks subject_token_field_name")?,
        ),
        Some(_) | None => None,
    };
    let impersonate = file.service_account_impersonation_url.as_deref();
    Ok(Federated {
        audience: file.audience,
        token_type: file.subject_token_type,
        token: endpoint(&file.token_url, "token_url")?,
        file: path,
        field,
        impersonate: impersonate
            .map(|url| endpoint(url, "service_account_impersonation_url"))
            .transpose()?,
    })
}

fn endpoint(url: &str, what: &str) -> Result<Endpoint, String> {
    let url = Url::parse(url).map_err(|_| format!("its {what} is not a URL"))?;
    Endpoint::try_new(url).map_err(|error| format!("its {what}: {error}"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn refused(document: &Value) -> String {
        let refused = read(&Secret::new(document.to_string())).err().unwrap();
        assert!(!refused.contains("canary"), "{refused}");
        refused
    }

    #[test]
    fn what_is_no_log_in_of_a_program_is_refused_in_words() {
        let words = read(&Secret::new("canary".to_owned())).err().unwrap();
        assert!(words.contains("not a JSON object") && !words.contains("canary"), "{words}");
        for (document, words) in [
            (json!({ "type": "authorized_user", "refresh_token": "canary" }), "a person's log-in"),
            (json!({ "type": "gdch_service_account" }), "\"gdch_service_account\""),
            (json!({ "type": "canary 1" }), "of no type"),
            (json!({ "type": "service_account", "private_key": "canary" }), "lacks client_email"),
            (
                json!({ "type": "service_account", "client_email": "a@b", "private_key": "canary" }),
                "not an RSA private key",
            ),
            (json!({ "type": "external_account", "audience": 1 }), "lacks audience"),
        ] {
            assert!(refused(&document).contains(words), "{document}: {}", refused(&document));
        }
    }

    #[test]
    fn a_federation_reads_its_token_from_a_file() {
        let mut document = json!({
            "type": "external_account", "audience": "//iam.googleapis.com/x",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": "https://sts.googleapis.com/v1/token",
            "credential_source": { "file": "/run/token",
                "format": { "type": "json", "subject_token_field_name": "t" } },
        });
        let read = |document: &Value| match read(&Secret::new(document.to_string())).ok() {
            Some(Credentials::Federated(federated)) => federated,
            Some(Credentials::Key(_)) | None => panic!("{document}"),
        };
        let federated = read(&document);
        assert_eq!(
            (federated.file.to_str(), federated.field.as_deref()),
            (Some("/run/token"), Some("t"))
        );
        assert!(federated.impersonate.is_none());
        document["credential_source"]["format"] = json!({ "type": "text" });
        assert_eq!(read(&document).field, None);
        document["token_url"] = json!("http://sts.example.com/canary");
        assert!(refused(&document).contains("unencrypted"));
        document["credential_source"] = json!({ "url": "http://169.254.169.254/canary" });
        assert!(refused(&document).contains("is not a file"));
    }
}
