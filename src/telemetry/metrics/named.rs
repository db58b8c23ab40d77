//! The series of what the configuration names: there from the start, so that a first failure is an
//! increase, and gone with the name.

use prometheus::core::{Collector, MetricVec, MetricVecBuilder};

use super::{HOOK_OUTCOMES, Metrics, WRITE_OUTCOMES};
use crate::token::{HookName, ProviderName, SinkName};

impl Metrics {
    /// Takes what is configured from now on: its series start at 0, and those of what no longer is
    /// end. Whoever is in mid-request with a provider that left may count once more.
    pub fn configured(
        &self,
        providers: &[&ProviderName],
        sinks: &[&SinkName],
        hooks: &[&HookName],
    ) {
        for provider in providers {
            let labels = [provider.as_str()];
            let _ = self.provider_throttled.with_label_values(&labels);
            let _ = self.rotation_duration.with_label_values(&labels);
        }
        for sink in sinks {
            for outcome in WRITE_OUTCOMES {
                let _ = self.sink_writes.with_label_values(&[sink.as_str(), outcome]);
            }
        }
        for hook in hooks {
            for outcome in HOOK_OUTCOMES {
                let _ = self.hook_runs.with_label_values(&[hook.as_str(), outcome]);
            }
        }
        let provider = |name: &str| providers.iter().any(|provider| provider.as_str() == name);
        keep(&self.provider_requests, "provider", provider);
        keep(&self.provider_throttled, "provider", provider);
        keep(&self.rate_limit_remaining, "provider", provider);
        keep(&self.rotation_duration, "provider", provider);
        keep(&self.sink_writes, "sink", |name| sinks.iter().any(|sink| sink.as_str() == name));
        keep(&self.hook_runs, "hook", |name| hooks.iter().any(|hook| hook.as_str() == name));
    }
}

/// Ends the series whose label has a value that does not stay.
fn keep<T: MetricVecBuilder>(series: &MetricVec<T>, label: &str, stays: impl Fn(&str) -> bool) {
    let desc = series.desc();
    let Some(desc) = desc.first() else { return };
    for family in series.collect() {
        for metric in family.get_metric() {
            let value = |name: &str| {
                let pair = metric.get_label().iter().find(|pair| pair.name() == name);
                pair.map(|pair| pair.value()).unwrap_or_default()
            };
            if !stays(value(label)) {
                let names = desc.variable_labels.iter();
                let values: Vec<&str> = names.map(|name| value(name)).collect();
                // It may have been removed meanwhile: then it is gone as well.
                let _ = series.remove_label_values(&values);
            }
        }
    }
}
