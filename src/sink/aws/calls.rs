//! The calls of Secrets Manager that are made, each once.

use std::collections::BTreeMap;

use aws_sdk_secretsmanager::{
    Client,
    operation::{describe_secret::DescribeSecretOutput, get_secret_value::GetSecretValueOutput},
    primitives::Blob,
    types::Tag,
};
use zeroize::Zeroizing;

use super::{
    account::AwsAccount,
    answers::{Effect, Refused},
};
use crate::{
    error::Fault,
    sink::{
        payload::Wiped,
        rules::{secret_version::Body, tags::Tags},
    },
};

/// The label of what readers get.
pub(super) const CURRENT: &str = "AWSCURRENT";

/// The label of what they got before.
pub(super) const PREVIOUS: &str = "AWSPREVIOUS";

/// Our own label of what is staged. Not `AWSPENDING`: rotation by AWS takes that for its own, and
/// refuses to start while it is on another version than the current one.
pub(super) const PENDING: &str = "SCIMITAR_PENDING";

/// Our own label of what is moved to show that labels may be.
pub(super) const PROOF: &str = "SCIMITAR_PROOF";

/// What a version is made of.
pub(super) struct NewVersion<'a> {
    pub(super) id: &'a str,
    pub(super) body: &'a Body,
    /// The values in it, which show up in no words.
    pub(super) hidden: &'a [&'a str],
}

/// A secret that calls are made about, for one operation.
pub(super) struct Calls<'a> {
    pub(super) account: &'a AwsAccount,
    pub(super) client: Client,
    pub(super) name: &'a str,
    pub(super) operation: &'a str,
}

/// Reads an answer: whether the credentials are still good is told by each.
macro_rules! answered {
    ($self:ident, $call:expr, $effect:expr, $hidden:expr) => {
        match $call.await {
            Ok(answer) => {
                $self.account.answered();
                Ok(answer)
            }
            Err(error) => Err($self.account.refused($self.operation, &error, $effect, $hidden)),
        }
    };
}

impl Calls<'_> {
    /// What is known of the secret beside its values; `None` when it is not there.
    pub(super) async fn describe(&self) -> Result<Option<DescribeSecretOutput>, Fault> {
        self.describe_by(&self.client).await
    }

    /// The same, in another region.
    pub(super) async fn describe_by(
        &self,
        client: &Client,
    ) -> Result<Option<DescribeSecretOutput>, Fault> {
        let call = client.describe_secret().secret_id(self.name).send();
        match answered!(self, call, Effect::None, &[]) {
            Ok(answer) => Ok(Some(answer)),
            Err(refused) if refused.is("ResourceNotFoundException") => Ok(None),
            Err(refused) => Err(refused.fault),
        }
    }

    /// The value that readers get; `None` when there is none.
    pub(super) async fn current(&self) -> Result<Option<Body>, Fault> {
        let call = self.client.get_secret_value().secret_id(self.name).version_stage(CURRENT);
        self.value(answered!(self, call.send(), Effect::None, &[]))
    }

    /// The value of a version that has a label; `None` when no version has that id and that label.
    pub(super) async fn get(&self, id: &str, label: &str) -> Result<Option<Body>, Fault> {
        let call = self.client.get_secret_value().secret_id(self.name);
        let call = call.version_id(id).version_stage(label);
        self.value(answered!(self, call.send(), Effect::None, &[]))
    }

    fn value(&self, answer: Result<GetSecretValueOutput, Refused>) -> Result<Option<Body>, Fault> {
        let mut answer = match answer {
            Ok(answer) => answer,
            Err(refused)
                if refused.is("ResourceNotFoundException")
                    || refused.is("InvalidParameterException")
                    || refused.is("InvalidRequestException") =>
            {
                return Ok(None);
            }
            Err(refused) => return Err(refused.fault),
        };
        let text = answer.secret_string.take().map(|text| Body::Text(Wiped::new(text)));
        let binary = answer.secret_binary.take();
        Ok(text.or_else(|| Some(Body::Binary(Zeroizing::new(binary?.into_inner())))))
    }

    /// Puts a version there under labels; which it has then.
    ///
    /// # If the answer is lost
    /// The version may be there, now or later; the same call again makes no other.
    pub(super) async fn put(
        &self,
        version: &NewVersion<'_>,
        label: &str,
        effect: Effect,
    ) -> Result<Vec<String>, Refused> {
        let call = self.client.put_secret_value().secret_id(self.name);
        let call = call.client_request_token(version.id).version_stages(label);
        let call = match version.body {
            Body::Text(text) => call.secret_string(text.as_str()),
            Body::Binary(bytes) => call.secret_binary(Blob::new(bytes.to_vec())),
        };
        let answer = answered!(self, call.send(), effect, version.hidden)?;
        Ok(answer.version_stages.unwrap_or_default())
    }

    /// Moves a label to a version, or away from one.
    ///
    /// # If the answer is lost
    /// The label may have moved, now or later, if it was where it was said to be.
    pub(super) async fn label(
        &self,
        label: &str,
        from: Option<&str>,
        to: Option<&str>,
        effect: Effect,
    ) -> Result<(), Refused> {
        let call = self.client.update_secret_version_stage().secret_id(self.name);
        let call = call.version_stage(label);
        let call = call.set_remove_from_version_id(from.map(str::to_owned));
        let call = call.set_move_to_version_id(to.map(str::to_owned));
        answered!(self, call.send(), effect, &[]).map(drop)
    }

    /// Makes the secret with its first version, which is live at once.
    ///
    /// # If the answer is lost
    /// The secret may be there, now or later; the same call again makes no other.
    pub(super) async fn create(
        &self,
        version: &NewVersion<'_>,
        description: Option<&str>,
        tags: &Tags,
    ) -> Result<(), Refused> {
        let call = self.client.create_secret().name(self.name);
        let call = call.client_request_token(version.id);
        let call = match version.body {
            Body::Text(text) => call.secret_string(text.as_str()),
            Body::Binary(bytes) => call.secret_binary(Blob::new(bytes.to_vec())),
        };
        let call = call
            .set_description(description.map(str::to_owned))
            .set_kms_key_id(self.account.settings.account.kms_key_id.clone())
            .set_tags((!tags.is_empty()).then(|| of_tags(tags)));
        answered!(self, call.send(), Effect::Writes, version.hidden).map(drop)
    }

    /// Calls off the secret's deletion.
    ///
    /// # If the answer is lost
    /// It may be called off, now or later.
    pub(super) async fn restore(&self) -> Result<(), Fault> {
        let call = self.client.restore_secret().secret_id(self.name).send();
        answered!(self, call, Effect::None, &[]).map(drop).map_err(|refused| refused.fault)
    }

    /// Puts tags there, beside those of others.
    ///
    /// # If the answer is lost
    /// They may be there, now or later; they say nothing without the value that they belong to.
    pub(super) async fn tag(&self, tags: &Tags) -> Result<(), Refused> {
        let call = self.client.tag_resource().secret_id(self.name);
        answered!(self, call.set_tags(Some(of_tags(tags))).send(), Effect::None, &[]).map(drop)
    }

    /// Takes tags away.
    ///
    /// # If the answer is lost
    /// They may be gone, now or later.
    pub(super) async fn untag(&self, names: &[String]) -> Result<(), Refused> {
        let call = self.client.untag_resource().secret_id(self.name);
        answered!(self, call.set_tag_keys(Some(names.to_vec())).send(), Effect::None, &[]).map(drop)
    }
}

fn of_tags(tags: &Tags) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

/// The labels of a description, each with the versions that have it: AWS gives one version at most.
pub(super) fn labels(of: &DescribeSecretOutput) -> BTreeMap<String, Vec<String>> {
    let mut labels: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (id, stages) in of.version_ids_to_stages.iter().flatten() {
        for stage in stages {
            let versions = labels.entry(stage.clone()).or_default();
            if !versions.contains(id) {
                versions.push(id.clone());
            }
        }
    }
    labels
}
