//! That a delivery would be allowed, without a change that a reader could see.

use super::{
    AwsSink,
    answers::{Effect, Refused},
    calls::{Calls, NewVersion, PROOF},
    describe::{Seen, There},
};
use crate::{
    error::Fault,
    sink::rules::{
        form::refuse_loss,
        secret_version::{SecretVersion, hidden, values_in},
        tags::{self, Tags},
    },
};

/// An id that no version has: every bit of ours would have to be one.
const NO_VERSION: &str = "ffffffff-ffff-ffff-ffff-ffffffffffff";

impl AwsSink {
    /// Makes the calls of a delivery in a form that changes nothing.
    ///
    /// # If the answer is lost
    /// A label or a tag of our own may stay, which nobody asks for; the next proof takes it away.
    pub(super) async fn prove(&self, calls: &Calls<'_>, seen: &Seen) -> Result<(), Fault> {
        match seen {
            Seen::Absent => {
                self.may_create(calls)?;
                self.prove_labels_without_a_version(calls).await
            }
            // Nothing but a restore is answered there in more than one way.
            Seen::Deleted { .. } => Ok(()),
            Seen::There(there) => {
                if let Some(held) = &there.current {
                    let contents = self.checked.form.understand(held, &there.tags);
                    let loss = self.checked.form.loss(held, &contents);
                    refuse_loss(calls.operation, &loss, self.checked.overwrite)?;
                }
                self.prove_tags(calls).await?;
                match &there.current {
                    None => self.prove_labels_without_a_version(calls).await,
                    Some(held) => self.prove_over(calls, there, held).await,
                }
            }
        }
    }

    /// The current version once more, under its own id: AWS ignores a put of what is there. The
    /// label that goes with it is one of our own, so that whatever else a put might do, it does not
    /// move what readers ask for, even when somebody moves it at this very moment.
    async fn prove_over(
        &self,
        calls: &Calls<'_>,
        there: &There,
        held: &SecretVersion,
    ) -> Result<(), Fault> {
        let values = values_in(&held.body);
        let values = hidden(&values);
        let version = NewVersion { id: &held.id, body: &held.body, hidden: &values };
        let stages = calls.put(&version, PROOF, Effect::None).await.map_err(of)?;
        if !stages.iter().any(|stage| stage == PROOF) {
            let from = there.labelled(PROOF);
            calls.label(PROOF, from, Some(&held.id), Effect::None).await.map_err(of)?;
        }
        calls.label(PROOF, Some(&held.id), None, Effect::None).await.map_err(of)
    }

    /// To who may not, it is answered otherwise than to who names what is not there.
    async fn prove_labels_without_a_version(&self, calls: &Calls<'_>) -> Result<(), Fault> {
        match calls.label(PROOF, None, Some(NO_VERSION), Effect::None).await {
            Err(refused) if !refused.is_refusal() => Err(refused.fault),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    async fn prove_tags(&self, calls: &Calls<'_>) -> Result<(), Fault> {
        if !self.checked.form.marks_in_tags() {
            return Ok(());
        }
        let name = tags::PROOF.to_owned();
        calls.tag(&Tags::from([(name.clone(), "proof".to_owned())])).await.map_err(of)?;
        calls.untag(&[name]).await.map_err(of)
    }
}

fn of(refused: Refused) -> Fault {
    refused.fault
}
