//! Tokens on one axis of 90 days: 30 days back, 60 days ahead. All rows share it, so that they can be
//! compared at a glance.

use chrono::TimeDelta;
use serde::Serialize;

use crate::{
    clock::{Timestamp, Told},
    rotation::{
        tokens::{Role, Token},
        view::GONE,
    },
    words::{is_past, relative},
};

/// How far the axis reaches, in days.
const BACK: i64 = 30;
const AHEAD: i64 = 60;

/// More are not drawn; the table of tokens lists all.
const MOST: usize = 6;

/// The picture. Lengths across are shares of its width in percent, so that it fits any.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Axis {
    height: usize,
    bars: Vec<Bar>,
    /// The next rotation.
    due: Option<f64>,
    /// The same in words.
    words: String,
}

/// One token's life.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Bar {
    role: Role,
    y: usize,
    height: usize,
    x: f64,
    width: f64,
    /// How much of it is over.
    spent: f64,
    /// Where it expires, within the axis.
    end: Option<f64>,
    /// Until where it stays at least.
    stays: Option<f64>,
}

/// A mark on the axis.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Tick {
    x: f64,
    label: &'static str,
    kind: &'static str,
}

/// The marks of the axis.
pub(super) fn ticks() -> [Tick; 4] {
    let tick = |days: i64, label, kind| Tick { x: across(TimeDelta::days(days)), label, kind };
    [
        tick(-BACK, "−30 d", "start"),
        tick(0, "now", "now"),
        tick(30, "+30 d", "middle"),
        tick(AHEAD, "+60 d", "last"),
    ]
}

/// Draws it, the newest token in the first lane; `None` where there is no token.
pub(super) fn axis(
    tokens: &[Token<'_>],
    due: Option<Timestamp>,
    now: Timestamp,
    lanes: Lanes,
) -> Option<Axis> {
    if tokens.is_empty() {
        return None;
    }
    let place = |at: Timestamp| across(at - now);
    let within = |at: Timestamp| {
        (TimeDelta::days(-BACK)..=TimeDelta::days(AHEAD)).contains(&(at - now)).then(|| place(at))
    };
    let bars = tokens.iter().take(MOST).enumerate().map(|(index, it)| {
        let x = place(it.token.created_at.as_told());
        // One that is gone has ended, whatever it was made for.
        let until = it.gone.or(it.token.valid_until);
        let end = until.map_or(100.0, |until| place(until.as_told()));
        let width = round((end - x).max(0.4));
        let (y, height) = lanes.lane(index);
        Bar {
            role: it.role,
            y,
            height,
            x: x.min(99.6),
            width,
            spent: round((place(now) - x).clamp(0.0, width)),
            end: until.and_then(|until| within(until.as_told())),
            stays: it.stays.and_then(|until| within(until.as_told())),
        }
    });
    let bars: Vec<Bar> = bars.collect();
    Some(Axis {
        height: lanes.height(bars.len()),
        bars,
        due: due.filter(|due| *due > now).and_then(within),
        words: words(tokens, due, now),
    })
}

/// How bars lie.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lanes {
    /// The newest token, and all others thinner beneath it.
    Compact,
    /// Each in a lane of its own.
    Each,
}

impl Lanes {
    fn lane(self, index: usize) -> (usize, usize) {
        match (self, index) {
            (Self::Each, _) => (3 + index * 14, 8),
            (Self::Compact, 0) => (3, 8),
            (Self::Compact, _) => (13, 4),
        }
    }

    fn height(self, bars: usize) -> usize {
        match self {
            Self::Compact => 18,
            Self::Each => bars * 14 + 2,
        }
    }
}

fn words(tokens: &[Token<'_>], due: Option<Timestamp>, now: Timestamp) -> String {
    let each = tokens.iter().map(|it| {
        let made = relative(it.token.created_at, now);
        let end = match it.token.valid_until {
            _ if it.gone.is_some() => GONE.to_owned(),
            None => "does not expire".to_owned(),
            Some(at) if is_past(at, now) => format!("expired {}", relative(at, now)),
            Some(at) => format!("expires {}", relative(at, now)),
        };
        format!("{} token created {made}, {end}", it.role.words())
    });
    let due = due.map(|due| {
        if due > now {
            format!("next rotation {}", relative(due, now))
        } else {
            "next rotation overdue".to_owned()
        }
    });
    each.chain(due).collect::<Vec<_>>().join("; ")
}

/// Where on the axis a moment is that is so far from now, in percent.
fn across(from_now: TimeDelta) -> f64 {
    let whole = as_number(TimeDelta::days(BACK + AHEAD));
    let share = as_number(from_now + TimeDelta::days(BACK)) / whole;
    round(share.clamp(0.0, 1.0) * 100.0)
}

#[expect(clippy::cast_precision_loss, reason = "seconds of a picture")]
fn as_number(span: TimeDelta) -> f64 {
    span.num_seconds() as f64
}

/// A hundredth of a percent is less than any screen shows.
fn round(percent: f64) -> f64 {
    (percent * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rotation::fixture;

    #[test]
    fn without_a_token_there_is_no_picture() {
        assert_eq!(axis(&[], None, fixture::now(), Lanes::Compact), None);
    }

    #[test]
    fn every_picture_is_drawn_to_the_same_scale() {
        let now = fixture::now();
        // Created 12 days ago for 30.
        let token = fixture::token("tok_a", 12 * 24 * 60);
        let shown = [Token { role: Role::Current, token: &token, stays: None, gone: None }];
        let axis = axis(&shown, Some(now + TimeDelta::days(6)), now, Lanes::Compact).unwrap();
        let bar = &axis.bars[0];
        assert!((bar.x - 20.0).abs() < 0.01 && (bar.width - 33.33).abs() < 0.02, "{bar:?}");
        assert!((bar.spent - 13.33).abs() < 0.02, "{bar:?}");
        assert!((bar.end.unwrap() - 53.33).abs() < 0.01, "{bar:?}");
        assert!((axis.due.unwrap() - 40.0).abs() < 0.01, "{axis:?}");
        let marks: Vec<f64> = ticks().iter().map(|tick| tick.x).collect();
        assert_eq!(marks, [0.0, 33.33, 66.67, 100.0]);
        assert_eq!(
            axis.words,
            "current token created 12 days ago, expires in 18 days; next rotation in 6 days"
        );
    }

    #[test]
    fn the_bar_of_a_token_that_is_gone_ends_where_it_was_missed() {
        let now = fixture::now();
        let token = fixture::token("tok_a", 12 * 24 * 60);
        let gone = Some(fixture::there() - TimeDelta::days(3));
        let shown = [Token { role: Role::Current, token: &token, stays: None, gone }];
        let axis = axis(&shown, None, now, Lanes::Compact).unwrap();
        let bar = &axis.bars[0];
        assert!((bar.width - 10.0).abs() < 0.02 && (bar.spent - bar.width).abs() < 0.02, "{bar:?}");
        assert_eq!(
            axis.words,
            "current token created 12 days ago, no longer exists at the provider"
        );
    }

    #[test]
    fn what_is_out_of_the_ordinary_stays_in_the_picture() {
        let now = fixture::now();
        let mut endless = fixture::token("tok_a", -5);
        endless.valid_until = None;
        let dead = fixture::token("tok_b", 400 * 24 * 60);
        let shown = [
            Token { role: Role::Current, token: &endless, stays: None, gone: None },
            Token { role: Role::Previous, token: &dead, stays: Some(fixture::there()), gone: None },
        ];
        for shown in [&shown[..], &shown[..1], &shown[1..]] {
            let axis = axis(shown, Some(now + TimeDelta::days(400)), now, Lanes::Each).unwrap();
            assert_eq!(axis.due, None, "beyond the axis nothing is drawn");
            for bar in &axis.bars {
                assert!(bar.x >= 0.0 && bar.width > 0.0 && bar.x + bar.width <= 100.5, "{bar:?}");
                assert!(bar.spent >= 0.0 && bar.spent <= bar.width, "{bar:?}");
            }
        }
    }
}
