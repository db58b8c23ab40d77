//! What a worker does and what it makes of the answers.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use scimitar::{
    error::{Class, Code, Fault},
    rotation::{
        answer::{self, ProbeAnswer, Read, ReadContents, ReadStaged, ReadValue, interpret},
        decide::{About, Decision, Promote, Revoke, Step},
        event::Event,
        observe::{FRESH, Held, Loss, SeenList, SeenSink},
        record::{Intent, Phase},
    },
    sink::Version,
    token::{Listed, Listing, PlaceKey, TokenId},
};

use super::{
    model::{Effect, LATEST, LINGERS, Sabotage, World, digest, state},
    worker::{After, Answer, At, Halt, Run, Turn, fault, unavailable},
};

fn ambiguous() -> Fault {
    fault(Class::Ambiguous, Code::Timeout)
}

impl World {
    pub(super) fn look(
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
            let seen = SeenList::new(self.now, self.now, listing);
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
    pub(super) fn send(
        &mut self,
        run: &mut Run,
        decision: Arc<Decision>,
        turn: Turn,
    ) -> Result<After, Halt> {
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
    pub(super) fn write(
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
