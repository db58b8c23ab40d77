//! What a connection's history means to people: changes, and how often nothing had changed between them.
//! Each ledger counts the looks that found nothing to do in one line, behind the change before them.

use serde::Serialize;

use super::Entry;
use crate::{
    clock::{Timestamp, rfc3339},
    rotation::uptake::TO_HAND_OVER,
    words::date,
};

/// The event of a line that counts the looks which found nothing to do.
pub const CHECKED: &str = "checked";

/// A change, or how often was looked since the one before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// When; of `checked`, since when.
    #[serde(serialize_with = "time")]
    pub at: Timestamp,
    /// What, in a word: `rotated`, `delivered`, `revoked`, `failing`, `recovered`, `refused`, …
    pub what: String,
    /// The same in words, with the person who asked for it.
    pub words: String,
    /// How often.
    pub count: u32,
}

impl Change {
    /// The last changes, oldest first, of a history whose newest line is first. The looks between them are
    /// told as well and do not count.
    #[must_use]
    pub fn of(entries: Vec<Entry>, most: usize) -> Vec<Self> {
        let mut changes: Vec<Self> = Vec::new();
        for entry in entries.into_iter().rev() {
            let Some(what) = what(&entry) else {
                if ignored(&entry.event) {
                    continue;
                }
                count(&mut changes, &entry);
                continue;
            };
            let same = changes
                .last_mut()
                .filter(|last| what == "failing" && last.what == what && last.words == entry.words);
            match same {
                Some(last) => last.count += 1,
                None => changes.push(Self {
                    at: entry.at,
                    what: what.to_owned(),
                    words: entry.words,
                    count: 1,
                }),
            }
        }
        changes.drain(..surplus(&changes, most));
        for change in &mut changes {
            match (change.what.as_str(), change.count) {
                (CHECKED, 1) => change.words = "once".to_owned(),
                (CHECKED, count) => {
                    change.words = format!("{count} times since {}", date(change.at));
                }
                (_, 1) => {}
                (_, count) => change.words = format!("{} ({count} times)", change.words),
            }
        }
        changes
    }
}

/// How many lines stand before the last so many changes, with the looks behind the last of those lines.
fn surplus(changes: &[Change], most: usize) -> usize {
    let mut left = most;
    let over = changes.iter().rposition(|change| {
        let over = change.what != CHECKED && left == 0;
        left -= usize::from(change.what != CHECKED && !over);
        over
    });
    let before = over.map_or(0, |over| over + 1);
    let looks = changes.get(before).is_some_and(|next| before > 0 && next.what == CHECKED);
    before + usize::from(looks)
}

/// Counts a look that found nothing to do.
fn count(changes: &mut Vec<Change>, entry: &Entry) {
    let times = times(&entry.words);
    match changes.last_mut().filter(|last| last.what == CHECKED) {
        Some(last) => last.count = last.count.saturating_add(times),
        None => changes.push(Change {
            at: entry.at,
            what: CHECKED.to_owned(),
            words: String::new(),
            count: times,
        }),
    }
}

/// How many looks a line of the history counts.
#[must_use]
pub fn times(words: &str) -> u32 {
    let number = words.strip_prefix("checked ").and_then(|rest| rest.split(' ').next());
    number.and_then(|number| number.parse().ok()).unwrap_or(1)
}

/// The words of a line that counts so many.
#[must_use]
pub fn counted(times: u32) -> String {
    let plural = if times == 1 { "" } else { "s" };
    format!("checked {times} time{plural}")
}

/// The word for people, of what is a change.
fn what(entry: &Entry) -> Option<&'static str> {
    Some(match entry.event.as_str() {
        "delivered" if entry.words.contains(TO_HAND_OVER) => "hand-off",
        "intended" => "started",
        "settled" | "settled_in_part" => "rotated",
        "delivered" => "delivered",
        "revoked" | "not_found" => "revoked",
        "expired" => "expired",
        "drift" => "drift",
        "refused" => "refused",
        "failing"
        | "look_failed"
        | "mint_failed"
        | "mint_lost"
        | "stage_failed"
        | "promote_failed"
        | "forget_failed"
        | "revoke_failed"
        | "current_ask_failed"
        | "scim_config_unread"
        | "scim_config_refused" => "failing",
        "recovered" => "recovered",
        "condemned" => "compromised",
        "paused" => "paused",
        "resumed" => "resumed",
        "handed_over" => "handed over",
        "taken_over" | "place_accepted" => "adopted",
        "retired" => "retired",
        "orphan_found" => "orphan",
        "given_up" => "given up",
        "found" => "found",
        "scim_config_changed" => "scim config",
        "probe_user_left" => "leftover user",
        "notify_failed" | "notice_dropped" => "hook failed",
        "configured" => "configured",
        _ => return None,
    })
}

/// Steps of what is told as a whole.
fn ignored(event: &str) -> bool {
    !matches!(event, CHECKED | "looked" | "rested")
}

fn time<S: serde::Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    rfc3339(*at).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::parse_timestamp;

    fn entries(lines: &[(&str, &str)]) -> Vec<Entry> {
        let at = parse_timestamp("2026-11-22T04:00:00Z").unwrap();
        let entry = |(nth, (event, words)): (usize, &(&str, &str))| Entry {
            at: at + chrono::TimeDelta::minutes(i64::try_from(nth).unwrap()),
            event: (*event).to_owned(),
            words: (*words).to_owned(),
        };
        lines.iter().enumerate().map(entry).rev().collect()
    }

    fn told(changes: &[Change]) -> Vec<String> {
        changes.iter().map(|change| format!("{}: {}", change.what, change.words)).collect()
    }

    #[test]
    fn what_only_looked_is_one_line_between_two_changes() {
        let lines = [
            ("settled", "tok_1 is everywhere"),
            ("minted", "a step"),
            ("checked", "checked 213 times"),
            ("rested", "nothing is due"),
            ("revoked", "tok_0"),
            ("looked", "as it was"),
        ];
        assert_eq!(
            told(&Change::of(entries(&lines), 50)),
            [
                "rotated: tok_1 is everywhere",
                "checked: 214 times since 2026-11-22 04:02 UTC",
                "revoked: tok_0",
                "checked: once",
            ]
        );
    }

    #[test]
    fn the_same_failure_again_is_counted_and_the_oldest_go_first() {
        let lines = [
            ("settled", "one"),
            ("mint_failed", "503"),
            ("mint_failed", "503"),
            ("mint_failed", "409"),
            ("recovered", "fine"),
        ];
        assert_eq!(
            told(&Change::of(entries(&lines), 3)),
            ["failing: 503 (2 times)", "failing: 409", "recovered: fine",]
        );
    }

    #[test]
    fn a_hand_off_is_delivered_once_a_person_says_so() {
        let offered = format!("tok_1 {TO_HAND_OVER} Okta: initech");
        let lines = [
            ("delivered", "/run/initech holds tok_1"),
            ("delivered", offered.as_str()),
            ("handed_over", "alice confirmed that Okta: initech has tok_1"),
        ];
        assert_eq!(
            told(&Change::of(entries(&lines), 50)),
            [
                "delivered: /run/initech holds tok_1",
                "hand-off: tok_1 waits to be handed over to Okta: initech",
                "handed over: alice confirmed that Okta: initech has tok_1",
            ]
        );
    }

    #[test]
    fn looks_are_no_changes_and_go_with_the_one_before_them() {
        let lines = [
            ("settled", "one"),
            ("looked", ""),
            ("revoked", "two"),
            ("looked", ""),
            ("paused", "three"),
            ("looked", ""),
        ];
        let shown = |most| told(&Change::of(entries(&lines), most)).join(", ");
        assert_eq!(shown(2), "revoked: two, checked: once, paused: three, checked: once");
        assert_eq!(shown(1), "paused: three, checked: once");
        assert_eq!(shown(3), shown(50));
        assert_eq!(shown(0), "");
    }

    #[test]
    fn a_count_is_read_as_it_was_written() {
        for count in [1, 2, 214] {
            assert_eq!(times(&counted(count)), count);
        }
        assert_eq!(times("nothing is due"), 1);
    }
}
