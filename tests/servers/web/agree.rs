//! Every surface says the same of a connection: the rows of a one-shot, `status`, `explain`, the page,
//! the metrics and the API.

use std::{collections::BTreeMap, time::Duration};

use chrono::TimeDelta;
use scimitar::{
    clock::ProviderTime,
    commands::{
        explain,
        screen::Screen,
        standing::{Stands, State},
        table::Table,
    },
    engine::{
        report::{Report, Scope},
        row::Row,
    },
    error::{Class, Code, Fault},
    rotation::{
        decide::{Draw, Rest, Situation, Timeouts, rested},
        observe::Observed,
        pause::Pause,
        probe_user::{ProbeUser, ProbeUserName, UserOp, WritePlan, WriteProof},
        record::{Cause, Record, Retiring, RetiringState, Status, Trouble, UnmanagedToken},
        scim_config::{ScimState, Standing},
        status::{Concern, ConnectionStatus, Outcome, blocks_revocation, blocks_rotation, outcome},
        uptake::{Account, Client, Uptake},
        why::Reason,
    },
    token::{ConnectionName, LedgerId},
};
use serde_json::Value;

use super::{
    sample,
    site::{Stand, connection, now, there},
};

/// A connection that rested with this, as a call writes it down, and the call's own row.
fn rests(number: usize, status: Status, reason: Option<Reason>) -> (Record, Row) {
    let before = sample::quiet(&format!("c{number:03}"), 6, 30);
    let policy = connection(&before).policy;
    let rest = Rest {
        status,
        reason,
        until: Some(now() + TimeDelta::minutes(7)),
        next_rotation: before.next_rotation,
        warnings: Default::default(),
        hooks_only: false,
    };
    let why = format!("words {number:03}");
    let request = scimitar::rotation::request::RotationRequest::Due;
    let situation = Situation {
        policy: &policy,
        record: &before,
        observed: &Observed::default(),
        now: now(),
        request: &request,
        ledger: &LedgerId::try_new("0123456789abcdef0123456789abcdef").unwrap(),
        ending: None,
        timeouts: Timeouts { request: Duration::from_secs(30), probe: Duration::from_secs(60) },
        draw: Draw::default(),
    };
    let event = rested(&situation, &rest, &why);
    let after = before.clone().apply(event).unwrap();
    let report = Report {
        outcome: outcome(&request, before.last_rotation.as_ref(), &after, &rest, now()),
        reason,
        why,
        record: Some(after.clone()),
        fault: after.last_fault().cloned(),
        scope: Scope::Connection,
    };
    let row = Row::of(&policy, &report, now());
    (after, row)
}

/// What ends a call before it found anything out: nothing of it is kept.
fn is_of_a_call(reason: Reason) -> bool {
    matches!(reason, Reason::Timeout | Reason::Interrupted)
}

/// The value of a series, if it is there.
fn sample_of(metrics: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let line = metrics.lines().find(|line| {
        line.starts_with(&format!("{name}{{"))
            && labels.iter().all(|(label, value)| line.contains(&format!("{label}=\"{value}\"")))
    })?;
    line.rsplit_once(' ')?.1.parse().ok()
}

/// A connection's own page.
async fn card(stand: &Stand, name: &ConnectionName) -> String {
    stand.page(&format!("/c/{name}")).await
}

/// The API's rows, by connection.
async fn api(stand: &Stand) -> BTreeMap<String, Value> {
    let (status, text) = stand.get("/api/v1/connections").await;
    assert_eq!(status, 200, "{text}");
    let document: Value = serde_json::from_str(&text).unwrap();
    let rows = document["results"].as_array().unwrap().iter();
    rows.map(|row| (row["connection"].as_str().unwrap().to_owned(), row.clone())).collect()
}

#[tokio::test]
async fn every_reason_is_the_same_wherever_it_is_shown() {
    let standings = [Status::Idle, Status::Waiting, Status::Troubled, Status::Refused];
    // A pause is more than what was decided then: `a_pause_is_the_same_wherever_it_is_shown`.
    let decided = |reason: &Reason| !is_of_a_call(*reason) && *reason != Reason::Paused;
    let reasons = Reason::ALL.into_iter().filter(decided).map(Some);
    let all: Vec<(Status, Option<Reason>)> = reasons
        .chain([None])
        .flat_map(|reason| standings.map(|standing| (standing, reason)))
        .collect();
    let made: Vec<_> = all
        .iter()
        .enumerate()
        .map(|(number, (standing, reason))| rests(number, *standing, *reason))
        .collect();
    let records: Vec<Record> = made.iter().map(|(record, _)| record.clone()).collect();
    let stand = Stand::of(&records, &[]).await;
    let (_, metrics) = stand.get("/metrics").await;
    let rows = api(&stand).await;
    for ((record, by_call), (standing, reason)) in made.iter().zip(&all) {
        let name = &record.name;
        let expected = Outcome::from(*standing);
        let what = format!("{standing:?} {reason:?}");
        let policy = connection(record).policy;
        let shown = ConnectionStatus::of(record, Some(&policy), now());
        assert_eq!((shown.outcome, shown.reason), (expected, *reason), "{what}");
        assert_eq!((by_call.outcome, by_call.reason), (expected, *reason), "{what}");

        let row = &rows[name.as_str()];
        assert_eq!(row["outcome"], expected.as_str(), "{what}");
        assert_eq!(row["reason"].as_str(), reason.map(Reason::as_str), "{what}");
        assert!(row["why"].as_str().unwrap().contains(&by_call.why), "{what}: {row}");
        assert_eq!(row["warnings"], serde_json::json!(by_call.warnings), "{what}");

        let mut table = Table::at(now(), Screen::default());
        let from_record = scimitar::engine::stored_status::row(&policy, Some(record), now());
        let state = State::of(&shown, &policy, true);
        table.add(&from_record, Some(record), state);
        let line = table.text().lines().nth(1).unwrap().to_owned();
        assert!(line.contains(state.as_str()), "{what}: {line}");
        assert_eq!(state.is_bad(), shown.needs_person, "{what}");
        // Of a healthy one the columns say it.
        let said = state == State::Healthy || table.text().contains(&by_call.why);
        assert!(said, "{what}: {}", table.text());
        let stands = Stands::on_record(&shown, &policy, true);
        let told = explain::sentences(&from_record, &stands, &policy, Some(record), now());
        assert!(told.contains(&by_call.why), "{what}: {told}");

        let page = card(&stand, name).await;
        assert!(page.contains(&by_call.why), "{what}");
        if let Some(reason) = reason {
            assert!(page.contains(reason.as_str()), "{what}");
        }
        assert_eq!(shown.needs_person, wanted(standing, *reason), "{what}");
        let person = stand.page(&format!("/?q={name}&state=attention")).await;
        assert_eq!(person.contains(&format!("title=\"con_{name}\"")), shown.needs_person, "{what}");

        if let Some(reason) = reason {
            let of = [("connection", name.as_str()), ("reason", reason.as_str())];
            let refused = *standing == Status::Refused || *reason == Reason::PreviousInUse;
            if refused && blocks_rotation(*reason) {
                let blocked = sample_of(&metrics, "scimitar_rotation_blocked", &of);
                assert_eq!(blocked, Some(1.0), "{what}");
            } else if !blocks_rotation(*reason) && !blocks_revocation(*reason) {
                let blocked = sample_of(&metrics, "scimitar_revocation_blocked", &of);
                assert_eq!(blocked, None, "{what}");
            }
        }
    }
}

#[test]
fn a_rotation_that_was_cut_off_is_not_said_to_have_nothing_due() {
    let request = scimitar::rotation::request::RotationRequest::Due;
    let cut_off = |record: &Record, reason| {
        let policy = connection(record).policy;
        let rest = Rest {
            status: Status::Troubled,
            reason: Some(reason),
            until: Some(now()),
            next_rotation: record.next_rotation,
            warnings: Default::default(),
            hooks_only: false,
        };
        let situation = Situation {
            policy: &policy,
            record,
            observed: &Observed::default(),
            now: now(),
            request: &request,
            ledger: &LedgerId::try_new("0123456789abcdef0123456789abcdef").unwrap(),
            ending: None,
            timeouts: Timeouts { request: Duration::from_secs(30), probe: Duration::from_secs(60) },
            draw: Draw::default(),
        };
        let event = rested(&situation, &rest, "the next run goes on");
        ConnectionStatus::of(&record.clone().apply(event).unwrap(), Some(&policy), now())
    };
    for reason in [Reason::Timeout, Reason::Interrupted] {
        let left = cut_off(&sample::delivering("left-in-the-middle"), reason);
        assert_eq!((left.outcome, left.reason), (Outcome::Waiting, None));
        assert_eq!(left.why, "the next run goes on");
        let steady = cut_off(&sample::quiet("steady", 6, 30), reason);
        assert_eq!(steady.outcome, Outcome::Unchanged);
        let refused = cut_off(&sample::refused("refused"), reason);
        assert_eq!(refused.outcome, Outcome::Refused);
    }
}

/// Who stands so needs a person: what failed, what is refused, and what keeps a due rotation waiting
/// for an older token.
fn wanted(status: &Status, reason: Option<Reason>) -> bool {
    matches!(status, Status::Troubled | Status::Refused) || reason == Some(Reason::PreviousInUse)
}

fn trouble(class: Class) -> Trouble {
    Trouble {
        count: 2,
        since: now() - TimeDelta::hours(2),
        fault: Fault::new("list the tokens of con_x", class, Code::Unavailable, "answered 503"),
        at: now() - TimeDelta::minutes(1),
        retry_at: now() + TimeDelta::minutes(1),
        of_sink: false,
    }
}

fn older(record: &Record, cause: Cause, superseded_at: Option<ProviderTime>) -> Retiring {
    let mut token = sample::token(&format!("tok_{}_0", record.name), 21, Some(40));
    token.last_used_at = None;
    Retiring {
        token,
        cause,
        retire: scimitar::rotation::policy::Retire {
            overlap: Duration::from_secs(3_600),
            after_use: false,
            when_idle: None,
            at_latest: None,
        },
        superseded_at,
        state: RetiringState::Waiting,
        on_evidence: false,
        probe: None,
    }
}

/// A record of which this is to be said.
fn concerning(concern: Concern) -> Record {
    let mut record = sample::quiet(&format!("of-{}", concern.as_str().replace('_', "-")), 6, 30);
    let life = |record: &mut Record, left: TimeDelta| {
        let token = &mut record.current.as_mut().unwrap().token;
        token.valid_until = Some(there() + left);
        token.created_at = there() + left - TimeDelta::days(30);
        record.next_rotation = Some(now());
    };
    match concern {
        Concern::Expired => life(&mut record, TimeDelta::zero()),
        Concern::AboutToExpire => life(&mut record, TimeDelta::hours(3)),
        Concern::ExpiresSoon => life(&mut record, TimeDelta::days(5)),
        Concern::RotationBlocked => record = rests(901, Status::Refused, Some(Reason::Brake)).0,
        Concern::RotationFailing => {
            let reason = Some(Reason::ProviderUnavailable);
            record = rests(902, Status::Troubled, reason).0;
            record.troubles.look = Some(trouble(Class::Transient));
        }
        Concern::RevocationBlocked => {
            let since = Some(there() - TimeDelta::days(4));
            record.retiring.push(older(&record, Cause::Superseded, since));
        }
        Concern::PreviousStillUsed => {
            let since = there() - TimeDelta::hours(3);
            let mut still = older(&record, Cause::Superseded, Some(since));
            still.token.last_used_at = Some(there() - TimeDelta::hours(1));
            record.retiring.push(still);
        }
        Concern::LeftConfiguration => {}
        Concern::SurveyStale => {
            record.survey = Some(scimitar::rotation::record::Survey {
                at: now() - TimeDelta::days(4),
                skew_ms: 0,
                tokens: Vec::new(),
            });
        }
        Concern::HandoffWaiting => {
            let sink = record.sinks.values_mut().next().unwrap();
            (sink.readable, sink.holds) = (false, None);
            sink.trouble =
                Some(Trouble { since: now() - TimeDelta::days(3), ..trouble(Class::Transient) });
        }
        Concern::HandoffUrgent => {
            let mut before = older(&record, Cause::Superseded, None);
            before.token.valid_until = Some(there() + TimeDelta::hours(3));
            record.retiring.push(before);
            let target = record.target().cloned();
            let sink = record.sinks.values_mut().next().unwrap();
            (sink.readable, sink.holds) = (false, target);
            sink.since = Some(now() - TimeDelta::hours(20));
            sink.uptake = Uptake::ByPerson { instructions: "put it there".to_owned() };
        }
        Concern::ClientStopped => {
            let sink = record.sinks.values_mut().next().unwrap();
            (sink.readable, sink.uptake) = (false, Uptake::ByClient);
            sink.client = Some(Client {
                asked: now(),
                account: Some(Account::Stopped("it is in quarantine".to_owned())),
                stopped_since: Some(now() - TimeDelta::hours(3)),
                trouble: None,
            });
        }
        Concern::Orphan => record.retiring.push(older(&record, Cause::Orphan, None)),
        Concern::Unmanaged => {
            let theirs = sample::token("tok_theirs", 2, Some(30));
            let seen =
                UnmanagedToken { first_seen: there() - TimeDelta::hours(1), probably_ours: false };
            record.unmanaged.insert(theirs.id, seen);
        }
        Concern::SinkDrift => record = sample::drifted(record.name.as_str()),
        Concern::DeactivationLost => {
            let plan = WritePlan {
                user: ProbeUserName::drawn(7),
                ops: [UserOp::Create, UserOp::Deactivate, UserOp::Delete].into(),
                left_out: BTreeMap::new(),
            };
            let token = record.current.as_ref().unwrap().token.id.clone();
            let proof = WriteProof::new(token, &plan, now() - TimeDelta::hours(2));
            record.write_proof = Some(WriteProof { loses_active: true, ..proof });
            record.warnings.insert("deactivation_lost: a user stays active".to_owned());
        }
        Concern::ProbeUserLeft => {
            let name = ProbeUserName::drawn(7);
            record.warnings.insert(format!("probe_user_left: {name} still exists"));
            let since = now() - TimeDelta::hours(2);
            let trouble = Trouble { since, ..trouble(Class::Transient) };
            let user = ProbeUser::new(name, since);
            record.probe_user = Some(ProbeUser { trouble: Some(trouble), ..user });
        }
        Concern::ScimConfigDrift => {
            record.scim = Some(ScimState {
                standing: Some(Standing::Missing),
                since: Some(now() - TimeDelta::hours(1)),
                ..ScimState::default()
            });
        }
    }
    record
}

#[tokio::test]
async fn every_concern_is_the_same_wherever_it_is_shown() {
    let all: Vec<(Concern, Record)> =
        Concern::ALL.into_iter().map(|concern| (concern, concerning(concern))).collect();
    let configured: Vec<Record> = all
        .iter()
        .filter(|(concern, _)| *concern != Concern::LeftConfiguration)
        .map(|(_, record)| record.clone())
        .collect();
    let left = sample::left();
    let stand = Stand::of(&configured, std::slice::from_ref(&left)).await;
    let (_, metrics) = stand.get("/metrics").await;
    let rows = api(&stand).await;
    for concern in Concern::ALL {
        let of = [("provider", "acme"), ("concern", concern.as_str())];
        let counted = sample_of(&metrics, "scimitar_connections_of_concern", &of).unwrap();
        let shown = configured.iter().filter(|record| {
            let policy = connection(record).policy;
            ConnectionStatus::of(record, Some(&policy), now()).concerns.contains(&concern)
        });
        let expected = shown.count() + usize::from(concern == Concern::LeftConfiguration);
        assert!(expected > 0, "{concern:?} is not driven");
        assert!((counted - expected as f64).abs() < f64::EPSILON, "{concern:?}: {counted}");
    }
    assert!(
        ConnectionStatus::of(&left, None, now()).concerns.contains(&Concern::LeftConfiguration)
    );
    for (concern, record) in all {
        if concern == Concern::LeftConfiguration {
            continue;
        }
        let policy = connection(&record).policy;
        let shown = ConnectionStatus::of(&record, Some(&policy), now());
        assert!(shown.concerns.contains(&concern), "{concern:?}: {:?}", shown.concerns);
        let row = &rows[record.name.as_str()];
        let from_record = scimitar::engine::stored_status::row(&policy, Some(&record), now());
        assert_eq!(row["warnings"], serde_json::json!(from_record.warnings), "{concern:?}");
        for warning in shown.warnings() {
            assert!(from_record.warnings.contains(&warning), "{concern:?}: {warning}");
        }
        let stands = Stands::on_record(&shown, &policy, true);
        let told = explain::sentences(&from_record, &stands, &policy, Some(&record), now());
        for warning in &from_record.warnings {
            assert!(told.contains(warning.as_str()), "{concern:?}: {told}");
        }
        let needs = stand.page(&format!("/?q={}&state=attention", record.name)).await;
        let listed = needs.contains(&format!("title=\"con_{}\"", record.name));
        assert_eq!(listed, shown.needs_person, "{concern:?}");
    }
}

/// What an operator asked for is said wherever a connection is shown, also before anybody looked again.
#[tokio::test]
async fn a_pause_is_the_same_wherever_it_is_shown() {
    let pause = Pause {
        since: now() - TimeDelta::hours(1),
        until: now() + TimeDelta::hours(5),
        by: "alice".to_owned(),
        reason: "tenant migration".to_owned(),
    };
    let words = pause.words();
    let states = [
        (Status::Idle, None),
        (Status::Idle, Some(Reason::Paused)),
        (Status::Waiting, Some(Reason::Overlap)),
        (Status::Troubled, Some(Reason::ProviderUnavailable)),
        (Status::Refused, Some(Reason::Brake)),
    ];
    let records: Vec<Record> = states
        .iter()
        .enumerate()
        .map(|(number, (standing, reason))| {
            let mut record = rests(800 + number, *standing, *reason).0;
            record.pause = Some(pause.clone());
            record
        })
        .collect();
    let stand = Stand::of(&records, &[]).await;
    let (_, metrics) = stand.get("/metrics").await;
    let rows = api(&stand).await;
    for (record, (standing, reason)) in records.iter().zip(states) {
        let (name, what) = (&record.name, format!("{standing:?} {reason:?}"));
        let policy = connection(record).policy;
        let shown = ConnectionStatus::of(record, Some(&policy), now());
        assert_eq!(shown.pause.as_ref(), Some(&pause), "{what}");
        // What fails or is refused is said first.
        let idle = standing == Status::Idle;
        assert_eq!(shown.outcome, Outcome::from(standing), "{what}");
        assert_eq!(shown.reason, if idle { Some(Reason::Paused) } else { reason }, "{what}");
        let row = &rows[name.as_str()];
        assert_eq!(row["reason"].as_str(), shown.reason.map(Reason::as_str), "{what}");
        assert_eq!(row["paused_until"], scimitar::clock::rfc3339(pause.until), "{what}");
        let from_record = scimitar::engine::stored_status::row(&policy, Some(record), now());
        assert_eq!(row["warnings"], serde_json::json!(from_record.warnings), "{what}");
        let mut table = Table::at(now(), Screen::default());
        table.add(&from_record, Some(record), State::of(&shown, &policy, true));
        let stands = Stands::on_record(&shown, &policy, true);
        let told = explain::sentences(&from_record, &stands, &policy, Some(record), now());
        let page = card(&stand, name).await;
        let stored = reason == Some(Reason::Paused);
        for text in [&row.to_string(), &table.text(), &page] {
            assert!(stored || text.contains(&words), "{what}: {text}");
        }
        let sentence = words.trim_start_matches('p');
        assert!(stored || told.contains(sentence), "{what}: {told}");
        let line = stand.page(&format!("/?q={name}")).await;
        let looks = idle || standing == Status::Waiting;
        assert_eq!(line.contains("<tr class=\"row paused\">"), looks, "{what}: {line}");
        let beside = line.contains("<span class=\"note\">paused</span>");
        assert_eq!(beside, !looks, "{what}: {line}");
        let of = [("connection", name.as_str()), ("reason", "paused")];
        assert_eq!(sample_of(&metrics, "scimitar_rotation_blocked", &of), Some(1.0), "{what}");
        let person = matches!(standing, Status::Troubled | Status::Refused);
        assert_eq!(shown.needs_person, person, "{what}");
        // Once it is over nothing speaks of it.
        let later = ConnectionStatus::of(record, Some(&policy), pause.until);
        assert!(later.pause.is_none() && !later.rotation_blocked.contains(&Reason::Paused));
    }
}

#[test]
fn a_paused_rotation_silences_no_alert_about_expiry() {
    let mut record = concerning(Concern::ExpiresSoon);
    record.next_rotation = Some(now() + TimeDelta::days(1));
    let policy = connection(&record).policy;
    let concerns = |record: &Record| ConnectionStatus::of(record, Some(&policy), now()).concerns;
    assert!(!concerns(&record).contains(&Concern::ExpiresSoon), "one is ahead");
    let (by, reason) = ("alice".to_owned(), "tenant migration".to_owned());
    record.pause = Some(Pause { since: now(), until: now() + TimeDelta::days(1), by, reason });
    assert!(concerns(&record).contains(&Concern::ExpiresSoon));
}
