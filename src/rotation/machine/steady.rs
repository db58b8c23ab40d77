//! No rotation is under way: how one begins with a token that was found.

use crate::{
    rotation::{
        event::TakenOver,
        policy::Verify,
        record::{Phase, Previous, Proof, Record, Replacement},
    },
    token::Listed,
};

impl Record {
    /// A token that somebody else put into a sink is on its way to the others. Nothing is retired
    /// because of it, and the record stays as it is, before it is proven.
    pub(super) fn taken_over(&mut self, found: TakenOver) {
        let TakenOver { token, generation, previous, marked, rebuilt, retire, verify, at, made } =
            found;
        self.unmanaged.remove(&token.id);
        self.refused.remove(&token.id);
        self.deleted.remove(&token.id);
        self.vanished.remove(&token.id);
        self.may_be_where_nobody_looks(&token.id);
        let of = |token: Listed, from_mark: bool| Previous { token, from_mark };
        let mut replaced: Vec<Previous> =
            previous.into_iter().map(|token| of(token, false)).collect();
        replaced.extend(marked.map(|token| of(token, true)));
        replaced.retain(|previous| previous.token.id != token.id);
        for previous in &replaced {
            self.may_be_where_nobody_looks(&previous.token.id);
            self.unmanaged.remove(&previous.token.id);
        }
        let everywhere = self.places().all(|sink| sink.holds.as_ref() == Some(&token.id));
        // What this process did not make may be mistyped or forged: it is proven before it counts
        // as the current token, which goes to other sinks and is retired one day.
        let proof = match verify {
            Verify::Read | Verify::Write => {
                Proof::Pending { refused_since: None, silent_since: None }
            }
            Verify::Off => Proof::Good,
        };
        let replacement = Replacement {
            token,
            generation: self.generation.max(generation),
            began: made,
            retire,
            verify,
            probe: None,
            proof,
            found: true,
            asked: None,
            value_was_lost: false,
            handed_out: true,
            rebuilt,
            previous: replaced,
        };
        let target = Some(replacement.token.id.clone());
        for sink in self.sinks.values_mut().filter(|sink| sink.holds == target) {
            sink.drift = None;
        }
        if everywhere && proof == Proof::Good {
            self.settled(replacement, None, at);
        } else {
            self.phase = Phase::Delivering(Box::new(replacement));
        }
    }
}
