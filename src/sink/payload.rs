//! What is delivered: the default payload, and the templates that may replace it.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value};
use zeroize::Zeroizing;

use super::{Marks, Parcel};
use crate::{
    clock::rfc3339,
    secret::Secret,
    token::{ConnectionId, LedgerId, TokenId, TokenValue},
};

/// The field that holds the token's value.
pub const TOKEN: &str = "token";

/// The names of the default payload, which are also all that a template may use. The optional
/// ones (`previous_token_id`, `expires_at`) are left out of the default payload when there is
/// nothing to say, and are empty text in a template.
pub const FIELDS: [&str; 12] = [
    TOKEN,
    "token_id",
    "previous_token_id",
    "generation",
    "ledger",
    "connection",
    "connection_id",
    "provider",
    "scim_endpoint",
    "scopes",
    "created_at",
    "expires_at",
];

/// The default payload: the fields of [`FIELDS`] that apply, as text.
#[must_use]
pub fn default_payload(parcel: &Parcel) -> BTreeMap<&'static str, Secret> {
    let mut fields: BTreeMap<&'static str, Secret> =
        plain_fields(parcel).into_iter().map(|(name, text)| (name, Secret::new(text))).collect();
    fields.insert(TOKEN, Secret::new(parcel.value.expose().to_owned()));
    fields
}

/// The marks in a document that holds the default payload; `field` looks a field up.
///
/// `None` unless all that a rebuild needs is there and well-formed. A caller that does not know
/// the document to be written in one piece has to prove the marks by the value's digest.
#[must_use]
pub fn marks_in(field: impl Fn(&str) -> Option<String>) -> Option<Marks> {
    let previous_token_id = match field("previous_token_id") {
        Some(text) => Some(TokenId::try_new(text).ok()?),
        None => None,
    };
    Some(Marks {
        token_id: TokenId::try_new(field("token_id")?).ok()?,
        previous_token_id,
        generation: field("generation")?.parse().ok()?,
        ledger: LedgerId::try_new(field("ledger")?).ok()?,
        connection_id: ConnectionId::try_new(field("connection_id")?).ok()?,
    })
}

/// A `payload` that cannot be delivered, found when the configuration is read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("payload key {key:?}: {message}")]
pub struct PayloadError {
    /// The key whose template it is; empty when it is about all of them.
    pub key: String,
    /// What is wrong and how to mend it; quotes no value.
    pub message: String,
}

/// A `payload = { KEY = "template", … }`, checked: it renders whatever the parcel holds, and the
/// token can be read back out of it.
#[derive(Clone)]
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
                        "the token is in {other:?} already; exactly one key may hold it, so that \
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
                "no key holds the token: one must, as in SCIM_TOKEN = \"{{ token }}\"",
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
    pub fn render(&self, parcel: &Parcel) -> Result<BTreeMap<String, Secret>, PayloadError> {
        let environment = environment();
        let context = context(plain_fields(parcel), parcel.marks.generation);
        let mut rendered = BTreeMap::new();
        for (key, text) in &self.source {
            let value = if *key == self.token_key {
                let mut value = String::with_capacity(
                    self.before.len() + parcel.value.expose().len() + self.after.len(),
                );
                value.push_str(&self.before);
                value.push_str(parcel.value.expose());
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

const LITERAL_ONLY: &str = "only literal text may stand around {{ token }}, without filters, \
                            conditions or other names, so that the token can be read back; use \
                            other keys for the rest";

/// Strict, and without a loader, functions, includes or escaping.
fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment
}

fn error(key: &str, message: impl Into<Cow<'static, str>>) -> PayloadError {
    PayloadError { key: key.to_owned(), message: message.into().into_owned() }
}

/// The names that a template uses, all of them known.
fn names_in(
    environment: &Environment<'_>,
    key: &str,
    text: &str,
) -> Result<Vec<String>, PayloadError> {
    let template =
        environment.template_from_str(text).map_err(|problem| not_a_template(key, &problem))?;
    let mut names: Vec<String> = template.undeclared_variables(false).into_iter().collect();
    names.sort();
    for name in &names {
        if !FIELDS.contains(&name.as_str()) {
            return Err(error(key, unknown_name(name)));
        }
    }
    Ok(names)
}

fn unknown_name(name: &str) -> String {
    let nearest =
        FIELDS.iter().map(|field| (strsim::damerau_levenshtein(field, name), *field)).min();
    match nearest {
        Some((distance, field)) if distance <= name.len().div_ceil(2) => {
            format!("there is no {name:?}; did you mean {field:?}?")
        }
        Some(_) | None => format!("there is no {name:?}; there are {}", FIELDS.join(", ")),
    }
}

fn not_a_template(key: &str, problem: &minijinja::Error) -> PayloadError {
    let what = problem.detail().map_or_else(|| problem.kind().to_string(), ToOwned::to_owned);
    error(key, format!("the template cannot be used: {what}"))
}

fn render_one(
    environment: &Environment<'_>,
    key: &str,
    text: &str,
    context: &Value,
) -> Result<String, PayloadError> {
    environment.render_str(text, context.clone()).map_err(|problem| not_a_template(key, &problem))
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
        "z".to_owned().repeat(7),
    ];
    let text = source.get(key).map_or("", String::as_str);
    let mut found: Option<(String, String)> = None;
    for stand_in in &stand_ins {
        let context = Value::from_pairs([(TOKEN, Value::from(stand_in.as_str()))]);
        let rendered = render_one(environment, key, text, &context)?;
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

/// Every field but the token; absent ones are absent.
fn plain_fields(parcel: &Parcel) -> BTreeMap<&'static str, String> {
    let marks = &parcel.marks;
    let scopes: Vec<&str> = parcel.scopes.iter().map(|scope| scope.as_str()).collect();
    let mut fields = BTreeMap::from([
        ("token_id", marks.token_id.to_string()),
        ("generation", marks.generation.to_string()),
        ("ledger", marks.ledger.to_string()),
        ("connection", parcel.connection.to_string()),
        ("connection_id", marks.connection_id.to_string()),
        ("provider", parcel.provider.to_string()),
        ("scim_endpoint", parcel.scim_endpoint.clone()),
        ("scopes", scopes.join(" ")),
        ("created_at", rfc3339(parcel.created_at)),
    ]);
    if let Some(previous) = &marks.previous_token_id {
        fields.insert("previous_token_id", previous.to_string());
    }
    if let Some(expires_at) = parcel.expires_at {
        fields.insert("expires_at", rfc3339(expires_at));
    }
    fields
}

/// What a template sees: every name but the token's, the absent ones as empty text, so that no
/// delivery can fail for a token without expiry.
fn context(mut fields: BTreeMap<&'static str, String>, generation: u64) -> Value {
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
        let fields = all
            .iter()
            .filter(|(name, _)| !absent.contains(name))
            .map(|(name, text)| (*name, (*text).to_owned()))
            .collect();
        context(fields, generation)
    })
    .collect()
}

/// Text that held a value and is wiped when dropped.
pub(crate) type Wiped = Zeroizing<String>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::parse_timestamp, token::*};

    fn parcel(expires: bool) -> Parcel {
        Parcel {
            value: TokenValue::try_new("tok_canary.0123\"<&$\\".to_owned()).unwrap(),
            marks: Marks {
                token_id: TokenId::try_new("tok_canary").unwrap(),
                previous_token_id: expires.then(|| TokenId::try_new("tok_before").unwrap()),
                generation: 7,
                ledger: LedgerId::try_new("ledger1").unwrap(),
                connection_id: ConnectionId::try_new("con_1").unwrap(),
            },
            connection: ConnectionName::try_new("initech").unwrap(),
            provider: ProviderName::try_new("acme").unwrap(),
            scim_endpoint: "https://acme.example.com/scim".to_owned(),
            scopes: ["post:users", "get:users"].map(|scope| Scope::try_new(scope).unwrap()).into(),
            created_at: parse_timestamp("2026-11-22T04:00:00.123Z").unwrap(),
            expires_at: expires.then(|| parse_timestamp("2026-12-22T04:00:00Z").unwrap()),
        }
    }

    fn source(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn the_default_payload_has_the_fields_and_leaves_absent_ones_out() {
        let all = default_payload(&parcel(true));
        let mut names: Vec<&str> = FIELDS.to_vec();
        names.sort_unstable();
        assert_eq!(all.keys().copied().collect::<Vec<_>>(), names);
        assert_eq!(all["scopes"].expose(), "get:users post:users");
        assert_eq!(all["created_at"].expose(), "2026-11-22T04:00:00Z");
        assert_eq!(all["generation"].expose(), "7");
        let fewer = default_payload(&parcel(false));
        assert!(!fewer.contains_key("expires_at") && !fewer.contains_key("previous_token_id"));
        assert_eq!(fewer.len(), FIELDS.len() - 2);
    }

    #[test]
    fn marks_are_read_back_and_not_when_anything_is_missing() {
        let parcel = parcel(true);
        let fields = default_payload(&parcel);
        let get = |name: &str| fields.get(name).map(|text| text.expose().to_owned());
        assert_eq!(marks_in(get), Some(parcel.marks.clone()));
        for gone in ["token_id", "generation", "ledger", "connection_id"] {
            assert_eq!(marks_in(|name| get(name).filter(|_| name != gone)), None);
        }
        let spoilt = |name: &str| match name {
            "generation" => Some("-1".to_owned()),
            other => get(other),
        };
        assert_eq!(marks_in(spoilt), None);
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
            let parcel = parcel(expires);
            let rendered = template.render(&parcel).unwrap();
            let plain: BTreeMap<String, String> = rendered
                .iter()
                .map(|(key, text)| (key.clone(), text.expose().to_owned()))
                .collect();
            assert_eq!(plain["AUTH"], "Bearer tok_canary.0123\"<&$\\;");
            assert_eq!(plain["URL"], "https://acme.example.com/scim/Users");
            assert_eq!(plain["NEXT"], "8");
            assert_eq!(plain["UNTIL"] == "never", !expires);
            let back = template.token_in(&plain).unwrap();
            assert_eq!(back.expose(), parcel.value.expose());
            assert!(!format!("{rendered:?} {template:?}").contains("0123"));
        }
        assert!(template.token_in(&source(&[("AUTH", "Basic x;")])).is_none());
        assert!(template.token_in(&source(&[("AUTH", "Bearer ;")])).is_none());
    }

    #[test]
    fn what_cannot_be_delivered_or_read_back_is_refused_with_words() {
        let cases: [(&[(&str, &str)], &str, &str); 12] = [
            (&[("A", "{{ tokn }}")], "A", "did you mean \"token\"?"),
            (&[("A", "{{ token }}"), ("B", "{{ password_of_root }}")], "B", "there are token,"),
            (&[("A", "{{ token")], "A", "cannot be used"),
            (&[("A", "x")], "", "no key holds the token"),
            (&[], "", "no key holds the token"),
            (&[("A", "{{ token }}"), ("B", "{{ token }}")], "B", "exactly one"),
            (&[("A", "{{ token | upper }}")], "A", "literal text"),
            (&[("A", "{{ token[:4] }}")], "A", "literal text"),
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
    fn functions_that_could_run_away_are_not_there() {
        let refused =
            PayloadTemplate::parse(&source(&[("A", "{{ token }}"), ("B", "{{ range(9) }}")]))
                .unwrap_err();
        assert!(refused.message.contains("there is no \"range\""), "{refused}");
    }
}
