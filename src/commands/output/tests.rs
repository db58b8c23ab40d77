use serde_json::{Value, json};

use super::*;
use crate::{
    config::Problem,
    engine::report::{Report, Scope},
    rotation::{
        fixture::{self, now},
        record::{Begun, SinkState},
        view::{self, SinkStatus},
        why::Reason,
    },
};

fn row(report: &Report) -> Row {
    Row::of(&fixture::policy(), report, now())
}

fn document(answer: &Answer) -> Value {
    let status = answer.exit_status();
    let text = answer.json(now(), now(), status).unwrap();
    assert_eq!(text.matches('\n').count(), 1, "one line: {text}");
    serde_json::from_str(&text).unwrap()
}

#[test]
fn a_rotated_connection_has_every_member() {
    let report = Report {
        outcome: Outcome::Rotated,
        reason: Some(Reason::Overlap),
        why: "the older token stays for 1 min".to_owned(),
        record: Some(fixture::rotated()),
        fault: None,
        scope: Scope::Connection,
    };
    let wanted = json!({
        "schema": 1,
        "started_at": "2026-11-22T04:00:00Z",
        "finished_at": "2026-11-22T04:00:00Z",
        "exit_status": 0,
        "error": null,
        "results": [{
            "connection": "initech-okta",
            "connection_id": "con_0123456789abcdef",
            "provider": "acme",
            "outcome": "rotated",
            "reason": "overlap",
            "why": "the older token stays for 1 min",
            "phase": "retiring",
            "mode": "rotate",
            "token_id": "tok_new",
            "previous_token_id": "tok_old",
            "created_at": "2026-11-22T04:00:00Z",
            "expires_at": "2026-12-22T04:00:00Z",
            "last_used_at": "2026-11-22T03:55:00Z",
            "scopes": [],
            "next_at": "2026-12-12T04:00:00Z",
            "retry_at": null,
            "revoke_after": "2026-11-22T04:01:00Z",
            "sinks": [{
                "sink": "disk",
                "location": "/run/scimitar/initech.token",
                "version": "v7",
                "state": "delivered",
            }],
            "warnings": [],
            "error": null,
        }],
    });
    assert_eq!(document(&Answer::done(vec![row(&report)])), wanted);
}

#[test]
fn what_is_absent_is_null_and_never_left_out() {
    let report = Report {
        outcome: Outcome::Failed,
        reason: None,
        why: String::new(),
        record: None,
        fault: Some(fixture::fault()),
        scope: Scope::Connection,
    };
    let wanted = json!([{
        "connection": "initech-okta",
        "connection_id": "con_0123456789abcdef",
        "provider": "acme",
        "outcome": "failed",
        "reason": null,
        "why": "",
        "phase": null,
        "mode": "rotate",
        "token_id": null,
        "previous_token_id": null,
        "created_at": null,
        "expires_at": null,
        "last_used_at": null,
        "scopes": null,
        "next_at": null,
        "retry_at": null,
        "revoke_after": null,
        "sinks": [],
        "warnings": [],
        "error": {
            "class": "transient",
            "message": "could not make a token for con_0123456789abcdef: \
                        acme.eu.auth0.com answered 503",
        },
    }]);
    let document = document(&Answer::done(vec![row(&report)]));
    assert_eq!(document["results"], wanted);
    assert_eq!(document["exit_status"], 1);
}

#[test]
fn mistakes_in_the_configuration_come_with_their_places() {
    let problem = Problem {
        file: "scimitar.toml".to_owned(),
        line: Some(3),
        column: None,
        message: "unknown key".to_owned(),
        hint: None,
    };
    let answer = Answer::failed(Failure {
        class: FailureClass::Configuration,
        message: "1 mistake".to_owned(),
        problems: vec![problem],
    });
    let document = document(&answer);
    assert_eq!(
        document["error"],
        json!({
            "class": "configuration",
            "message": "1 mistake",
            "problems": [{
                "file": "scimitar.toml",
                "line": 3,
                "column": null,
                "message": "unknown key",
                "hint": null,
            }],
        })
    );
    assert_eq!(document["exit_status"], 2);
    assert_eq!(document["results"], json!([]));
}

#[test]
fn one_failure_outweighs_refusals_and_those_outweigh_the_rest() {
    use Outcome::{Failed, Planned, Refused, Rotated, Unchanged, Waiting};
    for (outcomes, status) in [
        (vec![], 0),
        (vec![Rotated, Planned, Unchanged, Waiting], 0),
        (vec![Rotated, Refused, Rotated], 3),
        (vec![Refused, Failed], 1),
        (vec![Failed, Refused, Rotated], 1),
    ] {
        assert_eq!(exit_status(outcomes.clone()), status, "{outcomes:?}");
    }
}

#[test]
fn what_only_shows_ends_with_0_and_each_failure_with_its_status() {
    let mut shown = row(&Report {
        outcome: Outcome::Refused,
        reason: None,
        why: String::new(),
        record: None,
        fault: None,
        scope: Scope::Connection,
    });
    assert_eq!(Answer::shown(vec![shown.clone()], String::new()).exit_status(), 0);
    assert_eq!(Answer::done(vec![shown.clone()]).exit_status(), 3);
    shown.outcome = Outcome::Failed;
    assert_eq!(Answer::done(vec![shown]).exit_status(), 1);
    for (class, word, status) in [
        (FailureClass::Usage, "usage", 2),
        (FailureClass::Configuration, "configuration", 2),
        (FailureClass::Ledger, "ledger", 1),
        (FailureClass::Online, "online", 1),
        (FailureClass::System, "system", 1),
    ] {
        let answer = Answer::failed(Failure::new(class, "words"));
        let document = document(&answer);
        assert_eq!(document["error"]["class"], word);
        assert_eq!(document["exit_status"], status);
    }
}

#[test]
fn a_sink_is_delivered_pending_drifted_or_unreadable() {
    let wanted = fixture::id("tok_new");
    let sink = |holds| fixture::sink("disk", "x", holds).1;
    let standing = |state: &SinkState| view::sink_status(state, Some(&wanted)).as_str();

    assert_eq!(standing(&sink(Some("tok_new"))), "delivered");
    assert_eq!(standing(&sink(Some("tok_old"))), "pending");
    assert_eq!(standing(&sink(None)), "pending");

    let mut begun = sink(Some("tok_new"));
    begun.begun = Some(Begun { id: wanted.clone(), at: now(), replaces: None, spends: false });
    assert_eq!(standing(&begun), "pending");

    let mut silent = sink(None);
    silent.trouble = Some(fixture::trouble(1));
    assert_eq!(standing(&silent), "unreadable");
    silent.holds = Some(fixture::id("tok_old"));
    assert_eq!(standing(&silent), "pending");

    let troubled = fixture::troubled();
    let drifted: Vec<_> =
        troubled.sinks.values().map(|state| (state.place.sink.as_str(), standing(state))).collect();
    assert_eq!(drifted, [("disk", "delivered"), ("vault", "drift")]);
    assert_eq!(view::sink_status(&sink(None), None), SinkStatus::Pending);
}
