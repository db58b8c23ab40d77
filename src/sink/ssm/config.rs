//! `[sinks.NAME]` of type `aws_ssm`, and what `deliver_to` says of a parameter there.

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use serde_json::json;

use super::{
    SsmSink,
    rights::{self, Needs},
    schema,
    settings::{KIND as PLACES, ParameterStore, SsmTarget, Tier, check_name},
};
use crate::{
    kind::{self, BuildError, Grant, Parts},
    rotation::policy::Mode,
    sink::{
        Kind, Place, Service,
        aws::{AwsConfig, TAGS, description, read_account},
        entry::{labels, overwrite, payload},
        kind::{Known, Opened, SinkConfig, Spot, Target},
    },
    table::{HttpConfig, Keyring, Table, Value},
    token::SinkName,
};

/// The kind.
pub static KIND: Kind = Kind {
    name: "aws_ssm",
    places: PLACES,
    location: "parameter",
    schema: schema::sink,
    delivery_schema: schema::target,
    absent: None,
    store: None,
    read: |table, outer, keyring| Some(Arc::new(sink(table, outer, keyring)?)),
    reopen: None,
};

/// The Parameter Store of an account and region, as it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SsmConfig {
    /// The account.
    pub aws: AwsConfig,
    /// The tier of every version; `None`: the account's own default.
    pub tier: Option<Tier>,
}

impl SsmConfig {
    /// What a parameter there is called, whichever sink names it.
    fn place(&self, target: &SsmTarget) -> String {
        let endpoint = self.aws.endpoint_url.as_ref();
        let endpoint = endpoint.and_then(|url| kind::endpoint(url).ok());
        self.aws.account.location(endpoint.as_ref(), target.path())
    }
}

impl SinkConfig for SsmConfig {
    fn deliver(&self, entry: &Table<'_>, known: &Known<'_>) -> (Option<Spot>, Option<Target>) {
        let target = target(entry, known);
        let place = |target: &SsmTarget| Spot::Named(format!("{PLACES}:{}", self.place(target)));
        (target.as_ref().map(place), target.map(Target::new))
    }

    fn grant(&self, name: &SinkName, deliveries: &[(&Target, Mode)]) -> Option<Grant> {
        let parameters = || {
            deliveries
                .iter()
                .filter_map(|(to, mode)| Some((to.of_kind::<SsmTarget>().ok()?, *mode)))
        };
        let account = &self.aws.account;
        let names = |of: Mode| -> BTreeSet<String> {
            let those = parameters().filter(|(_, mode)| *mode == of);
            those.map(|(parameter, _)| parameter.parameter.clone()).collect()
        };
        let marks = parameters().any(|(parameter, _)| parameter.payload.is_some() || parameter.raw);
        let mut delivered = parameters().filter(|(_, mode)| *mode == Mode::Rotate);
        let tags = delivered.any(|(parameter, _)| !parameter.tags.is_empty());
        let (names, watched) = (names(Mode::Rotate), names(Mode::Observe));
        let policy = rights::policy(&Needs { account, names, watched, marks, tags });
        Some(Grant {
            table: format!("sinks.{name}"),
            kind: KIND.name,
            at: account.last_role().unwrap_or(&account.region).to_owned(),
            namespace: None,
            to: "an IAM policy for the role that is used",
            policy: format!("{policy:#}\n"),
            rights: json!({ "iam": policy }),
        })
    }

    fn reads_files_once(&self) -> bool {
        self.aws.http.names_files()
    }

    fn build(&self, name: &SinkName, parts: &Parts) -> Result<Arc<dyn Service>, BuildError> {
        let account = self.aws.account(name, parts)?;
        Ok(Arc::new(Arc::new(ParameterStore { account, tier: self.tier })))
    }
}

#[async_trait]
impl Service for Arc<ParameterStore> {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn open(&self, target: &Target) -> Opened {
        let target: &SsmTarget = target.of_kind()?;
        Ok(Arc::new(SsmSink::try_new(self, target.clone())?))
    }

    fn reopen(&self, place: &Place) -> Opened {
        Ok(Arc::new(SsmSink::reopen(self, place)?))
    }
}

/// Reads the rest of a `[sinks.NAME]`.
fn sink(table: &Table<'_>, outer: &HttpConfig, keyring: Keyring<'_>) -> Option<SsmConfig> {
    let tiers = [
        ("standard", Tier::Standard),
        ("advanced", Tier::Advanced),
        ("intelligent-tiering", Tier::IntelligentTiering),
    ];
    let tier = table.get("tier").and_then(|value| value.word(&tiers));
    Some(SsmConfig { aws: read_account(table, outer, keyring)?, tier })
}

/// Reads what `deliver_to` says of a parameter.
fn target(table: &Table<'_>, known: &Known<'_>) -> Option<SsmTarget> {
    let parameter =
        table.require("parameter", "\"/scim/initech\"").and_then(|value| parameter(&value));
    let description = table.get("description").and_then(|value| description(&value));
    let raw = table.get("format").and_then(|value| value.word(&[("json", false), ("raw", true)]));
    let raw = raw.unwrap_or(false);
    let bare = raw.then_some("remove one of the two");
    let payload = table.get("payload").and_then(|value| payload(&value, bare, false));
    let overwrite = overwrite(table);
    let tags = labels(table, &TAGS, known);
    Some(SsmTarget { parameter: parameter?, description, payload, raw, overwrite, tags })
}

fn parameter(value: &Value<'_>) -> Option<String> {
    let text = value.string()?;
    if let Err(words) = check_name(text) {
        value.refuse(format!("`parameter` {words}"), "write a name such as \"/scim/initech\"");
        return None;
    }
    Some(text.to_owned())
}
