//! The sink for AWS Secrets Manager: a token as the keys of a JSON object.
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
mod deliver;
mod forget;
mod identity;
mod look;
mod marks;
mod prove;
pub mod rights;
mod settings;
mod wire;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use chrono::TimeDelta;

pub(crate) use self::settings::{account_in, location};
pub use self::{
    account::AwsAccount,
    identity::{AwsIdentity, SignedIdentity},
    settings::{
        AccountSettings, AwsDelivery, AwsSettings, Origin, Role, check_description, check_name,
    },
};
use self::{
    calls::Calls,
    look::{Seen, in_every_region, look, staged},
    settings::Checked,
};
use crate::{
    clock::Timestamp,
    error::{Class, Code, Fault},
    sink::{Contents, Fence, Parcel, Place, Reading, Sink, Staged, Version},
    token::TokenId,
};

/// How long a request whose sender is gone may still be carried out: AWS takes no signature that is
/// older (AWS's documentation of signed requests).
const LINGERS: Duration = Duration::from_secs(5 * 60);

/// How long the service may answer from before our own write, until it is taken at its word.
const CATCHING_UP: TimeDelta = TimeDelta::seconds(30);

/// One secret that one connection is delivered to.
pub struct AwsSink {
    account: Arc<AwsAccount>,
    checked: Checked,
    /// The last state that we replaced, and when.
    replaced: Mutex<Option<(Version, Timestamp)>>,
    /// What could not be shown beforehand when it was last looked at.
    caveat: Mutex<Option<String>>,
}

impl fmt::Debug for AwsSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsSink").field("checked", &self.checked).finish_non_exhaustive()
    }
}

impl AwsSink {
    /// Checks the settings. AWS is asked nothing.
    ///
    /// # Errors
    /// [`Code::Invalid`] when the name cannot be one of a secret.
    pub fn try_new(account: &Arc<AwsAccount>, settings: AwsSettings) -> Result<Self, Fault> {
        let checked = settings.checked(&account.settings)?;
        Ok(Self {
            account: Arc::clone(account),
            checked,
            replaced: Mutex::default(),
            caveat: Mutex::default(),
        })
    }

    /// The sink of a place that the ledger remembers.
    ///
    /// # Errors
    /// When what is remembered cannot be used, or is not in this account and region.
    pub fn reopen(account: &Arc<AwsAccount>, place: &Place) -> Result<Self, Fault> {
        Self::try_new(account, AwsSettings::remembered(&account.settings, place)?)
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
    async fn look(&self, calls: &Calls<'_>) -> Result<Seen, Fault> {
        let seen = look(calls).await?;
        self.not_older(calls.operation, &seen)?;
        *self.caveat.lock().unwrap_or_else(PoisonError::into_inner) = self.unshown(&seen);
        Ok(seen)
    }

    fn unshown(&self, seen: &Seen) -> Option<String> {
        let place = &self.checked.place.location;
        let settings = &self.account.settings;
        match seen {
            Seen::Absent if settings.create => Some(format!(
                "{place} is not there yet, and AWS has no dry run of CreateSecret: that it may be \
                 made, and its values tagged, encrypted, put, read and moved, cannot be shown before \
                 the first token is delivered; \
                 docs/aws-secrets-manager.md lists the rights"
            )),
            Seen::Deleted(_) => Some(format!(
                "{place} is scheduled for deletion and will be restored (restore = true); that this \
                 and the write after it are allowed cannot be shown beforehand"
            )),
            Seen::There(there) if there.current.is_none() => Some(format!(
                "{place} has no value yet: its first one is live at once, so that it may be put \
                 there cannot be shown beforehand"
            )),
            Seen::Absent | Seen::There(_) => None,
        }
    }

    /// The service is of many machines: one that has yet to catch up shows what we replaced.
    fn not_older(&self, operation: &str, seen: &Seen) -> Result<(), Fault> {
        let replaced = self.replaced.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match replaced {
            Some((version, at))
                if seen.version() == version && self.account.clock.now() - at < CATCHING_UP =>
            {
                Err(Fault::new(
                    operation,
                    Class::Transient,
                    Code::Unavailable,
                    "the answer is older than our own last write: the service has yet to catch up",
                ))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn replaced(&self, version: Version) {
        let now = self.account.clock.now();
        *self.replaced.lock().unwrap_or_else(PoisonError::into_inner) = Some((version, now));
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

    async fn read(&self) -> Result<Reading, Fault> {
        let operation = self.operation("read");
        let calls = self.calls(&operation).await?;
        let seen = self.look(&calls).await?;
        let version = seen.version();
        let there = match seen {
            Seen::Absent => return Ok(Reading::new(version, Contents::Empty)),
            // What cannot be seen is not empty.
            Seen::Deleted(_) => {
                return Ok(Reading::new(version, Contents::Unmarked { value: None }));
            }
            Seen::There(there) => there,
        };
        let Some(held) = &there.current else {
            return Ok(Reading::new(version, Contents::Empty));
        };
        in_every_region(&calls, &there).await?;
        let payload = self.checked.payload.as_ref();
        let contents = held.understand(&there.tags, payload);
        let staged = staged(&calls, &there).await?;
        let staged = staged.map(|staged| staged.understand(&there.tags, payload));
        let staged = match staged {
            Some(Contents::Marked { marks, value }) => Staged::Token { marks, value },
            Some(Contents::Unmarked { .. } | Contents::Empty) | None => Staged::Nothing,
        };
        Ok(Reading { staged, ..Reading::new(version, contents) })
    }

    async fn prove_writable(&self, _seen: &Reading) -> Result<(), Fault> {
        let operation = self.operation("prove the right to write");
        let calls = self.calls(&operation).await?;
        let seen = self.look(&calls).await?;
        self.prove(&calls, &seen).await
    }

    /// Puts the parcel there as a version under our own label.
    ///
    /// # If the answer is lost
    /// The version may be there, now or later; the same call again makes no other, and that of
    /// another parcel takes the label away from it.
    async fn stage(&self, parcel: &Parcel, fence: &dyn Fence) -> Result<(), Fault> {
        let operation = self.operation("stage a token in");
        let calls = self.calls(&operation).await?;
        let seen = self.look(&calls).await?;
        self.stage_in(&calls, &seen, parcel, fence).await
    }

    /// # If the answer is lost
    /// It is asked for again; a label that is off is not taken off once more.
    async fn forget(&self, id: &TokenId, earlier: Option<&Version>) -> Result<(), Fault> {
        let operation = self.operation("forget an older token in");
        let calls = self.calls(&operation).await?;
        self.forget_in(&calls, id, earlier).await
    }

    /// Moves `AWSCURRENT` to the parcel's version.
    ///
    /// # If the answer is lost
    /// The label may move, now or later, if it is still on the version that was seen.
    async fn promote(
        &self,
        parcel: &Parcel,
        expected: &Version,
        fence: &dyn Fence,
    ) -> Result<Version, Fault> {
        let operation = self.operation("write");
        let calls = self.calls(&operation).await?;
        let seen = self.look(&calls).await?;
        if seen.version() != *expected {
            return Err(changed(&operation));
        }
        let version = self.deliver(&calls, seen, parcel, fence).await?;
        // Delivered is what every region has: until then the overlap does not begin. The write itself
        // is done; a read tells when the rest is.
        let lag = |fault: Fault| Fault { class: Class::Ambiguous, ..fault };
        if let Seen::There(there) = self.look(&calls).await.map_err(lag)? {
            in_every_region(&calls, &there).await.map_err(lag)?;
        }
        Ok(version)
    }
}

fn changed(operation: &str) -> Fault {
    Fault::new(
        operation,
        Class::Conflict,
        Code::Changed,
        "it was changed by somebody else since it was read",
    )
}
