//! What becomes of what is known of the SCIM configuration.

use crate::{
    clock::Timestamp,
    error::Code,
    rotation::{
        event::ConfigEvent,
        record::{Record, Trouble},
        scim_config::{ScimState, Standing},
    },
};

impl Record {
    pub(super) fn scim_config(&mut self, event: ConfigEvent) {
        match event {
            ConfigEvent::Seen { standing, loses_active, at } => {
                self.stands(standing, loses_active, at);
            }
            ConfigEvent::Changed { standing, loses_active, trouble, at } => {
                self.stands(standing, loses_active, at).unwritten = trouble;
            }
            ConfigEvent::Unread(trouble) => self.scim_state().unread = Some(trouble),
            ConfigEvent::Announced { at, .. } => self.scim_state().announced = Some(at),
            ConfigEvent::Refused(trouble) => self.scim_state().unwritten = Some(trouble),
        }
    }

    fn scim_state(&mut self) -> &mut ScimState {
        self.scim.get_or_insert_default()
    }

    fn stands(&mut self, standing: Standing, loses_active: bool, at: Timestamp) -> &mut ScimState {
        if standing != Standing::Missing {
            // What failed for want of it is tried again at once.
            let for_want = |trouble: &mut Trouble| trouble.fault.code == Code::ScimNotConfigured;
            self.troubles.look.take_if(for_want);
            self.troubles.mint.take_if(for_want);
        }
        let before = self.scim.take().unwrap_or_default();
        let off = standing != Standing::AsAsked;
        // A look that shows nothing else takes no failure away: the change would be tried at once.
        let as_before = off && before.standing.as_ref() == Some(&standing);
        self.scim.insert(ScimState {
            since: off.then(|| before.since.unwrap_or(at)),
            standing: Some(standing),
            loses_active,
            announced: None,
            unread: None,
            unwritten: before.unwritten.filter(|_| as_before),
        })
    }
}
