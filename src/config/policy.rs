//! The policy keys that a connection and `[defaults]` have in common.

use std::{collections::BTreeSet, time::Duration};

use crate::{
    provider::{
        KINDS,
        kind::{Lives, ScopeWords},
    },
    rotation::{
        freeze::LocalSpan,
        policy::{Capabilities, Lead, Mode, OnDrift, ScopePolicy, Share, Unmanaged, Verify},
    },
    table::{
        At, Findings, Table, Value, amount,
        amount::{LONGEST, SECOND},
        nearest, shown,
    },
    token::{ProviderName, Scope},
};

/// The shortest window: a rotation takes a while.
const MINUTE: Duration = Duration::from_secs(60);

/// The shortest life that any kind of provider gives a token.
pub(super) fn shortest_life() -> Duration {
    let shortest = KINDS.iter().filter_map(|kind| kind.shortest_life).min();
    Duration::from_secs(shortest.unwrap_or(1))
}

/// Every scope that tokens of any kind can have.
pub(super) fn all_scopes() -> Vec<&'static str> {
    let mut all: Vec<&str> = Vec::new();
    for kind in KINDS {
        let ScopeWords::These(scopes) = kind.scopes else { continue };
        for scope in scopes {
            if !all.contains(scope) {
                all.push(scope);
            }
        }
    }
    all
}

/// How long before a token's end somebody is told of it.
pub(super) fn notice<'s>(table: &Table<'s>) -> Option<Given<'s, BTreeSet<Duration>>> {
    given(table, "notify_before", |value| {
        let items = value.list("a list of durations such as [\"14d\", \"3d\", \"1d\"]")?;
        items.iter().map(|item| item.duration(MINUTE..=LONGEST)).collect()
    })
}

/// Who said a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The connection.
    Own,
    /// `[defaults]`.
    Defaults,
    /// Nobody: it is what the documentation says.
    Builtin,
}

/// A value, where it stands, and who said it.
#[derive(Clone, Debug)]
pub(super) struct Given<'s, T> {
    pub value: T,
    pub at: At<'s>,
    pub origin: Origin,
}

impl<'s, T> Given<'s, T> {
    /// Another value in the same place.
    pub(super) fn with<U>(&self, value: U) -> Given<'s, U> {
        Given { value, at: self.at, origin: self.origin }
    }
}

/// What was said; `None`: nothing (or something that was refused).
#[derive(Clone, Debug, Default)]
pub(super) struct PolicyKeys<'s> {
    pub scopes: Option<Given<'s, ScopePolicy>>,
    pub token_lifetime: Option<Given<'s, Duration>>,
    pub rotate_before: Option<Given<'s, Lead>>,
    pub max_age: Option<Given<'s, Duration>>,
    pub schedule: Option<Given<'s, &'s str>>,
    pub timezone: Option<Given<'s, &'s str>>,
    pub jitter: Option<Given<'s, Duration>>,
    pub window: Option<Given<'s, Duration>>,
    pub freeze: Option<Given<'s, Vec<LocalSpan>>>,
    pub overlap: Option<Given<'s, Duration>>,
    pub after_use: Option<Given<'s, bool>>,
    pub when_idle: Option<Given<'s, Duration>>,
    pub at_latest: Option<Given<'s, Duration>>,
    pub verify: Option<Given<'s, Verify>>,
    pub mode: Option<Given<'s, Mode>>,
    pub unmanaged: Option<Given<'s, Unmanaged>>,
    pub on_drift: Option<Given<'s, OnDrift>>,
    pub notify_before: Option<Given<'s, BTreeSet<Duration>>>,
    pub owner: Option<Given<'s, String>>,
}

impl<'s> PolicyKeys<'s> {
    /// Reads the keys that are there. `known` are the scopes that there are, where they can be told,
    /// and no token lives for less than `shortest`.
    pub(super) fn read(table: &Table<'s>, known: Option<&[&str]>, shortest: Duration) -> Self {
        Self {
            scopes: given(table, "scopes", |value| scopes(value, known)),
            token_lifetime: given(table, "token_lifetime", |value| {
                value.duration(shortest..=LONGEST)
            }),
            rotate_before: given(table, "rotate_before", lead),
            max_age: given(table, "max_age", |value| value.duration(SECOND..=LONGEST)),
            schedule: given(table, "schedule", Value::string),
            timezone: given(table, "timezone", Value::string),
            jitter: given(table, "jitter", |value| value.duration(Duration::ZERO..=LONGEST)),
            window: given(table, "window", |value| value.duration(MINUTE..=LONGEST)),
            freeze: given(table, "freeze", freeze),
            overlap: given(table, "overlap", |value| value.duration(Duration::ZERO..=LONGEST)),
            after_use: given(table, "revoke_after_use", Value::boolean),
            when_idle: given(table, "revoke_when_idle", |value| value.duration(SECOND..=LONGEST)),
            at_latest: given(table, "revoke_at_latest", |value| value.duration(SECOND..=LONGEST)),
            verify: given(table, "verify", verify),
            mode: given(table, "mode", |value| {
                value.word(&[("rotate", Mode::Rotate), ("observe", Mode::Observe)])
            }),
            unmanaged: given(table, "unmanaged", |value| {
                value.word(&[("report", Unmanaged::Report), ("retire", Unmanaged::Retire)])
            }),
            on_drift: given(table, "on_drift", |value| {
                value.word(&[("report", OnDrift::Report), ("restore", OnDrift::Restore)])
            }),
            notify_before: notice(table),
            owner: given(table, "owner", |value| value.line("\"identity team\"")),
        }
    }

    /// Refuses what a connection itself says and what has no meaning at its provider.
    pub(super) fn refuse_meaningless(
        &self,
        provider: &ProviderName,
        capabilities: &Capabilities,
        lives: Lives,
        findings: &Findings,
    ) {
        let refuse = |key: &str, at: At<'s>, why: &str, hint: &str| {
            let message = format!("`{key}` has no effect here: the tokens of `{provider}` {why}");
            findings.error(at, message, hint);
        };
        if lives.shortest.is_none() && lives.always {
            const HINT: &str = "leave it out; rotate_before says when a token is replaced";
            if let Some(given) = &self.token_lifetime {
                refuse(
                    "token_lifetime",
                    given.at,
                    "have the lifetime that the provider sets",
                    HINT,
                );
            }
        } else if lives.shortest.is_none() {
            const HINT: &str =
                "leave it out; max_age, or a schedule, says when a token is replaced";
            let lifetime = self.token_lifetime.as_ref().map(|given| ("token_lifetime", given.at));
            let lead = self.rotate_before.as_ref().map(|given| ("rotate_before", given.at));
            for (key, at) in lifetime.into_iter().chain(lead) {
                refuse(key, at, "do not expire", HINT);
            }
        }
        if let Some(given) = self.scopes.as_ref().filter(|_| !capabilities.scopes) {
            refuse("scopes", given.at, "have no scopes", "leave it out");
        }
        let writes = self.verify.as_ref().filter(|given| given.value == Verify::Write);
        if let Some(given) = writes.filter(|_| capabilities.user_scopes.is_none()) {
            findings.error(
                given.at,
                format!(
                    "`verify = \"write\"` cannot be used with `{provider}`: this provider is not known to support creating and deleting a user without side effects"
                ),
                "write verify = \"read\", or leave it out",
            );
        }
    }

    /// What has a meaning at a provider whose tokens can have `scopes`: `[defaults]` may be meant for
    /// others.
    pub(super) fn meant_for(
        mut self,
        capabilities: &Capabilities,
        lives: Lives,
        scopes: &[&str],
    ) -> Self {
        if lives.shortest.is_none() {
            self.token_lifetime = None;
        }
        if lives.shortest.is_none() && !lives.always {
            self.rotate_before = None;
        }
        let foreign = self.scopes_from_defaults(scopes).is_some_and(|split| split.known.is_empty());
        if !capabilities.scopes || foreign {
            self.scopes = None;
        }
        let may_write = capabilities.user_scopes.is_some();
        self.verify = self.verify.filter(|given| may_write || given.value != Verify::Write);
        self
    }

    /// The scopes that `[defaults]` says for a connection: those that its provider's tokens can have,
    /// and the others.
    pub(super) fn scopes_from_defaults(&self, scopes: &[&str]) -> Option<Split<'s, '_>> {
        let given = self.scopes.as_ref().filter(|given| given.origin == Origin::Defaults)?;
        let ScopePolicy::Exactly(list) = &given.value else { return None };
        let all = list.iter().map(Scope::as_str);
        let (known, others) = all.partition(|scope| scopes.contains(scope));
        Some(Split { at: given.at, known, others })
    }

    /// What is not said here is taken from `defaults`.
    pub(super) fn or(self, defaults: &Self) -> Self {
        Self {
            scopes: or(self.scopes, &defaults.scopes),
            token_lifetime: or(self.token_lifetime, &defaults.token_lifetime),
            rotate_before: or(self.rotate_before, &defaults.rotate_before),
            max_age: or(self.max_age, &defaults.max_age),
            schedule: or(self.schedule, &defaults.schedule),
            timezone: or(self.timezone, &defaults.timezone),
            jitter: or(self.jitter, &defaults.jitter),
            window: or(self.window, &defaults.window),
            freeze: or(self.freeze, &defaults.freeze),
            overlap: or(self.overlap, &defaults.overlap),
            after_use: or(self.after_use, &defaults.after_use),
            when_idle: or(self.when_idle, &defaults.when_idle),
            at_latest: or(self.at_latest, &defaults.at_latest),
            verify: or(self.verify, &defaults.verify),
            mode: or(self.mode, &defaults.mode),
            unmanaged: or(self.unmanaged, &defaults.unmanaged),
            on_drift: or(self.on_drift, &defaults.on_drift),
            notify_before: or(self.notify_before, &defaults.notify_before),
            owner: or(self.owner, &defaults.owner),
        }
    }
}

/// Scopes of `[defaults]`, as one provider sees them.
pub(super) struct Split<'s, 'k> {
    pub at: At<'s>,
    pub known: Vec<&'k str>,
    pub others: Vec<&'k str>,
}

#[expect(
    clippy::ref_option,
    reason = "a table of nineteen lines reads better without as_ref() in each"
)]
fn or<'s, T: Clone>(
    own: Option<Given<'s, T>>,
    default: &Option<Given<'s, T>>,
) -> Option<Given<'s, T>> {
    own.or_else(|| default.clone().map(|given| Given { origin: Origin::Defaults, ..given }))
}

fn given<'s, T>(
    table: &Table<'s>,
    key: &'static str,
    read: impl FnOnce(&Value<'s>) -> Option<T>,
) -> Option<Given<'s, T>> {
    let value = table.get(key)?;
    read(&value).map(|read| Given { value: read, at: value.at, origin: Origin::Own })
}

fn scopes(value: &Value<'_>, known: Option<&[&str]>) -> Option<ScopePolicy> {
    if let Some(text) = value.as_str() {
        if text == "inherit" {
            return Some(ScopePolicy::Inherit);
        }
        value.refuse(
            "`scopes` must be a list, or \"inherit\"",
            "write scopes = [\"get:users\", \"post:users\"]",
        );
        return None;
    }
    let items = value.list("a list of scopes, or \"inherit\"")?;
    if items.is_empty() {
        value.refuse(
            "`scopes` is empty: such a token would have no permissions",
            "name some, or write \"inherit\" to take the current token's",
        );
    }
    let mut scopes = BTreeSet::new();
    for item in items {
        let Some(text) = item.string() else { continue };
        let unknown = known.filter(|known| !known.contains(&text));
        if let Some(known) = unknown {
            let hint = match nearest(text, known.iter().copied()) {
                Some(scope) => format!("did you mean \"{scope}\"?"),
                None => format!("the scopes are {}", known.join(", ")),
            };
            item.refuse(format!("there is no scope `{}`", shown(text)), hint);
            continue;
        }
        match Scope::try_new(text) {
            Ok(scope) => drop(scopes.insert(scope)),
            Err(error) => item.refuse(format!("`scopes`: {error}"), "write another"),
        }
    }
    (!scopes.is_empty()).then_some(ScopePolicy::Exactly(scopes))
}

fn lead(value: &Value<'_>) -> Option<Lead> {
    const EXPECTED: &str = "a duration such as \"10d\" or a share such as \"33%\"";
    let text = value.text_with_unit(EXPECTED)?;
    if text.trim_end().ends_with('%') {
        let share = amount::percent(text).and_then(Share::try_new);
        if share.is_none() {
            value.refuse(
                "`rotate_before` must be more than 0% and less than 50%",
                "write a share of the token's lifetime such as \"33%\"",
            );
        }
        return share.map(Lead::Share);
    }
    let Ok(duration) = amount::duration(text) else {
        value.refuse(
            "`rotate_before` is neither a duration nor a share",
            "write a duration such as \"10d\" or a share such as \"33%\"",
        );
        return None;
    };
    value.within(duration, SECOND..=LONGEST).map(Lead::Fixed)
}

/// Times in which nothing is changed; by the clocks of a time zone that is known later.
fn freeze(value: &Value<'_>) -> Option<Vec<LocalSpan>> {
    let items = value.list("a list of dates and intervals such as \"2026-12-20/2027-01-02\"")?;
    let mut spans = Vec::new();
    for item in items {
        let Some(text) = item.string() else { continue };
        match LocalSpan::parse(text) {
            Ok(span) => spans.push(span),
            Err(error) => item.refuse(
                format!("`freeze` cannot be \"{}\": {error}", shown(text)),
                "write a day (\"2026-12-24\"), both days of an interval \
                 (\"2026-12-20/2027-01-02\"), or times (\"2026-12-31T18:00/2027-01-01T06:00\"); \
                 they are read in `timezone`",
            ),
        }
    }
    Some(spans)
}

fn verify(value: &Value<'_>) -> Option<Verify> {
    value.word(&[("off", Verify::Off), ("read", Verify::Read), ("write", Verify::Write)])
}
