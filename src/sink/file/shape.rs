//! What the file looks like: delivery in, bytes out, and back.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{env, json, trouble::Trouble};
use crate::{
    error::{Class, Code},
    secret::Secret,
    sink::{
        Delivery, Elsewhere, Loss, Marks,
        entry::is_variable,
        payload::{PayloadError, PayloadTemplate, Wiped},
        rules::{
            Keys,
            document::{Document, Keyed, Layout},
            elsewhere,
        },
    },
    token::TokenValue,
};

/// The form of a token's file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// The value alone, without a line break.
    #[default]
    Raw,
    /// One JSON object.
    Json,
    /// `KEY="value"` lines.
    Env,
}

/// Format and template together.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    format: Format,
    keys: Keys,
}

/// What the file's own bytes say; a companion is not looked at here.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) value: Option<TokenValue>,
    pub(super) marks: Option<Marks>,
    /// What a write would take away.
    pub(super) loss: Loss,
    /// The strings of others.
    pub(super) elsewhere: Vec<Elsewhere>,
}

impl Said {
    /// What is said by something that cannot be parsed.
    fn unparsed(why: String, bytes: &[u8]) -> Self {
        let elsewhere = elsewhere::in_no_form(bytes);
        Self { value: None, marks: None, loss: Loss::Unparsed(why), elsewhere }
    }
}

impl Shape {
    /// Refuses what no file of this format can hold, in words.
    pub(super) fn try_new(
        format: Format,
        template: Option<PayloadTemplate>,
    ) -> Result<Self, String> {
        match (format, &template) {
            (Format::Raw, Some(_)) => {
                return Err("format = \"raw\" holds the value alone and takes no payload; use \
                            \"json\" or \"env\", or leave payload out"
                    .to_owned());
            }
            (Format::Env, Some(template)) => {
                if let Some(key) = template.keys().find(|key| !is_variable(key)) {
                    return Err(format!(
                        "payload key {key:?} is not the name of an environment variable: letters, \
                         digits and _, not starting with a digit"
                    ));
                }
                let broken =
                    template.source().iter().find(|(_, text)| text.contains(['\n', '\r', '\0']));
                if let Some((key, _)) = broken {
                    return Err(format!(
                        "payload key {key:?}: a value in format = \"env\" is one line; use \
                         format = \"json\" for more"
                    ));
                }
            }
            (Format::Raw | Format::Env, None) | (Format::Json, _) => {}
        }
        let keys = match format {
            Format::Env => Keys::named(template, variable),
            Format::Raw | Format::Json => Keys::new(template),
        };
        Ok(Self { format, keys })
    }

    /// Whether the document holds the marks itself; else they go to the companion file.
    pub(super) fn holds_marks(&self) -> bool {
        self.keys.hold_marks() && self.format != Format::Raw
    }

    /// The file that delivers the delivery, with what `old` holds of others. What cannot be parsed is
    /// refused unless it may be lost.
    pub(super) fn encode(
        &self,
        delivery: &Delivery,
        old: &[u8],
        overwrite: bool,
    ) -> Result<Zeroizing<Vec<u8>>, Trouble> {
        if self.format == Format::Raw {
            return Ok(Zeroizing::new(delivery.value.expose().as_bytes().to_vec()));
        }
        let invalid = |problem: PayloadError| Trouble {
            class: Class::Terminal,
            code: Code::Invalid,
            detail: problem.to_string(),
        };
        match self.format {
            Format::Json => {
                let document = match json::parse(old) {
                    Ok(document) => document,
                    Err(_) if overwrite => Document::default(),
                    Err(why) => return Err(Trouble::foreign(&why)),
                };
                self.keys.composed(&document, delivery, Layout::Lines).map_err(invalid)
            }
            Format::Env | Format::Raw => {
                let document = env::Document::parse(old);
                let document = match document.trouble() {
                    None => document,
                    Some(_) if overwrite => env::Document::default(),
                    Some(why) => return Err(Trouble::foreign(why)),
                };
                let payload = self.keys.written(delivery).map_err(invalid)?.into_iter();
                let plain = |value: Secret| Wiped::new(value.expose().to_owned());
                let values = payload.map(|(key, value)| (key, plain(value))).collect();
                Ok(document.with(|key| self.keys.own(key), values))
            }
        }
    }

    /// Reads a file back.
    pub(super) fn decode(&self, bytes: &[u8]) -> Said {
        match self.format {
            Format::Raw => {
                // People's editors and `echo` end files with a line break; it is not the token's.
                let value = std::str::from_utf8(bytes).ok().and_then(|text| {
                    TokenValue::try_new(text.trim_end_matches(['\r', '\n']).to_owned()).ok()
                });
                let empty = bytes.trim_ascii().is_empty();
                let loss = if empty { Loss::Nothing } else { Loss::Value };
                Said { value, marks: None, loss, elsewhere: elsewhere::in_no_form(bytes) }
            }
            Format::Json => match json::parse(bytes) {
                Ok(document) => self.said(&document),
                Err(why) => Said::unparsed(why, bytes),
            },
            Format::Env => {
                let document = env::Document::parse(bytes);
                let said = self.said(&document);
                match document.trouble() {
                    Some(why) => Said { loss: Loss::Unparsed(why.to_owned()), ..said },
                    None => said,
                }
            }
        }
    }

    fn said(&self, content: &impl Keyed) -> Said {
        Said {
            value: self.keys.token_in(content),
            marks: self.keys.marks_in(content),
            loss: self.keys.loss(content),
            elsewhere: self.keys.elsewhere(content),
        }
    }
}

/// How a field of the default payload is called as a variable.
fn variable(field: &str) -> Cow<'_, str> {
    Cow::Owned(format!("SCIM_{}", field.to_ascii_uppercase()))
}
