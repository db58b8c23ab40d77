//! Keys of TOML tables that name a region of AWS, and where it is reached.

use reqwest::Url;

use crate::table::{Value, guarded, shown, url};

/// A region's code, as a pattern.
pub(crate) const REGION: &str = r"^[a-z0-9-]*-[a-z0-9-]*[0-9]$";

/// Reads a region's code.
pub(crate) fn region(value: &Value<'_>) -> Option<String> {
    let text = value.string()?;
    let fits = text.contains('-')
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && text.ends_with(|c: char| c.is_ascii_digit());
    if !fits {
        value.refuse(
            format!("`{}` cannot be \"{}\"", value.key(), shown(text)),
            format!("write the region's code, such as {} = \"eu-central-1\"", value.key()),
        );
    }
    fits.then(|| text.to_owned())
}

/// Reads the address of a service.
pub(crate) fn endpoint(value: &Value<'_>) -> Option<Url> {
    let url = url(value, "\"https://vpce-….secretsmanager.eu-central-1.vpce.amazonaws.com\"")?;
    let key = value.key();
    let no_path = || match url.path() {
        "/" => Ok(()),
        _ => Err("must not hold a path".to_owned()),
    };
    let refuse = |trouble: String| {
        value.refuse(
            format!("`{key}` {trouble}"),
            "name only the endpoint, such as that of a VPC; leave it out to use the region's own",
        );
    };
    guarded(&url, "tokens").and_then(|()| no_path()).map_err(refuse).ok()?;
    Some(url)
}
