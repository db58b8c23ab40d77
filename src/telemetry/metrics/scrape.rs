//! One scrape: records come in one by one, and only what the text needs is kept of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use prometheus::TextEncoder;

use super::{
    Metrics,
    records::{Facts, Labels, Series},
    text::Family,
    totals::Totals,
};
use crate::{
    clock::{Timestamp, Told},
    rotation::{
        policy::Policy,
        record::{Phase, Record},
        status::{Concern, ConnectionStatus},
        watch::Watch,
    },
    token::ConnectionKey,
};

/// Who reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// Prometheus, over HTTP from the daemon.
    Prometheus,
    /// node_exporter, in a file that a one-shot left. It has `process_*` of its own, and those of a
    /// process that has ended say nothing; how often the daemon looks is not true of a timer.
    NodeExporter,
}

/// A scrape that is being made.
#[derive(Debug)]
pub struct Scrape<'p> {
    metrics: Metrics,
    reader: Reader,
    now: Timestamp,
    /// The configured connections, and whether a record has come for each.
    configured: BTreeMap<&'p ConnectionKey, (&'p Policy, bool)>,
    by_name: BTreeMap<&'p str, &'p Policy>,
    /// Those that the ledger knows at another tenant.
    moved: BTreeMap<&'p ConnectionKey, ConnectionStatus>,
    survey_interval: Option<Duration>,
    totals: Totals,
    series: Series,
    /// The names under which connections that are no longer configured are shown.
    left: BTreeSet<String>,
    /// The most urgent so far, and how those stand that have no record; `None` where all have series of
    /// their own.
    urgent: Option<BTreeMap<Rank, Option<Box<Moved<'p>>>>>,
    limit: usize,
}

/// A connection that the ledger knows at another tenant, and how it stands.
type Moved<'p> = (&'p Policy, ConnectionStatus);

/// What needs a person first, in the order of [`Concern`]; then the least life left.
type Rank = (usize, i64, ConnectionKey);

impl<'p> Scrape<'p> {
    /// Begins with the configured connections; where they are more than the limit, only the most
    /// urgent get series of their own.
    pub fn new(
        metrics: &Metrics,
        configured: impl Iterator<Item = &'p Policy>,
        reader: Reader,
        now: Timestamp,
    ) -> Self {
        let mut scrape = Self {
            metrics: metrics.clone(),
            reader,
            now,
            configured: BTreeMap::new(),
            by_name: BTreeMap::new(),
            moved: BTreeMap::new(),
            survey_interval: None,
            totals: Totals::default(),
            series: Series::new(),
            left: BTreeSet::new(),
            urgent: None,
            limit: metrics.per_connection_limit(),
        };
        for policy in configured {
            scrape.configured.insert(&policy.key, (policy, false));
            scrape.by_name.insert(policy.name.as_str(), policy);
            scrape.survey_interval = scrape.survey_interval.max(Some(policy.survey_interval));
        }
        let providers: BTreeSet<&str> =
            scrape.by_name.values().map(|policy| policy.provider.as_str()).collect();
        for provider in providers {
            scrape.totals.start(provider);
        }
        let many = scrape.configured.len() > scrape.limit || scrape.limit == 0;
        scrape.urgent = many.then(BTreeMap::new);
        scrape
    }

    /// Takes in a record of the ledger; each comes once.
    pub fn add(&mut self, record: &Record) {
        self.totals.count(record);
        let policy = self.configured.get_mut(&record.key).map(|(policy, seen)| {
            *seen = true;
            *policy
        });
        if policy.is_none() {
            self.note_moved(record);
            if !has_business(record) {
                return;
            }
        }
        let status = self.status(record, policy);
        let provider = policy.map_or(record.provider.as_str(), |policy| policy.provider.as_str());
        self.totals.add(provider, record, &status, self.now);
        if self.urgent.is_some() {
            let rank = rank(Some(record), &status, record.key.clone());
            self.consider(rank, None);
        } else if policy.is_some() || self.left.len() < self.limit {
            // Very many may have left at once.
            self.write(record, policy, &status);
        }
    }

    /// Which connections are to be shown once more, when all were: the most urgent ones, whose records
    /// were not kept meanwhile.
    pub fn wanted(&mut self) -> Vec<ConnectionKey> {
        for (key, (policy, seen)) in std::mem::take(&mut self.configured) {
            if !seen {
                let moved = self.moved.remove(key);
                self.totals.add_new(policy.provider.as_str(), moved.as_ref());
                if let Some(status) = moved {
                    self.show_moved(key, policy, status);
                }
            }
            self.configured.insert(key, (policy, true));
        }
        let mut wanted = Vec::new();
        for ((.., key), moved) in self.urgent.take().unwrap_or_default() {
            match moved {
                Some(moved) => self.write_moved(moved.0, &moved.1),
                None => wanted.push(key),
            }
        }
        wanted
    }

    /// Takes in the record of one that is wanted.
    pub fn add_wanted(&mut self, record: &Record) {
        let policy = self.configured.get(&record.key).map(|(policy, _)| *policy);
        let status = self.status(record, policy);
        self.write(record, policy, &status);
    }

    fn status(&self, record: &Record, policy: Option<&Policy>) -> ConnectionStatus {
        let mut status = ConnectionStatus::of(record, policy, self.now);
        if self.reader == Reader::NodeExporter {
            status.concerns.remove(&Concern::SurveyStale);
        }
        status
    }

    /// Takes in the watched tokens. A person wrote each of them down, so that they are few: all have series.
    pub fn add_watched(&mut self, watches: &[Watch]) {
        watches.iter().for_each(|watch| self.series.add_watched(watch));
    }

    /// All series in Prometheus' text format: these, and what was counted in this process. In pieces,
    /// one behind the other: the whole may be long.
    ///
    /// # Errors
    /// When two series have one name; a defect.
    pub fn finish(mut self) -> Result<Vec<String>, prometheus::Error> {
        if self.configured.values().any(|(_, seen)| !seen) || self.urgent.is_some() {
            // Whoever did not ask has none to add.
            self.wanted();
        }
        let mut families = self.series.finish();
        families.extend(self.totals.finish());
        if let Some(interval) = self.survey_interval.filter(|_| self.reader == Reader::Prometheus) {
            let mut family = Family::gauge(
                "scimitar_survey_interval_seconds",
                "How often a connection is checked while nothing is due.",
            );
            family.put(&[], interval.as_secs_f64());
            families.push(family);
        }
        let mut texts: BTreeMap<String, Vec<String>> =
            families.into_iter().filter_map(Family::finish).collect();
        self.metrics.end_strangers();
        for family in self.metrics.registry.gather() {
            let name = family.name().to_owned();
            if self.reader == Reader::Prometheus || !name.starts_with("process_") {
                texts.insert(name, vec![TextEncoder::new().encode_to_string(&[family])?]);
            }
        }
        Ok(texts.into_values().flatten().collect())
    }

    /// A record that is no configured connection's may be one's from before its provider was
    /// pointed elsewhere: such a connection is refused.
    fn note_moved(&mut self, record: &Record) {
        if let Some(policy) = self.by_name.get(record.name.as_str())
            && policy.key.connection == record.key.connection
            && policy.key.tenant != record.key.tenant
        {
            self.moved.insert(&policy.key, ConnectionStatus::at_another_tenant(policy, record));
        }
    }

    fn show_moved(&mut self, key: &ConnectionKey, policy: &'p Policy, status: ConnectionStatus) {
        if self.urgent.is_some() {
            let rank = rank(None, &status, key.clone());
            self.consider(rank, Some((policy, status)));
        } else {
            self.write_moved(policy, &status);
        }
    }

    /// Keeps one as long as it is among the most urgent.
    fn consider(&mut self, rank: Rank, moved: Option<Moved<'p>>) {
        let Some(urgent) = &mut self.urgent else { return };
        let room = urgent.len() < self.limit;
        if room || urgent.last_key_value().is_some_and(|(last, _)| rank < *last) {
            urgent.insert(rank, moved.map(Box::new));
        }
        if urgent.len() > self.limit {
            urgent.pop_last();
        }
    }

    fn write_moved(&mut self, policy: &Policy, status: &ConnectionStatus) {
        let (connection, provider) = (policy.name.as_str(), policy.provider.as_str());
        self.series.blocked(Labels { connection, provider }, status);
    }

    fn write(&mut self, record: &Record, policy: Option<&Policy>, status: &ConnectionStatus) {
        let left = policy.is_none().then(|| self.name_outside(record));
        let connection = policy.map(|policy| policy.name.as_str()).or(left.as_deref());
        let provider = policy.map_or(&record.provider, |policy| &policy.provider).as_str();
        let Some(connection) = connection else { return };
        let cap = policy.and_then(|policy| policy.capabilities.cap);
        let of = Labels { connection, provider };
        self.series.add(of, Facts { record, status, cap, now: self.now });
    }

    /// What a connection that is no longer configured is called: its name, with its id behind it
    /// where another connection has that name now.
    fn name_outside(&mut self, record: &Record) -> String {
        let mut name = record.name.as_str().to_owned();
        if self.by_name.contains_key(name.as_str()) || self.left.contains(&name) {
            name = format!("{name} ({})", record.key);
        }
        self.left.insert(name.clone());
        name
    }
}

fn rank(record: Option<&Record>, status: &ConnectionStatus, key: ConnectionKey) -> Rank {
    let concern = status.concerns.first();
    let place = concern.map_or(Concern::ALL.len(), |concern| *concern as usize);
    let expires = record.and_then(Record::expires_at);
    (place, expires.map_or(i64::MAX, |at| at.as_told().timestamp_millis()), key)
}

/// A connection that is no longer configured is shown while something of it is still to be revoked:
/// nobody else would notice that.
fn has_business(record: &Record) -> bool {
    !record.retiring.is_empty() || !record.condemned.is_empty() || record.phase != Phase::Steady
}
