//! What people read: rows, the status table, and explanations, line by line.

use super::{
    explain,
    output::{Failure, FailureClass, Row},
    status, text,
};
use crate::{
    config::Problem,
    engine::report::{Outcome, Report, Scope},
    rotation::{
        fixture::{self, connection, now},
        record::Record,
        status::ConnectionStatus,
        why::Reason,
    },
};

fn row(outcome: Outcome, why: &str, record: Option<Record>) -> Row {
    let (name, id, provider) = connection();
    let fault = (outcome == Outcome::Failed).then(fixture::fault);
    let report = Report {
        outcome,
        reason: (outcome == Outcome::Refused).then_some(Reason::UnmanagedToken),
        why: why.to_owned(),
        record,
        fault,
        scope: Scope::Connection,
    };
    Row::from_report(&name, &id, &provider, &report)
}

#[test]
fn a_rotated_row_says_which_token_until_when() {
    let row = row(Outcome::Rotated, "it was asked for", Some(fixture::rotated()));
    assert_eq!(
        text::rows(&[row], now()),
        "initech-okta  rotated    tok_new expires in 30 days (2026-12-22T04:00:00Z); older \
         tok_old may go in 60 s (2026-11-22T04:01:00Z)\n\
         \x20             it was asked for\n"
    );
}

#[test]
fn refused_and_failed_rows_say_the_way_out() {
    let refused =
        row(Outcome::Refused, "tok_stranger holds the only free slot", Some(fixture::troubled()));
    assert_eq!(
        text::rows(&[refused], now()),
        "initech-okta  refused    tok_new expires in 30 days (2026-12-22T04:00:00Z); older \
         tok_old could have gone 119 min ago (2026-11-22T02:01:01Z)\n\
         \x20             tok_stranger holds the only free slot\n\
         \x20             vault secret/scim/initech: drift\n\
         \x20             warning: the clock is off\n\
         \x20             help: `scimitar explain initech-okta` says what it waits for and what \
         would end that\n"
    );
    let failed = row(Outcome::Failed, "", None);
    assert_eq!(
        text::rows(&[failed], now()),
        "initech-okta  failed     current token not known\n\
         \x20             error: could not make a token for con_0123456789abcdef: \
         acme.eu.auth0.com answered 503\n\
         \x20             help: the daemon and every `scimitar --once` try again; `scimitar \
         explain initech-okta` says when\n"
    );
}

#[test]
fn a_token_without_expiry_or_past_it_is_named_as_such() {
    let mut record = fixture::rotated();
    record.retiring.clear();
    let current = record.current.as_mut().unwrap();
    current.token.valid_until = None;
    let lasting = row(Outcome::Unchanged, "", Some(record.clone()));
    assert_eq!(text::rows(&[lasting], now()), "initech-okta  unchanged  tok_new does not expire\n");
    record.current.as_mut().unwrap().token.valid_until =
        Some(fixture::there() - chrono::TimeDelta::days(3));
    let expired = row(Outcome::Unchanged, "", Some(record));
    assert_eq!(
        text::rows(&[expired], now()),
        "initech-okta  unchanged  tok_new expired 3 days ago (2026-11-19T04:00:00Z)\n"
    );
}

#[test]
fn the_status_table_names_the_stranger_and_its_commands() {
    let record = fixture::troubled();
    let one = row(Outcome::Refused, "a stranger has the slot", Some(record.clone()));
    let other = row(Outcome::Waiting, "", None);
    let mut table = status::Table::at(now());
    table.add(&one, Some(&record));
    table.add(&other, None);
    let table = table.text();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(
        lines,
        [
            "CONNECTION    STANDING  PHASE     TOKEN    AGE  EXPIRES     NEXT ROTATION",
            "initech-okta  refused   retiring  tok_new  0 s  in 30 days  in 20 days",
            "    a stranger has the slot",
            "    vault secret/scim/initech: drift",
            "    warning: the clock is off",
            "    help: `scimitar explain initech-okta` says what it waits for and what would end \
             that",
            "    unmanaged token tok_stranger: made 2 days ago, last used 5 min ago; `scimitar \
             adopt initech-okta --token-id tok_stranger --retire` lets Scimitar retire it by the \
             policy, `scimitar revoke initech-okta --token-id tok_stranger` revokes it",
            "initech-okta  waiting   -         -        -    -           -",
        ]
    );
}

#[test]
fn an_overdue_rotation_is_shown_with_its_next_try() {
    let next = |record: &Record| ConnectionStatus::of(record, None, now()).next_at;
    let mut record = fixture::rotated();
    assert_eq!(next(&record), record.next_rotation);
    let trouble = fixture::trouble(1);
    let (past, retry) = (now() - chrono::TimeDelta::days(1), trouble.retry_at);
    record.next_rotation = Some(past);
    assert_eq!(next(&record), Some(past));
    record.troubles.look = Some(trouble);
    assert_eq!(next(&record), Some(retry));
}

#[test]
fn an_explanation_tells_the_whole_story() {
    let record = fixture::troubled();
    let row = row(Outcome::Refused, "a stranger has the slot", Some(record.clone()));
    let text = explain::sentences(&row, Some(&record), now());
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines,
        [
            "initech-okta (con_0123456789abcdef at acme) is retiring.",
            "a stranger has the slot.",
            "The current token tok_new was made just now (2026-11-22T04:00:00Z), expires in 30 days \
             (2026-12-22T04:00:00Z), and was last used 5 min ago.",
            "Every sink has had it since 1 s ago (2026-11-22T03:59:59Z).",
            "The older token tok_old goes, because a newer one replaced it; last used 5 min ago. \
             Its overlap ended 119 min ago (2026-11-22T02:01:01Z). It also stays until it has \
             been unused for 2 h; without that it stays (`revoke_at_latest` is not set).",
            "The older token tok_orphan goes, because it is ours, its value is lost, and no sink \
             ever got it; last used 5 min ago.",
            "1 earlier create(s) had no answer; a token that turns up late is still known as \
             ours.",
            "disk /run/scimitar/initech.token holds tok_new, as it should.",
            "vault secret/scim/initech drifted 10 min ago: it holds tok_other, which nobody here \
             delivered.",
            "unmanaged token tok_stranger: made 2 days ago, last used 5 min ago; `scimitar adopt \
             initech-okta --token-id tok_stranger --retire` lets Scimitar retire it by the policy, `scimitar revoke initech-okta \
             --token-id tok_stranger` revokes it.",
            "Making a token has failed 3 time(s), first 60 min ago (2026-11-22T03:00:00Z): could \
             not make a token for con_0123456789abcdef: acme.eu.auth0.com answered 503. Next try \
             in 4 min (2026-11-22T04:04:00Z).",
            "Refused since 3 h ago (2026-11-22T01:00:00Z): tok_stranger holds the only free slot.",
            "The next rotation starts in 20 days (2026-12-12T04:00:00Z).",
            "It is looked at again in 59 s (2026-11-22T04:00:59Z).",
            "Warning: the clock is off.",
        ]
    );
}

#[test]
fn mistakes_are_listed_with_their_places_before_the_sum() {
    let failure = Failure {
        class: FailureClass::Configuration,
        message: "1 mistake in scimitar.toml; nothing was done".to_owned(),
        problems: vec![Problem {
            file: "scimitar.toml".to_owned(),
            line: Some(3),
            column: Some(5),
            message: "unknown key `overlapp`".to_owned(),
            hint: Some("did you mean `overlap`?".to_owned()),
        }],
    };
    assert_eq!(
        text::failure(&failure),
        "error: scimitar.toml:3:5: unknown key `overlapp`\n\
         \x20 help: did you mean `overlap`?\n\
         error: 1 mistake in scimitar.toml; nothing was done\n"
    );
}
