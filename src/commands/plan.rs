//! `plan`: what will happen and when, for people.

use std::{collections::BTreeSet, fmt::Write};

use super::words::moment;
use crate::{
    clock::{Timestamp, rfc3339},
    rotation::forecast::{Forecast, Planned},
    token::ConnectionName,
};

/// As many steps are written out (some ten rotations); what follows repeats them.
const WRITTEN_OUT: usize = 60;

/// One connection's plan: each moment with its calls, why, and the slots that are then used.
/// What a death during a step means is said where it is first of interest.
#[must_use]
pub fn text(
    name: &ConnectionName,
    plan: &Forecast,
    cap: Option<u32>,
    until: Timestamp,
    now: Timestamp,
) -> String {
    let mut text = format!("{name}\n");
    if let Some((_, words)) = &plan.first_rest {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  after what is due now: {words}");
    }
    if plan.steps.is_empty() {
        let _ = writeln!(text, "  nothing is due until {}", rfc3339(until));
    }
    let mut told = BTreeSet::new();
    let mut last = None;
    for step in plan.steps.iter().take(WRITTEN_OUT) {
        if last != Some(step.at) {
            let _ = writeln!(text, "  {}", moment(step.at, now));
            last = Some(step.at);
        }
        let _ = writeln!(text, "    {}  [{}]", step.call, slots(step, cap));
        if !step.why.is_empty() {
            let _ = writeln!(text, "      because {}", step.why);
        }
        if !step.if_it_dies.is_empty() && told.insert(step.if_it_dies) {
            let _ = writeln!(text, "      if it dies here: {}", step.if_it_dies);
        }
    }
    let left = plan.steps.len().saturating_sub(WRITTEN_OUT);
    if let Some(end) = plan.steps.last().filter(|_| left > 0) {
        let _ =
            writeln!(text, "  and so on: {left} more steps, the last one {}", moment(end.at, now));
    }
    text
}

fn slots(step: &Planned, cap: Option<u32>) -> String {
    match cap {
        Some(cap) => format!("{} of {cap} slots used", step.slots_used),
        None => format!("live tokens: {}", step.slots_used),
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::rotation::fixture::{connection, now};

    fn step(seconds: i64, call: &str, slots_used: usize) -> Planned {
        Planned {
            at: now() + TimeDelta::seconds(seconds),
            call: call.to_owned(),
            why: "it is due".to_owned(),
            slots_used,
            if_it_dies: "the next start lists and goes on",
        }
    }

    fn plan(steps: Vec<Planned>, cap: Option<u32>) -> String {
        let plan = Forecast { steps, first_rest: None };
        text(&connection().0, &plan, cap, now() + TimeDelta::days(90), now())
    }

    #[test]
    fn each_moment_has_its_calls_and_a_death_is_explained_once() {
        let steps = vec![step(60, "create", 2), step(60, "promote", 2), step(120, "delete", 1)];
        assert_eq!(
            plan(steps, Some(2)),
            "initech-okta\n\
             \x20 in 60 s (2026-11-22T04:01:00Z)\n\
             \x20   create  [2 of 2 slots used]\n\
             \x20     because it is due\n\
             \x20     if it dies here: the next start lists and goes on\n\
             \x20   promote  [2 of 2 slots used]\n\
             \x20     because it is due\n\
             \x20 in 2 min (2026-11-22T04:02:00Z)\n\
             \x20   delete  [1 of 2 slots used]\n\
             \x20     because it is due\n"
        );
    }

    #[test]
    fn a_long_plan_ends_with_how_much_more_there_is_and_an_empty_one_says_so() {
        let steps = (1..=100).map(|number| step(number, "create", 1)).collect();
        let text = plan(steps, None);
        assert_eq!(text.matches("create  [live tokens: 1]").count(), WRITTEN_OUT);
        let end = "  and so on: 40 more steps, the last one in 100 s (2026-11-22T04:01:40Z)\n";
        assert!(text.ends_with(end), "{text}");
        assert_eq!(
            plan(Vec::new(), None),
            "initech-okta\n  nothing is due until 2027-02-20T04:00:00Z\n"
        );
    }
}
