//! What sinks keep beside what their readers get.

use scimitar::{sink::Delivery, token::TokenId};

use super::{
    conn::{Author, Conn, Held},
    observe::Change,
    world::{Pid, World},
};

impl World {
    /// Each stage is announced, of a token that is on its way.
    pub(crate) fn before_stage(
        &mut self,
        pid: Pid,
        index: usize,
        sink: usize,
        delivery: &Delivery,
    ) {
        let id = &delivery.marks.token_id;
        self.note(|| format!("{pid:?} stages {id} in [{index}.{sink}]"));
        self.promise_observe(pid, index, Change::Deliver(id));
        let conn = &self.conns[index];
        let key = &conn.sinks[sink].place.key;
        let announced = conn.record.as_ref().is_some_and(|record| {
            record.target() == Some(id)
                && record.sinks.get(key).is_some_and(|state| state.residue.contains_key(id))
        });
        let whole = conn.tokens.get(id).is_some_and(|tok| *tok.value == *delivery.value.expose());
        if !announced || !whole {
            self.violate(
                "5 it always ends well",
                format!("stages {id}: announced {announced}, its value {whole}"),
            );
        }
    }

    /// Keeps a parcel beside what readers get: the effect of a stage.
    pub(crate) fn stage_in(&mut self, conn: usize, index: usize, pid: Pid, delivery: &Delivery) {
        let sink = &mut self.conns[conn].sinks[index];
        sink.staged = Some(Held {
            value: delivery.value.expose().into(),
            marks: Some(delivery.marks.clone()),
            author: Author::Worker(pid),
        });
        self.note(|| format!("sink [{conn}.{index}] keeps {} staged", delivery.marks.token_id));
    }

    /// Takes what leads to a token away: the effect of a forget.
    pub(crate) fn forget_in(&mut self, conn: usize, index: usize, id: &TokenId) {
        self.note(|| format!("sink [{conn}.{index}] forgets {id}"));
        let provider_now = self.provider_now();
        let of = &mut self.conns[conn];
        let is_it = |held: &Option<Held>| {
            held.as_ref().and_then(|held| of.id_of(&held.value)).as_ref() == Some(id)
        };
        let (staged, earlier) = (is_it(&of.sinks[index].staged), is_it(&of.sinks[index].earlier));
        let live = of.is_live(id, provider_now);
        let sink = &mut of.sinks[index];
        sink.staged.take_if(|_| staged);
        sink.earlier.take_if(|_| earlier);
        if live {
            self.violate("2 nothing is revoked on a guess", format!("forgets {id}, which works"));
        }
    }

    /// What still leads readers, or the next worker, to a token that was revoked. What came and went
    /// behind the product's back it cannot know of.
    pub(crate) fn leads_back(&self, conn: &Conn) -> Option<String> {
        if conn.lost_ledger {
            return None;
        }
        conn.sinks.iter().enumerate().filter(|(_, sink)| sink.in_policy && !sink.meddled).find_map(
            |(nth, sink)| {
                let kept = [&sink.staged, &sink.earlier].into_iter().flatten();
                let ours = kept.filter(|held| matches!(held.author, Author::Worker(_)));
                let mut dead = ours.filter_map(|held| conn.id_of(&held.value)).filter(|id| {
                    conn.tokens
                        .get(id)
                        .is_some_and(|tok| tok.deleted.is_some() && tok.maker.is_some())
                });
                dead.next().map(|id| format!("sink {nth} still leads to {id}, which was revoked"))
            },
        )
    }
}
