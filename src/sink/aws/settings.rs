//! An account, a region and a secret there as they are configured, checked before they are used.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    aws_identity::Origin,
    error::Fault,
    http::{Endpoint, HttpSettings},
    sink::{
        Place, Remembered,
        payload::{Labels, Limits, PayloadTemplate},
        rules::{Keys, form::Form, invalid, not_remembered, remembered},
    },
    token::{PlaceKey, SinkName},
};

/// The kind in a [`PlaceKey`].
pub(super) const KIND: &str = "aws";

/// The longest name of a secret (AWS's API reference).
const LONGEST_NAME: usize = 512;

/// The tags that a delivery may put there: AWS takes 50 on a resource, and marks and others need some.
pub(in crate::sink) static TAGS: Limits = Limits {
    key: "tags",
    most: MOST_TAGS,
    reserved: &[],
    check_key: check_tag_key,
    check_value: check_tag_value,
    way_out: "use filters, such as {{ connection | replace(\"&\", \"-\") }}",
};

/// The most tags that a resource is given.
pub(super) const MOST_TAGS: usize = 40;

/// The longest description.
const LONGEST_DESCRIPTION: usize = 2048;

/// A role to take on before anything else is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Which.
    pub arn: String,
    /// What its trust policy may ask for.
    pub external_id: Option<String>,
    /// Tags of the session.
    pub session_tags: BTreeMap<String, String>,
}

/// What `[sinks.NAME]` says of an account and region, as it is configured and as it runs: what is the
/// same in both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The region.
    pub region: String,
    /// The role that is taken on.
    pub role: Option<Role>,
    /// Which role it must be in the end.
    pub expect_role_arn: Option<String>,
    /// The key that a secret is made with; `None`: the account's `aws/secretsmanager`.
    pub kms_key_id: Option<String>,
    /// The tags that a secret is made with.
    pub tags: BTreeMap<String, String>,
    /// Whether a secret that is not there is made.
    pub create: bool,
    /// Whether one that is scheduled for deletion is restored.
    pub restore: bool,
}

/// An account and region, as they run.
#[derive(Clone, Debug)]
pub struct AccountSettings {
    /// The sink's label.
    pub sink: SinkName,
    /// What is as it was configured.
    pub account: Account,
    /// The address of Secrets Manager, if not that of the region.
    pub endpoint: Option<Endpoint>,
    /// The address of STS, if not that of the region.
    pub sts_endpoint: Option<Endpoint>,
    /// Whose credentials are used.
    pub origin: Origin,
    /// How to reach it.
    pub http: HttpSettings,
}

impl Account {
    /// One whose secrets are made where they are not there, with the credentials that are found.
    #[must_use]
    pub fn of_region(region: &str) -> Self {
        Self {
            region: region.to_owned(),
            role: None,
            expect_role_arn: None,
            kms_key_id: None,
            tags: BTreeMap::new(),
            create: true,
            restore: false,
        }
    }

    /// The role whose rights count in the end, where it is said.
    #[must_use]
    pub fn last_role(&self) -> Option<&str> {
        self.role.as_ref().map(|role| role.arn.as_str()).or(self.expect_role_arn.as_deref())
    }

    /// What a secret there is called. The account is part of that where a role is taken on in it.
    /// Which role is expected does not say it: that leads nowhere else, and who comes to write it
    /// down has not moved the secrets.
    pub(in crate::sink) fn location(&self, endpoint: Option<&Endpoint>, name: &str) -> String {
        // A server on this machine is not AWS; an endpoint of a network of one's own is.
        let host = endpoint.filter(|endpoint| endpoint.is_loopback()).map(Endpoint::host);
        let account = self.role.as_ref().and_then(|role| account_in(&role.arn));
        let parts = [host.as_deref(), account, Some(&self.region), Some(name)];
        parts.into_iter().flatten().collect::<Vec<_>>().join("/")
    }
}

impl AccountSettings {
    /// What a secret there is called.
    #[must_use]
    pub fn location(&self, name: &str) -> String {
        self.account.location(self.endpoint.as_ref(), name)
    }
}

/// The account in an ARN.
pub(in crate::sink) fn account_in(arn: &str) -> Option<&str> {
    arn.split(':').nth(4).filter(|account| !account.is_empty())
}

/// A `deliver_to` entry, also as the ledger remembers it ([`Place::delivery`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AwsTarget {
    /// The secret's name.
    pub name: String,
    /// What is said of the secret when it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What replaces the default payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<PayloadTemplate>,
    /// Whether the secret's value is the token alone, as plain text; never with `payload`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub raw: bool,
    /// Whether what others put there may be lost.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overwrite: bool,
    /// What is said in tags.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub tags: Labels,
}

/// Settings that passed every check.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) place: Place,
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) form: Form,
    pub(super) overwrite: bool,
    pub(super) tags: Labels,
}

/// Why a name cannot be one of a secret (AWS's API reference, `CreateSecret`).
///
/// # Errors
/// In words that fit behind the name's name.
pub(super) fn check_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() || name.len() > LONGEST_NAME {
        return Err("must have 1 to 512 characters");
    }
    if name.starts_with("arn:") {
        return Err("is an ARN; write the secret's name (the account is that of the credentials)");
    }
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"/_+=.@-".contains(&b)) {
        return Err("may hold letters, digits and / _ + = . @ - only");
    }
    Ok(())
}

/// Why a text cannot be the key of a tag (AWS's documentation "Tagging your AWS resources").
///
/// # Errors
/// In words that fit behind the key.
pub(super) fn check_tag_key(key: &str) -> Result<(), &'static str> {
    if !(1..=128).contains(&key.chars().count()) || !is_of_a_tag(key) {
        return Err("is not a valid tag key: 1 to 128 letters, digits, spaces and _ . : / = + - @");
    }
    let reserved = key.to_ascii_lowercase().starts_with("aws:");
    if reserved { Err("is reserved for AWS's own tags") } else { Ok(()) }
}

/// Why a text cannot be the value of a tag.
///
/// # Errors
/// In words that fit behind the value.
pub(super) fn check_tag_value(value: &str) -> Result<(), &'static str> {
    if value.chars().count() > 256 || !is_of_a_tag(value) {
        return Err(
            "is not a valid tag value: up to 256 letters, digits, spaces and _ . : / = + - @",
        );
    }
    Ok(())
}

/// Whether all of its characters are some that tags may hold.
pub(super) fn is_of_a_tag(text: &str) -> bool {
    text.chars().all(|c| c.is_alphanumeric() || " _.:/=+-@".contains(c))
}

/// Whether a name ends in a hyphen and six characters, as AWS ends its ARNs: who looks for a part of
/// an ARN may find another secret then (AWS's API reference, `CreateSecret`).
pub(super) fn ends_as_an_arn_does(name: &str) -> bool {
    let ending = name.rsplit_once('-').map(|(_, ending)| ending);
    ending.is_some_and(|ending| {
        ending.len() == 6 && ending.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

/// Why a text cannot be a secret's description.
///
/// # Errors
/// In words that fit behind the key's name.
pub(in crate::sink) fn check_description(text: &str) -> Result<(), &'static str> {
    let fits = text.len() <= LONGEST_DESCRIPTION && !text.chars().any(char::is_control);
    if fits { Ok(()) } else { Err("must be one line of at most 2048 characters") }
}

impl AwsTarget {
    /// The delivery to a remembered place, if it is in this account and region.
    pub(super) fn remembered(account: &AccountSettings, place: &Place) -> Result<Self, Fault> {
        let target: Self = remembered(place)?;
        if PlaceKey::new(KIND, &account.location(&target.name)) != place.key {
            let words =
                format!("is in another account or region than [sinks.{}] names now", place.sink);
            return Err(not_remembered(place, &words));
        }
        Ok(target)
    }

    /// Checks everything that can be checked without asking.
    pub(super) fn checked(self, account: &AccountSettings) -> Result<Checked, Fault> {
        let operation = format!("use {} in [sinks.{}]", self.name, account.sink);
        let failed = |words: String| invalid(&operation, words);
        check_name(&self.name).map_err(|words| failed(format!("the name {words}")))?;
        if let Some(text) = &self.description {
            check_description(text).map_err(|words| failed(format!("the description {words}")))?;
        }
        if self.raw && self.payload.is_some() {
            return Err(failed("`payload` needs keys, and `format = \"raw\"` has none".to_owned()));
        }
        let location = account.location(&self.name);
        let place = Place {
            key: PlaceKey::new(KIND, &location),
            sink: account.sink.clone(),
            location,
            delivery: Remembered::of(&self).map_err(|problem| failed(problem.to_string()))?,
        };
        let Self { name, description, payload, raw, overwrite, tags } = self;
        let form = if raw { Form::Raw } else { Form::Keys(Keys::new(payload)) };
        Ok(Checked { place, name, description, form, overwrite, tags })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_that_aws_takes_and_no_part_of_an_arn() {
        for good in ["a", "scim/initech", "A_+=.@-b", "acme-secret", "scim-a1B2c3", "x-12345"] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        let long = "x".repeat(513);
        for bad in ["", "a b", "ä", "a:b", "arn:aws:x", long.as_str()] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
        for (name, does) in [("acme-secret", true), ("x-a1B2c3", true), ("x-1234567", false)] {
            assert_eq!(ends_as_an_arn_does(name), does, "{name}");
        }
    }

    #[test]
    fn a_role_that_is_only_expected_moves_no_secret() {
        const ROLE: &str = "arn:aws:iam::123456789012:role/scimitar";
        let plain = Account::of_region("eu-central-1");
        let expecting = Account { expect_role_arn: Some(ROLE.to_owned()), ..plain.clone() };
        let role = Role { arn: ROLE.to_owned(), external_id: None, session_tags: BTreeMap::new() };
        let taking = Account { role: Some(role), ..plain.clone() };
        assert_eq!(plain.location(None, "x"), "eu-central-1/x");
        assert_eq!(expecting.location(None, "x"), plain.location(None, "x"));
        assert_eq!(taking.location(None, "x"), "123456789012/eu-central-1/x");
    }

    #[test]
    fn an_account_is_read_from_an_arn() {
        assert_eq!(account_in("arn:aws:iam::123456789012:role/x"), Some("123456789012"));
        assert_eq!(account_in("arn:aws:s3:::bucket"), None);
        assert_eq!(account_in("x"), None);
    }
}
