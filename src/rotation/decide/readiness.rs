//! Whether the next rotation could be delivered, asked long before it is due: a right to write that was taken away
//! is found while there is time to give it back, and what kept a person's call from rotating is seen mended.

use chrono::TimeDelta;

use super::{CheckWrites, Situation, held, pressing::answered, rotate, sinks};
use crate::{
    clock::Timestamp,
    rotation::{
        policy::Mode,
        record::{Phase, SinkState, Trouble, WriteCheck},
    },
    token::TokenId,
};

/// All places are asked with every so many checks: a service is asked several things for it, and answers some with
/// an error that its own log keeps. A place on this host is asked with each.
const CHECKS: i32 = 12;

/// What a look asks besides.
pub(super) fn due(s: &Situation<'_>) -> CheckWrites {
    let Some(current) = s.record.current.as_ref().filter(|_| is_wanted(s)) else {
        return CheckWrites::default();
    };
    let can_tell = |sink: &&SinkState| can_tell(s, sink, &current.token.id);
    let all = is_turn_of_all(s);
    let failed = has_failed_at_a_place(s) && s.record.places().all(|sink| can_tell(&sink));
    let places = s.record.places().filter(can_tell).filter(|sink| {
        let in_turn = match sink.write_check {
            WriteCheck::Each => true,
            WriteCheck::NowAndThen => all,
            WriteCheck::Refused => false,
        };
        in_turn || failed || sink.unwritable
    });
    CheckWrites { places: places.map(|sink| sink.place.key.clone()).collect(), all }
}

/// A rotation that is due, or that a person asks for, asks for itself.
fn is_wanted(s: &Situation<'_>) -> bool {
    let paused = s.record.pause.as_ref().is_some_and(|pause| pause.lasts(s.now));
    let asked_for = s.request.since().is_some() && !answered(s);
    let held = || held::start(s, &sinks::due(s)).is_some_and(|start| start.hold.is_some());
    let starts = asked_for || rotate::is_due(s) && !held();
    let rotates = s.policy.terms.mode == Mode::Rotate && s.record.phase == Phase::Steady;
    rotates && s.ending.is_none() && !paused && !starts
}

/// A place that holds something else than it should is a matter of its own, and so is one that failed until it is
/// tried again.
fn can_tell(s: &Situation<'_>, sink: &SinkState, current: &TokenId) -> bool {
    let failed = |trouble: &Trouble| s.held_back(Some(trouble)).is_some() || !sink.unwritable;
    sink.was_given(current) && !sink.trouble.as_ref().is_some_and(failed)
}

/// It was long ago, or a person runs a call of their own.
fn is_turn_of_all(s: &Situation<'_>) -> bool {
    let Some(last) = s.record.writes_checked else { return true };
    let interval = TimeDelta::from_std(s.policy.survey_interval).unwrap_or(TimeDelta::days(1));
    let by_a_person = |since: Timestamp| last < since && since <= s.now;
    // A clock that was set back says nothing of when that was.
    (s.now - last).abs() >= interval * CHECKS || s.observed.tries_since.is_some_and(by_a_person)
}

/// Whether the last rotation did not begin because a place would not have taken its token.
fn has_failed_at_a_place(s: &Situation<'_>) -> bool {
    let mint = s.record.troubles.mint.as_ref().filter(|trouble| trouble.of_sink);
    mint.is_some_and(|trouble| s.held_back(Some(trouble)).is_none())
}

/// What it means that a place which has what it should would not take anything else.
pub(super) fn means(s: &Situation<'_>, sink: &SinkState) -> Option<String> {
    let id = &s.record.current.as_ref()?.token.id;
    let words = "and the next rotation cannot start before this is mended";
    (sink.unwritable && sink.was_given(id)).then(|| format!("; it still holds {id}, {words}"))
}
