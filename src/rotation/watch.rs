//! A watched token: no provider is asked about it. A person wrote down when it expires, and is told in
//! time.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use super::{
    due,
    notice::{GIVEN_UP_AFTER, Happening, Notice, Notices, Occasion, Try},
    telling::Telling,
    trouble::Trouble,
};
use crate::{
    clock::{ProviderTime, Timestamp, rfc3339},
    token::{ConnectionKey, ConnectionName, Digest, HookName},
    words::date,
};

/// A token that somebody else renews.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// The label; no connection that is written down has it.
    pub name: ConnectionName,
    /// When the token stops working, as it was written down.
    pub expires_at: Timestamp,
    /// Who renews it.
    pub owner: Option<String>,
    /// What else to know.
    pub note: Option<String>,
    /// Where it is renewed.
    pub link: Option<String>,
    /// How long before its end somebody is told.
    pub notify_before: BTreeSet<Duration>,
    /// A connection that was discovered has the same name: it has the name in commands, and this one is to
    /// be renamed.
    pub shadowed: bool,
}

impl Watch {
    /// What is claimed to tell hooks of it.
    #[must_use]
    pub fn key(&self) -> ConnectionKey {
        ConnectionKey::of_watched(&self.name)
    }

    /// By what the pauses of its hooks differ from those of others.
    #[must_use]
    pub fn salt(&self) -> u64 {
        due::salt(&self.key())
    }

    /// From when on somebody should renew it: the longest time of `notify_before`.
    #[must_use]
    pub fn notice(&self) -> Option<Duration> {
        self.notify_before.last().copied()
    }

    /// That a connection has its name, in words, with the way out.
    #[must_use]
    pub fn shadowed(&self) -> Option<String> {
        let Self { name, shadowed, .. } = self;
        shadowed.then(|| {
            format!(
                "the watched token {name} has the same name as a discovered connection, and commands use the \
                 connection; give the [[watch]] another name"
            )
        })
    }

    /// Who renews it and where, in words.
    #[must_use]
    pub fn renewal(&self) -> String {
        let owner = self.owner.as_ref().map(|owner| format!("owner: {owner}"));
        let link = self.link.as_ref().map(|link| format!("renew it at {link}"));
        let parts: Vec<String> = [owner, self.note.clone(), link].into_iter().flatten().collect();
        parts.join("; ")
    }

    /// The thresholds, and when each is reached.
    fn moments(&self) -> impl Iterator<Item = (Duration, Timestamp)> {
        self.notify_before.iter().filter_map(|threshold| {
            let ahead = TimeDelta::from_std(*threshold).ok()?;
            Some((*threshold, self.expires_at.checked_sub_signed(ahead)?))
        })
    }

    /// The nearest threshold that it has reached.
    fn reached(&self, now: Timestamp) -> Option<Duration> {
        let past = self.moments().filter(|(_, moment)| *moment <= now);
        past.map(|(threshold, _)| threshold).min()
    }

    fn happening(&self, threshold: Duration, at: Timestamp) -> Happening {
        let when = if self.expires_at <= at { "stopped working at" } else { "stops working at" };
        let renewal = match self.renewal() {
            words if words.is_empty() => words,
            words => format!("; {words}"),
        };
        Happening {
            occasion: Occasion::Expiring,
            at,
            token: None,
            previous: None,
            expires_at: Some(self.told_expiry()),
            generation: 0,
            threshold: Some(threshold),
            reason: None,
            words: format!("the watched token {when} {}{renewal}", date(self.expires_at)),
        }
    }

    /// What is written down is by no clock that could be compared with the host's.
    fn told_expiry(&self) -> ProviderTime {
        ProviderTime::told(self.expires_at)
    }
}

/// What the ledger keeps of a watched token: what hooks were told, and what they were not told yet.
///
/// Several configurations may share it, each with hooks and a date of its own: none of them forgets what another
/// one's hooks were told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WatchRecord {
    /// What each hook was told: of these expiries, the nearest threshold.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    told: BTreeMap<HookName, BTreeMap<ProviderTime, Duration>>,
    /// What waits for them.
    #[serde(skip_serializing_if = "Notices::is_empty")]
    notices: Notices,
}

/// The hooks of a configuration, and what each wants to be told of.
pub type Subscriptions = BTreeMap<HookName, BTreeSet<Occasion>>;

/// What was told of a date that is past for so long is forgotten.
const REMEMBERED: TimeDelta = TimeDelta::days(400);

impl WatchRecord {
    /// Takes in the configuration, and what has come about since: another date is another occasion, and
    /// what was to be told of the date before is dropped.
    pub fn follow(&mut self, watch: &Watch, hooks: &Subscriptions, now: Timestamp) {
        let expiry = watch.told_expiry();
        self.forget(expiry, hooks, now);
        let due = watch.reached(now);
        for (name, on) in hooks {
            let hook = self.notices.hooks.entry(name.clone()).or_default();
            hook.on.clone_from(on);
            let wants = on.contains(&Occasion::Expiring);
            let of_this_date = |notice: &Notice| notice.happening.expires_at == Some(expiry);
            hook.waiting.retain(|notice| wants && of_this_date(notice));
            let Some(threshold) = due.filter(|_| wants) else { continue };
            let told = self.told.get(name).and_then(|told| told.get(&expiry)).copied();
            let waits = hook.waiting.iter().filter_map(|notice| notice.happening.threshold);
            // The nearest stands for all.
            if told.into_iter().chain(waits).any(|known| known <= threshold) {
                continue;
            }
            let id =
                format!("{} {} {}", watch.key(), rfc3339(watch.expires_at), threshold.as_secs());
            let id = Digest::of(id.as_bytes());
            self.notices.push_to(name, id, watch.happening(threshold, now));
        }
    }

    /// Forgets hooks that nobody has had for long, and dates that are long past.
    fn forget(&mut self, expiry: ProviderTime, hooks: &Subscriptions, now: Timestamp) {
        for told in self.told.values_mut() {
            told.retain(|date, _| *date == expiry || ProviderTime::told(now) - *date < REMEMBERED);
        }
        self.told.retain(|_, told| !told.is_empty());
        self.notices.hooks.retain(|name, hook| {
            let fresh = |notice: &Notice| now - notice.happening.at < GIVEN_UP_AFTER;
            hooks.contains_key(name) || hook.waiting.iter().any(fresh)
        });
    }

    /// What is next for these hooks.
    #[must_use]
    pub fn telling(&self, watch: &Watch, hooks: &Subscriptions, now: Timestamp) -> Option<Telling> {
        self.notices.telling_to(|name| hooks.contains_key(name), now, watch.salt())
    }

    /// When something is next for them.
    #[must_use]
    pub fn wake_at(
        &self,
        watch: &Watch,
        hooks: &Subscriptions,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let wanted = hooks.values().any(|on| on.contains(&Occasion::Expiring));
        let moments = watch.moments().map(|(_, moment)| moment).filter(|moment| *moment > now);
        let retries = self.notices.wake_at_of(|name| hooks.contains_key(name), now);
        moments.filter(|_| wanted).chain(retries).min()
    }

    /// A hook is about to be told.
    pub fn begun(&mut self, hook: &HookName, notice: &Notice, at: Timestamp) {
        self.notices.begun(hook, notice.number, Try { at, until: None });
    }

    /// It was told.
    pub fn told(&mut self, hook: &HookName, notice: &Notice, at: Timestamp) {
        self.note_told(hook, notice.number);
        self.notices.told(hook, notice.number, at);
    }

    /// That a hook is not told this again.
    fn note_told(&mut self, hook: &HookName, number: u64) {
        let Some(notice) = self.notices.get(hook, number) else { return };
        let happening = &notice.happening;
        let Some((expiry, threshold)) = happening.expires_at.zip(happening.threshold) else {
            return;
        };
        let told = self.told.entry(hook.clone()).or_default().entry(expiry);
        told.and_modify(|told| *told = threshold.min(*told)).or_insert(threshold);
    }

    /// It was not told.
    pub fn failed(&mut self, hook: &HookName, number: u64, trouble: &Trouble) {
        self.notices.failed(hook, number, trouble);
    }

    /// It will never be told.
    pub fn dropped(&mut self, hook: &HookName, number: u64) {
        self.note_told(hook, number);
        self.notices.dropped(hook, number);
    }

    /// What draws attention: who was not told what.
    pub fn warnings(&self) -> impl Iterator<Item = String> {
        self.notices.warnings()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rotation::fixture::{fault, now, watch};

    const DAY: Duration = Duration::from_secs(86_400);

    fn hooks(on: &[Occasion]) -> Subscriptions {
        named("pager", on)
    }

    fn named(name: &str, on: &[Occasion]) -> Subscriptions {
        BTreeMap::from([(HookName::try_new(name).unwrap(), on.iter().copied().collect())])
    }

    fn pager() -> Subscriptions {
        hooks(&[Occasion::Expiring])
    }

    /// What the hook is to be told now, as it is when it has been told.
    fn told(record: &mut WatchRecord, watch: &Watch, at: Timestamp) -> Vec<Option<Duration>> {
        told_to(&pager(), record, watch, at)
    }

    fn told_to(
        hooks: &Subscriptions,
        record: &mut WatchRecord,
        watch: &Watch,
        at: Timestamp,
    ) -> Vec<Option<Duration>> {
        record.follow(watch, hooks, at);
        let mut told = Vec::new();
        while let Some(Telling::Due { hook, notice }) = record.telling(watch, hooks, at) {
            record.begun(&hook, &notice, at);
            record.told(&hook, &notice, at);
            told.push(notice.happening.threshold);
        }
        told
    }

    #[test]
    fn each_threshold_is_told_once_and_the_nearest_stands_for_all() {
        let watch = watch(20);
        let mut record = WatchRecord::default();
        let day = |days: i64| now() + TimeDelta::days(days);
        assert_eq!(told(&mut record, &watch, now()), []);
        assert_eq!(record.wake_at(&watch, &pager(), now()), Some(day(6)));
        assert_eq!(told(&mut record, &watch, day(6)), [Some(14 * DAY)]);
        // A restart knows what the ledger has.
        let stored = serde_json::to_string(&record).unwrap();
        let mut record: WatchRecord = serde_json::from_str(&stored).unwrap();
        assert_eq!(told(&mut record, &watch, day(7)), []);
        // Nobody looked for a while, until it had expired.
        assert_eq!(told(&mut record, &watch, day(40)), [Some(DAY)]);
        assert_eq!(told(&mut record, &watch, day(41)), []);
        assert_eq!(record.wake_at(&watch, &pager(), day(41)), None);
    }

    #[test]
    fn another_date_is_another_occasion() {
        let old = watch(1);
        let mut record = WatchRecord::default();
        record.follow(&old, &hooks(&[Occasion::Expiring]), now());
        assert!(record.telling(&old, &pager(), now()).is_some());
        // It was renewed before the hook could be told: that is no news any more.
        let renewed = watch(300);
        record.follow(&renewed, &hooks(&[Occasion::Expiring]), now());
        assert_eq!(record.telling(&renewed, &pager(), now()), None);
        let near = now() + TimeDelta::days(299);
        assert_eq!(told(&mut record, &renewed, near), [Some(DAY)]);
        // A date that was written wrongly and put right is told anew.
        assert_eq!(told(&mut record, &watch(298), near), [Some(DAY)]);
    }

    #[test]
    fn two_configurations_tell_their_own_hooks_once_each() {
        let (mine, theirs) = (watch(1), watch(2));
        let others = named("mail", &[Occasion::Expiring]);
        let mut record = WatchRecord::default();
        let near = now() + TimeDelta::hours(30);
        for _ in 0..3 {
            record.follow(&mine, &pager(), now());
            record.follow(&theirs, &others, near);
        }
        let first = record.telling(&mine, &pager(), now());
        let Some(Telling::Due { hook, notice }) = first else { panic!("{record:?}") };
        assert_eq!((hook.as_str(), notice.happening.threshold), ("pager", Some(DAY)));
        assert_eq!(told(&mut record, &mine, now()), [Some(DAY)]);
        assert_eq!(told_to(&others, &mut record, &theirs, near), [Some(DAY)]);
        for _ in 0..3 {
            assert_eq!(told(&mut record, &mine, near), []);
            assert_eq!(told_to(&others, &mut record, &theirs, near), []);
            // The same hook in both, with two dates.
            told(&mut record, &theirs, near);
        }
        assert_eq!(told(&mut record, &theirs, near), []);
        assert_eq!(told(&mut record, &mine, near), []);
        // One who reads both knows the same event again.
        let mut alone = WatchRecord::default();
        alone.follow(&mine, &others, now() + TimeDelta::hours(3));
        let again = alone.telling(&mine, &others, now() + TimeDelta::hours(3));
        let Some(Telling::Due { notice: again, .. }) = again else { panic!("{alone:?}") };
        assert_eq!(again.id, notice.id);
        // Long after, nothing is left of the others.
        let late = now() + TimeDelta::days(900);
        record.follow(&watch(901), &pager(), late);
        assert!(!serde_json::to_string(&record).unwrap().contains("mail"));
    }

    #[test]
    fn a_hook_that_comes_later_is_told_once() {
        let watch = watch(1);
        let mut record = WatchRecord::default();
        assert_eq!(told(&mut record, &watch, now()), [Some(DAY)]);
        let mut both = pager();
        both.extend(named("mail", &[Occasion::Expiring]));
        assert_eq!(told_to(&both, &mut record, &watch, now()), [Some(DAY)]);
        assert_eq!(told_to(&both, &mut record, &watch, now()), []);
    }

    #[test]
    fn who_does_not_want_it_is_not_told_and_nothing_counts_as_told() {
        let watch = watch(1);
        let mut record = WatchRecord::default();
        record.follow(&watch, &hooks(&[Occasion::Failed]), now());
        let failed = hooks(&[Occasion::Failed]);
        assert_eq!(record.telling(&watch, &failed, now()), None);
        assert_eq!(record.wake_at(&watch, &failed, now() - TimeDelta::days(30)), None);
        assert_eq!(told(&mut record, &watch, now()), [Some(DAY)]);
    }

    #[test]
    fn what_a_hook_is_told_names_who_renews_it_and_where() {
        let watch = Watch { note: Some("tell #identity".to_owned()), ..watch(1) };
        let words = watch.happening(DAY, now()).words;
        let expected = "the watched token stops working at 2026-11-23 04:00 UTC; owner: identity team; \
                        tell #identity; renew it at https://admin.example.com/scim#tokens";
        assert_eq!(words, expected);
        let past = watch.happening(DAY, now() + TimeDelta::days(2)).words;
        assert!(past.starts_with("the watched token stopped working at 2026-11-23"), "{past}");
        let bare = Watch { owner: None, note: None, link: None, ..watch };
        let words = bare.happening(DAY, now()).words;
        assert_eq!(words, "the watched token stops working at 2026-11-23 04:00 UTC");
    }

    #[test]
    fn a_try_that_was_cut_off_or_failed_is_made_again() {
        let watch = watch(1);
        let mut record = WatchRecord::default();
        record.follow(&watch, &hooks(&[Occasion::Expiring]), now());
        let Some(Telling::Due { hook, notice }) = record.telling(&watch, &pager(), now()) else {
            panic!("{record:?}");
        };
        record.begun(&hook, &notice, now());
        let Some(Telling::CutOff { trouble, .. }) = record.telling(&watch, &pager(), now()) else {
            panic!("{record:?}");
        };
        record.failed(&hook, notice.number, &trouble);
        let again = record.telling(&watch, &pager(), now());
        let Some(Telling::Due { notice: again, .. }) = again else { panic!("{again:?}") };
        assert_eq!(again.id, notice.id, "the same event");
        let trouble = super::super::telling::failure(&again, fault(), now(), watch.salt());
        record.failed(&hook, notice.number, &trouble);
        assert_eq!(record.telling(&watch, &pager(), now()), None);
        assert_eq!(record.wake_at(&watch, &pager(), now()), Some(trouble.retry_at));
        assert!(record.warnings().next().is_some_and(|warning| warning.contains("pager")));
        let late = now() + TimeDelta::days(8);
        let Some(Telling::GivenUp { hook, number, why }) = record.telling(&watch, &pager(), late)
        else {
            panic!("{record:?}");
        };
        assert!(why.contains("has failed for 7 days"), "{why}");
        record.dropped(&hook, number);
        assert_eq!(record.telling(&watch, &pager(), late), None);
    }
}
