//! One secret that one connection is delivered to.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;

use super::{
    answers::DELETED,
    calls::{Calls, Held, NewVersion},
    rights,
    settings::{AzureTarget, Checked, MOST_TAGS, TAGS, Vault},
};
use crate::{
    clock::{parse_timestamp, rfc3339},
    error::{Class, Code, Fault},
    rotation::policy::Mode,
    sink::{
        Contents, Delivery, Fence, Loss, Place, Reading, Sink, Version,
        payload::{Said, Wiped},
        rules::{
            changed,
            form::{Form, refuse_loss},
            invalid,
            secret_version::{Body, SecretVersion, hidden, values_in},
            tags::{self, Tags},
            yields,
        },
    },
    token::TokenId,
};

/// How long a request whose sender is gone may still be carried out: the longest that a gateway lets one
/// run, with half as much again.
const LINGERS: Duration = Duration::from_secs(90);

/// The most that a value may have, in bytes (Microsoft's documentation "About Azure Key Vault secrets").
const LARGEST: usize = 25_000;

/// The state of a secret whose newest version is disabled: which one it is, is not told then.
const DISABLED: &str = "disabled";

/// One secret that one connection is delivered to.
pub struct AzureSink {
    vault: Arc<Vault>,
    checked: Checked,
    /// What cannot be promised there.
    caveat: Mutex<Option<String>>,
    /// Why the last write went without the tags of the delivery.
    untagged: Mutex<Option<Fault>>,
}

impl fmt::Debug for AzureSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AzureSink").field("checked", &self.checked).finish_non_exhaustive()
    }
}

impl Held {
    fn version(&self) -> Version {
        Version(match self {
            Self::Absent => Version::ABSENT.to_owned(),
            Self::Disabled => DISABLED.to_owned(),
            Self::There(there) => there.version.id.clone(),
        })
    }

    fn value(&self) -> Option<&SecretVersion> {
        match self {
            Self::There(there) => Some(&there.version),
            Self::Absent | Self::Disabled => None,
        }
    }
}

impl AzureSink {
    /// Checks the delivery. Azure is asked nothing.
    ///
    /// # Errors
    /// [`Code::Invalid`] when the name cannot be one of a secret.
    pub fn try_new(vault: &Arc<Vault>, target: AzureTarget) -> Result<Self, Fault> {
        Ok(Self {
            checked: target.checked(&vault.settings)?,
            vault: Arc::clone(vault),
            caveat: Mutex::default(),
            untagged: Mutex::default(),
        })
    }

    /// The sink of a place that the ledger remembers.
    ///
    /// # Errors
    /// When what is remembered cannot be used, or is not in this vault.
    pub fn reopen(vault: &Arc<Vault>, place: &Place) -> Result<Self, Fault> {
        Self::try_new(vault, AzureTarget::remembered(&vault.settings, place)?)
    }

    fn operation(&self, verb: &str) -> String {
        format!("{verb} {}", self.checked.place.location)
    }

    fn calls<'a>(&'a self, operation: &'a str) -> Calls<'a> {
        Calls { vault: &self.vault, name: &self.checked.name, operation }
    }

    async fn look(&self, calls: &Calls<'_>) -> Result<Held, Fault> {
        let held = calls.get().await?;
        let place = &self.checked.place.location;
        *self.caveat.lock().unwrap_or_else(PoisonError::into_inner) = Some(format!(
            "{place}: Key Vault has no compare-and-set; a write by somebody else at the same moment is \
             overwritten, or detected only afterwards: let Scimitar be the only writer"
        ));
        Ok(held)
    }

    fn understand(&self, held: &Held) -> Contents {
        match held {
            Held::Absent => Contents::Empty,
            Held::Disabled => Contents::Unmarked { value: None },
            Held::There(there) => self.checked.form.understand(&there.version, &there.tags),
        }
    }

    fn loss(&self, held: &Held) -> Loss {
        match held {
            Held::Absent => Loss::Nothing,
            Held::Disabled => Loss::Unparsed(
                "its newest version is disabled, so its content cannot be read".to_owned(),
            ),
            Held::There(there) => self.checked.form.loss(&there.version, &self.understand(held)),
        }
    }

    /// Refuses what is never written, before a mint as well.
    async fn may_write(&self, calls: &Calls<'_>, held: &Held) -> Result<(), Fault> {
        // A name that is taken by what was deleted looks like one that is free.
        if matches!(held, Held::Absent) && calls.is_deleted().await? == Some(true) {
            return Err(invalid(calls.operation, DELETED.to_owned()));
        }
        refuse_loss(calls.operation, &self.loss(held), self.checked.overwrite)
    }

    /// The tags of the next version without its delivery's own: those of others, and the marks where the
    /// value leaves no room.
    fn tags(
        &self,
        operation: &str,
        held: &Held,
        delivery: &Delivery,
        said: &Said,
    ) -> Result<Tags, Fault> {
        let own = said.within(&Tags::new());
        let mut all = match held {
            Held::There(there) => said.within(&there.tags),
            Held::Absent | Held::Disabled => Tags::new(),
        };
        all.retain(|name, _| !tags::is_ours(name) && !own.contains_key(name));
        if self.checked.form.marks_in_tags() {
            let value = delivery.value.digest();
            let change = tags::announcing(&Tags::new(), &delivery.marks, &value, None);
            let put = change.map(|change| change.put).filter(|_| all.len() < MOST_TAGS);
            let put = put.ok_or_else(|| {
                let words = "the marks do not fit into a tag, or it has 15 tags already, and the value has \
                             no room for them; remove `payload` and `format`";
                invalid(operation, words.to_owned())
            })?;
            all.extend(put);
        }
        Ok(all)
    }

    fn text(&self, operation: &str, held: &Held, delivery: &Delivery) -> Result<Wiped, Fault> {
        let composed = self.checked.form.compose(held.value(), delivery);
        let bytes = composed.map_err(|error| invalid(operation, error.to_string()))?;
        if bytes.len() > LARGEST {
            let words = format!(
                "its value would have {} bytes, and a secret holds at most {LARGEST}: leave out fields with \
                 `payload`, or move other content elsewhere",
                bytes.len()
            );
            return Err(invalid(operation, words));
        }
        // What the form composes is text; the fallback is unreachable.
        Ok(Wiped::new(String::from_utf8(bytes.to_vec()).unwrap_or_default()))
    }

    /// What is said of the value: what others say of it stays.
    fn content_type<'h>(&self, held: &'h Held) -> &'h str {
        let own = match &self.checked.form {
            Form::Keys(_) => "application/json",
            Form::Raw => "text/plain",
        };
        match held {
            Held::There(there) => there.content_type.as_deref().unwrap_or(own),
            Held::Absent | Held::Disabled => own,
        }
    }

    /// Writes with the tags of the delivery; without them where they do not go.
    async fn write(
        &self,
        calls: &Calls<'_>,
        held: &Held,
        text: &Wiped,
        delivery: &Delivery,
        tags: &Tags,
        said: &Said,
    ) -> Result<Version, Fault> {
        let all = said.within(tags);
        if all == *tags {
            return self.write_with(calls, held, text, delivery, tags).await;
        }
        let untagged = if all.len() > MOST_TAGS {
            let words = format!(
                "it would have {} tags with those of the delivery, and a secret has at most {MOST_TAGS}: remove \
                 some",
                all.len()
            );
            Fault::new(calls.operation, Class::Terminal, Code::Invalid, words)
        } else {
            match self.write_with(calls, held, text, delivery, &all).await {
                Err(fault) if fault.class == Class::Terminal => fault,
                done => return done,
            }
        };
        let version = self.write_with(calls, held, text, delivery, tags).await?;
        self.note_untagged(untagged);
        Ok(version)
    }

    fn note_untagged(&self, fault: Fault) {
        let operation = self.operation("write the tags of");
        *self.untagged.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Fault { operation, ..fault });
    }

    /// Writes, and looks what came of it.
    async fn write_with(
        &self,
        calls: &Calls<'_>,
        held: &Held,
        text: &Wiped,
        delivery: &Delivery,
        tags: &Tags,
    ) -> Result<Version, Fault> {
        let values = values_in(&Body::Text(text.clone()));
        let expires = delivery.expires_at.and_then(|at| parse_timestamp(&rfc3339(at)));
        let new = NewVersion {
            value: text,
            tags,
            content_type: self.content_type(held),
            expires: expires.map(|at| at.timestamp()),
        };
        let made = calls.set(&new, &hidden(&values)).await?;
        match calls.get().await.map_err(Fault::in_doubt)? {
            Held::There(there) if there.version.id == made => Ok(Version(made)),
            // Their version is newer than ours: what readers get is theirs.
            Held::There(there) if there.version.id != held.version().0 => {
                Err(changed(calls.operation))
            }
            Held::There(_) | Held::Absent | Held::Disabled => {
                let words = "readers do not get the written value yet";
                Err(Fault::new(calls.operation, Class::Ambiguous, Code::Changed, words))
            }
        }
    }
}

#[async_trait]
impl Sink for AzureSink {
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

    fn keeps_earlier(&self) -> bool {
        true
    }

    fn lingers(&self) -> Duration {
        LINGERS
    }

    async fn read(&self) -> Result<Reading, Fault> {
        let operation = self.operation("read");
        let held = self.look(&self.calls(&operation)).await?;
        let elsewhere = held.value().map(|version| self.checked.form.elsewhere(version));
        Ok(Reading {
            container: Some(self.vault.settings.container()),
            loss: self.loss(&held),
            elsewhere: elsewhere.unwrap_or_default(),
            ..Reading::new(held.version(), self.understand(&held))
        })
    }

    /// Asks for a write that is refused in one way to who may write, and in another to who may not.
    async fn prove_writable(&self, _seen: &Reading) -> Result<(), Fault> {
        let operation = self.operation("check the permission to write");
        let calls = self.calls(&operation);
        let held = self.look(&calls).await?;
        self.may_write(&calls, &held).await?;
        calls.prove().await
    }

    /// Whether an older version may be disabled: asked of one that nobody has.
    async fn missing_rights(&self, mode: Mode) -> Result<Vec<String>, Fault> {
        if mode == Mode::Observe {
            return Ok(Vec::new());
        }
        let operation = self.operation("ask for the permissions on");
        let calls = self.calls(&operation);
        match calls.disable(NO_VERSION).await {
            Ok(()) => Ok(Vec::new()),
            Err(fault) if fault.code == Code::Forbidden => {
                let place = &self.checked.place.location;
                Ok(vec![format!(
                    "{place}: {} is not granted on it, so versions with revoked tokens remain \
                     readable: grant it (`scimitar permissions` prints the role)",
                    rights::UPDATE
                )])
            }
            Err(fault) => Err(fault),
        }
    }

    /// Disables the version that holds a token which works no more: Key Vault deletes no single version.
    /// What readers get is never touched.
    ///
    /// # If the answer is lost
    /// It is asked for again; what is disabled stays so.
    async fn forget(&self, _id: &TokenId, earlier: Option<&Version>) -> Result<(), Fault> {
        let known = earlier.filter(|earlier| earlier.is_of_something() && earlier.0 != DISABLED);
        let Some(known) = known else { return Ok(()) };
        let operation = self.operation("remove a previous token from");
        let calls = self.calls(&operation);
        match calls.get().await? {
            Held::There(there) if there.version.id != known.0 => calls.disable(&known.0).await,
            // Which version is the newest is not told then: it may be that one.
            Held::There(_) | Held::Absent | Held::Disabled => Ok(()),
        }
    }

    /// Makes the delivery what the secret's newest version holds.
    ///
    /// # If the answer is lost
    /// The version may be there, now or later; its tags come with it.
    async fn promote(
        &self,
        delivery: &Delivery,
        expected: &Version,
        fence: &dyn Fence,
    ) -> Result<Version, Fault> {
        let operation = self.operation("write");
        let calls = self.calls(&operation);
        let held = self.look(&calls).await?;
        if held.version() != *expected {
            return Err(changed(&operation));
        }
        self.may_write(&calls, &held).await?;
        let way_out = "give this connection another secret, or delete that one";
        let token = yields(self.understand(&held), &delivery.marks, way_out)
            .map_err(|refused| refused.of(&operation))?;
        let text = self.text(&operation, &held, delivery)?;
        let said = self.checked.tags.said(delivery, &TAGS);
        let tags = self.tags(&operation, &held, delivery, &said)?;
        *self.untagged.lock().unwrap_or_else(PoisonError::into_inner) = None;
        fence.check().await?;
        // A replay makes no version more.
        if let Held::There(there) = &held
            && token.is_some_and(|(_, marked)| marked)
            && there.version.is(text.as_bytes())
        {
            let all = said.within(&there.tags);
            if all != there.tags
                && let Err(fault) = calls.tag(&there.version.id, &all).await
            {
                self.note_untagged(fault);
            }
            return Ok(held.version());
        }
        self.write(&calls, &held, &text, delivery, &tags, &said).await
    }

    fn says_beside(&self) -> bool {
        !self.checked.tags.is_empty()
    }

    /// A version and its tags are written in one request: what is left is to tell why they were not.
    async fn say_beside(&self, delivery: &Delivery, _fence: &dyn Fence) -> Result<(), Fault> {
        let untagged = self.untagged.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(fault) = untagged {
            return Err(fault);
        }
        let operation = self.operation("write the tags of");
        self.checked.tags.said(delivery, &TAGS).all_fit(&operation, &TAGS)
    }
}

/// A version that no secret has.
const NO_VERSION: &str = "ffffffffffffffffffffffffffffffff";
