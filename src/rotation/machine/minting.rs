//! A create was announced: how that ends.

use crate::{
    rotation::{
        policy::{Retire, Verify},
        print,
        record::{Intent, Phase, Proof, Record, Replacement, Trouble},
    },
    token::{Digest, Listed},
};

/// So many answers to our own creates tell how exactly a provider keeps lives: a deviation that is
/// over is forgotten.
const ANSWERS: usize = 10;

impl Record {
    /// A token was made: it is on its way to the sinks.
    pub(super) fn minted(
        &mut self,
        intent: &Intent,
        token: Listed,
        retire: Retire,
        verify: Verify,
        digest: Option<Digest>,
    ) {
        if let (Some(asked), granted) = (intent.life, print::granted(&token)) {
            let off = granted.map_or(u64::MAX, |granted| granted.abs_diff(asked.as_secs()));
            self.note_life_error(off);
        }
        self.names_changed |= intent.name.is_some() && token.name != intent.name;
        self.slot_denied = false;
        self.generation = self.generation.max(self.generation_seen).saturating_add(1);
        let proof = match verify {
            Verify::Off => Proof::Good,
            Verify::Read | Verify::Write => {
                Proof::Pending { refused_since: None, silent_since: None }
            }
        };
        if verify != Verify::Write {
            // What an earlier proof by writing found is not looked at again.
            self.write_proof = None;
        }
        self.digests.extend(digest.map(|digest| (token.id.clone(), digest)));
        self.phase = Phase::Delivering(Box::new(Replacement {
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
            handed_out: false,
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

    /// The create, or what had to be shown before it, failed without effect.
    pub(super) fn mint_failed(&mut self, trouble: Trouble, no_slot: bool) {
        self.troubles.mint = Some(trouble);
        self.slot_denied = no_slot;
        self.tally.failed += 1;
        self.phase = Phase::Steady;
    }

    /// Whether the create happened is not known.
    pub(super) fn mint_lost(&mut self, intent: Intent, trouble: Trouble) {
        self.troubles.mint = Some(trouble);
        self.tally.failed += 1;
        self.intent_opened(intent);
    }

    /// Unknown tokens are compared with the intent from now on, for as long as it can take effect.
    pub(super) fn intent_opened(&mut self, intent: Intent) {
        self.intents.push(intent);
        self.phase = Phase::Steady;
    }
}
