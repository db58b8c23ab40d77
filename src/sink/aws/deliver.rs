//! From a delivery to a version, staged and live.

use uuid::Uuid;

use super::{
    AwsSink,
    answers::{Effect, Refused},
    calls::{CURRENT, Calls, NewVersion, PENDING, labels},
    describe::{Seen, There, look, was_deleted},
};
use crate::{
    error::{Class, Code, Fault},
    secret::Secret,
    sink::{
        Delivery, Fence, Marks, Place, Version,
        rules::{
            changed,
            form::refuse_loss,
            secret_version::{Body, SecretVersion, hidden, text_of, values_in},
            tags::{self, Tags},
            yields,
        },
    },
    token::TokenValue,
};

/// The most that a version may hold, in bytes (AWS's quotas).
const LARGEST: usize = 65_536;

/// What version ids are made under; drawn once, for this purpose.
const NAMESPACE: Uuid = Uuid::from_u128(0x7c1d_3a5e_94b2_4f0b_8a67_2b1f_0d9c_e4a3);

/// A version that is to be.
struct Composed {
    id: String,
    body: Body,
    /// The values in it that must not be seen.
    values: Vec<Secret>,
}

impl Composed {
    fn of(delivery: &Delivery, content: &zeroize::Zeroizing<Vec<u8>>) -> Self {
        let token = delivery.marks.token_id.as_str().as_bytes();
        let mut name = zeroize::Zeroizing::new(Vec::with_capacity(token.len() + 1 + content.len()));
        name.extend_from_slice(token);
        name.push(0);
        name.extend_from_slice(content);
        let id = Uuid::new_v5(&NAMESPACE, &name).hyphenated().to_string();
        let body = text_of(content);
        Self { id, values: values_in(&body), body }
    }

    /// Whether a version holds just this.
    fn is_in(&self, held: &SecretVersion) -> bool {
        let Body::Text(text) = &self.body else { return false };
        held.is(text.as_bytes())
    }
}

impl AwsSink {
    /// Puts the delivery beside what readers get.
    pub(super) async fn stage_in(
        &self,
        calls: &Calls<'_>,
        seen: &Seen,
        delivery: &Delivery,
        fence: &dyn Fence,
    ) -> Result<(), Fault> {
        let there = match seen {
            Seen::There(there) => there,
            Seen::Absent | Seen::Deleted { .. } => return Err(live_at_once(calls)),
        };
        let Some(held) = &there.current else { return Err(live_at_once(calls)) };
        self.allowed(calls, there, held, &delivery.marks)?;
        let composed = self.compose(calls, Some(held), delivery)?;
        self.put_staged(calls, there, held, &composed, delivery, fence).await
    }

    /// Makes the delivery what readers get, in place of what was seen.
    pub(super) async fn deliver(
        &self,
        calls: &Calls<'_>,
        seen: Seen,
        delivery: &Delivery,
        fence: &dyn Fence,
    ) -> Result<Version, Fault> {
        let before = seen.version();
        match seen {
            Seen::Deleted { .. } => {
                fence.check().await?;
                calls.restore().await?;
                let restored = look(calls).await?;
                let was = was_deleted(&before).filter(|id| !id.is_empty());
                if restored.version().0 != was.unwrap_or(Version::ABSENT) {
                    return Err(changed(calls.operation));
                }
                match restored {
                    Seen::There(there) => self.over(calls, &there, delivery, fence).await,
                    Seen::Absent | Seen::Deleted { .. } => Err(changed(calls.operation)),
                }
            }
            Seen::Absent => self.create(calls, delivery, fence).await,
            Seen::There(there) => self.over(calls, &there, delivery, fence).await,
        }
    }

    async fn over(
        &self,
        calls: &Calls<'_>,
        there: &There,
        delivery: &Delivery,
        fence: &dyn Fence,
    ) -> Result<Version, Fault> {
        let Some(held) = &there.current else {
            return self.put_first(calls, there, delivery, fence).await;
        };
        let marked = self.allowed(calls, there, held, &delivery.marks)?;
        let composed = self.compose(calls, Some(held), delivery)?;
        fence.check().await?;
        // A replay makes no version more.
        if composed.id == held.id || (marked && composed.is_in(held)) {
            self.unlabel(calls, there, &held.id).await;
            return Ok(Version(held.id.clone()));
        }
        self.put_staged(calls, there, held, &composed, delivery, fence).await?;
        fence.check().await?;
        let (from, to) = (held.id.as_str(), composed.id.as_str());
        let moved = calls.label(CURRENT, Some(from), Some(to), Effect::Writes).await;
        if let Err(refused) = moved {
            self.moved_after_all(calls, from, to, refused).await?;
        }
        self.note_replaced(Version(from.to_owned()));
        if let Err(refused) = calls.label(PENDING, Some(to), None, Effect::None).await
            && !refused.is_refusal()
        {
            self.warn_of_label(&refused);
        }
        self.confirm(calls, from, to).await
    }

    /// A first version is live at once, but two of them are not: the second is only staged.
    async fn put_first(
        &self,
        calls: &Calls<'_>,
        there: &There,
        delivery: &Delivery,
        fence: &dyn Fence,
    ) -> Result<Version, Fault> {
        let composed = self.compose(calls, None, delivery)?;
        self.announce(calls, &there.tags, delivery, None).await?;
        fence.check().await?;
        let values = hidden(&composed.values);
        let version = NewVersion { id: &composed.id, body: &composed.body, hidden: &values };
        let put = calls.put(&version, PENDING, Effect::Writes).await;
        put.map_err(|refused| taken(calls, refused))?;
        let described = calls.describe().await.map_err(Fault::in_doubt)?;
        let Some(described) = described else { return Err(changed(calls.operation)) };
        let labels = labels(&described);
        let current = labels.get(CURRENT).and_then(|versions| versions.first());
        match current {
            Some(id) if *id == composed.id => {}
            Some(_) => return Err(changed(calls.operation)),
            None => {
                let moved = calls.label(CURRENT, None, Some(&composed.id), Effect::Writes).await;
                moved.map_err(|refused| {
                    if refused.is_refusal() { changed(calls.operation) } else { refused.fault }
                })?;
            }
        }
        self.note_replaced(Version(Version::ABSENT.to_owned()));
        if labels.get(PENDING).is_some_and(|versions| versions.contains(&composed.id)) {
            let off = calls.label(PENDING, Some(&composed.id), None, Effect::None).await;
            if let Err(refused) = off {
                self.warn_of_label(&refused);
            }
        }
        Ok(Version(composed.id))
    }

    async fn create(
        &self,
        calls: &Calls<'_>,
        delivery: &Delivery,
        fence: &dyn Fence,
    ) -> Result<Version, Fault> {
        self.may_create(calls)?;
        let composed = self.compose(calls, None, delivery)?;
        let mut tags = self.account.settings.account.tags.clone();
        if self.checked.form.marks_in_tags() {
            tags.extend(self.marks_of(calls, &Tags::new(), delivery, None)?.put);
        }
        fence.check().await?;
        let values = hidden(&composed.values);
        let version = NewVersion { id: &composed.id, body: &composed.body, hidden: &values };
        let made = calls.create(&version, self.checked.description.as_deref(), &tags).await;
        made.map_err(|refused| taken(calls, refused))?;
        self.note_replaced(Version(Version::ABSENT.to_owned()));
        Ok(Version(composed.id))
    }

    /// Whether a secret that is not there may be made.
    pub(super) fn may_create(&self, calls: &Calls<'_>) -> Result<(), Fault> {
        if self.account.settings.account.create {
            return Ok(());
        }
        let words = format!(
            "there is no such secret, and [sinks.{}] sets create = false: create it (aws \
             secretsmanager create-secret --name {}), or remove that line",
            self.account.settings.sink, calls.name
        );
        Err(Fault::new(calls.operation, Class::Terminal, Code::Invalid, words))
    }

    /// Stages what was composed, unless it is there already.
    async fn put_staged(
        &self,
        calls: &Calls<'_>,
        there: &There,
        held: &SecretVersion,
        composed: &Composed,
        delivery: &Delivery,
        fence: &dyn Fence,
    ) -> Result<(), Fault> {
        if composed.id == held.id || there.has(&composed.id, PENDING) {
            return fence.check().await;
        }
        fence.check().await?;
        self.announce(calls, &there.tags, delivery, Some(self.value_in(there, held).as_ref()))
            .await?;
        fence.check().await?;
        let values = hidden(&composed.values);
        let version = NewVersion { id: &composed.id, body: &composed.body, hidden: &values };
        let put = calls.put(&version, PENDING, Effect::None).await;
        let stages = put.map_err(|refused| taken(calls, refused))?;
        if stages.iter().any(|stage| stage == PENDING) {
            return Ok(());
        }
        // It was there already, without the label: a put that changes nothing moves none.
        let from = there.labelled(PENDING);
        let moved = calls.label(PENDING, from, Some(&composed.id), Effect::None).await;
        moved.map_err(
            |refused| {
                if refused.is_refusal() { changed(calls.operation) } else { refused.fault }
            },
        )
    }

    /// A move that was refused: because somebody else was first, or because it was made already.
    async fn moved_after_all(
        &self,
        calls: &Calls<'_>,
        from: &str,
        to: &str,
        refused: Refused,
    ) -> Result<(), Fault> {
        if !refused.is_refusal() {
            return Err(refused.fault);
        }
        let described = calls.describe().await?;
        let Some(described) = described else { return Err(changed(calls.operation)) };
        let labels = labels(&described);
        let current = labels.get(CURRENT).and_then(|versions| versions.first());
        let versions = described.version_ids_to_stages.unwrap_or_default();
        match current {
            Some(id) if id == to => Ok(()),
            // The label is where it was, and so is what was staged: AWS wants something else.
            Some(id) if id == from && versions.contains_key(to) => Err(refused.fault),
            Some(_) | None => Err(changed(calls.operation)),
        }
    }

    /// That the version is what readers get, by the service's own word.
    async fn confirm(&self, calls: &Calls<'_>, from: &str, to: &str) -> Result<Version, Fault> {
        let described = calls.describe().await.map_err(Fault::in_doubt)?;
        let labels = described.as_ref().map(labels).unwrap_or_default();
        let current = labels.get(CURRENT).and_then(|versions| versions.first());
        // What was before is the word of a machine that has yet to catch up.
        if current.is_some_and(|id| id == to || id == from) {
            return Ok(Version(to.to_owned()));
        }
        Err(Fault::new(
            calls.operation,
            Class::Ambiguous,
            Code::Changed,
            "the write was accepted, but another version is current now",
        ))
    }

    /// Takes the staging label off what readers get, where it was left.
    async fn unlabel(&self, calls: &Calls<'_>, there: &There, id: &str) {
        if there.has(id, PENDING)
            && let Err(refused) = calls.label(PENDING, Some(id), None, Effect::None).await
        {
            self.warn_of_label(&refused);
        }
    }

    fn warn_of_label(&self, refused: &Refused) {
        let Place { sink, location, .. } = &self.checked.place;
        let fault = &refused.fault;
        tracing::warn!(
            %sink, %location, error = %fault,
            "{location}: the staging label stays on the version that is current now: {fault}"
        );
    }

    /// Writes the marks of what is about to be written, where the payload leaves no room for them.
    async fn announce(
        &self,
        calls: &Calls<'_>,
        tags: &Tags,
        delivery: &Delivery,
        held: Option<Option<&TokenValue>>,
    ) -> Result<(), Fault> {
        if !self.checked.form.marks_in_tags() {
            return Ok(());
        }
        let change = self.marks_of(calls, tags, delivery, held.flatten())?;
        if !change.put.is_empty() {
            calls.tag(&change.put).await.map_err(|refused| refused.fault)?;
        }
        if !change.remove.is_empty() {
            calls.untag(&change.remove).await.map_err(|refused| refused.fault)?;
        }
        Ok(())
    }

    fn marks_of(
        &self,
        calls: &Calls<'_>,
        tags: &Tags,
        delivery: &Delivery,
        held: Option<&TokenValue>,
    ) -> Result<tags::Change, Fault> {
        let held = held.map(TokenValue::digest);
        let value = delivery.value.digest();
        tags::announcing(tags, &delivery.marks, &value, held.as_ref()).ok_or_else(|| {
            Fault::new(
                calls.operation,
                Class::Terminal,
                Code::Invalid,
                "the marks do not fit into a tag, and the value has no room for them; remove \
                 `payload` and `format`",
            )
        })
    }

    fn value_in(&self, there: &There, held: &SecretVersion) -> Option<TokenValue> {
        self.checked.form.understand(held, &there.tags).value().cloned()
    }

    /// The secret as it is to be.
    fn compose(
        &self,
        calls: &Calls<'_>,
        held: Option<&SecretVersion>,
        delivery: &Delivery,
    ) -> Result<Composed, Fault> {
        let failed =
            |words: String| Fault::new(calls.operation, Class::Terminal, Code::Invalid, words);
        let content = self.checked.form.compose(held, delivery);
        let content = content.map_err(|problem| failed(problem.to_string()))?;
        if content.len() > LARGEST {
            return Err(failed(format!(
                "the secret would hold {} bytes, and AWS allows at most {LARGEST}; move other \
                 content elsewhere",
                content.len()
            )));
        }
        Ok(Composed::of(delivery, &content))
    }

    /// Whether the token that is there may be overwritten by ours; whether it is ours.
    fn allowed(
        &self,
        calls: &Calls<'_>,
        there: &There,
        held: &SecretVersion,
        ours: &Marks,
    ) -> Result<bool, Fault> {
        let contents = self.checked.form.understand(held, &there.tags);
        let loss = self.checked.form.loss(held, &contents);
        refuse_loss(calls.operation, &loss, self.checked.overwrite)?;
        let way_out = "give this connection another name, or delete that secret";
        let yielded = yields(contents, ours, way_out);
        let held = yielded.map_err(|refused| refused.of(calls.operation))?;
        Ok(held.is_some_and(|(_, marked)| marked))
    }
}

/// A name or an id that is taken by now: somebody else was first.
fn taken(calls: &Calls<'_>, refused: Refused) -> Fault {
    if refused.is("ResourceExistsException") || refused.is("ResourceNotFoundException") {
        return changed(calls.operation);
    }
    refused.fault
}

fn live_at_once(calls: &Calls<'_>) -> Fault {
    Fault::new(
        calls.operation,
        Class::Terminal,
        Code::Invalid,
        "a token cannot be staged in a secret without a value: its first version is live immediately",
    )
}
