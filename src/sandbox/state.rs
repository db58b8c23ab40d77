//! The tenant: connections, their tokens and users, and who is logged in. Pure data; time and
//! randomness come in with each change.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{directory::Directory, ratelimit::Bucket};
use crate::{clock::Timestamp, token::Digest};

/// How many active tokens a connection may have.
pub(super) const TOKEN_CAP: usize = 2;

/// How long an expired token is still listed, and how long a deleted one is remembered for
/// [`View`]s of the past.
pub(super) const LINGER: TimeDelta = TimeDelta::hours(1);

/// Everything that a tenant holds.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    /// By connection id.
    pub(super) connections: BTreeMap<String, Connection>,
    /// Management tokens by the SHA-256 of their value.
    pub(super) access: BTreeMap<String, Access>,
    /// `jti`s that were used, and until when they must not be used again.
    pub(super) used_assertions: BTreeMap<String, Timestamp>,
    /// What is left of the request limit, where there is one.
    pub(super) bucket: Option<Bucket>,
    /// dbt Cloud's accounts, by their number: each is one connection.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) accounts: BTreeMap<String, Connection>,
    /// What is left of the accounts' limit, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) cooling: Option<Cooling>,
    /// Counts births and deaths of tokens, so that "before that" does not depend on a clock.
    pub(super) sequence: u64,
    /// Whether anything changed since it was last stored.
    #[serde(skip)]
    pub(super) changed: bool,
}

/// A limit that shuts everybody out for a while once it was passed.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cooling {
    pub(super) bucket: Option<Bucket>,
    pub(super) until: Option<Timestamp>,
}

/// A log-in.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Access {
    pub(super) scopes: Vec<String>,
    pub(super) expires_at: Timestamp,
}

/// A connection. What is at its default is not held, so that very many cost little.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Connection {
    pub(super) name: String,
    pub(super) strategy: String,
    /// `None`: an empty object.
    pub(super) options: Option<Value>,
    /// Members that a client set and that nothing here looks at.
    pub(super) extra: BTreeMap<String, Value>,
    /// `None`: SCIM is not configured.
    pub(super) scim: Option<ScimConfig>,
    pub(super) tokens: Vec<Token>,
    /// `None`: the users that every connection starts with.
    pub(super) directory: Option<Box<Directory>>,
}

/// A connection's SCIM configuration.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ScimConfig {
    /// `None`: the default mapping.
    pub(super) mapping: Option<Value>,
    pub(super) user_id_attribute: String,
    pub(super) created_at: Timestamp,
    pub(super) updated_on: Timestamp,
}

/// A SCIM token, without its value.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Token {
    pub(super) id: String,
    /// SHA-256 of the value.
    pub(super) digest: Digest,
    pub(super) scopes: Vec<String>,
    pub(super) created_at: Timestamp,
    pub(super) valid_until: Option<Timestamp>,
    /// The two latest uses that were noted, so that a late mark can be shown as it would be.
    pub(super) last_used_at: Option<Timestamp>,
    pub(super) used_before: Option<Timestamp>,
    /// [`State::sequence`] at creation.
    pub(super) born: u64,
    /// When it was deleted, and [`State::sequence`] then.
    pub(super) died: Option<(Timestamp, u64)>,
    /// What it is called, where tokens have names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
}

/// From when a request sees the tokens: lagging replicas answer from the past.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum View {
    /// As they are.
    #[default]
    Now,
    /// As they were at a time.
    At(Timestamp),
    /// As they were when the tenant's sequence stood here.
    Sequence(u64),
}

/// What a tenant does with tokens that have expired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expired {
    /// They are listed for an hour more and hold no slot.
    #[default]
    Listed,
    /// They are gone at once.
    Dropped,
    /// They are listed and hold a slot until they are deleted.
    Counted,
}

impl Token {
    /// Whether `view` shows the token as existing.
    pub(super) fn exists(&self, view: View) -> bool {
        match view {
            View::Now => self.died.is_none(),
            View::At(at) => self.created_at <= at && self.died.is_none_or(|(died, _)| died > at),
            View::Sequence(seen) => {
                self.born <= seen && self.died.is_none_or(|(_, died)| died > seen)
            }
        }
    }

    /// Whether its life is over.
    pub(super) fn expired(&self, now: Timestamp) -> bool {
        self.valid_until.is_some_and(|until| until <= now)
    }

    /// Whether a list shows it.
    pub(super) fn listed(&self, view: View, now: Timestamp, expired: Expired) -> bool {
        self.exists(view)
            && match expired {
                Expired::Listed => self.valid_until.is_none_or(|until| until + LINGER > now),
                Expired::Dropped => !self.expired(now),
                Expired::Counted => true,
            }
    }

    /// Notes a use, at most one per `grain`.
    pub(super) fn used(&mut self, now: Timestamp, grain: TimeDelta) -> bool {
        if self.last_used_at.is_some_and(|last| last + grain > now) {
            return false;
        }
        self.used_before = self.last_used_at;
        self.last_used_at = Some(now);
        true
    }

    /// The last use that is known by `now` when marks arrive `delay` late.
    pub(super) fn shown_use(&self, now: Timestamp, delay: TimeDelta) -> Option<Timestamp> {
        self.last_used_at
            .filter(|at| *at + delay <= now)
            .or_else(|| self.used_before.filter(|at| *at + delay <= now))
    }
}

impl Connection {
    /// A connection that holds nothing yet.
    pub(super) fn new(name: String, strategy: String) -> Self {
        Self {
            name,
            strategy,
            options: None,
            extra: BTreeMap::new(),
            scim: None,
            tokens: Vec::new(),
            directory: None,
        }
    }

    /// How many tokens hold a slot.
    pub(super) fn slots_used(&self, now: Timestamp, expired: Expired) -> usize {
        self.tokens
            .iter()
            .filter(|token| token.exists(View::Now))
            .filter(|token| expired == Expired::Counted || !token.expired(now))
            .count()
    }

    /// Forgets tokens that no list of the last hour shows any more.
    pub(super) fn prune(&mut self, now: Timestamp, expired: Expired) {
        self.tokens.retain(|token| {
            let buried = token.died.is_some_and(|(died, _)| died + LINGER <= now);
            let faded = expired != Expired::Counted
                && token.valid_until.is_some_and(|until| until + LINGER <= now);
            !buried && !faded
        });
    }
}

impl State {
    /// The next place in the order of births and deaths.
    pub(super) fn tick(&mut self) -> u64 {
        self.changed = true;
        self.sequence += 1;
        self.sequence
    }

    /// What has tokens and a SCIM endpoint under this id: a connection, or an account.
    pub(super) fn scim_mut(&mut self, id: &str) -> Option<&mut Connection> {
        self.connections.get_mut(id).or_else(|| self.accounts.get_mut(id))
    }

    /// Makes sure that the connections which every tenant starts with, and `extra` more, exist.
    pub(super) fn seed(&mut self, extra: usize, now: Timestamp) {
        const FIRST: [(&str, &str, &str); 3] = [
            ("con_okta000000000001", "initech-okta", "okta"),
            ("con_waad000000000001", "globex-waad", "waad"),
            ("con_samlp00000000001", "umbrella-samlp", "samlp"),
        ];
        let mut add = |id: String, name: String, strategy: &str| {
            let mut connection = Connection::new(name, strategy.to_owned());
            connection.scim = Some(ScimConfig::new(now));
            self.connections.insert(id, connection);
        };
        for (id, name, strategy) in FIRST {
            add(id.to_owned(), name.to_owned(), strategy);
        }
        for (number, (_, _, strategy)) in (1..=extra).zip(FIRST.into_iter().cycle()) {
            add(format!("con_{number:016}"), format!("extra-{number}"), strategy);
        }
        self.changed = true;
    }
}

impl ScimConfig {
    /// The configuration that Auth0 makes from an empty request.
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            mapping: None,
            user_id_attribute: "externalId".to_owned(),
            created_at: now,
            updated_on: now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, SystemClock};

    fn token(created_at: Timestamp) -> Token {
        Token {
            id: "tok_0000000000000000".to_owned(),
            digest: Digest::of(b""),
            scopes: Vec::new(),
            created_at,
            valid_until: None,
            last_used_at: None,
            used_before: None,
            born: 5,
            died: None,
            name: None,
        }
    }

    #[test]
    fn the_first_connections_have_ids_as_auth0_makes_them() {
        let mut state = State::default();
        state.seed(100, SystemClock.now());
        assert_eq!(state.connections.len(), 103);
        for id in state.connections.keys() {
            let rest = id.strip_prefix("con_").unwrap();
            assert_eq!(rest.len(), 16, "{id}");
            assert!(rest.chars().all(|c| c.is_ascii_alphanumeric()), "{id}");
        }
    }

    #[test]
    fn the_past_shows_what_was_there_then() {
        let now = SystemClock.now();
        let mut token = token(now);
        assert!(token.exists(View::Now));
        assert!(!token.exists(View::At(now - TimeDelta::seconds(1))));
        assert!(!token.exists(View::Sequence(4)));
        token.died = Some((now + TimeDelta::seconds(9), 7));
        assert!(!token.exists(View::Now));
        assert!(token.exists(View::At(now + TimeDelta::seconds(8))));
        assert!(token.exists(View::Sequence(6)));
        assert!(!token.exists(View::Sequence(7)));
    }

    #[test]
    fn expired_tokens_linger_for_an_hour_or_as_told() {
        let now = SystemClock.now();
        let mut token = token(now);
        token.valid_until = Some(now + TimeDelta::seconds(901));
        let just_after = now + TimeDelta::seconds(902);
        let long_after = now + TimeDelta::seconds(902) + LINGER;
        for (expired, soon, late) in [
            (Expired::Listed, true, false),
            (Expired::Dropped, false, false),
            (Expired::Counted, true, true),
        ] {
            assert_eq!(token.listed(View::Now, just_after, expired), soon, "{expired:?}");
            assert_eq!(token.listed(View::Now, long_after, expired), late, "{expired:?}");
        }
    }

    #[test]
    fn late_marks_show_the_use_before() {
        let now = SystemClock.now();
        let minute = TimeDelta::minutes(1);
        let mut token = token(now);
        assert!(token.used(now, minute));
        assert!(!token.used(now + TimeDelta::seconds(59), minute));
        assert!(token.used(now + minute, minute));
        assert_eq!(token.shown_use(now + minute, TimeDelta::zero()), Some(now + minute));
        assert_eq!(token.shown_use(now + minute, minute), Some(now));
        assert_eq!(token.shown_use(now, minute), None);
    }
}
