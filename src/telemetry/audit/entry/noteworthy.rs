//! Which events have a line.

use super::found::found;
use crate::{
    rotation::{
        event::{ConfigEvent, Event, ProbeUserEvent},
        record::Record,
    },
    token::PlaceKey,
};

/// Whether anybody would ask about it later. A look that finds everything as it was, the second
/// failure to look in a row and a rest are in the ledger alone.
pub(super) fn noteworthy(event: &Event, before: &Record, after: &Record) -> bool {
    match event {
        Event::Looked { .. } => !found(before, after).is_empty(),
        Event::LookFailed(_) => before.troubles.look.is_none(),
        Event::ScimConfig(ConfigEvent::Unread(_)) => {
            before.scim.as_ref().is_none_or(|scim| scim.unread.is_none())
        }
        // Asked with every few checks: what is new is that a place would not, or would again.
        Event::WritesChecked { .. } => {
            let refuses = |record: &Record| -> Vec<PlaceKey> {
                let refusing = record.sinks.iter().filter(|(_, sink)| sink.unwritable);
                refusing.map(|(place, _)| place.clone()).collect()
            };
            refuses(before) != refuses(after)
        }
        // One failure to delete it after another is one line, and so is one look that finds nothing.
        Event::ProbeUser(ProbeUserEvent::Left(_) | ProbeUserEvent::Unseen(_)) => {
            let fails = |record: &Record| {
                record.probe_user.as_ref().is_some_and(|user| user.trouble.is_some())
            };
            fails(before) != fails(after)
        }
        Event::Rested { .. } => before.refused_for() != after.refused_for(),
        Event::Configured { .. }
        | Event::Condemned(_)
        | Event::Paused(_)
        | Event::Resumed { .. }
        | Event::Intended(_)
        | Event::Minted { .. }
        | Event::MintFailed { .. }
        | Event::MintLost(_)
        | Event::IntentOpened
        | Event::IntentsExpired(_)
        | Event::OrphanFound { .. }
        | Event::TakenOver(_)
        | Event::ProbeAnnounced { .. }
        | Event::Proven(_)
        | Event::ValueKnown { .. }
        | Event::Judged { .. }
        | Event::Place { .. }
        | Event::Settled { .. }
        | Event::SettledInPart { .. }
        | Event::GivenUp { .. }
        | Event::CurrentProbed { .. }
        | Event::CurrentProbeFailed(_)
        | Event::FoundRefused(_)
        | Event::Retired { .. }
        | Event::Retiring { .. }
        | Event::ScimConfig(_)
        | Event::ProbeUser(_)
        | Event::NoticeBegun { .. }
        | Event::Notified { .. }
        | Event::NotifyFailed { .. }
        | Event::NoticeDropped { .. } => true,
    }
}
