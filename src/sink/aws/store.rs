//! Secrets that are kept for others: `{ aws = "scimitar/acme#client_secret", sink = "aws" }`, or without
//! a key the whole text.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{
    account::AwsAccount,
    calls::Calls,
    rights::{self, Tagging},
    settings::{Account, check_name},
};
use crate::{
    error::{Class, Code, Fault},
    kind::SecretStore,
    secret::Secret,
    sink::{
        payload::Wiped,
        rules::{
            document::Keyed,
            secret_version::{Body, SecretVersion},
        },
    },
    table::StoreWord,
};

/// How such a secret is referred to.
pub(super) const STORE: StoreWord =
    StoreWord { word: "aws", example: "scimitar/acme#client_secret", check };

fn check(location: &str) -> Result<(), String> {
    let (name, key) = split(location);
    if key == Some("") {
        return Err("has no key after the `#`".to_owned());
    }
    check_name(name).map_err(str::to_owned)
}

/// The name, which holds no hash, and the key.
fn split(location: &str) -> (&str, Option<&str>) {
    location.split_once('#').map_or((location, None), |(name, key)| (name, Some(key)))
}

/// What the role has to be allowed where these are read.
pub(super) fn policy(account: &Account, locations: &[&str]) -> Value {
    let names = locations.iter().map(|location| split(location).0.to_owned()).collect();
    let needs = rights::Needs {
        account,
        names: Default::default(),
        watched: Default::default(),
        tags: Tagging::Never,
        replicas: Default::default(),
    };
    let read = json!({
        "Sid": "ReadSecrets",
        "Effect": "Allow",
        "Action": ["secretsmanager:GetSecretValue"],
        "Resource": needs.arns(&names, &account.region),
    });
    json!({ "Version": "2012-10-17", "Statement": [read] })
}

/// The secrets of an account and region.
#[derive(Debug)]
pub(super) struct AwsStore(pub(super) Arc<AwsAccount>);

#[async_trait]
impl SecretStore for AwsStore {
    async fn secret(&self, location: &str) -> Result<Secret, Fault> {
        let account = &self.0;
        let (name, key) = split(location);
        let what = key.map(|key| format!("\"{key}\" of ")).unwrap_or_default();
        let operation = format!("read {what}{}", account.settings.location(name));
        let missing = |words: &str| Fault::new(&operation, Class::Terminal, Code::Invalid, words);
        let client = account.client().await?;
        let calls = Calls { account, client, name, operation: &operation };
        let body = calls.current().await?;
        let body = body.ok_or_else(|| missing("there is no such secret, or it has no value"))?;
        let version = SecretVersion::of(String::new(), body);
        let text: Option<Wiped> = match (key, &version.document, version.body) {
            (Some(key), Some(document), _) => document.text(key),
            (None, _, Body::Text(text)) => Some(text),
            (Some(_), None, _) | (None, _, Body::Binary(_)) => None,
        };
        let text = text.ok_or_else(|| {
            missing(match key {
                Some(_) => "the secret is not a JSON object with a string under that key",
                None => "the secret is binary",
            })
        })?;
        if text.trim().is_empty() {
            return Err(missing("it is empty"));
        }
        Ok(Secret::new(text.trim_end_matches(['\n', '\r']).to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_a_name_and_perhaps_a_key() {
        assert_eq!(check("scimitar/acme#client_secret"), Ok(()));
        assert_eq!(check("scimitar/acme"), Ok(()));
        assert!(check("scimitar/acme#").unwrap_err().contains("no key"));
        assert!(check("#key").is_err() && check("a b#key").is_err());
    }

    #[test]
    fn only_reading_is_allowed() {
        let policy = policy(&Account::of_region("eu-central-1"), &["scim/a#b", "scim/a#c"]);
        assert_eq!(
            policy["Statement"],
            json!([{
                "Sid": "ReadSecrets",
                "Effect": "Allow",
                "Action": ["secretsmanager:GetSecretValue"],
                "Resource": ["arn:aws:secretsmanager:eu-central-1:*:secret:scim/a-??????"],
            }])
        );
    }
}
