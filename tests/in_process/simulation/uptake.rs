//! Clients behind places that cannot be read back: a person copies the token to one, another takes it over
//! at its next cycle and can be asked. What such a client really uses, the product never sees.

use std::sync::Arc;

use scimitar::{
    engine::order::Order,
    rotation::{
        policy::Policy,
        uptake::{Account, Uptake},
    },
    sink::Version,
    token::TokenId,
};

use super::{
    conn::{Conn, Held, Sink},
    people::Deed,
    process::{Job, What},
    provider::Late,
    rng::Rng,
    world::{Action, DAWN, Event, HOUR, MINUTE, Ms, SECOND, World},
};

/// The client behind a place that cannot be read back.
#[derive(Clone, Debug)]
pub(crate) struct Behind {
    by_person: bool,
    /// How often the person looks for work, or the client begins a cycle.
    period: Ms,
    /// One of so many times a person says that it is done before it is, or a cycle fails.
    careless: i64,
    /// What it uses.
    pub(crate) uses: Option<Held>,
    /// The state of the place that it had that from.
    of: u64,
    /// It has stopped, and a token alone does not start it.
    stopped: bool,
    /// A person said that it has a token that it does not have.
    misreported: bool,
}

/// Some of the places that cannot be read back have such a client.
pub(crate) fn draw(rng: &mut Rng, sinks: &mut [Sink], life: Ms) {
    for sink in sinks.iter_mut().filter(|sink| !sink.readable) {
        let by_person = match rng.below(3) {
            0 => continue,
            1 => true,
            _ => false,
        };
        // Nothing is sent to a person: what is written down is all there is.
        sink.fenced = by_person;
        let often = [(life / 100).max(5 * MINUTE), (life / 40).max(10 * MINUTE), life / 12];
        sink.behind = Some(Behind {
            by_person,
            period: rng.pick(&often),
            careless: rng.pick(&[4, 10, 1_000]),
            uses: None,
            of: 0,
            stopped: false,
            misreported: false,
        });
    }
}

/// The turns of all of them.
pub(crate) fn schedule(rng: &mut Rng, world: &mut World) {
    for nth in 0..world.conns[0].sinks.len() {
        if let Some(behind) = &world.conns[0].sinks[nth].behind {
            let at = DAWN + rng.below(behind.period) + 1;
            world.schedule(at, Event::People { conn: 0, deed: Deed::Turn { sink: nth } });
        }
    }
}

/// What `check` refuses beside a person.
pub(crate) fn settle_policy(policy: &mut Policy, sinks: &[Sink]) {
    if sinks.iter().any(|sink| sink.behind.as_ref().is_some_and(|behind| behind.by_person)) {
        policy.terms.retire.after_use = policy.capabilities.last_used;
    }
}

impl Sink {
    /// What has to happen after a delivery.
    pub(crate) fn uptake(&self) -> Uptake {
        match &self.behind {
            None => Uptake::AtOnce,
            Some(behind) if behind.by_person => {
                Uptake::ByPerson { instructions: format!("put it into {}", self.place.location) }
            }
            Some(_) => Uptake::ByClient,
        }
    }

    /// The token that it gives to its readers: one that is asked whether it has taken that over has its overlap
    /// from then on, and one that a person takes it to from when it has it.
    pub(crate) fn gives(&self, conn: &Conn) -> Option<TokenId> {
        match &self.behind {
            Some(behind) if !behind.by_person => conn.id_of(&self.held.as_ref()?.value),
            Some(_) | None => self.holds(conn),
        }
    }

    /// Its client was given another token than it uses.
    pub(crate) fn is_behind(&self) -> bool {
        let value = |held: &Held| Arc::clone(&held.value);
        self.behind
            .as_ref()
            .is_some_and(|behind| self.held.as_ref().map(value) != behind.uses.as_ref().map(value))
    }

    /// Whether the product may revoke what this client still uses: the word of a person that was wrong; and
    /// where a client goes on by itself with what it was given, the policy's own end of all waiting, or a leak.
    pub(crate) fn may_be_cut_off(&self, now: bool) -> bool {
        self.behind
            .as_ref()
            .is_some_and(|behind| if behind.by_person { behind.misreported } else { now })
    }
}

impl Conn {
    /// A client still has to take over what it was given: an older token stays for it.
    pub(crate) fn waits_for_client(&self) -> bool {
        let waits = |sink: &Sink| {
            let known = self.record.as_ref().and_then(|it| it.sinks.get(&sink.place.key));
            let taken = known.and_then(|state| state.taken.as_ref()).map(|taken| &taken.id);
            sink.in_policy
                && sink.behind.is_some()
                && (sink.is_behind() || taken != known.and_then(|state| state.holds.as_ref()))
        };
        self.sinks.iter().any(waits)
    }
}

impl World {
    /// The turn of a person, or of a client.
    pub(crate) fn turn(&mut self, index: usize, nth: usize) -> Vec<Action> {
        let now = self.now;
        let Some(behind) = &self.conns[index].sinks[nth].behind else { return Vec::new() };
        let (period, by_person) = (behind.period, behind.by_person);
        self.schedule(now + period, Event::People { conn: index, deed: Deed::Turn { sink: nth } });
        if !self.conns[index].sinks[nth].in_policy {
            return Vec::new();
        }
        if by_person { self.hand_over(index, nth) } else { self.cycle(index, nth) }
    }

    /// A person who is told that a token waits, or sees that the client stands still, copies what the first
    /// place that can be read holds, and says so.
    fn hand_over(&mut self, index: usize, nth: usize) -> Vec<Action> {
        let conn = &self.conns[index];
        let sink = &conn.sinks[nth];
        let Some(behind) = &sink.behind else { return Vec::new() };
        let known = conn.record.as_ref().and_then(|record| record.sinks.get(&sink.place.key));
        let told = known.is_some_and(|state| state.waits_for_person().is_some());
        let works = sink.holds(conn).is_some_and(|id| conn.is_live(&id, self.provider_now()));
        if !told && works && !behind.misreported {
            return Vec::new();
        }
        let careless = behind.careless;
        let readable = |sink: &&Sink| sink.readable && sink.in_policy;
        let copied = conn.sinks.iter().find(readable).and_then(|from| from.real().cloned());
        if told && self.people.one_in(careless) {
            let left = sink.holds(conn);
            if let Some(behind) = &mut self.conns[index].sinks[nth].behind {
                behind.misreported = true;
            }
            // From now on the product goes by that word.
            let now = self.now;
            if let Some(tok) = left.and_then(|id| self.conns[index].tokens.get_mut(&id)) {
                tok.left_a_sink = Some(now);
            }
        } else if copied.is_some() {
            self.takes_over(index, nth, copied);
        } else {
            return Vec::new();
        }
        let said = Job::Once {
            conn: index,
            what: What::HandedOver(nth),
            wait: false,
            timeout: Some(HOUR),
        };
        if told { vec![Action::Start(said)] } else { Vec::new() }
    }

    /// A client begins a cycle with what it was last given.
    fn cycle(&mut self, index: usize, nth: usize) -> Vec<Action> {
        let provider_now = self.provider_now();
        let conn = &self.conns[index];
        let sink = &conn.sinks[nth];
        let Some(behind) = &sink.behind else { return Vec::new() };
        let careless = behind.careless;
        let (given, state) = (sink.held.clone(), sink.version);
        let id = given.as_ref().and_then(|held| conn.id_of(&held.value));
        let works = id.is_some_and(|id| conn.is_live(&id, provider_now));
        if behind.stopped || given.is_none() || self.people.one_in(careless) {
            return Vec::new();
        }
        if works {
            self.takes_over(index, nth, given);
        }
        if let Some(behind) = &mut self.conns[index].sinks[nth].behind {
            behind.stopped = !works;
            behind.of = if works { state } else { behind.of };
        }
        Vec::new()
    }

    fn takes_over(&mut self, index: usize, nth: usize, held: Option<Held>) {
        let now = self.now;
        self.note(|| format!("the client of sink [{index}.{nth}] takes its token over"));
        let conn = &mut self.conns[index];
        let left = conn.sinks[nth].gives(conn);
        let mut counts = true;
        if let Some(behind) = &mut conn.sinks[nth].behind {
            behind.uses = held;
            counts = !std::mem::take(&mut behind.misreported);
        }
        conn.note_change(nth, left, counts, now);
        self.promise_1(index, "a client took its token over");
    }

    /// A write to a place that cannot be asked is on its way, and its answer is lost: now and then somebody asks
    /// for another token before it lands.
    pub(crate) fn hurry_before(&mut self, late: &Late) {
        let Late::Promote { conn, sink, .. } = late else { return };
        let readable = self.conns[*conn].sinks[*sink].readable;
        if readable || self.injection.is_some() || !self.people.one_in(3) {
            return;
        }
        let what = if self.people.one_in(2) { What::Rotate } else { What::Compromised };
        let deed = Deed::RotationRequest { what, wait: true };
        let at = self.now + 1 + self.people.below(30 * SECOND);
        self.schedule(at, Event::People { conn: *conn, deed });
    }

    /// A token that works starts a client that has stopped.
    pub(crate) fn start_client(&mut self, index: usize, nth: usize) {
        if let Some(behind) = &mut self.conns[index].sinks[nth].behind {
            behind.stopped = false;
        }
    }

    /// What a client says when it is asked.
    pub(crate) fn account(&self, index: usize, nth: usize, delivered: &Version) -> Account {
        let sink = &self.conns[index].sinks[nth];
        let given = delivered.0.strip_prefix('v').and_then(|state| state.parse::<u64>().ok());
        match (&sink.behind, given) {
            (Some(behind), _) if behind.stopped => {
                Account::Stopped("it is in quarantine".to_owned())
            }
            (Some(behind), Some(given)) if behind.of >= given => Account::Uses,
            (_, _) => Account::Waits("no cycle yet".to_owned()),
        }
    }

    /// A person's word that the client of a sink has a token: the one that they copied, or, if they only say
    /// so, whichever waits.
    pub(crate) fn word(&self, index: usize, nth: usize) -> Order {
        let conn = &self.conns[index];
        let sink = &conn.sinks[nth];
        let client = Some(sink.place.location.clone());
        let honest = sink.behind.as_ref().filter(|behind| !behind.misreported);
        let token = honest.and_then(|behind| conn.id_of(&behind.uses.as_ref()?.value));
        Order::HandedOver { by: "alice".to_owned(), client, token }
    }

    /// From now on everybody does at once what is to be done, and well.
    pub(crate) fn hurry_clients(&mut self, index: usize) {
        let now = self.now;
        for nth in 0..self.conns[index].sinks.len() {
            if let Some(behind) = &mut self.conns[index].sinks[nth].behind {
                behind.period = behind.period.min(HOUR);
                behind.careless = 1_000_000_000;
                self.schedule(
                    now + MINUTE,
                    Event::People { conn: index, deed: Deed::Turn { sink: nth } },
                );
            }
        }
    }
}
