//! What a look at the world changes in the record.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;

use crate::{
    clock::ProviderTime,
    rotation::{
        decide::first_use,
        observe::{Held, LAG, SeenList, SeenSink, is_dead},
        print::{self, Likeness},
        record::{
            Begun, Cause, Drift, Mark, Missing, Phase, Probe, Record, RetiringState, Skew, Survey,
            Trouble, Unlisted, UnmanagedToken,
        },
        view::GRAIN,
    },
    token::{Listed, PlaceKey, TokenId},
};

/// How long a deleted token is remembered, so that a late list does not make it a stranger.
const DELETED_KEPT: TimeDelta = TimeDelta::days(7);

/// How long after its next try was due a failed write is of interest: nobody writes there any more.
const STALE: TimeDelta = TimeDelta::hours(1);

impl Record {
    /// A token was seen gone: whatever still leads to it is of no use to anyone.
    pub(super) fn note_gone(&mut self, id: &TokenId) {
        for residue in self.sinks.values_mut().filter_map(|sink| sink.residue.get_mut(id)) {
            residue.gone = true;
        }
    }

    /// Since when every place holds the current token: counted for what it replaced.
    pub(super) fn note_superseded(&mut self, at: ProviderTime) {
        let Some(id) = self.current.as_ref().map(|current| current.token.id.clone()) else {
            return;
        };
        if !self.all_have(&id) {
            self.forget_superseded();
            return;
        }
        let at = self.not_before(at);
        if let Some(current) = &mut self.current
            && current.delivered_at.is_none()
        {
            current.delivered_at = Some(at);
        }
        for retiring in
            self.retiring.iter_mut().filter(|retiring| retiring.cause == Cause::Superseded)
        {
            retiring.superseded_at.get_or_insert(at);
        }
    }

    /// A place was seen without the current token: the overlap begins anew once it has it. While
    /// another token is on its way, that counts for those only that were seen in a place again.
    pub(super) fn forget_superseded(&mut self) {
        let under_way = matches!(self.phase, Phase::Delivering(_));
        let held: BTreeSet<TokenId> = self.places().filter_map(|sink| sink.holds.clone()).collect();
        for retiring in
            self.retiring.iter_mut().filter(|retiring| retiring.cause == Cause::Superseded)
        {
            if !under_way || held.contains(&retiring.token.id) {
                retiring.superseded_at = None;
            }
        }
    }

    pub(super) fn looked(
        &mut self,
        list: Option<SeenList>,
        sinks: BTreeMap<PlaceKey, SeenSink>,
        troubles: BTreeMap<PlaceKey, Trouble>,
    ) {
        let provider_time = list.as_ref().map(|list| list.provider_time);
        if let Some(list) = list {
            self.listed(list);
        }
        for (key, seen) in sinks {
            self.read(&key, seen);
        }
        for id in self.deleted.keys().cloned().collect::<Vec<_>>() {
            self.note_gone(&id);
        }
        for (key, trouble) in troubles {
            if let Some(sink) = self.sinks.get_mut(&key) {
                sink.trouble = Some(trouble);
                sink.unwritable = false;
            }
        }
        if let Some(at) = provider_time {
            self.note_superseded(at);
        } else if self.current.as_ref().is_some_and(|current| !self.all_have(&current.token.id)) {
            self.forget_superseded();
        }
    }

    fn listed(&mut self, list: SeenList) {
        self.troubles.look = None;
        self.skew = Some(Skew::seen(self.skew.take(), &list));
        let settled = self.settled_clock().unwrap_or_default();
        // While a clock has just been set, one of the two says too little, or both do.
        let is_settled = self.skew.as_ref().is_some_and(Skew::is_settled);
        let latest = list.provider_time.max(settled.to_provider(list.at));
        let no_later = |at: ProviderTime| if is_settled { at.min(latest) } else { at };
        if let Some(current) = &mut self.current {
            match list.get(&current.token.id) {
                // Revoked by force: a list that lags does not make it live again.
                Some(_) if self.deleted.contains_key(&current.token.id) => {}
                Some(listed) => {
                    note_mark(&mut current.probe, &current.token, listed, list.provider_time);
                    current.delivered_at = current.delivered_at.map(no_later);
                    current.token = listed.clone();
                    if let (None, Some(since)) = (current.first_use, current.delivered_at) {
                        current.first_use = first_use(current, since).ok();
                    }
                    self.missing = None;
                    self.unshown_since = None;
                }
                // Right after it was made, a list that lags does not show it yet.
                None if list.provider_time < current.token.created_at + LAG => {}
                None => {
                    let refused = self.missing.as_ref().is_some_and(|missing| missing.refused);
                    let first =
                        self.missing.as_ref().map_or(list.provider_time, |missing| missing.first);
                    self.missing = Some(Missing {
                        first: first.min(list.provider_time),
                        last: list.provider_time,
                        refused,
                    });
                }
            }
        }
        if let Phase::Delivering(replacement) = &mut self.phase
            && let Some(listed) = list.get(&replacement.token.id)
        {
            note_mark(&mut replacement.probe, &replacement.token, listed, list.provider_time);
            replacement.token = listed.clone();
        }
        self.retiring.retain_mut(|retiring| match list.get(&retiring.token.id) {
            Some(listed) => {
                retiring.state = retiring.state.announced_by(list.at);
                // Nor does a provider's clock that was ahead for a moment keep it alive.
                retiring.superseded_at = retiring.superseded_at.map(no_later);
                retiring.token = listed.clone();
                true
            }
            None if matches!(retiring.state, RetiringState::NotFound { .. }) => {
                self.deleted.insert(retiring.token.id.clone(), list.at);
                self.condemned.remove(&retiring.token.id);
                self.troubles.revoke = None;
                false
            }
            None => true,
        });
        self.refused.retain(|id| list.get(id).is_some());
        self.note_unlisted(&list);
        self.forget_digests();
        self.note_lingering(&list);
        self.note_unmanaged(&list);
        self.survey = Some(Survey {
            at: list.at,
            skew_ms: list.clock().skew().num_milliseconds(),
            tokens: list.tokens,
        });
    }

    /// Whether the tokens that the places hold are listed.
    fn note_unlisted(&mut self, list: &SeenList) {
        for sink in self.sinks.values_mut() {
            let Some(id) = &sink.holds else { continue };
            if list.get(id).is_some() {
                sink.unlisted = None;
            } else if sink.since.is_none_or(|since| (list.at - since).abs() >= LAG) {
                // One that was put there just now may be newer than what a list shows.
                let now = list.provider_time;
                let first = sink.unlisted.as_ref().map_or(now, |before| before.first.min(now));
                sink.unlisted = Some(Unlisted { first, last: now });
            }
        }
    }

    /// What was deleted and is listed all the same a minute later has to be deleted again.
    fn note_lingering(&mut self, list: &SeenList) {
        let again: Vec<Listed> = list
            .tokens
            .iter()
            .filter(|token| self.deleted.get(&token.id).is_some_and(|at| list.at - *at > LAG))
            .filter(|token| self.target() != Some(&token.id))
            .cloned()
            .collect();
        let retire = self.current.as_ref().map(|current| current.retire.clone());
        for (token, retire) in again.into_iter().zip(retire.into_iter().cycle()) {
            self.deleted.remove(&token.id);
            // What only seemed gone may still be in use: it leaves like any older one.
            let back = self.vanished.remove(&token.id);
            let cause = if back { Cause::Superseded } else { Cause::Lingering };
            self.push_retiring(token, cause, retire);
        }
        self.deleted.retain(|id, at| list.get(id).is_some() || list.at - *at < DELETED_KEPT);
        self.vanished.retain(|id| self.deleted.contains_key(id));
    }

    fn note_unmanaged(&mut self, list: &SeenList) {
        let mut unmanaged = BTreeMap::new();
        let settled = self.settled_clock().unwrap_or_default();
        let seen = list.provider_time.max(settled.to_provider(list.at));
        let recognised = self.recognised(list);
        for token in &list.tokens {
            let ours =
                self.knows(&token.id) || recognised.iter().any(|(other, _)| other.id == token.id);
            if ours || is_dead(token, list.provider_time) {
                continue;
            }
            let fidelity = self.fidelity();
            let before = self.unmanaged.get(&token.id);
            // The intent that it was like may be forgotten by now.
            let seemed = before.is_some_and(|it| it.probably_ours) && token.last_used_at.is_none();
            let probably_ours = seemed
                || print::bears_name_of(token, &self.name)
                || self
                    .intents
                    .iter()
                    .any(|intent| print::likeness(token, intent, fidelity) != Likeness::No);
            let first_seen = before.map_or(seen, |unmanaged| unmanaged.first_seen.min(seen));
            unmanaged.insert(token.id.clone(), UnmanagedToken { first_seen, probably_ours });
        }
        self.unmanaged = unmanaged;
    }

    fn read(&mut self, key: &PlaceKey, seen: SeenSink) {
        let current = self.current.as_ref().map(|current| current.token.id.clone());
        let target = self.target().cloned();
        let known = seen.held.id().is_some_and(|id| self.knows(id));
        let Some(sink) = self.sinks.get_mut(key) else {
            return;
        };
        let SeenSink { at, held, container, generation, value, .. } = seen;
        let Some(version) = held.version().cloned() else {
            return; // Unreadable: what was known of it stays.
        };
        self.generation_seen = self.generation_seen.max(generation);
        if !sink.unwritable || sink.trouble.as_ref().is_none_or(|was| at > was.retry_at + STALE) {
            sink.clear_trouble();
        }
        if known {
            sink.was_ours = true;
            sink.container = container.or_else(|| sink.container.take());
        }
        let changed = sink.holds.as_ref() != held.id();
        // What was there, or may have been before somebody else wrote there.
        let mut had: Vec<TokenId> = held.id().cloned().into_iter().collect();
        sink.now_holds(held.id().cloned(), version);
        if changed {
            sink.since = sink.holds.is_some().then_some(at);
        }
        if sink.begun.as_ref().is_some_and(|begun| Some(&begun.id) == held.id()) {
            // The write whose answer was lost has landed.
            sink.begun = None;
            sink.was_ours = true;
            sink.overwritten |= sink.overwrite;
            sink.clear_trouble();
        }
        // What is definitely another, after the last moment at which the promote could land.
        let lingers = TimeDelta::from_std(sink.lingers).unwrap_or_default();
        let another = |begun: &Begun| match &held {
            Held::Token { id, .. } => *id != begun.id,
            Held::Nothing(_) => true,
            Held::Unknown(version) => begun.replaces.as_ref() == Some(version),
            Held::Unreadable(_) => false,
        };
        if let Some(begun) = &sink.begun
            && another(begun)
            && at - begun.at >= lingers
        {
            let untouched = begun.replaces.is_some() && begun.replaces.as_ref() == held.version();
            if untouched {
                sink.did_not_land();
            } else {
                had.extend(sink.begun.take().map(|begun| begun.id));
            }
        }
        if let Some(begun) = &mut sink.begun {
            // A clock that was set back: it may still arrive, for as long as it may from now on.
            begun.at = begun.at.min(at);
        }
        let wanted = |id: &TokenId| Some(id) == current.as_ref() || Some(id) == target.as_ref();
        let what = match &held {
            // Where nothing is current or on its way, what is there may become it.
            Held::Token { .. } if current.is_none() && target.is_none() => None,
            Held::Token { id, .. } if wanted(id) => None,
            Held::Token { id, .. } => {
                Some(format!("it holds {id}, which is not the current token"))
            }
            Held::Nothing(_) if current.is_some() => Some("it is empty".to_owned()),
            Held::Unknown(_) if current.is_some() && value.is_none() => Some(
                "its content was changed outside Scimitar (there is no token in it)".to_owned(),
            ),
            Held::Unknown(_) if current.is_some() => Some(
                "its content was changed outside Scimitar (the value is not that of a known token)"
                    .to_owned(),
            ),
            Held::Nothing(_) | Held::Unknown(_) | Held::Unreadable(_) => None,
        };
        sink.drift = match (what, sink.drift.take()) {
            (Some(what), Some(before)) => Some(Drift { what, since: before.since }),
            (Some(what), None) => Some(Drift { what, since: at }),
            (None, _) => None,
        };
        for id in had {
            self.handed_out(&id);
        }
    }
}

/// Notes the mark of our own probe when a list shows it. On a token that was never used before, any
/// mark is the probe's; on another, only one from the time of the probe on.
fn note_mark(probe: &mut Option<Probe>, before: &Listed, listed: &Listed, seen: ProviderTime) {
    if let Some(probe) = probe
        && probe.mark.is_none()
        && let Some(says) = listed.last_used_at
        && (before.last_used_at.is_none() || says >= probe.first_sent - GRAIN)
    {
        probe.mark = Some(Mark { seen, says });
    }
}
