//! The keys that several kinds of provider have: how they are read, and the same as JSON Schema.

use reqwest::Url;
use serde_json::Value as Schema;

use super::{allowance::LimitShare, budget::RateLimit};
use crate::table::{
    self, Table, Value, amount,
    shape::{self, Keys, by_default, guarded_url, positive, whole},
    url,
};

/// The share of a tenant's request limit that is used when `share` does not say.
const DEFAULT_SHARE: f64 = 0.5;

/// A host name, as a pattern.
pub(super) const HOST: &str =
    r"^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)+$";

/// A host name, in lower case; `how` says how to write it.
pub(super) fn host_name(value: &Value<'_>, how: &str) -> Option<String> {
    let domain = value.string()?.to_ascii_lowercase();
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    if domain.len() > 253 || !domain.split('.').all(label) || !domain.contains('.') {
        value.refuse(format!("`{}` is not a host name", value.key()), how);
        return None;
    }
    Some(domain)
}

/// Where a provider is reached; https, or http to loopback; no path.
pub(super) fn base_url(value: &Value<'_>) -> Option<Url> {
    let url = guarded(value)?;
    if url.path() != "/" {
        refuse_url(value, "must not hold a path");
        return None;
    }
    Some(url)
}

/// The same, where it may begin with a path.
pub(super) fn guarded(value: &Value<'_>) -> Option<Url> {
    let url = url(value, "\"http://127.0.0.1:4400\"")?;
    let refuse = |trouble: String| refuse_url(value, &trouble);
    table::guarded(&url, "credentials").map_err(refuse).ok()?;
    Some(url)
}

fn refuse_url(value: &Value<'_>, trouble: &str) {
    value.refuse(
        format!("`{}` {trouble}", value.key()),
        "write https://HOST, or http://127.0.0.1:PORT for a server on this machine",
    );
}

/// A word that was copied from somewhere.
pub(super) fn plain_word(value: &Value<'_>) -> Option<String> {
    value.unbroken("copy it again from the application's settings")
}

/// `rate_limit`.
pub(super) fn rate_limit(table: &Table<'_>) -> Option<RateLimit> {
    let value = table.get("rate_limit")?;
    let limit = value.table(format!("`rate_limit` of {}", table.name()))?;
    let per_second = limit.require("per_second", "16").and_then(|value| value.positive(100_000.0));
    let burst = limit.require("burst", "50").and_then(|value| value.integer(1..=1_000_000));
    limit.finish(&[]);
    RateLimit::try_new(per_second?, burst?)
}

/// `share`.
pub(super) fn share(table: &Table<'_>) -> LimitShare {
    let share = table.get("share").and_then(|value| {
        let text = value.text_with_unit("a share such as \"50%\"")?;
        let share = amount::percent(text).filter(|share| *share > 0.0 && *share <= 1.0);
        if share.is_none() {
            value.refuse("`share` must be more than 0% and at most 100%", "write share = \"50%\"");
        }
        share
    });
    LimitShare(share.unwrap_or(DEFAULT_SHARE))
}

/// `base_url` of a service whose address follows from other keys, as JSON Schema.
pub(super) fn base_url_shape() -> Schema {
    const ABOUT: &str = "Another address to reach it at; http only to this machine. For a \
                         substitute such as `scimitar sandbox`.";
    guarded_url(ABOUT, "http://127.0.0.1:4400")
}

/// `rate_limit` and `share`, as JSON Schema.
pub(super) fn limits(keys: Keys) -> Keys {
    const LIMIT: &str = "The provider's request limit. Default: learnt from its answers, or its documented \
                         limit; for the sandbox: none.";
    const SHARE: &str = "How much of that limit Scimitar may use. Default: \"50%\".";
    let limit = shape::table(LIMIT)
        .must("per_second", positive("Sustained requests per second.", 100_000.0, 16.0))
        .must("burst", whole("Size of a burst.", 1, 1_000_000, 50))
        .build();
    keys.may("rate_limit", limit).may("share", by_default("50%", shape::share(SHARE, "50%")))
}
