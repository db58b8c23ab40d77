//! A token is on its way to the sinks: how that ends.

use crate::{
    clock::{ProviderTime, Timestamp},
    rotation::{
        policy::Verify,
        record::{
            Cause, Current, Missing, Phase, Previous, Proof, Record, Replacement, Rotation, Survey,
            Trouble,
        },
    },
};

impl Record {
    /// What is known of the new token after a probe.
    pub(super) fn proven(&mut self, mut replacement: Box<Replacement>, proof: Proof) {
        if matches!(proof, Proof::Good | Proof::Waived) {
            self.troubles.mint = None;
        }
        replacement.proof = proof;
        self.phase = Phase::Delivering(replacement);
    }

    /// Ends a delivery: `all` (there and here) when every place has the token.
    pub(super) fn settled(
        &mut self,
        replacement: Replacement,
        all: Option<(ProviderTime, Timestamp)>,
        at: ProviderTime,
    ) {
        self.phase = Phase::Steady;
        let Replacement {
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
        } = replacement;
        self.generation = self.generation.max(generation);
        if rebuilt {
            // The record is old: what it says of older tokens is not believed, and nothing is
            // revoked on its word.
            self.current = None;
            self.missing = None;
            self.retiring.clear();
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
                self.push_retiring(before.token, Cause::Superseded, retire.clone());
                // While only watching, a token is taken over without a proof.
                let unproven = before.asked.is_none() && before.probe.is_none();
                for retiring in self.retiring.iter_mut().filter(|retiring| retiring.token.id == id)
                {
                    retiring.probe.clone_from(&before.probe);
                    retiring.on_evidence |= unproven && verify != Verify::Off;
                }
            }
        }
        for Previous { token, from_mark } in previous {
            let id = token.id.clone();
            let unknown = self.retiring.iter().all(|retiring| retiring.token.id != id);
            self.push_retiring(token, Cause::Superseded, retire.clone());
            for retiring in self.retiring.iter_mut().filter(|retiring| retiring.token.id == id) {
                retiring.on_evidence |= from_mark && unknown;
            }
        }
        if value_was_lost {
            // Others took the value away: who has it, and which of the older ones is in use instead,
            // is not known.
            for retiring in
                self.retiring.iter_mut().filter(|retiring| retiring.cause == Cause::Superseded)
            {
                retiring.on_evidence = true;
            }
        }
        if found {
            // Where earlier states stay, one of these may be what readers could go back to.
            for retiring in &self.retiring {
                for sink in self.sinks.values_mut().filter(|sink| sink.keeps_earlier) {
                    sink.residue.entry(retiring.token.id.clone()).or_default();
                }
            }
        }
        self.unshown_since = None;
        // Refused, and in no list: one more list tells whether it is gone.
        let unlisted = |survey: &Survey| survey.tokens.iter().all(|listed| listed.id != token.id);
        self.missing = (proof == Proof::Bad && self.survey.as_ref().is_some_and(unlisted))
            .then_some(Missing { first: at, last: at, refused: true });
        self.troubles.mint = None;
        // It was about the token before.
        self.troubles.probe = None;
        self.retiring.retain(|retiring| retiring.token.id != token.id);
        if let Some((_, host)) = all.filter(|_| !found) {
            self.tally.succeeded += 1;
            self.writes_checked = Some(host);
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

    /// The token on its way will not be delivered. One that somebody else put into a sink is not ours
    /// to revoke.
    pub(super) fn given_up(
        &mut self,
        replacement: Replacement,
        cause: Cause,
        trouble: Option<Trouble>,
    ) {
        self.phase = Phase::Steady;
        if replacement.found && cause == Cause::Bad {
            self.refused.insert(replacement.token.id.clone());
        } else {
            self.tally.failed += 1;
        }
        if trouble.is_some() {
            self.troubles.mint = trouble;
        }
        if !(replacement.found && cause != Cause::Superseded) {
            let Replacement { token, retire, .. } = replacement;
            self.push_retiring(token, cause, retire);
        }
    }
}
