//! The proof by writing (`verify = "write"`): a throw-away user, what is done with it, and what is kept
//! of both.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use chrono::TimeDelta;
use serde::{Deserialize, Deserializer, Serialize, de};

use super::{policy::UserScopes, trouble::Trouble};
use crate::{
    clock::Timestamp,
    token::{ScimUserId, Scope, Scopes, TokenId},
};

/// What stands before the random part of a throw-away user's name.
const BEFORE: &str = "scimitar-probe-";

/// What stands behind it: nobody can own a name there (RFC 2606), and no mail arrives.
const BEHIND: &str = "@scimitar.invalid";

/// How many hexadecimal digits the random part has.
const DIGITS: usize = 16;

/// A create whose answer was lost may take effect for so long, and a search may not show it for so long.
const LATE: TimeDelta = TimeDelta::minutes(10);

/// One that is there for so long needs somebody to look at it.
const LONG: TimeDelta = TimeDelta::hours(1);

/// One that is not known to be gone after so long …
const OLD: TimeDelta = TimeDelta::days(7);

/// … is looked for no more often than this.
const SELDOM: TimeDelta = TimeDelta::days(1);

/// The name of a throw-away user. No user with another name is ever deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ProbeUserName(String);

impl ProbeUserName {
    /// Another one for each chance.
    #[must_use]
    pub fn drawn(bits: u64) -> Self {
        Self(format!("{BEFORE}{bits:016x}{BEHIND}"))
    }

    /// Accepts a name of exactly that form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(BEFORE)?.strip_suffix(BEHIND)?;
        let is_digit = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
        let fits = digits.len() == DIGITS && digits.bytes().all(is_digit);
        fits.then(|| Self(text.to_owned()))
    }

    /// The text itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProbeUserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ProbeUserName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom("not the name of a throw-away user"))
    }
}

/// What is done with a throw-away user, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserOp {
    /// It is created.
    Create,
    /// It is read by its id.
    Read,
    /// It is searched for by its name.
    Search,
    /// It is replaced.
    Replace,
    /// One attribute is changed.
    Patch,
    /// It is deactivated, and read again.
    Deactivate,
    /// It is deleted.
    Delete,
}

impl UserOp {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Create,
        Self::Read,
        Self::Search,
        Self::Replace,
        Self::Patch,
        Self::Deactivate,
        Self::Delete,
    ];

    /// Those without which a user could be left behind: one has to be found to be deleted.
    pub const NEEDED: [Self; 3] = [Self::Read, Self::Create, Self::Delete];

    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Read => "read",
            Self::Search => "search",
            Self::Replace => "replace",
            Self::Patch => "patch",
            Self::Deactivate => "deactivate",
            Self::Delete => "delete",
        }
    }

    /// The scope that it needs.
    #[must_use]
    pub fn scope(self, scopes: &UserScopes) -> &Scope {
        match self {
            Self::Create => &scopes.create,
            Self::Read | Self::Search => &scopes.read,
            Self::Replace => &scopes.replace,
            Self::Patch | Self::Deactivate => &scopes.patch,
            Self::Delete => &scopes.delete,
        }
    }
}

impl fmt::Display for UserOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl UserScopes {
    /// What a token with these scopes may not do and must be able to, so that no user is left behind.
    #[must_use]
    pub fn lacking(&self, granted: &Scopes) -> Vec<&Scope> {
        let needed = UserOp::NEEDED.iter().map(|op| op.scope(self));
        needed.filter(|scope| !granted.contains(*scope)).collect()
    }
}

/// A proof by writing, as it is planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WritePlan {
    /// Whom it creates. A user that an earlier try left is deleted first.
    pub user: ProbeUserName,
    /// What is done, in the order of [`UserOp`].
    pub ops: BTreeSet<UserOp>,
    /// What is left out because the token has no scope for it, with that scope.
    pub left_out: BTreeMap<UserOp, Scope>,
}

impl WritePlan {
    /// With what a token that has these scopes may do; `None` where it could leave a user behind.
    #[must_use]
    pub fn of(user: ProbeUserName, scopes: &UserScopes, granted: &Scopes) -> Option<Self> {
        if !scopes.lacking(granted).is_empty() {
            return None;
        }
        let (ops, left_out) =
            UserOp::ALL.into_iter().partition(|op| granted.contains(op.scope(scopes)));
        let with_scope = |left_out: BTreeSet<UserOp>| {
            left_out.into_iter().map(|op| (op, op.scope(scopes).clone())).collect()
        };
        Some(Self { user, ops, left_out: with_scope(left_out) })
    }

    /// In words: what is done and what is left out.
    #[must_use]
    pub fn words(&self) -> String {
        let left_out = left_out(&self.left_out);
        format!("{} a throw-away user{left_out}", listed(self.ops.iter()))
    }
}

fn listed<'o>(ops: impl Iterator<Item = &'o UserOp>) -> String {
    ops.map(|op| op.as_str()).collect::<Vec<_>>().join(", ")
}

fn left_out(ops: &BTreeMap<UserOp, Scope>) -> String {
    if ops.is_empty() {
        return String::new();
    }
    let each = ops.iter().map(|(op, scope)| format!("{op} ({scope})"));
    format!("; left out because a scope is missing: {}", each.collect::<Vec<_>>().join(", "))
}

/// A throw-away user that was announced and is not known to be gone. There is at most one of a
/// connection at any time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeUser {
    /// Its name.
    pub name: ProbeUserName,
    /// When its create was announced.
    pub announced: Timestamp,
    /// Whether there is one.
    pub made: Made,
    /// An earlier create under the same name was announced then, and its answer was lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<Timestamp>,
    /// When it was last looked for and not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unseen: Option<Timestamp>,
    /// Why it could not be deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<Trouble>,
}

/// Whether a throw-away user was created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Made {
    /// The create was announced; its answer is not known.
    Perhaps,
    /// It was, but the answer does not show it under its name.
    Unnamed,
    /// It was, with this id, as the answer to the create has it.
    As(ScimUserId),
    /// It was, and a later answer showed exactly its name under this id.
    Shown(ScimUserId),
}

impl Made {
    /// The id that it is known by.
    #[must_use]
    pub fn id(&self) -> Option<&ScimUserId> {
        match self {
            Self::As(id) | Self::Shown(id) => Some(id),
            Self::Perhaps | Self::Unnamed => None,
        }
    }
}

impl ProbeUser {
    /// One whose create is about to be sent.
    #[must_use]
    pub fn new(name: ProbeUserName, announced: Timestamp) -> Self {
        Self { name, announced, made: Made::Perhaps, lost: None, unseen: None, trouble: None }
    }

    /// The same user created once more, under the same name.
    #[must_use]
    pub fn again(&self, announced: Timestamp) -> Self {
        let lost = if self.made == Made::Perhaps { Some(self.announced) } else { self.lost };
        Self { lost, ..Self::new(self.name.clone(), announced) }
    }

    /// Whether an earlier create of it may still take effect, after this one is dealt with.
    #[must_use]
    pub fn may_still_come(&self, now: Timestamp) -> bool {
        let last = |lost| if self.made == Made::Perhaps { self.announced } else { lost };
        self.lost.is_some_and(|lost| now < last(lost) + LATE)
    }

    /// From when on a create takes effect no more, and a search shows what it made.
    #[must_use]
    pub fn settles_at(&self) -> Timestamp {
        self.announced + LATE
    }

    /// When it is looked for next; `None`: at once.
    #[must_use]
    pub fn due_at(&self) -> Option<Timestamp> {
        match (&self.trouble, self.unseen) {
            (Some(trouble), _) => Some(self.seldom(trouble).unwrap_or(trouble.retry_at)),
            (None, Some(_)) => Some(self.settles_at()),
            (None, None) => None,
        }
    }

    /// Until when one that is there for long is left alone after a failure.
    #[must_use]
    pub fn seldom(&self, trouble: &Trouble) -> Option<Timestamp> {
        let is_old = trouble.at - self.announced >= OLD;
        is_old.then(|| trouble.retry_at.max(trouble.at + SELDOM))
    }

    /// Whether somebody should look at it: its removal fails for good, or it is there for an hour, whatever
    /// holds its removal back.
    #[must_use]
    pub fn needs_person(&self, now: Timestamp) -> bool {
        let for_good = self.trouble.as_ref().is_some_and(Trouble::needs_person);
        for_good || now - self.announced >= LONG
    }
}

/// What the last proof by writing came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WriteProof {
    /// Of which token.
    pub token: TokenId,
    /// When it ended.
    pub at: Timestamp,
    /// What worked.
    pub worked: BTreeSet<UserOp>,
    /// What was left out because the token has no scope for it, with that scope.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub left_out: BTreeMap<UserOp, Scope>,
    /// What was answered otherwise than it is meant to be, and how: no fault of the token.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub faulty: BTreeMap<UserOp, String>,
    /// What there was no time for before the end of the call.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub untried: BTreeSet<UserOp>,
    /// The user was not shown as inactive after it was deactivated.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub loses_active: bool,
    /// It was shown as neither: without any `active`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hides_active: bool,
    /// Why no user was created at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
}

impl WriteProof {
    /// One that begins.
    #[must_use]
    pub fn new(token: TokenId, plan: &WritePlan, at: Timestamp) -> Self {
        Self {
            token,
            at,
            worked: BTreeSet::new(),
            left_out: plan.left_out.clone(),
            faulty: BTreeMap::new(),
            untried: BTreeSet::new(),
            loses_active: false,
            hides_active: false,
            skipped: None,
        }
    }

    /// In words, for the history.
    #[must_use]
    pub fn words(&self) -> String {
        let token = &self.token;
        if let Some(why) = &self.skipped {
            return format!("{token} was proven only by reading, not by writing: {why}");
        }
        let worked = listed(self.worked.iter());
        let faulty = self.faulty.iter().map(|(op, words)| format!("; {op}: {words}"));
        let faulty: String = faulty.collect();
        let active = match (self.loses_active, self.hides_active) {
            (_, true) => "; the user was shown without `active` after it was deactivated",
            (true, false) => "; the user was still active after it was deactivated",
            (false, false) => "",
        };
        let left_out = left_out(&self.left_out);
        let untried = if self.untried.is_empty() {
            String::new()
        } else {
            format!("; not tried because time ran out: {}", listed(self.untried.iter()))
        };
        format!("{token} was proven by writing: {worked}{left_out}{untried}{faulty}{active}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes() -> UserScopes {
        UserScopes::named(["get:users", "post:users", "put:users", "patch:users", "delete:users"])
            .unwrap()
    }

    fn granted(names: &[&str]) -> Scopes {
        names.iter().map(|name| Scope::try_new(*name).unwrap()).collect()
    }

    #[test]
    fn only_names_of_exactly_that_form_are_accepted() {
        let name = ProbeUserName::drawn(0xab);
        assert_eq!(name.as_str(), "scimitar-probe-00000000000000ab@scimitar.invalid");
        assert_eq!(ProbeUserName::parse(name.as_str()), Some(name));
        for other in [
            "ada@okta.example",
            "scimitar-probe-@scimitar.invalid",
            "scimitar-probe-00000000000000AB@scimitar.invalid",
            "scimitar-probe-0000000000000ab@scimitar.invalid",
            "scimitar-probe-000000000000000ab@scimitar.invalid",
            "Scimitar-probe-00000000000000ab@scimitar.invalid",
            "scimitar-probe-00000000000000ab@scimitar.invalid ",
            "scimitar-probe-00000000000000ab@scimitar.invalid.example",
            "xscimitar-probe-00000000000000ab@scimitar.invalid",
            "",
        ] {
            assert_eq!(ProbeUserName::parse(other), None, "{other}");
            let json = serde_json::to_string(other).unwrap();
            assert!(serde_json::from_str::<ProbeUserName>(&json).is_err(), "{other}");
        }
    }

    #[test]
    fn what_the_scopes_do_not_allow_is_left_out_and_said() {
        let of =
            |names: &[&str]| WritePlan::of(ProbeUserName::drawn(1), &scopes(), &granted(names));
        let all = of(&["get:users", "post:users", "put:users", "patch:users", "delete:users"]);
        assert_eq!(all.unwrap().ops, UserOp::ALL.into_iter().collect());
        let some = of(&["get:users", "post:users", "delete:users"]).unwrap();
        assert_eq!(
            some.words(),
            "create, read, search, delete a throw-away user; left out because a scope is missing: \
             replace (put:users), patch (patch:users), deactivate (patch:users)"
        );
        for lacking in ["get:users", "post:users", "delete:users"] {
            let mut names =
                vec!["get:users", "post:users", "put:users", "patch:users", "delete:users"];
            names.retain(|name| *name != lacking);
            assert_eq!(of(&names), None, "{lacking}: a user could be left behind");
            let granted = granted(&names);
            let scopes = scopes();
            let said: Vec<&str> = scopes.lacking(&granted).iter().map(|s| s.as_str()).collect();
            assert_eq!(said, [lacking]);
        }
    }

    #[test]
    fn one_is_looked_for_until_nothing_can_come_late() {
        let at = crate::rotation::fixture::now();
        let mut user = ProbeUser::new(ProbeUserName::drawn(1), at);
        assert_eq!((user.due_at(), user.settles_at()), (None, at + LATE));
        user.unseen = Some(at);
        assert_eq!(user.due_at(), Some(at + LATE));
        let mut again = user.again(at + LATE / 2);
        assert!(again.may_still_come(at + LATE), "neither create is answered");
        again.made = Made::Unnamed;
        assert!(again.may_still_come(at), "the first create was lost");
        assert!(!again.may_still_come(at + LATE) && !user.may_still_come(at));
        user.made = Made::Unnamed;
        assert_eq!(user.again(at).lost, None, "that one is known to have been made");
    }

    #[test]
    fn one_that_stays_is_shown_and_looked_for_seldom() {
        let at = crate::rotation::fixture::now();
        let mut user = ProbeUser::new(ProbeUserName::drawn(1), at);
        assert!(!user.needs_person(at + LONG - TimeDelta::seconds(1)));
        assert!(user.needs_person(at + LONG), "whether or not it was tried to delete it");
        let failed = |at| {
            let fault = crate::rotation::fixture::fault();
            crate::rotation::backoff::after(None, fault, at, None, 1)
        };
        user.trouble = Some(failed(at + TimeDelta::days(6)));
        assert_eq!(user.due_at(), user.trouble.as_ref().map(|trouble| trouble.retry_at));
        user.trouble = Some(failed(at + OLD));
        assert_eq!(user.due_at(), Some(at + OLD + SELDOM));
    }
}
