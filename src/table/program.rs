//! Programs that the configuration names, with their arguments.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::{Value, secret::Secrets};
use crate::{child::trust::untrusted, error::system_words};

/// Reads a list of a program and its arguments; `how` is an example of one. What is wrong with the
/// program is an error for everybody, but for what only another account could put right.
pub(crate) fn command<'s>(
    value: &Value<'s>,
    secrets: Secrets,
    how: &str,
) -> Option<(PathBuf, Vec<Value<'s>>)> {
    let key = value.key();
    let how = format!("write {how}; no shell is involved");
    if value.as_str().is_some() {
        value.refuse(format!("`{key}` must be a list: the program and its arguments"), how);
        return None;
    }
    let items = value.list("a list: the program and its arguments")?;
    let Some((first, rest)) = items.split_first() else {
        value.refuse(format!("`{key}` is empty"), how);
        return None;
    };
    let path = first.path()?;
    if let Some((trouble, hint)) = unusable(&path) {
        first.refuse(format!("`{key}`: {} {trouble}", path.display()), hint);
        return None;
    }
    if let Some(found) = untrusted(&path) {
        let words = format!("`{key}`: {}", found.trouble);
        if found.of_this_account && secrets != Secrets::Needed {
            let hint = format!("{}, or run `check` as the user that scimitar runs as", found.hint);
            value.findings().warning(first.at, words, hint);
        } else {
            first.refuse(words, found.hint);
            return None;
        }
    }
    Some((path, rest.to_vec()))
}

/// An argument may be empty.
pub(crate) fn argument(value: &Value<'_>) -> Option<String> {
    let text = match value.as_str() {
        Some("") => "",
        Some(_) | None => value.string()?,
    };
    if text.contains('\0') {
        value.refuse("an argument cannot hold a NUL", "leave it out");
        return None;
    }
    Some(text.to_owned())
}

fn unusable(path: &Path) -> Option<(String, String)> {
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) => {
            let hint = "write the program's path, absolute or relative to this file's folder; $PATH is \
                        not searched";
            return Some((format!("cannot be used: {}", system_words(&error)), hint.to_owned()));
        }
    };
    if !metadata.is_file() {
        Some(("is not a file".to_owned(), "name a program".to_owned()))
    } else if metadata.permissions().mode() & 0o111 == 0 {
        Some(("cannot be executed".to_owned(), format!("chmod +x {}", path.display())))
    } else {
        None
    }
}
