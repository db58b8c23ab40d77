//! The promises, checked where they can be broken: at each effect and each thing written down.
//! The world knows what the product cannot: who made a token, when a sink really changed.

use std::sync::Arc;

use scimitar::{
    clock::Told,
    ledger::Entry,
    rotation::{
        policy::{Lead, Policy, Retire, Unmanaged, Verify},
        record::{Cause, Intent, Phase, Proof, Record, Retiring, Trouble},
    },
    sink::Delivery,
    token::{ConnectionKey, Listing, MintRequest, TokenId},
};

use super::{
    conn::{Attempt, Author, CANARY, Conn, Tok},
    observe::Change,
    world::{DAY, HOUR, MINUTE, Ms, Pid, SECOND, World},
};

/// A token that expired this long ago by the provider's clock is dead.
pub(crate) const DEAD_AFTER: Ms = 5 * MINUTE;
/// What the provider's clock can be misjudged by: it tells whole seconds, and a list takes a while.
const TOLERANCE: Ms = 5 * SECOND;

pub(crate) fn span(of: std::time::Duration) -> Ms {
    Ms::try_from(of.as_millis()).unwrap_or(Ms::MAX / 4)
}

/// What went wrong, of every kind of work.
fn troubles(record: &Record) -> impl Iterator<Item = &Trouble> {
    let sinks = record.sinks.values().filter_map(|sink| sink.trouble.as_ref());
    record.troubles.iter().map(|(_, trouble)| trouble).chain(sinks)
}

fn ms(at: impl Told) -> Ms {
    at.as_told().timestamp_millis()
}

impl World {
    pub(crate) fn index(&self, key: &ConnectionKey) -> usize {
        self.conns.iter().position(|conn| conn.policy().key == *key).unwrap_or(0)
    }

    pub(crate) fn attempt(&mut self, pid: Pid, conn: usize) -> &mut Attempt {
        self.conns[conn].attempts.entry(pid).or_default()
    }

    /// A claim begins: nothing that was asked under an older one counts.
    pub(crate) fn claimed(&mut self, pid: Pid, key: &ConnectionKey, fence: u64) {
        let conn = self.index(key);
        self.note(|| format!("{pid:?} claims [{conn}], fence {fence}"));
        let attempt = self.attempt(pid, conn);
        attempt.listed = None;
        attempt.anonymous = false;
        attempt.proved.clear();
        attempt.reads.clear();
    }

    pub(crate) fn listed(&mut self, pid: Pid, index: usize, listing: &Listing) {
        let ids = listing.tokens.iter().map(|token| token.id.clone()).collect();
        self.attempt(pid, index).listed = Some(ids);
    }

    pub(crate) fn proven(&mut self, index: usize, value: &str) {
        if let Some(id) = self.conns[index].id_of(value)
            && let Some(tok) = self.conns[index].tokens.get_mut(&id)
        {
            tok.proven = true;
        }
    }

    /// 1. Always one that works: every sink's current token is valid at the provider.
    pub(crate) fn promise_1(&mut self, index: usize, because: &str) {
        let provider_now = self.provider_now();
        let conn = &self.conns[index];
        let (mut broken, mut fair) = (None, Vec::new());
        let ends = conn.policies.iter().any(|(_, policy)| policy.terms.retire.at_latest.is_some());
        for (nth, sink) in conn.sinks.iter().enumerate() {
            let ours = sink.real().is_some_and(|held| matches!(held.author, Author::Worker(_)));
            if !ours || !sink.in_policy {
                continue;
            }
            let Some(id) = sink.holds(conn) else { continue };
            let Some(tok) = conn.tokens.get(&id) else {
                continue;
            };
            // What was deleted after it had expired did not stop working by that.
            let expired =
                |at: Ms| tok.until.is_some_and(|until| until - self.provider_offset <= at);
            if let Some(at) = tok.deleted.filter(|at| !expired(*at)) {
                if !tok.deleted_by_person && !sink.may_be_cut_off(ends || tok.condemned) {
                    broken = Some(format!(
                        "sink {nth} holds {id}, which was deleted {} ms ago by a worker",
                        self.now - at
                    ));
                }
            } else if let Some(until) = tok.until
                && until <= provider_now
                // It was given another in time.
                && !sink.is_behind()
                && !tok.expired_fairly
            {
                if self.may_expire(conn, tok, until) {
                    fair.push(id);
                } else {
                    broken = Some(format!("sink {nth} holds {id}, which expired unhindered"));
                }
            }
        }
        for id in fair {
            if let Some(tok) = self.conns[index].tokens.get_mut(&id) {
                tok.expired_fairly = true;
            }
        }
        if let Some(how) = broken {
            self.violate("1 always one that works", format!("{because}: {how}"));
        }
    }

    /// Whether people, outages or the policy itself left no fair chance to replace a token.
    fn may_expire(&self, conn: &Conn, tok: &Tok, until: Ms) -> bool {
        let Some(lead) = conn.policy().terms.rotate_before else {
            return true;
        };
        let lead = span(match lead {
            Lead::Fixed(_) | Lead::Share(_) => {
                lead.of(std::time::Duration::from_millis((until - tok.created).unsigned_abs()))
            }
        });
        let until = until - self.provider_offset;
        // A schedule may keep it waiting for most of that.
        let share = if conn.policy().terms.schedule.is_some() { lead * 9 / 10 } else { lead / 2 };
        let needed = share.max(10 * MINUTE);
        let waits_for_evidence = |retire: &Retire| {
            retire.at_latest.is_none() && (retire.after_use || retire.when_idle.is_some())
        };
        // Not known as ours, or only since it expired and stood in the way of a create.
        let nobodys = |id: &TokenId| {
            conn.record.as_ref().is_some_and(|record| {
                let dead = record
                    .retiring
                    .iter()
                    .any(|older| older.token.id == *id && older.cause == Cause::Dead);
                dead || record.unmanaged.contains_key(id)
            })
        };
        let stuck = conn.tokens.iter().any(|(id, other)| {
            let live = other.deleted.is_none_or(|at| at > until - lead);
            // An older one whose evidence never came keeps its slot: that is what was asked for, and
            // where others took its value away, the rule, as long as it lives itself.
            let by_evidence = conn.record.as_ref().is_some_and(|record| {
                record.retiring.iter().any(|older| older.token.id == *id && older.on_evidence)
            });
            let dies = other.until.map(|dies| dies - self.provider_offset + DEAD_AFTER);
            let in_time = dies.is_some_and(|dies| dies < until - 10 * MINUTE);
            let asked_for =
                conn.policies.iter().any(|(_, policy)| waits_for_evidence(&policy.terms.retire));
            let kept = other.delivered.is_some()
                && other.made != tok.made
                && (asked_for || by_evidence && !in_time);
            let kept = kept || other.made != tok.made && conn.waits_for_client();
            // Nobody can prove whose it is.
            let unprovable =
                !other.recorded && self.unprovable(conn, other) || conn.lost_ledger && nobodys(id);
            live && (kept || unprovable)
        });
        let life = tok.until.map_or(lead, |ends| ends - tok.created);
        let locked_out = self.locked_out(conn, life, until - lead, until);
        let hindered = conn.longest_calm(until - lead, until) < needed;
        // What held it back left the last part of its life.
        stuck || hindered || locked_out == Some(false)
    }

    /// Whether an orphan cannot be told from a person's token by anything written down.
    pub(crate) fn unprovable(&self, conn: &Conn, tok: &Tok) -> bool {
        conn.lost_ledger
            || conn.manners.grant_error.abs() > 2 * SECOND
            || tok.until.is_none()
            || tok.last_client_use.is_some()
    }

    /// 2. Nothing is revoked on a guess.
    pub(crate) fn promise_2(&mut self, pid: Pid, index: usize, id: &TokenId) {
        self.note(|| format!("{pid:?} revokes {id} of [{index}]"));
        self.promise_observe(pid, index, Change::Revoke(id));
        self.held_revoke(pid, index, id);
        if let Some(how) = self.unjustified(pid, index, id) {
            self.violate("2 nothing is revoked on a guess", format!("DELETE {id}: {how}"));
        }
    }

    fn unjustified(&self, pid: Pid, index: usize, id: &TokenId) -> Option<String> {
        let conn = &self.conns[index];
        let tok = conn.tokens.get(id)?;
        if tok.deleted.is_some() {
            return None;
        }
        let expired_at = tok.until.map(|until| until - self.provider_offset);
        let dead = expired_at.is_some_and(|at| self.now >= at + DEAD_AFTER - TOLERANCE);
        if dead && conn.refused_slot.is_some_and(|refused| refused >= tok.made) {
            return None;
        }
        let attempt = conn.attempts.get(&pid);
        // What changed since this process looked, by another hand, it could not know.
        let unseen = |nth: usize| {
            let sink = &conn.sinks[nth];
            let by_others =
                sink.real().is_none_or(|held| !matches!(held.author, Author::Worker(_)));
            let read = attempt.and_then(|attempt| attempt.reads.get(&nth));
            // A place that left the policy, that nothing was ever delivered to, and that a person
            // put something into, is no business of the product's.
            let nobodys = sink.held.as_ref().is_some_and(|held| held.author == Author::Person)
                && !conn
                    .record
                    .as_ref()
                    .is_some_and(|record| record.sinks.contains_key(&sink.place.key));
            by_others && (!sink.readable || read.is_some_and(|read| sink.changed > *read))
                || !sink.in_policy
                    && (!sink.readable || !sink.reopens || conn.lost_ledger || nobodys)
        };
        let policies = &conn.policies[tok.policy..];
        let since = tok.left_a_sink.or_else(|| tok.in_a_sink.then_some(tok.made));
        let late = policies.iter().any(|(_, policy)| {
            policy
                .terms
                .retire
                .at_latest
                .zip(since)
                .is_some_and(|(latest, since)| self.now - since >= span(latest) - TOLERANCE)
        });
        let holder =
            |nth: &usize| !unseen(*nth) && !conn.sinks[*nth].may_be_cut_off(late || tok.condemned);
        if let Some(nth) = conn.holders(id).into_iter().find(holder) {
            return Some(format!("sink {nth} holds it"));
        }
        if tok.condemned || (tok.maker.is_some() && tok.delivered.is_none()) {
            return None;
        }
        let Some(since) = since else {
            let retires =
                policies.iter().any(|(_, policy)| policy.terms.unmanaged == Unmanaged::Retire);
            let used = tok.last_client_use.is_some_and(|at| self.now - at < 7 * DAY - HOUR);
            return (!retires || self.now - tok.made < DAY - TOLERANCE || used)
                .then(|| "a person made it, and it was never in a sink".to_owned());
        };
        let least = |of: &dyn Fn(&Retire) -> Option<Ms>| {
            policies.iter().map(|(_, policy)| of(&policy.terms.retire)).min().flatten()
        };
        let held_back = self.now - since;
        let overlap = least(&|retire| Some(span(retire.overlap))).unwrap_or(0);
        if held_back < overlap - TOLERANCE {
            return Some(format!(
                "the last sink gave it up {} s ago, the overlap is {} s",
                held_back / SECOND,
                overlap / SECOND
            ));
        }
        let newer_used =
            conn.tokens.iter().any(|(other, tok)| other != id && tok.last_client_use.is_some());
        if policies.iter().all(|(_, policy)| policy.terms.retire.after_use) && !late && !newer_used
        {
            return Some("no newer token was ever used by a client".to_owned());
        }
        // What has expired is listed no more by some, its last use is not known any more, and
        // whoever used it last cannot be cut off.
        let expired = expired_at.is_some_and(|at| self.now >= at);
        if let Some(idle) = least(&|retire| retire.when_idle.map(span))
            && !late
            && !expired
        {
            // What a list showed half a minute ago: nothing later has to be known.
            let seen = self.now - conn.manners.list_lag - 35 * SECOND;
            if let Some(used) = tok.shown_use(seen).map(ms)
                && self.provider_now() - used < idle - TOLERANCE
            {
                let ago = (self.provider_now() - used) / SECOND;
                return Some(format!(
                    "its use {ago} s ago was shown, it is to be idle for {} s",
                    idle / SECOND
                ));
            }
        }
        let provider_now = self.provider_now();
        for (nth, sink) in conn.sinks.iter().enumerate() {
            let live = sink.holds(conn).is_some_and(|id| {
                // What a person deleted a moment ago may still be listed.
                let unlisted = self.now - conn.manners.list_lag - 35 * SECOND;
                let just_gone = conn.tokens.get(&id).is_some_and(|tok| {
                    tok.deleted_by_person && tok.deleted.is_some_and(|at| at >= unlisted)
                });
                just_gone || conn.is_live(&id, provider_now + TOLERANCE)
            });
            let given = attempt.is_some_and(|attempt| attempt.sinks.contains(&nth));
            if sink.readable && sink.in_policy && given && !live && !unseen(nth) {
                return Some(format!("sink {nth} holds no live token instead"));
            }
        }
        None
    }

    /// 3. Nothing is started that cannot be finished.
    pub(crate) fn promise_3(&mut self, pid: Pid, index: usize, request: &MintRequest) {
        self.promise_observe(pid, index, Change::Create);
        let conn = &self.conns[index];
        let none = Attempt::default();
        let attempt = conn.attempts.get(&pid).unwrap_or(&none);
        let cap = conn.manners.cap;
        let announced = conn.record.as_ref().is_some_and(|record| {
            let is_it = |it: &Intent| it.life == request.life && it.scopes == request.scopes;
            // One that stood still before it sent this: whoever took over keeps the intent open.
            let open = record.intents.iter().any(is_it);
            open || matches!(&record.phase, Phase::Minting(intent) if is_it(intent))
        });
        // What was listed and has died or been deleted since is out of its slot.
        let dead_before = self.provider_now() - DEAD_AFTER + TOLERANCE;
        let used = attempt.listed.as_ref().map(|listed| {
            let there = |id: &&TokenId| {
                let tok = conn.tokens.get(*id).filter(|tok| tok.deleted.is_none());
                tok.is_some_and(|tok| tok.until.is_none_or(|until| until > dead_before))
            };
            listed.iter().filter(there).count()
        });
        let how = match used {
            None => Some("without a list".to_owned()),
            Some(used) if cap.is_some_and(|cap| used >= cap) => {
                Some(format!("with {used} slots in use"))
            }
            Some(_) if !attempt.anonymous && self.endpoint_counts(conn) => {
                Some("without asking the SCIM endpoint".to_owned())
            }
            Some(_) if !announced => Some("without its intent written down".to_owned()),
            // At the end of the current token's life one sink is enough: the others would all be
            // locked out for the sake of that one.
            Some(_) if self.presses(conn) && !attempt.proved.is_empty() => None,
            Some(_) => attempt
                .sinks
                .difference(&attempt.proved)
                .next()
                .map(|sink| format!("without sink {sink} shown writable")),
        };
        self.note(|| format!("{pid:?} creates for [{index}]"));
        self.held_mint(pid, index);
        if let Some(how) = how {
            self.violate("3 nothing is started that cannot be finished", format!("create {how}"));
        }
        self.attempt(pid, index).listed = None;
    }

    /// Each promote is announced, of a live token that was verified as the policy asks.
    pub(crate) fn before_promote(
        &mut self,
        pid: Pid,
        index: usize,
        sink: usize,
        delivery: &Delivery,
    ) {
        let id = &delivery.marks.token_id;
        self.note(|| format!("{pid:?} promotes {id} to [{index}.{sink}]"));
        self.promise_observe(pid, index, Change::Deliver(id));
        let conn = &self.conns[index];
        let key = &conn.sinks[sink].place.key;
        let record = conn.record.as_ref();
        let begun = record
            .and_then(|record| record.sinks.get(key))
            .and_then(|state| state.begun.as_ref())
            .is_some_and(|begun| begun.id == *id);
        let waived = record.is_some_and(|record| match &record.phase {
            Phase::Delivering(delivery) => {
                let off = delivery.verify == Verify::Off && !delivery.found;
                delivery.proof == Proof::Waived || off
            }
            Phase::Steady | Phase::Minting(_) => false,
        });
        let ever = |policy: &Policy| policy.terms.verify == Verify::Off;
        // What was once delivered without a proof is known by its digest from then on.
        let waived = waived || conn.policies.iter().any(|(_, policy)| ever(policy));
        let waived = waived || conn.tokens.get(id).is_some_and(|tok| tok.waived);
        let how = match conn.tokens.get(id) {
            None => Some("is no token of this connection"),
            Some(tok) if *tok.value != *delivery.value.expose() => Some("has another's value"),
            Some(_) if !begun => Some("was not announced for this sink"),
            Some(tok) if !tok.proven && !waived => Some("was not verified"),
            Some(_) => None,
        };
        if let Some(how) = how {
            self.violate("2 nothing is revoked on a guess", format!("promote: {id} {how}"));
        }
        if let Some(tok) = self.conns[index].tokens.get_mut(id) {
            tok.waived |= waived;
        }
    }

    /// 4. No value anywhere but in the sinks; 7. it never gives up.
    pub(crate) fn stored(&mut self, pid: Pid, record: &Arc<Record>, entry: &Entry) {
        let index = self.index(&record.key);
        self.note(|| {
            format!(
                "{pid:?} writes [{index}] {}: {} — {}",
                record.phase_name(),
                entry.event,
                entry.words
            )
        });
        self.no_value_in("the history", &entry.words);
        if self.thorough || self.calls.is_multiple_of(64) {
            self.no_value_in("the record", &format!("{record:?}"));
        }
        // What is retired as nobody's is not known as ours by that.
        let ours = |older: &&Retiring| {
            !matches!(older.cause, Cause::Unmanaged | Cause::Dead | Cause::Asked)
        };
        let now_known = record.retiring.iter().filter(ours).map(|older| &older.token.id);
        let now_known = now_known.chain(record.target()).chain(record.deleted.keys());
        for id in now_known {
            if let Some(tok) = self.conns[index].tokens.get_mut(id) {
                tok.recorded = true;
            }
        }
        let before = self.conns[index].record.replace(Arc::clone(record));
        let before = before.as_deref();
        self.note_pause(index, before, record);
        // Judged when it is new, by the clocks of that moment: they may be set afterwards.
        let known: Vec<&Trouble> = before.into_iter().flat_map(troubles).collect();
        for trouble in troubles(record).filter(|trouble| !known.contains(trouble)) {
            self.promise_7(pid, trouble, record);
        }
        self.wake_all = true;
    }

    pub(crate) fn no_value_in(&mut self, what: &str, text: &str) {
        if text.contains(CANARY) {
            self.violate("4 no value anywhere but in the sinks", format!("{what}: {text}"));
        }
    }

    /// 7. Back-off is capped by a tenth of the life that is left, and by an hour.
    fn promise_7(&mut self, pid: Pid, trouble: &Trouble, record: &Record) {
        let pause = ms(trouble.retry_at) - ms(trouble.at);
        let asked = trouble.fault.retry_after.map_or(0, span);
        // Expiry is the provider's time, the failure's is the host's; a clock that was set since
        // the last list came cannot be known of.
        let skew = self.provider_offset - self.offset(pid);
        let shown = record.survey.as_ref().map_or(skew, |survey| survey.skew_ms);
        let left = |skew: Ms| {
            record.expires_at().map_or(Ms::MAX, |expiry| ms(expiry) - ms(trouble.at) - skew)
        };
        let longest = |left: Ms| {
            if left > 0 {
                (left / 10).clamp(MINUTE, HOUR)
            } else {
                (-left / 10).clamp(MINUTE, 15 * MINUTE)
            }
        };
        // Where readers are cut off before the current token ends, it is how long they have been.
        let cut_off = record.cut_off_since().map_or(0, |since| ms(since) - ms(trouble.at));
        let of_life = longest(left(skew)).max(longest(left(shown)));
        let allowed = of_life.max(longest(cut_off.min(0))).max(asked) + MINUTE;
        let left = left(skew);
        if pause > allowed {
            self.violate(
                "7 it never gives up near expiry",
                format!(
                    "the next try is {} s away, {} s of life are left: {}",
                    pause / SECOND,
                    left / SECOND,
                    trouble.fault
                ),
            );
        }
    }
}
