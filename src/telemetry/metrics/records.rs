//! A connection's own series, built from its record at scrape time: never stale, and gone with
//! their connection.

use std::collections::BTreeMap;

use super::{
    seconds,
    text::{Family, amount, truth, whole},
};
use crate::{
    clock::{Timestamp, Told},
    rotation::{
        observe::is_dead,
        record::{PHASES, Phase, Record},
        status::{Concern, ConnectionStatus},
        view::{self, Kind},
        watch::Watch,
    },
    token::{Listed, WATCHED},
};

/// Whose series they are: the values of the labels `connection` and `provider`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Labels<'a> {
    pub(super) connection: &'a str,
    pub(super) provider: &'a str,
}

/// What is known of one connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts<'a> {
    pub(super) record: &'a Record,
    pub(super) status: &'a ConnectionStatus,
    /// How many tokens its provider allows, where that is known.
    pub(super) cap: Option<u32>,
    pub(super) now: Timestamp,
}

/// The metrics that have a series, or some, for each connection.
#[derive(Debug)]
pub(super) struct Series {
    created: Family,
    expiry: Family,
    last_used: Family,
    next_rotation: Family,
    last_rotation: Family,
    last_survey: Family,
    phase: Family,
    tokens: Family,
    slots: Family,
    open_intents: Family,
    rotations: Family,
    failures: Family,
    rotation_blocked: Family,
    revocation_blocked: Family,
    revocation_pending: Family,
    still_used: Family,
    handoff_waiting: Family,
    handoff_deadline: Family,
    client_stopped: Family,
    sink_drift: Family,
    sink_delivered: Family,
    scim_config_drift: Family,
    deactivation_lost: Family,
    probe_user_left: Family,
    watch_notice: Family,
}

impl Series {
    /// Without any series yet.
    pub(super) fn new() -> Self {
        Self {
            created: Family::gauge(
                "scimitar_token_created_timestamp_seconds",
                "When the current token was created.",
            ),
            expiry: Family::gauge(
                "scimitar_token_expiry_timestamp_seconds",
                "When the current token, or a watched one, stops working; no series when it does not expire.",
            ),
            last_used: Family::gauge(
                "scimitar_token_last_used_timestamp_seconds",
                "When the provider last noted a use of the token.",
            ),
            next_rotation: Family::gauge(
                "scimitar_next_rotation_timestamp_seconds",
                "When the next rotation starts, as far as is known.",
            ),
            last_rotation: Family::gauge(
                "scimitar_last_rotation_timestamp_seconds",
                "When the last rotation was completed.",
            ),
            last_survey: Family::gauge(
                "scimitar_last_survey_timestamp_seconds",
                "When the provider last gave a complete list.",
            ),
            phase: Family::gauge(
                "scimitar_connection_phase",
                "1 for the phase that the connection is in, else 0.",
            ),
            tokens: Family::gauge(
                "scimitar_tokens",
                "How many tokens the connection has, by kind.",
            ),
            slots: Family::gauge(
                "scimitar_token_slots",
                "How many of the tokens that the provider allows exist (used), and how many more could (free).",
            ),
            open_intents: Family::gauge(
                "scimitar_open_intents",
                "Token creations whose answer was lost and whose token may still appear.",
            ),
            rotations: Family::counter("scimitar_rotations_total", "Rotations, by how they ended."),
            failures: Family::gauge(
                "scimitar_consecutive_failures",
                "How many times in a row creating or proving a token has failed.",
            ),
            rotation_blocked: Family::gauge(
                "scimitar_rotation_blocked",
                "1 while no rotation can start, by reason. No series for a reason that does not apply.",
            ),
            revocation_blocked: Family::gauge(
                "scimitar_revocation_blocked",
                "1 while a previous token cannot be revoked, by reason. No series for a reason that does not apply.",
            ),
            revocation_pending: Family::gauge(
                "scimitar_revocation_pending_since_timestamp_seconds",
                "Since when only missing evidence or failures have kept a previous token from being revoked.",
            ),
            still_used: Family::gauge(
                "scimitar_previous_token_still_used",
                "1 while the previous token is used more than an hour after every sink got the current one.",
            ),
            handoff_waiting: Family::gauge(
                "scimitar_handoff_waiting_since_timestamp_seconds",
                "Since when a sink that cannot be read back has not picked up the token.",
            ),
            handoff_deadline: Family::gauge(
                "scimitar_handoff_deadline_timestamp_seconds",
                "When the previous token expires, while a client uses it until a person hands over the new one.",
            ),
            client_stopped: Family::gauge(
                "scimitar_client_stopped_since_timestamp_seconds",
                "Since when the SCIM client behind a sink has been stopped, whatever token it has.",
            ),
            sink_drift: Family::gauge(
                "scimitar_sink_drift",
                "1 while the content of a sink differs from what Scimitar delivered (drift).",
            ),
            sink_delivered: Family::gauge(
                "scimitar_sink_delivered_timestamp_seconds",
                "When the token in the sink was delivered.",
            ),
            scim_config_drift: Family::gauge(
                "scimitar_scim_config_drift",
                "1 while the SCIM configuration is missing or differs from the policy.",
            ),
            deactivation_lost: Family::gauge(
                "scimitar_scim_deactivation_lost",
                "1 when the last proof by writing did not show a deactivated user as inactive.",
            ),
            probe_user_left: Family::gauge(
                "scimitar_probe_user_left",
                "1 while a throw-away user of a proof by writing still exists: deleting it has failed and no retry will help, or it is an hour old.",
            ),
            watch_notice: Family::gauge(
                "scimitar_watch_notice_seconds",
                "How long before its expiry a watched token is to be renewed.",
            ),
        }
    }

    /// Adds one connection.
    pub(super) fn add(&mut self, of: Labels<'_>, facts: Facts<'_>) {
        let Facts { record, status, cap, now } = facts;
        self.tokens(of, record);
        self.slots(of, record, cap, now);
        for phase in PHASES {
            let is = truth(phase == record.phase_name());
            self.phase.put(&before(of, "phase", phase), is);
        }
        set(&mut self.next_rotation, of, record.next_rotation);
        let finished = record.last_rotation.as_ref().map(|last| last.finished);
        set(&mut self.last_rotation, of, finished);
        set(&mut self.last_survey, of, record.survey.as_ref().map(|survey| survey.at));
        self.open_intents.put(&plain(of), amount(open_intents(record)));
        for (outcome, count) in outcomes(record) {
            self.rotations.put(&before(of, "outcome", outcome), whole(count));
        }
        let failures = record.troubles.mint.as_ref().map_or(0, |trouble| trouble.count);
        self.failures.put(&plain(of), failures.into());
        self.blocked(of, status);
        set(&mut self.revocation_pending, of, status.revocation_pending);
        let still_used = status.concerns.contains(&Concern::PreviousStillUsed);
        self.still_used.put(&plain(of), truth(still_used));
        set(&mut self.handoff_waiting, of, status.handoff_waiting);
        set(&mut self.handoff_deadline, of, status.handoff_deadline);
        let stopped = status.client_stopped.as_ref().map(|(_, since)| *since);
        set(&mut self.client_stopped, of, stopped);
        self.sinks(of, record);
        if record.scim.as_ref().is_some_and(|scim| scim.standing.is_some()) {
            let drifts = status.concerns.contains(&Concern::ScimConfigDrift);
            self.scim_config_drift.put(&plain(of), truth(drifts));
        }
        if record.write_proof.is_some() || record.probe_user.is_some() {
            let is = |concern| truth(status.concerns.contains(&concern));
            self.deactivation_lost.put(&plain(of), is(Concern::DeactivationLost));
            self.probe_user_left.put(&plain(of), is(Concern::ProbeUserLeft));
        }
    }

    /// Adds a watched token: its expiry, and when the alerts begin.
    pub(super) fn add_watched(&mut self, watch: &Watch) {
        let of = Labels { connection: watch.name.as_str(), provider: WATCHED };
        set(&mut self.expiry, of, Some(watch.expires_at));
        if let Some(notice) = watch.notice() {
            self.watch_notice.put(&plain(of), notice.as_secs_f64());
        }
    }

    /// All metrics.
    pub(super) fn finish(self) -> Vec<Family> {
        vec![
            self.created,
            self.expiry,
            self.last_used,
            self.next_rotation,
            self.last_rotation,
            self.last_survey,
            self.phase,
            self.tokens,
            self.slots,
            self.open_intents,
            self.rotations,
            self.failures,
            self.rotation_blocked,
            self.revocation_blocked,
            self.revocation_pending,
            self.still_used,
            self.handoff_waiting,
            self.handoff_deadline,
            self.client_stopped,
            self.sink_drift,
            self.sink_delivered,
            self.scim_config_drift,
            self.deactivation_lost,
            self.probe_user_left,
            self.watch_notice,
        ]
    }

    fn tokens(&mut self, of: Labels<'_>, record: &Record) {
        if let Some(current) = &record.current {
            set(&mut self.created, of, Some(current.token.created_at));
            set(&mut self.expiry, of, current.token.valid_until);
            self.used(of, "current", view::current_use(record));
        }
        if let Some(previous) = view::previous(record) {
            self.used(of, "previous", view::retiring_use(record, previous));
        }
        for (kind, count) in [
            // One that is gone is none; when it was made, and would have expired, is still shown.
            (
                "current",
                usize::from(record.current.is_some() && view::gone_since(record).is_none()),
            ),
            ("previous", view::count(record, Kind::Previous)),
            ("orphan", view::count(record, Kind::Orphan)),
            ("unmanaged", view::count(record, Kind::Unmanaged)),
        ] {
            self.tokens.put(&before(of, "kind", kind), amount(count));
        }
    }

    fn used(&mut self, of: Labels<'_>, role: &str, at: Option<impl Told>) {
        if let Some(at) = at {
            self.last_used.put(&behind(of, "role", role), seconds(at));
        }
    }

    fn slots(&mut self, of: Labels<'_>, record: &Record, cap: Option<u32>, now: Timestamp) {
        let Some(survey) = &record.survey else { return };
        let there = survey.clock().to_provider(now);
        let alive = |token: &&Listed| !is_dead(token, there);
        let used = amount(survey.tokens.iter().filter(alive).count());
        self.slots.put(&behind(of, "state", "used"), used);
        if let Some(cap) = cap {
            self.slots.put(&behind(of, "state", "free"), (f64::from(cap) - used).max(0.0));
        }
    }

    /// Adds why a connection has to wait: all that is known of one without a record of its own.
    pub(super) fn blocked(&mut self, of: Labels<'_>, status: &ConnectionStatus) {
        for (family, reasons) in [
            (&mut self.rotation_blocked, &status.rotation_blocked),
            (&mut self.revocation_blocked, &status.revocation_blocked),
        ] {
            for reason in reasons {
                family.put(&behind(of, "reason", reason.as_str()), 1.0);
            }
        }
    }

    /// Two deliveries may go to one sink: it has drifted when one has, and has what it should
    /// since the later one.
    fn sinks(&mut self, of: Labels<'_>, record: &Record) {
        let mut sinks: BTreeMap<&str, (bool, Option<Timestamp>)> = BTreeMap::new();
        for sink in record.places() {
            let (drift, delivered) = sinks.entry(sink.place.sink.as_str()).or_default();
            *drift |= sink.drift.is_some();
            *delivered = (*delivered).max(sink.since.filter(|_| sink.holds.is_some()));
        }
        for (sink, (drift, delivered)) in sinks {
            let labels = behind(of, "sink", sink);
            self.sink_drift.put(&labels, truth(drift));
            if let Some(at) = delivered {
                self.sink_delivered.put(&labels, seconds(at));
            }
        }
    }
}

/// Creates without an answer whose effect may still show.
fn open_intents(record: &Record) -> usize {
    record.intents.len() + usize::from(matches!(record.phase, Phase::Minting(_)))
}

/// How a connection's rotations ended, and how often.
pub(super) fn outcomes(record: &Record) -> [(&'static str, u64); 3] {
    let tally = &record.tally;
    [("succeeded", tally.succeeded), ("failed", tally.failed), ("refused", tally.refused)]
}

fn set(family: &mut Family, of: Labels<'_>, at: Option<impl Told>) {
    if let Some(at) = at {
        family.put(&plain(of), seconds(at));
    }
}

fn plain(of: Labels<'_>) -> [(&str, &str); 2] {
    [("connection", of.connection), ("provider", of.provider)]
}

/// With a label whose name comes before `provider`.
fn before<'a>(of: Labels<'a>, label: &'a str, value: &'a str) -> [(&'a str, &'a str); 3] {
    [("connection", of.connection), (label, value), ("provider", of.provider)]
}

/// With a label whose name comes behind `provider`.
fn behind<'a>(of: Labels<'a>, label: &'a str, value: &'a str) -> [(&'a str, &'a str); 3] {
    [("connection", of.connection), ("provider", of.provider), (label, value)]
}
