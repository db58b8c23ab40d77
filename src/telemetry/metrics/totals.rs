//! Series over all connections of a provider: there however many connections there are.

use std::collections::BTreeMap;

use super::{
    records::outcomes,
    text::{Distribution, Family, amount, whole},
};
use crate::{
    clock::Timestamp,
    rotation::{
        record::{PHASES, Record},
        status::{Concern, ConnectionStatus},
        view,
        why::Reason,
    },
};

/// The phase, in totals, of a connection that the ledger does not know yet.
const NEW: &str = "new";

const HOUR: f64 = 3_600.0;
const DAY: f64 = 24.0 * HOUR;

/// Bounds of what is left of lives, in seconds; what is at most 0 has expired.
const LEFT: [f64; 8] = [0.0, HOUR, DAY, 3.0 * DAY, 7.0 * DAY, 14.0 * DAY, 30.0 * DAY, 90.0 * DAY];

/// What the gauges of what expires soon count, and how many seconds that is.
const EXPIRING: [(&str, f64); 4] =
    [("1d", DAY), ("7d", 7.0 * DAY), ("30d", 30.0 * DAY), ("90d", 90.0 * DAY)];

/// Bounds of ages, in seconds.
const AGES: [f64; 8] =
    [HOUR, DAY, 7.0 * DAY, 14.0 * DAY, 30.0 * DAY, 90.0 * DAY, 180.0 * DAY, 365.0 * DAY];

/// What was counted, by provider.
#[derive(Debug, Default)]
pub(super) struct Totals {
    providers: BTreeMap<String, Total>,
}

#[derive(Debug, Default)]
struct Total {
    /// It has connections, or had: one that only the ledger remembers has counters alone.
    present: bool,
    phases: BTreeMap<&'static str, usize>,
    rotation_blocked: BTreeMap<Reason, usize>,
    revocation_blocked: BTreeMap<Reason, usize>,
    concerns: BTreeMap<Concern, usize>,
    expiring: [usize; EXPIRING.len()],
    left: Distribution,
    age: Distribution,
    rotations: BTreeMap<&'static str, u64>,
    orphans_revoked: u64,
    skew: Option<(Timestamp, i64)>,
}

impl Total {
    fn count(&mut self, status: &ConnectionStatus) {
        for reason in &status.rotation_blocked {
            *self.rotation_blocked.entry(*reason).or_default() += 1;
        }
        for reason in &status.revocation_blocked {
            *self.revocation_blocked.entry(*reason).or_default() += 1;
        }
        for concern in &status.concerns {
            *self.concerns.entry(*concern).or_default() += 1;
        }
    }
}

impl Totals {
    /// Starts a provider's series.
    pub(super) fn start(&mut self, provider: &str) {
        self.of(provider).present = true;
    }

    /// What a record counted since it was made, whoever's it is now: counters only go up.
    pub(super) fn count(&mut self, record: &Record) {
        let total = self.of(record.provider.as_str());
        for (outcome, count) in outcomes(record) {
            *total.rotations.entry(outcome).or_default() += count;
        }
        total.orphans_revoked += record.tally.orphans_revoked;
    }

    /// How a connection that is shown stands.
    pub(super) fn add(
        &mut self,
        provider: &str,
        record: &Record,
        status: &ConnectionStatus,
        now: Timestamp,
    ) {
        let total = self.of(provider);
        total.present = true;
        *total.phases.entry(record.phase_name()).or_default() += 1;
        total.count(status);
        if let Some(current) = &record.current {
            let token = &current.token;
            let there = record.believed_clock().to_provider(now);
            total.age.observe(&AGES, (there - token.created_at).as_seconds_f64());
            if let Some(until) = view::works_until(record) {
                let left = (until - there).as_seconds_f64();
                for ((_, bound), count) in EXPIRING.iter().zip(&mut total.expiring) {
                    *count += usize::from(left <= *bound);
                }
                total.left.observe(&LEFT, left);
            }
        }
        // The newest list tells best where the provider's clock is.
        if let Some(survey) = &record.survey
            && total.skew.is_none_or(|(at, _)| at <= survey.at)
        {
            total.skew = Some((survey.at, survey.skew_ms));
        }
    }

    /// A configured connection that the ledger does not know; `moved` where it knows it at another
    /// tenant.
    pub(super) fn add_new(&mut self, provider: &str, moved: Option<&ConnectionStatus>) {
        let total = self.of(provider);
        total.present = true;
        *total.phases.entry(NEW).or_default() += 1;
        if let Some(status) = moved {
            total.count(status);
        }
    }

    /// All metrics.
    pub(super) fn finish(self) -> Vec<Family> {
        let mut connections = Family::gauge(
            "scimitar_connections",
            "How many connections are in a phase; new: configured, not checked yet.",
        );
        let mut rotation_blocked = Family::gauge(
            "scimitar_connections_rotation_blocked",
            "How many connections cannot start a rotation, by reason. No series for a reason that applies to none.",
        );
        let mut revocation_blocked = Family::gauge(
            "scimitar_connections_revocation_blocked",
            "How many connections have a previous token that cannot be revoked, by reason. No series for a reason that applies to none.",
        );
        let mut concerns = Family::gauge(
            "scimitar_connections_of_concern",
            "How many connections need attention, by the alert that covers it.",
        );
        let mut expiring = Family::gauge(
            "scimitar_connections_expiring",
            "How many connections have a current token that expires within that time. Cumulative: 7d includes 1d, and each includes what has expired or is gone.",
        );
        let mut left = Family::histogram(
            "scimitar_token_time_to_expiry_seconds",
            "Deprecated, use scimitar_connections_expiring: time to expiry of the current tokens, at this scrape (goes down, so no rate()).",
        );
        let mut age = Family::histogram(
            "scimitar_token_age_seconds",
            "Deprecated, use scimitar_token_created_timestamp_seconds: age of the current tokens, at this scrape (goes down, so no rate()).",
        );
        let mut rotations = Family::counter(
            "scimitar_provider_rotations_total",
            "Rotations of all connections that the ledger knows, by how they ended.",
        );
        let mut orphans = Family::counter(
            "scimitar_orphans_revoked_total",
            "Revoked tokens that Scimitar created and never delivered.",
        );
        let mut skew = Family::gauge(
            "scimitar_clock_skew_seconds",
            "Provider clock minus local clock (or minus that of a ledger that replicas share), at the last list of tokens.",
        );
        for (provider, total) in &self.providers {
            let of = [("provider", provider.as_str())];
            let before = |label, value| [(label, value), of[0]];
            let behind = |label, value| [of[0], (label, value)];
            for outcome in ["succeeded", "failed", "refused"] {
                let count = total.rotations.get(outcome).copied().unwrap_or_default();
                rotations.put(&before("outcome", outcome), whole(count));
            }
            orphans.put(&of, whole(total.orphans_revoked));
            if !total.present {
                continue;
            }
            for phase in PHASES.into_iter().chain([NEW]) {
                let count = total.phases.get(phase).copied().unwrap_or_default();
                connections.put(&before("phase", phase), amount(count));
            }
            for (family, counts) in [
                (&mut rotation_blocked, &total.rotation_blocked),
                (&mut revocation_blocked, &total.revocation_blocked),
            ] {
                for (reason, count) in counts {
                    family.put(&behind("reason", reason.as_str()), amount(*count));
                }
            }
            for ((within, _), count) in EXPIRING.into_iter().zip(total.expiring) {
                expiring.put(&behind("within", within), amount(count));
            }
            for concern in Concern::ALL {
                let count = total.concerns.get(&concern).copied().unwrap_or_default();
                concerns.put(&before("concern", concern.as_str()), amount(count));
            }
            left.put_distribution(&of, &LEFT, &total.left);
            age.put_distribution(&of, &AGES, &total.age);
            if let Some((_, millis)) = total.skew {
                skew.put(&of, super::millis(millis));
            }
        }
        vec![
            connections,
            rotation_blocked,
            revocation_blocked,
            concerns,
            expiring,
            left,
            age,
            rotations,
            orphans,
            skew,
        ]
    }

    fn of(&mut self, provider: &str) -> &mut Total {
        self.providers.entry(provider.to_owned()).or_default()
    }
}
