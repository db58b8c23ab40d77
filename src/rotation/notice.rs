//! Whom the configuration wants to be told of what, and what they have not been told yet.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use super::{backoff, noticed::Told, trouble::Trouble, why::Reason};
use crate::{
    clock::{ProviderTime, Timestamp},
    error::{Class, Code, Fault},
    token::{Digest, HookName, TokenId},
    words::date,
};

/// A notice that a hook failed at for so long is given up.
pub const GIVEN_UP_AFTER: TimeDelta = TimeDelta::days(7);

/// As many notices wait for a hook; then the oldest goes, and is counted as missed.
pub const MOST_WAITING: usize = 32;

/// How long a hook that did not end in time keeps the connection's other notices to it waiting:
/// each of them would cost its whole time-out.
const AFTER_HANGING: TimeDelta = TimeDelta::minutes(1);

/// The pause after the first failure; it doubles.
const FIRST: TimeDelta = TimeDelta::minutes(1);

/// The pause after the first failure that will not mend by itself; it doubles.
const FIRST_TERMINAL: TimeDelta = TimeDelta::minutes(15);

/// No pause is longer.
const LONGEST: TimeDelta = TimeDelta::hours(1);

/// What a hook can be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Occasion {
    /// Sinks have a token that they did not have before.
    Delivered,
    /// An older token works no more.
    Revoked,
    /// Something fails, and not only for a moment.
    Failed,
    /// Nothing goes on until an operator decides.
    Refused,
    /// The token in use has reached a threshold of `notify_before`.
    Expiring,
    /// A token is there that nobody here owns.
    Unmanaged,
    /// A sink holds what it should not.
    Drift,
    /// An older token could have gone long ago.
    RevocationBlocked,
    /// A person has to take a token to the client that uses it.
    Handoff,
}

/// All that a hook can be told of.
pub const OCCASIONS: [Occasion; 9] = [
    Occasion::Delivered,
    Occasion::Revoked,
    Occasion::Failed,
    Occasion::Refused,
    Occasion::Expiring,
    Occasion::Unmanaged,
    Occasion::Drift,
    Occasion::RevocationBlocked,
    Occasion::Handoff,
];

impl Occasion {
    /// The word, in the configuration and in what a hook is given.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Revoked => "revoked",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Expiring => "expiring",
            Self::Unmanaged => "unmanaged",
            Self::Drift => "drift",
            Self::RevocationBlocked => "revocation_blocked",
            Self::Handoff => "handoff",
        }
    }
}

/// Something that happened, as a hook is told of it. Names and ids, never a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Happening {
    /// What.
    pub occasion: Occasion,
    /// When.
    pub at: Timestamp,
    /// The token that it is about; else the one in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenId>,
    /// The one that it replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<TokenId>,
    /// When the token stops working.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<ProviderTime>,
    /// The generation that the connection was at.
    pub generation: u64,
    /// Expiring: less than this is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<Duration>,
    /// Refused and revocation_blocked: the word for why. Failed: the class of the failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// In words.
    pub words: String,
}

/// Something that a hook has not been told yet, or not with success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notice {
    /// The same for every hook and every try, and for nothing else: by it repetitions are known.
    pub id: Digest,
    /// Counts up with what happens to the connection.
    pub number: u64,
    /// What.
    pub happening: Happening,
    /// A try was announced at this moment and its outcome is not written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun: Option<Timestamp>,
    /// Whoever is at it has given the connection free, and writes its outcome down by then or never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// How it failed so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<Trouble>,
}

/// A try that was announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Try {
    /// When.
    pub at: Timestamp,
    /// [`Notice::until`].
    pub until: Option<Timestamp>,
}

impl Try {
    /// Until when it may still go on, although others have the connection; a clock that was set back
    /// makes none last longer.
    #[must_use]
    pub fn lasts_until(self, now: Timestamp) -> Option<Timestamp> {
        self.until.filter(|until| (now - self.at).abs() < *until - self.at)
    }
}

impl Notice {
    /// The try whose outcome is not written down.
    #[must_use]
    pub fn attempt(&self) -> Option<Try> {
        self.begun.map(|at| Try { at, until: self.until })
    }

    /// Whether it is to be told now; no clock step makes a pause longer than it can be.
    fn is_ready(&self, now: Timestamp) -> bool {
        self.trouble.as_ref().is_none_or(|trouble| {
            trouble.retry_at <= now || trouble.retry_at - now > LONGEST + FIRST
        })
    }

    /// Whether a later one reminds of the same hand-off: one is enough.
    fn is_repeated_by(&self, later: &Self) -> bool {
        let (before, now) = (&self.happening, &later.happening);
        before.occasion == Occasion::Handoff
            && before.occasion == now.occasion
            && before.token == now.token
            && before.words == now.words
            && self.number < later.number
    }

    /// Whether the hook was tried long enough.
    #[must_use]
    pub fn is_hopeless(&self, now: Timestamp) -> bool {
        self.trouble.is_some() && now - self.happening.at >= GIVEN_UP_AFTER
    }
}

/// How the last try of a hook ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LastTry {
    /// Of what it was told.
    pub occasion: Occasion,
    /// When the try ended.
    pub at: Timestamp,
    /// How it failed; `None`: it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
}

/// A hook that fails at several notices is tried again with one of them, and then with another after
/// so long; once one is told, the others follow.
const AFTER_SEVERAL: TimeDelta = TimeDelta::minutes(10);

/// One hook, as the connection's record knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Subscriber {
    /// What it wants to be told of.
    pub on: BTreeSet<Occasion>,
    /// What it was not told yet, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<Notice>,
    /// How its last try ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<LastTry>,
    /// How much it will never be told, since its last success.
    #[serde(skip_serializing_if = "is_zero")]
    pub missed: u64,
}

impl Subscriber {
    /// What it is to be told next: what was never tried first, so that one notice that it fails at
    /// does not hold up the others; then the oldest.
    #[must_use]
    pub fn next(&self, now: Timestamp) -> Option<&Notice> {
        if self.lasts_until(now).or_else(|| self.hangs_until(now)).is_some() {
            return None;
        }
        let calm = self.calm_until(now);
        let ready = self.waiting.iter().filter(|notice| notice.is_ready(now));
        let ready = ready.filter(|notice| notice.trouble.is_none() || calm.is_none());
        ready.min_by_key(|notice| (notice.trouble.is_some(), notice.number))
    }

    /// When it is to be told something next; may be past.
    #[must_use]
    pub fn wake_at(&self, now: Timestamp) -> Option<Timestamp> {
        if let Some(until) = self.lasts_until(now) {
            return Some(until);
        }
        let soonest = self
            .waiting
            .iter()
            .map(|notice| {
                let Some(trouble) = &notice.trouble else { return now };
                self.calm_until(now).map_or(trouble.retry_at, |calm| calm.max(trouble.retry_at))
            })
            .min()?;
        Some(self.hangs_until(now).map_or(soonest, |until| soonest.max(until)))
    }

    /// Until when nothing is tried again: of several that it failed at, one every so often.
    fn calm_until(&self, now: Timestamp) -> Option<Timestamp> {
        let failed = self.waiting.iter().filter(|notice| notice.trouble.is_some()).count();
        let last = self.last.as_ref().filter(|last| failed > 1 && last.fault.is_some())?;
        Some(last.at + AFTER_SEVERAL).filter(|until| last.at <= now && now < *until)
    }

    /// Until when nothing is tried, because another process may still be at it.
    fn lasts_until(&self, now: Timestamp) -> Option<Timestamp> {
        let begun = self.waiting.iter().filter_map(Notice::attempt);
        begun.filter_map(|begun| begun.lasts_until(now)).max()
    }

    /// Until when nothing is tried, because a try did not end in time just now.
    fn hangs_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.waiting
            .iter()
            .filter_map(|notice| notice.trouble.as_ref())
            .filter(|trouble| trouble.fault.code == Code::Timeout)
            .filter(|trouble| (now - trouble.at).abs() < AFTER_HANGING)
            .map(|trouble| trouble.at + AFTER_HANGING)
            .max()
    }

    fn push(&mut self, notice: Notice) {
        // One place after another that gets a token back is one thing to know.
        let same = |before: &Notice| {
            let (before, now) = (&before.happening, &notice.happening);
            before.occasion == Occasion::Delivered
                && before.occasion == now.occasion
                && before.token == now.token
        };
        self.waiting.retain(|before| {
            let untold = before.trouble.is_none() && before.begun.is_none();
            !(untold && same(before) || before.begun.is_none() && before.is_repeated_by(&notice))
        });
        if self.waiting.len() >= MOST_WAITING {
            self.waiting.remove(0);
            self.missed = self.missed.saturating_add(1);
        }
        self.waiting.push(notice);
    }
}

/// A failure that the hooks were told of, until it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToldFailure {
    /// When.
    pub at: Timestamp,
    /// They know that it will not mend by itself.
    pub terminal: bool,
}

/// Whom the configuration wants to be told, and what they have not been told yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Notices {
    /// The hooks of the configuration.
    pub hooks: BTreeMap<HookName, Subscriber>,
    /// How much has happened that some hook was to be told of.
    pub count: u64,
    /// The failures that they know of, by kind of work.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub failures: BTreeMap<String, ToldFailure>,
    /// Why nothing goes on, as far as they know, and when that was last so: one reason and another by
    /// turns is no news.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub refusals: BTreeMap<Reason, Timestamp>,
    /// What they were told of once, for as long as it stands.
    #[serde(skip_serializing_if = "Told::is_empty")]
    pub told: Told,
}

impl Notices {
    /// Whether there is nothing to write down.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether some hook wants to know.
    #[must_use]
    pub fn wanted(&self, occasion: Occasion) -> bool {
        self.hooks.values().any(|hook| hook.on.contains(&occasion))
    }

    /// What draws attention: who was not told what.
    pub fn warnings(&self) -> impl Iterator<Item = String> {
        self.hooks.iter().flat_map(|(name, hook)| {
            let failing = hook.waiting.iter().filter_map(move |notice| {
                let trouble = notice.trouble.as_ref()?;
                Some(format!(
                    "the hook {name} could not be told about the event of {} ({}: {}): {}; next try at {}",
                    date(notice.happening.at),
                    notice.happening.occasion.as_str(),
                    notice.happening.words,
                    trouble.fault.detail,
                    date(trouble.retry_at)
                ))
            });
            let missed = (hook.missed > 0).then(|| {
                let events = if hook.missed == 1 { "event" } else { "events" };
                format!(
                    "the hook {name} will not be told of {} earlier {events}, because it has failed for too long",
                    hook.missed
                )
            });
            failing.chain(missed)
        })
    }

    /// The notice of a hook with this number.
    #[must_use]
    pub fn get(&self, hook: &HookName, number: u64) -> Option<&Notice> {
        self.hooks.get(hook)?.waiting.iter().find(|notice| notice.number == number)
    }

    /// The configuration was read: what a hook that left it was to be told is dropped.
    pub(super) fn subscribe(&mut self, hooks: BTreeMap<HookName, BTreeSet<Occasion>>) {
        self.hooks.retain(|name, _| hooks.contains_key(name));
        for (name, on) in hooks {
            let hook = self.hooks.entry(name).or_default();
            hook.waiting.retain(|notice| on.contains(&notice.happening.occasion));
            hook.on = on;
        }
        if self.hooks.is_empty() {
            self.failures.clear();
            self.refusals.clear();
            self.told = Told::default();
        }
    }

    /// Something happened to the connection called `key`.
    pub(super) fn push(&mut self, key: &str, happening: &Happening) {
        if !self.wanted(happening.occasion) {
            return;
        }
        self.count = self.count.saturating_add(1);
        let number = self.count;
        let id = Digest::of(format!("{key} {} {number}", happening.at.to_rfc3339()).as_bytes());
        for hook in self.hooks.values_mut().filter(|hook| hook.on.contains(&happening.occasion)) {
            let happening = happening.clone();
            hook.push(Notice {
                id: id.clone(),
                number,
                happening,
                begun: None,
                until: None,
                trouble: None,
            });
        }
    }

    /// One hook is to be told this.
    pub(super) fn push_to(&mut self, hook: &HookName, id: Digest, happening: Happening) {
        self.count = self.count.saturating_add(1);
        let number = self.count;
        if let Some(hook) = self.hooks.get_mut(hook) {
            hook.push(Notice { id, number, happening, begun: None, until: None, trouble: None });
        }
    }

    /// Drops what is not to be told any more; nobody missed it.
    pub(super) fn retain(&mut self, is_news: impl Fn(&Notice) -> bool) {
        self.hooks.values_mut().for_each(|hook| hook.waiting.retain(&is_news));
    }

    pub(super) fn begun(&mut self, hook: &HookName, number: u64, begun: Try) {
        let waiting = self.hooks.get_mut(hook).map(|hook| &mut hook.waiting);
        for notice in waiting.into_iter().flatten().filter(|notice| notice.number == number) {
            (notice.begun, notice.until) = (Some(begun.at), begun.until);
        }
    }

    pub(super) fn told(&mut self, hook: &HookName, number: u64, at: Timestamp) {
        let Some(hook) = self.hooks.get_mut(hook) else { return };
        let told = hook.waiting.iter().position(|notice| notice.number == number);
        if let Some(notice) = told.map(|index| hook.waiting.remove(index)) {
            let occasion = notice.happening.occasion;
            hook.last = Some(LastTry { occasion, at, fault: None });
            hook.missed = 0;
        }
    }

    pub(super) fn failed(&mut self, hook: &HookName, number: u64, trouble: &Trouble) {
        let Some(hook) = self.hooks.get_mut(hook) else { return };
        for notice in hook.waiting.iter_mut().filter(|notice| notice.number == number) {
            (notice.begun, notice.until) = (None, None);
            notice.trouble = Some(trouble.clone());
            let occasion = notice.happening.occasion;
            let fault = Some(trouble.fault.clone());
            hook.last = Some(LastTry { occasion, at: trouble.at, fault });
        }
        let repeats = |failed: &Notice| hook.waiting.iter().any(|it| failed.is_repeated_by(it));
        let failed = hook.waiting.iter().find(|notice| notice.number == number);
        if failed.is_some_and(repeats) {
            hook.waiting.retain(|notice| notice.number != number);
        }
    }

    pub(super) fn dropped(&mut self, hook: &HookName, number: u64) {
        let Some(hook) = self.hooks.get_mut(hook) else { return };
        let before = hook.waiting.len();
        hook.waiting.retain(|notice| notice.number != number);
        hook.missed = hook.missed.saturating_add(u64::from(hook.waiting.len() < before));
    }
}

/// Continues `before` with one more failure of a hook. What cut the first try off without its
/// being the hook's fault is no reason to wait.
#[must_use]
pub fn after(before: Option<&Trouble>, fault: Fault, now: Timestamp, salt: u64) -> Trouble {
    let count = before.map_or(0, |trouble| trouble.count).saturating_add(1);
    let first = match fault.class {
        Class::Terminal => FIRST_TERMINAL,
        Class::Transient | Class::Ambiguous | Class::Conflict => FIRST,
    };
    let doubled = (first * 2_i32.pow(count.saturating_sub(1).min(12))).min(LONGEST);
    let spread = i32::try_from(backoff::mix(salt ^ u64::from(count)) % 200).unwrap_or(0);
    let jittered = doubled * (800 + spread) / 1000;
    let asked = fault.retry_after.and_then(|pause| TimeDelta::from_std(pause).ok());
    let cut_off = fault.code == Code::ClaimLost && count == 1;
    let pause = if cut_off { TimeDelta::zero() } else { jittered.max(asked.unwrap_or_default()) };
    Trouble {
        count,
        since: before.map_or(now, |trouble| trouble.since),
        fault,
        at: now,
        retry_at: now + pause.min(LONGEST),
        of_sink: false,
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
