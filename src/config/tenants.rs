//! Which providers are one tenant.

use std::collections::BTreeMap;

use reqwest::Url;

use super::provider::{LimitShare, ProviderConfig, Providers, RateLimit};
use crate::{
    table::Table,
    token::{ProviderName, Tenant},
};

/// The path of every Management API.
const MANAGEMENT_API: &str = "/api/v2/";

/// The tenant that an Auth0 provider belongs to: the host of its audience. Auth0 issues tokens for the
/// canonical domain alone, whatever domain the log-in is asked at. An audience of another form says
/// nothing of the tenant; it is then the domain.
pub(super) fn of(audience: &str, domain: &str) -> Option<Tenant> {
    let canonical = Url::parse(audience).ok().filter(|url| {
        url.scheme() == "https" && url.port().is_none() && url.path() == MANAGEMENT_API
    });
    let canonical = canonical.as_ref().and_then(Url::host_str);
    Tenant::try_new(canonical.unwrap_or(domain)).ok()
}

/// Providers of one tenant share its request budget: they get one limit and one share, the lower ones.
pub(super) fn share(root: &Table<'_>, providers: &mut Providers<'_>) {
    let mut seen: BTreeMap<Tenant, Vec<ProviderName>> = BTreeMap::new();
    for (name, set) in providers.iter() {
        if let Some(provider) = &set.value {
            seen.entry(provider.tenant().clone()).or_default().push(name.clone());
        }
    }
    for (tenant, names) in seen.iter().filter(|(_, names)| names.len() > 1) {
        let found: Vec<_> = names
            .iter()
            .filter_map(|name| providers.get(name)?.value.as_ref())
            .map(ProviderConfig::pace)
            .collect();
        let Some(least) = found.iter().copied().reduce(lower) else { continue };
        for name in names {
            let Some(set) = providers.get_mut(name) else { continue };
            let Some(provider) = &mut set.value else { continue };
            if provider.pace() != least {
                root.findings().warning(
                    set.at,
                    format!(
                        "the providers {} are the same tenant ({tenant}) and share its request \
                         budget: the lowest `rate_limit` and `share` of them hold for `{name}` too",
                        listed(names)
                    ),
                    "write the same rate_limit and share in each",
                );
                provider.set_pace(least);
            }
        }
    }
}

fn listed(names: &[ProviderName]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" and ")
}

/// A limit and the share of it.
type Pace = (Option<RateLimit>, LimitShare);

fn lower((one, share): Pace, (other, other_share): Pace) -> Pace {
    let limit = match (one, other) {
        (Some(one), Some(other)) => Some(RateLimit {
            per_second: one.per_second.min(other.per_second),
            burst: one.burst.min(other.burst),
        }),
        (one, other) => one.or(other),
    };
    (limit, if other_share < share { other_share } else { share })
}

impl ProviderConfig {
    fn pace(&self) -> Pace {
        match self {
            Self::Auth0(auth0) => (auth0.rate_limit, auth0.share),
            Self::DbtCloud(dbt_cloud) => (dbt_cloud.rate_limit, dbt_cloud.share),
            Self::Sandbox(sandbox) => (sandbox.rate_limit, sandbox.share),
        }
    }

    fn set_pace(&mut self, (limit, share): Pace) {
        match self {
            Self::Auth0(auth0) => (auth0.rate_limit, auth0.share) = (limit, share),
            Self::DbtCloud(dbt_cloud) => (dbt_cloud.rate_limit, dbt_cloud.share) = (limit, share),
            Self::Sandbox(sandbox) => (sandbox.rate_limit, sandbox.share) = (limit, share),
        }
    }
}
