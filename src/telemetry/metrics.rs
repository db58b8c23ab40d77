//! The metrics that operators see. All use of the `prometheus` crate is in this module.

mod named;
mod records;
mod scrape;
mod text;
mod totals;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use prometheus::{
    GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry,
    core::Collector, process_collector::ProcessCollector,
};

use self::named::Named;
pub use self::scrape::{Reader, Scrape};
use crate::{
    clock::{Timestamp, Told},
    error::Class,
    revision::REVISION,
    token::{HookName, ProviderName, SinkName},
};

/// What is counted beside `delivered` where the tags or labels of a delivery were not written.
pub const UNLABELLED: &str = "unlabelled";

/// What a write to a sink can come to: `delivered`, or a fault's class.
const WRITE_OUTCOMES: [&str; 6] = [
    "delivered",
    UNLABELLED,
    Class::Transient.as_str(),
    Class::Ambiguous.as_str(),
    Class::Terminal.as_str(),
    Class::Conflict.as_str(),
];

/// What a run of a hook can come to.
const HOOK_OUTCOMES: [&str; 2] = ["succeeded", "failed"];

/// With more connections than this, only the most urgent have series of their own
/// (`[metrics] per_connection_limit`).
pub const PER_CONNECTION_LIMIT: usize = 1_000;

/// Bounds of the duration histograms, in seconds: an API call to a slow probe.
const SECONDS: [f64; 10] = [0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];

/// What this process counts by itself. What is known of connections is built from the ledger's
/// records at scrape time, so that it is never stale.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    provider_requests: IntCounterVec,
    provider_throttled: IntCounterVec,
    rate_limit_remaining: IntGaugeVec,
    sink_writes: IntCounterVec,
    sink_requests: IntCounterVec,
    sink_up: IntGaugeVec,
    step_duration: HistogramVec,
    rotation_duration: HistogramVec,
    hook_runs: IntCounterVec,
    audit_missed: IntCounter,
    discovered: GaugeVec,
    discovery_refused: GaugeVec,
    discovery_held: GaugeVec,
    discovery_listed: GaugeVec,
    // Without labels, but vectors: there is no series until the first value, where a 0 would read
    // as a failure, or as the year 1970.
    last_reload: GaugeVec,
    last_reload_success: GaugeVec,
    config_differs: GaugeVec,
    last_run: GaugeVec,
    last_run_status: GaugeVec,
    per_connection_limit: Arc<AtomicUsize>,
    /// `None`: as long as nothing was configured, everything stays.
    named: Arc<Mutex<Option<Named>>>,
}

impl Metrics {
    /// Makes a registry of its own and registers everything in it.
    ///
    /// # Errors
    /// When two metrics have one name; a defect.
    pub fn try_new() -> Result<Self, prometheus::Error> {
        let metrics = Self {
            registry: Registry::new(),
            provider_requests: IntCounterVec::new(
                Opts::new(
                    "scimitar_provider_requests_total",
                    "Requests to a provider, by operation and HTTP status, or the kind of failure where there was none.",
                ),
                &["provider", "operation", "code"],
            )?,
            provider_throttled: IntCounterVec::new(
                Opts::new(
                    "scimitar_provider_throttled_total",
                    "Requests that a provider answered with 429.",
                ),
                &["provider"],
            )?,
            rate_limit_remaining: IntGaugeVec::new(
                Opts::new(
                    "scimitar_provider_rate_limit_remaining",
                    "Requests left in the provider's rate limit, as it last reported.",
                ),
                &["provider"],
            )?,
            sink_writes: IntCounterVec::new(
                Opts::new("scimitar_sink_writes_total", "Writes to a sink, by outcome."),
                &["sink", "outcome"],
            )?,
            sink_requests: IntCounterVec::new(
                Opts::new(
                    "scimitar_sink_requests_total",
                    "Operations at a sink, by how each ended: ok, or what went wrong.",
                ),
                &["sink", "operation", "code"],
            )?,
            sink_up: IntGaugeVec::new(
                Opts::new(
                    "scimitar_sink_up",
                    "1 while a sink answers; 0 while it is unreachable, fails or rejects the login. No series before it was first asked.",
                ),
                &["sink"],
            )?,
            step_duration: HistogramVec::new(
                HistogramOpts::new("scimitar_step_duration_seconds", "How long a step took.")
                    .buckets(SECONDS.to_vec()),
                &["step"],
            )?,
            rotation_duration: HistogramVec::new(
                HistogramOpts::new(
                    "scimitar_rotation_duration_seconds",
                    "From the decision to rotate until the last sink had the token.",
                )
                .buckets(SECONDS.to_vec()),
                &["provider"],
            )?,
            hook_runs: IntCounterVec::new(
                Opts::new("scimitar_hook_runs_total", "Runs of a hook, by outcome."),
                &["hook", "outcome"],
            )?,
            audit_missed: IntCounter::new(
                "scimitar_audit_missed_lines_total",
                "Lines that could not be written to the audit log.",
            )?,
            discovered: of_provider(
                "scimitar_discovered_connections",
                "Connections that a [[discover]] matches and that are rotated.",
            )?,
            discovery_refused: of_provider(
                "scimitar_discovery_refused_connections",
                "Connections that a [[discover]] matches and that cannot be rotated.",
            )?,
            discovery_held: of_provider(
                "scimitar_discovery_held",
                "1 while a list of connections is held until an operator decides: too many connections are missing from it.",
            )?,
            discovery_listed: of_provider(
                "scimitar_discovery_listed_timestamp_seconds",
                "When the list of connections in force was read.",
            )?,
            last_reload: single(
                "scimitar_config_last_reload_successful",
                "1 when the last reload succeeded, 0 when it was rejected.",
            )?,
            last_reload_success: single(
                "scimitar_config_last_reload_success_timestamp_seconds",
                "When the configuration was last loaded without an error.",
            )?,
            config_differs: single(
                "scimitar_config_differs",
                "1 while the configuration files differ from what was last loaded; 0 while they do not.",
            )?,
            last_run: single(
                "scimitar_last_run_timestamp_seconds",
                "When the last one-shot ended.",
            )?,
            last_run_status: single(
                "scimitar_last_run_exit_status",
                "The exit status of the last one-shot.",
            )?,
            per_connection_limit: Arc::new(AtomicUsize::new(PER_CONNECTION_LIMIT)),
            named: Arc::default(),
        };
        let build_info = GaugeVec::new(
            Opts::new("scimitar_build_info", "1, with what was built as labels."),
            &["version", "revision"],
        )?;
        build_info.with_label_values(&[env!("CARGO_PKG_VERSION"), REVISION]).set(1.0);
        let collectors: [Box<dyn Collector>; 21] = [
            Box::new(metrics.discovered.clone()),
            Box::new(metrics.discovery_refused.clone()),
            Box::new(metrics.discovery_held.clone()),
            Box::new(metrics.discovery_listed.clone()),
            Box::new(metrics.provider_requests.clone()),
            Box::new(metrics.provider_throttled.clone()),
            Box::new(metrics.rate_limit_remaining.clone()),
            Box::new(metrics.sink_writes.clone()),
            Box::new(metrics.sink_requests.clone()),
            Box::new(metrics.sink_up.clone()),
            Box::new(metrics.config_differs.clone()),
            Box::new(metrics.step_duration.clone()),
            Box::new(metrics.rotation_duration.clone()),
            Box::new(metrics.hook_runs.clone()),
            Box::new(metrics.audit_missed.clone()),
            Box::new(metrics.last_reload.clone()),
            Box::new(metrics.last_reload_success.clone()),
            Box::new(metrics.last_run.clone()),
            Box::new(metrics.last_run_status.clone()),
            Box::new(build_info),
            Box::new(ProcessCollector::for_self()),
        ];
        for collector in collectors {
            metrics.registry.register(collector)?;
        }
        Ok(metrics)
    }

    /// Counts a request; `code` is the HTTP status or a word such as `timeout`.
    pub fn provider_request(&self, provider: &ProviderName, operation: &str, code: &str) {
        self.provider_requests.with_label_values(&[provider.as_str(), operation, code]).inc();
    }

    /// Counts a 429: a failure of ours to pace.
    pub fn provider_throttled(&self, provider: &ProviderName) {
        self.provider_throttled.with_label_values(&[provider.as_str()]).inc();
    }

    /// Notes what is left of a provider's rate limit.
    pub fn rate_limit_remaining(&self, provider: &ProviderName, left: i64) {
        self.rate_limit_remaining.with_label_values(&[provider.as_str()]).set(left);
    }

    /// Counts a write to a sink; `outcome` is `delivered` or an error class.
    pub fn sink_write(&self, sink: &SinkName, outcome: &str) {
        self.sink_writes.with_label_values(&[sink.as_str(), outcome]).inc();
    }

    /// Counts an operation at a sink; `code` is `ok` or a fault's code.
    pub fn sink_request(&self, sink: &SinkName, operation: &str, code: &str) {
        self.sink_requests.with_label_values(&[sink.as_str(), operation, code]).inc();
    }

    /// Notes whether a sink answers.
    pub fn sink_up(&self, sink: &SinkName, up: bool) {
        self.sink_up.with_label_values(&[sink.as_str()]).set(i64::from(up));
    }

    /// Notes how long a step took.
    pub fn step(&self, step: &str, took: Duration) {
        self.step_duration.with_label_values(&[step]).observe(took.as_secs_f64());
    }

    /// Notes how long a rotation took.
    pub fn rotation(&self, provider: &ProviderName, took: Duration) {
        self.rotation_duration.with_label_values(&[provider.as_str()]).observe(took.as_secs_f64());
    }

    /// Counts a run of a hook; `outcome` is `succeeded` or `failed`.
    pub fn hook_run(&self, hook: &HookName, outcome: &str) {
        self.hook_runs.with_label_values(&[hook.as_str(), outcome]).inc();
    }

    /// Counts lines that could not be written to the audit log.
    pub fn audit_missed(&self, lines: u64) {
        self.audit_missed.inc_by(lines);
    }

    /// Notes how many connections of a provider were discovered, how many of them are refused, whether a
    /// newer list is held, and when the one in force was read.
    pub fn discovered(
        &self,
        provider: &ProviderName,
        found: usize,
        refused: usize,
        held: bool,
        at: Timestamp,
    ) {
        let labels = [provider.as_str()];
        let count = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        self.discovered.with_label_values(&labels).set(count(found));
        self.discovery_refused.with_label_values(&labels).set(count(refused));
        self.discovery_held.with_label_values(&labels).set(f64::from(u8::from(held)));
        self.discovery_listed.with_label_values(&labels).set(seconds(at));
    }

    /// Notes that the configuration was reloaded.
    pub fn config_reload(&self, at: Timestamp, successful: bool) {
        let none: [&str; 0] = [];
        self.last_reload.with_label_values(&none).set(if successful { 1.0 } else { 0.0 });
        if successful {
            self.last_reload_success.with_label_values(&none).set(seconds(at));
        }
    }

    /// Notes whether the files are other ones than those in force.
    pub fn config_differs(&self, differ: bool) {
        let none: [&str; 0] = [];
        self.config_differs.with_label_values(&none).set(f64::from(u8::from(differ)));
    }

    /// Notes that a one-shot ended.
    pub fn last_run(&self, at: Timestamp, exit_status: u8) {
        let none: [&str; 0] = [];
        self.last_run.with_label_values(&none).set(seconds(at));
        self.last_run_status.with_label_values(&none).set(exit_status.into());
    }

    /// With how many connections each still has series of its own; 0: none ever has.
    #[must_use]
    pub fn per_connection_limit(&self) -> usize {
        self.per_connection_limit.load(Ordering::Relaxed)
    }

    /// The same, from the configuration.
    pub fn set_per_connection_limit(&self, limit: usize) {
        self.per_connection_limit.store(limit, Ordering::Relaxed);
    }
}

/// A gauge for each provider.
fn of_provider(name: &str, help: &str) -> Result<GaugeVec, prometheus::Error> {
    GaugeVec::new(Opts::new(name, help), &["provider"])
}

/// A gauge without labels, and without a series until it is set.
fn single(name: &str, help: &str) -> Result<GaugeVec, prometheus::Error> {
    GaugeVec::new(Opts::new(name, help), &[])
}

/// Unix time in seconds.
fn seconds(at: impl Told) -> f64 {
    millis(at.as_told().timestamp_millis())
}

/// Milliseconds as seconds. Times within four-digit years are far below 2^53 ms.
fn millis(millis: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "exact for every time in four-digit years")]
    let millis = millis as f64;
    millis / 1000.0
}

#[cfg(test)]
mod tests;
