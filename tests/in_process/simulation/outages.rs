//! The outage budget: readers whose token is dead, and known to be, are not left with it.

use std::collections::BTreeMap;

use scimitar::{
    rotation::policy::{Mode, Verify},
    token::TokenId,
};

use super::{
    conn::{Conn, Sink},
    faults::{Act, Op},
    promises::DEAD_AFTER,
    world::{MINUTE, Ms, SECOND, World},
};

/// From the moment at which a dead token was seen and all services answer, until another works there.
const BUDGET: Ms = 2 * MINUTE;

/// What is known of a connection whose readers have a token that is dead.
#[derive(Clone, Debug, Default)]
pub(crate) struct CutOff {
    /// When a worker read each place, with the dead token that it held.
    read: BTreeMap<usize, (Ms, TokenId)>,
    /// When a list that does not show it as live was taken after that.
    listed: BTreeMap<usize, Ms>,
    /// When something was last in the way: a call that failed, a process that was away.
    pub(crate) hindered: Ms,
    /// A call that does more than look was refused: it is tried ever less often, every 15 min at last.
    worked_in_vain: bool,
    /// Since when it cannot be judged: an answer was lost, a clock set. Ends with the outage.
    pub(crate) muddled: bool,
}

impl CutOff {
    /// Since when a place could have been repaired.
    fn since(&self, nth: usize) -> Option<Ms> {
        let listed = self.listed.get(&nth)?;
        Some((*listed).max(self.hindered))
    }
}

impl World {
    /// A call was drawn: it answers, or is in the way.
    pub(crate) fn outage_at_call(&mut self, conn: Option<usize>, op: Op, act: Act) {
        for index in 0..self.conns.len() {
            self.outage_budget(index);
            let cut_off = &mut self.conns[index].cut_off;
            match act {
                Act::Go => {}
                Act::Refuse(_) if !op.is_ledger() => {
                    if conn == Some(index) {
                        cut_off.hindered = self.now;
                        cut_off.worked_in_vain |= !matches!(op, Op::List | Op::Read);
                    }
                }
                // Nobody knows what became of it, or who acts next.
                Act::Refuse(_)
                | Act::Vanish(_)
                | Act::Lose(_)
                | Act::Late(..)
                | Act::DieBefore
                | Act::DieAfter
                | Act::DieLate(_) => cut_off.muddled = true,
            }
        }
    }

    /// A worker reads a place.
    pub(crate) fn outage_read(&mut self, index: usize, nth: usize) {
        if let Some(id) = self.dead_in(index, nth) {
            let now = self.now;
            let read = &mut self.conns[index].cut_off.read;
            if read.get(&nth).is_none_or(|(_, was)| *was != id) {
                read.insert(nth, (now, id));
            }
        }
    }

    /// A worker lists, with what may be so old.
    pub(crate) fn outage_list(&mut self, index: usize, seen: Ms) {
        let conn = &mut self.conns[index];
        for (nth, (_, id)) in &conn.cut_off.read {
            let shown =
                conn.tokens.get(id).is_some_and(|tok| tok.deleted.is_none_or(|at| at > seen));
            let expired = conn.tokens.get(id).and_then(|tok| tok.until);
            let dead =
                expired.is_some_and(|until| self.now >= until - self.provider_offset + DEAD_AFTER);
            if !shown || dead {
                conn.cut_off.listed.entry(*nth).or_insert(self.now);
            } else {
                // A list that lags: who saw it last has to take it for alive.
                conn.cut_off.listed.remove(nth);
            }
        }
    }

    /// The assertion, at each call and each effect.
    pub(crate) fn outage_budget(&mut self, index: usize) {
        if self.conns[index].cut_off.read.is_empty() {
            let cut_off = &mut self.conns[index].cut_off;
            cut_off.muddled = false;
            cut_off.worked_in_vain = false;
            return;
        }
        let repaired: Vec<usize> = (self.conns[index].cut_off.read.iter())
            .filter(|(nth, (_, id))| self.dead_in(index, **nth).as_ref() != Some(id))
            .map(|(nth, _)| *nth)
            .collect();
        for nth in repaired {
            self.conns[index].cut_off.read.remove(&nth);
            self.conns[index].cut_off.listed.remove(&nth);
        }
        let conn = &self.conns[index];
        // Whoever was told what to do may have done it: that is seen with the next look.
        if conn.record.as_ref().is_some_and(|record| record.refusal().is_some()) {
            self.conns[index].cut_off = CutOff::default();
            return;
        }
        if conn.cut_off.muddled || !is_fair(conn) {
            return;
        }
        let late = conn.cut_off.read.iter().find_map(|(nth, (_, id))| {
            let since = conn.cut_off.since(*nth)?;
            (self.now - since > self.allowed(conn)).then(|| (*nth, id.clone(), self.now - since))
        });
        if let Some((nth, id, lasts)) = late {
            self.violate(
                "1 always one that works",
                format!(
                    "sink {nth} has held {id}, which is dead, for {} s since that was seen and all answered",
                    lasts / SECOND
                ),
            );
        }
    }

    /// The budget, and what this provider's own slowness costs.
    fn allowed(&self, conn: &Conn) -> Ms {
        let manners = &conn.manners;
        let sinks = Ms::try_from(conn.sinks.len()).unwrap_or(1);
        let slow = if self.rates.slow_sinks { 60 * SECOND * 2 * sinks } else { 0 };
        let vain = if conn.cut_off.worked_in_vain { 15 * MINUTE } else { 0 };
        BUDGET + vain + manners.accept_delay + manners.list_lag + slow + 20 * self.rates.slowest
    }

    /// The dead token that a place of the policy holds, where what it holds can be told.
    fn dead_in(&self, index: usize, nth: usize) -> Option<TokenId> {
        let conn = &self.conns[index];
        let there = |sink: &&Sink| sink.in_policy && sink.readable && sink.home.is_none();
        let sink = conn.sinks.get(nth).filter(there)?;
        let held = sink.held.as_ref()?;
        if held.marks.is_none() && !conn.manners.id_in_value {
            return None;
        }
        let id = conn.id_of(&held.value)?;
        let tok = conn.tokens.get(&id)?;
        let expired = tok.until.is_some_and(|until| self.provider_now() >= until + DEAD_AFTER);
        (tok.deleted.is_some() || expired).then_some(id)
    }
}

/// Whether nothing but the product keeps readers from a token that works.
fn is_fair(conn: &Conn) -> bool {
    let away = conn.sinks.iter().any(|sink| sink.in_policy && sink.home.is_some());
    let policy = conn.policy();
    policy.terms.mode == Mode::Rotate
        && policy.terms.verify == Verify::Read
        && !away
        && !conn.lost_ledger
        && conn.manners.wild_date == 0
}
