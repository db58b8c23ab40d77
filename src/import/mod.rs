//! What another tool manages: SCIM tokens in a Terraform or Pulumi state, and the connections that take
//! them over.
//!
//! A state holds the values of its tokens. They are never copied: what is read of a resource are the
//! attributes that [`Managed`] names, and its value is none of them.

mod handover;
mod names;
mod pulumi;
mod terraform;

use std::{collections::BTreeMap, io::Read, path::Path};

use serde_json::{Map, Value};

pub use self::handover::handover;
use crate::{
    provider::{KINDS, kind::Managed},
    token::{ConnectionId, Scope, Scopes, TokenId, looks_like_a_value},
};

/// More than any state has; a device is not read to its end.
const LARGEST: u64 = 256 * 1024 * 1024;

/// Whose state it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// Terraform, and OpenTofu.
    Terraform,
    /// Pulumi.
    Pulumi,
}

/// What a state says of SCIM tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Whose it is.
    pub tool: Tool,
    /// What it is, in words: "Terraform state, version 4".
    pub form: String,
    /// The tokens, in the order of the file.
    pub tokens: Vec<ManagedToken>,
    /// Resources that could not be read, each with the reason.
    pub unreadable: Vec<String>,
}

/// One token that the tool manages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManagedToken {
    /// How the tool calls it: an address in Terraform, a URN in Pulumi.
    pub address: String,
    /// A name for people, taken from the address.
    pub label: String,
    /// The word of the kind of provider, as in `type = "…"`.
    pub kind: &'static str,
    /// Whose token it is; `None` where an account has one connection.
    pub connection: Option<ConnectionId>,
    /// Its id.
    pub token: TokenId,
    /// Its scopes; empty where the state names none.
    pub scopes: Scopes,
    /// Whether its value lies in the state.
    pub has_value: bool,
}

/// Why a file is no state that can be read.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be read.
    #[error("could not read {file}: {}", crate::error::system_words(source))]
    Unreadable {
        /// Its name.
        file: String,
        /// Why.
        source: std::io::Error,
    },
    /// It is something else.
    #[error("{file}: {what}")]
    NotAState {
        /// Its name.
        file: String,
        /// What it is, and the way out. Nothing of what it holds: that may be secret.
        what: String,
    },
}

/// Reads a state of that tool.
///
/// # Errors
/// When the file cannot be read or is no such state.
pub fn read(tool: Tool, file: &Path) -> Result<State, ImportError> {
    let name = file.display().to_string();
    let document = document(file)?;
    let read = match tool {
        Tool::Terraform => terraform::read(&document),
        Tool::Pulumi => pulumi::read(&document),
    };
    read.map_err(|what| ImportError::NotAState { file: name, what })
}

/// Reads a state of either tool.
///
/// # Errors
/// When the file cannot be read or is a state of neither.
pub fn read_any(file: &Path) -> Result<State, ImportError> {
    let document = document(file)?;
    let pulumi = pulumi::is_one(&document);
    let read = if pulumi { pulumi::read(&document) } else { terraform::read(&document) };
    read.map_err(|what| ImportError::NotAState { file: file.display().to_string(), what })
}

fn document(file: &Path) -> Result<Value, ImportError> {
    let name = file.display().to_string();
    let mut bytes = Vec::new();
    std::fs::File::open(file)
        .and_then(|open| open.take(LARGEST + 1).read_to_end(&mut bytes))
        .map_err(|source| ImportError::Unreadable { file: name.clone(), source })?;
    if bytes.len() as u64 > LARGEST {
        let what = "it is larger than 256 MiB: not a state".to_owned();
        return Err(ImportError::NotAState { file: name, what });
    }
    // Windows PowerShell writes a byte order mark in front of what it redirects.
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    if text.starts_with(b"\xff\xfe") || text.starts_with(b"\xfe\xff") {
        let what = "this is UTF-16, as Windows PowerShell writes it: store it as UTF-8 (Out-File \
                    -Encoding utf8)";
        return Err(ImportError::NotAState { file: name, what: what.to_owned() });
    }
    // Not the parser's words: they can quote the file.
    serde_json::from_slice(text).map_err(|error| ImportError::NotAState {
        file: name,
        what: format!("{} (line {}, column {})", trouble(&error), error.line(), error.column()),
    })
}

/// What keeps JSON from being read. Only the words of the parser tell what it cannot hold from what is
/// no JSON at all.
fn trouble(error: &serde_json::Error) -> &'static str {
    let words = error.to_string();
    if words.starts_with("recursion limit exceeded") {
        "this is JSON that is nested more than 127 levels deep: not a state"
    } else if words.starts_with("number out of range") {
        "this is JSON with a number too large to be read"
    } else {
        "this is not JSON"
    }
}

/// The kind whose tokens a resource of this type is, and how.
fn kind_of(is_it: impl Fn(&Managed) -> bool) -> Option<(&'static str, &'static Managed)> {
    KINDS.iter().find_map(|kind| {
        let managed = kind.managed.as_ref().filter(|managed| is_it(managed))?;
        Some((kind.word, managed))
    })
}

/// Where a resource stands in a state, and what it holds.
struct Resource<'a> {
    address: String,
    label: String,
    /// Its attributes, by their name in Terraform.
    attributes: BTreeMap<&'static str, &'a Value>,
}

impl Resource<'_> {
    /// The token; what is wrong with the resource, without any of its values.
    fn token(&self, kind: &'static str, managed: &Managed) -> Result<ManagedToken, String> {
        let value = self.attributes.get(managed.value).and_then(|value| value.as_str());
        let value = value.filter(|value| value.len() >= SHORTEST);
        let secret =
            |text: &str| value.is_some_and(|value| text.contains(value)) || has_a_value(text);
        if secret(&self.address) || secret(&self.label) {
            return Err(
                "a resource whose address contains a token's value, so it is not shown".to_owned()
            );
        }
        let wrong = |what: &str| format!("{}: {what}", self.address);
        let id = self.text(managed.token).ok_or_else(|| wrong("it has no token id"))?;
        // A value in the place of an id would be shown.
        let token = TokenId::try_answered(&id).ok_or_else(|| wrong("its token id is not valid"))?;
        let connection = match managed.connection {
            None => None,
            Some(attribute) => {
                let id = self.text(attribute).ok_or_else(|| wrong("it has no connection id"))?;
                let id = (!secret(&id)).then(|| ConnectionId::try_new(id).ok()).flatten();
                Some(id.ok_or_else(|| wrong("its connection id is not valid"))?)
            }
        };
        let listed = managed.scopes.and_then(|attribute| self.attributes.get(attribute));
        let mut scopes = Scopes::new();
        for scope in listed.and_then(|listed| listed.as_array()).into_iter().flatten() {
            let scope = scope.as_str().filter(|scope| !secret(scope));
            let scope = scope.and_then(|scope| Scope::try_new(scope).ok());
            scopes.insert(scope.ok_or_else(|| wrong("one of its scopes is not valid"))?);
        }
        let value = self.attributes.get(managed.value);
        Ok(ManagedToken {
            address: self.address.clone(),
            label: self.label.clone(),
            kind,
            connection,
            token,
            scopes,
            has_value: value.is_some_and(|value| !value.is_null() && value.as_str() != Some("")),
        })
    }

    /// A text, or a number as one.
    fn text(&self, attribute: &str) -> Option<String> {
        match self.attributes.get(attribute)? {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::String(_)
            | Value::Null
            | Value::Bool(_)
            | Value::Array(_)
            | Value::Object(_) => None,
        }
    }
}

/// A shorter value is taken for a word that may stand anywhere.
const SHORTEST: usize = 8;

/// Whether a word in a text looks like a token's value.
fn has_a_value(text: &str) -> bool {
    let in_a_value = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    text.split(|letter| !in_a_value(letter)).any(looks_like_a_value)
}

/// The attributes that [`Managed`] names, as `called` says that the tool calls them.
fn attributes<'a>(
    managed: &Managed,
    held: &'a Map<String, Value>,
    called: impl Fn(&str) -> String,
) -> BTreeMap<&'static str, &'a Value> {
    let named = [Some(managed.token), managed.connection, managed.scopes, Some(managed.value)];
    named
        .into_iter()
        .flatten()
        .filter_map(|attribute| Some((attribute, held.get(&called(attribute))?)))
        .collect()
}

#[cfg(test)]
mod tests;
