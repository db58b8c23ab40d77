//! What a delivery writes into a place of keys and values, and so owns there.

use std::{borrow::Cow, collections::BTreeMap};

use crate::{
    secret::Secret,
    sink::{
        Marks, Parcel,
        payload::{FIELDS, PayloadError, PayloadTemplate, TOKEN, Wiped, default_payload, marks_in},
    },
    token::TokenValue,
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

    /// The token among keys of which `text` gives the content.
    pub(in crate::sink) fn token_in(
        &self,
        text: impl Fn(&str) -> Option<Wiped>,
    ) -> Option<TokenValue> {
        match &self.template {
            None => TokenValue::try_new(text(&(self.name)(TOKEN))?.to_string()).ok(),
            Some(template) => template.token_in_text(&text(template.token_key())?),
        }
    }

    /// The marks among them.
    pub(in crate::sink) fn marks_in(&self, text: impl Fn(&str) -> Option<Wiped>) -> Option<Marks> {
        let field = |field: &str| text(&(self.name)(field)).map(|text| text.to_string());
        self.hold_marks().then(|| marks_in(field)).flatten()
    }

    /// What a delivery writes.
    pub(in crate::sink) fn written(
        &self,
        parcel: &Parcel,
    ) -> Result<BTreeMap<String, Secret>, PayloadError> {
        match &self.template {
            None => {
                let fields = default_payload(parcel).into_iter();
                Ok(fields.map(|(field, text)| ((self.name)(field).into_owned(), text)).collect())
            }
            Some(template) => template.render(parcel),
        }
    }
}
