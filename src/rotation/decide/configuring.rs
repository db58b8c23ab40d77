//! The SCIM configuration: whether it is there and as the policy asks for, and what is done about it.

use super::{Decision, Situation, Step, held, sinks, step};
use crate::{
    error::Code,
    rotation::{
        observe::FRESH,
        policy::{Mode, OnDrift},
        record::Phase,
        scim_config::{ConfigChange, SeenConfig, Standing, WantedConfig},
    },
};

/// Whether the policy asks for a configuration, and the provider answers: one that cannot be listed is
/// not asked for anything else, unless a missing configuration is why.
#[must_use]
pub fn is_worth_asking(s: &Situation<'_>) -> bool {
    let is_missing = |code| code == Code::ScimNotConfigured;
    s.policy.terms.scim_config.is_some()
        && match (&s.observed.list, &s.record.troubles.look) {
            (Some(Ok(_)), _) => true,
            (Some(Err(fault)), _) => is_missing(fault.code),
            (None, Some(trouble)) => is_missing(trouble.fault.code),
            (None, None) => false,
        }
}

/// A token can be made only where there is a configuration: one that is not known to be there is looked
/// at first, and made.
pub(super) fn first(s: &Situation<'_>) -> Option<Decision> {
    let troubles = [&s.record.troubles.look, &s.record.troubles.mint];
    let denied =
        troubles.into_iter().flatten().any(|trouble| trouble.fault.code == Code::ScimNotConfigured);
    let known = s.record.scim.as_ref().is_some_and(|scim| scim.is_there());
    // A token that is on its way was made, so there was one.
    let is_sure = known || matches!(s.record.phase, Phase::Delivering(_));
    if s.ending.is_some() || !is_worth_asking(s) || (is_sure && !denied) {
        return None;
    }
    inspect(s).or_else(|| change(s, true))
}

/// The comparison holds nothing up: it is made once nothing else is to be done.
pub(super) fn at_rest(s: &Situation<'_>) -> Option<Decision> {
    if s.ending.is_some() || !is_worth_asking(s) {
        return None;
    }
    inspect(s).or_else(|| change(s, false))
}

/// Once a pass; again where a change would rest on what is not fresh any more.
fn inspect(s: &Situation<'_>) -> Option<Decision> {
    let due = match &s.observed.scim_config {
        None => {
            let unread = s.record.scim.as_ref().and_then(|scim| scim.unread.as_ref());
            s.held_back(unread).is_none()
        }
        Some(Ok(seen)) => !is_fresh(s, seen) && planned(s, seen, false).is_some(),
        Some(Err(_)) => false,
    };
    due.then(|| step(Step::Inspect, "comparing the SCIM configuration with the policy"))
}

fn is_fresh(s: &Situation<'_>, seen: &SeenConfig) -> bool {
    (s.now - seen.at).abs() <= FRESH
}

fn change(s: &Situation<'_>, only_create: bool) -> Option<Decision> {
    let seen = s.observed.scim_config.as_ref()?.as_ref().ok()?;
    let (change, why) = planned(s, seen, only_create).filter(|_| is_fresh(s, seen))?;
    Some(step(Step::Configure(Box::new(change)), why))
}

/// What is to be changed about what was seen. A pause and a freeze hold that back as they do a rotation.
fn planned(
    s: &Situation<'_>,
    seen: &SeenConfig,
    only_create: bool,
) -> Option<(ConfigChange, String)> {
    let wanted = s.policy.terms.scim_config.as_ref()?;
    let planned = match wanted.judge(seen.found.as_ref()) {
        Standing::AsAsked => return None,
        Standing::Missing => {
            let what = match wanted {
                WantedConfig::Default => None,
                WantedConfig::Exactly(config) => Some(config.clone()),
            };
            let with = what
                .as_ref()
                .map_or("the provider's default mapping", |_| "the mapping of the policy");
            (
                ConfigChange::Create(what),
                format!(
                    "the connection has no SCIM configuration: Scimitar creates one with {with}"
                ),
            )
        }
        Standing::Differs(diff) => {
            if only_create || s.policy.terms.on_drift == OnDrift::Report {
                return None;
            }
            let by = wanted.target(seen.found.as_ref()?);
            let why = format!("restoring the SCIM configuration (on_drift = \"restore\"): {diff}");
            (ConfigChange::Replace { by, diff }, why)
        }
    };
    let may = s.policy.terms.mode == Mode::Rotate
        && s.held_back(s.record.scim.as_ref().and_then(|scim| scim.unwritten.as_ref())).is_none()
        && held::change(s, &sinks::due(s)).is_none();
    may.then_some(planned)
}
