//! What a pause and a freeze hold back, and that neither of them, nor a window, locks anybody out.

use scimitar::{
    clock::parse_timestamp,
    rotation::{
        freeze::{Freeze, LocalSpan},
        pause::Pause,
        policy::Policy,
        record::{Cause, Phase, Record},
        schedule::Schedule,
    },
    token::TokenId,
};

use super::{
    clock::timestamp,
    conn::Conn,
    people::{Deed, seconds},
    process::{Job, What},
    rng::Rng,
    world::{DAWN, DAY, Event, HOUR, MINUTE, Ms, Pid, SECOND, World},
};

/// How much of a life the product keeps behind what holds a rotation back.
fn reserve(life: Ms) -> Ms {
    (life / 10).clamp(10 * MINUTE, DAY)
}

/// What the product decides by may be off by this: lists take a while, clocks tell whole seconds.
const SLOP: Ms = MINUTE;

/// Some policies freeze a part of the life, or let rotations start in windows only.
pub(crate) fn draw_policy(rng: &mut Rng, policy: &mut Policy, life: Ms) {
    if rng.one_in(3) {
        let from = DAWN + rng.below(life * 3);
        let until = from + (life * rng.range(1, 60) / 100).max(MINUTE);
        let local = |at: Ms| timestamp(at).format("%Y-%m-%dT%H:%M:%S").to_string();
        let text = format!("{}/{}", local(from), local(until));
        let spans: Vec<LocalSpan> = LocalSpan::parse(&text).into_iter().collect();
        policy.terms.freeze = Freeze::new(&spans, chrono_tz::Tz::UTC);
    }
    let window = rng.pick(&[20 * MINUTE, 2 * HOUR, 5 * HOUR]);
    if rng.one_in(2) {
        let schedule = policy.terms.schedule.take();
        policy.terms.schedule = schedule.map(|it| Schedule::with_window(it, Some(seconds(window))));
    }
}

/// Some operators pause, and some of these think better of it.
pub(crate) fn draw_pauses(rng: &mut Rng, world: &mut World, life: Ms, faults_end: Ms) {
    for _ in 0..rng.pick(&[0, 0, 0, 1, 2]) {
        let at = DAWN + rng.below(faults_end - DAWN);
        let length = (life * rng.range(1, 120) / 100).max(MINUTE);
        let ask =
            |what| Event::People { conn: 0, deed: Deed::RotationRequest { what, wait: false } };
        world.schedule(at, ask(What::Pause(length)));
        if rng.one_in(3) {
            world.schedule(at + rng.below(length), ask(What::Resume));
        }
    }
}

impl World {
    /// An operator's pause of that length, from now on.
    pub(crate) fn pause(&self, pid: Pid, length: Ms) -> Pause {
        let (by, reason) = ("alice".to_owned(), "a migration".to_owned());
        let since = self.wall(pid);
        Pause { since: timestamp(since), until: timestamp(since + length), by, reason }
    }

    /// A record was written: when it is paused is remembered in true time.
    pub(crate) fn note_pause(&mut self, index: usize, before: Option<&Record>, record: &Record) {
        let was = before.and_then(|before| before.pause.as_ref());
        if was == record.pause.as_ref() {
            return;
        }
        let (now, offset) = (self.now, self.host_offset);
        let pauses = &mut self.conns[index].pauses;
        if let Some(last) = pauses.last_mut() {
            last.1 = last.1.min(now);
        }
        if let Some(pause) = &record.pause {
            pauses.push((now, pause.until.timestamp_millis() - offset));
        }
    }

    /// Whether something held a rotation back while a token had so little left, and nothing but that
    /// kept it from its replacement: the product keeps a part of the life for it.
    pub(crate) fn locked_out(&self, conn: &Conn, life: Ms, from: Ms, until: Ms) -> Option<bool> {
        let within = |one: &(Ms, Ms)| one.1 > from && one.0 < until;
        let windows = |policy: &Policy| {
            let late = timestamp(until);
            let schedule = policy.terms.schedule.as_ref();
            let closed = |at| schedule.is_some_and(|it| it.opens(at).is_some());
            (0..48).any(|half| closed(late - chrono::TimeDelta::minutes(30 * half)))
        };
        let frozen = |policy: &Policy| {
            let ahead = policy.terms.freeze.longest_after(timestamp(from + self.provider_offset));
            ahead.is_some_and(|span| span.from < timestamp(until + self.provider_offset))
        };
        let held = conn.pauses.iter().any(within)
            || conn.policies.iter().any(|(_, policy)| windows(policy) || frozen(policy));
        let kept = reserve(life) - SLOP;
        held.then(|| conn.longest_calm(until - kept, until) >= kept * 9 / 10)
    }

    /// Until when what the policy asks for is held back now, in true time.
    fn held_until(&self, pid: Pid, conn: &Conn) -> Option<Ms> {
        let record = conn.record.as_ref()?;
        let job = self.processes.get(&pid).map(|process| process.job);
        let asked = match job {
            Some(Job::Once { what, .. }) => what,
            Some(Job::Daemon(_) | Job::Script { .. }) | None => What::Due,
        };
        // With windows, a hold may end too late for the last of them.
        let late = timestamp(self.provider_now());
        let schedule = conn.policy().terms.schedule.as_ref();
        let windows = (0..48).any(|half| {
            let at = late + chrono::TimeDelta::minutes(30 * half);
            schedule.is_some_and(|schedule| schedule.opens(at).is_some())
        });
        if asked == What::Compromised || windows {
            return None;
        }
        let pause = record.pause.as_ref().map(|it| it.until.timestamp_millis() - self.host_offset);
        let pause = pause.filter(|until| *until > self.now + SLOP);
        let freeze = conn.policy().terms.freeze.at(timestamp(self.provider_now()));
        let freeze = freeze.filter(|_| asked != What::Rotate);
        let began = |it: &scimitar::rotation::freeze::Span| {
            it.from.timestamp_millis() + SLOP < self.provider_now()
        };
        let freeze = freeze.filter(began);
        let ends = |span: scimitar::rotation::freeze::Span| {
            span.until.timestamp_millis() - self.provider_offset
        };
        let mut end = pause.max(freeze.map(ends).filter(|until| *until > self.now + SLOP))?;
        // A pause may lead into a freeze, or end in one.
        let freezes = &conn.policy().terms.freeze;
        let there = |at: Ms| timestamp(at + self.provider_offset);
        while let Some(later) = [end, end + SLOP]
            .into_iter()
            .find_map(|at| freezes.at(there(at)).map(ends).filter(|later| *later > end))
        {
            end = later;
        }
        Some(end)
    }

    /// Whether readers have to be served before that: they are without a token that works, or will be.
    fn presses_before(&self, conn: &Conn, end: Ms) -> bool {
        let Some(record) = &conn.record else { return true };
        let provider_now = self.provider_now();
        let works = |id: &TokenId| conn.is_live(id, provider_now);
        let served = conn
            .sinks
            .iter()
            .filter(|sink| sink.in_policy)
            .all(|sink| sink.home.is_none() && sink.holds(conn).is_some_and(|id| works(&id)));
        let Some(current) = &record.current else { return false };
        let ends =
            conn.tokens.get(&current.token.id).and_then(|tok| Some((tok.created, tok.until?)));
        let runs_out = ends.is_some_and(|(created, until)| {
            until - self.provider_offset - reserve(until - created) < end + SLOP
        });
        !record.condemned.is_empty() || !works(&current.token.id) || !served || runs_out
    }

    /// Clocks that were set, and dates that are wrong, are no fault of the product.
    fn tells_time(&self, conn: &Conn) -> bool {
        let later = conn.policies.len() == 1 && !conn.lost_ledger;
        let set = self.host_offset != 0;
        !set && conn.manners.wild_date == 0 && conn.manners.dated && later
    }

    /// Nothing is begun while it is held back.
    pub(crate) fn held_mint(&mut self, pid: Pid, index: usize) {
        let conn = &self.conns[index];
        let Some(end) = self.held_until(pid, conn).filter(|_| self.tells_time(conn)) else {
            return;
        };
        // One that was announced before is finished.
        let announced = conn.record.as_ref().is_some_and(|record| match &record.phase {
            Phase::Minting(intent) => {
                record.pause.as_ref().is_some_and(|pause| intent.at <= pause.since)
            }
            Phase::Steady | Phase::Delivering(_) => false,
        });
        if !announced && !self.presses_before(conn, end) {
            let left = (end - self.now) / SECOND;
            self.violate("a pause holds", format!("a token is made {left} s before the end"));
        }
    }

    /// Nothing is revoked by the policy while it is held back.
    pub(crate) fn held_revoke(&mut self, pid: Pid, index: usize, id: &TokenId) {
        let conn = &self.conns[index];
        let Some(end) = self.held_until(pid, conn).filter(|_| self.tells_time(conn)) else {
            return;
        };
        let by_policy = conn.record.as_ref().is_some_and(|record| {
            let it = record.retiring.iter().find(|it| it.token.id == *id);
            let superseded = it.is_some_and(|it| it.cause == Cause::Superseded);
            superseded && !record.condemned.contains(id)
        });
        if by_policy && !self.presses_before(conn, end) {
            let left = (end - self.now) / SECOND;
            self.violate("a pause holds", format!("{id} is revoked {left} s before the end"));
        }
    }
}

#[test]
fn a_drawn_freeze_is_one() {
    let dawn = parse_timestamp("2026-01-05T00:00:00Z").expect("a plain time");
    assert_eq!(dawn.timestamp_millis(), DAWN);
    let manners = super::conn::Manners::plain();
    let drawn = (0..50).filter(|seed| {
        let mut policy = super::life::plain_policy("a", &manners);
        draw_policy(&mut Rng::new(*seed), &mut policy, 30 * DAY);
        policy.terms.freeze.longest_after(dawn).is_some()
    });
    assert!(drawn.count() > 5);
}
