//! Places that are away, moved, forged or restored: what sinks do that nobody asked of them.

use std::sync::Arc;

use scimitar::{
    sink::{Container, Marks},
    token::{ConnectionId, LedgerId, TokenId},
};

use super::{
    conn::{Author, CANARY, Held, Sink},
    people::Deed,
    world::{Event, HOUR, Ms, World},
};

/// The place that readers take their tokens from, while the product sees another in its stead.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    pub(crate) held: Option<Held>,
    staged: Option<Held>,
    earlier: Option<Held>,
    container: u64,
}

impl Sink {
    /// What readers get: what the product sees may be in another box, or not taken over yet.
    pub(crate) fn real(&self) -> Option<&Held> {
        if let Some(behind) = &self.behind {
            return behind.uses.as_ref();
        }
        self.home.as_ref().map_or(self.held.as_ref(), |home| home.held.as_ref())
    }

    /// What it is in, as the product sees it.
    pub(crate) fn container(&self) -> Container {
        Container {
            id: format!("box{}", self.container),
            words: format!("the box {}", self.container),
            // Services know who they are; file systems only what is in them.
            strict: !self.fenced,
        }
    }
}

impl World {
    /// A mount does not come up, credentials are another account's, a cluster is another one: the
    /// product sees an empty place by the same name, and readers go on with what they have.
    pub(crate) fn move_away(&mut self, index: usize, nth: usize) {
        let now = self.now;
        let back = now + 1 + self.people.below(40 * HOUR);
        let conn = &mut self.conns[index];
        let sink = &mut conn.sinks[nth];
        let ours = matches!(&sink.held, Some(Held { author: Author::Worker(_), .. }));
        // A ledger that was lost knows no place, and what is empty to it is filled: no protocol
        // knows better.
        let known = conn.record.as_ref().and_then(|record| record.sinks.get(&sink.place.key));
        let known = known.is_some_and(|state| state.container.as_ref() == Some(&sink.container()));
        if !known || !ours || !sink.readable || sink.home.is_some() {
            return;
        }
        sink.home = Some(Home {
            held: sink.held.take(),
            staged: sink.staged.take(),
            earlier: sink.earlier.take(),
            container: sink.container,
        });
        sink.container += 100;
        sink.version += 1;
        sink.changed = now;
        self.conns[index].disturb(now, back + HOUR, "a place was away");
        self.schedule(back, Event::People { conn: index, deed: Deed::MoveBack { sink: nth } });
    }

    /// It is what it was.
    pub(crate) fn move_back(&mut self, index: usize, nth: usize) {
        let now = self.now;
        let sink = &mut self.conns[index].sinks[nth];
        let Some(home) = sink.home.take() else { return };
        sink.held = home.held;
        sink.staged = home.staged;
        sink.earlier = home.earlier;
        sink.container = home.container;
        sink.version += 1;
        sink.changed = now;
        self.conns[index].cut_off.hindered = now;
    }

    /// Nothing is ever written to a place that is not the one that was delivered to.
    pub(crate) fn written_elsewhere(&mut self, index: usize, nth: usize, id: &TokenId) {
        if self.conns[index].sinks[nth].home.is_some() {
            self.violate(
                "2 nothing is revoked on a guess",
                format!("{id} was written to another place by the name of sink {nth}"),
            );
        }
    }

    /// Somebody who can write one sink puts a mark there that is newer than ours, above a value that
    /// does not work.
    pub(crate) fn forge(&mut self, index: usize, nth: usize) {
        let now = self.now;
        let conn = &self.conns[index];
        let ids: Vec<TokenId> = conn.tokens.keys().cloned().collect();
        let known = conn.record.as_ref();
        let generation = known.map_or(0, |record| record.generation) + 1;
        let connection = conn.policy().key.connection.clone();
        let ledger = conn.sinks[nth].held.as_ref().and_then(|held| held.marks.as_ref());
        let Some(ledger) = ledger.map(|marks| marks.ledger.clone()) else { return };
        if ids.is_empty() || conn.sinks[nth].home.is_some() {
            return;
        }
        let at = usize::try_from(self.people.below(ids.len() as Ms)).unwrap_or(0);
        let of = usize::try_from(self.people.below(ids.len() as Ms)).unwrap_or(0);
        let generation = generation + self.people.below(40).unsigned_abs();
        let marks = forged(&ids[at], &ids[of], generation, ledger, connection);
        let value: Arc<str> = format!("{}.{CANARY}{:050x}", ids[at], now).into();
        let held = Held { value, marks: Some(marks), author: Author::Person };
        self.conns[index].put(nth, Some(held), now);
    }
}

fn forged(
    id: &TokenId,
    previous: &TokenId,
    generation: u64,
    ledger: LedgerId,
    connection_id: ConnectionId,
) -> Marks {
    Marks {
        token_id: id.clone(),
        previous_token_id: Some(previous.clone()),
        generation,
        ledger,
        connection_id,
    }
}
