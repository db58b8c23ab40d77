//! What stays as it is when a configuration is read again.

use std::collections::BTreeMap;

use super::{App, Reached};
use crate::{
    config::{Config, HttpConfig, ProviderConfig},
    token::{ProviderName, SinkName},
};

/// What was built before, and from what.
#[derive(Clone, Copy, Debug)]
pub struct Before<'a> {
    /// From this.
    pub config: &'a Config,
    /// This.
    pub app: &'a App,
}

impl Before<'_> {
    /// Whether every request is made as it was.
    fn same_requests(&self, config: &Config) -> bool {
        let was = self.config;
        was.http == config.http && was.engine.request_timeout == config.engine.request_timeout
    }

    /// Whether a provider is what it was. Certificates of its own may be others in the same file:
    /// they are read again.
    #[must_use]
    pub fn same_provider(&self, name: &ProviderName, config: &Config) -> bool {
        let (was, is) = (self.config.providers.get(name), config.providers.get(name));
        let trusts = |http: &HttpConfig| http.names_files() || config.http.names_files();
        let certificates = is.and_then(ProviderConfig::http).is_some_and(trusts);
        self.same_requests(config) && was == is && !certificates
    }

    /// Whether a sink is what it was; for certificates the same holds.
    #[must_use]
    pub fn same_sink(&self, name: &SinkName, config: &Config) -> bool {
        let (was, is) = (self.config.sinks.get(name), config.sinks.get(name));
        let read_again = is.is_some_and(|sink| sink.reads_files_once());
        self.same_requests(config) && was == is && !read_again
    }

    /// The provider as it is: one that did not change, or an embedded sandbox, which holds its folder
    /// and its tokens until the process ends.
    pub(super) fn provider(&self, name: &ProviderName, config: &Config) -> Option<Reached> {
        let is_sandbox =
            |config: &Config| config.providers.get(name).is_some_and(ProviderConfig::is_sandbox);
        let same = self.same_provider(name, config);
        let embedded = is_sandbox(self.config) && is_sandbox(config);
        let found = self.app.providers.get(name).filter(|_| same || embedded)?;
        if !same {
            tracing::warn!(provider = %name, "the changes to the embedded sandbox {name} take effect at the next start");
        }
        Some(found.clone())
    }
}

/// Puts what is as it was in the place of what was made anew: it is logged in already.
pub(super) fn keep<T: Clone>(
    new: &mut BTreeMap<SinkName, T>,
    before: &BTreeMap<SinkName, T>,
    same: impl Fn(&SinkName) -> bool,
) {
    for (name, made) in new {
        if let Some(kept) = before.get(name).filter(|_| same(name)) {
            *made = kept.clone();
        }
    }
}
