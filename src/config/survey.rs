//! How often a connection is looked at while nothing is due: as often as its tenant's request limit
//! bears, where `survey_interval` does not say.

use std::{collections::BTreeMap, time::Duration};

use super::{Config, ProviderConfig};
use crate::{
    clock::spelled,
    rotation::scim_config::WantedConfig,
    token::{ProviderName, Tenant},
};

/// As often as it is worth it.
const OFTEN: Duration = Duration::from_secs(5 * 60);

/// As seldom as `survey_interval` may be.
const SELDOM: Duration = Duration::from_secs(24 * 60 * 60);

/// Our share of the limit is at least so many times what surveys cost.
const ROOM: f64 = 10.0;

/// How often the connections of a provider are looked at, and why so.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Survey {
    /// How often.
    pub interval: Duration,
    /// Why so often.
    pub because: SurveyReason,
}

/// Why connections are looked at as often as they are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SurveyReason {
    /// `survey_interval` says so.
    Configured,
    /// The default: the limit bears it.
    Default,
    /// More would take too much of the limit.
    Limited {
        /// How many connections the tenant has here.
        connections: u32,
        /// How many requests a second are ours.
        ours: f64,
    },
}

impl Survey {
    /// As a sentence about the connections of `provider`.
    #[must_use]
    pub fn words(&self, provider: &ProviderName) -> String {
        let often =
            format!("connections of {provider} are checked every {}", spelled(self.interval));
        match self.because {
            SurveyReason::Configured => format!("{often} (survey_interval)"),
            SurveyReason::Default => format!("{often} (the default)"),
            SurveyReason::Limited { connections, ours } => format!(
                "{often}: {connections} connections share {ours} requests per second, and checks may \
                 use at most a tenth of them"
            ),
        }
    }
}

impl Config {
    /// How often the connections of each provider are looked at.
    #[must_use]
    pub fn surveys(&self) -> BTreeMap<ProviderName, Survey> {
        let mut costs: BTreeMap<&Tenant, (u32, u32)> = BTreeMap::new();
        for connection in self.connections.iter() {
            let (connections, requests) = costs.entry(&connection.key.tenant).or_default();
            *connections += 1;
            *requests += match &connection.terms.scim_config {
                None => 1,
                Some(WantedConfig::Exactly(_)) => 2,
                // What the default is has to be asked as well.
                Some(WantedConfig::Default) => 3,
            };
        }
        let survey = |provider: &ProviderConfig| {
            if let Some(interval) = self.engine.survey_interval {
                return Survey { interval, because: SurveyReason::Configured };
            }
            let cost = costs.get(provider.tenant()).copied().unwrap_or_default();
            bearable(cost, provider.requests_a_second())
        };
        self.providers.iter().map(|(name, provider)| (name.clone(), survey(provider))).collect()
    }
}

/// Each connection costs one list at least.
fn bearable((connections, requests): (u32, u32), ours: Option<f64>) -> Survey {
    let default = Survey { interval: OFTEN, because: SurveyReason::Default };
    let Some(ours) = ours else { return default };
    let seconds = f64::from(requests) * ROOM / ours;
    let least = Duration::try_from_secs_f64(seconds).unwrap_or(SELDOM).min(SELDOM);
    if least <= OFTEN {
        return default;
    }
    let minutes = least.as_secs().div_ceil(60);
    let interval = Duration::from_secs(minutes * 60);
    Survey { interval, because: SurveyReason::Limited { connections, ours } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn surveys_take_at_most_a_tenth_of_our_share() {
        let every = |count, ours| bearable((count, count), ours).interval.as_secs() / 60;
        assert_eq!(every(100_000, None), 5, "without a limit");
        assert_eq!(every(30, Some(1.0)), 5);
        assert_eq!(every(31, Some(1.0)), 6);
        assert_eq!(every(1_000, Some(8.0)), 21);
        assert_eq!(every(1_000_000, Some(0.1)), 24 * 60);
        let doubled = bearable((1_000, 2_000), Some(8.0)).interval;
        assert_eq!(doubled.as_secs() / 60, 42, "the SCIM configuration is read as well");
        for connections in [31, 100, 1_000, 5_000] {
            let survey = bearable((connections, connections), Some(1.0));
            assert!(f64::from(connections) / survey.interval.as_secs_f64() <= 0.1 + 1e-9);
        }
    }

    #[test]
    fn the_words_say_why() {
        let acme = ProviderName::try_new("acme").unwrap();
        assert_eq!(
            bearable((100, 100), Some(1.0)).words(&acme),
            "connections of acme are checked every 17m: 100 connections share 1 requests per second, \
             and checks may use at most a tenth of them"
        );
        assert_eq!(
            bearable((1, 1), Some(1.0)).words(&acme),
            "connections of acme are checked every 5m (the default)"
        );
    }
}
