//! The life of a connection's tokens as a picture: a bar for each, from when it was made to when it
//! dies, with now and what is planned marked.

use chrono::TimeDelta;
use serde::Serialize;

use crate::{
    clock::{Timestamp, Told},
    rotation::tokens::{Role, Token},
    words::{is_past, relative},
};

/// The height that a bar takes, in pixels.
const ROW: usize = 16;

/// More are not drawn; the details list all.
const MOST: usize = 6;

/// The picture. Lengths across are shares of its width in percent, so that it fits any.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Life {
    height: usize,
    bars: Vec<Bar>,
    now: f64,
    due: Option<f64>,
    /// The same in words.
    words: String,
}

/// One token's life.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Bar {
    role: Role,
    y: usize,
    x: f64,
    width: f64,
    /// How much of it is over.
    spent: f64,
    /// Until where it stays at least.
    stays: Option<f64>,
    /// It does not expire.
    open: bool,
}

/// Draws it; `None` where there is no token.
pub(super) fn life(tokens: &[Token<'_>], due: Option<Timestamp>, now: Timestamp) -> Option<Life> {
    let shown = tokens.iter().take(MOST);
    // As they are told, like in the words below it.
    let first = shown.clone().map(|it| it.token.created_at).min()?.as_told().min(now);
    let ends = shown.clone().filter_map(|it| it.token.valid_until.map(Told::as_told));
    let last = ends.chain(due).chain([now]).max()?;
    // What does not expire goes on beyond what is known.
    let last = last + (last - first) / 12;
    let length = as_number((last - first).max(TimeDelta::seconds(1)));
    let place = |at: Timestamp| {
        let share = as_number(at - first) / length;
        round(share.clamp(0.0, 1.0) * 100.0)
    };
    let bars = shown.enumerate().map(|(index, it)| {
        let x = place(it.token.created_at.as_told());
        let end = it.token.valid_until.map_or(100.0, |until| place(until.as_told()));
        let width = round((end - x).max(0.5));
        Bar {
            role: it.role,
            y: index * ROW,
            x,
            width,
            spent: round((place(now) - x).clamp(0.0, width)),
            stays: it.stays.map(|until| place(until.as_told())),
            open: it.token.valid_until.is_none(),
        }
    });
    let bars: Vec<Bar> = bars.collect();
    Some(Life {
        height: bars.len() * ROW,
        bars,
        now: place(now),
        due: due.filter(|due| *due > now).map(place),
        words: words(tokens, due, now),
    })
}

fn words(tokens: &[Token<'_>], due: Option<Timestamp>, now: Timestamp) -> String {
    let each = tokens.iter().map(|it| {
        let made = relative(it.token.created_at, now);
        let end = match it.token.valid_until {
            None => "does not expire".to_owned(),
            Some(at) if is_past(at, now) => format!("expired {}", relative(at, now)),
            Some(at) => format!("expires {}", relative(at, now)),
        };
        format!("{} token made {made}, {end}", it.role.words())
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
        assert_eq!(life(&[], None, fixture::now()), None);
    }

    #[test]
    fn the_picture_is_true_to_scale() {
        let now = fixture::now();
        // Made 13 days ago for 30; the picture ends a twelfth behind its last moment.
        let token = fixture::token("tok_a", 13 * 24 * 60);
        let shown = [Token { role: Role::Current, token: &token, stays: None }];
        let life = life(&shown, Some(now + TimeDelta::days(7)), now).unwrap();
        let bar = &life.bars[0];
        assert!((bar.x - 0.0).abs() < 0.01 && (bar.width - 92.31).abs() < 0.01, "{bar:?}");
        assert!((life.now - 40.0).abs() < 0.01 && (bar.spent - 40.0).abs() < 0.01, "{life:?}");
        assert!((life.due.unwrap() - 61.54).abs() < 0.01, "{life:?}");
        assert_eq!(
            life.words,
            "current token made 13 days ago, expires in 17 days; next rotation in 7 days"
        );
    }

    #[test]
    fn what_is_out_of_the_ordinary_stays_in_the_picture() {
        let now = fixture::now();
        let mut endless = fixture::token("tok_a", -5);
        endless.valid_until = None;
        let dead = fixture::token("tok_b", 60 * 24 * 60);
        let shown = [
            Token { role: Role::Current, token: &endless, stays: None },
            Token { role: Role::Previous, token: &dead, stays: Some(fixture::there()) },
        ];
        for shown in [&shown[..], &shown[..1], &shown[1..]] {
            let life = life(shown, None, now).unwrap();
            for bar in &life.bars {
                assert!(bar.x >= 0.0 && bar.width > 0.0 && bar.x + bar.width <= 100.5, "{bar:?}");
                assert!(bar.spent >= 0.0 && bar.spent <= bar.width, "{bar:?}");
            }
        }
    }
}
