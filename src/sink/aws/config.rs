//! `[sinks.NAME]` of type `aws_secrets_manager`, and what `deliver_to` says of a secret there.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use async_trait::async_trait;
use reqwest::Url;
use serde_json::json;

use super::{
    AwsSink,
    account::AwsAccount,
    rights::{self, Needs, Tagging},
    schema,
    settings::{
        Account, AccountSettings, AwsTarget, KIND as PLACES, MOST_TAGS, Role, TAGS,
        check_description, check_name, check_tag_value, is_of_a_tag,
    },
    store::{self, AwsStore, STORE},
};
use crate::{
    aws_identity::{Origin, endpoint, region},
    kind::{self, BuildError, Grant, Parts, SecretStore},
    rotation::policy::Mode,
    sink::{
        Kind, Place, Service,
        entry::{labels, overwrite, payload},
        kind::{Known, Opened, SinkConfig, Spot, Target},
    },
    table::{HttpConfig, Keyring, Table, Value, http::http, shown},
    token::SinkName,
};

/// The kind.
pub static KIND: Kind = Kind {
    name: "aws_secrets_manager",
    places: PLACES,
    location: "name",
    schema: schema::sink,
    delivery_schema: schema::target,
    read: |table, outer, keyring| Some(Arc::new(sink(table, outer, keyring)?)),
    absent: None,
    store: Some(STORE),
    reopen: None,
};

/// The most tags of a session (AWS's API reference, `AssumeRole`).
const MOST_SESSION_TAGS: usize = 50;

/// An account and region of AWS, as they are configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsConfig {
    /// What runs as it is configured.
    pub account: Account,
    /// The address of Secrets Manager, if not that of the region.
    pub endpoint_url: Option<Url>,
    /// The address of STS, if not that of the region.
    pub sts_endpoint_url: Option<Url>,
    /// Certificates and proxy; what is left out is the top table's.
    pub http: HttpConfig,
}

impl AwsConfig {
    /// What a secret there is called, whichever sink names it.
    fn place(&self, name: &str) -> String {
        let endpoint = self.endpoint_url.clone();
        let endpoint = endpoint.and_then(|url| kind::endpoint(&url).ok());
        self.account.location(endpoint.as_ref(), name)
    }
}

impl SinkConfig for AwsConfig {
    fn deliver(&self, entry: &Table<'_>, known: &Known<'_>) -> (Option<Spot>, Option<Target>) {
        let target = target(entry, known);
        let place = |target: &AwsTarget| Spot::Named(format!("aws:{}", self.place(&target.name)));
        (target.as_ref().map(place), target.map(Target::new))
    }

    fn grant(&self, name: &SinkName, deliveries: &[(&Target, Mode)]) -> Option<Grant> {
        let of = |of: Mode| -> Vec<&AwsTarget> {
            let those = deliveries.iter().filter(|(_, mode)| *mode == of);
            those.filter_map(|(target, _)| target.of_kind().ok()).collect()
        };
        let (secrets, watched) = (of(Mode::Rotate), of(Mode::Observe));
        let names = |of: &[&AwsTarget]| of.iter().map(|secret| secret.name.clone()).collect();
        let tagged =
            |secret: &&AwsTarget| secret.payload.is_some() || secret.raw || !secret.tags.is_empty();
        let tags = if secrets.iter().any(tagged) {
            Tagging::Marks
        } else if self.account.tags.is_empty() {
            Tagging::Never
        } else {
            Tagging::AtCreation
        };
        let policy = rights::policy(&Needs {
            account: &self.account,
            names: names(&secrets),
            watched: names(&watched),
            tags,
            // Which there are only AWS knows.
            replicas: BTreeSet::new(),
        });
        let at = self.account.last_role().unwrap_or(&self.account.region).to_owned();
        Some(Grant {
            table: format!("sinks.{name}"),
            kind: KIND.name,
            at,
            namespace: None,
            to: "an IAM policy for the role that is used; where secrets have replicas, with \
                 secretsmanager:DescribeSecret on each of these beside it",
            policy: format!("{policy:#}\n"),
            rights: json!({ "iam": policy }),
        })
    }

    fn grant_reading(&self, name: &SinkName, locations: &[&str]) -> Option<Grant> {
        let policy = store::policy(&self.account, locations);
        Some(Grant {
            table: format!("sinks.{name}"),
            kind: KIND.name,
            at: self.account.last_role().unwrap_or(&self.account.region).to_owned(),
            namespace: None,
            to: "the same role, for the secrets that providers' tables refer to",
            policy: format!("{policy:#}\n"),
            rights: json!({ "iam": policy }),
        })
    }

    fn reads_files_once(&self) -> bool {
        self.http.names_files()
    }

    fn build(&self, name: &SinkName, parts: &Parts) -> Result<Arc<dyn Service>, BuildError> {
        Ok(Arc::new(self.account(name, parts)?))
    }
}

impl AwsConfig {
    /// What runs for all places there.
    pub(in crate::sink) fn account(
        &self,
        name: &SinkName,
        parts: &Parts,
    ) -> Result<Arc<AwsAccount>, BuildError> {
        let settings = AccountSettings {
            sink: name.clone(),
            account: self.account.clone(),
            endpoint: self.endpoint_url.as_ref().map(kind::endpoint).transpose()?,
            sts_endpoint: self.sts_endpoint_url.as_ref().map(kind::endpoint).transpose()?,
            origin: Origin::Chain,
            http: parts.http_settings(&self.http)?,
        };
        AwsAccount::try_new(settings, parts.clock.clone()).map_err(BuildError::new)
    }
}

#[async_trait]
impl Service for Arc<AwsAccount> {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn open(&self, target: &Target) -> Opened {
        let target: &AwsTarget = target.of_kind()?;
        Ok(Arc::new(AwsSink::try_new(self, target.clone())?))
    }

    fn reopen(&self, place: &Place) -> Opened {
        Ok(Arc::new(AwsSink::reopen(self, place)?))
    }

    fn store(&self) -> Option<Arc<dyn SecretStore>> {
        Some(Arc::new(AwsStore(Arc::clone(self))))
    }
}

/// Reads the rest of a `[sinks.NAME]`.
fn sink(table: &Table<'_>, outer: &HttpConfig, keyring: Keyring<'_>) -> Option<AwsConfig> {
    let restore = table.get("restore").and_then(|value| value.boolean());
    let read = read_account(table, outer, keyring)?;
    let account = Account { restore: restore.unwrap_or(false), ..read.account };
    Some(AwsConfig { account, ..read })
}

/// Reads what is said of an account and region, whatever is kept there.
pub(in crate::sink) fn read_account(
    table: &Table<'_>,
    outer: &HttpConfig,
    keyring: Keyring<'_>,
) -> Option<AwsConfig> {
    let region = table.require("region", "\"eu-central-1\"").and_then(|value| region(&value));
    let endpoint_url = table.get("endpoint_url").and_then(|value| endpoint(&value));
    let sts_endpoint_url = table.get("sts_endpoint_url").and_then(|value| endpoint(&value));
    let assume_role_arn = table.get("assume_role_arn").and_then(|value| role(&value));
    let assumes = table.get("assume_role_arn").is_some();
    let of_role = |value: &Value<'_>| {
        if !assumes {
            value.findings().error(
                value.key_at,
                format!("`{}` belongs to a role, and no role is set", value.key()),
                "write assume_role_arn = \"arn:aws:iam::123456789012:role/scimitar\" beside it",
            );
        }
    };
    let external_id = table.get("external_id").and_then(|value| {
        of_role(&value);
        external_id(&value)
    });
    let session_tags = table.get("session_tags").and_then(|value| {
        of_role(&value);
        tags(&value, MOST_SESSION_TAGS)
    });
    let expect_role_arn = table.get("expect_role_arn").and_then(|value| role(&value));
    let kms_key_id = table.get("kms_key_id").and_then(|value| key(&value));
    let tags = table.get("tags").and_then(|value| tags(&value, MOST_TAGS));
    let create = table.get("create").and_then(|value| value.boolean());
    for name in ["access_key_id", "secret_access_key", "session_token", "profile"] {
        refuse_credentials(table, name);
    }
    let own = http(table, keyring);
    let account = Account {
        role: assume_role_arn.map(|arn| Role {
            arn,
            external_id,
            session_tags: session_tags.unwrap_or_default(),
        }),
        expect_role_arn,
        kms_key_id,
        tags: tags.unwrap_or_default(),
        create: create.unwrap_or(true),
        ..Account::of_region(&region?)
    };
    Some(AwsConfig { account, endpoint_url, sts_endpoint_url, http: own.or(outer) })
}

/// Credentials come from where AWS's own tools find them, and never from here.
fn refuse_credentials(table: &Table<'_>, name: &'static str) {
    let Some((_, value)) = table.values().find(|(key, _)| *key == name) else { return };
    value.findings().error(
        value.key_at,
        format!("`{name}` is not a key of {}", table.name()),
        "remove it: Scimitar uses the credentials that AWS's own tools find (AWS_ACCESS_KEY_ID, \
         AWS_PROFILE, a web identity, a container's or an instance's role); assume_role_arn = \"…\" \
         assumes another role",
    );
    // Said once.
    let _ = table.get(name);
}

fn role(value: &Value<'_>) -> Option<String> {
    const EXAMPLE: &str = "arn:aws:iam::123456789012:role/scimitar";
    let text = value.string()?;
    let parts: Vec<&str> = text.split(':').collect();
    let fits = match parts.as_slice() {
        ["arn", partition, "iam", "", account, resource] => {
            !partition.is_empty()
                && account.len() == 12
                && account.bytes().all(|byte| byte.is_ascii_digit())
                && resource.strip_prefix("role/").is_some_and(|name| {
                    !name.is_empty()
                        && name
                            .bytes()
                            .all(|b| b.is_ascii_alphanumeric() || b"+=,.@_-/".contains(&b))
                })
        }
        _ => false,
    };
    if !fits {
        let hint = if text.contains(":assumed-role/") {
            format!("this is a session's ARN; write its role's, such as \"{EXAMPLE}\"")
        } else {
            format!("write {} = \"{EXAMPLE}\"", value.key())
        };
        value.refuse(format!("`{}` is not the ARN of a role", value.key()), hint);
    }
    fits.then(|| text.to_owned())
}

fn external_id(value: &Value<'_>) -> Option<String> {
    let text = value.string()?;
    let fits = (2..=1224).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+=,.@:/_-".contains(&b));
    if !fits {
        value.refuse(
            "`external_id` is not valid",
            "copy it from the role's trust policy: 2 to 1224 letters, digits and + = , . @ : / _ -",
        );
    }
    fits.then(|| text.to_owned())
}

fn key(value: &Value<'_>) -> Option<String> {
    let text = value.string()?;
    let fits = text.len() <= 2048
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b":/_-".contains(&b));
    if !fits {
        value.refuse(
            "`kms_key_id` is not a key",
            "write the key's ARN or id, or an alias such as kms_key_id = \"alias/scim\"",
        );
    }
    fits.then(|| text.to_owned())
}

fn tags(value: &Value<'_>, most: usize) -> Option<BTreeMap<String, String>> {
    const HOW: &str = "write tags as { team = \"identity\" }: keys of 1 to 128 and values of up to \
                       256 letters, digits, spaces and _ . : / = + - @";
    let table = value.table(format!("`{}`", value.key()))?;
    let before = table.findings().count();
    let mut tags = BTreeMap::new();
    for (key, value) in table.values() {
        let reserved = key.to_ascii_lowercase().starts_with("aws:");
        if key.is_empty() || key.chars().count() > 128 || !is_of_a_tag(key) {
            value.findings().error(
                value.key_at,
                format!("`{}` is not a valid tag key", shown(key)),
                HOW,
            );
        } else if reserved || key.starts_with("scimitar:") {
            let whose = if reserved { "AWS's own" } else { "scimitar's own" };
            value.findings().error(
                value.key_at,
                format!("`{}` is reserved for {whose} tags", shown(key)),
                "give the tag another key",
            );
        }
        // An empty value is one.
        let Some(text) = value.as_str().or_else(|| value.string()) else { continue };
        if check_tag_value(text).is_err() {
            value.refuse(format!("`{}` is not a valid tag value", shown(key)), HOW);
        }
        tags.insert(key.to_owned(), text.to_owned());
    }
    if tags.len() > most {
        value.refuse(
            format!("`{}` has {} tags; at most {most} are allowed", value.key(), tags.len()),
            "remove some of them",
        );
    }
    (table.findings().count() == before).then_some(tags)
}

/// Reads what `deliver_to` says of a secret.
fn target(table: &Table<'_>, known: &Known<'_>) -> Option<AwsTarget> {
    let name = table.require("name", "\"scim/initech\"").and_then(|value| name(&value));
    let description = table.get("description").and_then(|value| description(&value));
    let raw = table.get("format").and_then(|value| value.word(&[("json", false), ("raw", true)]));
    let raw = raw.unwrap_or(false);
    let bare = raw.then_some("remove one of the two");
    let payload = table.get("payload").and_then(|value| payload(&value, bare, false));
    let overwrite = overwrite(table);
    let tags = labels(table, &TAGS, known);
    Some(AwsTarget { name: name?, description, payload, raw, overwrite, tags })
}

fn name(value: &Value<'_>) -> Option<String> {
    let text = value.string()?;
    if let Err(words) = check_name(text) {
        value.refuse(format!("`name` {words}"), "write a name such as \"scim/initech\"");
        return None;
    }
    Some(text.to_owned())
}

pub(in crate::sink) fn description(value: &Value<'_>) -> Option<String> {
    let text = value.string()?;
    if let Err(words) = check_description(text) {
        value.refuse(
            format!("`description` {words}"),
            "everyone who may read CloudTrail sees it: write whose secret it is and nothing else",
        );
        return None;
    }
    Some(text.to_owned())
}
