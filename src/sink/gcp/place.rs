//! One secret that one connection is delivered to.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use zeroize::Zeroizing;

use super::{
    calls::{Calls, MARKS, Number, SecretHead, Version as Held},
    rights,
    settings::{Checked, GcpTarget, LABELS, Project},
};
use crate::{
    clock::parse_timestamp,
    error::{Class, Code, Fault},
    rotation::policy::Mode,
    sink::{
        Contents, Delivery, Fence, Loss, Place, Reading, Sink, Staged, Version,
        rules::{
            Latest, changed, form::refuse_loss, invalid, secret_version::SecretVersion, tags::Tags,
            yields,
        },
    },
    token::TokenId,
    words::date,
};

/// How long a request whose sender is gone may still be carried out: the longest that Google's front ends
/// let one run, with half as much again.
const LINGERS: Duration = Duration::from_secs(90);

/// The most that a version may hold, in bytes (Google's quotas).
const LARGEST: usize = 65_536;

/// What readers get where no alias leads them.
pub(super) const LATEST: &str = "latest";

/// One secret that one connection is delivered to.
pub struct GcpSink {
    pub(super) project: Arc<Project>,
    pub(super) checked: Checked,
    /// The last version that readers got by a write of ours.
    pub(super) made: Latest<u64>,
    /// What cannot be promised there.
    caveat: Mutex<Option<String>>,
}

impl fmt::Debug for GcpSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GcpSink").field("checked", &self.checked).finish_non_exhaustive()
    }
}

/// A secret as it was seen.
pub(super) struct Seen {
    pub(super) head: Option<SecretHead>,
    /// What readers get.
    pub(super) current: Held,
    /// The latest version, where an alias leads readers to another one.
    pub(super) beside: Held,
    pub(super) tags: Tags,
}

impl Held {
    /// Which version it is.
    pub(super) fn number(&self) -> Option<u64> {
        match self {
            Self::Absent => None,
            Self::Destroyed(number) | Self::Disabled(number) | Self::Enabled(number, _) => {
                Some(*number)
            }
        }
    }

    /// What it holds, where that can be seen.
    fn value(&self) -> Option<&SecretVersion> {
        match self {
            Self::Enabled(_, version) => Some(version),
            Self::Absent | Self::Destroyed(_) | Self::Disabled(_) => None,
        }
    }
}

impl Seen {
    fn version(&self) -> Version {
        let number = self.current.number().map(|number| number.to_string());
        Version(number.unwrap_or_else(|| Version::ABSENT.to_owned()))
    }

    /// The number of the last version that was added.
    pub(super) fn last(&self) -> u64 {
        self.beside.number().or_else(|| self.current.number()).unwrap_or(0)
    }
}

impl GcpSink {
    /// Checks the delivery. Google is asked nothing.
    ///
    /// # Errors
    /// [`Code::Invalid`] when the ID cannot be one of a secret.
    pub fn try_new(project: &Arc<Project>, target: GcpTarget) -> Result<Self, Fault> {
        Ok(Self {
            checked: target.checked(&project.settings)?,
            project: Arc::clone(project),
            made: Latest::default(),
            caveat: Mutex::default(),
        })
    }

    /// The sink of a place that the ledger remembers.
    ///
    /// # Errors
    /// When what is remembered cannot be used, or is not in this project.
    pub fn reopen(project: &Arc<Project>, place: &Place) -> Result<Self, Fault> {
        Self::try_new(project, GcpTarget::remembered(&project.settings, place)?)
    }

    fn operation(&self, verb: &str) -> String {
        format!("{verb} {}", self.checked.place.location)
    }

    fn calls<'a>(&'a self, operation: &'a str) -> Calls<'a> {
        Calls { project: &self.project, secret: &self.checked.secret, operation }
    }

    async fn look(&self, calls: &Calls<'_>) -> Result<Seen, Fault> {
        let head = calls.head().await?;
        let (current, beside) = match (&head, &self.checked.alias) {
            (None, _) => (Held::Absent, Held::Absent),
            (Some(_), None) => (calls.version(LATEST).await?, Held::Absent),
            (Some(head), Some(alias)) => {
                let latest = calls.version(LATEST).await?;
                match head.version_aliases.get(alias) {
                    None => (Held::Absent, latest),
                    Some(Number(number)) if latest.number() == Some(*number) => {
                        (latest, Held::Absent)
                    }
                    Some(Number(number)) => (calls.version(&number.to_string()).await?, latest),
                }
            }
        };
        let seen = current.number().unwrap_or(0);
        let (now, who) = (self.project.clock.now(), "Secret Manager");
        self.made.refuse_older(calls.operation, now, who, |made| seen < *made)?;
        let noted = head.as_ref().and_then(|head| head.annotations.get(MARKS));
        let tags = noted.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let seen = Seen { head, current, beside, tags };
        *self.caveat.lock().unwrap_or_else(PoisonError::into_inner) = self.unshown(&seen);
        Ok(seen)
    }

    fn unshown(&self, seen: &Seen) -> Option<String> {
        let place = &self.checked.place.location;
        let mut words = Vec::new();
        if self.checked.alias.is_none() {
            words.push(format!(
                "{place}: Secret Manager adds versions without a compare-and-set, so a write by somebody \
                 else at the same moment is detected only afterwards; set `alias` in the delivery and let \
                 readers use the alias to get one"
            ));
        }
        match &seen.head {
            None if self.project.settings.create => words.push(format!(
                "{place} does not exist yet: the permissions to create and write it cannot be checked before the \
                 first delivery"
            )),
            Some(SecretHead { expire_time: Some(at), .. }) => words.push(format!(
                "{place} has an expiry: Google deletes it with all its versions at {}",
                parse_timestamp(at).map_or_else(|| at.clone(), date)
            )),
            Some(_) | None => {}
        }
        (!words.is_empty()).then(|| words.join("; "))
    }

    pub(super) fn understand(&self, seen: &Seen, held: &Held) -> Contents {
        match held {
            // What is destroyed is nothing to anybody.
            Held::Absent | Held::Destroyed(_) => Contents::Empty,
            Held::Disabled(_) => Contents::Unmarked { value: None },
            Held::Enabled(_, version) => self.checked.form.understand(version, &seen.tags),
        }
    }

    fn loss(&self, seen: &Seen) -> Loss {
        match &seen.current {
            Held::Absent | Held::Destroyed(_) => Loss::Nothing,
            Held::Disabled(number) => Loss::Unparsed(format!(
                "its version {number} is disabled, so its content cannot be read"
            )),
            Held::Enabled(_, version) => {
                let contents = self.understand(seen, &seen.current);
                self.checked.form.loss(version, &contents)
            }
        }
    }

    /// Whether a version has the marks of a token.
    fn holds(&self, seen: &Seen, held: &Held, id: &TokenId) -> bool {
        match self.understand(seen, held) {
            Contents::Marked { marks, .. } => marks.token_id == *id,
            Contents::Unmarked { .. } | Contents::Empty => false,
        }
    }

    /// Refuses what is never written, before a mint as well.
    fn may_write(&self, operation: &str, seen: &Seen) -> Result<(), Fault> {
        if seen.head.is_none() && !self.project.settings.create {
            let words =
                "there is no such secret, and create = false; create it: gcloud secrets create";
            return Err(invalid(operation, words.to_owned()));
        }
        refuse_loss(operation, &self.loss(seen), self.checked.overwrite)
    }

    /// The version that is to be; whether what is current is it already.
    fn composed(
        &self,
        operation: &str,
        seen: &Seen,
        delivery: &Delivery,
    ) -> Result<(Zeroizing<Vec<u8>>, bool), Fault> {
        let way_out = "give this connection another secret, or delete that one";
        let held = yields(self.understand(seen, &seen.current), &delivery.marks, way_out)
            .map_err(|refused| refused.of(operation))?;
        let composed = self.checked.form.compose(seen.current.value(), delivery);
        let bytes = composed.map_err(|error| invalid(operation, error.to_string()))?;
        if bytes.len() > LARGEST {
            let words = format!(
                "its value would have {} bytes, and a version holds at most {LARGEST}: leave out fields with \
                 `payload`, or move other content elsewhere",
                bytes.len()
            );
            return Err(invalid(operation, words));
        }
        let marked = held.is_some_and(|(_, marked)| marked);
        let same = marked && is(&seen.current, &bytes);
        Ok((bytes, same))
    }
}

/// Whether a version holds just this.
pub(super) fn is(held: &Held, bytes: &[u8]) -> bool {
    held.value().is_some_and(|held| held.is(bytes))
}

#[async_trait]
impl Sink for GcpSink {
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
        let seen = self.look(&self.calls(&operation)).await?;
        let staged = match (&self.checked.alias, self.understand(&seen, &seen.beside)) {
            // Without a version that readers get, the first one is led to at once.
            (None, _) => Staged::Impossible,
            (Some(_), Contents::Marked { marks, value }) => {
                // What is older than what readers get was staged, or delivered, before it.
                let newer = seen.beside.number() > seen.current.number();
                if newer { Staged::Token { marks, value } } else { Staged::Nothing }
            }
            (Some(_), Contents::Unmarked { .. } | Contents::Empty) => Staged::Nothing,
        };
        let form = &self.checked.form;
        Ok(Reading {
            container: Some(self.project.settings.container()),
            loss: self.loss(&seen),
            elsewhere: seen.current.value().map(|held| form.elsewhere(held)).unwrap_or_default(),
            staged,
            ..Reading::new(seen.version(), self.understand(&seen, &seen.current))
        })
    }

    /// Asks for the permissions: Google has no dry run of a write.
    async fn prove_writable(&self, _seen: &Reading) -> Result<(), Fault> {
        let operation = self.operation("check the permission to write");
        let calls = self.calls(&operation);
        let seen = self.look(&calls).await?;
        self.may_write(&operation, &seen)?;
        if seen.head.is_none() {
            return Ok(());
        }
        let needed = rights::writing(rights::patches(&self.checked));
        let granted = calls.granted(&needed).await?;
        let missing: Vec<&str> =
            needed.into_iter().filter(|one| !granted.iter().any(|it| it == one)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let words = format!(
            "the permission {} is not granted; `scimitar permissions` prints the role that is needed",
            missing.join(" and ")
        );
        Err(Fault::new(operation, Class::Terminal, Code::Forbidden, words))
    }

    async fn missing_rights(&self, mode: Mode) -> Result<Vec<String>, Fault> {
        let operation = self.operation("ask for the permissions on");
        let calls = self.calls(&operation);
        // Google says nothing of the permissions on what is not there.
        if calls.head().await?.is_none() {
            return Ok(Vec::new());
        }
        // A label that may not be written stops no delivery, so a proof does not ask for it.
        let patches = rights::patches(&self.checked) || self.says_beside();
        let needed = rights::on_a_secret(patches, mode);
        let granted = calls.granted(&needed).await?;
        let missing = needed.into_iter().filter(|one| !granted.iter().any(|it| it == one));
        let place = &self.checked.place.location;
        let words = |one| {
            format!(
                "{place}: the permission {one} is not granted on it; grant it (`scimitar permissions` prints what is needed)"
            )
        };
        Ok(missing.map(words).collect())
    }

    /// Adds the delivery as a version that the alias does not lead to.
    ///
    /// # If the answer is lost
    /// The version may be there, now or later; the next one is added behind it.
    async fn stage(&self, delivery: &Delivery, fence: &dyn Fence) -> Result<(), Fault> {
        let operation = self.operation("stage a token in");
        let calls = self.calls(&operation);
        let seen = self.look(&calls).await?;
        self.may_write(&operation, &seen)?;
        let (bytes, same) = self.composed(&operation, &seen, delivery)?;
        fence.check().await?;
        if same {
            return Ok(());
        }
        self.announced(&calls, &seen, delivery).await?;
        self.put_beside(&calls, &seen, &bytes, fence).await.map(drop)
    }

    /// Destroys the versions that hold a token which works no more. What readers get is never touched.
    ///
    /// # If the answer is lost
    /// It is asked for again; what is destroyed needs nothing.
    async fn forget(&self, id: &TokenId, earlier: Option<&Version>) -> Result<(), Fault> {
        let operation = self.operation("remove a previous token from");
        let calls = self.calls(&operation);
        let seen = self.look(&calls).await?;
        let current = seen.current.number();
        let staged = seen.beside.number().filter(|_| self.holds(&seen, &seen.beside, id));
        let known = earlier.and_then(|earlier| earlier.0.parse::<u64>().ok());
        let before = match current {
            // Nobody said which one it was: the one before may be it.
            Some(number) if known.is_none() && number > 1 => {
                let held = calls.version(&(number - 1).to_string()).await?;
                held.number().filter(|_| self.holds(&seen, &held, id))
            }
            Some(_) | None => None,
        };
        for number in [staged, known, before].into_iter().flatten() {
            if Some(number) != current {
                calls.destroy(number).await?;
            }
        }
        Ok(())
    }

    /// Makes the delivery what readers get: the latest version, or the one that the alias leads to.
    ///
    /// # If the answer is lost
    /// A version may be added, now or later. An alias may move, if nobody else changed the secret since.
    async fn promote(
        &self,
        delivery: &Delivery,
        expected: &Version,
        fence: &dyn Fence,
    ) -> Result<Version, Fault> {
        let operation = self.operation("write");
        let calls = self.calls(&operation);
        let seen = self.look(&calls).await?;
        if seen.version() != *expected {
            return Err(changed(&operation));
        }
        self.may_write(&operation, &seen)?;
        let (bytes, same) = self.composed(&operation, &seen, delivery)?;
        fence.check().await?;
        // A replay makes no version more.
        if same {
            return Ok(seen.version());
        }
        let head = self.announced(&calls, &seen, delivery).await?;
        let Some(alias) = &self.checked.alias else {
            fence.check().await?;
            return self.write(&calls, &seen, &bytes).await;
        };
        let number = self.put_beside(&calls, &seen, &bytes, fence).await?;
        fence.check().await?;
        let said = self.checked.labels.said(delivery, &LABELS);
        self.lead(&calls, &head, alias, number, &said).await
    }

    fn says_beside(&self) -> bool {
        !self.checked.labels.is_empty()
    }

    async fn say_beside(&self, delivery: &Delivery, fence: &dyn Fence) -> Result<(), Fault> {
        let operation = self.operation("write the labels of");
        let said = self.checked.labels.said(delivery, &LABELS);
        self.label(&self.calls(&operation), &said, fence).await?;
        said.all_fit(&operation, &LABELS)
    }
}
