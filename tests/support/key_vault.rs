//! A stand-in for Azure Key Vault, Microsoft Entra ID's log-in and a machine's metadata service, as strict
//! as their own documents say: who asks is looked at first, then what is allowed, then what is asked.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::cloud::{Answered, Asked, Cloud, Refusal, Rules};

/// The most that a value has, and the most tags.
const LARGEST: usize = 25_600;
const MOST_TAGS: usize = 15;

/// A version.
#[derive(Clone, Debug)]
pub struct SecretVersion {
    pub id: String,
    pub value: String,
    pub tags: BTreeMap<String, String>,
    pub content_type: Option<String>,
    pub enabled: bool,
    pub expires: Option<i64>,
}

/// A vault.
#[derive(Debug)]
pub struct Azure {
    pub url: String,
    /// By name: the versions, the newest last.
    pub secrets: BTreeMap<String, Vec<SecretVersion>>,
    /// Names of secrets that were deleted and can be recovered.
    pub deleted: BTreeSet<String>,
    /// Access tokens that are good.
    pub tokens: BTreeSet<String>,
    /// The last words of the data actions that are granted.
    pub granted: BTreeSet<String>,
    /// Counts every change.
    revision: u64,
    /// Counts log-ins.
    pub logins: u64,
}

/// All that a rotation needs on a secret.
pub const ACTIONS: [&str; 4] = ["getSecret", "setSecret", "readMetadata", "update"];

/// A running one.
pub type KeyVault = Cloud<Azure>;

/// Starts one with everything granted.
pub async fn start() -> KeyVault {
    Cloud::start(|url| Azure {
        url: url.to_owned(),
        secrets: BTreeMap::new(),
        deleted: BTreeSet::new(),
        tokens: BTreeSet::new(),
        granted: ACTIONS.map(str::to_owned).into(),
        revision: 0,
        logins: 0,
    })
    .await
}

fn refusal(status: u16, name: &'static str, words: impl Into<String>) -> Refusal {
    Refusal { status, name, words: words.into() }
}

impl Azure {
    /// Writes a version behind everybody's back.
    pub fn put(&mut self, name: &str, value: &str) {
        let id = self.next();
        let version = SecretVersion {
            id,
            value: value.to_owned(),
            tags: BTreeMap::new(),
            content_type: None,
            enabled: true,
            expires: None,
        };
        self.secrets.entry(name.to_owned()).or_default().push(version);
    }

    /// The newest version.
    pub fn newest(&self, name: &str) -> Option<&SecretVersion> {
        self.secrets.get(name)?.last()
    }

    fn next(&mut self) -> String {
        self.revision += 1;
        format!("{:032x}", 0xabc0_0000_u64 + self.revision)
    }

    fn log_in(&mut self) -> Value {
        self.logins += 1;
        let token = format!("eyJ.acce55{}", self.logins);
        self.tokens.insert(token.clone());
        // The metadata service writes the number as text.
        json!({ "access_token": token, "expires_in": "3599", "token_type": "Bearer" })
    }

    fn allow(&self, action: &str) -> Result<(), Refusal> {
        if self.granted.contains(action) {
            return Ok(());
        }
        let words = format!("Caller is not authorized to perform action {action} on resource.");
        Err(refusal(403, "ForbiddenByRbac", words))
    }

    fn bundle(&self, name: &str, version: &SecretVersion) -> Value {
        json!({
            "value": version.value,
            "id": format!("{}/secrets/{name}/{}", self.url, version.id),
            "contentType": version.content_type,
            "attributes": { "enabled": version.enabled, "exp": version.expires },
            "tags": version.tags,
        })
    }

    fn get(&self, name: &str) -> Result<Value, Refusal> {
        let words = format!("A secret with (name/id) {name} was not found in this key vault.");
        let version = self.newest(name).ok_or_else(|| refusal(404, "SecretNotFound", words))?;
        if !version.enabled {
            let words = "Operation get is not allowed on a disabled secret.";
            return Err(refusal(403, "SecretDisabled", words));
        }
        Ok(self.bundle(name, version))
    }

    fn set(&mut self, name: &str, asked: &Asked) -> Result<Value, Refusal> {
        let bad = |words: &str| refusal(400, "BadParameter", words);
        let attributes = &asked.body["attributes"];
        let enabled = attributes["enabled"].as_bool();
        if enabled.is_none() && !attributes["enabled"].is_null() {
            return Err(bad("Property enabled has an invalid value"));
        }
        let enabled = enabled.unwrap_or(true);
        let value = asked.body["value"].as_str().ok_or_else(|| bad("Property value is missing"))?;
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if name.is_empty() || name.len() > 127 || !name.bytes().all(is_word) {
            return Err(bad("The name does not match ^[0-9a-zA-Z-]+$"));
        }
        if value.len() > LARGEST {
            return Err(bad("The value is longer than 25600 characters"));
        }
        let tags = asked.body["tags"].as_object().cloned().unwrap_or_default();
        let tags = tags.into_iter().map(|(key, text)| Some((key, text.as_str()?.to_owned())));
        let tags: Option<BTreeMap<String, String>> = tags.collect();
        let tags = tags.ok_or_else(|| bad("A tag is no text"))?;
        if tags.len() > MOST_TAGS || tags.values().any(|text| text.len() > 256) {
            return Err(bad("There are at most 15 tags of 256 characters"));
        }
        if self.deleted.contains(name) {
            let words = format!(
                "Secret {name} is currently in a deleted but recoverable state, and its name cannot be reused"
            );
            return Err(refusal(409, "ObjectIsDeletedButRecoverable", words));
        }
        let version = SecretVersion {
            id: self.next(),
            value: value.to_owned(),
            tags,
            content_type: asked.body["contentType"].as_str().map(str::to_owned),
            enabled,
            expires: attributes["exp"].as_i64(),
        };
        let answer = self.bundle(name, &version);
        self.secrets.entry(name.to_owned()).or_default().push(version);
        Ok(answer)
    }

    fn update(&mut self, name: &str, id: &str, asked: &Asked) -> Result<Value, Refusal> {
        let versions = self.secrets.get_mut(name);
        let found = versions.and_then(|all| all.iter_mut().find(|version| version.id == id));
        let words = format!("A secret with (name/id) {name}/{id} was not found.");
        let version = found.ok_or_else(|| refusal(404, "SecretNotFound", words))?;
        if let Some(enabled) = asked.body["attributes"]["enabled"].as_bool() {
            version.enabled = enabled;
        }
        if let Some(tags) = asked.body["tags"].as_object() {
            let text = |text: &Value| text.as_str().unwrap_or_default().to_owned();
            version.tags = tags.iter().map(|(key, value)| (key.clone(), text(value))).collect();
        }
        Ok(json!({ "id": id, "attributes": { "enabled": version.enabled } }))
    }
}

impl Rules for Azure {
    fn verb(asked: &Asked) -> &'static str {
        match asked.method.as_str() {
            _ if asked.path.ends_with("/token") => "login",
            "GET" if asked.path.starts_with("/deletedsecrets/") => "deleted",
            "GET" => "get",
            "PUT" if asked.body["value"].is_null() => "prove",
            "PUT" => "set",
            _ => "update",
        }
    }

    fn carry_out(&mut self, asked: &Asked) -> Result<Answered, Refusal> {
        if asked.path == "/metadata/identity/oauth2/token" {
            let is_asked = asked.headers.get("metadata").is_some_and(|text| text == "true")
                && asked.query.get("resource").is_some_and(|it| it == "https://vault.azure.net");
            if !is_asked {
                return Err(refusal(
                    400,
                    "invalid_request",
                    "Required metadata header not specified",
                ));
            }
            return Ok(Answered::ok(self.log_in()));
        }
        if asked.path.ends_with("/oauth2/v2.0/token") {
            let proven = ["client_secret", "client_assertion"];
            let proven =
                proven.iter().any(|key| asked.form.get(*key).is_some_and(|it| !it.is_empty()));
            let scope =
                asked.form.get("scope").is_some_and(|it| it == "https://vault.azure.net/.default");
            if !proven || !scope {
                return Err(refusal(401, "invalid_client", "AADSTS7000215: Invalid client secret"));
            }
            return Ok(Answered::ok(self.log_in()));
        }
        if !self.tokens.contains(asked.token()) {
            return Err(refusal(
                401,
                "Unauthorized",
                "AKV10000: Request is missing a Bearer token.",
            ));
        }
        if asked.query.get("api-version").map(String::as_str) != Some("7.4") {
            return Err(refusal(400, "BadParameter", "The api-version is missing or unknown"));
        }
        let parts: Vec<&str> = asked.path.trim_start_matches('/').split('/').collect();
        let body = match (asked.method.as_str(), parts.as_slice()) {
            ("GET", ["secrets", name]) => {
                self.allow("getSecret")?;
                self.get(name)?
            }
            ("PUT", ["secrets", name]) => {
                self.allow("setSecret")?;
                self.set(name, asked)?
            }
            ("PATCH", ["secrets", name, version]) => {
                self.allow("update")?;
                self.update(name, version, asked)?
            }
            ("GET", ["deletedsecrets", name]) => {
                self.allow("readMetadata")?;
                if !self.deleted.contains(*name) {
                    return Err(refusal(404, "SecretNotFound", "Deleted Secret not found"));
                }
                json!({ "recoveryId": format!("{}/deletedsecrets/{name}", self.url) })
            }
            _ => return Err(refusal(404, "NotFound", "there is no such call")),
        };
        Ok(Answered::ok(body))
    }

    fn overtake(&mut self, asked: &Asked) {
        let name = asked.path.trim_start_matches('/').split('/').nth(1).unwrap_or_default();
        self.put(name, "{\"theirs\":\"first\"}");
    }

    fn refusal(refusal: &Refusal) -> Value {
        // The log-in has OAuth's own form.
        if refusal.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
            let words = format!("{}\r\nTrace ID: 1", refusal.words);
            return json!({ "error": refusal.name, "error_description": words });
        }
        let outer = match refusal.status {
            403 => "Forbidden",
            409 => "Conflict",
            _ => refusal.name,
        };
        json!({ "error": {
            "code": outer, "message": refusal.words, "innererror": { "code": refusal.name },
        }})
    }
}
