//! What a person does about a connection that is refused, or that cannot mend itself: what the refusal says.

use scimitar::{rotation::why::Reason, token::TokenId};

use super::{
    clock::timestamp,
    conn::Tok,
    people::Deed,
    process::{Job, What},
    world::{Action, Event, HOUR, MINUTE, World},
};

impl World {
    pub(super) fn mend(&mut self, index: usize) -> Vec<Action> {
        let now = self.now;
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
        let record = self.conns[index].record.as_ref();
        let pause = record.and_then(|record| record.pause.as_ref());
        let paused = pause.is_some_and(|pause| pause.lasts(timestamp(self.now + self.host_offset)));
        let unwell = self.conns[index].damaged && self.unwell(index).is_some();
        if paused && unwell {
            self.schedule(now + HOUR, Event::People { conn: index, deed: Deed::Mend });
            return vec![Action::Start(Job::Once {
                conn: index,
                what: What::Resume,
                wait: false,
                timeout: Some(10 * MINUTE),
            })];
        }
        if unwell {
            self.free_slot(index);
            // Refused, it says what to do: a person reads that, once.
            if !std::mem::replace(&mut self.conns[index].mended, true) {
                let again = Event::People { conn: index, deed: Deed::Mend };
                self.schedule(now + 2 * HOUR, again);
            }
            return vec![Action::Start(Job::Once {
                conn: index,
                what: What::Rotate,
                wait: false,
                timeout: Some(HOUR),
            })];
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

    /// Where the sinks hold different tokens, or none holds the current one, an operator has to say
    /// which one stays: the one that most sinks hold.
    fn free_slot(&mut self, index: usize) {
        let conn = &self.conns[index];
        let live = |(_, tok): &(&TokenId, &Tok)| tok.deleted.is_none();
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
    pub(super) fn sweep(&mut self, index: usize) {
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
