//! The path of a secret: which paths are valid, what is left below the mount, and its location.

use reqwest::Url;

/// The longest valid path, in bytes.
const LONGEST: usize = 512;

/// Checks that a path can be one of a secret. Rejects a path that the server would read as another.
///
/// # Errors
/// In words that fit behind the path's name.
pub(super) fn check_path(path: &str) -> Result<(), &'static str> {
    if path.len() > LONGEST {
        return Err("is longer than 512 bytes");
    }
    if path.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err("holds white space or control characters");
    }
    if path.chars().any(|c| "%?#\\*".contains(c)) {
        return Err("holds one of % ? # \\ *, which have a special meaning in a URL or a policy");
    }
    if path.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
        return Err("has an empty part, \".\" or \"..\": the server would read it as another path");
    }
    Ok(())
}

/// The part of a path below its mount; `None` if the path is not in this mount.
pub(super) fn below<'p>(path: &'p str, mount: &str) -> Option<&'p str> {
    path.strip_prefix(mount)?.strip_prefix('/').filter(|rest| !rest.is_empty())
}

/// The location of a path on a server, as messages and keys name it.
pub(super) fn location(address: &Url, namespace: Option<&str>, path: &str) -> String {
    let address = address.as_str().trim_end_matches('/');
    let namespace = namespace.map(|name| format!("{name}/")).unwrap_or_default();
    format!("{address}/{namespace}{path}")
}
