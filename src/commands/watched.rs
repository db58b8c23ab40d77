//! Watched tokens as text: a table for `status`, sentences for `explain`.

use std::{cmp::Reverse, fmt::Write};

use super::{
    text::columns,
    words::{is_past, moment, relative},
};
use crate::{
    cli::Sort,
    clock::{Timestamp, spelled},
    engine::watched_row::WatchedRow,
    rotation::watch::Watch,
};

const HEAD: [&str; 4] = ["WATCHED", "STANDING", "EXPIRES", "OWNER"];

/// Puts them into the order that connections have; `None`: that of the files.
pub(super) fn arrange(rows: &mut [WatchedRow], sort: Option<Sort>) {
    match sort {
        None | Some(Sort::Next) => {}
        Some(Sort::Name) => rows.sort_by(|one, other| one.name.cmp(&other.name)),
        Some(Sort::Expiry) => rows.sort_by_key(|row| row.until),
        Some(Sort::Standing) => rows.sort_by_key(|row| (Reverse(row.needs_person), row.until)),
    }
}

/// A line a token, and under it what to do about it; nothing where there are none.
pub(super) fn table(rows: &[WatchedRow], now: Timestamp) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let cells = |row: &WatchedRow| {
        [
            row.name.to_string(),
            row.standing.replace('_', " "),
            relative(row.until, now),
            row.owner.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    };
    let lines: Vec<_> = rows.iter().map(cells).collect();
    let mut printed = columns(HEAD, &lines).into_iter();
    let mut text = printed.next().unwrap_or_default();
    for (row, line) in rows.iter().zip(printed) {
        text.push_str(&line);
        let why = row.needs_person.then(|| row.why.clone());
        let warnings = row.warnings.iter().map(|warning| format!("warning: {warning}"));
        for detail in why.into_iter().chain(warnings) {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "    {detail}");
        }
    }
    text
}

/// All that is known of one.
pub(super) fn sentences(watch: &Watch, row: &WatchedRow, now: Timestamp) -> String {
    let name = &watch.name;
    let verb = if is_past(watch.expires_at, now) { "expired" } else { "expires" };
    let mut lines = vec![
        format!(
            "{name} is only watched ([[watch]] in the configuration): no provider is asked about it, and \
             Scimitar does not rotate it."
        ),
        format!("The token {verb} at {}.", moment(watch.expires_at, now)),
    ];
    lines.extend(watch.owner.as_ref().map(|owner| format!("Owner: {owner}.")));
    lines.extend(watch.note.as_ref().map(|note| format!("Note: {note}.")));
    lines.push(match &watch.link {
        Some(link) => {
            format!("Renew it at {link} and then change `expires_at` in the configuration.")
        }
        None => "Once it is renewed, change `expires_at` in the configuration.".to_owned(),
    });
    let times: Vec<String> = watch.notify_before.iter().rev().map(|time| spelled(*time)).collect();
    lines.push(if times.is_empty() {
        "Nobody is told before it expires: `notify_before` is empty.".to_owned()
    } else {
        format!(
            "Hooks with the event `expiring` run {} before it expires; alerts begin {} before.",
            times.join(", "),
            watch.notice().map(spelled).unwrap_or_default()
        )
    });
    lines.extend(row.warnings.iter().map(|warning| format!("Warning: {warning}.")));
    lines.push(String::new());
    lines.join("\n")
}
