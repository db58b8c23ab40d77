//! Looking: the provider's list, what the places hold, and whether a rotation could be finished.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::{Future, poll_fn},
    sync::Arc,
    task::Poll,
};

use chrono::TimeDelta;

use super::run::{Run, Stop, unasked};
use crate::{
    clock::{Clock, Timestamp},
    error::{Class, Code, Fault},
    rotation::{
        decide::Veto,
        event::Event,
        observe::{FRESH, Held, Loss, OtherKey, SeenList, SeenSink, Staging},
    },
    sink::{Contents, Marks, Reading, Sink, Staged},
    token::{PlaceKey, TokenId, TokenValue},
};

/// A place that takes longer than this to be read counts as unreadable. Half of [`FRESH`], so that
/// what one look shows is fresh when it ends: with more, slow places would be read in turns for ever.
const LONGEST_READ: TimeDelta = TimeDelta::seconds(15);
const _: () = assert!(LONGEST_READ.num_seconds() * 2 <= FRESH.num_seconds());

impl Run<'_> {
    pub(super) async fn look(
        &mut self,
        list: bool,
        places: &BTreeSet<PlaceKey>,
    ) -> Result<(), Stop> {
        let mut seen_list = None;
        if list {
            match self.list(self.call()).await? {
                Ok(listing) => {
                    let at = self.now();
                    let seen = SeenList::new(at, listing);
                    seen_list = Some(seen.clone());
                    self.observed.list = Some(Ok(seen));
                    self.observed.list_is_old = false;
                }
                Err(fault) => {
                    self.observed.list = Some(Err(fault.clone()));
                    let before = self.record.troubles.look.clone();
                    let trouble = self.unseen(before.as_ref(), fault);
                    self.store(Event::LookFailed(trouble), "the provider could not be listed")
                        .await?;
                }
            }
        }
        let mut sinks = BTreeMap::new();
        let mut troubles = BTreeMap::new();
        let at = self.now();
        let asked: Vec<(PlaceKey, Option<Arc<dyn Sink>>)> =
            places.iter().map(|place| (place.clone(), self.sink(place))).collect();
        let clock = self.engine.clock.clone();
        let answers = asked.iter().map(|(key, sink)| {
            let read = read_in_time(&*clock, key, sink.as_deref());
            self.at_place(sink.as_deref(), read)
        });
        let answers = self.reading(together(answers.collect())).await?;
        for ((place, _), answer) in asked.iter().zip(answers) {
            let seen = match answer {
                Ok(reading) => self.seen(place, at, reading),
                Err(fault) => SeenSink::new(at, Held::Unreadable(fault)),
            };
            self.observed.old_places.remove(place);
            if let Held::Unreadable(fault) = &seen.held {
                let before = self.record.sinks.get(place).and_then(|sink| sink.trouble.clone());
                troubles.insert(place.clone(), self.unseen(before.as_ref(), fault.clone()));
            }
            self.observed.sinks.insert(place.clone(), seen.clone());
            sinks.insert(place.clone(), seen);
        }
        self.store(Event::Looked { list: seen_list, sinks, troubles }, "looked").await?;
        self.note_current_value().await?;
        // Lost in one survey, as far as surveys of many connections can be called one.
        let survey = TimeDelta::from_std(self.connection.policy.survey_interval);
        let since = self.now() - survey.unwrap_or(TimeDelta::hours(1)) * 2;
        if let Ok(losses) = self.engine.ledger.losses(&self.record.key.tenant, since).await {
            self.observed.losses = (losses.connections, losses.lost);
        }
        Ok(())
    }

    /// What a reading says of what is kept beside that; a value of ours is kept.
    fn kept_beside(&mut self, reading: &Reading) -> Staging {
        match &reading.staged {
            Staged::Impossible => Staging::Impossible,
            Staged::Token { marks, value }
                if marks.connection_id == self.record.key.connection
                    && self.may_be(&marks.token_id, value) =>
            {
                self.values.insert(marks.token_id.clone(), value.clone());
                Staging::Holds(marks.token_id.clone())
            }
            // What another left there is in nobody's way.
            Staged::Nothing | Staged::Token { .. } => Staging::Free,
        }
    }

    /// Keeps the digest of the value that readers of the current token get, where this record does
    /// not know it yet: it was taken over, or an earlier version minted it.
    async fn note_current_value(&mut self) -> Result<(), Stop> {
        let id = self.record.current.as_ref().map(|current| current.token.id.clone());
        match id {
            Some(id) => self.note_value(&id).await,
            None => Ok(()),
        }
    }

    /// Whether a value can be that token's.
    fn may_be(&self, id: &TokenId, value: &TokenValue) -> bool {
        let says = self.connection.provider.id_in(value);
        let named = match says {
            Some(own) => own == *id,
            None => !self.connection.policy.capabilities.id_in_value,
        };
        named && self.record.is_genuine(id, &value.digest()) != Some(false)
    }

    /// What a reading says, as far as it is believed.
    fn seen(&mut self, place: &PlaceKey, at: Timestamp, reading: Reading) -> SeenSink {
        let container = reading.container.clone();
        let loss = reading.loss.clone();
        let elsewhere = self.elsewhere(&reading);
        let value = reading.contents.value().map(TokenValue::digest);
        let generation = match &reading.contents {
            Contents::Marked { marks, .. } if marks.connection_id == self.record.key.connection => {
                marks.generation
            }
            Contents::Marked { .. } | Contents::Empty | Contents::Unmarked { .. } => 0,
        };
        let bare = SeenSink {
            container,
            loss,
            elsewhere,
            value,
            generation,
            ..SeenSink::new(at, Held::Nothing(reading.version.clone()))
        };
        let named = self.named(&reading);
        // Nothing is learnt from a place that is not the one that was delivered to.
        let held = match &named {
            Some((id, marks, _)) => Held::Token {
                id: id.clone(),
                marks: marks.clone(),
                version: reading.version.clone(),
            },
            None if matches!(reading.contents, Contents::Empty) => {
                Held::Nothing(reading.version.clone())
            }
            None => Held::Unknown(reading.version.clone()),
        };
        let seen = self.record.believed(place, SeenSink { held, ..bare });
        if matches!(seen.held, Held::Unreadable(_)) {
            return seen;
        }
        let staging = self.kept_beside(&reading);
        self.readings.insert(place.clone(), reading);
        let Some((id, _, value)) = named else {
            let value = self.readings.get(place).and_then(|reading| reading.contents.value());
            let is_false = self.works_nowhere(&seen, value);
            return SeenSink { staging, is_false, ..seen };
        };
        let genuine = self.record.is_genuine(&id, &value.digest());
        // Of two values that claim the same id one is not it; which one, only a digest tells.
        let another = self.values.get(&id).is_some_and(|kept| kept.digest() != value.digest());
        if genuine == Some(false) || (genuine.is_none() && another) {
            let version = seen.held.version().cloned().unwrap_or_else(unasked);
            let names_itself = self.connection.provider.id_in(&value) == Some(id);
            let is_false = genuine == Some(false) && names_itself;
            return SeenSink { held: Held::Unknown(version), staging, is_false, ..seen };
        }
        self.values.insert(id, value);
        SeenSink { staging, is_genuine: genuine == Some(true), ..seen }
    }

    /// Whether readers of a place whose content names no token certainly get nothing that works:
    /// there is no value at all, or what is left of one that is known.
    fn works_nowhere(&self, seen: &SeenSink, value: Option<&TokenValue>) -> bool {
        let worthless = value.map_or(seen.loss == Loss::Nothing, |value| self.is_damaged(value));
        worthless && matches!(seen.held, Held::Unknown(_)) && seen.elsewhere.is_empty()
    }

    /// Whether a value begins with the id of a token that is known, and is that token no more: a part
    /// of it, or more than it.
    fn is_damaged(&self, value: &TokenValue) -> bool {
        let begins = value.expose().split('.').next().unwrap_or_default();
        self.connection.policy.capabilities.id_in_value
            && TokenId::try_new(begins).is_ok_and(|id| self.record.knows(&id))
    }

    /// What stands beside our value, or inside what others wrote, and is a listed token of this
    /// connection.
    fn elsewhere(&self, reading: &Reading) -> Vec<OtherKey> {
        let Some(Ok(list)) = &self.observed.list else { return Vec::new() };
        let provider = &self.connection.provider;
        let own = reading.contents.value().and_then(|value| provider.id_in(value));
        let mut found: Vec<OtherKey> = Vec::new();
        for other in &reading.elsewhere {
            let by_digest = || {
                let digest = other.value.digest();
                let genuine = self.record.digests.iter().find(|(_, known)| **known == digest);
                genuine.map(|(id, _)| id.clone())
            };
            let Some(id) = provider.id_in(&other.value).or_else(by_digest) else { continue };
            // Without keys, a part of the value is no other token.
            let a_part = other.key.is_empty() && own.as_ref() == Some(&id);
            let known = found.iter().any(|one| one.key == other.key && one.id == id);
            if list.get(&id).is_some() && !a_part && !known {
                found.push(OtherKey { key: other.key.clone(), before: other.before, id });
            }
        }
        found
    }

    /// The token that a reading names, with the marks that go with it, and its value.
    fn named(&self, reading: &Reading) -> Option<(TokenId, Option<Marks>, TokenValue)> {
        let provider = &self.connection.provider;
        let value = reading.contents.value()?;
        let marks = match &reading.contents {
            Contents::Marked { marks, .. } => Some(marks),
            Contents::Empty | Contents::Unmarked { .. } => None,
        };
        // A value that names itself is believed before what stands beside it, and where all values
        // do, one that does not is no token.
        let own = provider.id_in(value);
        let marks = marks.filter(|marks| own.as_ref().is_none_or(|id| *id == marks.token_id));
        let by_mark = marks.filter(|_| !self.connection.policy.capabilities.id_in_value);
        let id = own.or_else(|| by_mark.map(|marks| marks.token_id.clone()))?;
        Some((id, marks.cloned(), value.clone()))
    }

    /// Shows, without a write that a reader could see, that a rotation could be finished.
    pub(super) async fn preflight(&mut self, all: bool, veto: Veto) -> Result<(), Stop> {
        let mut shown = Ok(());
        let mut one = false;
        for sink in &self.connection.sinks {
            let unasked = Reading::new(unasked(), Contents::Unmarked { value: None });
            let reading = self.readings.get(&sink.place().key).unwrap_or(&unasked);
            match self.reading(self.at_place(Some(&**sink), sink.prove_writable(reading))).await? {
                Ok(()) => one |= sink.readable(),
                Err(fault) => shown = shown.and(Err(fault)),
            }
            if all && shown.is_err() {
                break;
            }
        }
        if one && !all {
            shown = Ok(());
        }
        if shown.is_ok() && veto != Veto::None {
            let endpoint = self.connection.provider.scim_endpoint(&self.record.key.connection);
            let answer = self.reading(self.connection.probe.anonymous(&endpoint)).await?;
            shown = match answer {
                Err(fault) if veto == Veto::Refusal && fault.class != Class::Terminal => {
                    let name = &self.record.name;
                    tracing::warn!(error = %fault, "{name}: the SCIM endpoint did not answer, and the current token is near its end: {fault}");
                    Ok(())
                }
                answer => answer,
            };
        }
        match shown {
            Ok(()) => {
                self.observed.preflight = Some(self.now());
                Ok(())
            }
            Err(fault) => {
                let before = self.record.troubles.mint.clone();
                let trouble = self.trouble(before.as_ref(), fault);
                self.store(
                    Event::MintFailed { trouble, no_slot: false },
                    "nothing is minted that cannot be delivered",
                )
                .await
            }
        }
    }
}

/// Reads a place, if it answers in time.
///
/// # Errors
/// When it does not, or as the sink says.
pub(crate) async fn in_time(clock: &dyn Clock, sink: &dyn Sink) -> Result<Reading, Fault> {
    let deadline = clock.now() + LONGEST_READ;
    tokio::select! {
        biased;
        reading = sink.read() => reading,
        () = clock.sleep_until(deadline) => Err(Fault::new(
            format!("read {}", sink.place().location),
            Class::Transient,
            Code::Timeout,
            format!("no answer within {} s", LONGEST_READ.num_seconds()),
        )),
    }
}

/// The same for a place that may have left the policy.
async fn read_in_time(
    clock: &dyn Clock,
    key: &PlaceKey,
    sink: Option<&dyn Sink>,
) -> Result<Reading, Fault> {
    let Some(sink) = sink else {
        return Err(Fault::new(
            format!("read {key}"),
            Class::Terminal,
            Code::Io,
            "it left the policy, and no [sinks] entry leads there any more: the one that did is gone, or names another server, namespace, region or account today; put it back as it was until the tokens delivered there are revoked",
        ));
    };
    in_time(clock, sink).await
}

/// Runs all of them at once, and gives what they return in their order.
async fn together<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut running: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    poll_fn(|context| {
        let mut pending = false;
        for (future, done) in &mut running {
            if done.is_none() {
                match future.as_mut().poll(context) {
                    Poll::Ready(output) => *done = Some(output),
                    Poll::Pending => pending = true,
                }
            }
        }
        if pending { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    running.into_iter().filter_map(|(_, done)| done).collect()
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicI64, Ordering},
        time::Duration,
    };

    use async_trait::async_trait;

    use super::*;
    use crate::{
        clock::Timestamp,
        place::{Place, Version},
        rotation::fixture,
        sink::{Fence, Parcel},
    };

    /// A clock that jumps to whatever is waited for once nothing else can go on.
    #[derive(Debug, Default)]
    struct Jumps(AtomicI64);

    #[async_trait]
    impl Clock for Jumps {
        fn now(&self) -> Timestamp {
            Timestamp::UNIX_EPOCH + TimeDelta::milliseconds(self.0.load(Ordering::SeqCst))
        }

        async fn sleep_until(&self, deadline: Timestamp) {
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            self.0.fetch_max(deadline.timestamp_millis(), Ordering::SeqCst);
        }
    }

    #[derive(Debug)]
    struct Slow {
        place: Place,
        /// How often it is polled before it answers; `None`: it never does.
        polls: Option<u32>,
    }

    #[async_trait]
    impl Sink for Slow {
        fn place(&self) -> &Place {
            &self.place
        }

        fn readable(&self) -> bool {
            true
        }

        fn lingers(&self) -> Duration {
            Duration::ZERO
        }

        async fn read(&self) -> Result<Reading, Fault> {
            let Some(polls) = self.polls else { return std::future::pending().await };
            for _ in 0..polls {
                tokio::task::yield_now().await;
            }
            Ok(Reading::new(Version("v1".to_owned()), Contents::Empty))
        }

        async fn prove_writable(&self, _seen: &Reading) -> Result<(), Fault> {
            Ok(())
        }

        async fn promote(
            &self,
            _parcel: &Parcel,
            _expected: &Version,
            _fence: &dyn Fence,
        ) -> Result<Version, Fault> {
            Ok(Version("v2".to_owned()))
        }
    }

    #[tokio::test]
    async fn places_are_read_side_by_side_and_one_that_hangs_costs_one_time_out() {
        let clock = Jumps::default();
        let sinks: Vec<Slow> = [Some(3), None, Some(0), None]
            .into_iter()
            .enumerate()
            .map(|(nth, polls)| {
                let (_, state) = fixture::sink("disk", &format!("place-{nth}"), None);
                Slow { place: state.place, polls }
            })
            .collect();
        let reads =
            sinks.iter().map(|sink| read_in_time(&clock, &sink.place.key, Some(sink))).collect();
        let answers = together(reads).await;
        let words: Vec<Result<String, String>> = answers
            .into_iter()
            .map(|answer| answer.map(|seen| seen.version.0).map_err(|fault| fault.to_string()))
            .collect();
        let late = |nth| Err(format!("could not read place-{nth}: no answer within 15 s"));
        assert_eq!(words, [Ok("v1".to_owned()), late(1), Ok("v1".to_owned()), late(3)]);
        assert_eq!(clock.now() - Timestamp::UNIX_EPOCH, LONGEST_READ, "not one after the other");
    }
}
