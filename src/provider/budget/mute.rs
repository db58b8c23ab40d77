//! The pace at a tenant whose answers say nothing of a limit: learnt from its 429s alone.
//!
//! Between two refusals as many requests were granted as came back in that time, give or take one.
//! So the first refusal is only remembered, the second one gives a rate, and each further one a
//! better one. Requests are spaced a bit wider than that, and a bit closer after each that is
//! granted. How many are under way together grows with the number that was granted, because all of
//! them may be refused when the limit is met.

use std::time::Duration;

use chrono::TimeDelta;

use super::room::{Mark, Room, seconds};
use crate::clock::Timestamp;

/// What is kept of the rate at which requests were granted, after a refusal.
const CUT: f64 = 0.9;

/// How much closer requests are spaced after each that is granted.
const RAISE: f64 = 1.01;

/// Requests a second that are sent at least: what looks slower is a tenant that is shut.
const SLOWEST: f64 = 0.2;

/// So many are under way together at first, and one more for each `GRANTED` that were granted.
const AT_FIRST: u32 = 2;
const GRANTED: u32 = 8;

/// Where as many are under way, so long an answer is waited for before one more is sent: what hangs
/// holds up the others no longer.
const SOON: TimeDelta = TimeDelta::milliseconds(500);

/// After so long without a request the tenant had time to fill up: what was granted since the last
/// refusal is then no measure of a rate.
const IDLE: f64 = 2.0;

/// What is known of such a tenant.
#[derive(Debug)]
pub(super) struct Mute {
    /// Requests granted so far, halved with each refusal.
    trust: u32,
    /// The last refusal, if requests came without a break since.
    refused: Option<Timestamp>,
    /// Requests sent and granted since.
    granted: u32,
    /// Requests a second; `None` while nothing was measured.
    rate: Option<f64>,
    /// When the next one may be sent.
    next: Timestamp,
    /// When one was last sent.
    sent: Timestamp,
    /// When something was last sent or answered, or the end of a pause.
    busy: Timestamp,
}

impl Mute {
    pub(super) fn new(now: Timestamp) -> Self {
        Self { trust: 0, refused: None, granted: 0, rate: None, next: now, sent: now, busy: now }
    }

    /// Whether one more may be sent, as many being under way.
    pub(super) fn room(&self, in_flight: u32, now: Timestamp) -> Room {
        let full = in_flight >= AT_FIRST.saturating_add(self.trust / GRANTED);
        let until = self.sent + SOON;
        if full && self.sent <= now && now < until {
            return Room::At(until);
        }
        match self.gap() {
            // Farther away than a gap: the clock was set back.
            Some(gap) if now < self.next && self.next <= now + gap + gap => Room::At(self.next),
            Some(_) | None => Room::Yes,
        }
    }

    /// Notes a request that is sent now.
    pub(super) fn sent(&mut self, now: Timestamp) {
        let break_ends = IDLE.max(self.rate.map_or(0.0, |rate| 2.0 / rate));
        if seconds(now - self.busy) > break_ends {
            self.refused = None;
        }
        self.busy = self.busy.max(now);
        self.sent = now;
        if let Some(gap) = self.gap() {
            // Who comes a little late does not make all who follow late.
            self.next = self.next.clamp(now - gap, now) + gap;
        }
    }

    /// Notes that `mark` was granted.
    pub(super) fn granted(&mut self, mark: Mark, now: Timestamp) {
        self.busy = self.busy.max(now);
        self.trust = self.trust.saturating_add(1);
        self.granted += u32::from(self.refused.is_some_and(|refused| mark.at >= refused));
        self.rate = self.rate.map(|rate| rate * RAISE);
    }

    /// Notes the first refusal since a pause, and when the next pause ends.
    pub(super) fn refused(&mut self, now: Timestamp, pause_ends: Timestamp) {
        let measured = self
            .refused
            .filter(|_| self.granted > 0)
            .map(|refused| f64::from(self.granted) / seconds(now - refused).max(0.001));
        let rate = match (self.rate, measured) {
            (Some(rate), Some(measured)) => Some((measured.min(rate) * CUT).max(rate / 2.0)),
            (Some(rate), None) if self.refused.is_none() => Some(rate * CUT),
            // Nothing was granted since the last one: it is shut, which is no rate.
            (Some(rate), None) => Some(rate),
            (None, measured) => measured.map(|measured| measured * CUT),
        };
        self.rate = rate.map(|rate| rate.max(SLOWEST));
        self.trust /= 2;
        self.refused = Some(now);
        self.granted = 0;
        self.busy = pause_ends;
        self.next = pause_ends;
    }

    fn gap(&self) -> Option<TimeDelta> {
        let gap = Duration::try_from_secs_f64(1.0 / self.rate?).ok()?;
        TimeDelta::from_std(gap).ok()
    }
}
