//! `[sinks.NAME]` of type `aws_secrets_manager`, and what `deliver_to` says of a secret there.

use std::collections::BTreeMap;

use reqwest::Url;

use crate::{
    sink::aws::{account_in, check_description, check_name, location},
    table::{HttpConfig, Keyring, Table, Value, http::http, is_loopback, shown, url},
};

/// The most tags that a secret is made with: it takes 50, and the marks need room.
const MOST_TAGS: usize = 40;

/// The most tags of a session (AWS's API reference, `AssumeRole`).
const MOST_SESSION_TAGS: usize = 50;

/// An account and region of AWS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsSinkConfig {
    /// The region.
    pub region: String,
    /// Where Secrets Manager is reached, when not where the region says.
    pub endpoint_url: Option<Url>,
    /// Where STS is reached, when not where the region says.
    pub sts_endpoint_url: Option<Url>,
    /// The role that is taken on.
    pub assume_role_arn: Option<String>,
    /// What its trust policy may ask for.
    pub external_id: Option<String>,
    /// The tags of its session.
    pub session_tags: BTreeMap<String, String>,
    /// The role that it must be in the end.
    pub expect_role_arn: Option<String>,
    /// The key that a secret is made with; `None`: `aws/secretsmanager`.
    pub kms_key_id: Option<String>,
    /// The tags that a secret is made with.
    pub tags: BTreeMap<String, String>,
    /// Whether a secret that is not there is made.
    pub create: bool,
    /// Whether one that is scheduled for deletion is restored.
    pub restore: bool,
    /// Certificates and proxy; what is left out is the top table's.
    pub http: HttpConfig,
}

/// A secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsDelivery {
    /// Its name.
    pub name: String,
    /// What is said of it when it is made.
    pub description: Option<String>,
    /// What replaces the default payload.
    pub payload: Option<BTreeMap<String, String>>,
    /// `format = "raw"`: the secret's value is the token alone, as plain text.
    pub raw: bool,
    /// Whether what others put there may be lost.
    pub overwrite: bool,
}

impl AwsSinkConfig {
    /// What a secret there is called, whichever sink names it.
    fn place(&self, name: &str) -> String {
        let endpoint = self.endpoint_url.clone();
        let endpoint = endpoint.and_then(|url| crate::http::Endpoint::try_new(url).ok());
        let account = self.assume_role_arn.as_deref().and_then(account_in);
        location(endpoint.as_ref(), account, &self.region, name)
    }
}

/// Reads the rest of a `[sinks.NAME]`.
pub(super) fn sink(
    table: &Table<'_>,
    outer: &HttpConfig,
    keyring: Keyring<'_>,
) -> Option<AwsSinkConfig> {
    let region = table.require("region", "\"eu-central-1\"").and_then(|value| region(&value));
    let endpoint_url = table.get("endpoint_url").and_then(|value| endpoint(&value));
    let sts_endpoint_url = table.get("sts_endpoint_url").and_then(|value| endpoint(&value));
    let assume_role_arn = table.get("assume_role_arn").and_then(|value| role(&value));
    let assumes = table.get("assume_role_arn").is_some();
    let of_role = |value: &Value<'_>| {
        if !assumes {
            value.findings().error(
                value.key_at,
                format!("`{}` says something of a role, and there is none", value.key()),
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
    let restore = table.get("restore").and_then(|value| value.boolean());
    for name in ["access_key_id", "secret_access_key", "session_token", "profile"] {
        refuse_credentials(table, name);
    }
    let own = http(table, keyring);
    Some(AwsSinkConfig {
        region: region?,
        endpoint_url,
        sts_endpoint_url,
        assume_role_arn,
        external_id,
        session_tags: session_tags.unwrap_or_default(),
        expect_role_arn,
        kms_key_id,
        tags: tags.unwrap_or_default(),
        create: create.unwrap_or(true),
        restore: restore.unwrap_or(false),
        http: own.or(outer),
    })
}

/// Credentials come from where AWS's own tools find them, and never from here.
fn refuse_credentials(table: &Table<'_>, name: &'static str) {
    let Some((_, value)) = table.values().find(|(key, _)| *key == name) else { return };
    value.findings().error(
        value.key_at,
        format!("`{name}` is no key of {}", table.name()),
        "take it out: the credentials are those that AWS's own tools find (AWS_ACCESS_KEY_ID, \
         AWS_PROFILE, a web identity, a container's or an instance's role); assume_role_arn = \"…\" \
         takes on another role",
    );
    // Said once.
    let _ = table.get(name);
}

pub(super) fn region(value: &Value<'_>) -> Option<String> {
    let text = value.string()?;
    let fits = text.contains('-')
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && text.ends_with(|c: char| c.is_ascii_digit());
    if !fits {
        value.refuse(
            format!("`{}` cannot be \"{}\"", value.key(), shown(text)),
            format!("write the region's code, such as {} = \"eu-central-1\"", value.key()),
        );
    }
    fits.then(|| text.to_owned())
}

pub(super) fn endpoint(value: &Value<'_>) -> Option<Url> {
    let url = url(value, "\"https://vpce-….secretsmanager.eu-central-1.vpce.amazonaws.com\"")?;
    let key = value.key();
    let trouble = match url.scheme() {
        "https" => None,
        "http" if is_loopback(&url) => None,
        "http" => Some("is http:// to another machine: tokens would be readable"),
        _ => Some("is neither https:// nor http:// to loopback"),
    };
    let trouble = trouble.or_else(|| (url.path() != "/").then_some("must not hold a path"));
    if let Some(trouble) = trouble {
        value.refuse(
            format!("`{key}` {trouble}"),
            "name the endpoint alone, such as that of a VPC; leave it out for the region's own",
        );
        return None;
    }
    Some(url)
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
            "`external_id` cannot be one",
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
            "`kms_key_id` is no key",
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
    let fits = |text: &str| text.chars().all(|c| c.is_alphanumeric() || " _.:/=+-@".contains(c));
    let mut tags = BTreeMap::new();
    for (key, value) in table.values() {
        let reserved = key.to_ascii_lowercase().starts_with("aws:");
        if key.is_empty() || key.chars().count() > 128 || !fits(key) {
            value.findings().error(
                value.key_at,
                format!("`{}` cannot be a tag's key", shown(key)),
                HOW,
            );
        } else if reserved || key.starts_with("scimitar:") {
            let whose = if reserved { "AWS's own" } else { "scimitar's own" };
            value.findings().error(
                value.key_at,
                format!("`{}` is kept for {whose} tags", shown(key)),
                "give the tag another key",
            );
        }
        // An empty value is one.
        let Some(text) = value.as_str().or_else(|| value.string()) else { continue };
        if text.chars().count() > 256 || !fits(text) {
            value.refuse(format!("`{}` cannot be a tag's value", shown(key)), HOW);
        }
        tags.insert(key.to_owned(), text.to_owned());
    }
    if tags.len() > most {
        value.refuse(
            format!("`{}` holds {} tags, and there is room for {most}", value.key(), tags.len()),
            "leave some of them out",
        );
    }
    (table.findings().count() == before).then_some(tags)
}

/// Reads what `deliver_to` says of a secret: what it is called there, and the whole entry.
pub(super) fn delivery(
    table: &Table<'_>,
    account: &AwsSinkConfig,
) -> (Option<String>, Option<AwsDelivery>) {
    let name = table.require("name", "\"scim/initech\"").and_then(|value| name(&value));
    let description = table.get("description").and_then(|value| description(&value));
    let raw = table.get("format").and_then(|value| value.word(&[("json", false), ("raw", true)]));
    let raw = raw.unwrap_or(false);
    let payload = table.get("payload").and_then(|value| {
        if raw {
            value.findings().error(
                value.key_at,
                "`payload` needs keys, and `format = \"raw\"` has none",
                "take one of the two out",
            );
        }
        super::sink::payload(&value, false, false)
    });
    let overwrite = table.get("overwrite").and_then(|value| value.boolean());
    let Some(name) = name else { return (None, None) };
    let overwrite = overwrite.unwrap_or(false);
    let delivery = AwsDelivery { name, description, payload, raw, overwrite };
    (Some(account.place(&delivery.name)), Some(delivery))
}

fn name(value: &Value<'_>) -> Option<String> {
    let text = value.string()?;
    if let Err(words) = check_name(text) {
        value.refuse(format!("`name` {words}"), "write a name such as \"scim/initech\"");
        return None;
    }
    Some(text.to_owned())
}

fn description(value: &Value<'_>) -> Option<String> {
    let text = value.string()?;
    if let Err(words) = check_description(text) {
        value.refuse(
            format!("`description` {words}"),
            "CloudTrail shows it to everybody who may read there: say whose secret it is, no more",
        );
        return None;
    }
    Some(text.to_owned())
}
