mod many;

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;

use super::*;
use crate::{
    error::{Class, Code, Fault},
    rotation::{
        fixture::{self, now, policy, there},
        policy::Policy,
        probe_user::{ProbeUser, ProbeUserName, WritePlan, WriteProof},
        record::{PHASES, Record, Trouble},
        scim_config::{ScimState, Standing},
        uptake::{Account, Client, Uptake},
        watch::Watch,
        why::Reason,
    },
    token::ConnectionName,
};

/// The names that operators were promised.
const PROMISED: [&str; 56] = [
    "scimitar_build_info",
    "scimitar_token_created_timestamp_seconds",
    "scimitar_token_expiry_timestamp_seconds",
    "scimitar_token_last_used_timestamp_seconds",
    "scimitar_next_rotation_timestamp_seconds",
    "scimitar_last_rotation_timestamp_seconds",
    "scimitar_previous_token_still_used",
    "scimitar_last_survey_timestamp_seconds",
    "scimitar_connection_phase",
    "scimitar_tokens",
    "scimitar_token_slots",
    "scimitar_open_intents",
    "scimitar_rotations_total",
    "scimitar_rotation_duration_seconds",
    "scimitar_step_duration_seconds",
    "scimitar_consecutive_failures",
    "scimitar_rotation_blocked",
    "scimitar_revocation_blocked",
    "scimitar_revocation_pending_since_timestamp_seconds",
    "scimitar_handoff_waiting_since_timestamp_seconds",
    "scimitar_handoff_deadline_timestamp_seconds",
    "scimitar_client_stopped_since_timestamp_seconds",
    "scimitar_sink_drift",
    "scimitar_sink_delivered_timestamp_seconds",
    "scimitar_scim_config_drift",
    "scimitar_scim_deactivation_lost",
    "scimitar_probe_user_left",
    "scimitar_watch_notice_seconds",
    "scimitar_sink_writes_total",
    "scimitar_sink_requests_total",
    "scimitar_sink_up",
    "scimitar_orphans_revoked_total",
    "scimitar_provider_requests_total",
    "scimitar_provider_throttled_total",
    "scimitar_provider_rate_limit_remaining",
    "scimitar_clock_skew_seconds",
    "scimitar_hook_runs_total",
    "scimitar_audit_missed_lines_total",
    "scimitar_config_last_reload_successful",
    "scimitar_config_differs",
    "scimitar_config_last_reload_success_timestamp_seconds",
    "scimitar_last_run_timestamp_seconds",
    "scimitar_last_run_exit_status",
    // Over all connections of a provider, however many there are.
    "scimitar_connections",
    "scimitar_connections_rotation_blocked",
    "scimitar_connections_revocation_blocked",
    "scimitar_connections_of_concern",
    "scimitar_connections_expiring",
    "scimitar_token_time_to_expiry_seconds",
    "scimitar_token_age_seconds",
    "scimitar_provider_rotations_total",
    "scimitar_survey_interval_seconds",
    "scimitar_discovered_connections",
    "scimitar_discovery_refused_connections",
    "scimitar_discovery_held",
    "scimitar_discovery_listed_timestamp_seconds",
];

/// What is written of these records, all of connections with this policy's provider and limits.
fn scraped(metrics: &Metrics, records: &[Record], reader: Reader) -> String {
    scraped_with(metrics, records, &[], reader)
}

/// The same with watched tokens.
fn scraped_with(
    metrics: &Metrics,
    records: &[Record],
    watches: &[Watch],
    reader: Reader,
) -> String {
    let policies: Vec<Policy> = records.iter().map(policy_of).collect();
    let mut scrape = Scrape::new(metrics, policies.iter(), reader, now());
    scrape.add_watched(watches);
    for record in records {
        scrape.add(record);
    }
    let wanted = scrape.wanted();
    for record in wanted.iter().flat_map(|key| records.iter().find(|record| record.key == *key)) {
        scrape.add_wanted(record);
    }
    scrape.finish().unwrap().concat()
}

fn policy_of(record: &Record) -> Policy {
    Policy { key: record.key.clone(), name: record.name.clone(), ..policy() }
}

fn of_one(record: &Record) -> String {
    scraped(&Metrics::try_new().unwrap(), std::slice::from_ref(record), Reader::Prometheus)
}

/// The troubled one, and a hand-off that nobody takes.
fn all_at_once() -> Record {
    let mut record = fixture::troubled();
    let (key, mut place) = fixture::sink("person", "hand-off", None);
    place.readable = false;
    place.begun = Some(crate::rotation::record::Begun {
        id: fixture::id("tok_new"),
        at: now() - TimeDelta::hours(26),
        replaces: None,
        spends: false,
    });
    record.sinks.insert(key, place);
    record.scim = Some(ScimState {
        standing: Some(Standing::Missing),
        since: Some(now()),
        ..ScimState::default()
    });
    let name = ProbeUserName::drawn(7);
    let user = ProbeUser::new(name.clone(), now() - TimeDelta::hours(1));
    let trouble = Trouble { since: now() - TimeDelta::hours(1), ..fixture::trouble(3) };
    record.probe_user = Some(ProbeUser { trouble: Some(trouble), ..user });
    let plan = WritePlan { user: name, ops: BTreeSet::new(), left_out: BTreeMap::new() };
    let proof = WriteProof::new(fixture::id("tok_1"), &plan, now());
    record.write_proof = Some(WriteProof { loses_active: true, ..proof });
    let (key, mut place) = fixture::sink("client", "Entra: initech", None);
    place.readable = false;
    place.uptake = Uptake::ByClient;
    place.client = Some(Client {
        asked: now(),
        account: Some(Account::Stopped("it is in quarantine".to_owned())),
        stopped_since: Some(now() - TimeDelta::hours(5)),
        trouble: None,
    });
    record.sinks.insert(key, place);
    let wanted = record.target().map(ToString::to_string);
    let (key, mut place) = fixture::sink("person", "Okta: initech", wanted.as_deref());
    (place.readable, place.since) = (false, Some(now() - TimeDelta::hours(1)));
    place.uptake = Uptake::ByPerson { instructions: "put it there".to_owned() };
    record.sinks.insert(key, place);
    record
}

fn provider() -> ProviderName {
    fixture::connection().2
}

fn sink() -> SinkName {
    SinkName::try_new("disk").unwrap()
}

/// Everything has been counted at least once.
fn busy() -> Metrics {
    let metrics = Metrics::try_new().unwrap();
    let hook = HookName::try_new("after-rotation").unwrap();
    metrics.configured(&[&provider()], &[&sink()], &[&hook]);
    metrics.provider_request(&provider(), "list", "200");
    metrics.provider_throttled(&provider());
    metrics.rate_limit_remaining(&provider(), 12);
    metrics.sink_write(&sink(), "delivered");
    metrics.sink_request(&sink(), "read", "ok");
    metrics.sink_up(&sink(), true);
    metrics.config_differs(false);
    metrics.step("mint", Duration::from_millis(20));
    metrics.rotation(&provider(), Duration::from_secs(2));
    metrics.hook_run(&hook, "succeeded");
    metrics.discovered(&provider(), 3, 1, false, now());
    metrics.config_reload(now(), true);
    metrics.last_run(now(), 3);
    metrics
}

/// The samples as (name, labels, value), every line having been understood.
fn samples(text: &str) -> Vec<(String, String, f64)> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let labels = labels.strip_suffix('}').unwrap();
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{line}");
            (name.to_owned(), labels.to_owned(), value.parse().unwrap())
        })
        .collect()
}

fn families(text: &str) -> Vec<String> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types.map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

/// The one sample with this name whose labels hold all of these.
fn value(text: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let samples = samples(text);
    let mut found = samples
        .iter()
        .filter(|sample| sample.0 == name && labels.iter().all(|label| sample.1.contains(label)));
    let value = found.next().map(|sample| sample.2);
    assert!(found.next().is_none(), "more than one {name} {labels:?}");
    value
}

#[test]
fn names_are_those_that_were_promised_and_no_others() {
    let watches = [fixture::watch(30)];
    let text = scraped_with(&busy(), &[all_at_once()], &watches, Reader::Prometheus);
    let families = families(&text);
    let ours: BTreeSet<&str> =
        families.iter().map(String::as_str).filter(|name| !name.starts_with("process_")).collect();
    let promised: BTreeSet<&str> = PROMISED.into_iter().collect();
    assert_eq!(ours, promised);
    assert_eq!(families.iter().collect::<BTreeSet<_>>().len(), families.len());
    for process in [
        "process_cpu_seconds_total",
        "process_open_fds",
        "process_max_fds",
        "process_virtual_memory_bytes",
        "process_resident_memory_bytes",
        "process_start_time_seconds",
    ] {
        assert!(families.iter().any(|name| name == process), "{process}");
    }
}

/// They have their series however few connections may have some.
#[test]
fn a_watched_token_has_its_expiry_and_its_notice() {
    let metrics = busy();
    metrics.set_per_connection_limit(0);
    let never_told = Watch { notify_before: Default::default(), ..fixture::watch(-1) };
    let other = Watch { name: ConnectionName::try_new("other").unwrap(), ..never_told };
    let text = scraped_with(&metrics, &[], &[fixture::watch(30), other], Reader::NodeExporter);
    let of = r#"connection="initech-sso",provider="[[watch]]""#;
    let expiry = "scimitar_token_expiry_timestamp_seconds";
    let at = 1_795_320_000.0 + 30.0 * 86_400.0;
    assert_eq!(value(&text, expiry, &[of]), Some(at));
    assert_eq!(value(&text, "scimitar_watch_notice_seconds", &[of]), Some(14.0 * 86_400.0));
    let other = r#"connection="other""#;
    assert_eq!(value(&text, expiry, &[other]), Some(at - 31.0 * 86_400.0));
    assert_eq!(value(&text, "scimitar_watch_notice_seconds", &[other]), None);
}

#[test]
fn no_label_holds_a_token_id() {
    let text = scraped(&busy(), &[all_at_once()], Reader::Prometheus);
    assert!(!text.contains("tok_"), "{text}");
}

#[test]
fn a_rotated_connection_reads_as_such() {
    let text = of_one(&fixture::rotated());
    let at = |name: &str, labels: &[&str]| value(&text, name, labels).unwrap();
    let c = r#"connection="initech-okta",provider="acme""#;
    let created = 1_795_320_000.0;
    assert_eq!(at("scimitar_token_created_timestamp_seconds", &[]), created);
    let expiry = at("scimitar_token_expiry_timestamp_seconds", &[]);
    assert_eq!(expiry, created + 30.0 * 86_400.0);
    for role in [r#"role="current""#, r#"role="previous""#] {
        let used = at("scimitar_token_last_used_timestamp_seconds", &[role]);
        assert_eq!(used, created - 300.0);
    }
    let finished = at("scimitar_last_rotation_timestamp_seconds", &[c]);
    assert_eq!(finished, created - 1.0);
    assert_eq!(at("scimitar_last_survey_timestamp_seconds", &[]), created - 3.0);
    assert_eq!(at("scimitar_clock_skew_seconds", &[]), -1.5);
    for phase in PHASES {
        let label = format!(r#"phase="{phase}""#);
        let is = f64::from(u8::from(phase == "retiring"));
        assert_eq!(at("scimitar_connection_phase", &[&label]), is, "{phase}");
    }
    for (kind, count) in [("current", 1.0), ("previous", 1.0), ("orphan", 0.0), ("unmanaged", 0.0)]
    {
        let label = format!(r#"kind="{kind}""#);
        assert_eq!(at("scimitar_tokens", &[&label]), count, "{kind}");
    }
    assert_eq!(at("scimitar_token_slots", &[r#"state="used""#]), 2.0);
    assert_eq!(at("scimitar_token_slots", &[r#"state="free""#]), 0.0);
    assert_eq!(at("scimitar_rotations_total", &["succeeded"]), 2.0);
    assert_eq!(at("scimitar_rotations_total", &["refused"]), 0.0);
    assert_eq!(at("scimitar_revocation_blocked", &[r#"reason="overlap""#]), 1.0);
    assert_eq!(value(&text, "scimitar_revocation_blocked", &[r#"reason="evidence""#]), None);
    assert_eq!(value(&text, "scimitar_rotation_blocked", &[]), None, "no reason applies");
    // Its thirty days are not over within thirty days, by the provider's clock.
    for (within, count) in [("1d", 0.0), ("7d", 0.0), ("30d", 0.0), ("90d", 1.0)] {
        let label = format!("within=\"{within}\"");
        assert_eq!(at("scimitar_connections_expiring", &[&label]), count, "{within}");
    }
    let pending = "scimitar_revocation_pending_since_timestamp_seconds";
    assert_eq!(value(&text, pending, &[]), None);
    let delivered = "scimitar_sink_delivered_timestamp_seconds";
    assert_eq!(at(delivered, &[r#"sink="disk""#]), created - 1.0);
    assert_eq!(value(&text, "scimitar_last_run_exit_status", &[]), None);
}

#[test]
fn a_token_that_is_gone_is_counted_as_such() {
    let text = of_one(&fixture::gone());
    let at = |name: &str, labels: &[&str]| value(&text, name, labels).unwrap();
    // What the alert looks at: it is known, and there is none.
    assert_eq!(at("scimitar_tokens", &[r#"kind="current""#]), 0.0);
    assert_eq!(at("scimitar_tokens", &[r#"kind="previous""#]), 1.0);
    let created = at("scimitar_token_created_timestamp_seconds", &[]);
    let expiry = at("scimitar_token_expiry_timestamp_seconds", &[]);
    assert_eq!(expiry, created + 30.0 * 86_400.0, "the moment itself is what the provider said");
    assert_eq!(at("scimitar_connections_of_concern", &[r#"concern="expired""#]), 1.0);
    assert_eq!(at("scimitar_connections_expiring", &[r#"within="1d""#]), 1.0);
}

#[test]
fn every_trouble_has_its_series() {
    let text = of_one(&all_at_once());
    let at = |name: &str, labels: &[&str]| value(&text, name, labels).unwrap();
    assert_eq!(at("scimitar_tokens", &[r#"kind="orphan""#]), 1.0);
    assert_eq!(at("scimitar_tokens", &[r#"kind="unmanaged""#]), 1.0);
    assert_eq!(at("scimitar_open_intents", &[]), 1.0);
    assert_eq!(at("scimitar_consecutive_failures", &[]), 3.0);
    assert_eq!(at("scimitar_rotation_blocked", &["unmanaged_token"]), 1.0);
    assert_eq!(value(&text, "scimitar_rotation_blocked", &["no_free_slot"]), None);
    assert_eq!(at("scimitar_revocation_blocked", &[r#""evidence""#]), 1.0);
    assert_eq!(value(&text, "scimitar_revocation_blocked", &[r#""overlap""#]), None);
    assert_eq!(at("scimitar_sink_drift", &[r#"sink="vault""#]), 1.0);
    assert_eq!(at("scimitar_sink_drift", &[r#"sink="disk""#]), 0.0);
    assert_eq!(at("scimitar_revocation_blocked", &[r#""drift""#]), 1.0);
    assert_eq!(at("scimitar_rotation_blocked", &["provider_unavailable"]), 1.0);
    let waits = at("scimitar_handoff_waiting_since_timestamp_seconds", &[]);
    assert_eq!(waits, 1_795_320_000.0 - 93_600.0);
    assert_eq!(at("scimitar_orphans_revoked_total", &[r#"provider="acme""#]), 6.0);
    let pending = at("scimitar_revocation_pending_since_timestamp_seconds", &[]);
    // The provider's clock is 1.5 s behind.
    assert_eq!(pending, 1_795_320_000.0 - 7200.0 + 60.0 + 1.5);
}

#[test]
fn a_place_that_is_another_one_keeps_an_older_token() {
    let mut record = fixture::rotated();
    let fault = Fault::new("read it", Class::Conflict, Code::PlaceChanged, "another box");
    let trouble = Trouble { fault, ..fixture::trouble(1) };
    record.sinks.values_mut().next().unwrap().trouble = Some(trouble);
    // The overlap has not begun, and it is long over.
    for since in [None, Some(there() - TimeDelta::days(30))] {
        record.retiring[0].superseded_at = since;
        let text = of_one(&record);
        let at = |reason: &str| {
            value(&text, "scimitar_revocation_blocked", &[&format!("reason=\"{reason}\"")])
        };
        assert_eq!(at("place_changed"), Some(1.0), "{since:?}");
        assert_eq!(at("sink_unavailable"), None, "{since:?}");
    }
}

#[test]
fn what_is_not_known_has_no_series_and_a_dead_token_no_slot() {
    let metrics = Metrics::try_new().unwrap();
    let empty = of_one(&fixture::empty());
    for name in [
        "scimitar_token_created_timestamp_seconds",
        "scimitar_token_expiry_timestamp_seconds",
        "scimitar_token_slots",
        "scimitar_next_rotation_timestamp_seconds",
    ] {
        assert!(!families(&empty).iter().any(|family| family == name), "{name}");
    }
    assert_eq!(value(&empty, "scimitar_tokens", &[r#""current""#]), Some(0.0));

    let mut record = fixture::rotated();
    let tokens = &mut record.survey.as_mut().unwrap().tokens;
    tokens[1].valid_until = Some(there() - TimeDelta::minutes(6));
    let mut of = policy_of(&record);
    of.capabilities.cap = None;
    let mut scrape = Scrape::new(&metrics, std::iter::once(&of), Reader::Prometheus, now());
    scrape.add(&record);
    let text = scrape.finish().unwrap().concat();
    assert_eq!(value(&text, "scimitar_token_slots", &[r#""used""#]), Some(1.0));
    assert_eq!(value(&text, "scimitar_token_slots", &[r#""free""#]), None);
    // The series of a connection that left are gone with the next scrape.
    let mut scrape = Scrape::new(&metrics, std::iter::empty(), Reader::Prometheus, now());
    scrape.add(&fixture::empty());
    assert!(!scrape.finish().unwrap().concat().contains("initech-okta"));
}

#[test]
fn known_label_values_start_at_zero() {
    let metrics = Metrics::try_new().unwrap();
    metrics.configured(&[&provider()], &[&sink()], &[]);
    let text = scraped(&metrics, &[], Reader::Prometheus);
    let zero = Some(0.0);
    assert_eq!(value(&text, "scimitar_provider_throttled_total", &["acme"]), zero);
    assert_eq!(value(&text, "scimitar_rotation_duration_seconds_count", &["acme"]), zero);
    for outcome in ["delivered", "unlabelled", "transient", "ambiguous", "terminal", "conflict"] {
        assert_eq!(value(&text, "scimitar_sink_writes_total", &["disk", outcome]), zero);
    }
    let hook = HookName::try_new("after-rotation").unwrap();
    metrics.configured(&[&provider()], &[&sink()], &[&hook]);
    let text = scraped(&metrics, &[fixture::empty()], Reader::Prometheus);
    for outcome in ["succeeded", "failed"] {
        let labels = ["after-rotation", outcome];
        assert_eq!(value(&text, "scimitar_hook_runs_total", &labels), zero, "{outcome}");
    }
    for gauges in [
        "scimitar_rotation_blocked",
        "scimitar_revocation_blocked",
        "scimitar_connections_rotation_blocked",
        "scimitar_connections_revocation_blocked",
    ] {
        assert_eq!(value(&text, gauges, &[]), None, "{gauges}: only what applies has a series");
    }
    assert_eq!(value(&text, "scimitar_build_info", &[env!("CARGO_PKG_VERSION")]), Some(1.0));
    let revision = REVISION;
    assert!(!revision.is_empty(), "a build that knows no commit says so");
    assert_eq!(value(&text, "scimitar_build_info", &[revision]), Some(1.0));
}

#[test]
fn what_left_the_configuration_leaves_the_metrics() {
    const OF_SINKS: [Option<f64>; 5] = [None, Some(1.0), Some(1.0), Some(1.0), None];
    let metrics = busy();
    let (provider, sink) = (provider(), sink());
    let hook = HookName::try_new("after-rotation").unwrap();
    let names = [r#""acme""#, r#""disk""#, r#""after-rotation""#];
    let counts = |gone: &[&str]| {
        let text = scraped(&metrics, &[], Reader::Prometheus);
        for name in names {
            assert_eq!(text.contains(name), !gone.contains(&name), "{name} in {text}");
        }
        [
            value(&text, "scimitar_provider_requests_total", &[names[0], r#""list""#]),
            value(&text, "scimitar_sink_writes_total", &[names[1], r#""delivered""#]),
            value(&text, "scimitar_sink_requests_total", &[names[1], r#""ok""#]),
            value(&text, "scimitar_sink_up", &[names[1]]),
            value(&text, "scimitar_hook_runs_total", &[names[2], r#""succeeded""#]),
        ]
    };
    assert_eq!(counts(&[]), [Some(1.0); 5]);
    metrics.configured(&[&provider], &[&sink], &[&hook]);
    assert_eq!(counts(&[]), [Some(1.0); 5], "what stays keeps its count");
    metrics.configured(&[], &[&sink], &[]);
    assert_eq!(counts(&[names[0], names[2]]), OF_SINKS);
    // Whoever was in mid-run when it left counts once more.
    metrics.hook_run(&hook, "succeeded");
    assert_eq!(counts(&[names[0], names[2]]), OF_SINKS);
    metrics.configured(&[&provider], &[], &[]);
    assert_eq!(counts(&[names[1], names[2]]), [None; 5]);
}
