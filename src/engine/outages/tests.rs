use super::*;
use crate::{
    clock::parse_timestamp,
    error::Class,
    rotation::{
        fixture,
        record::{Survey, Trouble},
    },
    token::{ConnectionId, Tenant},
};

fn noon() -> Timestamp {
    parse_timestamp("2026-11-22T12:00:00Z").unwrap()
}

fn vault() -> Service {
    Service::Sink(SinkName::try_new("vault").unwrap())
}

fn key(number: usize) -> ConnectionKey {
    ConnectionKey {
        tenant: Tenant::try_new("acme.example").unwrap(),
        connection: ConnectionId::try_new(format!("con_{number}")).unwrap(),
    }
}

fn refused() -> Fault {
    Fault::new("read", Class::Transient, Code::Unreachable, "connection refused")
}

fn words(lines: &[Line]) -> Vec<String> {
    lines.iter().map(Line::words).collect()
}

fn at(seconds: i64) -> Timestamp {
    noon() + TimeDelta::seconds(seconds)
}

#[test]
fn an_outage_is_one_line_with_all_that_wait_for_it() {
    let mut outages = Outages::default();
    for number in 0..38 {
        outages.failed(&vault(), &key(number), &refused(), at(0));
        outages.retries(&key(number), Some(at(43 + i64::try_from(number).unwrap())));
    }
    assert_eq!(outages.lines(at(2)), [], "others may find out yet");
    assert_eq!(outages.cover(&key(1)), Cover::Perhaps);
    assert_eq!(outages.next(), Some(at(3)));
    let told = words(&outages.lines(at(3)));
    let line = "sink vault unreachable: connection refused; 38 connections wait; retrying in 40s";
    assert_eq!(told, [line]);
    assert_eq!((outages.cover(&key(1)), outages.cover(&key(99))), (Cover::Told, Cover::None));
    // Each of them tries again, and again.
    for second in 4..60 {
        outages.failed(&vault(), &key(0), &refused(), at(second));
        assert_eq!(outages.lines(at(second)), []);
    }
    let told = words(&outages.lines(at(60)));
    assert!(told[0].starts_with("sink vault unreachable for 1m: connection refused;"), "{told:?}");
    outages.answered(&vault(), &key(0), at(360));
    assert!(!outages.is_down(&vault()));
    assert_eq!(words(&outages.lines(at(361))), [""; 0]);
    let told = words(&outages.lines(at(363)));
    assert_eq!(told, ["sink vault is back after 6m; 38 connections catch up"]);
    assert_eq!((outages.next(), outages.cover(&key(1))), (None, Cover::None));
}

#[test]
fn reminders_come_ever_less_often() {
    let mut outages = Outages::default();
    let mut said = Vec::new();
    for second in 0..3 * 86_400 {
        if second % 10 == 0 {
            outages.failed(&vault(), &key(0), &refused(), at(second));
        }
        said.extend(outages.lines(at(second)).iter().map(|_| second));
    }
    assert_eq!(said[..6], [3, 60, 300, 1_800, 3_600, 7_200]);
    assert_eq!(said.last(), Some(&(2 * 86_400)), "daily after a day");
    assert_eq!(said.len(), 4 + 24 + 1);
}

#[test]
fn a_service_that_comes_and_goes_is_not_told_each_time() {
    let mut outages = Outages::default();
    let mut lines = 0;
    for second in 0..3_600 {
        match second % 20 {
            0 => outages.failed(&vault(), &key(0), &refused(), at(second)),
            10 => outages.answered(&vault(), &key(1), at(second)),
            _ => {}
        }
        lines += outages.lines(at(second)).len();
    }
    // Down and back: at first, after 1, 5 and 30 minutes.
    assert_eq!(lines, 8);
    // One failure that the next answer takes back is no outage.
    let mut outages = Outages::default();
    outages.failed(&vault(), &key(0), &refused(), at(0));
    outages.answered(&vault(), &key(1), at(1));
    assert_eq!((outages.lines(at(4)), outages.next()), (Vec::new(), None));
}

#[test]
fn what_one_connection_is_refused_is_no_outage() {
    let mut outages = Outages::default();
    let forbidden = Fault::new("read", Class::Terminal, Code::Forbidden, "403");
    outages.failed(&vault(), &key(0), &forbidden, at(0));
    assert_eq!((outages.lines(at(60)), outages.cover(&key(0))), (Vec::new(), Cover::None));
    // It is an answer, too.
    outages.failed(&vault(), &key(1), &refused(), at(60));
    outages.failed(&vault(), &key(0), &forbidden, at(61));
    assert!(!outages.is_down(&vault()));
}

#[test]
fn what_left_the_configuration_is_not_waited_for() {
    let mut outages = Outages::default();
    outages.failed(&vault(), &key(0), &refused(), at(0));
    outages.failed(&vault(), &key(1), &refused(), at(0));
    outages.keep(|_, connection| *connection == key(1));
    assert_eq!((outages.cover(&key(0)), outages.cover(&key(1))), (Cover::None, Cover::Perhaps));
    outages.keep(|_, _| false);
    assert_eq!((outages.lines(at(60)), outages.next()), (Vec::new(), None));
}

#[test]
fn a_hook_that_fails_is_told_once_and_covers_no_rotation() {
    let mut outages = Outages::default();
    let hook = Service::Hook(HookName::try_new("chat").unwrap());
    let failed = Fault::new("run it", Class::Terminal, Code::Invalid, "exit status 7");
    for number in 0..3 {
        outages.failed(&hook, &key(number), &failed, at(0));
    }
    let told = words(&outages.lines(at(3)));
    assert_eq!(
        told,
        ["hook chat failing: exit status 7; notifications of 3 connections wait; retrying"]
    );
    assert_eq!(outages.cover(&key(1)), Cover::None, "it has nothing to do with a rotation");
    outages.answered(&hook, &key(1), at(60));
    let told = words(&outages.lines(at(63)));
    assert_eq!(told, ["hook chat is back after 1m; notifications of 3 connections catch up"]);
}

/// As the ledger has a connection that waits for a sink, and is tried again then.
fn waiting_for(sink: &str, number: usize, again: Timestamp) -> Record {
    let mut record = fixture::empty();
    record.key = key(number);
    let (place, mut state) = fixture::sink(sink, "here", None);
    state.trouble = Some(trouble(again));
    record.sinks.insert(place, state);
    record.wake_at = Some(again);
    record.survey = Some(survey(50));
    record
}

fn survey(seconds: i64) -> Survey {
    Survey { at: at(seconds), skew_ms: 0, tokens: Vec::new() }
}

fn trouble(again: Timestamp) -> Trouble {
    let (since, at) = (noon(), noon());
    Trouble { count: 1, since, fault: refused(), at, retry_at: again, of_sink: false }
}

#[test]
fn an_outage_ends_when_another_replica_sees_its_end() {
    let mut outages = Outages::default();
    for number in 0..3 {
        outages.failed(&vault(), &key(number), &refused(), at(0));
        outages.retries(&key(number), Some(at(60)));
    }
    assert_eq!(outages.lines(at(3)).len(), 1);
    assert_eq!(outages.overdue(at(60)), BTreeMap::new());
    assert_eq!(outages.overdue(at(61)).len(), 3);
    // Another replica has tried one of them, in vain.
    assert_eq!(outages.recorded(&waiting_for("vault", 0, at(120)), at(61)), []);
    assert!(outages.is_down(&vault()));
    let left: Vec<_> = outages.overdue(at(62)).into_keys().collect();
    assert_eq!(left, [key(1), key(2)]);
    // Nothing of it is on record, which may never have been written down: nobody has looked since.
    let mut unknown = waiting_for("disk", 1, at(60));
    unknown.survey = Some(survey(0));
    assert_eq!(outages.recorded(&unknown, at(62)), []);
    assert!(outages.is_down(&vault()));
    // What it could not do at another sink says nothing of this one; nor does it of that one.
    let elsewhere = waiting_for("disk", 1, at(180));
    assert_eq!(outages.recorded(&elsewhere, at(120)), [vault()]);
    assert!(!outages.is_down(&vault()));
    let mut well = waiting_for("vault", 2, at(3_600));
    well.sinks.values_mut().for_each(|sink| sink.trouble = None);
    assert_eq!(outages.recorded(&well, at(120)), [], "it is known to work");
    let told = words(&outages.lines(at(123)));
    assert_eq!(told, ["sink vault is back after 2m; 3 connections catch up"]);
    assert_eq!((outages.lines(at(200)), outages.overdue(at(200))), (Vec::new(), BTreeMap::new()));
}

#[test]
fn a_provider_is_back_once_another_replica_has_listed() {
    let mut outages = Outages::default();
    let acme = Service::Provider(ProviderName::try_new("acme").unwrap());
    outages.failed(&acme, &key(0), &refused(), at(10));
    let mut record = fixture::empty();
    record.key = key(0);
    record.survey = Some(survey(5));
    assert_eq!(outages.recorded(&record, at(60)), [], "that list is older");
    record.survey = Some(survey(50));
    record.troubles.look = Some(trouble(at(90)));
    assert_eq!(outages.recorded(&record, at(60)), [], "it has failed since");
    record.troubles.look = None;
    assert_eq!(outages.recorded(&record, at(60)), [acme]);
}
