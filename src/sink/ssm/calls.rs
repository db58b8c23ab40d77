//! The calls: signed with the account's credentials, and sent over the project's own client.

use std::{str::FromStr, time::SystemTime};

use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4::SigningParams,
};
use http::{HeaderName, HeaderValue, Method, header::HeaderMap};
use reqwest::Url;
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{
    answers::{self, Refused},
    settings::Tier,
};
use crate::{
    aws_identity::host,
    error::{Class, Code, Fault, chain},
    http::{Endpoint, Reply, Request},
    place::Container,
    sink::{
        aws::{AwsAccount, parameter_in},
        payload::Wiped,
        rules::{
            Effect,
            tags::{Change, Tags},
        },
    },
};

/// The type of a parameter whose value AWS encrypts.
pub(super) const SECURE: &str = "SecureString";

/// What every call is sent as.
const JSON: &str = "application/x-amz-json-1.1";

/// What a proof would write, if AWS did not refuse it.
const PROOF: &str = "scimitar-proof";

/// The calls of one operation on one parameter.
pub(super) struct Calls<'a> {
    pub(super) account: &'a AwsAccount,
    pub(super) name: &'a str,
    pub(super) operation: &'a str,
}

/// A parameter that is there.
pub(super) struct Held {
    pub(super) value: Wiped,
    pub(super) version: u64,
    pub(super) of_type: String,
    arn: String,
}

/// A version that is to be.
pub(super) struct NewParameter<'a> {
    pub(super) value: &'a Wiped,
    pub(super) overwrite: bool,
    pub(super) key: Option<&'a str>,
    pub(super) tier: Option<Tier>,
    pub(super) description: Option<&'a str>,
    pub(super) tags: &'a Tags,
}

impl Calls<'_> {
    /// The parameter; `None` where there is none.
    pub(super) async fn get(&self) -> Result<Option<Held>, Fault> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            parameter: Parameter,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Parameter {
            r#type: String,
            value: String,
            version: u64,
            #[serde(rename = "ARN", default)]
            arn: String,
        }
        let body = json!({ "Name": self.name, "WithDecryption": true });
        match self.call("GetParameter", &body, Effect::None, &[]).await {
            Ok(reply) => {
                let Answer { parameter } = self.read(&reply, Effect::None)?;
                let Parameter { r#type: of_type, value, version, arn } = parameter;
                Ok(Some(Held { value: Wiped::new(value), version, of_type, arn }))
            }
            Err(refused) if refused.is("ParameterNotFound") => Ok(None),
            Err(refused) => Err(refused.fault),
        }
    }

    /// What the parameter is in, or would be made in; `None`: STS refuses to say.
    pub(super) async fn container(&self, held: Option<&Held>) -> Result<Option<Container>, Fault> {
        if let Some(container) = held.and_then(|held| parameter_in(&held.arn)) {
            return Ok(Some(container));
        }
        self.account.whose(self.operation).await
    }

    pub(super) async fn tags(&self) -> Result<Tags, Fault> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            #[serde(default)]
            tag_list: Vec<Tag>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Tag {
            key: String,
            value: String,
        }
        let body = self.of_resource();
        let reply = self.call("ListTagsForResource", &body, Effect::None, &[]).await;
        let answer: Answer = self.read(&reply.map_err(|refused| refused.fault)?, Effect::None)?;
        Ok(answer.tag_list.into_iter().map(|tag| (tag.key, tag.value)).collect())
    }

    /// Puts marks there, then takes older ones away.
    pub(super) async fn change_tags(&self, change: &Change) -> Result<(), Fault> {
        if !change.put.is_empty() {
            let mut body = self.of_resource();
            body["Tags"] = listed(&change.put);
            let done = self.call("AddTagsToResource", &body, Effect::None, &[]).await;
            done.map_err(|refused| refused.fault)?;
        }
        if !change.remove.is_empty() {
            let mut body = self.of_resource();
            body["TagKeys"] = json!(change.remove);
            let done = self.call("RemoveTagsFromResource", &body, Effect::None, &[]).await;
            done.map_err(|refused| refused.fault)?;
        }
        Ok(())
    }

    /// Writes a version and returns its number.
    ///
    /// # If the answer is lost
    /// The version may be there, now or later.
    pub(super) async fn put(&self, new: &NewParameter<'_>) -> Result<u64, Fault> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            version: u64,
        }
        let mut body = json!({
            "Name": self.name,
            "Value": new.value.as_str(),
            "Type": SECURE,
            "Overwrite": new.overwrite,
        });
        if let Some(key) = new.key {
            body["KeyId"] = json!(key);
        }
        if let Some(tier) = new.tier {
            body["Tier"] = json!(tier.as_str());
        }
        if let Some(text) = new.description {
            body["Description"] = json!(text);
        }
        if !new.tags.is_empty() {
            body["Tags"] = listed(new.tags);
        }
        let hidden = [new.value.as_str()];
        let reply = self.call("PutParameter", &body, Effect::Writes, &hidden).await;
        let answer: Answer = self.read(&reply.map_err(|refused| refused.fault)?, Effect::Writes)?;
        Ok(answer.version)
    }

    /// Asks for a new parameter of a name that is taken, which is refused to everybody: to who may write
    /// in other words. The pattern refuses it as well, should the name be free by now.
    pub(super) async fn prove(&self) -> Result<(), Fault> {
        let body = json!({ "Name": self.name, "Value": PROOF, "Type": SECURE, "Overwrite": false,
            "AllowedPattern": "^$" });
        match self.call("PutParameter", &body, Effect::None, &[]).await {
            Err(refused)
                if ["ParameterAlreadyExists", "ParameterPatternMismatchException"]
                    .iter()
                    .any(|name| refused.is(name)) =>
            {
                Ok(())
            }
            Err(refused) => Err(refused.fault),
            Ok(_) => {
                let words = "a write that should have been rejected was accepted: the parameter was deleted in the \
                             meantime, and now holds \"scimitar-proof\", which is not a token";
                Err(Fault::new(self.operation, Class::Transient, Code::Changed, words))
            }
        }
    }

    fn of_resource(&self) -> Value {
        json!({ "ResourceType": "Parameter", "ResourceId": self.name })
    }

    fn read<T: serde::de::DeserializeOwned>(
        &self,
        reply: &Reply,
        effect: Effect,
    ) -> Result<T, Fault> {
        let unreadable =
            |words: String| Fault::new(self.operation, effect.lost(), Code::Unreadable, words);
        reply.json().map_err(unreadable)
    }

    /// Makes a call; `hidden` shows up in no words.
    async fn call(
        &self,
        call: &'static str,
        body: &Value,
        effect: Effect,
        hidden: &[&str],
    ) -> Result<Reply, Refused> {
        let to = self.endpoint().map_err(Refused::unsent)?;
        let body = Zeroizing::new(body.to_string().into_bytes());
        let headers = self.signed(&to, call, &body).await.map_err(Refused::unsent)?;
        let mut request = Request::new(Method::POST, &to).headers(headers).body(JSON, body);
        if effect == Effect::Writes {
            request = request.fresh();
        }
        let reply = self.account.http().send(request).await;
        let reply =
            reply.map_err(|lost| Refused::unsent(effect.unanswered(self.operation, lost)))?;
        if reply.status == 200 {
            return Ok(reply);
        }
        Err(answers::refused(self.operation, &reply, effect, hidden))
    }

    fn endpoint(&self) -> Result<Endpoint, Fault> {
        let settings = &self.account.settings;
        if let Some(endpoint) = &settings.endpoint {
            return Ok(endpoint.clone());
        }
        let url = Url::parse(&format!("https://{}/", host("ssm", &settings.account.region)));
        let endpoint = url.ok().and_then(|url| Endpoint::try_new(url).ok());
        endpoint.ok_or_else(|| self.unsigned("the region names no host"))
    }

    fn unsigned(&self, words: &str) -> Fault {
        let words = format!("the request could not be signed: {words}");
        Fault::new(self.operation, Class::Terminal, Code::Invalid, words)
    }

    /// The headers of a call, its signature among them (AWS's documentation of Signature Version 4).
    async fn signed(&self, to: &Endpoint, call: &str, body: &[u8]) -> Result<HeaderMap, Fault> {
        let unsigned = |error: &dyn std::error::Error| self.unsigned(&chain(error));
        let credentials = self.account.keys(self.operation).await?;
        let target = format!("AmazonSSM.{call}");
        let (host, url) = (to.host(), to.url().as_str());
        let own = [("content-type", JSON), ("host", host.as_str()), ("x-amz-target", &target)];
        let identity = credentials.into();
        let params = SigningParams::builder()
            .identity(&identity)
            .region(&self.account.settings.account.region)
            .name("ssm")
            .time(SystemTime::from(self.account.now()))
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| unsigned(&error))?
            .into();
        let request = SignableRequest::new("POST", url, own.into_iter(), SignableBody::Bytes(body))
            .map_err(|error| unsigned(&error))?;
        let (signed, _) = sign(request, &params).map_err(|error| unsigned(&error))?.into_parts();
        let mut headers = HeaderMap::new();
        let signed = signed.headers().chain([("x-amz-target", target.as_str())]);
        for (name, text) in signed {
            let name = HeaderName::from_str(name);
            let value = HeaderValue::from_str(text);
            let (Ok(name), Ok(mut value)) = (name, value) else {
                return Err(self.unsigned("a header has characters that are not allowed"));
            };
            value.set_sensitive(name != "x-amz-target");
            headers.insert(name, value);
        }
        Ok(headers)
    }
}

/// Tags as AWS lists them.
fn listed(tags: &Tags) -> Value {
    tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect()
}
