//! The metrics of CONTRACT section 4. All use of the `prometheus` crate is in this file.

use std::time::Duration;

use prometheus::{
    HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, core::Collector,
};

use crate::token::{ProviderName, SinkName};

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
    step_duration: HistogramVec,
    rotation_duration: HistogramVec,
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
                    "Requests to a provider, by operation and HTTP status (or what stood in for one).",
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
                    "What the provider last said is left of its rate limit.",
                ),
                &["provider"],
            )?,
            sink_writes: IntCounterVec::new(
                Opts::new("scimitar_sink_writes_total", "Writes to a sink, by outcome."),
                &["sink", "outcome"],
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
        };
        let collectors: [Box<dyn Collector>; 6] = [
            Box::new(metrics.provider_requests.clone()),
            Box::new(metrics.provider_throttled.clone()),
            Box::new(metrics.rate_limit_remaining.clone()),
            Box::new(metrics.sink_writes.clone()),
            Box::new(metrics.step_duration.clone()),
            Box::new(metrics.rotation_duration.clone()),
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

    /// Notes how long a step took.
    pub fn step(&self, step: &str, took: Duration) {
        self.step_duration.with_label_values(&[step]).observe(took.as_secs_f64());
    }

    /// Notes how long a rotation took.
    pub fn rotation(&self, provider: &ProviderName, took: Duration) {
        self.rotation_duration.with_label_values(&[provider.as_str()]).observe(took.as_secs_f64());
    }
}
