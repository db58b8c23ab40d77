//! What a connection's record is after an event: the edges of the state machines.
//!
//! There are three. The rotation's is [`Phase`]: no rotation, a create under way, a token on its way to
//! the sinks. Each older token has its own, [`RetiringState`](super::retiring::RetiringState): while one
//! leaves, the next rotation may begin. Each place has one, for the write that is announced there. What
//! a look shows and what the hooks are told does not depend on the phase either (but for a token that is
//! staged), so these go to their own part of the record first.

mod delivering;
mod looked;
mod minting;
mod place;
mod probe_user;
mod retiring;
mod scim_config;
mod several;
mod steady;

use super::{
    event::Event,
    record::{Phase, Record},
};

/// An event that cannot happen in the record's state: a defect, or a record that was tampered with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{event} cannot happen while {state}")]
pub struct IllegalTransition {
    event: &'static str,
    state: String,
}

/// A state in which an event cannot happen, in words that follow "while".
#[derive(Debug, PartialEq, Eq)]
struct Refused(String);

impl Record {
    /// The record after `event`.
    ///
    /// # Errors
    /// When the event cannot happen in this state.
    pub fn apply(self, event: Event) -> Result<Self, IllegalTransition> {
        let news = self.news(&event);
        let of_a_rest = matches!(
            event,
            Event::Rested { .. }
                | Event::NoticeBegun { .. }
                | Event::Notified { .. }
                | Event::NotifyFailed { .. }
                | Event::NoticeDropped { .. }
        );
        let before = matches!(event, Event::Configured { .. }).then(|| self.clone());
        let name = event.name();
        let mut after = self;
        after
            .changed_by(event)
            .map_err(|Refused(state)| IllegalTransition { event: name, state })?;
        // What is to be done next is not known any more until a pass rests again.
        if !of_a_rest && before.is_none_or(|before| before != after) {
            after.work_at = None;
        }
        after.tell(news);
        after.drop_stale_handoffs();
        Ok(after)
    }

    /// What has a part of the record of its own goes there; everything else is the rotation's.
    fn changed_by(&mut self, event: Event) -> Result<(), Refused> {
        match (self.phase.clone(), event) {
            (_, Event::Configured { name, provider, places, unreachable, hooks, scim_config }) => {
                self.notices.subscribe(hooks);
                self.scim.take_if(|_| !scim_config);
                self.configured(name, provider, places, &unreachable);
            }
            (phase, Event::Place { place, what }) => self.at_place(&phase, &place, what)?,
            (_, Event::Retiring { id, what }) => self.of_retiring(&id, what)?,
            (_, Event::Looked { list, sinks, troubles }) => self.looked(list, sinks, troubles),
            (_, Event::LookFailed(trouble)) => self.troubles.look = Some(trouble),
            (_, Event::ScimConfig(what)) => self.scim_config(what),
            (_, Event::ProbeUser(what)) => self.probe_user(what)?,
            (_, Event::NoticeBegun { hook, number, begun }) => {
                self.notices.begun(&hook, number, begun)
            }
            (_, Event::Notified { hook, number, at }) => self.notices.told(&hook, number, at),
            (_, Event::NotifyFailed { hook, number, trouble }) => {
                self.notices.failed(&hook, number, &trouble)
            }
            (_, Event::NoticeDropped { hook, number }) => self.notices.dropped(&hook, number),
            (phase, event) => return self.rotation(phase, event),
        }
        Ok(())
    }

    /// The rotation's machine: what happens in one phase, then what may in several.
    fn rotation(&mut self, phase: Phase, event: Event) -> Result<(), Refused> {
        use Phase::{Delivering, Minting, Steady};
        match (phase, event) {
            // No rotation is under way.
            (Steady, Event::Intended(intent)) => self.phase = Minting(intent),
            (Steady, Event::TakenOver(found)) => self.taken_over(*found),

            // A create was announced. It also fails before that: what it needs is shown first.
            (Minting(intent), Event::Minted { token, retire, verify, digest }) => {
                self.minted(&intent, token, retire, verify, digest);
            }
            (Steady, Event::WritesChecked { all_at, places }) => {
                self.writes_checked(all_at, places)
            }
            (Steady | Minting(_), Event::MintFailed { trouble, no_slot }) => {
                self.mint_failed(trouble, no_slot);
            }
            (Minting(intent), Event::MintLost(trouble)) => self.mint_lost(intent, trouble),
            (Minting(intent), Event::IntentOpened) => self.intent_opened(intent),

            // A token is on its way to the sinks.
            (Delivering(replacement), Event::Proven(proof)) => self.proven(replacement, proof),
            (Delivering(replacement), Event::Settled { at, host }) => {
                self.settled(*replacement, Some((at, host)), at);
            }
            (Delivering(replacement), Event::SettledInPart { at }) => {
                self.settled(*replacement, None, at);
            }
            (Delivering(replacement), Event::GivenUp { cause, trouble }) => {
                self.given_up(*replacement, cause, trouble);
            }

            (phase, event) => return self.in_several_phases(phase, event),
        }
        Ok(())
    }
}
