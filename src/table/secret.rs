//! References to secrets: where one is kept, never the secret itself.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::{
    Value, file,
    stored::{KnownStores, StoreWord, StoredSecret},
};
use crate::{
    clock::{Clock, SystemClock, Timestamp},
    error::system_words,
    secret::Secret,
    shown::is_invisible,
};

/// More than any key or client secret needs; a device or a log file is not read to its end.
const LARGEST: u64 = 64 * 1024;

/// The folder that systemd puts credentials in (`LoadCredential=`).
const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";

/// How a command gets the unit's credentials from a shell.
const IN_A_UNIT: &str = "systemd-run --wait --pipe -p DynamicUser=yes -p User=scimitar -p StateDirectory=scimitar \
     -p StateDirectoryMode=0700 -p LoadCredential=NAME:/path scimitar …";

/// The process's environment, as a parameter.
pub trait Environment: fmt::Debug + Send + Sync {
    /// A variable's value, if it is set.
    fn var(&self, name: &str) -> Option<OsString>;

    /// The time, by which what is over is told from what is to come.
    fn now(&self) -> Timestamp {
        SystemClock.now()
    }
}

/// The real environment.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn var(&self, name: &str) -> Option<OsString> {
        std::env::var_os(name)
    }
}

impl Environment for BTreeMap<String, String> {
    fn var(&self, name: &str) -> Option<OsString> {
        self.get(name).map(OsString::from)
    }
}

/// What a command wants of the secrets that the configuration refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// Their values: one that cannot be read is a mistake.
    Needed,
    /// That they are right as far as they can be read from here: one that is not there is warned
    /// of, since another account or the unit may have it.
    Checked,
    /// Nothing: they are not read.
    Unneeded,
}

/// Where secrets come from, and what is wanted of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keyring<'a> {
    pub env: &'a dyn Environment,
    pub secrets: Secrets,
    /// The sinks that can keep them; `None` where they have to be on this machine, since they are what
    /// sinks are reached by.
    pub stores: Option<&'a KnownStores>,
}

/// Where a secret is kept. It is read each time that it is needed, so that a changed file counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretRef(Source);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    Env(String),
    File(PathBuf),
    Credential(String),
    Stored(StoredSecret),
}

/// Why a secret could not be read. Names the place only where that is known to be one: what was
/// written as a name may be the secret itself, by mistake.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The variable is not set.
    #[error("the environment variable that is named here is not set")]
    NotSet,
    /// Empty, or nothing but a line end.
    #[error("the secret is empty")]
    Empty,
    /// Not text.
    #[error("the secret is not UTF-8 text")]
    NotText,
    /// No such file.
    #[error("the file that is named here does not exist")]
    NoFile,
    /// Outside systemd, or without `LoadCredential=`.
    #[error("$CREDENTIALS_DIRECTORY is not set: no credentials were passed to this process")]
    NoCredentials,
    /// The folder has no such file.
    #[error("there is no credential of that name in $CREDENTIALS_DIRECTORY")]
    NoCredential,
    /// It is read by whoever logs in with it.
    #[error("it is stored in a sink, and is not read here")]
    InAStore,
    /// Not a regular file.
    #[error("{0} is not a regular file")]
    NotAFile(PathBuf),
    /// Its mode lets others in.
    #[error("{0} can be read or changed by every user (mode {1:04o})")]
    TooOpen(PathBuf, u32),
    /// Larger than any secret.
    #[error("{0} is larger than 64 KiB: not a secret")]
    TooLarge(PathBuf),
    /// The operating system refused.
    #[error("{0} could not be read: {1}")]
    Io(PathBuf, String),
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Env(name) => write!(f, "the environment variable {name}"),
            Source::File(path) => write!(f, "the file {}", path.display()),
            Source::Credential(name) => write!(f, "the credential {name}"),
            Source::Stored(StoredSecret { sink, location }) => {
                write!(f, "{location} in [sinks.{sink}]")
            }
        }
    }
}

impl SecretRef {
    /// The one in an environment variable.
    #[must_use]
    pub fn of_variable(name: &str) -> Self {
        Self(Source::Env(name.to_owned()))
    }

    /// Where it is kept, where that is a sink's store.
    #[must_use]
    pub fn stored(&self) -> Option<&StoredSecret> {
        match &self.0 {
            Source::Stored(stored) => Some(stored),
            Source::Env(_) | Source::File(_) | Source::Credential(_) => None,
        }
    }

    /// Reads the secret from where it is kept; one trailing line end is dropped.
    ///
    /// # Errors
    /// When it is not there, cannot be read, is empty, or is kept where every user can read it.
    pub fn read(&self, env: &dyn Environment) -> Result<Secret, SecretError> {
        let text = match &self.0 {
            Source::Env(name) => {
                let value = env.var(name).ok_or(SecretError::NotSet)?;
                value.into_string().map_err(|_| SecretError::NotText)?
            }
            Source::File(path) => read_file(path, &SecretError::NoFile)?,
            Source::Stored(_) => return Err(SecretError::InAStore),
            Source::Credential(name) => {
                let folder = env
                    .var(CREDENTIALS_DIRECTORY)
                    .filter(|folder| !folder.is_empty())
                    .ok_or(SecretError::NoCredentials)?;
                read_file(&Path::new(&folder).join(name), &SecretError::NoCredential)?
            }
        };
        let text = Zeroizing::new(text);
        let value = text.strip_suffix('\n').unwrap_or(&text);
        let value = value.strip_suffix('\r').unwrap_or(value);
        if value.trim().is_empty() {
            return Err(SecretError::Empty);
        }
        Ok(Secret::new(value.to_owned()))
    }
}

impl SecretError {
    /// Whether the secret may well be there for another account, or inside the unit.
    fn is_of_this_process(&self) -> bool {
        match self {
            Self::NotSet | Self::NoFile | Self::NoCredentials | Self::Io(..) => true,
            Self::Empty
            | Self::NotText
            | Self::NoCredential
            | Self::InAStore
            | Self::NotAFile(_)
            | Self::TooOpen(..)
            | Self::TooLarge(_) => false,
        }
    }

    fn way_out(&self, folder: &Path) -> String {
        match self {
            Self::NotSet => "set it for the scimitar process (in a unit: Environment= \
                             or EnvironmentFile=)"
                .to_owned(),
            Self::Empty | Self::NotText => "store the secret there, as text".to_owned(),
            Self::NoFile => format!("a relative path starts at {}", folder.display()),
            Self::NoCredentials => format!(
                "only the unit has this credential (LoadCredential=NAME:/path); to run in the same way from a shell: {IN_A_UNIT}"
            ),
            Self::NoCredential => {
                "pass it with LoadCredential= in the systemd unit, or use { file = \"…\" }"
                    .to_owned()
            }
            Self::InAStore => {
                "name a file, an environment variable or a credential of this machine".to_owned()
            }
            Self::NotAFile(_) | Self::TooLarge(_) => {
                "name a file that holds the secret and nothing else".to_owned()
            }
            Self::TooOpen(path, _) => {
                format!("restrict access to it: chmod 600 {}", path.display())
            }
            Self::Io(_, _) => "let the user that runs scimitar read it".to_owned(),
        }
    }
}

fn read_file(path: &Path, missing: &SecretError) -> Result<String, SecretError> {
    let failed = |error: io::Error| {
        // A name that is too long for a file may be the secret itself: it is not shown either.
        let kind = error.kind();
        if kind == io::ErrorKind::NotFound || kind == io::ErrorKind::InvalidFilename {
            missing.clone()
        } else {
            SecretError::Io(path.to_owned(), system_words(&error))
        }
    };
    let Some((file, metadata)) = file::open(path).map_err(failed)? else {
        return Err(SecretError::NotAFile(path.to_owned()));
    };
    if metadata.mode() & 0o006 != 0 {
        return Err(SecretError::TooOpen(path.to_owned(), metadata.mode() & 0o7777));
    }
    // The buffer never grows, so that no copy of the secret is left behind unwiped.
    let room = usize::try_from(LARGEST + 1).unwrap_or(usize::MAX);
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() == room {
        return Err(SecretError::TooLarge(path.to_owned()));
    }
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(SecretError::NotText),
    }
}

/// Reads a reference and, where that is wanted, proves that the secret can be read now; `accept` says what is wrong with
/// it, in words that do not hold it.
pub(crate) fn reference(
    value: &Value<'_>,
    keyring: Keyring<'_>,
    accept: impl FnOnce(&Secret) -> Result<(), &'static str>,
) -> Option<SecretRef> {
    referred(value, keyring, accept, oddities)
}

/// The same for a whole document that holds secrets, where nothing of a single one can be odd.
pub(crate) fn document(value: &Value<'_>, keyring: Keyring<'_>) -> Option<SecretRef> {
    referred(value, keyring, |_| Ok(()), |_| Vec::new())
}

fn referred(
    value: &Value<'_>,
    keyring: Keyring<'_>,
    accept: impl FnOnce(&Secret) -> Result<(), &'static str>,
    oddities: impl FnOnce(&str) -> Vec<&'static str>,
) -> Option<SecretRef> {
    if !value.is_table() {
        value.refuse(
            format!("`{}` takes a reference, never the secret itself", value.key()),
            format!(
                "move it to a file that only scimitar's user can read, and write \
                 {0} = {{ file = \"PATH\" }}\n\
                 or into the environment: {0} = {{ env = \"NAME\" }}, or pass it by systemd: \
                 {0} = {{ credential = \"NAME\" }}\n\
                 anyone who could read this file may know it: replace it at the provider",
                value.key()
            ),
        );
        return None;
    }
    let table = value.table(format!("`{}`", value.key()))?;
    let known = table.findings().count();
    let env_name = table.get("env");
    let path = table.get("file");
    let credential = table.get("credential");
    let stores = keyring.stores;
    let words = stores.iter().flat_map(|stores| &stores.words);
    let stored: Vec<(&StoreWord, Value<'_>)> =
        words.filter_map(|word| Some((word, table.get(word.word)?))).collect();
    let given = [&env_name, &path, &credential].iter().filter(|key| key.is_some()).count();
    let sink = stores.and_then(|_| table.get("sink"));
    if let Some(sink) = sink.filter(|_| stored.is_empty()) {
        sink.refuse("`sink` has no effect: this secret is not stored in a sink", "leave it out");
    }
    let source = match (given + stored.len(), stored.first(), stores) {
        (1, Some((word, location)), Some(stores)) => {
            let sink = sink.or_else(|| table.require("sink", "\"…\""));
            sink.and_then(|sink| stores.read(word, location, &sink)).map(Source::Stored)
        }
        (1, _, _) => named(env_name, path, credential),
        (0, _, _) => {
            let more: String = stores
                .iter()
                .flat_map(|stores| &stores.words)
                .map(|of| format!(", {{ {} = \"{}\", sink = \"NAME\" }}", of.word, of.example))
                .collect();
            value.refuse(
                format!("`{}` does not say where the secret is", value.key()),
                format!(
                    "write one of {{ env = \"NAME\" }}, {{ file = \"PATH\" }}, \
                     {{ credential = \"NAME\" }}{more}"
                ),
            );
            None
        }
        _ => {
            let more = stores.iter().flat_map(|stores| &stores.words).map(|of| of.word);
            let words: Vec<&str> = ["env", "file", "credential"].into_iter().chain(more).collect();
            value.refuse(
                format!("`{}` names more than one place", value.key()),
                format!("keep one of {}", words.join(", ")),
            );
            None
        }
    };
    table.finish(&[]);
    let secret = SecretRef(source?);
    if value.findings().count() > known {
        return None;
    }
    if keyring.secrets == Secrets::Unneeded || secret.stored().is_some() {
        return Some(secret);
    }
    match secret.read(keyring.env) {
        Ok(text) => {
            if let Err(words) = accept(&text) {
                value.refuse(
                    format!("`{}`: {words}", value.key()),
                    format!("it was read from {secret}"),
                );
                return None;
            }
            for odd in oddities(text.expose()) {
                value.findings().warning(
                    value.at,
                    format!("`{}`: the secret {odd}", value.key()),
                    format!("it was read from {secret}; store only the secret there"),
                );
            }
        }
        Err(SecretError::NoCredentials) if keyring.secrets == Secrets::Checked => {
            value.findings().warning(
                value.at,
                format!("`{}`: it can only be read inside the unit", value.key()),
                format!("to check it as well: {IN_A_UNIT}"),
            );
        }
        Err(error) if keyring.secrets == Secrets::Checked && error.is_of_this_process() => {
            value.findings().warning(
                value.at,
                format!("`{}`: {error}", value.key()),
                error.way_out(value.at.source().folder()),
            );
        }
        Err(error) => {
            value.refuse(
                format!("`{}`: {error}", value.key()),
                error.way_out(value.at.source().folder()),
            );
            return None;
        }
    }
    Some(secret)
}

/// What is odd about a secret, in words that hold nothing of it. One line end was dropped already.
fn oddities(text: &str) -> Vec<&'static str> {
    let is_pem = text.contains("-----BEGIN ");
    let bare = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let ends_a_line = bare.ends_with(['\n', '\r']);
    let trimmed = bare.trim();
    let inside = trimmed.chars();
    let quoted = ['"', '\'', '`']
        .iter()
        .any(|quote| trimmed.len() > 1 && trimmed.starts_with(*quote) && trimmed.ends_with(*quote));
    let found = [
        (bare != text, "begins with a byte order mark (U+FEFF)"),
        (bare.contains('\0'), "holds a NUL byte"),
        (ends_a_line && !is_pem, "ends with more than one line end"),
        (
            bare.ends_with(|c: char| c.is_whitespace() && !matches!(c, '\n' | '\r')),
            "ends with white space",
        ),
        (bare.starts_with(char::is_whitespace), "begins with white space"),
        (trimmed.contains(['\n', '\r']) && !is_pem, "has more than one line"),
        (quoted, "is in quotes"),
        (is_assignment(trimmed), "begins with NAME="),
        (inside.clone().any(is_invisible), "holds an invisible character"),
        (
            inside.clone().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\0')),
            "holds a control character",
        ),
    ];
    found.into_iter().filter(|(is, _)| *is).map(|(_, words)| words).collect()
}

/// What some editors put in front of a text.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Whether a line of an env file was stored instead of its value. Padding of base64 is none.
fn is_assignment(text: &str) -> bool {
    let text = text.strip_prefix("export ").unwrap_or(text);
    text.split_once('=').is_some_and(|(name, value)| {
        let letter = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        name.len() > 1
            && name.starts_with(|c: char| c.is_ascii_uppercase() || c == '_')
            && name.chars().all(letter)
            && !value.is_empty()
            && !value.starts_with('=')
    })
}

fn named(
    env: Option<Value<'_>>,
    file: Option<Value<'_>>,
    credential: Option<Value<'_>>,
) -> Option<Source> {
    if let Some(value) = env {
        let name = value.string()?;
        let fits = !name.contains(['=', '\0']) && !name.contains(char::is_whitespace);
        if !fits {
            value.refuse(
                "`env` must be the name of an environment variable",
                "only the name belongs here, never the secret",
            );
        }
        return fits.then(|| Source::Env(name.to_owned()));
    }
    if let Some(value) = file {
        return value.path().map(Source::File);
    }
    let value = credential?;
    let name = value.string()?;
    let fits = !name.contains(['/', '\0']) && name != "." && name != "..";
    if !fits {
        value.refuse(
            "`credential` must be the name of a credential, not a path",
            "it is the part before the colon of LoadCredential=NAME:PATH",
        );
    }
    fits.then(|| Source::Credential(name.to_owned()))
}
