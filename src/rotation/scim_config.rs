//! The SCIM configuration of a connection: which attribute of SCIM goes into which attribute of a user.
//! What is asked for, what was seen, and how the two differ.

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};

use super::trouble::Trouble;
use crate::{clock::Timestamp, shown::visible};

/// Whether a user may log in (RFC 7643): where nothing follows from it, one who leaves keeps access.
pub const ACTIVE: &str = "active";

/// So many differences are said where there is little room.
const SAID: usize = 5;

/// One attribute of SCIM, and the attribute of the user that it goes into.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapped {
    /// The attribute of SCIM.
    pub scim: String,
    /// The attribute of the user.
    pub user: String,
}

/// All of them; their order means nothing.
pub type Mapping = BTreeSet<Mapped>;

/// A whole configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScimConfig {
    /// The attribute by which a user is recognised.
    pub user_id_attribute: String,
    /// The mapping.
    pub mapping: Mapping,
}

impl ScimConfig {
    /// Whether something follows from a user being deactivated.
    #[must_use]
    pub fn maps_active(&self) -> bool {
        self.mapping.iter().any(|mapped| mapped.scim.eq_ignore_ascii_case(ACTIVE))
    }
}

/// What a policy asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WantedConfig {
    /// The provider's default mapping.
    Default,
    /// This.
    Exactly(ScimConfig),
}

/// A configuration that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundConfig {
    /// It.
    pub config: ScimConfig,
    /// The provider's default mapping, where that is asked for.
    pub default: Option<Mapping>,
}

/// What was just seen: `None` where there is no configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenConfig {
    /// When.
    pub at: Timestamp,
    /// What.
    pub found: Option<FoundConfig>,
}

impl WantedConfig {
    /// What the configuration that was found is to become.
    #[must_use]
    pub fn target(&self, found: &FoundConfig) -> ScimConfig {
        match self {
            Self::Exactly(config) => config.clone(),
            Self::Default => ScimConfig {
                user_id_attribute: found.config.user_id_attribute.clone(),
                mapping: found.default.clone().unwrap_or_else(|| found.config.mapping.clone()),
            },
        }
    }

    /// How what was seen stands to this.
    #[must_use]
    pub fn judge(&self, seen: Option<&FoundConfig>) -> Standing {
        match seen {
            None => Standing::Missing,
            Some(found) => Diff::between(&found.config, &self.target(found))
                .map_or(Standing::AsAsked, Standing::Differs),
        }
    }
}

/// A change of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigChange {
    /// There is none: it is made, the provider's default where nothing is said.
    Create(Option<ScimConfig>),
    /// The whole of it is replaced.
    Replace {
        /// With this.
        by: ScimConfig,
        /// What that changes.
        diff: Diff,
    },
}

/// How a configuration stands to what is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// There is none.
    Missing,
    /// It is what is asked for.
    AsAsked,
    /// It is something else.
    Differs(Diff),
}

/// What a configuration has and what is asked for, where the two differ.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Diff {
    /// The attribute by which a user is recognised, as it is and as it is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id_attribute: Option<(String, String)>,
    /// What is there and not asked for.
    #[serde(default, skip_serializing_if = "Mapping::is_empty")]
    pub extra: Mapping,
    /// What is asked for and not there.
    #[serde(default, skip_serializing_if = "Mapping::is_empty")]
    pub lacking: Mapping,
}

impl Diff {
    /// `None` where there is no difference.
    #[must_use]
    pub fn between(is: &ScimConfig, asked: &ScimConfig) -> Option<Self> {
        let (from, to) = (&is.user_id_attribute, &asked.user_id_attribute);
        let diff = Self {
            user_id_attribute: (from != to).then(|| (from.clone(), to.clone())),
            extra: is.mapping.difference(&asked.mapping).cloned().collect(),
            lacking: asked.mapping.difference(&is.mapping).cloned().collect(),
        };
        (diff != Self::default()).then_some(diff)
    }

    /// The same in at most five items.
    #[must_use]
    pub fn short(&self) -> String {
        let items = self.items();
        let left = items.len().saturating_sub(SAID);
        let said: Vec<String> = items.into_iter().take(SAID).collect();
        let more = if left == 0 { String::new() } else { format!(", and {left} more") };
        format!("{}{more}", said.join(", "))
    }

    /// What is removed and what is added, attribute by attribute.
    fn items(&self) -> Vec<String> {
        let mut items = Vec::new();
        if let Some((from, to)) = &self.user_id_attribute {
            items.push(format!("- user_id_attribute {}", visible(from)));
            items.push(format!("+ user_id_attribute {}", visible(to)));
        }
        let signed = |sign: char, mapping: &Mapping| {
            let item = |mapped: &Mapped| (mapped.scim.clone(), sign, mapped.user.clone());
            mapping.iter().map(item).collect::<Vec<_>>()
        };
        let mut mapped = signed('-', &self.extra);
        mapped.extend(signed('+', &self.lacking));
        // Both sides of one attribute beside each other, what goes before what comes.
        mapped.sort_by(|(one, sign, _), (other, of_other, _)| {
            one.cmp(other).then(of_other.cmp(sign))
        });
        items.extend(
            mapped.into_iter().map(|(scim, sign, user)| {
                format!("{sign} {} → {}", visible(&scim), visible(&user))
            }),
        );
        items
    }
}

/// As a diff in one line: `-` what is there and not asked for, `+` what is asked for and not there.
impl fmt::Display for Diff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.items().join(", "))
    }
}

/// What is kept of a connection's SCIM configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScimState {
    /// How it stood when it was last seen; `None`: it was not seen yet.
    pub standing: Option<Standing>,
    /// Since when it has not been as asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// It does not map [`ACTIVE`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub loses_active: bool,
    /// A change was announced then, and its outcome is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announced: Option<Timestamp>,
    /// Why it could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<Trouble>,
    /// Why it could not be made or changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unwritten: Option<Trouble>,
}

impl ScimState {
    /// Whether it was there when it was last seen.
    #[must_use]
    pub fn is_there(&self) -> bool {
        matches!(self.standing, Some(Standing::AsAsked | Standing::Differs(_)))
    }

    /// In words, where it is not as asked for.
    #[must_use]
    pub fn drift(&self) -> Option<String> {
        let words = match self.standing.as_ref()? {
            Standing::AsAsked => return None,
            Standing::Missing => "the connection has no SCIM configuration".to_owned(),
            Standing::Differs(diff) => {
                format!("the SCIM configuration differs from the policy: {}", diff.short())
            }
        };
        Some(match &self.unwritten {
            Some(trouble) => format!("{words}; {}", trouble.fault),
            None => words,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(pairs: &[(&str, &str)]) -> Mapping {
        let mapped = |(scim, user): &(&str, &str)| Mapped {
            scim: (*scim).to_owned(),
            user: (*user).to_owned(),
        };
        pairs.iter().map(mapped).collect()
    }

    fn config(id: &str, pairs: &[(&str, &str)]) -> ScimConfig {
        ScimConfig { user_id_attribute: id.to_owned(), mapping: mapping(pairs) }
    }

    fn found(config: ScimConfig, default: Option<Mapping>) -> FoundConfig {
        FoundConfig { config, default }
    }

    #[test]
    fn the_order_of_a_mapping_means_nothing() {
        let one = config("id", &[("userName", "email"), ("active", "blocked")]);
        let other = config("id", &[("active", "blocked"), ("userName", "email")]);
        assert_eq!(Diff::between(&one, &other), None);
        let wanted = WantedConfig::Exactly(one);
        assert_eq!(wanted.judge(Some(&found(other, None))), Standing::AsAsked);
        assert_eq!(wanted.judge(None), Standing::Missing);
    }

    #[test]
    fn a_difference_is_said_as_a_diff() {
        let is = config("id", &[("userName", "email"), ("title", "x"), ("active", "blocked")]);
        let asked = config("sub", &[("userName", "nickname"), ("active", "blocked")]);
        let diff = Diff::between(&is, &asked).unwrap();
        assert_eq!(
            diff.to_string(),
            "- user_id_attribute id, + user_id_attribute sub, - title → x, - userName → email, \
             + userName → nickname"
        );
        assert_eq!(diff.short(), diff.to_string());
        let longer = config("sub", &[("userName", "nickname"), ("locale", "l")]);
        let diff = Diff::between(&is, &longer).unwrap();
        assert!(
            diff.short().ends_with("+ locale → l, - title → x, and 2 more"),
            "{}",
            diff.short()
        );
    }

    #[test]
    fn the_default_leaves_the_id_attribute_alone() {
        let default = mapping(&[("userName", "preferred_username")]);
        let there = config("sub", &[("userName", "email")]);
        let seen = found(there, Some(default.clone()));
        let target = WantedConfig::Default.target(&seen);
        assert_eq!((target.user_id_attribute.as_str(), &target.mapping), ("sub", &default));
        let same = found(target, Some(default));
        assert_eq!(WantedConfig::Default.judge(Some(&same)), Standing::AsAsked);
    }

    #[test]
    fn what_a_terminal_would_not_show_is_escaped() {
        let is = config("id", &[("user\u{202e}Name", "email")]);
        let diff = Diff::between(&is, &config("id", &[])).unwrap();
        assert_eq!(diff.to_string(), "- user\\u202eName → email");
    }

    #[test]
    fn active_is_found_whatever_its_case() {
        assert!(config("id", &[("Active", "blocked")]).maps_active());
        assert!(!config("id", &[("userName", "active")]).maps_active());
    }
}
