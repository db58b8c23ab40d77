//! What a tenant's answers tell of its limit: how many requests are left, and how fast they come
//! back.
//!
//! Tenants say how many requests are left, in whole numbers, and a moment of reset, in whole
//! seconds, which has two meanings: "one more at" and "full again at". So nothing is built on the
//! second: where none is left, at least one is there at the reset in both meanings. How fast
//! requests come back is measured by the first. Two answers bound it: what was left at the later
//! one, and was sent in between, came back in the time between them. Pacing by the lower bound
//! needs no 429 to learn from and loses nothing, since what came back sooner shows in the next
//! answer and is used.

use std::time::Duration;

use chrono::TimeDelta;

use super::{
    FIRST_PAUSE, LONGEST_RESET, RateLimit, Seen, Span,
    mute::Mute,
    room::{Mark, Room, seconds},
};
use crate::clock::Timestamp;

/// After so long without an answer one request asks how things stand before others follow.
const FRESH: TimeDelta = TimeDelta::seconds(10);

/// So long one request is waited for that asks how things stand; then the next one asks.
const PATIENCE: TimeDelta = TimeDelta::seconds(5);

/// A measurement is not taken over a longer time: others come and go, plans change.
const WINDOW: TimeDelta = TimeDelta::seconds(30);

/// Nothing shorter shows that the rate is lower than it was measured.
const LONG_ENOUGH: TimeDelta = TimeDelta::seconds(2);

/// Where both bounds of the rate are as close as that, it is not looked for any further.
const CLOSE: f64 = 1.05;

/// What is known of a tenant's limit.
#[derive(Debug)]
pub(super) struct Pace {
    /// How many requests the limit holds.
    size: Option<f64>,
    /// What is left at `at`, those under way counted as used: never more than there is.
    level: Option<f64>,
    at: Timestamp,
    seen_at: Timestamp,
    sent_at: Timestamp,
    hint: Option<Hint>,
    /// Requests a second that come back: at least, and at most.
    least: Option<f64>,
    most: Option<f64>,
    anchor: Option<Anchor>,
    counts: Counts,
    /// The last answer found everything back.
    was_full: bool,
    /// The limit is configured: nothing is tried out.
    told: bool,
    /// Whether answers say what is left; unknown before the first one.
    speaks: Option<bool>,
    /// What is known where they do not.
    mute: Mute,
}

/// What the last answer allows to expect where no rate is known.
#[derive(Clone, Copy, Debug)]
struct Hint {
    span: Span,
    /// What is left at its end, where the answer said that.
    level: Option<f64>,
}

/// Requests sent and answered so far.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    sent: i64,
    answered: i64,
}

/// The earlier of two answers.
#[derive(Clone, Copy, Debug)]
struct Anchor {
    mark: Mark,
    received: Timestamp,
    /// How many requests were sent when it came.
    sent: i64,
    remaining: f64,
    /// Everything was back: what is left then is known exactly.
    exact: bool,
    /// Everything was back since: what came back is then not known.
    capped: bool,
}

impl Pace {
    pub(super) fn new(limit: Option<RateLimit>, now: Timestamp) -> Self {
        Self {
            size: limit.map(|limit| f64::from(limit.burst)),
            level: None,
            at: now,
            seen_at: now,
            sent_at: now,
            hint: None,
            least: limit.map(|limit| limit.per_second),
            most: None,
            anchor: None,
            counts: Counts::default(),
            was_full: false,
            told: limit.is_some(),
            speaks: None,
            mute: Mute::new(now),
        }
    }

    /// Whether one more may be sent, `share` of the limit being ours.
    pub(super) fn room(&mut self, share: f64, in_flight: u32, now: Timestamp) -> Room {
        if self.speaks == Some(false) {
            if self.told {
                return Room::Yes;
            }
            return self.mute.room(in_flight, now);
        }
        let Some(before) = self.level else {
            return if self.told { Room::Yes } else { self.alone(in_flight, now) };
        };
        if now - self.seen_at >= FRESH {
            let alone = self.alone(in_flight, now);
            if alone != Room::Yes {
                return alone;
            }
        }
        // A clock that was set back brings nothing back.
        let passed = seconds(now - self.at);
        let need = 1.0 + self.reserve(share);
        let rate = self.rate(need);
        let size = self.size.unwrap_or(f64::INFINITY);
        let mut level = rate.map_or(before, |rate| (before + rate * passed).min(size.max(before)));
        self.at = now;
        let over = self.hint.filter(|hint| !hint.span.holds(now));
        match (over, rate) {
            (Some(Hint { level: Some(then), .. }), _) => level = level.max(then),
            // Nothing is known any more: one may go, and its answer says how things stand.
            (Some(_), None) if in_flight == 0 => level = level.max(need),
            (Some(_), Some(_) | None) | (None, _) => {}
        }
        self.level = Some(level);
        // Rounding must not make the last millisecond endless.
        let missing = need - level;
        if missing < 1e-6 {
            return Room::Yes;
        }
        let by_rate = rate.map(|rate| later(now, missing / rate));
        let hint = self.hint.filter(|hint| hint.span.holds(now));
        let by_hint = hint
            .filter(|hint| rate.is_none() || hint.level.is_some_and(|then| then >= need))
            .map(|hint| hint.span.until);
        match (by_rate, by_hint) {
            (Some(one), Some(other)) => Room::At(one.min(other)),
            (Some(at), None) | (None, Some(at)) => Room::At(at),
            (None, None) => self.alone(in_flight, now),
        }
    }

    /// One request asks how things stand, and the others wait for its answer.
    fn alone(&self, in_flight: u32, now: Timestamp) -> Room {
        self.awaited(in_flight, now).map_or(Room::Yes, Room::At)
    }

    /// Until when the answer to the request that was sent last is waited for, if one is.
    pub(super) fn awaited(&self, in_flight: u32, now: Timestamp) -> Option<Timestamp> {
        let until = self.sent_at + PATIENCE;
        (in_flight > 0 && self.sent_at <= now && now < until).then_some(until)
    }

    /// Counts a request that is sent now.
    pub(super) fn sent(&mut self, now: Timestamp) -> Mark {
        self.counts.sent += 1;
        self.sent_at = now;
        self.mute.sent(now);
        self.level = self.level.map(|level| level - 1.0);
        // What the last answer promised is taken with it.
        self.hint = self
            .hint
            .filter(|hint| hint.span.holds(now))
            .map(|hint| Hint { level: hint.level.map(|level| level - 1.0), ..hint });
        Mark { at: now, answered: self.counts.answered }
    }

    /// Learns from an answer to `mark`, beside which `others` are under way.
    pub(super) fn answered(&mut self, mark: Mark, seen: Seen, others: u32, now: Timestamp) {
        let overlapped = self.counts.answered - mark.answered;
        self.counts.answered += 1;
        let Some(remaining) = seen.remaining else {
            self.speaks = self.speaks.or(Some(false));
            self.mute.granted(mark, now);
            return;
        };
        self.speaks = Some(true);
        self.seen_at = now;
        let limit = seen.limit.filter(|limit| *limit > 0).map(whole);
        self.size = limit.or(self.size);
        let remaining = whole(remaining.max(0));
        self.was_full = self.size.is_some_and(|size| remaining >= size - 1.0);
        self.measure(mark, remaining, now);
        // Requests that are under way, or came to their end meanwhile, may not be in it yet.
        let at_least = remaining - f64::from(others) - whole(overlapped);
        let modelled = self.level.map(|level| {
            let passed = seconds(now - self.at);
            level + self.least.map_or(0.0, |rate| rate * passed)
        });
        let level = match modelled {
            Some(level) if level <= remaining => level.max(at_least),
            Some(_) | None => at_least,
        };
        self.level = Some(level);
        self.at = now;
        let none_left = remaining < 1.0;
        let wait = match seen.resets_in {
            Some(wait) if none_left => wait.clamp(FIRST_PAUSE, LONGEST_RESET),
            Some(_) | None => FIRST_PAUSE,
        };
        let then = (none_left && seen.resets_in.is_some()).then_some(level + 1.0);
        self.hint = Some(Hint { span: Span::new(now, wait), level: then });
    }

    /// A request came to no answer: whether it counted is not known.
    pub(super) fn unanswered(&mut self) {
        self.counts.answered += 1;
        self.anchor = None;
    }

    /// A request was answered 429. `first`: not yet another one since the last pause; the next one
    /// ends at `pause_ends`.
    pub(super) fn throttled(&mut self, first: bool, now: Timestamp, pause_ends: Timestamp) {
        self.unanswered();
        self.level = None;
        self.hint = None;
        if first {
            self.least = self.least.map(|rate| rate / 2.0);
            self.most = None;
            self.mute.refused(now, pause_ends);
        }
    }

    /// What is left to others.
    fn reserve(&self, share: f64) -> f64 {
        let size = self.size.unwrap_or(0.0);
        (size - (size * share).max(1.0)).max(0.0)
    }

    /// How fast to expect requests back.
    fn rate(&self, need: f64) -> Option<f64> {
        let Some(least) = self.least.filter(|rate| *rate > 0.0) else {
            // Between nothing and that.
            return self.most.filter(|rate| *rate > 0.0).map(|rate| rate / 2.0);
        };
        // Where a request waits until everything is back, nothing shows that it was back sooner.
        // It is found out as long as one that comes too early still finds the others' part.
        let blind = self.was_full && self.size.is_some_and(|size| need > size - 1.0);
        let open = self.most.is_none_or(|most| most > least * CLOSE);
        if self.told || !blind || !open || need < 2.0 {
            return Some(least);
        }
        let faster = least * 1.5;
        Some(self.most.map_or(faster, |most| faster.min(least.midpoint(most))))
    }

    /// Bounds the rate by this answer and an earlier one.
    fn measure(&mut self, mark: Mark, remaining: f64, now: Timestamp) {
        let here = Anchor {
            mark,
            received: now,
            sent: self.counts.sent,
            remaining,
            exact: self.was_full,
            capped: false,
        };
        let Some(anchor) = &mut self.anchor else {
            self.anchor = Some(here);
            return;
        };
        anchor.capped |= self.was_full;
        let anchor = *anchor;
        let came_back = |sent: i64| remaining - anchor.remaining + whole(sent);
        let surely = (mark.answered - anchor.sent).max(0) + 1;
        let unseen = if anchor.exact { 0.0 } else { 1.0 };
        let longest = seconds(now - anchor.mark.at) + 0.001;
        let least = (came_back(surely) - unseen) / longest;
        if self.least.is_none_or(|known| least > known) && least > 0.0 {
            self.least = Some(least);
            self.most = self.most.filter(|most| *most >= least);
        }
        let shortest = seconds(mark.at - anchor.received);
        let mut renew = self.was_full || now - anchor.received >= WINDOW || now < anchor.received;
        if !anchor.capped && shortest > 0.0 {
            let perhaps = self.counts.sent - anchor.mark.answered - 1;
            let most = ((came_back(perhaps) + 1.0) / shortest).max(0.0);
            match self.least.filter(|least| most < *least) {
                None => self.most = Some(self.most.map_or(most, |known| known.min(most))),
                // It is lower than it was, or others take their part.
                Some(least) if mark.at - anchor.received >= LONG_ENOUGH => {
                    self.least = Some(most.max(least / 2.0));
                    self.most = None;
                    renew = true;
                }
                Some(_) => {}
            }
        }
        if renew {
            if now - anchor.received >= WINDOW {
                self.most = self.most.map(|most| most * 1.1);
            }
            self.anchor = Some(here);
        }
    }
}

fn whole(number: i64) -> f64 {
    number as f64
}

fn later(now: Timestamp, wait: f64) -> Timestamp {
    let wait = Duration::try_from_secs_f64(wait).unwrap_or(LONGEST_RESET).min(LONGEST_RESET);
    let millis = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
    now + TimeDelta::milliseconds(millis.saturating_add(1))
}
