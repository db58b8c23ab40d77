//! A worker as the engine drives it: decide, announce, act, write down what was answered. Between any two
//! of these it can die, stand still until its lease has ended, and go on.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    hash::{Hash as _, Hasher as _},
    sync::Arc,
    time::Duration,
};

use scimitar::{
    clock::Timestamp,
    error::{Class, Code, Fault},
    rotation::{
        answer::{self, Answered, ProbeAnswer, Unready},
        decide::{
            About, Decision, Draw, Revoke, Situation, Step, Timeouts, decide, rested, wake_at,
        },
        event::{Event, RetiringEvent},
        observe::Observed,
        request::RotationRequest,
    },
    token::{Listed, TokenId},
};

use super::model::{Ledger, Print, Sabotage, World, Written, lease};

/// How a call goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Works,
    /// It has no effect, and says so.
    Refused,
    /// It has its effect, and the answer is lost.
    Lost,
    /// It has none, and nobody knows.
    Vanished,
    /// Its effect comes later, or never.
    Late,
    /// One sink cannot be read.
    Unread(usize),
    /// The ledger cannot be reached any more, after it took the write or before.
    Cut {
        written: bool,
    },
}

#[derive(Clone, Debug)]
pub(crate) enum Worker {
    Idle,
    Running(Arc<Run>),
}

/// A call under way.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(super) fence: u64,
    pub(super) version: u64,
    pub(super) written: Arc<Written>,
    pub(super) observed: Observed,
    pub(super) values: BTreeSet<TokenId>,
    /// Made by this call, with no promote begun.
    pub(super) unplaced: Option<TokenId>,
    /// It cannot reach the ledger any more.
    pub(super) cut: bool,
    pub(super) at: At,
}

/// Where it is.
#[derive(Clone, Debug)]
pub(super) enum At {
    /// This is decided, and not begun.
    Next(Arc<Decision>),
    /// It is announced, and not sent.
    Send(Arc<Decision>),
    /// It is answered, and that is not written down.
    Write(Arc<Decision>, Answer),
    Pause(Timestamp),
    /// It cannot go on, and gives back what it made.
    Stop,
}

#[derive(Clone, Debug)]
pub(super) enum Answer {
    Made(Result<Listed, Fault>),
    Told(ProbeAnswer),
    Put(Result<String, Fault>),
    Deleted(Result<bool, Fault>),
}

/// Why a call cannot go on.
pub(super) enum Halt {
    ClaimLost,
    /// The ledger cannot be reached: nothing can be given back.
    Cut,
    Defect(String),
}

/// What follows a step.
#[derive(PartialEq, Eq)]
pub(super) enum After {
    /// It decides again.
    Decides,
    /// It is where the step left it.
    Stays,
    /// The call is over.
    Rests,
}

pub(super) fn fault(class: Class, code: Code) -> Fault {
    Fault::new("do it", class, code, "drawn")
}

pub(super) fn unavailable() -> Fault {
    fault(Class::Transient, Code::Unavailable)
}

impl Worker {
    /// What it is recognised by, beside the ledger.
    pub(crate) fn print(&self, ledger: &Ledger) -> u64 {
        let Self::Running(run) = self else { return 0 };
        let Run { fence, version, written, observed, values, unplaced, cut, at } = &**run;
        let mut print = Print::default();
        (ledger.held && ledger.fence == *fence).hash(&mut print.0);
        (written.print(), ledger.version - version, values, unplaced, cut).hash(&mut print.0);
        write!(print, "{observed:?}").unwrap();
        match at {
            // That follows from the rest.
            At::Next(_) => 1.hash(&mut print.0),
            At::Send(decision) => write!(print, "{:?}", decision.step).unwrap(),
            At::Write(decision, answer) => {
                write!(print, "{:?}{answer:?}", decision.step).unwrap();
            }
            At::Pause(until) => until.hash(&mut print.0),
            At::Stop => 2.hash(&mut print.0),
        }
        print.0.finish()
    }

    pub(crate) fn words(&self) -> String {
        let Self::Running(run) = self else { return "idle".to_owned() };
        match &run.at {
            At::Next(decision) => format!("next: {}", decision.step.name()),
            At::Send(decision) => format!("announced: {}", decision.step.name()),
            At::Write(decision, _) => format!("answered: {}", decision.step.name()),
            At::Pause(_) => "pauses".to_owned(),
            At::Stop => "stops".to_owned(),
        }
    }

    /// When it goes on by itself, if it waits for a moment.
    pub(crate) fn pauses_until(&self) -> Option<Timestamp> {
        let Self::Running(run) = self else { return None };
        if let At::Pause(until) = run.at { Some(until) } else { None }
    }
}

impl World {
    /// Whether a worker that does nothing finds the connection due and gets the claim.
    pub(crate) fn can_start(&self, nth: usize) -> bool {
        let due = self.ledger.written.record.wake_at.is_none_or(|wake| wake <= self.now);
        matches!(self.workers[nth], Worker::Idle) && due && !self.is_claimed()
    }

    pub(crate) fn start(&mut self, nth: usize) {
        self.ledger.fence += 1;
        self.ledger.held = true;
        self.ledger.until = self.now + lease();
        let mut run = Run {
            fence: self.ledger.fence,
            version: self.ledger.version,
            written: Arc::clone(&self.ledger.written),
            observed: Observed::default(),
            values: BTreeSet::new(),
            unplaced: None,
            cut: false,
            at: At::Stop,
        };
        self.decides(&mut run);
        self.workers[nth] = Worker::Running(Arc::new(run));
    }

    /// `kill -9`: what it had in memory is gone; its claim ends with its lease.
    pub(crate) fn crash(&mut self, nth: usize) {
        self.workers[nth] = Worker::Idle;
    }

    /// Time has passed: who keeps a claim has renewed it, and what was decided is decided again.
    pub(crate) fn passed(&mut self, to: Timestamp, keeps: bool) {
        self.now = to;
        for nth in 0..2 {
            let Worker::Running(run) = &self.workers[nth] else { continue };
            if keeps && run.fence == self.ledger.fence && self.ledger.held {
                self.ledger.until = to + lease();
            }
            if matches!(run.at, At::Next(_)) {
                let mut run = Run::clone(run);
                self.decides(&mut run);
                self.workers[nth] = Worker::Running(Arc::new(run));
            }
        }
        self.late.retain(|(by, _)| *by >= to);
    }

    /// Whether it can go on now.
    pub(crate) fn can_step(&self, nth: usize) -> bool {
        match &self.workers[nth] {
            Worker::Idle => false,
            Worker::Running(_) => {
                self.workers[nth].pauses_until().is_none_or(|until| until <= self.now)
            }
        }
    }

    /// How its next step can go, what works first.
    pub(crate) fn turns(&self, nth: usize) -> Vec<Turn> {
        let Worker::Running(run) = &self.workers[nth] else { return Vec::new() };
        let mut turns = vec![Turn::Works];
        let cut = [Turn::Cut { written: true }, Turn::Cut { written: false }];
        match &run.at {
            At::Next(decision) => match &decision.step {
                Step::Look { list, places, .. } => {
                    turns.extend(list.then_some(Turn::Refused));
                    let readable = |nth: &usize| places.contains(&self.rules.places[*nth]);
                    turns.extend((0..2).filter(readable).map(Turn::Unread));
                }
                Step::Preflight { .. } => turns.push(Turn::Refused),
                Step::Promote(_) | Step::Probe(_) | Step::Note(_) if run.unplaced.is_some() => {
                    turns.extend(cut);
                }
                _ => {}
            },
            At::Send(decision) => match &decision.step {
                Step::Probe(_) => turns.push(Turn::Refused),
                Step::Promote(promote) if promote.place == self.rules.places[0] => {
                    turns.extend([Turn::Refused, Turn::Lost, Turn::Vanished]);
                }
                _ => turns.extend([Turn::Refused, Turn::Lost, Turn::Vanished, Turn::Late]),
            },
            At::Write(decision, Answer::Made(Ok(_))) => {
                debug_assert!(matches!(decision.step, Step::Mint(_)));
                turns.extend(cut);
            }
            At::Stop => turns.push(Turn::Vanished),
            At::Write(..) | At::Pause(_) => {}
        }
        turns
    }

    /// Goes on by one step.
    pub(crate) fn step(&mut self, nth: usize, turn: Turn) {
        let Worker::Running(run) = std::mem::replace(&mut self.workers[nth], Worker::Idle) else {
            return;
        };
        let mut run = Arc::unwrap_or_clone(run);
        let at = run.at.clone();
        let done = match at {
            At::Next(decision) => self.begin(&mut run, decision, turn),
            At::Send(decision) => self.send(&mut run, decision, turn),
            At::Write(decision, answer) => self.write(&mut run, &decision, answer, turn),
            At::Pause(_) => Ok(After::Decides),
            At::Stop => {
                if let Some(id) = run.unplaced.take().filter(|_| turn == Turn::Works) {
                    self.delete(&id);
                }
                return self.release(&run);
            }
        };
        match done {
            Ok(After::Rests) => return self.release(&run),
            Ok(After::Decides) => self.decides(&mut run),
            Ok(After::Stays) => {}
            Err(Halt::Defect(words)) => self.violate(format!("a defect: {words}")),
            Err(halt) => {
                run.at = At::Stop;
                run.cut = matches!(halt, Halt::Cut);
                if run.unplaced.is_none() {
                    return self.release(&run);
                }
            }
        }
        self.workers[nth] = Worker::Running(Arc::new(run));
    }

    fn release(&mut self, run: &Run) {
        if self.ledger.fence == run.fence && !run.cut {
            self.ledger.held = false;
        }
    }

    pub(super) fn decides(&mut self, run: &mut Run) {
        let target = run.written.record.target().cloned();
        run.observed.in_hand = target.filter(|id| run.values.contains(id));
        run.at = At::Next(Arc::new(decide(&self.situation(run))));
    }

    pub(super) fn situation<'a>(&'a self, run: &'a Run) -> Situation<'a> {
        Situation {
            policy: &self.rules.policy,
            record: &run.written.record,
            observed: &run.observed,
            now: self.now,
            request: &RotationRequest::Due,
            ledger: &self.rules.ledger,
            ending: None,
            timeouts: Timeouts { request: Duration::from_secs(30), probe: Duration::from_secs(30) },
            draw: Draw { life: self.drawn, name: self.drawn },
        }
    }

    fn holds(&self, run: &Run) -> bool {
        let its = self.ledger.held && self.ledger.fence == run.fence;
        self.rules.sabotage == Sabotage::NoFence || its && self.now < self.ledger.until
    }

    pub(super) fn renew(&mut self, run: &Run) -> Result<(), Halt> {
        if !self.holds(run) {
            return Err(Halt::ClaimLost);
        }
        if self.ledger.fence == run.fence {
            self.ledger.until = self.now + lease();
        }
        Ok(())
    }

    pub(super) fn store(&mut self, run: &mut Run, event: Event) -> Result<(), Halt> {
        let after = run.written.record.clone().apply(event);
        let after = after.map_err(|illegal| Halt::Defect(illegal.to_string()))?;
        let fenced = self.rules.sabotage != Sabotage::NoFence;
        if !self.holds(run) || fenced && self.ledger.version != run.version {
            return Err(Halt::ClaimLost);
        }
        self.ledger.version += 1;
        run.version = self.ledger.version;
        run.written = Written::new(after);
        self.ledger.written = Arc::clone(&run.written);
        Ok(())
    }

    pub(super) fn answered(&mut self, run: &mut Run, answered: Answered) -> Result<(), Halt> {
        answered.event.map_or(Ok(()), |event| self.store(run, event))
    }

    /// Announces a step, or carries out one that has no effect.
    fn begin(&mut self, run: &mut Run, decision: Arc<Decision>, turn: Turn) -> Result<After, Halt> {
        let announced = match &decision.step {
            Step::Look { list, places, writes } => {
                self.look(run, *list, places, turn)?;
                let answers = writes.places.iter().map(|place| (place.clone(), Ok(()))).collect();
                let checked = answer::writes_checked(&self.situation(run), writes.all, answers);
                self.answered(run, checked)?;
                return Ok(After::Decides);
            }
            Step::Preflight { .. } => {
                if turn == Turn::Works {
                    run.observed.preflight = Some(self.now);
                } else {
                    let unready = Unready::Sink(unavailable());
                    let answered = answer::not_ready(&self.situation(run), unready);
                    self.answered(run, answered)?;
                }
                return Ok(After::Decides);
            }
            Step::Pause(until) => {
                run.at = At::Pause(*until);
                let over = *until <= self.now;
                return Ok(if over { After::Decides } else { After::Stays });
            }
            Step::Rest(rest) => {
                let event = rested(&self.situation(run), rest, &decision.why);
                if wake_at(&self.situation(run), rest) <= self.now {
                    return Err(Halt::Defect("it is woken in the past".to_owned()));
                }
                return self.store(run, event).map(|()| After::Rests);
            }
            Step::Note(event) => {
                let before = run.written.record.clone();
                self.begun(run, Some((**event).clone()), turn)?;
                let same = run.written.record == before;
                let words = || format!("{} changes nothing", event.name());
                return if same { Err(Halt::Defect(words())) } else { Ok(After::Decides) };
            }
            Step::Mint(intent) => {
                self.drawn += 1;
                let known = self.rules.sabotage != Sabotage::NoIntent;
                known.then(|| Event::Intended((**intent).clone()))
            }
            Step::Probe(inquiry) => {
                if !run.values.contains(&inquiry.id) {
                    return Err(Halt::Defect("a probe without a value".to_owned()));
                }
                let (id, sent) = (inquiry.id.clone(), inquiry.sent);
                let found = matches!(inquiry.about, About::Found { .. });
                let arrives_by = inquiry.arrives_by;
                (!found).then_some(Event::ProbeAnnounced { id, sent, arrives_by })
            }
            Step::Promote(promote) => {
                if !run.values.contains(promote.metadata.id()) {
                    return Err(Halt::Defect("a promote without a value".to_owned()));
                }
                Some(promote.begun(self.now))
            }
            Step::Revoke(Revoke { id, .. }) => {
                let what = RetiringEvent::RevokeAnnounced { at: self.now };
                Some(Event::Retiring { id: id.clone(), what })
            }
            other => return Err(Halt::Defect(format!("{} is no step here", other.name()))),
        };
        self.begun(run, announced, turn)?;
        if matches!(decision.step, Step::Promote(_)) {
            run.unplaced = None;
        }
        run.at = At::Send(decision);
        Ok(After::Stays)
    }

    /// Writes down what is announced, unless the ledger is away from now on.
    pub(super) fn begun(
        &mut self,
        run: &mut Run,
        event: Option<Event>,
        turn: Turn,
    ) -> Result<(), Halt> {
        let Some(event) = event else { return Ok(()) };
        match turn {
            Turn::Cut { written } => {
                if written {
                    self.store(run, event)?;
                }
                Err(Halt::Cut)
            }
            _ => self.store(run, event),
        }
    }
}
