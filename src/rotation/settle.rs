//! How a token comes to be on its way to the sinks, and how that ends.

use super::{
    event::Event,
    policy::{Retire, Verify},
    print,
    record::{
        Cause, Current, Delivery, Missing, Phase, Previous, Proof, Record, Rotation, Survey,
        Trouble,
    },
};
use crate::{
    clock::{ProviderTime, Timestamp},
    token::{Digest, Listed},
};

/// So many answers to our own creates tell how exactly a provider keeps lives: a deviation that is
/// over is forgotten.
const ANSWERS: usize = 10;

impl Record {
    pub(super) fn minted(
        &mut self,
        token: Listed,
        retire: Retire,
        verify: Verify,
        digest: Option<Digest>,
    ) {
        let Phase::Minting(intent) = std::mem::replace(&mut self.phase, Phase::Steady) else {
            return;
        };
        if let (Some(asked), granted) = (intent.life, print::granted(&token)) {
            let off = granted.map_or(u64::MAX, |granted| granted.abs_diff(asked.as_secs()));
            self.note_life_error(off);
        }
        self.names_changed |= intent.name.is_some() && token.name != intent.name;
        self.slot_denied = false;
        self.generation = self.generation.max(self.generation_seen).saturating_add(1);
        let proof = match verify {
            Verify::Off => Proof::Good,
            Verify::Read => Proof::Pending { refused_since: None, silent_since: None },
        };
        self.digests.extend(digest.map(|digest| (token.id.clone(), digest)));
        self.phase = Phase::Delivering(Box::new(Delivery {
            token,
            generation: self.generation,
            began: intent.at,
            retire,
            verify,
            probe: None,
            proof,
            found: false,
            asked: Some(intent.asked()),
            value_was_lost: intent.value_was_lost,
            rebuilt: false,
            previous: Vec::new(),
        }));
    }

    /// By how much a granted life was off: the largest of the last answers counts.
    fn note_life_error(&mut self, off: u64) {
        if self.life_errors.is_empty() {
            // Written by an earlier version, which kept the largest alone.
            self.life_errors.extend(self.life_error);
        }
        self.life_errors.push(off);
        let surplus = self.life_errors.len().saturating_sub(ANSWERS);
        self.life_errors.drain(..surplus);
        self.life_error = self.life_errors.iter().copied().max();
    }

    /// A token that somebody else put into a sink is on its way to the others. Nothing is retired
    /// because of it, and the record stays as it is, before it is proven.
    pub(super) fn taken_over(&mut self, event: Event) {
        let Event::TakenOver {
            token,
            generation,
            previous,
            marked,
            rebuilt,
            retire,
            verify,
            at,
            made,
        } = event
        else {
            return;
        };
        self.strangers.remove(&token.id);
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
            self.strangers.remove(&previous.token.id);
        }
        let everywhere = self.places().all(|sink| sink.holds.as_ref() == Some(&token.id));
        // What this process did not make may be mistyped or forged: it is proven before it counts
        // as the current token, which goes to other sinks and is retired one day.
        let proof = match verify {
            Verify::Read => Proof::Pending { refused_since: None, silent_since: None },
            Verify::Off => Proof::Good,
        };
        self.phase = Phase::Delivering(Box::new(Delivery {
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
            rebuilt,
            previous: replaced,
        }));
        let target = self.target().cloned();
        for sink in self.sinks.values_mut().filter(|sink| sink.holds == target) {
            sink.drift = None;
        }
        if everywhere && proof == Proof::Good {
            self.settled(None, at);
        }
    }

    /// Ends a delivery: `all` (there and here) when every place has the token.
    pub(super) fn settled(&mut self, all: Option<(ProviderTime, Timestamp)>, at: ProviderTime) {
        let Phase::Delivering(delivery) = std::mem::replace(&mut self.phase, Phase::Steady) else {
            return;
        };
        let Delivery {
            token,
            generation,
            began,
            retire,
            verify,
            probe,
            proof,
            found,
            asked,
            value_was_lost,
            rebuilt,
            previous,
            ..
        } = *delivery;
        self.generation = self.generation.max(generation);
        if rebuilt {
            // The record is old: what it says of older tokens is not believed, and nothing is
            // revoked on its word.
            self.current = None;
            self.missing = None;
            self.older.clear();
        }
        if let Some(before) = self.current.take().filter(|before| before.token.id != token.id) {
            let gone = self.missing.as_ref().is_some_and(Missing::proves_gone);
            if gone {
                if !self.condemned.remove(&before.token.id) {
                    self.vanished.insert(before.token.id.clone());
                }
                let unseen = || self.provider_clock().to_host(at);
                let host = self.survey.as_ref().map_or_else(unseen, |survey| survey.at);
                self.deleted.insert(before.token.id, host);
            } else {
                let id = before.token.id.clone();
                self.push_older(before.token, Cause::Superseded, retire.clone(), None);
                // While only watching, a token is taken over without a proof.
                let unproven = before.asked.is_none() && before.probe.is_none();
                for older in self.older.iter_mut().filter(|older| older.token.id == id) {
                    older.probe.clone_from(&before.probe);
                    older.on_evidence |= unproven && verify == Verify::Read;
                }
            }
        }
        for Previous { token, from_mark } in previous {
            let id = token.id.clone();
            let unknown = self.older.iter().all(|older| older.token.id != id);
            self.push_older(token, Cause::Superseded, retire.clone(), None);
            for older in self.older.iter_mut().filter(|older| older.token.id == id) {
                older.on_evidence |= from_mark && unknown;
            }
        }
        if value_was_lost {
            // Others took the value away: who has it, and which of the older ones is in use instead,
            // is not known.
            for older in self.older.iter_mut().filter(|older| older.cause == Cause::Superseded) {
                older.on_evidence = true;
            }
        }
        if found {
            // Where earlier states stay, one of these may be what readers could go back to.
            for older in &self.older {
                for sink in self.sinks.values_mut().filter(|sink| sink.keeps_earlier) {
                    sink.residue.entry(older.token.id.clone()).or_default();
                }
            }
        }
        // Refused, and in no list: one more list tells whether it is gone.
        let unlisted = |survey: &Survey| survey.tokens.iter().all(|listed| listed.id != token.id);
        self.missing = (proof == Proof::Bad && self.survey.as_ref().is_some_and(unlisted))
            .then_some(Missing { first: at, last: at, refused: true });
        self.troubles.mint = None;
        // It was about the token before.
        self.troubles.ask = None;
        self.older.retain(|older| older.token.id != token.id);
        if let Some((_, host)) = all.filter(|_| !found) {
            self.tally.succeeded += 1;
            self.last_rotation = Some(Rotation { began, finished: host, id: token.id.clone() });
        }
        self.current = Some(Current {
            token,
            delivered_at: None,
            first_use: None,
            probe,
            began,
            retire,
            asked,
        });
        self.unsatisfied_since = None;
        // Whoever put it there, these places are this connection's from now on.
        let current = self.current.as_ref().map(|current| current.token.id.clone());
        for sink in self.sinks.values_mut().filter(|sink| sink.holds == current) {
            sink.was_ours = true;
        }
        self.note_superseded(at);
    }

    pub(super) fn given_up(&mut self, cause: Cause, trouble: Option<Trouble>) {
        let Phase::Delivering(delivery) = std::mem::replace(&mut self.phase, Phase::Steady) else {
            return;
        };
        if delivery.found && cause == Cause::Bad {
            self.refused.insert(delivery.token.id.clone());
        } else {
            self.tally.failed += 1;
        }
        if trouble.is_some() {
            self.troubles.mint = trouble;
        }
        if !(delivery.found && cause != Cause::Superseded) {
            let Delivery { token, retire, .. } = *delivery;
            self.push_older(token, cause, retire, None);
        }
    }
}
