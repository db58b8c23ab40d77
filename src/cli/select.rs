//! Which connections a command is about: names, patterns of names, `--provider`, `--match`, `--where`.

use std::{fmt, time::Duration};

use crate::{
    pattern::Pattern,
    token::{ConnectionName, ProviderName},
};

/// Which connections were asked for. A connection must match everything that is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Any of these; every connection where there is none.
    pub named: Vec<Named>,
    /// Of this provider.
    pub provider: Option<ProviderName>,
    /// Whose names match this.
    pub matching: Option<Pattern>,
    /// Which are in each of these states now.
    pub conditions: Vec<Condition>,
}

impl Selection {
    /// One connection by its name.
    #[must_use]
    pub fn of(name: ConnectionName) -> Self {
        Self { named: vec![Named::Name(name)], ..Self::default() }
    }

    /// Whether it selects by names, a pattern or a provider; a state alone is not enough.
    #[must_use]
    pub fn says_whose(&self) -> bool {
        !self.named.is_empty() || self.provider.is_some() || self.matching.is_some()
    }

    /// Whether it names this one itself.
    #[must_use]
    pub fn names(&self, name: &ConnectionName) -> bool {
        self.named.iter().any(|one| matches!(one, Named::Name(named) if named == name))
    }

    /// Whether it selects at all.
    #[must_use]
    pub fn says_anything(&self) -> bool {
        self.says_whose() || !self.conditions.is_empty()
    }
}

/// A connection, or several, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// This one.
    Name(ConnectionName),
    /// Those whose names match. No name that can be configured has `*` or `?` in it.
    Like(Pattern),
}

/// The state of a connection: a word of `--where`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// A rotation is due, or the connection was never checked.
    Due,
    /// Something failed and is retried.
    Failing,
    /// Blocked until an operator decides.
    Refused,
    /// It waits for time or evidence.
    Waiting,
    /// An operator paused it.
    Paused,
    /// It needs attention.
    Attention,
    /// It has a token that Scimitar does not own.
    Unmanaged,
    /// A sink holds what it should not.
    Drift,
    /// Its current token has expired or is gone.
    Expired,
    /// Its current token expires within this time, or no longer works.
    Expiring(Duration),
}

/// The words and what they mean, for help and error messages.
pub const CONDITIONS: [(&str, Condition); 9] = [
    ("due", Condition::Due),
    ("failing", Condition::Failing),
    ("refused", Condition::Refused),
    ("waiting", Condition::Waiting),
    ("paused", Condition::Paused),
    ("attention", Condition::Attention),
    ("unmanaged", Condition::Unmanaged),
    ("drift", Condition::Drift),
    ("expired", Condition::Expired),
];

/// The word before a duration.
const EXPIRING: &str = "expiring<";

impl Condition {
    /// Reads a word; `duration` reads what follows `expiring<`.
    ///
    /// # Errors
    /// The words that there are.
    pub fn parse(
        text: &str,
        duration: impl FnOnce(&str) -> Result<Duration, String>,
    ) -> Result<Self, String> {
        if let Some(within) = text.strip_prefix(EXPIRING) {
            return duration(within).map(Self::Expiring);
        }
        let found = CONDITIONS.iter().find(|(word, _)| *word == text);
        found.map(|(_, condition)| *condition).ok_or_else(|| {
            let words: Vec<&str> = CONDITIONS.iter().map(|(word, _)| *word).collect();
            format!("it is one of {}, {EXPIRING}30d", words.join(", "))
        })
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Expiring(within) = self {
            return write!(f, "{EXPIRING}{}", crate::clock::spelled(*within));
        }
        let found = CONDITIONS.iter().find(|(_, condition)| condition == self);
        f.write_str(found.map_or("", |(word, _)| word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_word_is_answered_with_all_that_there_are() {
        let none = |_: &str| Err("no duration".to_owned());
        for (word, condition) in CONDITIONS {
            assert_eq!(Condition::parse(word, none), Ok(condition));
            assert_eq!(condition.to_string(), word);
        }
        let month = Duration::from_secs(30 * 86_400);
        let within = Condition::parse("expiring<30d", |text| {
            assert_eq!(text, "30d");
            Ok(month)
        });
        assert_eq!(within, Ok(Condition::Expiring(month)));
        assert_eq!(Condition::Expiring(month).to_string(), "expiring<30d");
        assert_eq!(Condition::parse("expiring<soon", none), Err("no duration".to_owned()));
        let refused = Condition::parse("dew", none).unwrap_err();
        for (word, _) in CONDITIONS {
            assert!(refused.contains(word), "{refused}");
        }
        assert!(refused.ends_with("expiring<30d"), "{refused}");
    }
}
