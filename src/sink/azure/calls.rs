//! The calls that are made about one secret, each once.

use std::collections::BTreeMap;

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    answers::{self, Refused},
    settings::Vault,
};
use crate::{
    error::{Class, Code, Fault},
    http::{Endpoint, Reply},
    sink::{
        access::Call,
        payload::Wiped,
        rules::{
            Effect,
            secret_version::{Body, SecretVersion},
            tags::Tags,
        },
    },
};

/// The version of the API that is spoken.
const API: &str = "7.4";

/// The calls of one operation on one secret.
pub(super) struct Calls<'a> {
    pub(super) vault: &'a Vault,
    pub(super) name: &'a str,
    pub(super) operation: &'a str,
}

/// What is there.
pub(super) enum Held {
    /// No secret.
    Absent,
    /// Its newest version is kept from everybody.
    Disabled,
    /// A secret.
    There(Box<There>),
}

/// The newest version of a secret.
pub(super) struct There {
    pub(super) version: SecretVersion,
    pub(super) tags: Tags,
    pub(super) content_type: Option<String>,
}

/// A version that is to be.
pub(super) struct NewVersion<'a> {
    pub(super) value: &'a Wiped,
    pub(super) tags: &'a Tags,
    pub(super) content_type: &'a str,
    /// When the token stops working, in seconds since 1970.
    pub(super) expires: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bundle {
    #[serde(default)]
    value: String,
    id: String,
    #[serde(default)]
    content_type: Option<String>,
    #[serde(default)]
    tags: Option<BTreeMap<String, String>>,
}

impl Bundle {
    fn version(&self) -> Option<&str> {
        // …/secrets/NAME/VERSION
        let (rest, version) = self.id.rsplit_once('/')?;
        let is_version = !version.is_empty() && rest.contains("/secrets/");
        is_version.then_some(version)
    }
}

impl Calls<'_> {
    /// The secret's newest version.
    pub(super) async fn get(&self) -> Result<Held, Fault> {
        let to = self.to(&["secrets", self.name])?;
        let reply = match self.call(Method::GET, &to, None, Effect::None, &[]).await {
            Ok(reply) => reply,
            Err(refused) if refused.is("SecretNotFound") => return Ok(Held::Absent),
            Err(refused) if refused.is("SecretDisabled") => return Ok(Held::Disabled),
            Err(refused) => return Err(refused.fault),
        };
        let bundle = self.bundle(&reply, Effect::None)?;
        let id = bundle.version().unwrap_or_default().to_owned();
        let Bundle { value, content_type, tags, .. } = bundle;
        let version = SecretVersion::of(id, Body::Text(Wiped::new(value)));
        Ok(Held::There(Box::new(There { version, tags: tags.unwrap_or_default(), content_type })))
    }

    /// Whether the name is taken by a secret that was deleted; `None`: we may not know.
    pub(super) async fn is_deleted(&self) -> Result<Option<bool>, Fault> {
        let to = self.to(&["deletedsecrets", self.name])?;
        match self.call(Method::GET, &to, None, Effect::None, &[]).await {
            Ok(_) => Ok(Some(true)),
            Err(refused) if refused.is("SecretNotFound") => Ok(Some(false)),
            Err(refused) if refused.fault.code == Code::Forbidden => Ok(None),
            Err(refused) => Err(refused.fault),
        }
    }

    /// Writes a version and returns it.
    ///
    /// # If the answer is lost
    /// The version may be there, now or later.
    pub(super) async fn set(&self, new: &NewVersion<'_>, hidden: &[&str]) -> Result<String, Fault> {
        let mut attributes = json!({ "enabled": true });
        if let Some(seconds) = new.expires {
            attributes["exp"] = json!(seconds);
        }
        let body = json!({
            "value": new.value.as_str(),
            "contentType": new.content_type,
            "attributes": attributes,
            "tags": new.tags,
        });
        let to = self.to(&["secrets", self.name])?;
        let reply = self.call(Method::PUT, &to, Some(&body), Effect::Writes, hidden).await;
        let reply = reply.map_err(|refused| refused.fault)?;
        let bundle = self.bundle(&reply, Effect::Writes)?;
        Ok(bundle.version().unwrap_or_default().to_owned())
    }

    /// Asks for a write that is refused to everybody, and to who may write in other words: it has no
    /// value, and an attribute that is none, and one that ends before it begins.
    pub(super) async fn prove(&self) -> Result<(), Fault> {
        let body = json!({ "attributes": { "enabled": "neither", "nbf": 2, "exp": 1 } });
        let to = self.to(&["secrets", self.name])?;
        match self.call(Method::PUT, &to, Some(&body), Effect::None, &[]).await {
            Err(refused) if refused.is("BadParameter") => Ok(()),
            Err(refused) => Err(refused.fault),
            Ok(_) => {
                let words = "a request without a value was accepted, although it should have been rejected; check the secret's \
                             newest version";
                Err(Fault::new(self.operation, Class::Terminal, Code::Unreadable, words))
            }
        }
    }

    /// Makes these the tags of a version, in place of those that it has.
    pub(super) async fn tag(&self, version: &str, tags: &Tags) -> Result<(), Fault> {
        let to = self.to(&["secrets", self.name, version])?;
        let body = json!({ "tags": tags });
        let done = self.call(Method::PATCH, &to, Some(&body), Effect::None, &[]).await;
        done.map(drop).map_err(|refused| refused.fault)
    }

    /// Keeps a version from everybody. What is not there needs nothing.
    pub(super) async fn disable(&self, version: &str) -> Result<(), Fault> {
        let to = self.to(&["secrets", self.name, version])?;
        let body = json!({ "attributes": { "enabled": false } });
        match self.call(Method::PATCH, &to, Some(&body), Effect::None, &[]).await {
            Ok(_) => Ok(()),
            Err(refused) if refused.is("SecretNotFound") => Ok(()),
            Err(refused) => Err(refused.fault),
        }
    }

    fn to(&self, path: &[&str]) -> Result<Endpoint, Fault> {
        let to = self.vault.settings.vault.join(path);
        let to = to.map_err(|error| {
            Fault::new(self.operation, Class::Terminal, Code::Invalid, error.to_string())
        })?;
        Ok(to.query("api-version", API))
    }

    fn bundle(&self, reply: &Reply, effect: Effect) -> Result<Bundle, Fault> {
        let unreadable =
            |words: String| Fault::new(self.operation, effect.lost(), Code::Unreadable, words);
        let bundle: Bundle = reply.json().map_err(unreadable)?;
        if bundle.version().is_none() {
            return Err(unreadable("the answer does not name its version".to_owned()));
        }
        Ok(bundle)
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
        let sent = call.send(&self.vault.http, &self.vault.login, self.operation).await;
        let (reply, access) = sent.map_err(Refused::unsent)?;
        if reply.status == 200 {
            return Ok(reply);
        }
        let hidden = [hidden, &[access.expose()]].concat();
        Err(answers::refused(self.operation, &reply, effect, &hidden))
    }
}
