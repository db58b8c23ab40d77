//! A parameter as it is configured, checked before it is used.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    error::Fault,
    sink::{
        Place, Remembered,
        aws::{AccountSettings, AwsAccount, check_description},
        payload::{Labels, PayloadTemplate},
        rules::{Keys, form::Form, invalid, not_remembered, remembered},
    },
    token::PlaceKey,
};

/// The kind in a [`PlaceKey`].
pub(super) const KIND: &str = "aws_ssm";

/// The longest name, and the most levels of a path (AWS's API reference, `PutParameter`). The name's ARN
/// counts towards 1011 characters of a name that the service stores.
const LONGEST_NAME: usize = 900;
const MOST_LEVELS: usize = 15;

/// What a parameter may hold, and what it costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// 4 KiB, free of charge.
    Standard,
    /// 8 KiB.
    Advanced,
    /// Advanced where the value needs it.
    IntelligentTiering,
}

impl Tier {
    /// As AWS calls it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "Standard",
            Self::Advanced => "Advanced",
            Self::IntelligentTiering => "Intelligent-Tiering",
        }
    }
}

/// The Parameter Store of an account and region.
#[derive(Debug)]
pub struct ParameterStore {
    /// The account.
    pub account: Arc<AwsAccount>,
    /// The tier of every version; `None`: the account's own default.
    pub tier: Option<Tier>,
}

/// A `deliver_to` entry, also as the ledger remembers it ([`Place::delivery`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SsmTarget {
    /// The parameter's name.
    pub parameter: String,
    /// What is said of it when it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What replaces the default payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<PayloadTemplate>,
    /// Whether the value is the token alone; never with `payload`.
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

/// Why a name cannot be one of a parameter (AWS's API reference, `PutParameter`).
///
/// # Errors
/// In words that fit behind the name's name.
pub(super) fn check_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() || name.len() > LONGEST_NAME {
        return Err("must have 1 to 900 characters");
    }
    if name.starts_with("arn:") {
        return Err(
            "is an ARN; write the parameter's name (the account is that of the credentials)",
        );
    }
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"/_.-".contains(&b)) {
        return Err("may hold letters, digits and / _ . - only");
    }
    let path = name.strip_prefix('/').unwrap_or(name);
    if path.contains('/') && path == name {
        return Err("is a path and must begin with /, as in /scim/initech");
    }
    if path.split('/').any(str::is_empty) {
        return Err("has an empty part between two slashes, or ends in one");
    }
    if path.split('/').count() > MOST_LEVELS {
        return Err("has more than 15 levels");
    }
    let first = path.get(..3).map(str::to_ascii_lowercase).unwrap_or_default();
    if first == "aws" || first == "ssm" {
        return Err("begins with \"aws\" or \"ssm\", which AWS reserves");
    }
    Ok(())
}

impl SsmTarget {
    /// The delivery to a remembered place, if it is in this account and region.
    pub(super) fn remembered(account: &AccountSettings, place: &Place) -> Result<Self, Fault> {
        let target: Self = remembered(place)?;
        if PlaceKey::new(KIND, &account.location(target.path())) != place.key {
            let words =
                format!("is in another account or region than [sinks.{}] names now", place.sink);
            return Err(not_remembered(place, &words));
        }
        Ok(target)
    }

    /// The name without the slash in front of it.
    pub(super) fn path(&self) -> &str {
        self.parameter.strip_prefix('/').unwrap_or(&self.parameter)
    }

    /// Checks everything that can be checked without asking.
    pub(super) fn checked(self, account: &AccountSettings) -> Result<Checked, Fault> {
        let operation = format!("use {} in [sinks.{}]", self.parameter, account.sink);
        let failed = |words: String| invalid(&operation, words);
        check_name(&self.parameter).map_err(|words| failed(format!("the name {words}")))?;
        if let Some(text) = &self.description {
            check_description(text).map_err(|words| failed(format!("the description {words}")))?;
        }
        if self.raw && self.payload.is_some() {
            return Err(failed("`payload` needs keys, and `format = \"raw\"` has none".to_owned()));
        }
        let location = account.location(self.path());
        let place = Place {
            key: PlaceKey::new(KIND, &location),
            sink: account.sink.clone(),
            location,
            delivery: Remembered::of(&self).map_err(|problem| failed(problem.to_string()))?,
        };
        let Self { parameter: name, description, payload, raw, overwrite, tags } = self;
        let form = if raw { Form::Raw } else { Form::Keys(Keys::new(payload)) };
        Ok(Checked { place, name, description, form, overwrite, tags })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_that_the_parameter_store_takes() {
        for good in ["scim", "scim.initech", "/scim/initech", "/a/b/c-d_e"] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        let (long, deep) = ("x".repeat(901), "/x".repeat(16));
        for bad in [
            "",
            "scim/initech",
            "/",
            "/a//b",
            "/a/",
            "a b",
            "ä",
            "aws.x",
            "/SSM/x",
            "arn:aws:x",
            &long,
            &deep,
        ] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
