//! The sink for the Parameter Store of AWS Systems Manager: a token as a `SecureString`.
//!
//! The API has no compare-and-set but for a parameter that is not there yet: `Overwrite = false`. For one
//! that is there, the write is fenced from here: it is read right before, written, and the answered
//! version must be the one after that which was read; then it is read back. Of two writers at the same
//! moment the later one wins, and both are told that they met.
//!
//! Calls are signed here and sent as JSON: the SDK's crate for this service would take as long to compile
//! as all of ours, for five calls.

mod answers;
mod calls;
mod config;
mod rights;
mod schema;
mod settings;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;

use self::{
    calls::{Calls, Held, NewParameter},
    settings::Checked,
};
pub use self::{
    config::{KIND, SsmConfig},
    rights::{Needs, policy},
    settings::{ParameterStore, SsmTarget, Tier},
};
use crate::{
    error::{Class, Code, Fault},
    rotation::policy::Mode,
    sink::{
        Container, Contents, Delivery, Fence, Loss, Place, Reading, Sink, Version, WriteCheck,
        aws::TAGS,
        payload::Wiped,
        rules::{
            changed, elsewhere_now,
            form::refuse_loss,
            invalid,
            secret_version::{Body, SecretVersion},
            tags::{self, Change, Tags},
            yields,
        },
    },
    token::TokenValue,
};

/// How long a request whose sender is gone may still be carried out: AWS takes no signature that is
/// older (AWS's documentation of signed requests).
const LINGERS: Duration = Duration::from_secs(5 * 60);

/// The most that a value may have in the standard tier, and in the advanced one (AWS's documentation of
/// parameter tiers), in bytes.
const STANDARD: usize = 4096;
const ADVANCED: usize = 8192;

/// One parameter that one connection is delivered to.
pub struct SsmSink {
    store: Arc<ParameterStore>,
    checked: Checked,
    /// What the parameter was in when it was last read.
    read_in: Mutex<Option<Container>>,
    /// What cannot be promised there.
    caveat: Mutex<Option<String>>,
}

impl fmt::Debug for SsmSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SsmSink").field("checked", &self.checked).finish_non_exhaustive()
    }
}

/// A parameter as it was seen.
struct Seen {
    held: Option<Held>,
    /// The same, as the forms of AWS's sinks read it.
    version: Option<SecretVersion>,
    tags: Tags,
    container: Option<Container>,
}

impl Seen {
    fn version(&self) -> Version {
        let number = self.held.as_ref().map(|held| held.version.to_string());
        Version(number.unwrap_or_else(|| Version::ABSENT.to_owned()))
    }
}

impl SsmSink {
    /// Checks the delivery. AWS is asked nothing.
    ///
    /// # Errors
    /// [`Code::Invalid`] when the name cannot be one of a parameter.
    pub fn try_new(store: &Arc<ParameterStore>, target: SsmTarget) -> Result<Self, Fault> {
        Ok(Self {
            checked: target.checked(&store.account.settings)?,
            store: Arc::clone(store),
            read_in: Mutex::default(),
            caveat: Mutex::default(),
        })
    }

    /// The sink of a place that the ledger remembers.
    ///
    /// # Errors
    /// When what is remembered cannot be used, or is not in this account and region.
    pub fn reopen(store: &Arc<ParameterStore>, place: &Place) -> Result<Self, Fault> {
        Self::try_new(store, SsmTarget::remembered(&store.account.settings, place)?)
    }

    fn operation(&self, verb: &str) -> String {
        format!("{verb} {}", self.checked.place.location)
    }

    fn calls<'a>(&'a self, operation: &'a str) -> Calls<'a> {
        Calls { account: &self.store.account, name: &self.checked.name, operation }
    }

    async fn look(&self, calls: &Calls<'_>) -> Result<Seen, Fault> {
        let held = calls.get().await?;
        let container = calls.container(held.as_ref()).await?;
        let beside = self.checked.form.marks_in_tags() && held.is_some();
        let tags = if beside { calls.tags().await? } else { Tags::new() };
        let version = held.as_ref().map(|held| {
            let body = Body::Text(Wiped::new(held.value.to_string()));
            SecretVersion::of(held.version.to_string(), body)
        });
        *self.caveat.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(self.unshown(held.as_ref(), container.as_ref()));
        Ok(Seen { held, version, tags, container })
    }

    fn unshown(&self, held: Option<&Held>, container: Option<&Container>) -> String {
        let place = &self.checked.place.location;
        let mut words = vec![format!(
            "{place}: the Parameter Store has no compare-and-set; a write by somebody else at the same \
             moment can be lost, which is detected only afterwards"
        )];
        if held.is_none() && self.store.account.settings.account.create {
            words.push(
                "it does not exist yet, and AWS has no dry run: the permission to create it cannot be checked before \
                 the first delivery"
                    .to_owned(),
            );
        }
        if container.is_none() {
            words.push(
                "STS did not return which account the credentials belong to; until the parameter exists, \
                 credentials of another account would not be noticed"
                    .to_owned(),
            );
        }
        words.join("; ")
    }

    /// Looks at the parameter that was read in a container, before it is written.
    async fn look_again(
        &self,
        calls: &Calls<'_>,
        read_in: Option<&Container>,
    ) -> Result<Seen, Fault> {
        let seen = self.look(calls).await?;
        let Some(read) = read_in else { return Ok(seen) };
        let untold = "STS no longer returns which account the credentials belong to";
        let now = seen.container.as_ref();
        match elsewhere_now(read, now, "the credentials now lead to", untold) {
            None => Ok(seen),
            Some(words) => {
                let code = if now.is_some() { Code::PlaceChanged } else { Code::Changed };
                let words = format!("{words}; nothing was written");
                Err(Fault::new(calls.operation, Class::Conflict, code, words))
            }
        }
    }

    fn understand(&self, seen: &Seen) -> Contents {
        match &seen.version {
            None => Contents::Empty,
            Some(version) => self.checked.form.understand(version, &seen.tags),
        }
    }

    fn loss(&self, seen: &Seen) -> Loss {
        let contents = self.understand(seen);
        let of = |version| self.checked.form.loss(version, &contents);
        seen.version.as_ref().map_or(Loss::Nothing, of)
    }

    /// Refuses what is never written, before a mint as well.
    fn may_write(&self, operation: &str, seen: &Seen) -> Result<(), Fault> {
        let fail =
            |words: String| Err(Fault::new(operation, Class::Terminal, Code::Invalid, words));
        match &seen.held {
            None if !self.store.account.settings.account.create => {
                fail("there is no such parameter, and create = false".to_owned())
            }
            Some(held) if held.of_type != calls::SECURE => fail(format!(
                "it is of type {}, whose value AWS stores unencrypted; delete it, or deliver to another \
                 parameter",
                held.of_type
            )),
            _ => refuse_loss(operation, &self.loss(seen), self.checked.overwrite),
        }
    }

    fn text(&self, operation: &str, seen: &Seen, delivery: &Delivery) -> Result<Wiped, Fault> {
        let composed = self.checked.form.compose(seen.version.as_ref(), delivery);
        let bytes = composed.map_err(|error| invalid(operation, error.to_string()))?;
        let most = match self.store.tier {
            Some(Tier::Standard) => STANDARD,
            Some(Tier::Advanced | Tier::IntelligentTiering) | None => ADVANCED,
        };
        if bytes.len() > most {
            let words = format!(
                "its value would have {} bytes, and a parameter of this tier holds {most}: leave out fields \
                 with `payload`, or use format = \"raw\"",
                bytes.len()
            );
            return Err(invalid(operation, words));
        }
        // What the form composes is text; the fallback is unreachable.
        Ok(Wiped::new(String::from_utf8(bytes.to_vec()).unwrap_or_default()))
    }

    /// What is done to the tags, where the value leaves no room for marks.
    fn marking(
        &self,
        operation: &str,
        seen: &Seen,
        held: Option<&TokenValue>,
        delivery: &Delivery,
    ) -> Result<Change, Fault> {
        if !self.checked.form.marks_in_tags() {
            return Ok(Change::default());
        }
        let (value, held) = (delivery.value.digest(), held.map(TokenValue::digest));
        let change = tags::announcing(&seen.tags, &delivery.marks, &value, held.as_ref());
        change.ok_or_else(|| {
            let words = "the marks do not fit into a tag, and the value has no room for them; remove \
                         `payload` and `format`";
            invalid(operation, words.to_owned())
        })
    }

    /// Writes, and looks what came of it.
    async fn write(
        &self,
        calls: &Calls<'_>,
        seen: &Seen,
        text: &Wiped,
        change: Change,
    ) -> Result<Version, Fault> {
        let settings = &self.store.account.settings.account;
        let before = seen.held.as_ref().map_or(0, |held| held.version);
        let mut tags = Tags::new();
        if seen.held.is_some() {
            // The marks first, so that there is never a value without them.
            calls.change_tags(&change).await?;
        } else {
            // Tags and Overwrite exclude each other, so these go with the first version alone.
            tags.clone_from(&settings.tags);
            tags.extend(change.put);
        }
        let made = calls
            .put(&NewParameter {
                value: text,
                overwrite: seen.held.is_some(),
                key: settings.kms_key_id.as_deref(),
                tier: self.store.tier,
                description: self.checked.description.as_deref().filter(|_| seen.held.is_none()),
                tags: &tags,
            })
            .await?;
        let met =
            |words: String| Fault::new(calls.operation, Class::Ambiguous, Code::Changed, words);
        if !follows(before, made) {
            return Err(met(format!(
                "it was written as version {made}, but version {before} was read: somebody else \
                 wrote in between, and readers no longer get that content"
            )));
        }
        let held = calls.get().await.map_err(Fault::in_doubt)?;
        match held {
            Some(held) if held.version == made && held.value.as_str() == text.as_str() => {
                Ok(Version(made.to_string()))
            }
            Some(held) if held.version > made => Err(changed(calls.operation)),
            Some(_) | None => Err(met("what was written cannot be read back yet".to_owned())),
        }
    }
}

/// Whether a version is the one right after another; 0: there was none.
fn follows(before: u64, made: u64) -> bool {
    before.checked_add(1) == Some(made)
}

#[async_trait]
impl Sink for SsmSink {
    fn place(&self) -> &Place {
        &self.checked.place
    }

    fn readable(&self) -> bool {
        true
    }

    fn caveat(&self) -> Option<String> {
        self.caveat.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn overwrites(&self) -> bool {
        self.checked.overwrite
    }

    fn lingers(&self) -> Duration {
        LINGERS
    }

    async fn read(&self) -> Result<Reading, Fault> {
        let operation = self.operation("read");
        let seen = self.look(&self.calls(&operation)).await?;
        *self.read_in.lock().unwrap_or_else(PoisonError::into_inner) = seen.container.clone();
        let (contents, loss) = (self.understand(&seen), self.loss(&seen));
        let elsewhere = seen.version.as_ref().map(|version| self.checked.form.elsewhere(version));
        Ok(Reading {
            container: seen.container.clone(),
            loss,
            elsewhere: elsewhere.unwrap_or_default(),
            ..Reading::new(seen.version(), contents)
        })
    }

    /// Proven by a create: should the parameter be deleted meanwhile, only its pattern is in the way.
    fn write_check(&self) -> WriteCheck {
        WriteCheck::Refused
    }

    /// Asks for a write that AWS refuses in one way to who may write, and in another to who may not: a
    /// new parameter of a name that is taken.
    async fn prove_writable(&self, seen: &Reading) -> Result<(), Fault> {
        let operation = self.operation("check the permission to write");
        let calls = self.calls(&operation);
        let seen = self.look_again(&calls, seen.container.as_ref()).await?;
        self.may_write(&operation, &seen)?;
        if seen.held.is_some() { calls.prove().await } else { Ok(()) }
    }

    /// Makes the delivery what the parameter holds.
    ///
    /// # If the answer is lost
    /// The next version may be there, now or later; marks that were written beside it are those of the
    /// old value and of the new.
    async fn promote(
        &self,
        delivery: &Delivery,
        expected: &Version,
        fence: &dyn Fence,
    ) -> Result<Version, Fault> {
        let operation = self.operation("write");
        let calls = self.calls(&operation);
        let read_in = self.read_in.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let seen = self.look_again(&calls, read_in.as_ref()).await?;
        if seen.version() != *expected {
            return Err(changed(&operation));
        }
        self.may_write(&operation, &seen)?;
        let way_out = "give this connection another parameter, or delete that one";
        let held = yields(self.understand(&seen), &delivery.marks, way_out)
            .map_err(|refused| refused.of(&operation))?;
        let text = self.text(&operation, &seen, delivery)?;
        let change =
            self.marking(&operation, &seen, held.as_ref().map(|(value, _)| value), delivery)?;
        fence.check().await?;
        // A replay makes no version more.
        let same = seen.held.as_ref().is_some_and(|held| held.value.as_str() == text.as_str());
        if same && held.is_some_and(|(_, marked)| marked) {
            return Ok(seen.version());
        }
        self.write(&calls, &seen, &text, change).await
    }

    fn says_beside(&self) -> bool {
        !self.checked.tags.is_empty()
    }

    /// AWS takes no tags with a further version, so they come behind each. Which are there is not asked:
    /// to put one there again, and to take away one that is not there, changes nothing.
    async fn say_beside(&self, delivery: &Delivery, fence: &dyn Fence) -> Result<(), Fault> {
        let operation = self.operation("write the tags of");
        let said = self.checked.tags.said(delivery, &TAGS);
        fence.check().await?;
        let change = Change { put: said.put.clone(), remove: said.gone.iter().cloned().collect() };
        self.calls(&operation).change_tags(&change).await?;
        said.all_fit(&operation, &TAGS)
    }

    /// Whether the tags of a delivery may be written, where nothing else is: with a tag of our own.
    async fn missing_rights(&self, mode: Mode) -> Result<Vec<String>, Fault> {
        if mode == Mode::Observe || self.checked.tags.is_empty() {
            return Ok(Vec::new());
        }
        let operation = self.operation("try out a tag of");
        let calls = self.calls(&operation);
        if calls.get().await?.is_none() {
            return Ok(Vec::new());
        }
        let proof = tags::PROOF.to_owned();
        let put = Tags::from([(proof.clone(), "proof".to_owned())]);
        match calls.change_tags(&Change { put, remove: vec![proof] }).await {
            Ok(()) => Ok(Vec::new()),
            Err(fault) if fault.code == Code::Forbidden => Ok(vec![format!(
                "{}: `tags` in the delivery needs the permission to write tags, which is missing: {}",
                self.checked.place.location, fault.detail
            )]),
            Err(fault) => Err(fault),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number comes from whoever answered.
    #[test]
    fn any_version_can_be_answered() {
        assert!(follows(0, 1) && follows(4, 5));
        for (before, made) in [(4, 4), (4, 6), (5, 4), (u64::MAX, 0), (u64::MAX, u64::MAX)] {
            assert!(!follows(before, made), "{before} {made}");
        }
    }
}
