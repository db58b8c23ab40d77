//! A stand-in for Google Cloud's Secret Manager, its metadata server and its log-ins, as strict as its own
//! documents say: permissions before anything else, checksums, ETags, aliases, states of versions.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::{
    cloud::{Answered, Asked, Cloud, Refusal, Rules},
    kubernetes::{decode, encode},
};

/// The most that a version holds.
const LARGEST: usize = 65_536;

/// A version; its value is gone where it is destroyed.
#[derive(Clone, Debug)]
pub struct SecretVersion {
    pub data: Vec<u8>,
    pub state: &'static str,
}

/// A secret.
#[derive(Clone, Debug, Default)]
pub struct Secret {
    pub etag: u64,
    pub versions: Vec<SecretVersion>,
    pub aliases: BTreeMap<String, u64>,
    pub annotations: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
    pub body: Value,
}

/// A project.
#[derive(Debug)]
pub struct Google {
    /// Where secrets are, as paths name it.
    pub parent: String,
    pub secrets: BTreeMap<String, Secret>,
    /// Access tokens that are good.
    pub tokens: BTreeSet<String>,
    /// What is granted.
    pub granted: BTreeSet<String>,
    /// Counts every change.
    revision: u64,
    /// Counts log-ins.
    pub logins: u64,
    /// Whether `latest` still leads to the version before.
    pub lagging: bool,
    /// Whether payloads are damaged on their way.
    pub wrong_checksum: bool,
    /// Whether a policy of the organisation refuses every change of labels.
    pub labels_refused: bool,
    /// When the secrets end.
    pub expire_time: Option<&'static str>,
}

/// All that a rotation needs on a secret.
pub const PERMISSIONS: [&str; 7] = [
    "secretmanager.secrets.create",
    "secretmanager.secrets.get",
    "secretmanager.secrets.update",
    "secretmanager.versions.access",
    "secretmanager.versions.add",
    "secretmanager.versions.destroy",
    "secretmanager.versions.get",
];

/// A running one.
pub type SecretManager = Cloud<Google>;

/// Starts one whose secrets are in a project, with everything granted.
pub async fn start(parent: &str) -> SecretManager {
    Cloud::start(|_| Google {
        parent: parent.to_owned(),
        secrets: BTreeMap::new(),
        tokens: BTreeSet::new(),
        granted: PERMISSIONS.map(str::to_owned).into(),
        revision: 0,
        logins: 0,
        lagging: false,
        wrong_checksum: false,
        labels_refused: false,
        expire_time: None,
    })
    .await
}

fn refusal(status: u16, name: &'static str, words: impl Into<String>) -> Refusal {
    Refusal { status, name, words: words.into() }
}

/// CRC-32C, bit by bit.
fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = !0_u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            let odd = crc & 1 == 1;
            crc >>= 1;
            if odd {
                crc ^= 0x82F6_3B78;
            }
        }
    }
    !crc
}

impl Google {
    /// Adds a version behind everybody's back, and leads the aliases to it.
    pub fn put(&mut self, secret: &str, data: &[u8]) {
        self.revision += 1;
        let secret = self.secrets.entry(secret.to_owned()).or_default();
        secret.etag = self.revision;
        secret.versions.push(SecretVersion { data: data.to_vec(), state: "ENABLED" });
        let last = secret.versions.len() as u64;
        secret.aliases.values_mut().for_each(|number| *number = last);
    }

    /// What readers get.
    pub fn value(&self, secret: &str, alias: Option<&str>) -> Option<String> {
        let secret = self.secrets.get(secret)?;
        let number = match alias {
            None => secret.versions.len() as u64,
            Some(alias) => *secret.aliases.get(alias)?,
        };
        let version = secret.versions.get(usize::try_from(number).ok()?.checked_sub(1)?)?;
        (version.state == "ENABLED").then(|| String::from_utf8_lossy(&version.data).into_owned())
    }

    fn log_in(&mut self) -> String {
        self.logins += 1;
        let token = format!("ya29.acce55{}", self.logins);
        self.tokens.insert(token.clone());
        token
    }

    fn allow(&self, permission: &str) -> Result<(), Refusal> {
        if self.granted.contains(permission) {
            return Ok(());
        }
        let words = format!("Permission '{permission}' denied on resource (or it may not exist).");
        Err(refusal(403, "PERMISSION_DENIED", words))
    }

    fn there(&mut self, id: &str) -> Result<&mut Secret, Refusal> {
        let words = format!("Secret [{}/secrets/{id}] not found or has no versions.", self.parent);
        self.secrets.get_mut(id).ok_or_else(|| refusal(404, "NOT_FOUND", words))
    }

    fn head(&self, id: &str) -> Value {
        let secret = &self.secrets[id];
        let aliases: BTreeMap<_, _> =
            secret.aliases.iter().map(|(name, number)| (name, number.to_string())).collect();
        json!({
            "name": format!("projects/4711/secrets/{id}"),
            "createTime": "2026-11-22T04:00:00Z",
            "etag": format!("\"{}\"", secret.etag),
            "versionAliases": aliases,
            "annotations": secret.annotations,
            "labels": secret.labels,
            "expireTime": self.expire_time,
        })
    }

    /// A version by its number, `latest` or an alias.
    fn number(&mut self, id: &str, which: &str) -> Result<usize, Refusal> {
        let lagging = usize::from(self.lagging);
        let secret = self.there(id)?;
        let last = secret.versions.len();
        let number = match which {
            "latest" => last.saturating_sub(lagging),
            other => match secret.aliases.get(other) {
                Some(number) => usize::try_from(*number).unwrap_or(0),
                None => other.parse().unwrap_or(0),
            },
        };
        if number == 0 || number > last {
            let words = format!("Secret Version [{id}/versions/{which}] not found.");
            return Err(refusal(404, "NOT_FOUND", words));
        }
        Ok(number)
    }

    fn version(&mut self, id: &str, which: &str, verb: Option<&str>) -> Result<Value, Refusal> {
        let number = self.number(id, which)?;
        let damage = u32::from(self.wrong_checksum);
        let version = &mut self.secrets.get_mut(id).unwrap().versions[number - 1];
        let name = format!("projects/4711/secrets/{id}/versions/{number}");
        let closed = |state| {
            let words = format!("Secret Version [{name}] is in {state} state.");
            Err(refusal(400, "FAILED_PRECONDITION", words))
        };
        match (verb, version.state) {
            (None, state) => Ok(json!({ "name": name, "state": state, "etag": "\"1\"" })),
            (Some("access"), "ENABLED") => {
                let sum = (checksum(&version.data) ^ damage).to_string();
                let payload = json!({ "data": encode(&version.data), "dataCrc32c": sum });
                Ok(json!({ "name": name, "payload": payload }))
            }
            (Some("destroy"), "ENABLED" | "DISABLED") => {
                *version = SecretVersion { data: Vec::new(), state: "DESTROYED" };
                Ok(json!({ "name": name, "state": "DESTROYED" }))
            }
            (_, state) => closed(state),
        }
    }

    fn create(&mut self, asked: &Asked) -> Result<Value, Refusal> {
        let id = asked.query.get("secretId").cloned().unwrap_or_default();
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        let regional = self.parent.contains("/locations/");
        let automatic = asked.body["replication"]["automatic"].is_object();
        if id.is_empty() || id.len() > 255 || !id.bytes().all(is_word) || automatic == regional {
            return Err(refusal(400, "INVALID_ARGUMENT", "the secret cannot be made so"));
        }
        if self.secrets.contains_key(&id) {
            let words = format!("Secret [{id}] already exists.");
            return Err(refusal(409, "ALREADY_EXISTS", words));
        }
        self.revision += 1;
        let labels = serde_json::from_value(asked.body["labels"].clone()).unwrap_or_default();
        let body = asked.body.clone();
        let secret = Secret { etag: self.revision, labels, body, ..Secret::default() };
        self.secrets.insert(id.clone(), secret);
        Ok(self.head(&id))
    }

    fn add(&mut self, id: &str, asked: &Asked) -> Result<Value, Refusal> {
        self.there(id)?;
        let payload = &asked.body["payload"];
        let data = decode(payload["data"].as_str().unwrap_or_default());
        let data = data.ok_or_else(|| refusal(400, "INVALID_ARGUMENT", "data is not base64"))?;
        if payload["dataCrc32c"] != json!(checksum(&data).to_string()) {
            return Err(refusal(400, "INVALID_ARGUMENT", "the checksum does not match"));
        }
        if data.is_empty() || data.len() > LARGEST {
            return Err(refusal(400, "INVALID_ARGUMENT", "the payload must have 1 to 65536 bytes"));
        }
        let secret = self.there(id)?;
        secret.versions.push(SecretVersion { data, state: "ENABLED" });
        let number = secret.versions.len();
        let name = format!("projects/4711/secrets/{id}/versions/{number}");
        Ok(json!({ "name": name, "state": "ENABLED" }))
    }

    fn patch(&mut self, id: &str, asked: &Asked) -> Result<Value, Refusal> {
        let mask = asked.query.get("updateMask").cloned().unwrap_or_default();
        let invalid = |words: &str| refusal(400, "INVALID_ARGUMENT", words);
        if self.labels_refused && mask.split(',').any(|field| field == "labels") {
            return Err(refusal(403, "PERMISSION_DENIED", "a constraint of the organisation"));
        }
        self.revision += 1;
        let revision = self.revision;
        let secret = self.there(id)?;
        let named = &asked.body["etag"];
        if !named.is_null() && *named != json!(format!("\"{}\"", secret.etag)) {
            let words = "The etag provided is not the current one.";
            return Err(refusal(400, "FAILED_PRECONDITION", words));
        }
        for field in mask.split(',') {
            let value = asked.body[field].as_object().cloned().unwrap_or_default();
            let texts = value.iter().map(|(key, text)| Some((key.clone(), text.as_str()?)));
            let texts: Option<BTreeMap<String, &str>> = texts.collect();
            let texts = texts.ok_or_else(|| invalid("values are texts"))?;
            match field {
                "annotations" => {
                    let size: usize = texts.iter().map(|(key, text)| key.len() + text.len()).sum();
                    if size > 16 * 1024 || texts.keys().any(|key| key.len() > 63) {
                        return Err(invalid("annotations have at most 16 KiB"));
                    }
                    let owned = texts.into_iter().map(|(key, text)| (key, text.to_owned()));
                    secret.annotations = owned.collect();
                }
                "labels" => {
                    let fits = |text: &str, least: usize| {
                        let plain = |c: char| {
                            c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c)
                        };
                        (least..=63).contains(&text.len()) && text.chars().all(plain)
                    };
                    let all = texts.len() <= 64
                        && texts.iter().all(|(key, text)| {
                            fits(key, 1) && fits(text, 0) && key.starts_with(char::is_alphabetic)
                        });
                    if !all {
                        return Err(invalid("at most 64 labels of lower-case letters and digits"));
                    }
                    let owned = texts.into_iter().map(|(key, text)| (key, text.to_owned()));
                    secret.labels = owned.collect();
                }
                "versionAliases" => {
                    let number = |text: &str| text.parse::<u64>().ok();
                    let numbers =
                        texts.iter().map(|(key, text)| Some((key.clone(), number(text)?)));
                    let numbers: Option<BTreeMap<String, u64>> = numbers.collect();
                    let numbers = numbers.ok_or_else(|| invalid("aliases lead to numbers"))?;
                    let last = secret.versions.len() as u64;
                    if numbers.values().any(|number| *number == 0 || *number > last) {
                        return Err(invalid("an alias leads to no version"));
                    }
                    secret.aliases = numbers;
                }
                _ => return Err(invalid("that field is not updated here")),
            }
        }
        secret.etag = revision;
        Ok(self.head(id))
    }
}

impl Rules for Google {
    fn verb(asked: &Asked) -> &'static str {
        let path = asked.path.as_str();
        match asked.method.as_str() {
            _ if path.ends_with("/token") => "login",
            "GET" if path.ends_with(":access") => "access",
            "GET" => "get",
            "PATCH" => "patch",
            _ if path.ends_with(":addVersion") => "add",
            _ if path.ends_with(":destroy") => "destroy",
            _ if path.ends_with(":testIamPermissions") => "test",
            _ => "create",
        }
    }

    fn carry_out(&mut self, asked: &Asked) -> Result<Answered, Refusal> {
        if asked.path == "/computeMetadata/v1/instance/service-accounts/default/token" {
            if asked.headers.get("metadata-flavor").map(String::as_str) != Some("Google") {
                return Err(refusal(403, "PERMISSION_DENIED", "Missing Metadata-Flavor:Google"));
            }
            let body = json!({ "access_token": self.log_in(), "expires_in": 3599, "token_type": "Bearer" });
            let headers = vec![("metadata-flavor", "Google".to_owned())];
            return Ok(Answered { status: 200, headers, body });
        }
        if asked.path == "/token" || asked.path == "/sts/token" {
            let field = if asked.path == "/token" { "assertion" } else { "subject_token" };
            if asked.form.get(field).is_none_or(String::is_empty) {
                return Err(refusal(400, "invalid_grant", "Missing parameter"));
            }
            return Ok(Answered::ok(json!({ "access_token": self.log_in(), "expires_in": 3599 })));
        }
        if !self.tokens.contains(asked.token()) {
            return Err(refusal(401, "UNAUTHENTICATED", "Request had invalid credentials."));
        }
        if asked.path.ends_with(":generateAccessToken") {
            let body =
                json!({ "accessToken": self.log_in(), "expireTime": "2099-01-01T00:00:00Z" });
            return Ok(Answered::ok(body));
        }
        let secrets = format!("/v1/{}/secrets", self.parent);
        let Some(rest) = asked.path.strip_prefix(&secrets) else {
            return Err(refusal(403, "PERMISSION_DENIED", "the project is another one"));
        };
        let parts: Vec<&str> = rest.trim_start_matches('/').split(['/', ':']).collect();
        let body = match (asked.method.as_str(), parts.as_slice()) {
            ("POST", [""]) => {
                self.allow("secretmanager.secrets.create")?;
                self.create(asked)?
            }
            ("GET", [id]) => {
                self.allow("secretmanager.secrets.get")?;
                self.there(id)?;
                self.head(id)
            }
            ("PATCH", [id]) => {
                self.allow("secretmanager.secrets.update")?;
                self.patch(id, asked)?
            }
            ("POST", [id, "addVersion"]) => {
                self.allow("secretmanager.versions.add")?;
                self.add(id, asked)?
            }
            ("POST", [id, "testIamPermissions"]) => {
                self.there(id)?;
                let asked = asked.body["permissions"].as_array().cloned().unwrap_or_default();
                let ours = |one: &Value| one.as_str().is_some_and(|it| self.granted.contains(it));
                json!({ "permissions": asked.into_iter().filter(ours).collect::<Vec<_>>() })
            }
            ("GET", [id, "versions", which, "access"]) => {
                self.allow("secretmanager.versions.access")?;
                self.version(id, which, Some("access"))?
            }
            ("GET", [id, "versions", which]) => {
                self.allow("secretmanager.versions.get")?;
                self.version(id, which, None)?
            }
            ("POST", [id, "versions", which, "destroy"]) => {
                self.allow("secretmanager.versions.destroy")?;
                self.version(id, which, Some("destroy"))?
            }
            _ => return Err(refusal(404, "NOT_FOUND", "Method not found.")),
        };
        Ok(Answered::ok(body))
    }

    fn overtake(&mut self, asked: &Asked) {
        let id = asked.path.rsplit("/secrets/").next().unwrap_or_default();
        let id = id.split([':', '/']).next().unwrap_or_default().to_owned();
        self.put(&id, b"{\"theirs\":\"first\"}");
    }

    fn refusal(refusal: &Refusal) -> Value {
        // The log-in has OAuth's own form.
        if refusal.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
            return json!({ "error": refusal.name, "error_description": refusal.words });
        }
        json!({ "error": {
            "code": refusal.status, "message": refusal.words, "status": refusal.name,
        }})
    }
}
