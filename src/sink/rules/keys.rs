//! What a delivery writes into a place of keys and values, and so owns there.

use std::{
    borrow::{Borrow, Cow},
    collections::BTreeMap,
};

use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::{
    document::{Document, Keyed, Layout, quoted},
    marks::understood,
};
use crate::{
    secret::Secret,
    sink::{
        Contents, Delivery, Elsewhere, Loss, Marks,
        payload::{
            FIELDS, GENERATION, PayloadError, PayloadTemplate, TOKEN, Wiped, default_payload,
            marks_in,
        },
    },
    token::{Digest, TokenValue},
};

/// The keys of a delivery: the default payload's, or those of the templates that replace it.
#[derive(Clone, Debug)]
pub(in crate::sink) struct Keys {
    template: Option<PayloadTemplate>,
    /// How a field of the default payload is called there.
    name: fn(&str) -> Cow<'_, str>,
}

impl Keys {
    /// Fields that are called what they are.
    pub(in crate::sink) fn new(template: Option<PayloadTemplate>) -> Self {
        Self::named(template, |field| Cow::Borrowed(field))
    }

    /// Fields that are called something else.
    pub(in crate::sink) fn named(
        template: Option<PayloadTemplate>,
        name: fn(&str) -> Cow<'_, str>,
    ) -> Self {
        Self { template, name }
    }

    /// Whether the marks are among the keys; else they have to be kept beside them.
    pub(in crate::sink) fn hold_marks(&self) -> bool {
        self.template.is_none()
    }

    /// Whether a delivery writes this key.
    pub(in crate::sink) fn own(&self, key: &str) -> bool {
        match &self.template {
            None => FIELDS.iter().any(|field| (self.name)(field) == key),
            Some(template) => template.keys().any(|ours| ours == key),
        }
    }

    /// The key that holds the token.
    pub(in crate::sink) fn token_key(&self) -> Cow<'_, str> {
        match &self.template {
            None => (self.name)(TOKEN),
            Some(template) => Cow::Borrowed(template.token_key()),
        }
    }

    /// The token in some content.
    pub(in crate::sink) fn token_in(&self, content: &impl Keyed) -> Option<TokenValue> {
        let text = content.text(&self.token_key())?;
        match &self.template {
            None => TokenValue::try_new(text.to_string()).ok(),
            Some(template) => template.token_in_text(&text),
        }
    }

    /// The marks in it.
    pub(in crate::sink) fn marks_in(&self, content: &impl Keyed) -> Option<Marks> {
        let field = |field: &str| content.text(&(self.name)(field)).map(|text| text.to_string());
        self.hold_marks().then(|| marks_in(field)).flatten()
    }

    /// What it is of a token; `beside` are the marks that are kept for a value which has no room for
    /// them beside it.
    pub(in crate::sink) fn understand(
        &self,
        content: &impl Keyed,
        beside: impl FnOnce(&Digest) -> Option<Marks>,
    ) -> Contents {
        let value = self.token_in(content);
        if self.hold_marks() {
            understood(value, self.marks_in(content), |_| None)
        } else {
            understood(value, None, beside)
        }
    }

    /// What a delivery takes away from it.
    pub(in crate::sink) fn loss(&self, content: &impl Keyed) -> Loss {
        if content.holds(|key| self.own(key)) { Loss::Value } else { Loss::Nothing }
    }

    /// The strings in it that could be a token, beside the one that a delivery wrote.
    pub(in crate::sink) fn elsewhere(&self, content: &impl Keyed) -> Vec<Elsewhere> {
        // A key of ours with anything but a token may have one inside.
        let has_value = self.token_in(content).is_some();
        content.elsewhere(|key| has_value && self.own(key))
    }

    /// What a delivery writes, under its keys.
    pub(in crate::sink) fn written(
        &self,
        delivery: &Delivery,
    ) -> Result<BTreeMap<String, Secret>, PayloadError> {
        match &self.template {
            None => {
                let fields = default_payload(delivery).into_iter();
                Ok(fields.map(|(field, text)| ((self.name)(field).into_owned(), text)).collect())
            }
            Some(template) => template.render(delivery),
        }
    }

    /// The object that a delivery makes of another: ours in the place of ours, the rest as it is.
    pub(in crate::sink) fn composed<R: Borrow<RawValue>>(
        &self,
        held: &Document<R>,
        delivery: &Delivery,
        layout: Layout,
    ) -> Result<Zeroizing<Vec<u8>>, PayloadError> {
        let numbers = layout == Layout::Lines && self.hold_marks();
        let text = |key: &str, value: &Secret| match key {
            GENERATION if numbers => Wiped::new(value.expose().to_owned()),
            _ => quoted(value.expose()),
        };
        let written = self.written(delivery)?;
        let ours = written.iter().map(|(key, value)| (key.clone(), text(key, value))).collect();
        Ok(held.with(|key| self.own(key), ours, layout))
    }
}
