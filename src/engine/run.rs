//! One call on one connection: decide, carry out, write down, until nothing is to be done.

use std::{collections::BTreeMap, sync::OnceLock};

use chrono::TimeDelta;

use super::{
    guard,
    pool::Seat,
    progress::step_name,
    report::{Outcome, Report},
    worker::{Ask, Connection, Engine, LEASE, Patience, ledger_failed},
};
use crate::{
    clock::Timestamp,
    error::Fault,
    ledger::{Claim, Entry, LedgerError},
    provider::{Call, Urgency},
    rotation::{
        decide::{self, Decision, Rest, Situation, Step, decide},
        event::{ConfiguredPlace, Event},
        observe::Observed,
        record::{Record, Rotation, Trouble},
        status,
        why::Reason,
    },
    sink::{Reading, Sink, Version},
    token::{PlaceKey, TokenId, TokenValue},
};

/// So many decisions without any time passing are a defect; the run ends rather than spins.
const MOST_STEPS_AT_ONCE: u32 = 500;

/// Why a run cannot go on.
#[derive(Debug)]
pub(super) enum Stop {
    /// Another worker has taken over.
    ClaimLost,
    /// The ledger cannot be written.
    Ledger(LedgerError),
    /// What was waited for did not come before the call had to end.
    OutOfTime(String),
    /// A defect: the reason is for a bug report.
    Defect(String),
}

/// The state of one call.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    pub(super) engine: &'a Engine,
    pub(super) connection: &'a Connection,
    pub(super) claim: Claim,
    pub(super) ask: &'a Ask,
    pub(super) patience: &'a Patience,
    pub(super) seat: &'a Seat,
    pub(super) version: u64,
    pub(super) record: Record,
    pub(super) observed: Observed,
    /// What was read of places, values included.
    pub(super) readings: BTreeMap<PlaceKey, Reading>,
    /// The values in memory, by token.
    pub(super) values: BTreeMap<TokenId, TokenValue>,
    /// A token that this run made and has begun no promote of: revoked by its id if the claim is lost.
    pub(super) unplaced: Option<TokenId>,
    /// What this run deleted.
    pub(super) revoked: Vec<TokenId>,
    /// The last rotation on record when the call began.
    pub(super) before: Option<Rotation>,
    last_fault: Option<Fault>,
    /// What is being done, in words.
    pub(super) doing: Option<String>,
    /// When the call began.
    pub(super) began: Timestamp,
    /// When it was first noticed that the process was asked to end.
    pub(super) stopped_at: OnceLock<Timestamp>,
    /// What the call last waited for.
    pub(super) waited_for: Option<String>,
    /// The record's version when it was last found to be another one than this run wrote.
    pub(super) taken_up: u64,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        engine: &'a Engine,
        connection: &'a Connection,
        claim: Claim,
        ask: &'a Ask,
        patience: &'a Patience,
        seat: &'a Seat,
        (version, record): (u64, Record),
    ) -> Self {
        Self {
            engine,
            connection,
            claim,
            ask,
            patience,
            seat,
            version,
            before: record.last_rotation.clone(),
            record,
            observed: Observed::default(),
            readings: BTreeMap::new(),
            values: BTreeMap::new(),
            unplaced: None,
            revoked: Vec::new(),
            last_fault: None,
            doing: None,
            began: engine.clock.now(),
            stopped_at: OnceLock::new(),
            waited_for: None,
            taken_up: 0,
        }
    }

    /// Brings the record up to the configuration.
    pub(super) async fn begin(&mut self) -> Result<(), Stop> {
        let policy = &self.connection.policy;
        let configured = Event::Configured {
            name: policy.name.clone(),
            provider: policy.provider.clone(),
            places: self
                .connection
                .sinks
                .iter()
                .map(|sink| ConfiguredPlace {
                    place: sink.place().clone(),
                    readable: sink.readable(),
                    lingers: sink.lingers(),
                    keeps_earlier: sink.keeps_earlier(),
                    overwrite: sink.overwrites(),
                })
                .collect(),
            unreachable: (self.record.sinks.iter())
                .filter(|(key, _)| self.sink(key).is_none())
                .map(|(key, _)| key.clone())
                .collect(),
            hooks: self.connection.hooks.subscriptions(),
        };
        let after = self.applied(configured.clone())?;
        if after != self.record || self.version == 0 {
            self.store(configured, "the configuration was read").await?;
        }
        Ok(())
    }

    /// Does what there is to be done, and gives the connection free.
    pub(super) async fn run(mut self) -> Report {
        match self.go_on().await {
            Ok((rest, why)) => {
                self.engine.release(&self.claim).await;
                self.report(&rest, why)
            }
            Err(Stop::OutOfTime(doing)) => {
                self.give_back(guard::cut_short(guard::ending(self.patience, self.now()))).await;
                let (rest, why) = self.cut_off(&doing).await;
                self.engine.release(&self.claim).await;
                self.report(&rest, why)
            }
            Err(stop) => {
                let report = self.stopped(stop).await;
                self.engine.release(&self.claim).await;
                report
            }
        }
    }

    async fn go_on(&mut self) -> Result<(Rest, String), Stop> {
        let mut steps = 0;
        let mut last = self.now();
        loop {
            let decision = decide(&self.situation());
            steps = if self.now() == last { steps + 1 } else { 0 };
            last = self.now();
            if steps > MOST_STEPS_AT_ONCE {
                let words = format!(
                    "{MOST_STEPS_AT_ONCE} steps without an end, the last: {}",
                    decision.why
                );
                return Err(Stop::Defect(words));
            }
            tracing::debug!(step = step_name(&decision.step), why = %decision.why, "decided");
            let Decision { step, why } = decision;
            match step {
                Step::Rest(rest) => {
                    if !self.rest(&rest, &why).await? {
                        return Ok((rest, why));
                    }
                }
                Step::Pause(until) => self.sleep(until).await?,
                step @ (Step::Look { .. }
                | Step::Note(_)
                | Step::Preflight { .. }
                | Step::Mint { .. }
                | Step::Probe
                | Step::AskHeld(_)
                | Step::Stage(_)
                | Step::Promote(_)
                | Step::Forget { .. }
                | Step::Revoke(_)
                | Step::Notify { .. }) => self.carry_out(step, &why).await?,
            }
        }
    }

    pub(super) fn situation(&mut self) -> Situation<'_> {
        let target = self.record.target();
        self.observed.in_hand = target.filter(|id| self.values.contains_key(*id)).cloned();
        let one_shot = self.patience.wait || self.patience.until.is_some();
        self.observed.tries_since = Some(self.began).filter(|_| one_shot);
        let now = self.engine.clock.now();
        let ending = guard::ending(self.patience, now);
        Situation {
            policy: &self.connection.policy,
            record: &self.record,
            observed: &self.observed,
            now,
            ask: self.ask,
            ledger: self.engine.ledger.id(),
            ending,
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.engine.clock.now()
    }

    /// When the call began, if a person asks for a rotation.
    pub(super) fn asked_at(&self) -> Option<Timestamp> {
        self.ask.since()
    }

    pub(super) fn call(&self) -> Call<'a> {
        let compromised = matches!(self.ask, Ask::Compromised { .. });
        let left =
            decide::life_left(&self.record, self.record.provider_clock().to_provider(self.now()));
        let urgency = if compromised {
            Urgency::Emergency
        } else if left.is_some_and(|left| left < TimeDelta::hours(1))
            || self.record.cut_off_since().is_some()
        {
            Urgency::Urgent
        } else {
            Urgency::Routine
        };
        Call { connection: &self.connection.policy.key.connection, urgency, not_after: None }
    }

    pub(super) fn sink(&self, place: &PlaceKey) -> Option<std::sync::Arc<dyn Sink>> {
        let configured =
            self.connection.sinks.iter().find(|sink| sink.place().key == *place).cloned();
        configured.or_else(|| self.connection.reopen.reopen(&self.record.sinks.get(place)?.place))
    }

    /// One more failure of a kind of work.
    pub(super) fn trouble(&mut self, before: Option<&Trouble>, fault: Fault) -> Trouble {
        self.say(&fault);
        self.situation().failed(before, fault)
    }

    /// One more failure to look.
    pub(super) fn unseen(&mut self, before: Option<&Trouble>, fault: Fault) -> Trouble {
        self.say(&fault);
        self.situation().look_failed(before, fault)
    }

    fn say(&mut self, fault: &Fault) {
        let name = &self.record.name;
        tracing::warn!(error_class = fault.class.as_str(), error = %fault, "{name}: {fault}");
        self.last_fault = Some(fault.clone());
    }

    pub(super) fn applied(&self, event: Event) -> Result<Record, Stop> {
        self.record.clone().apply(event).map_err(|illegal| Stop::Defect(illegal.to_string()))
    }

    /// Writes an event down in the ledger. When this returns it is durable.
    pub(super) async fn write_down(&mut self, event: Event, words: &str) -> Result<(), Stop> {
        let name = event.name();
        let record = self.applied(event)?;
        let now = self.now();
        let entry = Entry { at: now, event: name.to_owned(), words: words.to_owned() };
        let give_up = now + TimeDelta::from_std(LEASE).unwrap_or_default() * 9 / 10;
        loop {
            match self.engine.ledger.store(&self.claim, self.version, &record, &entry).await {
                Ok(version) => {
                    self.version = version;
                    break;
                }
                Err(error @ LedgerError::Unavailable { .. }) => {
                    // The write may have happened all the same.
                    if let Ok(Some(stored)) = self.engine.ledger.load(&self.claim.key).await
                        && stored.version == self.version + 1
                        && stored.record == record
                    {
                        self.version = stored.version;
                        break;
                    }
                    if !self.still_tries(give_up) {
                        return Err(Stop::Ledger(error));
                    }
                    tracing::warn!(error = %error, "the ledger is tried again: {error}");
                    self.engine.clock.sleep_until(self.now() + TimeDelta::seconds(1)).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        if let Some(last) = &record.last_rotation
            && self.record.last_rotation.as_ref() != Some(last)
        {
            let took = (last.finished - last.began).to_std().unwrap_or_default();
            self.engine.metrics.rotation(&record.provider, took);
        }
        self.record = record;
        Ok(())
    }

    /// Sleeps, keeping the claim, until `until` or until the process is asked to end.
    pub(super) async fn sleep(&mut self, until: Timestamp) -> Result<(), Stop> {
        let nap = TimeDelta::from_std(LEASE / 3).unwrap_or(TimeDelta::seconds(30));
        let until = self.patience.until.map_or(until, |end| until.min(end));
        let _waiting = self.seat.waits();
        loop {
            let now = self.now();
            if now >= until || self.patience.stop.is_cancelled() {
                return Ok(());
            }
            tokio::select! {
                biased;
                () = self.patience.stop.cancelled() => {}
                () = self.engine.clock.sleep_until(until.min(now + nap)) => {}
            }
            self.renew().await?;
        }
    }

    /// Makes the claim last. A ledger that cannot be reached is asked again until a tenth before
    /// the lease ends: until then nobody else can have taken over.
    pub(super) async fn renew(&self) -> Result<(), Stop> {
        let (clock, ledger) = (&self.engine.clock, &self.engine.ledger);
        let give_up = clock.now() + TimeDelta::from_std(LEASE).unwrap_or_default() * 9 / 10;
        loop {
            match ledger.renew(&self.claim, LEASE).await {
                Ok(()) => return Ok(()),
                Err(error @ LedgerError::Unavailable { .. }) if !self.still_tries(give_up) => {
                    return Err(Stop::Ledger(error));
                }
                Err(LedgerError::Unavailable { .. }) => {
                    clock.sleep_until(clock.now() + TimeDelta::seconds(1)).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn report(self, rest: &Rest, why: String) -> Report {
        let leaked =
            matches!(self.ask, Ask::Compromised { .. }) && !self.record.condemned.is_empty();
        let outcome = status::outcome(self.ask, self.before.as_ref(), &self.record, rest);
        let fault = if outcome == Outcome::Failed {
            self.last_fault.clone().or_else(|| self.record.last_fault().cloned())
        } else {
            None
        };
        // A call that was cut off says what it had been waiting for.
        let cut_off = matches!(rest.reason, Some(Reason::Timeout | Reason::Interrupted));
        let waited = self.waited_for.clone().filter(|_| cut_off);
        let why = self.done().into_iter().chain([why]).chain(waited).collect::<Vec<_>>().join("; ");
        let why = if leaked && outcome == Outcome::Failed {
            format!(
                "{why}; the tokens declared leaked could not all be revoked: {}; `scimitar revoke {} --token-id ID --force` revokes one at the price of an outage where it is still in use",
                self.record.condemned.iter().map(TokenId::as_str).collect::<Vec<_>>().join(", "),
                self.record.name
            )
        } else {
            why
        };
        let hooks_only = rest.hooks_only;
        Report { outcome, reason: rest.reason, why, record: Some(self.record), fault, hooks_only }
    }

    /// What this run changed, in words.
    fn done(&self) -> Vec<String> {
        let new =
            self.record.last_rotation.as_ref().filter(|last| self.before.as_ref() != Some(*last));
        let mut done: Vec<String> =
            new.map(|last| format!("every sink holds {}", last.id)).into_iter().collect();
        done.extend(self.revoked.iter().map(|id| format!("{id} was revoked")));
        done
    }

    /// Deletes what this run made and placed nowhere, if it can.
    async fn give_back(&mut self, because: &str) {
        if let Some(id) = self.unplaced.take() {
            // No promote of it was begun, so nobody can be using it.
            let revoked = self.let_go(&id).await;
            let words = match &revoked {
                Ok(_) => format!("{id}, which this run made and placed nowhere, is revoked"),
                Err(fault) => format!(
                    "{id}, which this run made and placed nowhere, could not be revoked ({fault}): the next \
                     run finds it and revokes it"
                ),
            };
            let words = format!("{because}: {words}");
            self.note_unplaced(&id, revoked.is_ok(), &words).await;
            tracing::warn!(token_id = %id, revoked = revoked.is_ok(), "{}: {words}", self.record.name);
        }
    }

    /// Ends a run that cannot go on, leaving nothing behind that it alone knows of.
    pub(super) async fn stopped(&mut self, stop: Stop) -> Report {
        let because = match &stop {
            Stop::ClaimLost => "another process took over",
            Stop::Ledger(_) => "the ledger cannot be used",
            Stop::OutOfTime(_) => guard::cut_short(guard::ending(self.patience, self.now())),
            Stop::Defect(_) => "the run ended by a defect",
        };
        self.give_back(because).await;
        match stop {
            Stop::ClaimLost => Report {
                outcome: Outcome::Waiting,
                reason: Some(Reason::ClaimedElsewhere),
                why: LedgerError::ClaimLost.to_string(),
                record: Some(self.record.clone()),
                fault: None,
                hooks_only: false,
            },
            Stop::Ledger(error) => ledger_failed(&error, Some(self.record.clone())),
            Stop::OutOfTime(doing) => {
                let (rest, why) = self.cut_off(&doing).await;
                let interrupted = rest.reason == Some(Reason::Interrupted);
                Report {
                    outcome: if interrupted { Outcome::Waiting } else { Outcome::Failed },
                    reason: rest.reason,
                    why,
                    record: Some(self.record.clone()),
                    fault: None,
                    hooks_only: false,
                }
            }
            Stop::Defect(words) => {
                tracing::error!(error = %words, "a defect in scimitar, please report it: {words}");
                Report {
                    outcome: Outcome::Failed,
                    reason: None,
                    why: format!("a defect in Scimitar, please report it: {words}"),
                    record: Some(self.record.clone()),
                    fault: None,
                    hooks_only: false,
                }
            }
        }
    }
}

/// The version of a place that cannot be asked.
pub(super) fn unasked() -> Version {
    Version("unasked".to_owned())
}
