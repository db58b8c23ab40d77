//! From a delivery to a version, and from that to what readers get.

use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{
    calls::{Calls, MARKS, Number, SecretHead},
    place::{GcpSink, LATEST, Seen, is},
};
use crate::{
    error::{Class, Code, Fault},
    sink::{
        Delivery, Fence, Version,
        payload::Said,
        rules::{
            Effect, changed, invalid,
            secret_version::{hidden, text_of, values_in},
            tags,
        },
    },
    token::TokenValue,
};

impl GcpSink {
    /// The secret, with the marks of what is about to be written where the value leaves no room for them;
    /// it is made where it is not there.
    pub(super) async fn announced(
        &self,
        calls: &Calls<'_>,
        seen: &Seen,
        delivery: &Delivery,
    ) -> Result<SecretHead, Fault> {
        let head = match &seen.head {
            Some(head) => head.clone(),
            None => {
                calls.create().await?;
                let head = calls.head().await?.ok_or_else(|| changed(calls.operation))?;
                // Somebody else may have made it and written there, which this ETag would hide.
                let led = |alias: &String| head.version_aliases.contains_key(alias);
                if self.checked.alias.as_ref().is_some_and(led) {
                    return Err(changed(calls.operation));
                }
                head
            }
        };
        if !self.checked.form.marks_in_tags() {
            return Ok(head);
        }
        let held = self.understand(seen, &seen.current).value().map(TokenValue::digest);
        let value = delivery.value.digest();
        let change = tags::announcing(&seen.tags, &delivery.marks, &value, held.as_ref());
        let change = change.ok_or_else(|| {
            let words = "the marks do not fit into an annotation, and the value has no room for them; \
                         remove `payload` and `format`";
            invalid(calls.operation, words.to_owned())
        })?;
        if change == tags::Change::default() {
            return Ok(head);
        }
        let mut tags = seen.tags.clone();
        tags.extend(change.put);
        tags.retain(|name, _| !change.remove.contains(name));
        let mut annotations = head.annotations.clone();
        // Texts cannot fail to be written.
        annotations.insert(MARKS.to_owned(), serde_json::to_string(&tags).unwrap_or_default());
        calls.patch(&head, &json!({ "annotations": annotations }), Effect::None).await
    }

    /// Adds a version that no alias leads to yet, unless it is there, and returns its number.
    pub(super) async fn put_beside(
        &self,
        calls: &Calls<'_>,
        seen: &Seen,
        bytes: &Zeroizing<Vec<u8>>,
        fence: &dyn Fence,
    ) -> Result<u64, Fault> {
        fence.check().await?;
        match seen.beside.number() {
            Some(number) if is(&seen.beside, bytes) => Ok(number),
            _ => self.add(calls, bytes, Effect::None).await,
        }
    }

    async fn add(
        &self,
        calls: &Calls<'_>,
        bytes: &Zeroizing<Vec<u8>>,
        effect: Effect,
    ) -> Result<u64, Fault> {
        let values = values_in(&text_of(bytes));
        calls.add(bytes, effect, &hidden(&values)).await.map_err(|refused| {
            // It was there a moment ago.
            if refused.is("NOT_FOUND") { changed(calls.operation) } else { refused.fault }
        })
    }

    /// Moves the alias, if the secret is as it was seen. Labels go along; where that is refused, the
    /// alias goes without.
    pub(super) async fn lead(
        &self,
        calls: &Calls<'_>,
        head: &SecretHead,
        alias: &str,
        number: u64,
        said: &Said,
    ) -> Result<Version, Fault> {
        let all = head.version_aliases.iter();
        let mut aliases: serde_json::Map<String, Value> =
            all.map(|(name, Number(of))| (name.clone(), json!(of.to_string()))).collect();
        aliases.insert(alias.to_owned(), json!(number.to_string()));
        let change = json!({ "versionAliases": aliases });
        let labels = said.within(&head.labels);
        let after = if labels == head.labels {
            calls.patch(head, &change, Effect::Writes).await?
        } else {
            let mut both = change.clone();
            both["labels"] = json!(labels);
            match calls.patch(head, &both, Effect::Writes).await {
                Err(fault) if fault.class == Class::Terminal => {
                    calls.patch(head, &change, Effect::Writes).await?
                }
                done => done?,
            }
        };
        if after.version_aliases.get(alias) != Some(&Number(number)) {
            let words = "the answer does not show the alias on the version that it was moved to";
            return Err(Fault::new(calls.operation, Class::Ambiguous, Code::Unreadable, words));
        }
        self.made.note(number, self.project.clock.now());
        Ok(Version(number.to_string()))
    }

    /// Puts labels there that are not there yet, if the secret is as it was seen: once more where somebody
    /// else changed it.
    pub(super) async fn label(
        &self,
        calls: &Calls<'_>,
        said: &Said,
        fence: &dyn Fence,
    ) -> Result<(), Fault> {
        let mut tries = 2;
        loop {
            tries -= 1;
            let head = calls.head().await?.ok_or_else(|| changed(calls.operation))?;
            let labels = said.within(&head.labels);
            if labels == head.labels {
                return Ok(());
            }
            fence.check().await?;
            let change = json!({ "labels": labels });
            match calls.patch(&head, &change, Effect::None).await {
                Err(fault) if fault.class == Class::Conflict && tries > 0 => {}
                done => return done.map(drop),
            }
        }
    }

    /// Adds what everybody gets who asks for the latest version, and looks what came of it.
    pub(super) async fn write(
        &self,
        calls: &Calls<'_>,
        seen: &Seen,
        bytes: &Zeroizing<Vec<u8>>,
    ) -> Result<Version, Fault> {
        let met = |code, words| Fault::new(calls.operation, Class::Ambiguous, code, words);
        let before = seen.last();
        let made = self.add(calls, bytes, Effect::Writes).await?;
        self.made.note(made, self.project.clock.now());
        if made != before + 1 {
            let words = format!(
                "it was written as version {made}, but version {before} was read: somebody else \
                 wrote in between, and readers no longer get that content"
            );
            return Err(met(Code::Changed, words));
        }
        // The number is consistent at once, "latest" eventually (Google's documentation of consistency).
        let latest = calls.version(LATEST).await.map_err(Fault::in_doubt)?;
        match latest.number() {
            Some(number) if number > made => Err(changed(calls.operation)),
            Some(number) if number == made && is(&latest, bytes) => Ok(Version(made.to_string())),
            _ => {
                let words = format!(
                    "it was written as version {made}, and it is not the latest version everywhere in Secret Manager \
                     yet"
                );
                Err(met(Code::Unavailable, words))
            }
        }
    }
}
