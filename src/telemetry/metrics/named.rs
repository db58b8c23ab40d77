//! The series of what the configuration names: there from the start, so that a first failure is an
//! increase, and gone with the name.

use std::{collections::BTreeSet, sync::PoisonError};

use prometheus::core::{Collector, MetricVec, MetricVecBuilder};

use super::{HOOK_OUTCOMES, Metrics, WRITE_OUTCOMES};
use crate::token::{HookName, ProviderName, SinkName};

impl Metrics {
    /// Takes what is configured from now on: its series start at 0, and those of what no longer is
    /// end.
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
        let names = |of: &mut dyn Iterator<Item = &str>| of.map(str::to_owned).collect();
        let named = Named {
            providers: names(&mut providers.iter().map(|name| name.as_str())),
            sinks: names(&mut sinks.iter().map(|name| name.as_str())),
            hooks: names(&mut hooks.iter().map(|name| name.as_str())),
        };
        *self.named.lock().unwrap_or_else(PoisonError::into_inner) = Some(named);
        self.end_strangers();
    }

    /// Ends the series of what is not configured. Whoever was in mid-request with something that left
    /// may have counted since.
    pub(super) fn end_strangers(&self) {
        let named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Named { providers, sinks, hooks }) = &*named else { return };
        keep(&self.provider_requests, "provider", providers);
        keep(&self.provider_throttled, "provider", providers);
        keep(&self.rate_limit_remaining, "provider", providers);
        keep(&self.discovered, "provider", providers);
        keep(&self.discovery_refused, "provider", providers);
        keep(&self.discovery_held, "provider", providers);
        keep(&self.discovery_listed, "provider", providers);
        keep(&self.rotation_duration, "provider", providers);
        keep(&self.sink_writes, "sink", sinks);
        keep(&self.sink_requests, "sink", sinks);
        keep(&self.sink_up, "sink", sinks);
        keep(&self.hook_runs, "hook", hooks);
    }
}

/// What the configuration names, as values of labels.
#[derive(Debug)]
pub(super) struct Named {
    providers: BTreeSet<String>,
    sinks: BTreeSet<String>,
    hooks: BTreeSet<String>,
}

/// Ends the series whose label has a value that does not stay.
fn keep<T: MetricVecBuilder>(series: &MetricVec<T>, label: &str, stays: &BTreeSet<String>) {
    let desc = series.desc();
    let Some(desc) = desc.first() else { return };
    for family in series.collect() {
        for metric in family.get_metric() {
            let value = |name: &str| {
                let pair = metric.get_label().iter().find(|pair| pair.name() == name);
                pair.map(|pair| pair.value()).unwrap_or_default()
            };
            if !stays.contains(value(label)) {
                let names = desc.variable_labels.iter();
                let values: Vec<&str> = names.map(|name| value(name)).collect();
                // It may have been removed meanwhile: then it is gone as well.
                let _ = series.remove_label_values(&values);
            }
        }
    }
}
