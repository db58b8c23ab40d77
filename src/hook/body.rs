//! A body in a service's own form: a template that what happened is filled into.

use std::collections::{BTreeMap, BTreeSet};

use minijinja::{Environment, Error, ErrorKind, Output, Value};
use serde::de::IgnoredAny;
use zeroize::Zeroizing;

use super::message::{FIELDS, Message, NUMBERS, percent_encoded};
use crate::{
    secret::Secret,
    template::{self, unknown_name, unusable},
};

/// How secrets are called in a template: `secrets.NAME`.
const SECRETS: &str = "secrets";

/// What a body is: how that is said to the service, and how what is filled in is escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentType {
    text: String,
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    Fields,
    Text,
}

impl ContentType {
    /// What a body is that does not say.
    pub const DEFAULT: &str = "application/json";

    /// Accepts JSON, form fields, plain text and Markdown: what is filled into anything else could not
    /// be escaped.
    #[must_use]
    pub fn try_new(text: &str) -> Option<Self> {
        let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let form = match essence.as_str() {
            "application/x-www-form-urlencoded" => Form::Fields,
            "text/plain" | "text/markdown" => Form::Text,
            "application/json" => Form::Json,
            other if other.ends_with("+json") => Form::Json,
            _ => return None,
        };
        let shown = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        shown.then(|| Self { text: text.to_owned(), form })
    }

    /// As a header's value.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// A `body`, checked: it is what its content type says, whatever is filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyTemplate {
    source: String,
    content_type: ContentType,
    secrets: BTreeSet<String>,
}

impl BodyTemplate {
    /// Reads a template (Jinja: `{{ name }}` of [`FIELDS`], `{{ secrets.name }}`, filters, `{% if %}`).
    ///
    /// # Errors
    /// When it does not parse, uses an unknown name, or does not come to what `content_type` says.
    pub fn parse<'n>(
        source: &str,
        content_type: ContentType,
        secrets: impl Iterator<Item = &'n str>,
    ) -> Result<Self, String> {
        let declared: BTreeSet<String> = secrets.map(|name| format!("{SECRETS}.{name}")).collect();
        let known: Vec<&str> =
            FIELDS.into_iter().chain(declared.iter().map(String::as_str)).collect();
        let used = template::names(&environment(content_type.form), source, true)
            .map_err(|problem| not_a_template(&problem))?;
        if let Some(unknown) = used.iter().find(|name| !known.contains(&name.as_str())) {
            return Err(unknown_name(unknown, &known));
        }
        let name = |name: &String| name.strip_prefix(SECRETS)?.strip_prefix('.').map(str::to_owned);
        let secrets: BTreeSet<String> = used.iter().filter_map(name).collect();
        let template = Self { source: source.to_owned(), content_type, secrets };
        for (fields, secret) in samples() {
            let secrets = template.secrets.iter().map(|name| (name.as_str(), secret));
            template.filled(fields, secrets).map_err(|problem| match problem {
                Unfilled::Template(problem) => not_a_template(&problem),
                Unfilled::NotJson { line, column } => format!(
                    "it is not JSON once it is filled in (line {line}, column {column}); put text in quotes: \"{{{{ why }}}}\""
                ),
            })?;
        }
        Ok(template)
    }

    /// The secrets that it uses.
    #[must_use]
    pub fn secrets(&self) -> &BTreeSet<String> {
        &self.secrets
    }

    /// What it comes to.
    #[must_use]
    pub fn content_type(&self) -> &str {
        self.content_type.as_str()
    }

    /// Fills in what happened, and the secrets.
    ///
    /// # Errors
    /// In words that hold nothing of either.
    pub fn render(
        &self,
        message: &Message,
        secrets: &BTreeMap<String, Secret>,
    ) -> Result<Zeroizing<Vec<u8>>, &'static str> {
        let fields = message.fields().into_iter();
        let fields = fields.filter_map(|(name, text)| Some((name, text?))).collect();
        let secrets = secrets.iter().map(|(name, secret)| (name.as_str(), secret.expose()));
        let filled = self.filled(fields, secrets).map_err(|problem| match problem {
            Unfilled::Template(_) => "`body` cannot be filled in with this event",
            Unfilled::NotJson { .. } => "`body` is not JSON with this event filled in",
        })?;
        Ok(Zeroizing::new(filled.as_bytes().to_vec()))
    }

    fn filled<'n>(
        &self,
        mut fields: BTreeMap<&'static str, String>,
        secrets: impl Iterator<Item = (&'n str, &'n str)>,
    ) -> Result<Zeroizing<String>, Unfilled> {
        // What there is nothing to say of is empty: no event fails for a token without expiry.
        let fields = FIELDS.iter().map(|name| {
            let text = fields.remove(name).unwrap_or_default();
            let number = NUMBERS.contains(name).then(|| text.parse::<u64>().ok()).flatten();
            (*name, number.map_or_else(|| Value::from(text), Value::from))
        });
        let secrets = Value::from_pairs(secrets.map(|(name, text)| (name, Value::from(text))));
        let context = Value::from_pairs(fields.chain([(SECRETS, secrets)]));
        let form = self.content_type.form;
        let filled = template::rendered(&environment(form), &self.source, context)
            .map(Zeroizing::new)
            .map_err(Unfilled::Template)?;
        if form == Form::Json {
            let read: Result<IgnoredAny, _> = serde_json::from_str(&filled);
            let at = |error: serde_json::Error| (error.line(), error.column());
            read.map_err(at).map_err(|(line, column)| Unfilled::NotJson { line, column })?;
        }
        Ok(filled)
    }
}

enum Unfilled {
    Template(Error),
    NotJson { line: usize, column: usize },
}

fn not_a_template(problem: &Error) -> String {
    unusable(problem, "every name is text or a number")
}

/// What is filled in stays one value, whatever it holds.
fn environment(form: Form) -> Environment<'static> {
    let mut environment = template::environment();
    environment.set_formatter(move |out, _, value| escaped(out, form, value));
    environment
}

fn escaped(out: &mut Output<'_>, form: Form, value: &Value) -> Result<(), Error> {
    let unfit =
        || Error::new(ErrorKind::InvalidOperation, "only text and numbers can be filled in");
    let text = match value.as_str() {
        Some(text) => Zeroizing::new(text.to_owned()),
        None if value.is_number() => Zeroizing::new(value.to_string()),
        None => return Err(unfit()),
    };
    let escaped = match form {
        Form::Text => text,
        Form::Json => {
            let quoted = Zeroizing::new(serde_json::to_string(text.as_str()).map_err(|_| unfit())?);
            let inside = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            Zeroizing::new(inside.ok_or_else(unfit)?.to_owned())
        }
        Form::Fields => Zeroizing::new(percent_encoded(&text)),
    };
    out.write_str(&escaped).map_err(Error::from)
}

/// What may be filled in, with and without what is not always there, and a secret. None of these texts
/// is JSON without quotes, nor inside them unless it is escaped.
fn samples() -> [(BTreeMap<&'static str, String>, &'static str); 2] {
    let odd = |name: &str| format!("{name} \"said\"\\\n&=<{{{{ x }}}}>");
    let all = FIELDS.map(|name| {
        let number = NUMBERS.contains(&name);
        (name, if number { "7".to_owned() } else { odd(name) })
    });
    let few = NUMBERS.map(|name| (name, "0".to_owned()));
    [(all.into(), "\"\\\n&="), (few.into(), "x")]
}
