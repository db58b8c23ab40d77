//! The sink for AWS Secrets Manager: a token as keys of a JSON object, or as plain text.
//!
//! Two-phase: a version is put there under a label of our own, which no reader asks for, and becomes
//! what readers get when `AWSCURRENT` is moved to it *from the version that was seen*: AWS refuses
//! the move when the label is elsewhere by then, which is the compare-and-set. A secret without any
//! version has no such thing: its first version is live at once.
//!
//! A version's id is made of the token's id and the content, so that the same write again is no
//! other version, and another content never runs into an id that is taken.

mod account;
mod answers;
mod calls;
mod config;
mod deliver;
mod describe;
mod forget;
mod prove;
pub mod rights;
mod schema;
mod settings;
mod signing;
mod store;
mod whose;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;

pub use self::{
    account::AwsAccount,
    config::{AwsConfig, KIND},
    settings::{Account, AccountSettings, AwsTarget, Role},
};
use self::{
    calls::Calls,
    describe::{Seen, in_every_region, staged},
    settings::{Checked, ends_as_an_arn_does},
    whose::look_in,
};
pub(super) use self::{
    config::{description, read_account},
    schema::{account_schema, delivery_tags},
    settings::{TAGS, account_in, check_description},
    whose::parameter_in,
};
use crate::{
    error::{Class, Code, Fault},
    rotation::policy::Mode,
    sink::{
        Container, Contents, Delivery, Fence, Loss, Place, Reading, Sink, Staged, Version,
        WriteCheck,
        rules::{
            Latest, changed, elsewhere_now,
            form::refuse_loss,
            secret_version::Body,
            tags::{PROOF, Tags},
        },
    },
    token::TokenId,
};

/// How long a request whose sender is gone may still be carried out: AWS takes no signature that is
/// older (AWS's documentation of signed requests).
const LINGERS: Duration = Duration::from_secs(5 * 60);

/// One secret that one connection is delivered to.
pub struct AwsSink {
    account: Arc<AwsAccount>,
    checked: Checked,
    /// The last state that we replaced.
    replaced: Latest<Version>,
    /// What the secret was in when it was last read.
    read_in: Mutex<Option<Container>>,
    /// What could not be shown beforehand when it was last looked at.
    caveat: Mutex<Option<String>>,
}

impl fmt::Debug for AwsSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsSink").field("checked", &self.checked).finish_non_exhaustive()
    }
}

impl AwsSink {
    /// Checks the delivery. AWS is asked nothing.
    ///
    /// # Errors
    /// [`Code::Invalid`] when the name cannot be one of a secret.
    pub fn try_new(account: &Arc<AwsAccount>, target: AwsTarget) -> Result<Self, Fault> {
        let checked = target.checked(&account.settings)?;
        Ok(Self {
            account: Arc::clone(account),
            checked,
            replaced: Latest::default(),
            read_in: Mutex::default(),
            caveat: Mutex::default(),
        })
    }

    /// The sink of a place that the ledger remembers.
    ///
    /// # Errors
    /// When what is remembered cannot be used, or is not in this account and region.
    pub fn reopen(account: &Arc<AwsAccount>, place: &Place) -> Result<Self, Fault> {
        Self::try_new(account, AwsTarget::remembered(&account.settings, place)?)
    }

    fn operation(&self, verb: &str) -> String {
        format!("{verb} {}", self.checked.place.location)
    }

    async fn calls<'a>(&'a self, operation: &'a str) -> Result<Calls<'a>, Fault> {
        let client = self.account.client().await.map_err(|fault| Fault {
            // What was wanted says more than that a client was.
            detail: format!("{}: {}", fault.operation, fault.detail),
            operation: operation.to_owned(),
            ..fault
        })?;
        Ok(Calls { account: &self.account, client, name: &self.checked.name, operation })
    }

    /// Looks at the secret, and notes what cannot be promised of it.
    async fn look(&self, calls: &Calls<'_>) -> Result<(Seen, Option<Container>), Fault> {
        let (seen, container) = look_in(calls).await?;
        self.not_older(calls.operation, &seen)?;
        let caveat = self.unshown(&seen, container.as_ref());
        *self.caveat.lock().unwrap_or_else(PoisonError::into_inner) = caveat;
        Ok((seen, container))
    }

    /// Looks at the secret that was read in a container, before it is written.
    async fn look_again(
        &self,
        calls: &Calls<'_>,
        read_in: Option<&Container>,
    ) -> Result<Seen, Fault> {
        let (seen, now) = self.look(calls).await?;
        still_in(read_in, now.as_ref()).map_err(|(code, words)| {
            let words = format!("{words}; nothing was written");
            Fault::new(calls.operation, Class::Conflict, code, words)
        })?;
        Ok(seen)
    }

    /// What the secret was in when it was last read.
    fn read_in(&self) -> Option<Container> {
        self.read_in.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn unshown(&self, seen: &Seen, container: Option<&Container>) -> Option<String> {
        let place = &self.checked.place.location;
        let settings = &self.account.settings;
        let mut words = Vec::new();
        match seen {
            Seen::Absent if settings.account.create => {
                words.push(format!(
                    "{place} does not exist yet, and AWS has no dry run of CreateSecret: the \
                     permissions to create it and to tag, encrypt, put, read and move its values \
                     cannot be checked before the first delivery; `scimitar permissions` prints \
                     them"
                ));
                if ends_as_an_arn_does(&self.checked.name) {
                    words.push(
                        "its name ends in a hyphen and six characters, as AWS ends its ARNs: a \
                         reader that asks for it by a part of its ARN may get another secret; let \
                         readers use the whole ARN, or choose another name before the secret is \
                         created"
                            .to_owned(),
                    );
                }
            }
            Seen::Deleted { .. } => words.push(format!(
                "{place} is scheduled for deletion and will be restored (restore = true); the \
                 permissions to restore and write it cannot be checked beforehand"
            )),
            Seen::There(there) if there.current.is_none() => words.push(format!(
                "{place} has no value yet: its first one is live immediately, so the permission to \
                 write it cannot be checked beforehand"
            )),
            Seen::Absent | Seen::There(_) => {}
        }
        if container.is_none() {
            words.push(format!(
                "STS did not return which account the credentials of [sinks.{}] belong to \
                 (sts:GetCallerIdentity, which the policy of a VPC endpoint can deny); until {place} \
                 exists, credentials of another account would not be noticed",
                settings.sink
            ));
        }
        (!words.is_empty()).then(|| words.join("; "))
    }

    /// The service is of many machines: one that has yet to catch up shows what we replaced.
    fn not_older(&self, operation: &str, seen: &Seen) -> Result<(), Fault> {
        let (now, version) = (self.account.clock.now(), seen.version());
        self.replaced.refuse_older(operation, now, "the service", |replaced| *replaced == version)
    }

    fn note_replaced(&self, version: Version) {
        self.replaced.note(version, self.account.clock.now());
    }
}

#[async_trait]
impl Sink for AwsSink {
    fn place(&self) -> &Place {
        &self.checked.place
    }

    fn readable(&self) -> bool {
        true
    }

    fn caveat(&self) -> Option<String> {
        self.caveat.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn lingers(&self) -> Duration {
        LINGERS
    }

    fn keeps_earlier(&self) -> bool {
        true
    }

    fn overwrites(&self) -> bool {
        self.checked.overwrite
    }

    async fn read(&self) -> Result<Reading, Fault> {
        let operation = self.operation("read");
        let calls = self.calls(&operation).await?;
        let (seen, container) = self.look(&calls).await?;
        *self.read_in.lock().unwrap_or_else(PoisonError::into_inner) = container.clone();
        let version = seen.version();
        let reading = |contents| Reading { container, ..Reading::new(version, contents) };
        let there = match seen {
            Seen::Absent => return Ok(reading(Contents::Empty)),
            // What cannot be seen is not empty, and whose it is only those know who delivered it.
            Seen::Deleted { .. } => {
                let unseen = reading(Contents::Unmarked { value: None });
                return Ok(Reading { loss: Loss::Value, ..unseen });
            }
            Seen::There(there) => there,
        };
        let Some(held) = &there.current else {
            return Ok(reading(Contents::Empty));
        };
        let form = &self.checked.form;
        let contents = form.understand(held, &there.tags);
        let loss = form.loss(held, &contents);
        if let Body::Binary(_) = &held.body {
            refuse_loss(&operation, &loss, self.checked.overwrite)?;
        }
        in_every_region(&calls, &there).await?;
        let staged = staged(&calls, &there).await?;
        let staged = staged.map(|staged| form.understand(&staged, &there.tags));
        let staged = match staged {
            Some(Contents::Marked { marks, value }) => Staged::Token { marks, value },
            Some(Contents::Unmarked { .. } | Contents::Empty) | None => Staged::Nothing,
        };
        let elsewhere = form.elsewhere(held);
        Ok(Reading { staged, loss, elsewhere, ..reading(contents) })
    }

    /// Proven by writes, of what is there already: rules of EventBridge may act on each.
    fn write_check(&self) -> WriteCheck {
        WriteCheck::Refused
    }

    async fn prove_writable(&self, seen: &Reading) -> Result<(), Fault> {
        let operation = self.operation("check the permission to write");
        let calls = self.calls(&operation).await?;
        let seen = self.look_again(&calls, seen.container.as_ref()).await?;
        self.prove(&calls, &seen).await
    }

    /// Puts the delivery there as a version under our own label.
    ///
    /// # If the answer is lost
    /// The version may be there, now or later; the same call again makes no other, and that of
    /// another delivery takes the label away from it.
    async fn stage(&self, delivery: &Delivery, fence: &dyn Fence) -> Result<(), Fault> {
        let operation = self.operation("stage a token in");
        let calls = self.calls(&operation).await?;
        let seen = self.look_again(&calls, self.read_in().as_ref()).await?;
        self.stage_in(&calls, &seen, delivery, fence).await
    }

    /// # If the answer is lost
    /// It is asked for again; a label that is off is not taken off once more.
    async fn forget(&self, id: &TokenId, earlier: Option<&Version>) -> Result<(), Fault> {
        let operation = self.operation("remove a previous token from");
        let calls = self.calls(&operation).await?;
        self.forget_in(&calls, id, earlier).await
    }

    /// Moves `AWSCURRENT` to the delivery's version.
    ///
    /// # If the answer is lost
    /// The label may move, now or later, if it is still on the version that was seen.
    async fn promote(
        &self,
        delivery: &Delivery,
        expected: &Version,
        fence: &dyn Fence,
    ) -> Result<Version, Fault> {
        let operation = self.operation("write");
        let calls = self.calls(&operation).await?;
        let read_in = self.read_in();
        let seen = self.look_again(&calls, read_in.as_ref()).await?;
        if seen.version() != *expected {
            return Err(changed(&operation));
        }
        let version = self.deliver(&calls, seen, delivery, fence).await?;
        // Delivered is what every region has: until then the overlap does not begin. The write itself
        // is done; a read tells when the rest is.
        let (written, now) = self.look(&calls).await.map_err(Fault::in_doubt)?;
        still_in(read_in.as_ref(), now.as_ref()).map_err(|(code, words)| {
            let words = format!("{words}: it is not known which account has the token");
            Fault::new(&operation, Class::Ambiguous, code, words)
        })?;
        if let Seen::There(there) = written {
            in_every_region(&calls, &there).await.map_err(Fault::in_doubt)?;
        }
        Ok(version)
    }

    fn says_beside(&self) -> bool {
        !self.checked.tags.is_empty()
    }

    async fn say_beside(&self, delivery: &Delivery, fence: &dyn Fence) -> Result<(), Fault> {
        let operation = self.operation("write the tags of");
        let said = self.checked.tags.said(delivery, &TAGS);
        let calls = self.calls(&operation).await?;
        let described = calls.describe().await?;
        let there = described.as_ref().map(describe::tags).unwrap_or_default();
        fence.check().await?;
        let (new, gone) = (said.new_in(&there), said.gone_from(&there));
        if !new.is_empty() {
            calls.tag(&new).await.map_err(|refused| refused.fault)?;
        }
        if !gone.is_empty() {
            calls.untag(&gone).await.map_err(|refused| refused.fault)?;
        }
        said.all_fit(&operation, &TAGS)
    }

    /// Whether the tags of a delivery may be written, where nothing else is: with a tag of our own.
    async fn missing_rights(&self, mode: Mode) -> Result<Vec<String>, Fault> {
        let proven = self.checked.form.marks_in_tags();
        if mode == Mode::Observe || proven || self.checked.tags.is_empty() {
            return Ok(Vec::new());
        }
        let operation = self.operation("try out a tag of");
        let calls = self.calls(&operation).await?;
        let (Seen::There(_), _) = look_in(&calls).await? else { return Ok(Vec::new()) };
        let proof = Tags::from([(PROOF.to_owned(), "proof".to_owned())]);
        let done = match calls.tag(&proof).await {
            Ok(()) => calls.untag(&[PROOF.to_owned()]).await,
            Err(refused) => Err(refused),
        };
        match done.map_err(|refused| refused.fault) {
            Ok(()) => Ok(Vec::new()),
            Err(fault) if fault.code == Code::Forbidden => Ok(vec![format!(
                "{}: `tags` in the delivery needs the permission to write tags, which is missing: {}",
                self.checked.place.location, fault.detail
            )]),
            Err(fault) => Err(fault),
        }
    }
}

/// Refuses what is in something else than when it was read, in words.
fn still_in(read_in: Option<&Container>, now: Option<&Container>) -> Result<(), (Code, String)> {
    let Some(read) = read_in else { return Ok(()) };
    let untold = "STS no longer returns which account the credentials belong to";
    let code = if now.is_some() { Code::PlaceChanged } else { Code::Changed };
    let moved = elsewhere_now(read, now, "the credentials now lead to", untold);
    moved.map_or(Ok(()), |words| Err((code, words)))
}
