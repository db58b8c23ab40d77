//! How providers and sinks are, by what happened to the connections that use them.

use std::collections::{BTreeMap, BTreeSet};

use super::look::Look;
use crate::{
    clock::Timestamp,
    rotation::{record::Record, view},
    token::SinkName,
    words::relative,
};

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Services {
    pub(super) providers: BTreeMap<String, Health>,
    pub(super) sinks: BTreeMap<String, Health>,
    /// The sinks, as they were met.
    numbers: BTreeMap<String, usize>,
    /// The same by their numbers.
    labels: Vec<String>,
}

/// How a provider or a sink is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Health {
    /// How many connections use it.
    pub(super) connections: usize,
    /// With how many of them it fails.
    failing: usize,
    /// How many places there were changed by others.
    drifted: usize,
    /// How many places there wait for their token.
    pending: usize,
    /// When it last answered, where that is known.
    answered: Option<Timestamp>,
    /// With how many of them it was ever reached.
    known: usize,
}

impl Health {
    pub(super) fn look(&self) -> Look {
        match self {
            Self { failing: 1.., .. } => Look::Failing,
            Self { drifted: 1.., .. } => Look::Attention,
            Self { pending: 1.., .. } => Look::Waiting,
            Self { known: 0, .. } => Look::New,
            Self { .. } => Look::Healthy,
        }
    }

    /// What is not as it should be, in a few words.
    pub(super) fn wrong(&self) -> Option<String> {
        let of = self.connections;
        match self.look() {
            Look::Failing if of == 1 => Some("failing for its only connection".to_owned()),
            Look::Failing => Some(format!("failing for {} of {of} connections", self.failing)),
            Look::Attention => Some(format!("{} of {of} changed outside Scimitar", self.drifted)),
            Look::Waiting if self.pending == 1 => Some(format!("1 of {of} waits for its token")),
            Look::Waiting => Some(format!("{} of {of} wait for their token", self.pending)),
            Look::New => Some("not checked yet".to_owned()),
            Look::Healthy | Look::Blocked | Look::Paused | Look::Observed => None,
        }
    }

    pub(super) fn words(&self, now: Timestamp) -> String {
        let state = self.wrong().unwrap_or_else(|| "healthy".to_owned());
        match self.answered {
            Some(at) => format!("{state}; last answered {}", relative(at, now)),
            None => state,
        }
    }
}

impl Services {
    /// The number of a sink.
    pub(super) fn number(&self, sink: &str) -> Option<usize> {
        self.numbers.get(sink).copied()
    }

    /// Counts a connection in; the numbers of its sinks.
    pub(super) fn note(
        &mut self,
        provider: &str,
        sinks: &[SinkName],
        record: Option<&Record>,
    ) -> BTreeSet<usize> {
        let health = self.providers.entry(provider.to_owned()).or_default();
        health.connections += 1;
        if let Some(record) = record {
            let fails = record.troubles.iter().any(|(_, trouble)| !trouble.of_sink);
            health.failing += usize::from(fails);
            let answered = record.survey.as_ref().map(|survey| survey.at);
            health.known += usize::from(answered.is_some() || record.current.is_some());
            health.answered = health.answered.max(answered);
        }
        let mut used = BTreeSet::new();
        for sink in sinks {
            used.insert(self.number_of(sink.as_str()));
        }
        let mut failing = BTreeSet::new();
        for sink in record.into_iter().flat_map(Record::places) {
            let label = sink.place.sink.as_str();
            used.insert(self.number_of(label));
            let health = self.sinks.entry(label.to_owned()).or_default();
            let wanted = record.and_then(view::wanted);
            let state = view::sink_status(sink, wanted);
            let fails = sink.trouble.is_some() && failing.insert(label);
            health.failing += usize::from(fails);
            health.drifted += usize::from(sink.drift.is_some());
            health.pending += usize::from(state == view::SinkStatus::Pending);
            health.known += usize::from(sink.holds.is_some());
        }
        for label in used.iter().filter_map(|number| self.labels.get(*number)) {
            self.sinks.entry(label.clone()).or_default().connections += 1;
        }
        used
    }

    fn number_of(&mut self, sink: &str) -> usize {
        if let Some(number) = self.numbers.get(sink) {
            return *number;
        }
        let next = self.labels.len();
        self.labels.push(sink.to_owned());
        self.numbers.insert(sink.to_owned(), next);
        next
    }
}
