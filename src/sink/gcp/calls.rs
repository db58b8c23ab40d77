//! The calls that are made about one secret, each once.

use std::collections::BTreeMap;

use aws_smithy_types::base64;
use reqwest::Method;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{
    answers::{self, Refused},
    crc32c,
    settings::{MANAGED_BY, Project},
};
use crate::{
    error::{Class, Code, Fault},
    http::{Endpoint, Reply},
    sink::{
        access::Call,
        rules::{
            Effect,
            secret_version::{SecretVersion, text_of},
        },
    },
};

/// The annotation that the marks are in, where a payload has no room for them.
pub(super) const MARKS: &str = "scimitar-marks";

/// The calls of one operation on one secret.
pub(super) struct Calls<'a> {
    pub(super) project: &'a Project,
    pub(super) secret: &'a str,
    pub(super) operation: &'a str,
}

/// A secret, without its versions.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SecretHead {
    #[serde(default)]
    pub(super) etag: String,
    #[serde(default)]
    pub(super) annotations: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) version_aliases: BTreeMap<String, Number>,
    #[serde(default)]
    pub(super) expire_time: Option<String>,
}

/// A version's number, which proto3's JSON writes as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "Value")]
pub(super) struct Number(pub(super) u64);

impl TryFrom<Value> for Number {
    type Error = &'static str;

    fn try_from(value: Value) -> Result<Self, Self::Error> {
        let number = value.as_u64().or_else(|| value.as_str()?.parse().ok());
        number.map(Self).ok_or("not a version number")
    }
}

/// A version that was asked for.
pub(super) enum Version {
    /// There is none.
    Absent,
    /// Its value is gone.
    Destroyed(u64),
    /// Its value is kept from everybody.
    Disabled(u64),
    /// It can be read.
    Enabled(u64, SecretVersion),
}

#[derive(Deserialize)]
struct VersionHead {
    name: String,
    #[serde(default)]
    state: String,
}

impl VersionHead {
    fn number(&self) -> Option<u64> {
        self.name.rsplit('/').next()?.parse().ok()
    }
}

impl Calls<'_> {
    /// The secret; `None` where there is none.
    pub(super) async fn head(&self) -> Result<Option<SecretHead>, Fault> {
        let to = self.to(&[])?;
        match self.call(Method::GET, &to, None, Effect::None, &[]).await {
            Ok(reply) => Ok(Some(self.read(&reply, Effect::None)?)),
            Err(refused) if refused.is("NOT_FOUND") => Ok(None),
            Err(refused) => Err(refused.fault),
        }
    }

    /// A version by its number, or `latest`.
    pub(super) async fn version(&self, which: &str) -> Result<Version, Fault> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(flatten)]
            head: VersionHead,
            payload: Payload,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Payload {
            #[serde(default)]
            data: String,
            #[serde(default)]
            data_crc32c: Option<String>,
        }
        let to = self.to(&["versions", &format!("{which}:access")])?;
        let reply = match self.call(Method::GET, &to, None, Effect::None, &[]).await {
            Ok(reply) => reply,
            Err(refused) if refused.is("NOT_FOUND") => return Ok(Version::Absent),
            Err(refused) if refused.is("FAILED_PRECONDITION") => {
                return self.unseen(which, refused).await;
            }
            Err(refused) => return Err(refused.fault),
        };
        let answer: Answer = self.read(&reply, Effect::None)?;
        let unreadable =
            |words: &str| Fault::new(self.operation, Class::Transient, Code::Unreadable, words);
        let data = Zeroizing::new(answer.payload.data);
        let bytes = base64::decode(data.as_str()).map(Zeroizing::new);
        let bytes = bytes.map_err(|_| unreadable("the answer's payload is not in base64"))?;
        let sum = answer.payload.data_crc32c.as_deref();
        if sum.is_some_and(|sum| sum != crc32c::of(&bytes).to_string()) {
            return Err(unreadable(
                "the answer's payload does not have the checksum that it names",
            ));
        }
        let number = answer.head.number();
        let number = number.ok_or_else(|| unreadable("the answer does not name its version"))?;
        Ok(Version::Enabled(number, SecretVersion::of(number.to_string(), text_of(&bytes))))
    }

    /// A version whose value is not shown.
    async fn unseen(&self, which: &str, refused: Refused) -> Result<Version, Fault> {
        let to = self.to(&["versions", which])?;
        let reply = self.call(Method::GET, &to, None, Effect::None, &[]).await;
        let head: VersionHead = self.read(&reply.map_err(|other| other.fault)?, Effect::None)?;
        match (head.number(), head.state.as_str()) {
            (Some(number), "DESTROYED") => Ok(Version::Destroyed(number)),
            (Some(number), "DISABLED") => Ok(Version::Disabled(number)),
            _ => Err(refused.fault),
        }
    }

    /// Makes the secret, without a version.
    pub(super) async fn create(&self) -> Result<(), Fault> {
        let base = self.base(&["secrets"])?.query("secretId", self.secret);
        let mut body = json!({ "labels": { MANAGED_BY: "scimitar" } });
        if self.project.settings.location.is_none() {
            body["replication"] = json!({ "automatic": {} });
        }
        match self.call(Method::POST, &base, Some(&body), Effect::None, &[]).await {
            Ok(_) => Ok(()),
            // Made by somebody else in between, or by our own call whose answer was lost.
            Err(refused) if refused.is("ALREADY_EXISTS") => Ok(()),
            Err(refused) => Err(refused.fault),
        }
    }

    /// Adds a version and returns its number.
    ///
    /// # If the answer is lost
    /// The version may be there, now or later.
    pub(super) async fn add(
        &self,
        content: &Zeroizing<Vec<u8>>,
        effect: Effect,
        hidden: &[&str],
    ) -> Result<u64, Refused> {
        let to = self.to_verb("addVersion").map_err(Refused::unsent)?;
        let data = Zeroizing::new(base64::encode(content.as_slice()));
        let sum = crc32c::of(content).to_string();
        let body = json!({ "payload": { "data": data.as_str(), "dataCrc32c": sum } });
        let hidden = [hidden, &[data.as_str()]].concat();
        let reply = self.call(Method::POST, &to, Some(&body), effect, &hidden).await?;
        let head: VersionHead = self.read(&reply, effect).map_err(Refused::unsent)?;
        head.number().ok_or_else(|| {
            let words = "the answer does not name its version";
            Refused::unsent(Fault::new(self.operation, effect.lost(), Code::Unreadable, words))
        })
    }

    /// Changes the secret's annotations, labels or aliases, if it is as it was seen.
    ///
    /// # If the answer is lost
    /// It may be changed, now or later, if nobody else changed it before.
    pub(super) async fn patch(
        &self,
        seen: &SecretHead,
        change: &Value,
        effect: Effect,
    ) -> Result<SecretHead, Fault> {
        let changed: Vec<&str> =
            change.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
        let to = self.to(&[])?.query("updateMask", &changed.join(","));
        let mut body = change.clone();
        body["etag"] = json!(seen.etag);
        match self.call(Method::PATCH, &to, Some(&body), effect, &[]).await {
            Ok(reply) => self.read(&reply, effect),
            // That the etag is another by now is said so (Google's documentation of ETags).
            Err(refused) if refused.is("FAILED_PRECONDITION") => {
                Err(Fault { class: Class::Conflict, code: Code::Changed, ..refused.fault })
            }
            Err(refused) => Err(refused.fault),
        }
    }

    /// Destroys a version's value. What is destroyed, or not there, needs nothing.
    pub(super) async fn destroy(&self, number: u64) -> Result<(), Fault> {
        let to = self.to(&["versions", &format!("{number}:destroy")])?;
        match self.call(Method::POST, &to, Some(&json!({})), Effect::None, &[]).await {
            Ok(_) => Ok(()),
            Err(refused) if refused.is("NOT_FOUND") || refused.is("FAILED_PRECONDITION") => Ok(()),
            Err(refused) => Err(refused.fault),
        }
    }

    /// Those of these permissions that we have on the secret.
    pub(super) async fn granted(&self, asked: &[&str]) -> Result<Vec<String>, Fault> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default)]
            permissions: Vec<String>,
        }
        let to = self.to_verb("testIamPermissions")?;
        let body = json!({ "permissions": asked });
        let reply = self.call(Method::POST, &to, Some(&body), Effect::None, &[]).await;
        let reply = reply.map_err(|refused| refused.fault)?;
        Ok(self.read::<Answer>(&reply, Effect::None)?.permissions)
    }

    fn base(&self, path: &[&str]) -> Result<Endpoint, Fault> {
        let settings = &self.project.settings;
        let failed =
            |words: String| Fault::new(self.operation, Class::Terminal, Code::Invalid, words);
        let path = [settings.parent().as_slice(), path].concat();
        settings.base().map_err(failed)?.join(&path).map_err(|error| failed(error.to_string()))
    }

    fn to(&self, path: &[&str]) -> Result<Endpoint, Fault> {
        self.base(&[&["secrets", self.secret], path].concat())
    }

    fn to_verb(&self, verb: &str) -> Result<Endpoint, Fault> {
        self.base(&["secrets", &format!("{}:{verb}", self.secret)])
    }

    fn read<T: DeserializeOwned>(&self, reply: &Reply, effect: Effect) -> Result<T, Fault> {
        let unreadable =
            |words: String| Fault::new(self.operation, effect.lost(), Code::Unreadable, words);
        reply.json().map_err(unreadable)
    }

    /// Makes a call; `hidden` shows up in no words.
    async fn call(
        &self,
        method: Method,
        to: &Endpoint,
        body: Option<&Value>,
        effect: Effect,
        hidden: &[&str],
    ) -> Result<Reply, Refused> {
        let call = Call { method, to, body, effect };
        let sent = call.send(&self.project.http, &self.project.login, self.operation).await;
        let (reply, access) = sent.map_err(Refused::unsent)?;
        if reply.status == 200 {
            return Ok(reply);
        }
        let hidden = [hidden, &[access.expose()]].concat();
        Err(answers::refused(self.operation, &reply, effect, &hidden))
    }
}
