//! What the answers about a SCIM configuration come to.

use super::Answered;
use crate::{
    error::{Class, Code, Fault},
    rotation::{
        decide::Situation,
        event::{ConfigEvent, Event},
        scim_config::{ConfigChange, Diff, FoundConfig, ScimConfig, Standing},
    },
};

/// It was read, or could not be. What is as it was is not written down again.
#[must_use]
pub fn inspected(s: &Situation<'_>, answer: Result<Option<FoundConfig>, Fault>) -> Answered {
    let known = s.record.scim.as_ref();
    let found = match answer {
        Ok(found) => found,
        Err(fault) => {
            let before = known.and_then(|scim| scim.unread.as_ref());
            let event = ConfigEvent::Unread(s.look_failed(before, fault.clone()));
            return Answered {
                event: Some(Event::ScimConfig(event)),
                words: format!("the SCIM configuration could not be compared: {fault}"),
                // Nothing else fails because of it.
                fault: None,
            };
        }
    };
    let standing = s
        .policy
        .terms
        .scim_config
        .as_ref()
        .map_or(Standing::AsAsked, |wanted| wanted.judge(found.as_ref()));
    let loses_active = found.as_ref().is_some_and(|found| !found.config.maps_active());
    let same = known.is_some_and(|scim| {
        scim.standing.as_ref() == Some(&standing)
            && scim.loses_active == loses_active
            && scim.unread.is_none()
            && scim.announced.is_none()
    });
    let words = match &standing {
        Standing::Missing => "the connection has no SCIM configuration".to_owned(),
        Standing::AsAsked => "the SCIM configuration matches the policy".to_owned(),
        Standing::Differs(diff) => {
            format!("the SCIM configuration differs from the policy: {diff}")
        }
    };
    let event = Event::ScimConfig(ConfigEvent::Seen { standing, loses_active, at: s.now });
    Answered { event: (!same).then_some(event), words, fault: None }
}

/// It was made or changed, or not, or that is not known.
#[must_use]
pub fn configured(
    s: &Situation<'_>,
    change: &ConfigChange,
    answer: Result<ScimConfig, Fault>,
) -> Answered {
    let before = s.record.scim.as_ref().and_then(|scim| scim.unwritten.as_ref());
    let config = match answer {
        Ok(config) => config,
        Err(fault) => {
            let event = ConfigEvent::Refused(s.failed(before, fault.clone()));
            return Answered::failed(Event::ScimConfig(event), fault);
        }
    };
    let loses_active = !config.maps_active();
    let (asked, did) = match change {
        ConfigChange::Create(asked) => (asked.as_ref(), "made"),
        ConfigChange::Replace { by, .. } => (Some(by), "replaced"),
    };
    let standing = asked.map_or(Standing::AsAsked, |asked| {
        Diff::between(&config, asked).map_or(Standing::AsAsked, Standing::Differs)
    });
    // Done again, it would come out the same.
    let kept = match &standing {
        Standing::Differs(diff) => Some(Fault::new(
            format!("set the SCIM configuration of {}", s.record.key.connection),
            Class::Terminal,
            Code::Invalid,
            format!("the provider stored a configuration that differs from the one sent: {diff}"),
        )),
        Standing::AsAsked | Standing::Missing => None,
    };
    let trouble = kept.as_ref().map(|fault| s.failed(before, fault.clone()));
    let event = ConfigEvent::Changed { standing, loses_active, trouble, at: s.now };
    Answered {
        event: Some(Event::ScimConfig(event)),
        words: format!("the SCIM configuration was {did}"),
        fault: kept,
    }
}
