//! The series that are built from the ledger's records at scrape time: never stale, and gone
//! with their connection.

use chrono::TimeDelta;
use prometheus::{
    CounterVec, GaugeVec, Opts, Registry,
    core::{Collector, MetricVec, MetricVecBuilder},
};

use crate::{
    clock::Timestamp,
    rotation::{
        record::{Cause, Older, PHASES, Phase, Record},
        view::{self, Kind},
        why::Reason,
    },
    token::Listed,
};

/// A token that expired this long ago by the provider's clock is dead and counts in no slot.
const DEAD_AFTER: TimeDelta = TimeDelta::minutes(5);

/// The reasons that a refusal can give; each has a series from the beginning.
const ROTATION_BLOCKED: [Reason; 9] = [
    Reason::NoFreeSlot,
    Reason::UnmanagedToken,
    Reason::PreviousInUse,
    Reason::SinkUnavailable,
    Reason::ProviderUnavailable,
    Reason::ForeignOwner,
    Reason::TenantChanged,
    Reason::Brake,
    Reason::NoScopes,
];

/// What an older token can wait for; each has a series from the beginning.
const REVOCATION_BLOCKED: [Reason; 4] =
    [Reason::Overlap, Reason::Evidence, Reason::SinkUnavailable, Reason::ProviderUnavailable];

const CONNECTION: [&str; 2] = ["provider", "connection"];

/// One scrape's series.
#[derive(Debug)]
pub(super) struct Series {
    created: GaugeVec,
    expiry: GaugeVec,
    last_used: GaugeVec,
    next_rotation: GaugeVec,
    last_rotation: GaugeVec,
    last_survey: GaugeVec,
    phase: GaugeVec,
    tokens: GaugeVec,
    slots: GaugeVec,
    open_intents: GaugeVec,
    rotations: CounterVec,
    failures: GaugeVec,
    rotation_blocked: GaugeVec,
    revocation_blocked: GaugeVec,
    revocation_pending: GaugeVec,
    sink_drift: GaugeVec,
    sink_delivered: GaugeVec,
    orphans_revoked: CounterVec,
    clock_skew: GaugeVec,
}

impl Series {
    /// Registers the series of one scrape.
    ///
    /// # Errors
    /// When two have one name; a defect.
    pub(super) fn try_new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            registered(registry, GaugeVec::new(Opts::new(name, help), labels)?)
        };
        let of = |name: &str, help: &str| gauge(name, help, &CONNECTION);
        let and = |name: &str, help: &str, label: &str| {
            gauge(name, help, &["provider", "connection", label])
        };
        Ok(Self {
            created: of(
                "scimitar_token_created_timestamp_seconds",
                "When the current token was made.",
            )?,
            expiry: of(
                "scimitar_token_expiry_timestamp_seconds",
                "When the current token stops working; no series when it does not expire.",
            )?,
            last_used: and(
                "scimitar_token_last_used_timestamp_seconds",
                "When the provider last noted a use of the token.",
                "role",
            )?,
            next_rotation: of(
                "scimitar_next_rotation_timestamp_seconds",
                "When the next rotation starts, as far as can be said.",
            )?,
            last_rotation: of(
                "scimitar_last_rotation_timestamp_seconds",
                "When the last rotation was carried to its end.",
            )?,
            last_survey: of(
                "scimitar_last_survey_timestamp_seconds",
                "When the provider last gave a complete list.",
            )?,
            phase: and(
                "scimitar_connection_phase",
                "1 for the phase that the connection is in, else 0.",
                "phase",
            )?,
            tokens: and(
                "scimitar_tokens",
                "How many tokens of a kind the connection has.",
                "kind",
            )?,
            slots: and(
                "scimitar_token_slots",
                "How many of the tokens that the provider allows are there, and how many are free.",
                "state",
            )?,
            open_intents: of(
                "scimitar_open_intents",
                "Creates without an answer whose effect may still show.",
            )?,
            rotations: registered(
                registry,
                CounterVec::new(
                    Opts::new("scimitar_rotations_total", "Rotations, by how they ended."),
                    &["provider", "connection", "outcome"],
                )?,
            )?,
            failures: of(
                "scimitar_consecutive_failures",
                "How often in a row making or proving a token has failed.",
            )?,
            rotation_blocked: and(
                "scimitar_rotation_blocked",
                "1 while no rotation can start, by reason.",
                "reason",
            )?,
            revocation_blocked: and(
                "scimitar_revocation_blocked",
                "1 while an older token has to stay, by reason.",
                "reason",
            )?,
            revocation_pending: of(
                "scimitar_revocation_pending_since_timestamp_seconds",
                "Since when an older token could have gone but for evidence or failures.",
            )?,
            sink_drift: and(
                "scimitar_sink_drift",
                "1 while a sink holds what it should not.",
                "sink",
            )?,
            sink_delivered: and(
                "scimitar_sink_delivered_timestamp_seconds",
                "When a sink got the token that it holds.",
                "sink",
            )?,
            orphans_revoked: registered(
                registry,
                CounterVec::new(
                    Opts::new(
                        "scimitar_orphans_revoked_total",
                        "Tokens of ours that no sink ever got, revoked.",
                    ),
                    &["provider"],
                )?,
            )?,
            clock_skew: gauge(
                "scimitar_clock_skew_seconds",
                "The provider's clock less this host's, at the newest list.",
                &["provider"],
            )?,
        })
    }

    /// Adds one connection; `cap` is how many tokens its provider allows, where that is known.
    pub(super) fn add(&self, record: &Record, cap: Option<u32>, now: Timestamp) {
        let c = [record.provider.as_str(), record.name.as_str()];
        let and = |label: &'static str| [c[0], c[1], label];
        self.tokens(record, c);
        self.slots(record, c, cap, now);
        for phase in PHASES {
            let gauge = self.phase.with_label_values(&and(phase));
            gauge.set(truth(phase == record.phase_name()));
        }
        set(&self.next_rotation, &c, record.next_rotation);
        let finished = record.last_rotation.as_ref().map(|last| last.finished);
        set(&self.last_rotation, &c, finished);
        let surveyed = record.survey.as_ref().map(|survey| survey.at);
        set(&self.last_survey, &c, surveyed);
        let intents = record.intents.len() + usize::from(matches!(record.phase, Phase::Minting(_)));
        self.open_intents.with_label_values(&c).set(amount(intents));
        for (outcome, count) in [
            ("succeeded", record.tally.succeeded),
            ("failed", record.tally.failed),
            ("refused", record.tally.refused),
        ] {
            let counter = self.rotations.with_label_values(&and(outcome));
            counter.inc_by(whole(count));
        }
        let mint = record.troubles.mint.as_ref();
        let failures = mint.map_or(0, |trouble| trouble.count);
        self.failures.with_label_values(&c).set(failures.into());
        self.blocked(record, c, now);
        self.sinks(record, c);
        let provider = [record.provider.as_str()];
        let orphans = self.orphans_revoked.with_label_values(&provider);
        orphans.inc_by(whole(record.tally.orphans_revoked));
    }

    /// Notes each provider's clock at the newest of its connections' lists.
    pub(super) fn skew<'a>(&self, records: impl Iterator<Item = &'a Record>) {
        let mut surveys: Vec<_> = records
            .filter_map(|record| Some((record.survey.as_ref()?, record.provider.as_str())))
            .collect();
        surveys.sort_by_key(|(survey, _)| survey.at);
        for (survey, provider) in surveys {
            let gauge = self.clock_skew.with_label_values(&[provider]);
            gauge.set(millis(survey.skew_ms));
        }
    }

    fn tokens(&self, record: &Record, c: [&str; 2]) {
        let used = |role, token: &Listed| {
            let at = view::freshest(record, token).last_used_at;
            set(&self.last_used, &[c[0], c[1], role], at);
        };
        if let Some(current) = &record.current {
            set(&self.created, &c, Some(current.token.created_at));
            set(&self.expiry, &c, current.token.valid_until);
            used("current", &current.token);
        }
        if let Some(previous) = view::previous(record) {
            used("previous", &previous.token);
        }
        for (kind, count) in [
            ("current", usize::from(record.current.is_some())),
            ("previous", view::count(record, Kind::Previous)),
            ("orphan", view::count(record, Kind::Orphan)),
            ("unmanaged", view::count(record, Kind::Unmanaged)),
        ] {
            let gauge = self.tokens.with_label_values(&[c[0], c[1], kind]);
            gauge.set(amount(count));
        }
    }

    fn slots(&self, record: &Record, c: [&str; 2], cap: Option<u32>, now: Timestamp) {
        let Some(survey) = &record.survey else { return };
        let there = now.checked_add_signed(TimeDelta::milliseconds(survey.skew_ms)).unwrap_or(now);
        let alive = |token: &&Listed| token.valid_until.is_none_or(|at| at + DEAD_AFTER > there);
        let used = survey.tokens.iter().filter(alive).count();
        let slots = |state| self.slots.with_label_values(&[c[0], c[1], state]);
        slots("used").set(amount(used));
        if let Some(cap) = cap {
            slots("free").set((f64::from(cap) - amount(used)).max(0.0));
        }
    }

    fn blocked(&self, record: &Record, c: [&str; 2], now: Timestamp) {
        let set_reason = |gauges: &GaugeVec, reason: Reason, value| {
            let gauge = gauges.with_label_values(&[c[0], c[1], reason.as_str()]);
            gauge.set(value);
        };
        for reason in ROTATION_BLOCKED {
            set_reason(&self.rotation_blocked, reason, 0.0);
        }
        if let Some(refusal) = &record.refusal {
            set_reason(&self.rotation_blocked, refusal.reason, 1.0);
        }
        for reason in REVOCATION_BLOCKED {
            set_reason(&self.revocation_blocked, reason, 0.0);
        }
        for reason in record.older.iter().flat_map(|older| holds_back(record, older, now)) {
            set_reason(&self.revocation_blocked, reason, 1.0);
        }
        let since = record.older.iter().filter_map(|older| pending_since(record, older, now));
        set(&self.revocation_pending, &c, since.min());
    }

    /// Two deliveries may go to one sink: it has drifted when one has, and has what it should
    /// since the later one.
    fn sinks(&self, record: &Record, c: [&str; 2]) {
        for sink in record.sinks.values().filter(|sink| !sink.removed) {
            let labels = [c[0], c[1], sink.place.sink.as_str()];
            let drift = self.sink_drift.with_label_values(&labels);
            drift.set(truth(sink.drift.is_some()).max(drift.get()));
            if let Some(since) = sink.since.filter(|_| sink.holds.is_some()) {
                let delivered = self.sink_delivered.with_label_values(&labels);
                delivered.set(seconds(since).max(delivered.get()));
            }
        }
    }
}

/// Why an older token has to stay.
fn holds_back(record: &Record, older: &Older, now: Timestamp) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if older.cause == Cause::Superseded && !record.condemned.contains(&older.token.id) {
        match view::overlap_ends(older) {
            // Some sink still lacks the newer one.
            None => {
                let away = record.sinks.values().any(|sink| sink.trouble.is_some());
                reasons.extend(away.then_some(Reason::SinkUnavailable));
            }
            Some(end) if end > now => reasons.push(Reason::Overlap),
            // Where the evidence is in, the token is deleted in the same step: one that is still
            // there, and not announced, waits for it.
            Some(_) if older.announced_at.is_none() && asks_for_evidence(older) => {
                reasons.push(Reason::Evidence);
            }
            Some(_) => {}
        }
    }
    if record.troubles.revoke.is_some() {
        reasons.push(Reason::ProviderUnavailable);
    }
    reasons
}

fn asks_for_evidence(older: &Older) -> bool {
    older.retire.after_use || older.retire.when_idle.is_some()
}

/// Since when an older token could have gone but for evidence or failures.
fn pending_since(record: &Record, older: &Older, now: Timestamp) -> Option<Timestamp> {
    let overlap_over = view::overlap_ends(older).filter(|end| *end <= now);
    let failing = record.troubles.revoke.as_ref().map(|trouble| trouble.since);
    overlap_over.or(older.announced_at).or(failing)
}

fn registered<B>(
    registry: &Registry,
    series: MetricVec<B>,
) -> Result<MetricVec<B>, prometheus::Error>
where
    B: MetricVecBuilder,
    MetricVec<B>: Collector + Clone + 'static,
{
    registry.register(Box::new(series.clone()))?;
    Ok(series)
}

fn set(gauges: &GaugeVec, labels: &[&str], at: Option<Timestamp>) {
    if let Some(at) = at {
        gauges.with_label_values(labels).set(seconds(at));
    }
}

/// Unix time in seconds.
pub(super) fn seconds(at: Timestamp) -> f64 {
    millis(at.timestamp_millis())
}

fn truth(yes: bool) -> f64 {
    if yes { 1.0 } else { 0.0 }
}

/// Milliseconds as seconds. Times within four-digit years are far below 2^53 ms.
fn millis(millis: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "exact for every time in four-digit years")]
    let millis = millis as f64;
    millis / 1000.0
}

/// A count as Prometheus has it.
fn whole(count: u64) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "exact up to 2^53, which nothing here is counted to"
    )]
    let count = count as f64;
    count
}

fn amount(count: usize) -> f64 {
    whole(u64::try_from(count).unwrap_or(u64::MAX))
}
