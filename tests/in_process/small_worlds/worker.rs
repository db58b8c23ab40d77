//! A worker as the engine drives it: decide, announce, act, write down what was answered. Between any two
//! of these it can die, stand still until its lease has ended, and go on.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    hash::{Hash as _, Hasher as _},
    sync::Arc,
    time::Duration,
};

use scimitar::{
    clock::Timestamp,
    error::{Class, Code, Fault},
    rotation::{
        answer::{
            self, Answered, ProbeAnswer, Read, ReadContents, ReadStaged, ReadValue, Unready,
            interpret,
        },
        decide::{
            About, Decision, Draw, Promote, Revoke, Situation, Step, Timeouts, decide, rested,
            wake_at,
        },
        event::{Event, RetiringEvent},
        observe::{FRESH, Held, Loss, Observed, SeenList, SeenSink},
        record::{Intent, Phase},
        request::RotationRequest,
    },
    sink::Version,
    token::{Listed, Listing, PlaceKey, TokenId},
};

use super::model::{
    Effect, LATEST, LINGERS, Ledger, Print, Sabotage, World, Written, digest, lease, state,
};

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
    fence: u64,
    version: u64,
    written: Arc<Written>,
    observed: Observed,
    values: BTreeSet<TokenId>,
    /// Made by this call, with no promote begun.
    unplaced: Option<TokenId>,
    /// It cannot reach the ledger any more.
    cut: bool,
    at: At,
}

/// Where it is.
#[derive(Clone, Debug)]
enum At {
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
enum Answer {
    Made(Result<Listed, Fault>),
    Told(ProbeAnswer),
    Put(Result<String, Fault>),
    Deleted(Result<bool, Fault>),
}

/// Why a call cannot go on.
enum Halt {
    ClaimLost,
    /// The ledger cannot be reached: nothing can be given back.
    Cut,
    Defect(String),
}

/// What follows a step.
#[derive(PartialEq, Eq)]
enum After {
    /// It decides again.
    Decides,
    /// It is where the step left it.
    Stays,
    /// The call is over.
    Rests,
}

fn fault(class: Class, code: Code) -> Fault {
    Fault::new("do it", class, code, "drawn")
}

fn unavailable() -> Fault {
    fault(Class::Transient, Code::Unavailable)
}

fn ambiguous() -> Fault {
    fault(Class::Ambiguous, Code::Timeout)
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
                Step::Look { list, places } => {
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

    fn decides(&mut self, run: &mut Run) {
        let target = run.written.record.target().cloned();
        run.observed.in_hand = target.filter(|id| run.values.contains(id));
        run.at = At::Next(Arc::new(decide(&self.situation(run))));
    }

    fn situation<'a>(&'a self, run: &'a Run) -> Situation<'a> {
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

    fn renew(&mut self, run: &Run) -> Result<(), Halt> {
        if !self.holds(run) {
            return Err(Halt::ClaimLost);
        }
        if self.ledger.fence == run.fence {
            self.ledger.until = self.now + lease();
        }
        Ok(())
    }

    fn store(&mut self, run: &mut Run, event: Event) -> Result<(), Halt> {
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

    fn answered(&mut self, run: &mut Run, answered: Answered) -> Result<(), Halt> {
        answered.event.map_or(Ok(()), |event| self.store(run, event))
    }

    /// Announces a step, or carries out one that has no effect.
    fn begin(&mut self, run: &mut Run, decision: Arc<Decision>, turn: Turn) -> Result<After, Halt> {
        let announced = match &decision.step {
            Step::Look { list, places } => {
                self.look(run, *list, places, turn)?;
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
    fn begun(&mut self, run: &mut Run, event: Option<Event>, turn: Turn) -> Result<(), Halt> {
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

    fn look(
        &mut self,
        run: &mut Run,
        list: bool,
        places: &BTreeSet<PlaceKey>,
        turn: Turn,
    ) -> Result<(), Halt> {
        let mut seen_list = None;
        if list && turn == Turn::Refused {
            run.observed.list = Some(Err(unavailable()));
            let answered = answer::not_listed(&self.situation(run), unavailable());
            self.answered(run, answered)?;
        } else if list {
            let alive = self.tokens.iter().filter(|token| token.alive);
            let listing = Listing {
                tokens: alive.map(|token| token.listed.clone()).collect(),
                provider_time: Some(self.provider_now()),
            };
            let seen = SeenList::new(self.now, listing);
            run.observed.list = Some(Ok(seen.clone()));
            run.observed.list_is_old = false;
            seen_list = Some(seen);
        }
        let mut sinks = BTreeMap::new();
        for nth in (0..2).filter(|nth| places.contains(&self.rules.places[*nth])) {
            let place = self.rules.places[nth].clone();
            let seen = if turn == Turn::Unread(nth) {
                SeenSink::new(self.now, Held::Unreadable(unavailable()))
            } else {
                let known = run.values.iter().map(|id| (id.clone(), digest(id))).collect();
                let meant = interpret(&self.situation(run), &place, &self.read(nth), &known);
                run.values.extend(meant.holds);
                meant.seen
            };
            run.observed.old_places.remove(&place);
            run.observed.sinks.insert(place.clone(), seen.clone());
            sinks.insert(place, seen);
        }
        let event = answer::looked(&self.situation(run), seen_list, sinks);
        self.store(run, event)?;
        let current = run.written.record.current.as_ref().map(|it| it.token.id.clone());
        current.map_or(Ok(()), |id| self.note_value(run, id))
    }

    fn note_value(&mut self, run: &mut Run, id: TokenId) -> Result<(), Halt> {
        if run.written.record.digests.contains_key(&id) || !run.values.contains(&id) {
            return Ok(());
        }
        let digest = digest(&id);
        self.store(run, Event::ValueKnown { id, digest })
    }

    fn read(&self, nth: usize) -> Read {
        let sink = &self.sinks[nth];
        let contents = match &sink.held {
            None => ReadContents::Empty,
            Some((id, marks)) => ReadContents::Marked {
                marks: marks.clone(),
                value: ReadValue {
                    digest: digest(id),
                    own_id: Some(id.clone()),
                    begins: Some(id.clone()),
                },
            },
        };
        Read {
            at: self.now,
            version: Version(state(sink)),
            contents,
            staged: ReadStaged::Impossible,
            container: None,
            loss: Loss::Nothing,
            elsewhere: Vec::new(),
        }
    }

    /// Does what was announced, if the claim is still held.
    fn send(&mut self, run: &mut Run, decision: Arc<Decision>, turn: Turn) -> Result<After, Halt> {
        if let Step::Revoke(Revoke { seen, .. }) = &decision.step
            && (self.now > *seen || *seen - self.now > FRESH)
        {
            run.observed.list = None;
            return Ok(After::Decides);
        }
        self.renew(run)?;
        let answer = match &decision.step {
            Step::Mint(intent) => Answer::Made(self.mint(intent, turn)),
            Step::Probe(inquiry) => Answer::Told(match turn {
                Turn::Works if self.is_live(&inquiry.id) => ProbeAnswer::Accepted,
                Turn::Works => ProbeAnswer::Unauthorized,
                _ => ProbeAnswer::Inconclusive(unavailable()),
            }),
            Step::Promote(promote) => Answer::Put(self.promote(promote, turn)),
            Step::Revoke(Revoke { id, .. }) => Answer::Deleted(match turn {
                Turn::Works => Ok(self.delete(id)),
                Turn::Lost => {
                    self.delete(id);
                    Err(unavailable())
                }
                Turn::Late => {
                    self.late.push((self.now + LATEST, Effect::Delete(id.clone())));
                    Err(unavailable())
                }
                _ => Err(unavailable()),
            }),
            other => return Err(Halt::Defect(format!("{} is sent", other.name()))),
        };
        run.at = At::Write(decision, answer);
        Ok(After::Stays)
    }

    fn mint(&mut self, intent: &Intent, turn: Turn) -> Result<Listed, Fault> {
        let announced =
            matches!(&self.ledger.written.record.phase, Phase::Minting(it) if it == intent);
        if !announced && self.rules.sabotage == Sabotage::None {
            self.violate("3 nothing that cannot be finished: a create that was not announced");
        }
        let made = match turn {
            Turn::Works | Turn::Lost => {
                let (life, scopes) = (intent.life, intent.scopes.clone());
                let made = self.create(false, life, scopes);
                made.ok_or_else(|| fault(Class::Terminal, Code::NoSlot))?
            }
            Turn::Refused => return Err(fault(Class::Transient, Code::Throttled)),
            Turn::Late => {
                let effect = Effect::Create(Box::new(intent.clone()));
                self.late.push((self.now + LATEST, effect));
                return Err(ambiguous());
            }
            _ => return Err(ambiguous()),
        };
        if turn == Turn::Works { Ok(made) } else { Err(ambiguous()) }
    }

    fn promote(&mut self, promote: &Promote, turn: Turn) -> Result<String, Fault> {
        let nth = usize::from(promote.place == self.rules.places[1]);
        let expected = promote.expected.as_ref().map(|version| version.0.clone());
        let (id, marks) = (promote.metadata.id(), &promote.metadata.marks);
        let begun = self.ledger.written.record.sinks.get(&promote.place);
        let begun = begun.and_then(|sink| sink.begun.as_ref()).is_some_and(|it| it.id == *id);
        if !begun && self.rules.sabotage == Sabotage::None {
            self.violate(format!("2 nothing on a guess: {id} is promoted unannounced"));
        }
        match turn {
            Turn::Works | Turn::Lost => {
                let put = self.put(nth, id, marks, expected.as_deref());
                let put = put.ok_or_else(|| fault(Class::Conflict, Code::Changed))?;
                if turn == Turn::Works { Ok(put) } else { Err(ambiguous()) }
            }
            Turn::Late => {
                let (id, marks) = (id.clone(), marks.clone());
                let put = Effect::Put { sink: nth, id, marks, expected };
                self.late.push((self.now + LINGERS, put));
                Err(ambiguous())
            }
            Turn::Refused => Err(unavailable()),
            _ => Err(ambiguous()),
        }
    }

    /// Writes down what was answered.
    fn write(
        &mut self,
        run: &mut Run,
        decision: &Decision,
        answer: Answer,
        turn: Turn,
    ) -> Result<After, Halt> {
        match (&decision.step, answer) {
            (Step::Mint(intent), Answer::Made(made)) => {
                run.observed.acted();
                let known = made.map(|token| (token.clone(), digest(&token.id)));
                let answered = answer::created(&self.situation(run), intent, known);
                if let Some(Event::Minted { token, .. }) = &answered.event {
                    run.unplaced = Some(token.id.clone());
                    run.values.insert(token.id.clone());
                    if let Some(Ok(list)) = &mut run.observed.list {
                        list.tokens.push(token.clone());
                    }
                } else {
                    run.observed.list = None;
                }
                if self.rules.sabotage == Sabotage::NoIntent {
                    self.store(run, Event::Intended((**intent).clone()))?;
                }
                self.begun(run, answered.event, turn)?;
            }
            (Step::Probe(inquiry), Answer::Told(told)) => {
                let works = answer::works(&self.situation(run), &inquiry.id, &told);
                let answered = answer::probed(&self.situation(run), inquiry, told);
                let found = matches!(inquiry.about, About::Found { .. });
                if works && (found || matches!(inquiry.about, About::Current { .. })) {
                    run.observed.vouched = Some((inquiry.id.clone(), self.now));
                    for seen in run.observed.sinks.values_mut().filter(|_| found) {
                        seen.is_genuine |= seen.held.id() == Some(&inquiry.id);
                    }
                }
                self.answered(run, answered)?;
                if works {
                    self.note_value(run, inquiry.id.clone())?;
                }
            }
            (Step::Promote(promote), Answer::Put(put)) => {
                run.observed.acted();
                match &put {
                    Ok(version) => {
                        let marks = promote.metadata.marks.clone();
                        let id = marks.token_id.clone();
                        let version = Version(version.clone());
                        let held = Held::Token { id, marks: Some(marks), version };
                        let seen = SeenSink { is_genuine: true, ..SeenSink::new(self.now, held) };
                        run.observed.sinks.insert(promote.place.clone(), seen);
                    }
                    Err(_) => {
                        run.observed.sinks.remove(&promote.place);
                    }
                }
                let put = put.map(|version| (Version(version), None));
                let answered = answer::promoted(&self.situation(run), promote, put);
                self.answered(run, answered)?;
            }
            (Step::Revoke(Revoke { id, .. }), Answer::Deleted(known)) => {
                run.observed.acted();
                if known == Ok(true) {
                    if let Some(Ok(list)) = &mut run.observed.list {
                        list.tokens.retain(|listed| listed.id != *id);
                    }
                    run.unplaced.take_if(|unplaced| unplaced == id);
                    run.values.remove(id);
                } else {
                    run.observed.list = None;
                }
                let answered = answer::revoked(&self.situation(run), id, known);
                self.answered(run, answered)?;
            }
            (step, _) => return Err(Halt::Defect(format!("{} is answered", step.name()))),
        }
        Ok(After::Decides)
    }
}
