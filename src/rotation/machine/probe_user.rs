//! What becomes of a throw-away user.

use super::Refused;
use crate::rotation::{event::ProbeUserEvent, probe_user::ProbeUser, record::Record};

impl Record {
    /// One at a time: the next is announced once the last is known to be gone, or under the same name.
    pub(super) fn probe_user(&mut self, event: ProbeUserEvent) -> Result<(), Refused> {
        let refused = |state: &str| Err(Refused(state.to_owned()));
        match (&mut self.probe_user, event) {
            (_, ProbeUserEvent::Proved(proof)) => self.write_proof = Some(*proof),
            (Some(left), ProbeUserEvent::Announced { name, .. }) if left.name != name => {
                return refused("another throw-away user is not known to be gone");
            }
            (user, ProbeUserEvent::Announced { name, at }) => {
                let again = user.as_ref().map(|left| left.again(at));
                *user = Some(again.unwrap_or_else(|| ProbeUser::new(name, at)));
            }
            (None, _) => return refused("no throw-away user was announced"),
            (Some(user), ProbeUserEvent::Made(made)) => user.made = made,
            (Some(user), ProbeUserEvent::Unseen(at)) => {
                (user.unseen, user.trouble) = (Some(at), None);
            }
            (Some(user), ProbeUserEvent::Left(trouble)) => user.trouble = Some(trouble),
            (user, ProbeUserEvent::Gone) => *user = None,
        }
        Ok(())
    }
}
