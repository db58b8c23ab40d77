//! Whether a life has ended well.

use scimitar::rotation::{
    policy::{Mode, ScopePolicy},
    record::Phase,
};

use super::{
    conn::Author,
    world::{SECOND, World},
};

impl World {
    /// 5. It always ends well: once all is quiet, one current token, the same in every sink, no orphan.
    pub(crate) fn promise_5(&mut self, index: usize) {
        if let Some(how) = self.unwell(index) {
            self.violate("5 it always ends well", how);
        }
    }

    /// Why a connection has not ended well, if it has not.
    pub(crate) fn unwell(&self, index: usize) -> Option<String> {
        let conn = &self.conns[index];
        let provider_now = self.provider_now();
        let Some(record) = &conn.record else {
            return Some("nothing was ever written down".to_owned());
        };
        match &record.phase {
            Phase::Steady => {}
            Phase::Minting(_) | Phase::Delivering(_) => {
                return Some(format!("it is still {}", record.phase_name()));
            }
        }
        let Some(current) = &record.current else {
            return Some(format!(
                "it has no current token; refused: {:?}",
                record.refusal().map(|refusal| &refusal.words)
            ));
        };
        let id = &current.token.id;
        if !conn.is_live(id, provider_now) {
            return Some(format!("the current token {id} is not live"));
        }
        for (nth, sink) in conn.sinks.iter().enumerate() {
            let by_hand = sink.real().is_none_or(|held| !matches!(held.author, Author::Worker(_)));
            if sink.in_policy
                && (sink.readable || sink.is_behind() || !by_hand)
                && sink.holds(conn).as_ref() != Some(id)
            {
                return Some(format!(
                    "sink {nth} holds {:?}, not the current {id}",
                    sink.holds(conn)
                ));
            }
        }
        let policy = conn.policy();
        if let (ScopePolicy::Exactly(wanted), Some(asked)) = (&policy.terms.scopes, &current.asked)
            && policy.capabilities.scopes
            && policy.terms.mode == Mode::Rotate
            && asked.scopes != *wanted
        {
            return Some(format!("{id} was asked for with other scopes than the policy has now"));
        }
        if let Some(how) = self.config_unwell(index) {
            return Some(how);
        }
        if let Some(how) = self.leads_back(conn) {
            return Some(how);
        }
        conn.tokens
            .iter()
            .filter(|(other, tok)| *other != id && tok.deleted.is_none())
            .filter(|(_, tok)| tok.maker.is_some())
            .filter(|(_, tok)| tok.until.is_none_or(|until| until > provider_now))
            .filter(|(other, _)| !record.retiring.iter().any(|older| older.token.id == **other))
            .find(|(_, tok)| tok.recorded && !conn.lost_ledger || !self.unprovable(conn, tok))
            .map(|(other, tok)| {
                format!(
                    "{other} is ours, live and owned by nobody (made {} s ago, value {})",
                    (self.now - tok.made) / SECOND,
                    if tok.recorded { "written down once" } else { "never written down" }
                )
            })
    }
}
