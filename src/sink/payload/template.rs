//! `payload = { KEY = "template", … }`: templates in the place of the default payload.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use minijinja::{Environment, Value};
use serde::{Deserialize, Serialize};

use super::{FIELDS, TOKEN, plain_fields};
use crate::{
    secret::Secret,
    sink::Delivery,
    template::{self, environment, names, unknown_name, unusable},
    token::TokenValue,
};

/// A `payload` that cannot be delivered, found when the configuration is read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("payload key {key:?}: {message}")]
pub struct PayloadError {
    /// The key whose template it is; empty when it is about all of them.
    pub key: String,
    /// What is wrong and how to mend it; quotes no value.
    pub message: String,
}

/// A `payload = { KEY = "template", … }`, checked: it renders whatever the delivery holds, and the
/// token can be read back out of it. It is stored as it was written.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>", into = "BTreeMap<String, String>")]
pub struct PayloadTemplate {
    source: BTreeMap<String, String>,
    token_key: String,
    before: String,
    after: String,
}

impl fmt::Debug for PayloadTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PayloadTemplate")
            .field("source", &self.source)
            .field("token_key", &self.token_key)
            .finish_non_exhaustive()
    }
}

impl PartialEq for PayloadTemplate {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for PayloadTemplate {}

impl TryFrom<BTreeMap<String, String>> for PayloadTemplate {
    type Error = PayloadError;

    fn try_from(source: BTreeMap<String, String>) -> Result<Self, PayloadError> {
        Self::parse(&source)
    }
}

impl From<PayloadTemplate> for BTreeMap<String, String> {
    fn from(template: PayloadTemplate) -> Self {
        template.source
    }
}

impl PayloadTemplate {
    /// Reads templates (Jinja: `{{ name }}` of [`FIELDS`], filters, `{% if %}`).
    ///
    /// # Errors
    /// When one does not parse, uses an unknown name, fails on sample values, or when not exactly
    /// one key holds `{{ token }}` with nothing but literal text around it (it could not be read
    /// back).
    pub fn parse(source: &BTreeMap<String, String>) -> Result<Self, PayloadError> {
        let environment = environment();
        let mut token_key: Option<&str> = None;
        for (key, text) in source {
            if key.is_empty() {
                return Err(error(key, "a key must not be empty"));
            }
            let names = names_in(&environment, key, text)?;
            if !names.iter().any(|name| name == TOKEN) {
                for sample in samples() {
                    render_one(&environment, key, text, &sample)?;
                }
                continue;
            }
            if let Some(other) = token_key {
                return Err(error(
                    key,
                    format!(
                        "the token is already in {other:?}; exactly one key may hold it, so that \
                         it can be read back"
                    ),
                ));
            }
            if names.len() > 1 {
                return Err(error(key, LITERAL_ONLY));
            }
            token_key = Some(key);
        }
        let Some(token_key) = token_key else {
            return Err(error(
                "",
                "no key holds the token: one key must, as in SCIM_TOKEN = \"{{ token }}\"",
            ));
        };
        let (before, after) = around_token(&environment, token_key, source)?;
        Ok(Self { source: source.clone(), token_key: token_key.to_owned(), before, after })
    }

    /// The templates as they were written in the configuration.
    #[must_use]
    pub fn source(&self) -> &BTreeMap<String, String> {
        &self.source
    }

    /// The keys that a delivery writes.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.source.keys().map(String::as_str)
    }

    /// The key that holds the token.
    #[must_use]
    pub fn token_key(&self) -> &str {
        &self.token_key
    }

    /// Fills the templates in. The token's value never reaches the template engine: it is put
    /// between the literal texts that stand around it.
    ///
    /// # Errors
    /// When a template fails on these values though it did not on the samples.
    pub fn render(&self, delivery: &Delivery) -> Result<BTreeMap<String, Secret>, PayloadError> {
        let environment = environment();
        let context = context(plain_fields(delivery), delivery.marks.generation);
        let mut rendered = BTreeMap::new();
        for (key, text) in &self.source {
            let value = if *key == self.token_key {
                let mut value = String::with_capacity(
                    self.before.len() + delivery.value.expose().len() + self.after.len(),
                );
                value.push_str(&self.before);
                value.push_str(delivery.value.expose());
                value.push_str(&self.after);
                value
            } else {
                render_one(&environment, key, text, &context)?
            };
            rendered.insert(key.clone(), Secret::new(value));
        }
        Ok(rendered)
    }

    /// Reads the token back out of a rendered payload.
    #[must_use]
    pub fn token_in(&self, payload: &BTreeMap<String, String>) -> Option<TokenValue> {
        self.token_in_text(payload.get(&self.token_key)?)
    }

    /// Reads the token back out of the text of [`PayloadTemplate::token_key`].
    #[must_use]
    pub fn token_in_text(&self, text: &str) -> Option<TokenValue> {
        let value = text.strip_prefix(self.before.as_str())?.strip_suffix(self.after.as_str())?;
        TokenValue::try_new(value.to_owned()).ok()
    }
}

/// A text over the fields that hold no value, and over names of a sink's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sink) struct PlainTemplate(String);

impl PlainTemplate {
    /// Checks a template; `more` are the names beside the fields.
    ///
    /// # Errors
    /// When it is none, uses an unknown name, or the token.
    pub(in crate::sink) fn parse(text: &str, more: &[&str]) -> Result<Self, PayloadError> {
        let environment = environment();
        let used =
            names(&environment, text, false).map_err(|problem| not_a_template("", &problem))?;
        for name in used {
            if name == TOKEN {
                return Err(error("", NEVER_PLAIN));
            }
            if !more.contains(&name.as_str()) && !FIELDS.contains(&name.as_str()) {
                return Err(error("", unknown_name(&name, &FIELDS)));
            }
        }
        for sample in samples() {
            let own = more.iter().map(|name| (*name, Value::from("x")));
            render_one(&environment, "", text, &with(sample, own))?;
        }
        Ok(Self(text.to_owned()))
    }

    /// Fills it in; `more` are the texts of the names beside the fields.
    ///
    /// # Errors
    /// When it fails on these values though it did not on the samples.
    pub(in crate::sink) fn render(
        &self,
        delivery: &Delivery,
        more: &[(&str, &str)],
    ) -> Result<String, PayloadError> {
        let fields = context(plain_fields(delivery), delivery.marks.generation);
        let own = more.iter().map(|(name, text)| (*name, Value::from(*text)));
        render_one(&environment(), "", &self.0, &with(fields, own))
    }
}

const NEVER_PLAIN: &str = "arguments must not hold the token, because every user of the machine can read them; the program receives \
                           it on its standard input";

/// A context with further names.
pub(super) fn with<'a>(context: Value, more: impl Iterator<Item = (&'a str, Value)>) -> Value {
    minijinja::context! { ..context, ..Value::from_pairs(more.collect::<Vec<_>>()) }
}

const LITERAL_ONLY: &str = "only literal text may surround {{ token }}, without filters, \
                            conditions or other names, so that the token can be read back; use \
                            other keys for the rest";

fn error(key: &str, message: impl Into<Cow<'static, str>>) -> PayloadError {
    PayloadError { key: key.to_owned(), message: message.into().into_owned() }
}

/// The names that a template uses, all of them known.
fn names_in(
    environment: &Environment<'_>,
    key: &str,
    text: &str,
) -> Result<BTreeSet<String>, PayloadError> {
    let used = names(environment, text, false).map_err(|problem| not_a_template(key, &problem))?;
    for name in &used {
        if !FIELDS.contains(&name.as_str()) {
            return Err(error(key, unknown_name(name, &FIELDS)));
        }
    }
    Ok(used)
}

fn not_a_template(key: &str, problem: &minijinja::Error) -> PayloadError {
    error(
        key,
        unusable(
            problem,
            "each name stands for plain text, which has no parts; the token is {{ token }}",
        ),
    )
}

fn render_one(
    environment: &Environment<'_>,
    key: &str,
    text: &str,
    context: &Value,
) -> Result<String, PayloadError> {
    template::rendered(environment, text, context.clone())
        .map_err(|problem| not_a_template(key, &problem))
}

/// Fills in what is no part of a payload, without white space around it.
pub(super) fn rendered(
    environment: &Environment<'_>,
    text: &str,
    context: &Value,
) -> Result<String, minijinja::Error> {
    let rendered = template::rendered(environment, text, context.clone())?;
    Ok(rendered.trim().to_owned())
}

/// The literal texts around the token, found with values that cannot be mistaken for text.
fn around_token(
    environment: &Environment<'_>,
    key: &str,
    source: &BTreeMap<String, String>,
) -> Result<(String, String), PayloadError> {
    // Unlike in length, case and alphabet, so that slicing, filters and conditions show.
    let stand_ins = [
        format!("tok_{}.{}", "Aa0Zz9Bb1Yy8Cc2X", "0123456789abcdef".repeat(4)),
        "dbtu_<stand-in>&'\"\\~$+/=".to_owned(),
        "~Q7~".to_owned(),
    ];
    let text = source.get(key).map_or("", String::as_str);
    let mut found: Option<(String, String)> = None;
    for stand_in in &stand_ins {
        let context = Value::from_pairs([(TOKEN, Value::from(stand_in.as_str()))]);
        let rendered =
            render_one(environment, key, text, &context).map_err(|_| error(key, LITERAL_ONLY))?;
        let around = rendered
            .split_once(stand_in.as_str())
            .map(|(before, after)| (before.to_owned(), after.to_owned()))
            .ok_or_else(|| error(key, LITERAL_ONLY))?;
        match &found {
            Some(earlier) if *earlier != around => return Err(error(key, LITERAL_ONLY)),
            Some(_) => {}
            None => found = Some(around),
        }
    }
    found.ok_or_else(|| error(key, LITERAL_ONLY))
}

/// What a template sees: every name but the token's, the absent ones as empty text, so that no
/// delivery can fail for a token without expiry.
pub(super) fn context(mut fields: BTreeMap<&'static str, String>, generation: u64) -> Value {
    Value::from_pairs(FIELDS.iter().filter(|field| **field != TOKEN).map(|field| {
        let value = if *field == "generation" {
            Value::from(generation)
        } else {
            Value::from(fields.remove(field).unwrap_or_default())
        };
        (*field, value)
    }))
}

/// Contexts with and without each optional field.
fn samples() -> Vec<Value> {
    let fields = sample_fields().into_iter();
    fields.map(|(generation, fields)| context(fields, generation)).collect()
}

/// The same as a generation and the texts of the other fields.
pub(super) fn sample_fields() -> Vec<(u64, BTreeMap<&'static str, String>)> {
    let all = [
        ("token_id", "tok_0123456789abcdef"),
        ("previous_token_id", "tok_fedcba9876543210"),
        ("ledger", "0123456789abcdef"),
        ("connection", "initech-okta"),
        ("connection_id", "con_0123456789abcdef"),
        ("provider", "acme"),
        ("scim_endpoint", "https://acme.eu.auth0.com/scim/v2/connections/con_0123456789abcdef"),
        ("scopes", "delete:users get:users post:users"),
        ("created_at", "2026-11-22T04:00:00Z"),
        ("expires_at", "2026-12-22T04:00:00Z"),
    ];
    [
        (1, &[][..]),
        (2, &["previous_token_id"][..]),
        (3, &["expires_at"][..]),
        (1_000_000, &["previous_token_id", "expires_at"][..]),
    ]
    .into_iter()
    .map(|(generation, absent)| {
        let there = all.iter().filter(|(name, _)| !absent.contains(name));
        (generation, there.map(|(name, text)| (*name, (*text).to_owned())).collect())
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::{super::tests::delivery, *};

    fn source(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn a_template_renders_and_the_token_is_read_back() {
        let template = PayloadTemplate::parse(&source(&[
            ("AUTH", "Bearer {{ token }};"),
            ("URL", "{{ scim_endpoint }}/Users"),
            ("UNTIL", "{{ expires_at or 'never' }}"),
            ("NEXT", "{{ generation + 1 }}"),
        ]))
        .unwrap();
        assert_eq!(template.token_key(), "AUTH");
        for expires in [true, false] {
            let delivery = delivery(expires);
            let rendered = template.render(&delivery).unwrap();
            let plain: BTreeMap<String, String> = rendered
                .iter()
                .map(|(key, text)| (key.clone(), text.expose().to_owned()))
                .collect();
            assert_eq!(plain["AUTH"], "Bearer tok_canary.0123\"<&$\\;");
            assert_eq!(plain["URL"], "https://acme.example.com/scim/Users");
            assert_eq!(plain["NEXT"], "8");
            assert_eq!(plain["UNTIL"] == "never", !expires);
            let back = template.token_in(&plain).unwrap();
            assert_eq!(back.expose(), delivery.value.expose());
            assert!(!format!("{rendered:?} {template:?}").contains("0123"));
        }
        assert!(template.token_in(&source(&[("AUTH", "Basic x;")])).is_none());
        assert!(template.token_in(&source(&[("AUTH", "Bearer ;")])).is_none());
    }

    #[test]
    fn what_cannot_be_delivered_or_read_back_is_refused_with_words() {
        type Case = (&'static [(&'static str, &'static str)], &'static str, &'static str);
        let cases: [Case; 12] = [
            (&[("A", "{{ tokn }}")], "A", "did you mean \"token\"?"),
            (&[("A", "{{ token }}"), ("B", "{{ password_of_root }}")], "B", "names are token,"),
            (&[("A", "{{ token")], "A", "cannot be used"),
            (&[("A", "x")], "", "no key holds the token"),
            (&[], "", "no key holds the token"),
            (&[("A", "{{ token }}"), ("B", "{{ token }}")], "B", "exactly one"),
            (&[("A", "{{ token | upper }}")], "A", "literal text"),
            (&[("A", "{{ token[:4] }}")], "A", "unknown name"),
            (&[("A", "{{ token }}{{ token }}")], "A", "literal text"),
            (&[("A", "{{ token_id }}{{ token }}")], "A", "literal text"),
            (&[("A", "{{ token }}"), ("B", "{% include 'x' %}")], "B", "cannot be used"),
            (&[("A", "{{ token }}"), ("B", "{{ connection.name }}")], "B", "cannot be used"),
        ];
        for (pairs, key, words) in cases {
            let refused = PayloadTemplate::parse(&source(pairs)).unwrap_err();
            assert_eq!(refused.key, key, "{pairs:?}: {refused}");
            assert!(refused.message.contains(words), "{pairs:?}: {refused}");
        }
    }

    #[test]
    fn a_plain_text_holds_every_field_but_the_value() {
        let parse = |text: &str| PlainTemplate::parse(text, &["target"]);
        let text = "{{ target }}/{{ connection }} {{ token_id }}: {{ expires_at or 'never' }}";
        let template = parse(text).unwrap();
        let rendered = template.render(&delivery(false), &[("target", "vault item")]).unwrap();
        assert_eq!(rendered, "vault item/initech tok_canary: never");
        for (text, words) in [
            ("{{ token }}", "standard input"),
            ("{% if token %}x{% endif %}", "standard input"),
            ("{{ tokn }}", "did you mean"),
            ("{{ target", "cannot be used"),
            ("{{ connection.name }}", "cannot be used"),
        ] {
            let refused = parse(text).unwrap_err();
            assert!(refused.message.contains(words), "{text}: {refused}");
        }
    }

    #[test]
    fn functions_that_could_run_away_are_not_there() {
        let refused =
            PayloadTemplate::parse(&source(&[("A", "{{ token }}"), ("B", "{{ range(9) }}")]))
                .unwrap_err();
        assert!(refused.message.contains("there is no \"range\""), "{refused}");
    }
}
