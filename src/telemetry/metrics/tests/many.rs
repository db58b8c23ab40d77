//! More connections than have series of their own, those that are not the ledger's, and what the
//! alerts count by.

use chrono::TimeDelta;

use super::*;
use crate::{
    rotation::{
        policy::Mode,
        record::Cause,
        status::{self, Concern, ConnectionStatus},
        view,
    },
    token::{ConnectionId, ConnectionName, Tenant},
};

/// A connection of its own, whose token has so many days left, and whose next rotation is ahead.
fn steady(number: usize, days: i64) -> Record {
    let mut record = fixture::rotated();
    record.retiring.clear();
    record.key.connection = ConnectionId::try_new(format!("con_{number:04}")).unwrap();
    record.name = ConnectionName::try_new(format!("c{number:04}")).unwrap();
    let there = record.provider_clock().to_provider(now());
    let current = record.current.as_mut().unwrap();
    current.token.valid_until = Some(there + TimeDelta::days(days));
    record
}

fn with_limit(limit: usize) -> Metrics {
    let metrics = Metrics::try_new().unwrap();
    assert_eq!(metrics.per_connection_limit(), 1_000);
    metrics.set_per_connection_limit(limit);
    metrics
}

/// The connections that have series of their own.
fn shown(text: &str) -> Vec<String> {
    let of_tokens = samples(text)
        .into_iter()
        .filter(|sample| sample.0 == "scimitar_tokens" && sample.1.contains(r#"kind="current""#));
    let names = of_tokens.map(|sample| {
        let rest = sample.1.split_once(r#"connection=""#).unwrap().1.to_owned();
        rest.split('"').next().unwrap().to_owned()
    });
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

#[test]
fn beyond_the_limit_the_most_urgent_have_series_of_their_own() {
    let mut records: Vec<Record> =
        (0..20).map(|number| steady(number, 100 - i64::try_from(number).unwrap())).collect();
    // It has long to live, but needs a person.
    let (key, mut place) = fixture::sink("vault", "secret/x", Some("tok_other"));
    place.drift = fixture::troubled().sinks.values().find_map(|sink| sink.drift.clone());
    records[3].sinks.insert(key, place);
    // It has expired.
    records[5].current.as_mut().unwrap().token.valid_until = Some(there() - TimeDelta::hours(1));
    let text = scraped(&with_limit(4), &records, Reader::Prometheus);
    assert_eq!(shown(&text), ["c0003", "c0005", "c0018", "c0019"]);
    assert_eq!(value(&text, "scimitar_connections", &[r#"phase="steady""#]), Some(20.0));
    let concern = |word: &str| {
        let label = format!(r#"concern="{word}""#);
        value(&text, "scimitar_connections_of_concern", &[&label]).unwrap()
    };
    for known in Concern::ALL {
        let wanted = match known {
            Concern::Expired | Concern::SinkDrift => 1.0,
            Concern::AboutToExpire
            | Concern::ExpiresSoon
            | Concern::RotationBlocked
            | Concern::RotationFailing
            | Concern::RevocationBlocked
            | Concern::PreviousStillUsed
            | Concern::LeftConfiguration
            | Concern::SurveyStale
            | Concern::HandoffUrgent
            | Concern::HandoffWaiting
            | Concern::ScimConfigDrift
            | Concern::DeactivationLost
            | Concern::ProbeUserLeft
            | Concern::ClientStopped
            | Concern::Orphan
            | Concern::Unmanaged => 0.0,
        };
        assert_eq!(concern(known.as_str()), wanted, "{known:?}");
    }
    let left = |bound: &str| {
        let label = format!(r#"le="{bound}""#);
        value(&text, "scimitar_token_time_to_expiry_seconds_bucket", &[&label]).unwrap()
    };
    assert_eq!((left("0"), left("3600"), left("7776000"), left("+Inf")), (1.0, 1.0, 11.0, 20.0));
    assert_eq!(value(&text, "scimitar_token_age_seconds_count", &[]), Some(20.0));
    let succeeded = value(&text, "scimitar_provider_rotations_total", &["succeeded"]);
    assert_eq!(succeeded, Some(40.0));
    // With the limit at hand, at their number, and with none.
    assert_eq!(shown(&scraped(&with_limit(20), &records, Reader::Prometheus)).len(), 20);
    assert_eq!(shown(&scraped(&with_limit(19), &records, Reader::Prometheus)).len(), 19);
    let none = scraped(&with_limit(0), &records, Reader::Prometheus);
    assert_eq!(shown(&none), [""; 0]);
    assert!(!none.contains("connection="), "{none}");
    assert_eq!(value(&none, "scimitar_connections", &[r#"phase="steady""#]), Some(20.0));
}

#[test]
fn connections_outside_the_configuration_are_told_apart() {
    let metrics = with_limit(100);
    let configured = policy();
    let mut scrape = Scrape::new(&metrics, std::iter::once(&configured), Reader::Prometheus, now());
    // One that left with a token in overlap, while its name points elsewhere now; one that left clean.
    let mut left = fixture::rotated();
    left.key.connection = ConnectionId::try_new("con_before").unwrap();
    left.tally.orphans_revoked = 2;
    let mut clean = steady(7, 30);
    clean.tally.orphans_revoked = 3;
    scrape.add(&left);
    scrape.add(&clean);
    scrape.add(&fixture::rotated());
    let text = scrape.finish().unwrap().concat();
    let outside = "initech-okta (acme.eu.auth0.com/con_before)";
    assert_eq!(shown(&text), ["initech-okta", outside]);
    let concern = [r#"concern="left_configuration""#];
    assert_eq!(value(&text, "scimitar_connections_of_concern", &concern), Some(1.0));
    // What was counted stays counted.
    assert_eq!(value(&text, "scimitar_orphans_revoked_total", &[]), Some(5.0));
}

#[test]
fn a_connection_that_is_known_at_another_tenant_is_refused() {
    for limit in [100, 0] {
        let metrics = with_limit(limit);
        let configured = policy();
        let policies = std::iter::once(&configured);
        let mut scrape = Scrape::new(&metrics, policies, Reader::Prometheus, now());
        let mut before = fixture::rotated();
        before.retiring.clear();
        before.key.tenant = Tenant::try_new("before.eu.auth0.com").unwrap();
        scrape.add(&before);
        let text = scrape.finish().unwrap().concat();
        let own = value(&text, "scimitar_rotation_blocked", &["tenant_changed"]);
        assert_eq!(own, (limit > 0).then_some(1.0));
        let counted = value(&text, "scimitar_connections_rotation_blocked", &["tenant_changed"]);
        assert_eq!(counted, Some(1.0));
        let concern = [r#"concern="rotation_blocked""#];
        assert_eq!(value(&text, "scimitar_connections_of_concern", &concern), Some(1.0));
        assert_eq!(value(&text, "scimitar_connections", &[r#"phase="new""#]), Some(1.0));
    }
}

#[test]
fn node_exporter_gets_what_is_its_own_from_nobody_else() {
    let text = scraped(&busy(), &[fixture::troubled()], Reader::NodeExporter);
    let families = families(&text);
    assert!(families.iter().all(|name| name.starts_with("scimitar_")), "{families:?}");
    assert!(!families.iter().any(|name| name == "scimitar_survey_interval_seconds"));
}

#[test]
fn what_waits_says_for_what() {
    let mut record = steady(1, 30);
    let mut of = policy_of(&record);
    let reasons = |record: &Record, of: &Policy| {
        ConnectionStatus::of(record, Some(of), now()).rotation_blocked
    };
    assert_eq!(reasons(&record, &of), [].into());
    of.terms.schedule =
        Some(crate::rotation::schedule::Schedule::parse("0 3 * * Mon", "UTC").unwrap());
    // Due for a day, with the window ahead.
    let token = &mut record.current.as_mut().unwrap().token;
    token.created_at = there() - TimeDelta::days(21);
    token.valid_until = Some(there() + TimeDelta::days(9));
    assert_eq!(reasons(&record, &of), [Reason::Window].into());
    of.terms.mode = Mode::Observe;
    assert_eq!(reasons(&record, &of), [Reason::Observe].into());
    of.terms.mode = Mode::Rotate;
    of.terms.schedule = None;
    record.troubles.look = Some(fixture::trouble(1));
    assert_eq!(reasons(&record, &of), [Reason::ProviderUnavailable].into());
    record.troubles.look = None;
    record.sinks.values_mut().next().unwrap().trouble = Some(fixture::trouble(1));
    assert_eq!(reasons(&record, &of), [Reason::SinkUnavailable].into());
}

#[test]
fn concerns_begin_at_their_thresholds() {
    let at = |record: &Record| -> Vec<Concern> {
        ConnectionStatus::of(record, Some(&policy_of(record)), now()).concerns.into_iter().collect()
    };
    let second = TimeDelta::seconds(1);
    let mut record = steady(1, 30);
    assert_eq!(at(&record), []);
    // Thirty days: a quarter is 7.5 days, and a day is less than a tenth.
    let there_now = record.provider_clock().to_provider(now());
    let mut expires_in = |left: TimeDelta, ahead: bool| {
        let token = &mut record.current.as_mut().unwrap().token;
        token.created_at = there_now + left - TimeDelta::days(30);
        token.valid_until = Some(there_now + left);
        record.next_rotation = Some(if ahead { now() + second } else { now() });
        at(&record)
    };
    let quarter = TimeDelta::hours(180);
    assert_eq!(expires_in(quarter + second, false), []);
    assert_eq!(expires_in(quarter, true), []);
    assert_eq!(expires_in(quarter, false), [Concern::ExpiresSoon]);
    assert_eq!(expires_in(TimeDelta::days(1), false), [Concern::AboutToExpire]);
    assert_eq!(expires_in(TimeDelta::days(1), true), []);
    assert_eq!(expires_in(TimeDelta::zero(), true), [Concern::Expired]);
    // With 30 days on paper.
    let mut gone = steady(1, 30);
    gone.missing = fixture::gone().missing;
    assert_eq!(at(&gone), [Concern::Expired]);

    let mut record = fixture::rotated();
    record.survey = None;
    record.retiring[0].token.last_used_at = None;
    let since = |record: &mut Record, ago: TimeDelta| {
        record.retiring[0].superseded_at = Some(there() - ago - TimeDelta::seconds(60));
        record.retiring[0].retire.when_idle = Some(Duration::from_secs(7200));
    };
    since(&mut record, status::REVOCATION_STUCK);
    assert_eq!(at(&record), []);
    since(&mut record, status::REVOCATION_STUCK + second);
    assert_eq!(at(&record), [Concern::RevocationBlocked]);

    let mut record = fixture::rotated();
    let used = there() - TimeDelta::minutes(5);
    let superseded = |record: &mut Record, at| {
        record.retiring[0].superseded_at = Some(at);
        record.retiring[0].retire.overlap = Duration::from_secs(86_400);
    };
    superseded(&mut record, used - view::STILL_USED);
    assert_eq!(at(&record), []);
    superseded(&mut record, used - view::STILL_USED - second);
    assert_eq!(at(&record), [Concern::PreviousStillUsed]);

    let mut record = steady(1, 30);
    record.survey.as_mut().unwrap().at = now() - TimeDelta::hours(3);
    assert_eq!(at(&record), []);
    record.survey.as_mut().unwrap().at = now() - TimeDelta::hours(3) - second;
    assert_eq!(at(&record), [Concern::SurveyStale]);

    let mut record = steady(1, 30);
    record.troubles.mint = Some(fixture::trouble(1));
    assert_eq!(at(&record), [Concern::RotationFailing]);
    let mut record = steady(1, 30);
    let (key, mut place) = fixture::sink("person", "Okta: initech", Some("tok_1"));
    place.holds = record.current.as_ref().map(|current| current.token.id.clone());
    place.readable = false;
    place.uptake = Uptake::ByPerson { instructions: "put it there".to_owned() };
    place.since = Some(now() - status::HAND_OFF_LONG);
    record.sinks.insert(key.clone(), place);
    assert_eq!(at(&record), []);
    record.sinks.get_mut(&key).unwrap().since = Some(now() - status::HAND_OFF_LONG - second);
    assert_eq!(at(&record), [Concern::HandoffWaiting]);
    // A third of the time that there was, and 7 days, are left of the token that the client has.
    let ends = |record: &Record, days: i64| {
        let mut older = record.current.clone().unwrap().token;
        (older.id, older.valid_until) =
            (fixture::id("tok_older"), Some(there() + TimeDelta::days(days)));
        fixture::retiring(older, Cause::Superseded)
    };
    record.sinks.get_mut(&key).unwrap().since = Some(now() - TimeDelta::days(9));
    for (days, urgent) in [(5, false), (4, true)] {
        record.retiring = vec![ends(&record, days)];
        assert_eq!(at(&record).contains(&Concern::HandoffUrgent), urgent, "{days}");
    }
    record.sinks.get_mut(&key).unwrap().since = Some(now() - TimeDelta::days(40));
    for (days, urgent) in [(8, false), (6, true)] {
        record.retiring = vec![ends(&record, days)];
        assert_eq!(at(&record).contains(&Concern::HandoffUrgent), urgent, "{days}");
    }

    let all = at(&all_at_once());
    for concern in [
        Concern::RotationBlocked,
        Concern::RotationFailing,
        Concern::HandoffWaiting,
        Concern::ClientStopped,
        Concern::Orphan,
        Concern::Unmanaged,
        Concern::SinkDrift,
        Concern::ScimConfigDrift,
        Concern::DeactivationLost,
        Concern::ProbeUserLeft,
    ] {
        assert!(all.contains(&concern), "{concern:?}: {all:?}");
    }
}

/// The alerts and what they count by agree on every threshold and word.
#[test]
fn the_alerts_have_the_same_thresholds() {
    let alerts = include_str!("../../../../monitoring/alerts.yml");
    let has = |text: &str| assert!(alerts.contains(text), "{text}");
    for concern in Concern::ALL {
        has(&format!(r#"concern="{}""#, concern.as_str()));
    }
    let seconds = |name: &str, most: TimeDelta| has(&format!("{name} > {}", most.num_seconds()));
    seconds("scimitar_revocation_pending_since_timestamp_seconds", status::REVOCATION_STUCK);
    has("scimitar_previous_token_still_used == 1");
    seconds("scimitar_handoff_waiting_since_timestamp_seconds", status::HAND_OFF_LONG);
    has(
        "clamp_max((scimitar_handoff_deadline_timestamp_seconds - scimitar_handoff_waiting_since_timestamp_seconds)",
    );
    has(&format!("/ {}, {})", status::HAND_OFF_PART, status::HAND_OFF_AT_MOST.num_seconds()));
    has(&format!("({} * scimitar_survey_interval_seconds)", status::SURVEYS_MISSED));
    let life =
        "(scimitar_token_expiry_timestamp_seconds - scimitar_token_created_timestamp_seconds)";
    has(&format!("{life} / {})", status::SOON_PART));
    has(&format!("clamp_max({life} / {}, 86400)", status::URGENT_PART));
    has("clamp_max(scimitar_watch_notice_seconds, 86400)");
    for decides in [status::needs_person as fn(Reason) -> bool, status::is_failing] {
        let words: Vec<&str> =
            Reason::ALL.into_iter().filter(|reason| decides(*reason)).map(Reason::as_str).collect();
        let list = alerts.split(r#"scimitar_rotation_blocked{reason=~""#).skip(1).any(|rest| {
            let listed: BTreeSet<&str> = rest.split('"').next().unwrap().split('|').collect();
            listed == words.iter().copied().collect()
        });
        assert!(list, "no alert is about {words:?}");
    }
}
