//! People and machines around the product: identity providers that use the token, and operators
//! and strangers who create, delete, edit, restore, ask and change their minds.

use std::{sync::Arc, time::Duration};

use scimitar::{
    rotation::{
        policy::{Mode, Policy, ScopePolicy},
        why::Reason,
    },
    token::{MintRequest, Scopes, TokenId},
};

use super::{
    conn::{Author, CANARY, Disturbance, Held},
    faults::Rates,
    outages::CutOff,
    process::{Job, What},
    provider::Accepts,
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
    /// A newer mark above a value that does not work.
    Forge {
        sink: usize,
    },
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
        let Some(client) = &mut sink.client else {
            return;
        };
        let period = client.period;
        if now - client.read_at >= client.reread {
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
        let protected = conn.policies[tok.policy..]
            .iter()
            .all(|(_, policy)| super::promises::span(policy.retire.overlap) * 9 / 10 > reread);
        let expired = tok.until.is_some_and(|until| until - self.provider_offset <= now);
        let by_worker = tok.deleted.is_some() && !tok.deleted_by_person && !expired;
        if protected && by_worker && !tok.condemned && matches!(holds.author, Author::Worker(_)) {
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
            // Where nothing is verified and a value begins with its token's id, nothing tells a
            // forged one (docs/protocol.md says so).
            Deed::Forge { .. } if self.conns[index].believes_anything() => {}
            Deed::MoveAway { sink } => self.move_away(index, sink),
            Deed::MoveBack { sink } => self.move_back(index, sink),
            Deed::Forge { sink } => {
                trouble(self, "a sink was forged");
                self.forge(index, sink);
            }
            Deed::Narrow(count) => self.new_policy(index, |policy| {
                if policy.capabilities.scopes {
                    policy.scopes = ScopePolicy::Exactly(super::life::scopes(count));
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
                if policy.mode == Mode::Observe {
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
            Deed::KillAll => return vec![Action::KillAll],
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
            Deed::Mend => {
                // What a refused connection tells its operator to do.
                let foreign = self.conns[index]
                    .record
                    .as_ref()
                    .is_some_and(|record| record.refused_for() == Some(Reason::ForeignOwner));
                if foreign {
                    self.schedule(now + HOUR, Event::People { conn: index, deed: Deed::Mend });
                    return vec![Action::Start(Job::Once {
                        conn: index,
                        what: What::Adopt,
                        wait: false,
                        timeout: Some(10 * MINUTE),
                    })];
                }
                if self.content_is_foreign(index) {
                    self.schedule(now + HOUR, Event::People { conn: index, deed: Deed::Mend });
                    return vec![Action::Start(Job::Once {
                        conn: index,
                        what: What::Due,
                        wait: false,
                        timeout: Some(10 * MINUTE),
                    })];
                }
                if self.conns[index].damaged && self.unwell(index).is_some() {
                    self.free_slot(index);
                    return vec![Action::Start(Job::Once {
                        conn: index,
                        what: What::Rotate,
                        wait: false,
                        timeout: Some(HOUR),
                    })];
                }
            }
        }
        Vec::new()
    }

    /// What is there that nobody needs is removed, where that is what a refusal says.
    fn content_is_foreign(&mut self, index: usize) -> bool {
        let refused_for = self.conns[index].record.as_ref().and_then(|record| record.refused_for());
        if refused_for != Some(Reason::ForeignContent) {
            return false;
        }
        let (now, provider_now) = (self.now, self.provider_now());
        for nth in 0..self.conns[index].sinks.len() {
            let conn = &self.conns[index];
            let works =
                conn.sinks[nth].holds(conn).is_some_and(|id| conn.is_live(&id, provider_now));
            if conn.sinks[nth].in_policy && !works {
                self.conns[index].put(nth, None, now);
            }
        }
        true
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
            conn.record = None;
            conn.disturb(now, now + HOUR, "the ledger was lost");
        }
    }

    fn new_policy(&mut self, index: usize, change: impl FnOnce(&mut Policy)) {
        let mut policy = Policy::clone(self.conns[index].policy());
        change(&mut policy);
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
            1 => policy.token_lifetime,
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
                policy.mode = Mode::Rotate;
                // Who inherits and has nothing to inherit from is told to name the scopes.
                policy.scopes = ScopePolicy::Exactly(super::life::scopes(5));
            });
            self.sweep(index);
            for (after, deed) in [(2 * HOUR, Deed::Sweep), (3 * HOUR, Deed::Mend)] {
                self.schedule(now + after, Event::People { conn: index, deed });
            }
        }
    }

    /// Where the sinks hold different tokens, or none holds the current one, an operator has to say
    /// which one stays: the one that most sinks hold.
    fn free_slot(&mut self, index: usize) {
        let conn = &self.conns[index];
        let live = |(_, tok): &(&TokenId, &super::conn::Tok)| tok.deleted.is_none();
        let kept = conn
            .tokens
            .iter()
            .filter(live)
            .map(|(id, _)| (conn.holders(id).len(), id))
            .max()
            .map(|(_, id)| id.clone());
        let gone: Vec<TokenId> = conn
            .tokens
            .iter()
            .filter(live)
            .map(|(id, _)| id.clone())
            .filter(|id| Some(id) != kept.as_ref())
            .collect();
        for id in gone {
            self.delete(index, None, &id);
        }
    }

    /// What a refused connection tells its operator to do: tokens that nobody can prove to be
    /// ours, and that no sink holds, are deleted by hand.
    fn sweep(&mut self, index: usize) {
        let conn = &self.conns[index];
        let current = conn
            .record
            .as_ref()
            .and_then(|record| record.current.as_ref())
            .map(|current| current.token.id.clone());
        let nobodys: Vec<TokenId> = conn
            .tokens
            .iter()
            .filter(|(id, tok)| {
                tok.deleted.is_none()
                    && conn.holders(id).is_empty()
                    && Some(*id) != current.as_ref()
                    && (tok.maker.is_none() || !tok.recorded && self.unprovable(conn, tok))
            })
            .map(|(id, _)| id.clone())
            .collect();
        for id in nobodys {
            self.delete(index, None, &id);
        }
    }
}

/// The seconds of a span, for policies.
pub(crate) fn seconds(of: Ms) -> Duration {
    Duration::from_secs((of / SECOND).unsigned_abs())
}
