//! `webhook`: what is posted, and where to.

use std::collections::BTreeMap;

use reqwest::{
    Url,
    header::{HeaderName, HeaderValue},
};

use super::HookCall;
use crate::{
    hook::{
        self, Address, Body, BodyTemplate, ContentType, HeaderText, NOT_A_HEADER, Post, SigningKey,
    },
    http::Endpoint,
    table::{Keyring, SecretRef, Table, Value, secret},
};

/// Headers that the request itself sets.
const OWN: [&str; 12] = [
    "accept",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What the name of a header holds whose value is a secret.
const SECRET_WORDS: [&str; 8] =
    ["auth", "cookie", "credential", "key", "passw", "secret", "signature", "token"];

/// A segment of a path this long, with a digit in it, may be a key.
const LONG: usize = 20;

/// Reads `webhook`.
pub(super) fn webhook(value: &Value<'_>, keyring: Keyring<'_>) -> Option<HookCall> {
    let table = value.table("`webhook`")?;
    let url = table
        .require("url", "\"https://hooks.example.com/scimitar\"")
        .map(|value| address(&value, keyring));
    let headers = table.get("headers").map(|value| headers(&value, keyring));
    let body = body(&table, keyring);
    let own_key = match &url {
        Some(Some(Address::Plain(endpoint))) => endpoint.url().query().is_some(),
        Some(Some(Address::Kept(_)) | None) | None => true,
    };
    let kept =
        |(_, text): &(HeaderName, HeaderText<SecretRef>)| matches!(text, HeaderText::Kept(_));
    let own_key =
        own_key || headers.iter().flatten().flatten().any(kept) || !matches!(body, Some(None));
    // What has a key or a form of its own is told in its own way.
    let secret = match table.get("secret") {
        None if own_key => None,
        Some(value) => Some(signing_key(&value, keyring)),
        None => table
            .require("secret", "{ file = \"/etc/scimitar/webhook-secret\" }")
            .map(|value| signing_key(&value, keyring))
            .or(Some(None)),
    };
    table.finish(&[]);
    Some(HookCall::Webhook(Box::new(Post {
        url: url??,
        headers: headers.map_or(Some(Vec::new()), |read| read)?,
        body: body?,
        secret: secret.map_or(Some(None), |read| read.map(Some))?,
    })))
}

fn signing_key(value: &Value<'_>, keyring: Keyring<'_>) -> Option<SecretRef> {
    secret::reference(value, keyring, |secret| {
        SigningKey::try_new(secret).map(drop).map_err(|_| {
            "the secret must be whsec_ followed by 24 to 64 bytes in base64; \
             make one with printf 'whsec_%s' \"$(openssl rand -base64 32)\""
        })
    })
}

fn address(value: &Value<'_>, keyring: Keyring<'_>) -> Option<Address<SecretRef>> {
    if value.is_table() {
        let accept = |secret: &crate::secret::Secret| hook::address(secret.expose()).map(drop);
        return secret::reference(value, keyring, accept).map(Address::Kept);
    }
    let text = value.string()?;
    let parsed = Url::parse(text).ok().filter(Url::has_host);
    let Some(url) = parsed else {
        value.refuse(
            "`url` is not a URL",
            "write url = \"https://hooks.example.com/scimitar\", or url = { file = \"PATH\" } where the URL holds a key",
        );
        return None;
    };
    let plain = url.scheme() == "http";
    let may_hold_a_key = holds_a_key(&url);
    let endpoint = match Endpoint::try_new(url) {
        Ok(endpoint) => endpoint,
        Err(_) if plain => {
            value.refuse(
                "`url` must begin with https://",
                "plain http is allowed only to this machine, such as http://127.0.0.1:8080/",
            );
            return None;
        }
        Err(error) => {
            value.refuse(format!("`url`: {error}"), "write only the address");
            return None;
        }
    };
    if may_hold_a_key {
        value.findings().warning(
            value.at,
            "`url` may contain a key, which everyone who can read this file would have",
            "move the whole URL to a file that only scimitar's user can read, and write url = { file = \"PATH\" }",
        );
    }
    Some(Address::Plain(endpoint))
}

fn holds_a_key(url: &Url) -> bool {
    let is_key =
        |segment: &str| segment.len() >= LONG && segment.bytes().any(|byte| byte.is_ascii_digit());
    url.query().is_some() || url.path_segments().is_some_and(|mut path| path.any(is_key))
}

/// A header's name in lower case, and its value.
fn headers(
    value: &Value<'_>,
    keyring: Keyring<'_>,
) -> Option<Vec<(HeaderName, HeaderText<SecretRef>)>> {
    let table = value.table("`headers`")?;
    let mut read: Vec<(HeaderName, _)> = Vec::new();
    let mut whole = true;
    for (key, value) in table.values() {
        match header(key, &value, keyring) {
            Some((name, _)) if read.iter().any(|(other, _)| *other == name) => {
                value.refuse(format!("the header {name} is set twice"), "leave one out");
                whole = false;
            }
            Some(header) => read.push(header),
            None => whole = false,
        }
    }
    whole.then_some(read)
}

fn header(
    key: &str,
    value: &Value<'_>,
    keyring: Keyring<'_>,
) -> Option<(HeaderName, HeaderText<SecretRef>)> {
    let Ok(name) = HeaderName::try_from(key) else {
        value.refuse("`headers`: this is not the name of a header", "write \"X-Name\" = \"value\"");
        return None;
    };
    if name == "content-type" {
        value.refuse(
            "`headers` cannot set content-type",
            "write content_type = \"…\" beside `body`",
        );
        return None;
    }
    if OWN.contains(&name.as_str()) || name.as_str().starts_with("webhook-") {
        value.refuse(format!("`headers` cannot set {name}"), "Scimitar sets it; leave it out");
        return None;
    }
    if value.is_table() {
        let accept = |secret: &crate::secret::Secret| {
            HeaderValue::from_str(secret.expose()).map(drop).map_err(|_| NOT_A_HEADER)
        };
        let kept = secret::reference(value, keyring, accept)?;
        return Some((name, HeaderText::Kept(kept)));
    }
    if SECRET_WORDS.iter().any(|word| name.as_str().contains(word)) {
        value.refuse(
            format!("the header {name} takes a reference, never the secret itself"),
            format!("write \"{name}\" = {{ file = \"PATH\" }}; {{ env = \"NAME\" }} and {{ credential = \"NAME\" }} also work"),
        );
        return None;
    }
    let Ok(text) = HeaderValue::from_str(value.string()?) else {
        let message = format!("`headers`: this cannot be the value of {name}");
        value.refuse(message, "write text on one line");
        return None;
    };
    Some((name, HeaderText::Plain(text)))
}

/// `body`, with what belongs to it; `Some(None)`: a CloudEvent is sent.
fn body(table: &Table<'_>, keyring: Keyring<'_>) -> Option<Option<Body<SecretRef>>> {
    let source = table.get("body");
    let content_type = table.get("content_type");
    let secrets = table.get("secrets");
    let Some(source) = source else {
        for value in content_type.iter().chain(&secrets) {
            value.refuse(
                format!("`{}` has no effect without `body`", value.key()),
                "without one, a CloudEvent is sent: leave this out, or write body = '{ \"text\": \"{{ why }}\" }'",
            );
        }
        return (content_type.is_none() && secrets.is_none()).then_some(None);
    };
    let content_type = match content_type {
        None => ContentType::try_new(ContentType::DEFAULT),
        Some(value) => value.string().and_then(|text| {
            let read = ContentType::try_new(text);
            if read.is_none() {
                value.refuse(
                    "`content_type` is not supported with `body`",
                    "supported are JSON (application/json, application/…+json), application/x-www-form-urlencoded, text/plain or text/markdown",
                );
            }
            read
        }),
    };
    let secrets = match &secrets {
        None => Some(BTreeMap::new()),
        Some(value) => body_secrets(value, keyring),
    };
    let text = source.string();
    let (content_type, secrets) = (content_type?, secrets?);
    let named = secrets.keys().map(String::as_str);
    let refuse = |words: String| {
        source.refuse(
            format!("`body`: {words}"),
            format!(
                "it may use {}, and {{{{ secrets.NAME }}}} for each name in `secrets`",
                hook::FIELDS.map(|name| format!("{{{{ {name} }}}}")).join(", ")
            ),
        );
    };
    let template = BodyTemplate::parse(text?, content_type, named).map_err(refuse).ok()?;
    for name in secrets.keys().filter(|name| !template.secrets().contains(*name)) {
        source.findings().warning(
            source.at,
            format!("`body` does not use the secret {name}"),
            format!("write {{{{ secrets.{name} }}}} in it, or leave the secret out"),
        );
    }
    Some(Some(Body { template, secrets }))
}

fn body_secrets(value: &Value<'_>, keyring: Keyring<'_>) -> Option<BTreeMap<String, SecretRef>> {
    let table = value.table("`secrets`")?;
    let mut read = BTreeMap::new();
    let mut whole = true;
    for (name, value) in table.values() {
        let is_word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && !name.starts_with(|first: char| first.is_ascii_digit());
        if !is_word {
            value.refuse(
                "`secrets`: this name cannot be written in a template",
                "use letters, digits and underscores",
            );
            whole = false;
        } else if let Some(secret) = secret::reference(&value, keyring, |_| Ok(())) {
            read.insert(name.to_owned(), secret);
        } else {
            whole = false;
        }
    }
    whole.then_some(read)
}
