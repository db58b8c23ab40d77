//! How near the end of a token's life is, and what gives way there.

use scimitar::rotation::policy::Verify;

use super::{
    conn::{Conn, Sink},
    world::{DAY, HOUR, Ms, SECOND, World},
};

/// What the provider's clock can be misjudged by.
const TOLERANCE: Ms = 5 * SECOND;

impl World {
    /// Whether the SCIM endpoint may hold a create up: something is verified there, and the token in
    /// use works for long enough.
    pub(crate) fn endpoint_counts(&self, conn: &Conn) -> bool {
        let current = conn.record.as_ref().and_then(|record| record.current.as_ref());
        if conn.policy().terms.verify == Verify::Off {
            return false;
        }
        let Some(current) = current else { return true };
        let id = &current.token.id;
        let Some(tok) = conn.tokens.get(id).filter(|tok| tok.deleted.is_none()) else {
            return false;
        };
        let left = tok.until.map(|until| (until - self.provider_now(), until - tok.created));
        let near = left.is_some_and(|(left, life)| {
            left <= DAY.min(life / 10).max(HOUR.min(life / 6)) + TOLERANCE
        });
        // Readers who are cut off are given a new one at once.
        let there = |sink: &&Sink| sink.in_policy && sink.home.is_none() && sink.readable;
        let has_it =
            conn.sinks.iter().filter(there).any(|sink| sink.holds(conn).as_ref() == Some(id));
        !near && has_it
    }

    /// Whether what the record has as current has less than an hour or a sixth of its life left.
    pub(crate) fn presses(&self, conn: &Conn) -> bool {
        let current = conn.record.as_ref().and_then(|record| record.current.as_ref());
        current.and_then(|current| conn.tokens.get(&current.token.id)).is_some_and(|tok| {
            let close = |until: Ms| {
                let close = ((until - tok.created) / 6).min(HOUR);
                until - self.provider_now() <= close + TOLERANCE
            };
            tok.deleted.is_some() || tok.until.is_some_and(close)
        })
    }
}
