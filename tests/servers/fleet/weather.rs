//! What befalls the fleet, drawn from a seed: the same seed draws the same things in the same order. What
//! the processes do meanwhile is their own.

use chrono::TimeDelta;
use scimitar::{
    clock::{Clock, Timestamp},
    sandbox::{Act, LateAnswer, Rule},
};
use scimitar_test_support::{
    binary::Ended,
    door::{Door, Way},
    rng::Rng,
};
use tokio::task::{JoinHandle, block_in_place};

use super::site::Fleet;
use crate::rotation::world::TOKENS;

/// What can happen. Each is a card in a deck that is dealt to its end before it is shuffled again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Card {
    /// A replica is killed and started again.
    Kill,
    /// A replica is asked to end, does, and is started again.
    Update,
    /// A replica stands still for longer than its leases last.
    Freeze,
    /// A replica's clock is set.
    Skew,
    /// A replica is cut off from the database.
    NoDatabase,
    /// A replica is cut off from the tenant.
    NoTenant,
    /// Everybody is cut off from one of the two places.
    NoStore,
    /// The database is restarted in an orderly way, or crashes.
    Restart,
    /// The database hangs.
    Hang,
    /// The tenant misbehaves.
    Mislead,
    /// A person rotates some connections by hand, from a machine of their own.
    ByHand,
}

const DECK: [Card; 25] = [
    Card::Kill,
    Card::Kill,
    Card::Update,
    Card::Freeze,
    Card::Freeze,
    Card::Skew,
    Card::Skew,
    Card::NoDatabase,
    Card::NoDatabase,
    Card::NoTenant,
    Card::NoTenant,
    Card::NoStore,
    Card::NoStore,
    Card::Restart,
    Card::Hang,
    Card::Mislead,
    Card::Mislead,
    Card::Mislead,
    Card::Mislead,
    Card::Mislead,
    Card::ByHand,
    Card::ByHand,
    Card::ByHand,
    Card::ByHand,
    Card::ByHand,
];

/// What is out of order, until when; named by what it is that can be out of order only once.
#[derive(Debug)]
struct Trouble {
    of: Of,
    until: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    /// It is down.
    Down(usize),
    /// It stands still.
    Frozen(usize),
    Database(usize),
    Tenant(usize),
    Store(usize),
    Server,
}

/// The weather so far.
pub(crate) struct Weather {
    rng: Rng,
    deck: Vec<Card>,
    /// How often the whole deck was dealt.
    pub(crate) rounds: usize,
    troubles: Vec<Trouble>,
    calls: Vec<JoinHandle<Ended>>,
    /// What happened, for a person who looks for the reason of something.
    pub(crate) story: Vec<String>,
}

impl Weather {
    pub(crate) fn new(rng: Rng) -> Self {
        let (deck, troubles, calls, story) = Default::default();
        Self { rng, deck, rounds: 0, troubles, calls, story }
    }

    /// Lets one thing happen, and what is over be over.
    pub(crate) async fn turns(&mut self, fleet: &mut Fleet) {
        self.mend(fleet, false).await;
        for replica in &mut fleet.replicas {
            replica.tend();
        }
        let card = self.draw();
        let replica = self.rng.index(fleet.replicas.len());
        let seconds = self.rng.range(20, 150);
        match card {
            Card::Kill | Card::Update if self.is_well(replica) => {
                if card == Card::Kill {
                    fleet.replicas[replica].kill();
                } else {
                    fleet.replicas[replica].stop();
                }
                self.begins(fleet, card, Of::Down(replica), seconds / 3);
            }
            Card::Freeze if self.is_well(replica) => {
                fleet.replicas[replica].signal("STOP");
                self.begins(fleet, card, Of::Frozen(replica), 110 + seconds);
            }
            Card::Skew => {
                let by = self.rng.range(-90, 90);
                fleet.replicas[replica].page.skew(TimeDelta::seconds(by));
                self.tell(fleet, &format!("the clock of {replica} is {by} s off"));
            }
            Card::NoDatabase if self.is_free(Of::Database(replica)) => {
                let way = self.shut(&fleet.replicas[replica].database);
                self.tell(fleet, &format!("{way:?}"));
                self.begins(fleet, card, Of::Database(replica), seconds);
            }
            Card::NoTenant if self.is_free(Of::Tenant(replica)) => {
                let way = self.shut(&fleet.replicas[replica].tenant);
                self.tell(fleet, &format!("{way:?}"));
                self.begins(fleet, card, Of::Tenant(replica), seconds);
            }
            Card::NoStore => {
                let store = self.rng.index(fleet.stores.len());
                if self.is_free(Of::Store(store)) {
                    let way = self.shut(&fleet.stores[store]);
                    self.tell(fleet, &format!("{way:?}"));
                    self.begins(fleet, card, Of::Store(store), seconds);
                }
            }
            Card::Restart if self.is_free(Of::Server) => {
                let crashes = self.rng.one_in(2);
                block_in_place(|| if crashes { fleet.server.crash() } else { fleet.server.fall() });
                self.tell(fleet, if crashes { "it crashes" } else { "it ends" });
                self.begins(fleet, card, Of::Server, seconds / 4);
            }
            Card::Hang if self.is_free(Of::Server) => {
                fleet.server.freeze();
                self.begins(fleet, card, Of::Server, seconds);
            }
            Card::Mislead => self.mislead(fleet),
            Card::ByHand => self.by_hand(fleet),
            Card::Kill
            | Card::Update
            | Card::Freeze
            | Card::NoDatabase
            | Card::NoTenant
            | Card::Restart
            | Card::Hang => {}
        }
        let calm = TimeDelta::seconds(self.rng.range(4, 24));
        fleet.sources.clock.pass(calm).await;
    }

    fn draw(&mut self) -> Card {
        if let Some(card) = self.deck.pop() {
            self.rounds += usize::from(self.deck.is_empty());
            return card;
        }
        self.deck = DECK.to_vec();
        for index in (1..self.deck.len()).rev() {
            let other = self.rng.index(index + 1);
            self.deck.swap(index, other);
        }
        self.deck.pop().unwrap()
    }

    fn is_free(&self, of: Of) -> bool {
        self.troubles.iter().all(|trouble| trouble.of != of)
    }

    /// Whether a replica runs.
    fn is_well(&self, replica: usize) -> bool {
        self.is_free(Of::Down(replica)) && self.is_free(Of::Frozen(replica))
    }

    fn shut(&mut self, door: &Door) -> Way {
        let way = self.rng.pick(&[Way::Refused, Way::Held, Way::Mute]);
        door.stands(way);
        way
    }

    fn begins(&mut self, fleet: &Fleet, card: Card, of: Of, seconds: i64) {
        let until = fleet.sources.clock.now() + TimeDelta::seconds(seconds);
        self.tell(fleet, &format!("{card:?}, {of:?}, for {seconds} s"));
        self.troubles.push(Trouble { of, until });
    }

    fn tell(&mut self, fleet: &Fleet, what: &str) {
        self.story.push(format!("{} {what}", fleet.sources.clock.now().format("%T")));
    }

    fn mislead(&mut self, fleet: &Fleet) {
        let few = u32::try_from(self.rng.range(4, 24)).unwrap();
        let later = u32::try_from(self.rng.range(5, 200)).unwrap();
        let create = |act| Rule::new("POST", "/api/", act).ending(TOKENS).times(1);
        let rule = match self.rng.below(9) {
            0 | 1 => create(Act::DropAfter),
            2 => create(Act::ErrorAfter),
            3 => create(Act::CutAfter(40)),
            4 => create(Act::Late { answer: LateAnswer::Dropped, after: Some(later) }),
            5 => Rule::new("DELETE", "/api/", Act::DropAfter).times(2),
            6 => Rule::new("", "", Act::Throttle { retry_after: Some((later / 8).into()) })
                .times(few),
            7 => Rule::new("", "", Act::Status(500)).times(few),
            _ => Rule::new("GET", "/api/", Act::Lag(4)).times(few),
        };
        self.tell(fleet, &format!("{rule:?}"));
        fleet.tenant.add(rule).unwrap();
    }

    fn by_hand(&mut self, fleet: &Fleet) {
        let all = &fleet.sources.connections;
        let first = self.rng.index(all.len());
        let names: Vec<&str> =
            all.iter().cycle().skip(first).take(4).map(|it| it.name.as_str()).collect();
        self.tell(fleet, &format!("by hand: {names:?}"));
        let call = fleet.person.call(&[&["--rotate-now"], &names[..]].concat());
        self.calls.push(tokio::task::spawn_blocking(move || call.run()));
    }

    /// Ends what is over, or everything.
    async fn mend(&mut self, fleet: &mut Fleet, all: bool) {
        let now = fleet.sources.clock.now();
        let troubles = std::mem::take(&mut self.troubles);
        let (over, stay) = troubles.into_iter().partition(|it| all || it.until <= now);
        self.troubles = stay;
        for Trouble { of, .. } in over {
            self.tell(fleet, &format!("{of:?} is over"));
            match of {
                Of::Down(replica) => fleet.replicas[replica].start(),
                Of::Frozen(replica) => fleet.replicas[replica].signal("CONT"),
                Of::Database(replica) => fleet.replicas[replica].database.stands(Way::Open),
                Of::Tenant(replica) => fleet.replicas[replica].tenant.stands(Way::Open),
                Of::Store(store) => fleet.stores[store].stands(Way::Open),
                Of::Server if fleet.server.is_up() => fleet.server.thaw(),
                Of::Server => fleet.server.rise().await,
            }
        }
    }

    /// Mends everything: what the calls by hand came to.
    pub(crate) async fn clears(&mut self, fleet: &mut Fleet) -> Vec<Ended> {
        self.mend(fleet, true).await;
        fleet.tenant.clear();
        fleet.tenant.release().await;
        for replica in &mut fleet.replicas {
            replica.page.skew(TimeDelta::zero());
            replica.tend();
        }
        let mut ended = Vec::new();
        for call in self.calls.drain(..) {
            ended.push(call.await.unwrap());
        }
        ended
    }
}
