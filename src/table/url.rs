//! Addresses of services.

use std::net::IpAddr;

use reqwest::Url;

use super::Value;

/// A URL with a host, without credentials, query or fragment: those are where secrets hide, so
/// nothing of a refused one is shown.
pub(crate) fn url(value: &Value<'_>, example: &str) -> Option<Url> {
    let text = value.string()?;
    let parsed = Url::parse(text).ok().filter(Url::has_host);
    let Some(url) = parsed else {
        value.refuse(
            format!("`{}` is not a URL", value.key()),
            format!("write {} = {example}", value.key()),
        );
        return None;
    };
    if !url.username().is_empty() || url.password().is_some() {
        let hint = if value.key() == "proxy" {
            "move the whole URL to a file that only scimitar's user can read, and write \
             proxy = { file = \"PATH\" }; { env = \"NAME\" } and { credential = \"NAME\" } also work"
        } else {
            "write only the address"
        };
        value.refuse(format!("`{}` must not hold a user name or password", value.key()), hint);
        return None;
    }
    if url.query().is_some() || url.fragment().is_some() {
        value.refuse(
            format!("`{}` must not hold a query or fragment", value.key()),
            "end it before the `?` or `#`",
        );
        return None;
    }
    Some(url)
}

/// The address of a page for people, with whatever they need behind it.
pub(crate) fn page(value: &Value<'_>, hint: &str) -> Option<String> {
    let text = value.line("\"https://…\"")?;
    let url = Url::parse(&text).ok().filter(Url::has_host);
    let bare = |url: &Url| url.username().is_empty() && url.password().is_none();
    if url.is_some_and(|url| bare(&url) && guarded(&url, "what is pasted").is_ok()) {
        return Some(text);
    }
    value.refuse(
        format!("`{}` must be an https:// address without a user name or password", value.key()),
        hint,
    );
    None
}

/// Refuses what is neither https nor http to this machine alone.
///
/// # Errors
/// In words that fit behind the key's name; `what` would be readable on the way.
pub(crate) fn guarded(url: &Url, what: &str) -> Result<(), String> {
    match url.scheme() {
        "https" => Ok(()),
        "http" if is_loopback(url) => Ok(()),
        "http" => Err(format!("is http:// to another machine: {what} would be readable")),
        _ => Err("is neither https:// nor http:// to loopback".to_owned()),
    }
}

/// An address that tokens are sent to: a host and nothing behind it.
pub(crate) fn address(value: &Value<'_>, example: &str) -> Option<Url> {
    let url = url(value, example)?;
    let no_path = || match url.path() {
        "/" => Ok(()),
        _ => Err("must not hold a path".to_owned()),
    };
    let refuse = |words: String| {
        value.refuse(
            format!("`{}` {words}", value.key()),
            format!("write {} = {example}", value.key()),
        );
    };
    guarded(&url, "tokens").and_then(|()| no_path()).map_err(refuse).ok()?;
    Some(url)
}

/// Whether a URL's host can only be this machine.
fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
