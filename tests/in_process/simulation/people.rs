//! People and machines around the product: identity providers that use the token, and operators
//! and strangers who create, delete, edit, restore, ask and change their minds.

use std::{sync::Arc, time::Duration};

use scimitar::{
    rotation::{
        freeze::Freeze,
        policy::{Mode, Policy, ScopePolicy},
    },
    token::{MintRequest, Scopes, TokenId},
};

use super::{
    conn::{Author, CANARY, Disturbance, Held},
    faults::Rates,
    outages::CutOff,
    process::{Job, What},
    provider::Accepts,
    uptake::settle_policy,
    world::{Action, Event, HOUR, MINUTE, Ms, SECOND, Service, World},
};

/// The one disturbance that outlasts its cause.
const CLOCK_SET: &str = "the clock was set";

/// What somebody does to a connection.
#[derive(Clone, Debug)]
pub(crate) enum Deed {
    /// A token made in the dashboard, and put nowhere.
    CreateToken,
    /// The token that a sink holds is deleted in the dashboard.
    DeleteHeld,
    /// Some other token is.
    DeleteOther,
    /// A rotation by hand: made in the dashboard, pasted into every readable sink.
    RotateByHand,
    /// A sink's value is overwritten with something that is no token.
    Scribble {
        sink: usize,
    },
    /// A sink is emptied.
    Empty {
        sink: usize,
    },
    /// A sink goes back to an older state.
    Restore {
        sink: usize,
    },
    /// What the product sees of a sink is another place by the same name.
    MoveAway {
        sink: usize,
    },
    MoveBack {
        sink: usize,
    },
    /// The turn of whoever takes a token over from a sink that cannot be read back.
    Turn {
        sink: usize,
    },
    /// A newer mark above a value that does not work.
    Forge {
        sink: usize,
    },
    /// The SCIM configuration is deleted in the dashboard, and its tokens with it.
    LoseConfig,
    /// Its mapping is changed there.
    ChangeConfig,
    /// The policy asks for this many scopes from now on.
    Narrow(usize),
    /// A key beside ours is edited.
    Neighbour {
        sink: usize,
    },
    AddSink {
        sink: usize,
    },
    RemoveSink {
        sink: usize,
    },
    /// A changed policy comes into force.
    Policy(Box<Policy>),
    /// The host's wall clock jumps.
    ClockJump(Ms),
    /// A one-shot beside whatever runs.
    RotationRequest {
        what: What,
        wait: bool,
    },
    /// SIGTERM.
    Stop,
    /// The power goes.
    KillAll,
    LedgerCopy,
    LedgerRestore,
    LedgerLose,
    /// The faults stop, and an operator solves what needs a person.
    Calm,
    /// The operator looks again for what came late.
    Sweep,
    /// What is still not well is rotated by hand, its slot made free before.
    Mend,
}

impl Deed {
    /// Whether it can take a value away that nothing else holds: an operator has to see to it.
    fn is_damage(&self) -> bool {
        matches!(
            self,
            Self::RotateByHand
                | Self::Scribble { .. }
                | Self::Empty { .. }
                | Self::Restore { .. }
                | Self::Forge { .. }
                | Self::RemoveSink { .. }
                | Self::LedgerRestore
                | Self::LedgerLose
        )
    }
}

impl World {
    /// An identity provider takes what its sink holds and calls the SCIM endpoint with it.
    pub(crate) fn client(&mut self, index: usize, nth: usize) {
        let now = self.now;
        let out = self.outages.iter().any(|outage| {
            outage.what == Service::Endpoint
                && outage.conn.is_none_or(|conn| conn == index)
                && outage.from <= now
                && now < outage.to
        });
        let sink = &mut self.conns[index].sinks[nth];
        let (in_policy, held) = (sink.in_policy, sink.real().cloned());
        // What takes over by turns is late already.
        let takes_turns = sink.behind.is_some();
        let Some(client) = &mut sink.client else {
            return;
        };
        let period = client.period;
        if takes_turns || now - client.read_at >= client.reread {
            client.holds = held;
            client.read_at = now;
        }
        let reread = client.reread;
        let holds = client.holds.clone();
        self.schedule(now + period, Event::Client { conn: index, sink: nth });
        let Some(holds) = holds.filter(|_| !out) else {
            return;
        };
        if self.use_token(index, &holds.value, true) != Accepts::No || !in_policy {
            return;
        }
        let conn = &self.conns[index];
        let Some(tok) = conn.id_of(&holds.value).and_then(|id| conn.tokens.get(&id)) else {
            return;
        };
        let protected = conn.policies[tok.policy..].iter().all(|(_, policy)| {
            super::promises::span(policy.terms.retire.overlap) * 9 / 10 > reread
        });
        let expired = tok.until.is_some_and(|until| until - self.provider_offset <= now);
        let by_worker = tok.deleted.is_some() && !tok.deleted_by_person && !expired;
        let ends = conn.policies.iter().any(|(_, policy)| policy.terms.retire.at_latest.is_some());
        let may_be_cut_off = conn.sinks[nth].may_be_cut_off(ends);
        if protected
            && by_worker
            && !may_be_cut_off
            && !tok.condemned
            && matches!(holds.author, Author::Worker(_))
        {
            self.violate(
                "1 always one that works",
                format!("the client of sink {nth} was cut off within the overlap"),
            );
        }
    }

    /// Lets a person do something; answers what the executor has to do about it.
    pub(crate) fn deed(&mut self, index: usize, deed: Deed) -> Vec<Action> {
        self.note(|| format!("people [{index}]: {deed:?}"));
        let now = self.now;
        let survey = super::promises::span(self.conns[index].policy().survey_interval);
        let trouble = |world: &mut Self, why| {
            world.conns[index].disturb(now, now + survey + HOUR, why);
        };
        let conn = &mut self.conns[index];
        conn.damaged |= deed.is_damage();
        let away = |sink: usize| self.conns[index].sinks[sink].home.is_some();
        match deed {
            // Nobody gets at a place that is away.
            Deed::Scribble { sink }
            | Deed::Empty { sink }
            | Deed::Restore { sink }
            | Deed::Forge { sink }
                if away(sink) => {}
            // Nobody can change what nobody can read.
            Deed::Scribble { sink }
            | Deed::Empty { sink }
            | Deed::Restore { sink }
            | Deed::Forge { sink }
                if self.conns[index].sinks[sink].behind.is_some() => {}
            // Where nothing is verified and a value begins with its token's id, nothing tells a
            // forged one (docs/protocol.md says so).
            Deed::Forge { .. } if self.conns[index].believes_anything() => {}
            Deed::MoveAway { sink } => self.move_away(index, sink),
            Deed::MoveBack { sink } => self.move_back(index, sink),
            Deed::Turn { sink } => return self.turn(index, sink),
            Deed::Forge { sink } => {
                trouble(self, "a sink was forged");
                self.forge(index, sink);
            }
            Deed::Narrow(count) => self.new_policy(index, |policy| {
                if policy.capabilities.scopes {
                    policy.terms.scopes = ScopePolicy::Exactly(super::life::scopes(count));
                }
            }),
            Deed::CreateToken => {
                self.make_by_hand(index);
            }
            Deed::DeleteHeld => {
                let conn = &self.conns[index];
                if let Some(id) = conn.sinks.iter().find_map(|sink| sink.holds(conn)) {
                    trouble(self, "its token was deleted by hand");
                    self.delete(index, None, &id);
                }
            }
            Deed::LoseConfig => {
                trouble(self, "its SCIM configuration was deleted");
                self.lose_config(index);
            }
            Deed::ChangeConfig => self.change_config(index),
            Deed::DeleteOther => {
                let conn = &self.conns[index];
                let other: Option<TokenId> = conn
                    .tokens
                    .iter()
                    .find(|(id, tok)| tok.deleted.is_none() && conn.holders(id).is_empty())
                    .map(|(id, _)| id.clone());
                if let Some(id) = other {
                    self.delete(index, None, &id);
                }
            }
            Deed::RotateByHand => {
                trouble(self, "a rotation by hand");
                if let Some(id) = self.make_by_hand(index) {
                    let value = Arc::clone(&self.conns[index].tokens[&id].value);
                    for nth in 0..self.conns[index].sinks.len() {
                        let sink = &self.conns[index].sinks[nth];
                        if sink.readable && sink.in_policy && sink.home.is_none() {
                            let held = Held {
                                value: Arc::clone(&value),
                                marks: None,
                                author: Author::Person,
                            };
                            self.conns[index].put(nth, Some(held), now);
                        }
                    }
                }
            }
            Deed::Scribble { sink } => {
                trouble(self, "a sink was edited");
                let held = Held {
                    value: format!("scribble.{CANARY}{now:050x}").into(),
                    marks: None,
                    author: Author::Person,
                };
                self.conns[index].put(sink, Some(held), now);
            }
            Deed::Empty { sink } => {
                trouble(self, "a sink was emptied");
                self.conns[index].put(sink, None, now);
            }
            Deed::Restore { sink } => {
                trouble(self, "a sink was restored");
                let past = self.conns[index].sinks[sink].past.pop().flatten();
                let held = past.map(|held| Held { author: Author::Restored, ..held });
                self.conns[index].put(sink, held, now);
            }
            Deed::Neighbour { sink } => self.conns[index].sinks[sink].version += 1,
            Deed::AddSink { sink } => {
                // What it still holds from before is not what was delivered to it now.
                let added = &mut self.conns[index].sinks[sink];
                if let Some(held) = added.held.as_mut().filter(|_| !added.in_policy) {
                    held.author = Author::Restored;
                }
                let uses = added.behind.as_mut().and_then(|behind| behind.uses.as_mut());
                if let Some(held) = uses.filter(|_| !added.in_policy) {
                    held.author = Author::Restored;
                }
                added.in_policy = true;
                self.new_policy(index, |_| {});
            }
            Deed::RemoveSink { sink } => {
                let sinks = &mut self.conns[index].sinks;
                let others = sinks
                    .iter()
                    .enumerate()
                    .any(|(nth, other)| nth != sink && other.readable && other.in_policy);
                if others {
                    sinks[sink].in_policy = false;
                    self.new_policy(index, |_| {});
                }
            }
            Deed::Policy(policy) => {
                if policy.terms.mode == Mode::Observe {
                    self.conns[index].disturb(now, Ms::MAX / 2, "observe");
                }
                self.new_policy(index, |one| *one = *policy);
            }
            Deed::ClockJump(by) => {
                self.host_offset += by;
                for conn in &mut self.conns {
                    conn.cut_off.muddled = true;
                }
                // Wake-up times are the host's: set back, it wakes that much later.
                trouble(self, CLOCK_SET);
                self.conns[index].disturb(now, now - by.min(0), CLOCK_SET);
                self.wake_all = true;
            }
            Deed::RotationRequest { what, wait } => {
                return vec![Action::Start(Job::Once {
                    conn: index,
                    what,
                    wait,
                    timeout: Some(2 * MINUTE),
                })];
            }
            Deed::Stop => return vec![Action::Stop],
            Deed::KillAll => {
                // As often as not because the machine has lost its power.
                if now % 2 == 0 {
                    for (key, record) in self.shelf.lose_power() {
                        let index = self.index(&key);
                        for (id, tok) in &mut self.conns[index].tokens {
                            let known = record.as_ref().is_some_and(|record| record.knows(id));
                            tok.recorded &= known || tok.maker.is_none();
                        }
                        self.conns[index].record = record.map(Arc::new);
                    }
                }
                return vec![Action::KillAll];
            }
            Deed::LedgerCopy => self.shelf.copy(),
            Deed::LedgerRestore => {
                if self.shelf.restore() {
                    self.ledger_is_another();
                    return vec![Action::KillAll];
                }
            }
            Deed::LedgerLose => {
                self.shelf.lose();
                self.ledger_is_another();
                return vec![Action::KillAll];
            }
            Deed::Calm => self.calm(),
            Deed::Sweep => self.sweep(index),
            Deed::Mend => return self.mend(index),
        }
        Vec::new()
    }

    fn ledger_is_another(&mut self) {
        let now = self.now;
        for index in 0..self.conns.len() {
            for nth in 0..self.conns[index].sinks.len() {
                self.move_back(index, nth);
            }
        }
        for conn in &mut self.conns {
            conn.lost_ledger = true;
            conn.told.clear();
            conn.record = None;
            conn.disturb(now, now + HOUR, "the ledger was lost");
        }
    }

    pub(crate) fn new_policy(&mut self, index: usize, change: impl FnOnce(&mut Policy)) {
        let mut policy = Policy::clone(self.conns[index].policy());
        change(&mut policy);
        settle_policy(&mut policy, &self.conns[index].sinks);
        let now = self.now;
        self.conns[index].policies.push((now, Arc::new(policy)));
        // A daemon hears of it at its next turn.
        self.conns[index].cut_off = CutOff::default();
    }

    fn make_by_hand(&mut self, index: usize) -> Option<TokenId> {
        let lives = [6 * HOUR, 24 * HOUR, 30 * 24 * HOUR];
        let drawn = self.people.pick(&lives);
        let policy = Arc::clone(self.conns[index].policy());
        let life = match self.people.below(3) {
            0 => None,
            1 => policy.terms.token_lifetime,
            _ => Some(Duration::from_millis(drawn.unsigned_abs())),
        };
        let scopes: Scopes = super::life::scopes(if self.people.one_in(3) { 1 } else { 5 });
        let request = MintRequest { scopes, life, name: None };
        let made = self.make(index, None, &request).ok()?;
        Some(made.token.id)
    }

    fn calm(&mut self) {
        self.rates = Rates { slowest: self.rates.slowest, ..Rates::default() };
        self.outages.clear();
        self.frozen.clear();
        let now = self.now;
        for index in 0..self.conns.len() {
            // A clock that was set back is felt until the last wake-up time before that has come.
            let ended = |one: &&mut Disturbance| one.why != CLOCK_SET;
            for disturbance in self.conns[index].disturbances.iter_mut().filter(ended) {
                disturbance.to = disturbance.to.min(now);
            }
            self.conns[index].manners.list_lag = 0;
            for nth in 0..self.conns[index].sinks.len() {
                self.move_back(index, nth);
            }
            self.new_policy(index, |policy| {
                policy.terms.mode = Mode::Rotate;
                policy.terms.freeze = Freeze::default();
                // Who inherits and has nothing to inherit from is told to name the scopes.
                policy.terms.scopes = ScopePolicy::Exactly(super::life::scopes(5));
            });
            self.hurry_clients(index);
            self.sweep(index);
            for (after, deed) in [(2 * HOUR, Deed::Sweep), (3 * HOUR, Deed::Mend)] {
                self.schedule(now + after, Event::People { conn: index, deed });
            }
        }
    }
}

/// The seconds of a span, for policies.
pub(crate) fn seconds(of: Ms) -> Duration {
    Duration::from_secs((of / SECOND).unsigned_abs())
}
