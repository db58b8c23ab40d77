//! Labels taken off what leads to a token that works no more.

use super::{
    AwsSink,
    answers::Effect,
    calls::{CURRENT, Calls, PENDING, PREVIOUS, labels},
    describe::{tags, version_labelled},
};
use crate::{
    error::{Class, Code, Fault},
    sink::{Contents, Version, rules::tags::Tags},
    token::TokenId,
};

impl AwsSink {
    /// `AWSCURRENT` is never touched, and neither is what has it.
    pub(super) async fn forget_in(
        &self,
        calls: &Calls<'_>,
        id: &TokenId,
        earlier: Option<&Version>,
    ) -> Result<(), Fault> {
        let Some(described) = calls.describe().await? else { return Ok(()) };
        // No reader is let to a secret that is scheduled for deletion.
        if described.deleted_date.is_some() {
            return Ok(());
        }
        let labels = labels(&described);
        let tags = tags(&described);
        let current = labels.get(CURRENT).and_then(|versions| versions.first());
        for label in [PENDING, PREVIOUS] {
            let Some(version) = labels.get(label).and_then(|versions| versions.first()) else {
                continue;
            };
            if Some(version) == current {
                continue;
            }
            let known = label == PREVIOUS && earlier.is_some_and(|earlier| earlier.0 == *version);
            if !known && !self.holds(calls, version, label, &tags, id).await? {
                continue;
            }
            calls.label(label, Some(version), None, Effect::None).await.map_err(|refused| {
                if refused.is_refusal() {
                    let words = "the label moved in the meantime; Scimitar reads it again";
                    Fault::new(calls.operation, Class::Transient, Code::Changed, words)
                } else {
                    refused.fault
                }
            })?;
        }
        Ok(())
    }

    async fn holds(
        &self,
        calls: &Calls<'_>,
        version: &str,
        label: &str,
        tags: &Tags,
        id: &TokenId,
    ) -> Result<bool, Fault> {
        let held = version_labelled(calls, version, label).await?;
        let contents = held.map(|held| self.checked.form.understand(&held, tags));
        Ok(match contents {
            Some(Contents::Marked { marks, .. }) => marks.token_id == *id,
            Some(Contents::Unmarked { .. } | Contents::Empty) | None => false,
        })
    }
}
