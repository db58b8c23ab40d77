//! Looking: the provider's list, what the places hold, and whether a rotation could be finished.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::{Future, poll_fn},
    sync::Arc,
    task::Poll,
};

use chrono::TimeDelta;

use super::{deliver::unasked, guard::within, lease::Stop, memory::meaning, run::Run};
use crate::{
    clock::{Clock, Timestamp},
    error::{Class, Code, Fault},
    ledger::{Durability, LedgerError, Losses},
    rotation::{
        answer::{self, Unready},
        decide::{self, AskClient, CheckWrites, Veto},
        observe::{FRESH, Held, SeenList, SeenSink},
    },
    sink::{Contents, Reading, Sink},
    token::{PlaceKey, TokenValue},
};

/// A place that takes longer than this to be read counts as unreadable. Half of [`FRESH`], so that
/// what one look shows is fresh when it ends: with more, slow places would be read in turns for ever.
const LONGEST_READ: TimeDelta = TimeDelta::seconds(15);
const _: () = assert!(LONGEST_READ.num_seconds() * 2 <= FRESH.num_seconds());

/// What places said to whether they would take a write.
type WriteAnswers = Vec<(PlaceKey, Result<(), Fault>)>;

impl Run<'_> {
    pub(super) async fn look(
        &mut self,
        list: bool,
        places: &BTreeSet<PlaceKey>,
        writes: &CheckWrites,
    ) -> Result<(), Stop> {
        let list = if list { self.look_at_provider().await? } else { None };
        let sinks = self.look_at_places(places).await?;
        // With the look, so that a check is written down once.
        let answers = self.check_writes(writes).await?;
        let event = answer::looked(&self.situation(), list, sinks);
        self.lease.store(&event, "looked")?;
        let checked = answer::writes_checked(&self.situation(), writes.all, answers);
        self.write(checked)?;
        // The value that readers of the current token get: it was taken over, or an earlier version
        // minted it.
        if let Some(id) = self.record().current.as_ref().map(|current| current.token.id.clone()) {
            self.note_value(&id)?;
        }
        let (record, now) = (self.record(), self.now());
        if record.has_lost_current() || record.next_rotation.is_none_or(|at| at <= now) {
            // Ours is one of them.
            self.lease.ready(Durability::Soon).await?;
            self.count_losses().await;
        }
        Ok(())
    }

    /// How many connections of the tenant lost their current token, for the brake.
    async fn count_losses(&mut self) {
        // Lost in one survey, as far as surveys of many connections can be called one.
        let survey = TimeDelta::from_std(self.connection.policy.survey_interval);
        let since = self.now() - survey.unwrap_or(TimeDelta::hours(1)) * 2;
        if let Ok(losses) = self.losses(since).await {
            self.memory.observed.losses = (losses.connections, losses.lost);
        }
    }

    async fn losses(&self, since: Timestamp) -> Result<Losses, LedgerError> {
        let tenant = &self.record().key.tenant;
        self.engine().ledger.losses_in_brief(tenant, since, decide::BRAKE_PART).await
    }

    async fn look_at_provider(&mut self) -> Result<Option<SeenList>, Stop> {
        self.lease.ready(Durability::Soon).await?;
        let (call, asked) = (self.call(), self.now());
        match self.list(call).await? {
            Ok(listing) => {
                let at = self.now();
                let seen = SeenList::new(asked, at, listing);
                self.memory.list(seen.clone());
                Ok(Some(seen))
            }
            Err(fault) => {
                self.memory.observed.list = Some(Err(fault.clone()));
                let answered = answer::not_listed(&self.situation(), fault);
                self.write(answered)?;
                Ok(None)
            }
        }
    }

    async fn look_at_places(
        &mut self,
        places: &BTreeSet<PlaceKey>,
    ) -> Result<BTreeMap<PlaceKey, SeenSink>, Stop> {
        self.lease.ready(Durability::Soon).await?;
        let at = self.now();
        let asked: Vec<(PlaceKey, Option<Arc<dyn Sink>>)> =
            places.iter().map(|place| (place.clone(), self.sink(place))).collect();
        let clock = self.engine().clock.clone();
        let answers = asked.iter().map(|(key, sink)| {
            let read = read_in_time(&*clock, key, sink.as_deref());
            self.at_place(sink.as_deref(), "read", read)
        });
        let answers = self.reading(together(answers.collect())).await?;
        let mut sinks = BTreeMap::new();
        for ((place, _), answer) in asked.into_iter().zip(answers) {
            let seen = match answer {
                Ok(reading) => self.interpreted(&place, at, reading),
                Err(fault) => SeenSink::new(at, Held::Unreadable(fault)),
            };
            if let Held::Unreadable(fault) = &seen.held {
                self.say(fault);
            }
            self.memory.saw(&place, seen.clone());
            sinks.insert(place, seen);
        }
        Ok(sinks)
    }

    /// What a reading means; the values of tokens of ours are kept.
    fn interpreted(&mut self, place: &PlaceKey, at: Timestamp, reading: Reading) -> SeenSink {
        let known = self.memory.digests();
        let provider = self.connection.provider.clone();
        let id_in = |value: &TokenValue| provider.id_in(value);
        let meant = meaning(&self.situation(), place, (at, &reading), id_in, &known);
        self.memory.keep(place, &meant, reading);
        meant.seen
    }

    /// Asks the client behind a place whether it uses the token there.
    pub(super) async fn ask_client(&mut self, ask: &AskClient) -> Result<(), Stop> {
        let sink = self.sink_of(&ask.place)?;
        self.lease.ready(Durability::Now).await?;
        let clock = self.engine().clock.clone();
        let doing = format!("ask the client of {}", ask.location);
        let asked = within(&*clock, LONGEST_READ, doing, sink.client(&ask.delivered));
        let answer = self.reading(self.at_place(Some(&*sink), "ask_client", asked)).await?;
        let answered = answer::client(&self.situation(), ask, answer);
        self.write(answered)
    }

    /// Shows, without a write that a reader could see, that a rotation could be finished.
    pub(super) async fn preflight(&mut self, all: bool, veto: Veto) -> Result<(), Stop> {
        self.lease.ready(Durability::Soon).await?;
        let shown = self.shown(all, veto).await?;
        // Nothing is minted without this, whatever the last look was for.
        self.count_losses().await;
        match shown {
            Ok(()) => {
                self.memory.observed.preflight = Some(self.now());
                Ok(())
            }
            Err(unready) => {
                let answered = answer::not_ready(&self.situation(), unready);
                self.write(answered)
            }
        }
    }

    /// Asks these places the same while no rotation is due.
    async fn check_writes(&mut self, writes: &CheckWrites) -> Result<WriteAnswers, Stop> {
        let mut answers = Vec::new();
        if writes.places.is_empty() {
            return Ok(answers);
        }
        self.lease.ready(Durability::Soon).await?;
        for sink in self.sinks.iter().filter(|sink| writes.places.contains(&sink.place().key)) {
            answers.push((sink.place().key.clone(), self.takes_a_write(&**sink).await?));
        }
        Ok(answers)
    }

    async fn takes_a_write(&self, sink: &dyn Sink) -> Result<Result<(), Fault>, Stop> {
        let unasked = Reading::new(unasked(), Contents::Unmarked { value: None });
        let reading = self.memory.reading(&sink.place().key).unwrap_or(&unasked);
        let shows = self.at_place(Some(sink), "prove_writable", sink.prove_writable(reading));
        self.reading(shows).await
    }

    async fn shown(&self, all: bool, veto: Veto) -> Result<Result<(), Unready>, Stop> {
        let mut sinks = Vec::new();
        for sink in &self.sinks {
            let answer = self.takes_a_write(&**sink).await?;
            let enough = all && answer.is_err();
            sinks.push((sink.readable(), answer));
            if enough {
                break;
            }
        }
        if let Err(fault) = answer::writable(all, sinks) {
            return Ok(Err(Unready::Sink(fault)));
        }
        if veto == Veto::None {
            return Ok(Ok(()));
        }
        let endpoint = self.connection.provider.scim_endpoint(&self.record().key.connection);
        let anonymous = self.reading(self.connection.probe.anonymous(&endpoint)).await?;
        Ok(answer::endpoint(veto, anonymous).map_err(Unready::Endpoint).map(|ignored| {
            if let Some(fault) = ignored {
                let name = &self.record().name;
                tracing::warn!(error = %fault, "{name}: the SCIM endpoint did not answer; rotating anyway, since the current token expires soon: {fault}");
            }
        }))
    }
}

/// Reads a place, if it answers in time.
///
/// # Errors
/// When it does not, or as the sink says.
pub(crate) async fn in_time(clock: &dyn Clock, sink: &dyn Sink) -> Result<Reading, Fault> {
    within(clock, LONGEST_READ, format!("read {}", sink.place().location), sink.read()).await
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
            "the configuration no longer delivers there, and no [sinks] entry reaches it any more: its entry was removed, or now names another server, namespace, region or account. Restore that entry until the tokens delivered there are revoked",
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
        sink::{Delivery, Fence},
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
            _delivery: &Delivery,
            _expected: &Version,
            _fence: &dyn Fence,
        ) -> Result<Version, Fault> {
            Ok(Version("v2".to_owned()))
        }
    }

    #[tokio::test]
    async fn places_are_read_side_by_side_and_a_hung_one_costs_a_time_out() {
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
