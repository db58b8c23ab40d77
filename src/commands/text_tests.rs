//! What people read: rows, the status table, and explanations, line by line.

use chrono::TimeDelta;

use super::{
    explain,
    output::{Failure, FailureClass, Row},
    screen::Screen,
    standing::{Stands, State},
    table, text,
};
use crate::{
    config::Problem,
    engine::{
        report::{Outcome, Report, Scope},
        stored_status,
    },
    error::{Class, Code, Fault},
    rotation::{
        fixture::{self, connection, now},
        record::{Decided, Record, Status, Trouble},
        status::ConnectionStatus,
        why::Reason,
    },
};

fn rows(rows: &[Row]) -> String {
    text::rows(rows, now(), &Screen::default())
}

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
        rows(&[row]),
        "initech-okta  rotated    tok_new expires at 2026-12-22 04:00 UTC (in 30 days); previous \
         token tok_old can be revoked from 2026-11-22 04:01 UTC (in 60 s)\n\
         \x20             it was asked for\n"
    );
}

#[test]
fn refused_and_failed_rows_say_the_way_out() {
    let refused =
        row(Outcome::Refused, "tok_stranger holds the only free slot", Some(fixture::troubled()));
    assert_eq!(
        rows(&[refused]),
        "initech-okta  refused    tok_new expires at 2026-12-22 04:00 UTC (in 30 days); previous \
         token tok_old still valid (overlap ended at 2026-11-22 02:01 UTC)\n\
         \x20             tok_stranger holds the only free slot\n\
         \x20             vault secret/scim/initech: drift\n\
         \x20             warning: the clock is off\n\
         \x20             help: `scimitar explain initech-okta` (why it waits, what ends the wait, and \
         until when)\n"
    );
    let failed = row(Outcome::Failed, "", None);
    assert_eq!(
        rows(&[failed]),
        "initech-okta  failed     current token unknown\n\
         \x20             error: could not make a token for con_0123456789abcdef: \
         acme.eu.auth0.com answered 503\n\
         \x20             help: `scimitar explain initech-okta` (why it waits, what ends the wait, and \
         until when)\n"
    );
}

#[test]
fn what_an_operator_did_is_no_mere_unchanged() {
    let mut row = row(Outcome::Unchanged, "tok_old is revoked", Some(fixture::rotated()));
    row.done = Some("revoked");
    let expected = "initech-okta  revoked    tok_new expires at 2026-12-22 04:00 UTC (in 30 days)";
    assert!(rows(&[row]).starts_with(expected));
}

#[test]
fn a_token_without_expiry_or_past_it_is_named_as_such() {
    let mut record = fixture::rotated();
    record.retiring.clear();
    let current = record.current.as_mut().unwrap();
    current.token.valid_until = None;
    let lasting = row(Outcome::Unchanged, "", Some(record.clone()));
    assert_eq!(rows(&[lasting]), "initech-okta  unchanged  tok_new does not expire\n");
    record.current.as_mut().unwrap().token.valid_until =
        Some(fixture::there() - TimeDelta::days(3));
    let expired = row(Outcome::Unchanged, "", Some(record));
    assert_eq!(
        rows(&[expired]),
        "initech-okta  unchanged  tok_new expired at 2026-11-19 04:00 UTC (3 days ago)\n"
    );
}

#[test]
fn the_status_table_names_the_stranger_and_its_commands() {
    let record = fixture::troubled();
    let one = row(Outcome::Refused, "a stranger has the slot", Some(record.clone()));
    let other = row(Outcome::Waiting, "", None);
    let mut table = table::Table::at(now(), Screen::default());
    table.add(&one, Some(&record), State::Attention);
    table.add(&other, None, State::Waiting);
    let table = table.text();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(
        lines,
        [
            "CONNECTION    STATE      EXPIRES  NEXT ROTATION  AGE  TOKEN    PROVIDER",
            "initech-okta  attention  in 30d   in 20d         0s   tok_new  acme",
            "    a stranger has the slot",
            "    vault secret/scim/initech: drift",
            "    warning: the clock is off",
            "    unmanaged token tok_stranger: created 2 days ago, last used 5 min ago",
            "    $ scimitar adopt initech-okta --token-id tok_stranger --retire  # let Scimitar retire it",
            "    $ scimitar revoke initech-okta --token-id tok_stranger          # revoke it now",
            "initech-okta  waiting    -        -              -    -        acme",
        ]
    );
}

#[test]
fn an_overdue_rotation_is_shown_with_its_next_try() {
    let next = |record: &Record| ConnectionStatus::of(record, None, now()).next_at;
    let mut record = fixture::rotated();
    assert_eq!(next(&record), record.next_rotation);
    let trouble = fixture::trouble(1);
    let (past, retry) = (now() - TimeDelta::days(1), trouble.retry_at);
    record.next_rotation = Some(past);
    assert_eq!(next(&record), Some(past));
    record.troubles.look = Some(trouble);
    assert_eq!(next(&record), Some(retry));
}

/// What is explained of a record, with the row that `status` shows of it.
fn explained(record: &Record) -> Vec<String> {
    let policy = fixture::policy();
    let row = stored_status::row(&policy, Some(record), now());
    let status = stored_status::status(&policy, Some(record), now());
    let stands = Stands::on_record(&status, &policy, true);
    let text = explain::sentences(&row, &stands, &policy, Some(record), now());
    text.lines().map(str::to_owned).collect()
}

#[test]
fn an_explanation_tells_the_whole_story() {
    assert_eq!(
        explained(&fixture::troubled()),
        [
            "initech-okta (con_0123456789abcdef at acme) needs attention for 3h (since \
             2026-11-22 01:00 UTC).",
            "tok_stranger holds the only free slot.",
            "The next check is at 2026-11-22 04:00:59 UTC (in 59 s).",
            "The current token tok_new was created at 2026-11-22 04:00 UTC (just now), expires at \
             2026-12-22 04:00 UTC (in 30 days), and was last used 5 min ago.",
            "It was delivered to every sink at 2026-11-22 03:59:59 UTC (1 s ago).",
            "The previous token tok_old is superseded and still valid; last used 5 min ago. Its overlap \
             ended at 2026-11-22 02:01 UTC (119 min ago); it will be revoked once this one has been unused \
             for 2 h, however long that takes (`revoke_at_latest` is not set).",
            "Token tok_orphan will be revoked: created by Scimitar, its value is lost and no sink has \
             it; last used 5 min ago.",
            "1 earlier create request without an answer; if the token turns up late, Scimitar \
             recognises it as its own.",
            "disk /run/scimitar/initech.token holds tok_new.",
            "vault secret/scim/initech drifted 10 min ago: it holds tok_other, which nobody here \
             delivered.",
            "unmanaged token tok_stranger: created 2 days ago, last used 5 min ago; `scimitar adopt \
             initech-okta --token-id tok_stranger --retire` lets Scimitar retire it according to the policy, `scimitar revoke initech-okta \
             --token-id tok_stranger` revokes it.",
            "Creating a token has failed 3 times, first at 2026-11-22 03:00 UTC (60 min ago): could \
             not make a token for con_0123456789abcdef: acme.eu.auth0.com answered 503.",
            "Warning: the clock is off.",
            "Warning: orphan: a token that Scimitar created and no sink received is not revoked yet.",
        ]
    );
}

/// What was decided of a connection whose current token is gone, and that cannot have another.
fn refused_without_a_token(words: &str) -> Record {
    let mut record = fixture::gone();
    record.decided = Some(Decided {
        status: Status::Refused,
        reason: Some(Reason::UnmanagedToken),
        words: words.to_owned(),
        since: now() - TimeDelta::minutes(8),
        until: None,
    });
    record.work_at = Some(now());
    record
}

#[test]
fn a_token_that_is_gone_comes_before_everything_else() {
    let gone = "tok_new no longer exists at the provider: clients that use it are locked out";
    let token = "The current token tok_new no longer exists at the provider: clients that use it have been \
                 locked out for at least 4m (since 2026-11-22 03:56 UTC or earlier). It was created at \
                 2026-11-22 03:40 UTC (20 min ago), would have expired at 2026-12-22 03:40 UTC (in 30 days), \
                 and was last used 5 min ago.";
    let holds =
        "disk /run/scimitar/initech.token holds tok_new, which no longer exists at the provider.";
    // What was decided says it, or was decided before it was known.
    for why in [format!("{gone}; both slots are taken").as_str(), "both slots are taken"] {
        let lines = explained(&refused_without_a_token(why));
        let text = lines.join("\n");
        assert!(lines[0].contains("needs attention"), "{text}");
        assert!(lines[1].starts_with(gone), "{text}");
        assert_eq!(text.matches(gone).count(), 1, "{text}");
        for line in [token, holds] {
            assert!(lines.iter().any(|it| it == line), "{line}\n{text}");
        }
        assert!(!text.contains("expires at") && !text.contains("Warning"), "{text}");
    }
    let refused = refused_without_a_token("both slots are taken");
    let row = row(Outcome::Refused, "both slots are taken", Some(refused));
    let text = rows(&[row]);
    assert!(
        text.contains("refused    tok_new no longer exists at the provider; previous"),
        "{text}"
    );
}

#[test]
fn a_token_that_is_only_not_listed_is_not_called_gone() {
    let mut record = fixture::gone();
    record.missing.as_mut().unwrap().refused = false;
    let text = explained(&record).join("\n");
    let words = "and was last used 5 min ago. The provider has not listed it for 4m (since 2026-11-22 03:56 \
                 UTC).";
    assert!(text.contains(words) && text.contains("expires at 2026-12-22"), "{text}");
    assert!(!text.contains("no longer exists"), "{text}");
}

#[test]
fn what_fails_is_said_first_with_one_next_time() {
    let mut record = fixture::rotated();
    let trouble = fixture::trouble(3);
    record.decided = Some(Decided {
        status: Status::Troubled,
        reason: Some(Reason::SinkUnavailable),
        words: format!("{}; next try at 2026-11-22 04:04 UTC", trouble.fault),
        since: now() - TimeDelta::minutes(6),
        until: Some(trouble.retry_at),
    });
    record.sinks.values_mut().for_each(|sink| sink.trouble = Some(trouble.clone()));
    let lines = explained(&record);
    assert_eq!(
        lines[..4],
        [
            "initech-okta (con_0123456789abcdef at acme) is failing for 6m (since \
             2026-11-22 03:54 UTC).",
            "could not make a token for con_0123456789abcdef: acme.eu.auth0.com answered 503.",
            "What to do: `scimitar check --online` (find what is down; once it is up again, Scimitar continues automatically).",
            "The next try is at 2026-11-22 04:04 UTC (in 4 min).",
        ]
    );
    let told = lines.join("\n");
    assert_eq!(told.to_lowercase().matches("next").count(), 1, "{told}");
    assert_eq!(told.matches("answered 503").count(), 1, "{told}");
    assert!(
        told.contains("Reaching disk has failed 3 times, first at 2026-11-22 03:00 UTC"),
        "{told}"
    );
}

/// The commands to copy of one that fails by this answer of a service, or waits for a second look.
fn copied(failed: Option<(Class, Code)>) -> Vec<(String, &'static str)> {
    let mut record = fixture::rotated();
    if let Some((class, code)) = failed {
        let fault = Fault { class, code, ..fixture::fault() };
        record.troubles.look = Some(Trouble { fault, ..fixture::trouble(1) });
    }
    record.decided = Some(Decided {
        status: Status::Troubled,
        reason: Some(Reason::ProviderUnavailable),
        words: "it fails".to_owned(),
        since: now(),
        until: None,
    });
    text::ways_out(&stored_status::row(&fixture::policy(), Some(&record), now()))
}

#[test]
fn a_command_that_is_refused_is_not_its_own_way_out() {
    let ways = |row: &Row| -> Vec<String> {
        text::ways_out(row).into_iter().map(|(command, _)| command).collect()
    };
    let mut row = stored_status::row(&fixture::policy(), Some(&fixture::rotated()), now());
    (row.outcome, row.reason) = (Outcome::Waiting, Some(Reason::Handoff));
    assert_eq!(ways(&row), ["scimitar handoff initech-okta --done"]);
    row.outcome = Outcome::Refused;
    assert_eq!(ways(&row), ["scimitar explain initech-okta"]);
    // A previous token that may be the only one that works goes by force alone.
    (row.outcome, row.reason) = (Outcome::Refused, Some(Reason::PreviousInUse));
    let revoke = "scimitar revoke initech-okta --token-id tok_old";
    assert_eq!(ways(&row), [revoke]);
    row.gone = Some(fixture::there());
    assert_eq!(ways(&row), [format!("{revoke} --force")]);
    (row.outcome, row.reason) = (Outcome::Failed, Some(Reason::DeadToken));
    assert_eq!(ways(&row), ["scimitar rotate initech-okta"]);
    row.mode = Some("observe");
    assert_eq!(ways(&row), ["scimitar explain initech-okta"]);
    // What has to be confirmed is named by its cause; of other causes nothing is picked out.
    let confirm = "scimitar adopt initech-okta --place x";
    row.why = format!("it is now elsewhere: restore it, or confirm with `{confirm}`");
    row.reason = Some(Reason::PlaceChanged);
    assert_eq!(ways(&row), ["scimitar once initech-okta", confirm], "what was there comes first");
    row.reason = Some(Reason::Overlap);
    assert_eq!(ways(&row), ["scimitar explain initech-okta"]);
}

#[test]
fn whoever_fixed_it_does_not_wait_for_the_next_try() {
    let once = || "scimitar once initech-okta".to_owned();
    let again = (once(), "once it is fixed: try again now");
    for code in [Code::Unreachable, Code::Invalid, Code::Io, Code::Unavailable] {
        let copied = |class| copied(Some((class, code)));
        assert_eq!(copied(Class::Terminal), std::slice::from_ref(&again), "{code:?}");
        let online = "find what is down; once it is up again, Scimitar continues automatically";
        let online = ("scimitar check --online".to_owned(), online);
        assert_eq!(copied(Class::Transient), [online], "its pause is kept: {code:?}");
    }
    // What is missing of rights and log-ins is found out first.
    let check = ("scimitar check --online".to_owned(), "test every log-in and permission");
    for code in [Code::Forbidden, Code::Unauthorized] {
        assert_eq!(
            copied(Some((Class::Terminal, code))),
            [check.clone(), again.clone()],
            "{code:?}"
        );
    }
    assert_eq!(copied(None), [(once(), "check it now")], "a second look is all that it needs");
}

#[test]
fn what_a_look_finds_comes_before_what_is_on_record() {
    let (policy, record) = (fixture::policy(), fixture::rotated());
    let status = stored_status::status(&policy, Some(&record), now());
    let mut row = stored_status::row(&policy, Some(&record), now());
    row.why = "acme.eu.auth0.com answered 503; next try at 2026-11-22 04:04 UTC".to_owned();
    let stands = || Stands::on_record(&status, &policy, true);
    let first = |stands: &Stands| {
        let text = explain::sentences(&row, stands, &policy, Some(&record), now());
        text.lines().take(2).map(str::to_owned).collect::<Vec<_>>().join(" ")
    };
    let who = "initech-okta (con_0123456789abcdef at acme)";
    let failing = first(&stands().and_found(&row, Some(Status::Troubled)));
    assert_eq!(failing, format!("{who} is failing. acme.eu.auth0.com answered 503."));
    let refused = first(&stands().and_found(&row, Some(Status::Refused)));
    assert_eq!(refused, format!("{who} needs attention. acme.eu.auth0.com answered 503."));
    let well = first(&stands().and_found(&row, None));
    assert_eq!(well, format!("{who} is healthy. acme.eu.auth0.com answered 503."));
}

#[test]
fn an_unmanaged_token_is_named_once() {
    let mut record = fixture::troubled();
    let revoke = "scimitar revoke initech-okta --token-id tok_stranger";
    let adopt = "scimitar adopt initech-okta --token-id tok_stranger --retire";
    let words = format!(
        "unmanaged token tok_stranger (no recorded use) occupies the slot that a rotation needs: \
         `{revoke}` revokes it, `{adopt}` lets Scimitar retire it according to the policy"
    );
    record.decided.as_mut().unwrap().words.clone_from(&words);
    record.warnings.insert("tok_stranger is an unmanaged token".to_owned());
    let told = explained(&record).join("\n");
    assert_eq!(told.matches(revoke).count(), 1, "{told}");
    assert_eq!(told.matches("unmanaged token").count(), 1, "{told}");
    let row = stored_status::row(&fixture::policy(), Some(&record), now());
    let mut table = table::Table::at(now(), Screen::default());
    table.add(&row, Some(&record), State::Attention);
    let shown = table.text();
    assert!(
        shown.contains(
            "    unmanaged token tok_stranger (no recorded use) occupies the slot that a rotation needs\n"
        ),
        "{shown}"
    );
    assert_eq!(shown.matches(revoke).count(), 1, "{shown}");
    assert_eq!(shown.matches(adopt).count(), 1, "{shown}");
    assert_eq!(shown.matches("unmanaged token").count(), 1, "{shown}");
    // Nothing replaces it while the current one is gone, so that it would not be retired.
    let mut table = table::Table::at(now(), Screen::default());
    let gone = Row { gone: Some(fixture::there()), ..row };
    table.add(&gone, Some(&record), State::Attention);
    let shown = table.text();
    assert!(shown.contains(revoke) && !shown.contains(&format!("$ {adopt}")), "{shown}");
}

#[test]
fn a_right_that_is_back_is_warned_of_no_more() {
    let mut record = fixture::rotated();
    let trouble = fixture::trouble(1);
    record.warnings.insert(format!("needs attention: {}", trouble.fault));
    record.warnings.insert("the clock is off".to_owned());
    record.troubles.revoke = Some(trouble);
    let warned =
        |record: &Record| explained(record).join("\n").contains("Warning: needs attention");
    assert!(warned(&record));
    // A later call was not denied it, and no pass has rested since.
    record.troubles.revoke = None;
    assert!(!warned(&record));
    assert!(explained(&record).contains(&"Warning: the clock is off.".to_owned()));
}

#[test]
fn a_place_that_failed_is_named_once() {
    let mut record = fixture::rotated();
    let (key, mut sink) = fixture::sink("vault", "secret/scim/initech", Some("tok_new"));
    sink.trouble = Some(fixture::trouble(1));
    record.sinks.insert(key, sink);
    let mut failing = row(Outcome::Failed, "could not read secret/scim/initech: 503", Some(record));
    assert_eq!(rows(&[failing.clone()]).matches("secret/scim/initech").count(), 1);
    failing.why = "could not log in".to_owned();
    assert_eq!(rows(&[failing]).matches("secret/scim/initech").count(), 1, "else it is said");
}

#[test]
fn errors_are_listed_with_their_places_before_the_sum() {
    let failure = Failure {
        class: FailureClass::Configuration,
        message: "1 error in scimitar.toml; nothing was changed".to_owned(),
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
         error: 1 error in scimitar.toml; nothing was changed\n"
    );
}
