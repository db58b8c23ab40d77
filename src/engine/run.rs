//! One run on one connection: decide, carry out, write down, until nothing is to be done.

use std::sync::Arc;

use super::{
    lease::{Lease, Stop},
    memory::Memory,
    pool::Seat,
    worker::{Connection, Engine, NAP, RotationRequest},
};
use crate::{
    clock::Timestamp,
    error::Fault,
    ledger::Durability,
    provider::Call,
    rotation::{
        answer::Answered,
        decide::{self, Decision, Rest, Situation, Step, decide},
        event::{ConfiguredPlace, Event},
        record::{Record, Rotation},
        why::Reason,
    },
    sink::Sink,
    token::{PlaceKey, TokenId},
};

/// The worker of one call.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    pub(super) connection: &'a Connection,
    /// The places of its policy.
    pub(super) sinks: Vec<Arc<dyn Sink>>,
    pub(super) request: &'a RotationRequest,
    pub(super) seat: &'a Seat,
    /// The claim, and the record under it.
    pub(super) lease: Lease<'a>,
    /// What was seen, and the values.
    pub(super) memory: Memory,
    /// What the call's report will say.
    pub(super) story: Story,
}

/// What a call did so far, for its report.
#[derive(Debug)]
pub(super) struct Story {
    /// The last rotation on record when the call began.
    pub(super) before: Option<Rotation>,
    /// What was deleted.
    pub(super) revoked: Vec<TokenId>,
    /// The last failure.
    pub(super) fault: Option<Fault>,
    /// What is being done, in words.
    pub(super) doing: Option<String>,
    /// What the call last waited for.
    pub(super) waited_for: Option<String>,
}

impl Story {
    /// How a call that was cut off ended: with what it had been waiting for.
    fn cut_off(&self, rest: &Rest, why: String, then: &str) -> String {
        let reason = rest.reason.filter(|it| matches!(it, Reason::Timeout | Reason::Interrupted));
        let waited = self.waited_for.as_deref().filter(|waited| !why.contains(waited));
        match (reason, waited) {
            (Some(reason), Some(waited)) => decide::cut_off(reason, Some(waited), then),
            (_, _) => why,
        }
    }
}

impl<'a> Run<'a> {
    pub(super) fn new(
        connection: &'a Connection,
        sinks: Vec<Arc<dyn Sink>>,
        request: &'a RotationRequest,
        seat: &'a Seat,
        lease: Lease<'a>,
    ) -> Self {
        let story = Story {
            before: lease.record().last_rotation.clone(),
            revoked: Vec::new(),
            fault: None,
            doing: None,
            waited_for: None,
        };
        let memory = Memory::new(&*lease.engine.entropy);
        Self { connection, sinks, request, seat, lease, memory, story }
    }

    /// Brings the record up to the configuration.
    pub(super) fn begin(&mut self) -> Result<(), Stop> {
        let policy = &self.connection.policy;
        let configured = Event::Configured {
            name: policy.name.clone(),
            provider: policy.provider.clone(),
            places: self
                .sinks
                .iter()
                .map(|sink| ConfiguredPlace {
                    place: sink.place().clone(),
                    readable: sink.readable(),
                    write_check: sink.write_check(),
                    lingers: sink.lingers(),
                    keeps_earlier: sink.keeps_earlier(),
                    overwrite: sink.overwrites(),
                    uptake: sink.uptake(),
                })
                .collect(),
            unreachable: (self.record().sinks.iter())
                .filter(|(key, _)| self.sink(key).is_none())
                .map(|(key, _)| key.clone())
                .collect(),
            hooks: self.connection.hooks.subscriptions(),
            scim_config: policy.terms.scim_config.is_some(),
        };
        self.lease.store_if_changed(&configured, "the configuration was read")?;
        Ok(())
    }

    /// Whether there is nothing to begin with: another replica has looked since this one began, and by
    /// the same configuration.
    pub(super) fn was_looked_at(&self) -> bool {
        let RotationRequest::First { since } = self.request else { return false };
        let looked = self.record().survey.as_ref().is_some_and(|survey| survey.at >= *since);
        looked && self.engine().ledger.is_shared() && self.lease.is_ready(Durability::Soon)
    }

    /// Does steps until one is a rest and the run need not wait.
    pub(super) async fn go_on(&mut self) -> Result<(Rest, String), Stop> {
        loop {
            let Decision { step, why } = decide(&self.situation());
            let Some(rest) = self.carry_out(step, &why).await? else { continue };
            let then = decide::what_becomes(&self.situation());
            let why = self.story.cut_off(&rest, why, then);
            if !self.rest(&rest, &why).await? {
                return Ok((rest, why));
            }
        }
    }

    /// Carries out one step; it decides nothing itself. A rest goes back to the caller.
    pub(super) async fn carry_out(&mut self, step: Step, why: &str) -> Result<Option<Rest>, Stop> {
        let name = step.name();
        tracing::debug!(step = name, why, "decided");
        let began = self.now();
        self.story.doing = step.words(why);
        if let Some(words) = &self.story.doing {
            self.engine().progress.step(&self.record().name, words);
        }
        match step {
            Step::Look { list, places, writes } => self.look(list, &places, &writes).await?,
            Step::Inspect => self.inspect().await?,
            Step::Configure(change) => self.configure(*change, why).await?,
            Step::Note(event) => self.note(&event, why)?,
            Step::Preflight { all, endpoint } => self.preflight(all, endpoint).await?,
            Step::Mint(intent) => self.mint(*intent).await?,
            Step::Probe(inquiry) => self.probe(inquiry, why).await?,
            Step::RemoveUser { id, sent, arrives_by } => {
                let announced = Event::ProbeAnnounced { id: id.clone(), sent, arrives_by };
                self.remove_user(&id, announced, why).await?;
            }
            Step::Stage(stage) => self.stage(&stage, why).await?,
            Step::Promote(promote) => self.promote(&promote, why).await?,
            Step::Forget(forget) => self.forget(&forget).await?,
            Step::AskClient(ask) => self.ask_client(&ask).await?,
            Step::Revoke(revoke) => self.revoke(&revoke, why).await?,
            Step::Notify { hook, notice } => self.notify(&hook, &notice, why).await?,
            Step::Pause(until) => return self.sleep(until).await.map(|()| None),
            Step::Rest(rest) => return Ok(Some(rest)),
        }
        let took = (self.now() - began).to_std().unwrap_or_default();
        self.engine().metrics.step(name, took);
        let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        tracing::debug!(step = name, duration_ms, "step ended");
        Ok(None)
    }

    /// Writes down an event that was decided. One that changes nothing would be decided for ever.
    fn note(&mut self, event: &Event, why: &str) -> Result<(), Stop> {
        if self.lease.store_if_changed(event, why)? {
            return Ok(());
        }
        Err(Stop::Defect(format!("{} changes nothing: {why}", event.name())))
    }

    /// Writes down what an answer comes to.
    pub(super) fn write(&mut self, answered: Answered) -> Result<(), Stop> {
        let Answered { event, words, fault } = answered;
        if let Some(fault) = fault {
            self.say(&fault);
        }
        match event {
            Some(event) => self.lease.store(&event, &words),
            None => Ok(()),
        }
    }

    /// What decisions are made from.
    pub(super) fn situation(&mut self) -> Situation<'_> {
        let record = self.lease.record();
        let target = record.target();
        self.memory.observed.in_hand = target.filter(|id| self.memory.has(id)).cloned();
        let deadline = &self.lease.deadline;
        self.memory.observed.tries_since = Some(deadline.began).filter(|_| deadline.is_one_shot());
        let engine = self.lease.engine;
        Situation {
            policy: &self.connection.policy,
            record,
            observed: &self.memory.observed,
            now: engine.clock.now(),
            request: self.request,
            ledger: engine.ledger.id(),
            ending: deadline.ending(),
            timeouts: engine.timeouts(self.connection),
            draw: self.memory.draw,
        }
    }

    pub(super) fn engine(&self) -> &'a Engine {
        self.lease.engine
    }

    pub(super) fn record(&self) -> &Record {
        self.lease.record()
    }

    pub(super) fn now(&self) -> Timestamp {
        self.engine().clock.now()
    }

    /// A request to the provider.
    pub(super) fn call(&mut self) -> Call<'a> {
        let urgency = decide::urgency(&self.situation());
        Call { connection: &self.connection.policy.key.connection, urgency, not_after: None }
    }

    pub(super) fn sink(&self, place: &PlaceKey) -> Option<Arc<dyn Sink>> {
        let configured = self.sinks.iter().find(|sink| sink.place().key == *place).cloned();
        configured.or_else(|| self.connection.reopen.reopen(&self.record().sinks.get(place)?.place))
    }

    /// The sink of a place that a step acts on.
    pub(super) fn sink_of(&self, place: &PlaceKey) -> Result<Arc<dyn Sink>, Stop> {
        self.sink(place).ok_or_else(|| Stop::Defect(format!("no sink leads to {place}")))
    }

    /// Keeps a failure for the report. The daemon tells of it at its end, once, and not where it is that of
    /// a service that many connections wait for. Who called a one-shot waits meanwhile, and is told what for.
    pub(super) fn say(&mut self, fault: &Fault) {
        let name = &self.record().name;
        let (code, class) = (fault.code.as_str(), fault.class.as_str());
        if self.lease.deadline.is_one_shot() && self.story.fault.as_ref() != Some(fault) {
            tracing::warn!("error.type" = code, error_class = class, error = %fault, "{name}: {fault}");
        } else {
            tracing::debug!("error.type" = code, error_class = class, error = %fault, "{name}: {fault}");
        }
        self.story.fault = Some(fault.clone());
    }

    /// Sleeps, keeping the claim, until `until` or until the process is asked to end.
    pub(super) async fn sleep(&mut self, until: Timestamp) -> Result<(), Stop> {
        let patience = self.lease.deadline.patience;
        let until = patience.until.map_or(until, |end| until.min(end));
        self.lease.ready(Durability::Soon).await?;
        let _waiting = self.seat.waits();
        loop {
            let now = self.now();
            if now >= until || patience.stop.is_cancelled() {
                return Ok(());
            }
            self.lease.deadline.until_stop_or(until.min(now + NAP)).await;
            self.lease.renew().await?;
        }
    }
}
