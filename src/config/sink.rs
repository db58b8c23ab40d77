//! `[sinks.NAME]` and `deliver_to`: the places that tokens go to.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{
    aws::{self, AwsDelivery, AwsSinkConfig},
    vault::{self, VaultDelivery, VaultSinkConfig},
};
use crate::{
    table::{HttpConfig, Keyring, Set, Table, Value, shown, suggest, too_long},
    token::SinkName,
};

/// The longest part of a file's path: the names of scimitar's own files beside it are longer, and
/// file systems end at 255 bytes.
const LONGEST_PART: usize = 200;

/// One sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SinkConfig {
    /// `type = "file"`.
    File(FileSinkConfig),
    /// `type = "vault"`.
    Vault(Box<VaultSinkConfig>),
    /// `type = "aws_secrets_manager"`.
    Aws(Box<AwsSinkConfig>),
}

/// A folder of files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSinkConfig {
    /// The folder; absolute.
    pub directory: PathBuf,
}

/// One entry of `deliver_to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The sink.
    pub sink: SinkName,
    /// Where in it, and how.
    pub to: Destination,
}

/// Where in a sink, by the sink's type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// In a [`FileSinkConfig`].
    File(FileDelivery),
    /// In a [`VaultSinkConfig`].
    Vault(VaultDelivery),
    /// In an [`AwsSinkConfig`].
    Aws(AwsDelivery),
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileDelivery {
    /// Its path below the sink's folder: relative, without `.`, `..` and empty parts.
    pub file: PathBuf,
    /// What is written.
    pub format: FileFormat,
    /// Its permission bits; bits for others only when `shared`. `None`, as for owner and group: those
    /// of the file that it replaces; of a new one 0600.
    pub mode: Option<u32>,
    /// Its owner, by name or number; `None`, for a new file: the account that runs scimitar.
    pub owner: Option<String>,
    /// Its group, by name or number; `None`, for a new file: that of the account that runs scimitar.
    pub group: Option<String>,
    /// Whether every user may read it.
    pub shared: bool,
    /// What replaces the default payload: a template for each key. Never empty, never with `raw`.
    pub payload: Option<BTreeMap<String, String>>,
    /// Whether what others put there may be lost, once.
    pub overwrite: bool,
}

/// What a delivered file holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FileFormat {
    /// The value alone.
    #[default]
    Raw,
    /// A JSON object.
    Json,
    /// `KEY="value"` lines.
    Env,
}

/// All sinks that are declared; `None` for those with mistakes of their own.
pub(super) type Sinks<'s> = BTreeMap<SinkName, Set<'s, Option<SinkConfig>>>;

/// A delivery with the place that it means.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    /// `None` where the entry has other mistakes: what it takes it takes all the same.
    pub delivery: Option<Delivery>,
    pub spot: Spot,
}

/// What tells one place from another.
#[derive(Clone, Debug)]
pub(super) enum Spot {
    /// In the file system.
    Path(PathBuf),
    /// In a service, by its full name there.
    Named(String),
}

/// Reads `[sinks]`.
pub(super) fn sinks<'s>(root: &Table<'s>, outer: &HttpConfig, keyring: Keyring<'_>) -> Sinks<'s> {
    let table = root.get("sinks").and_then(|value| value.table("[sinks]"));
    let mut sinks = Sinks::new();
    for (name, value) in table.iter().flat_map(Table::values) {
        match SinkName::try_new(name) {
            Ok(name) => {
                let set = Set { value: sink(&name, &value, outer, keyring), at: value.key_at };
                sinks.insert(name, set);
            }
            Err(error) => value.findings().plain_error(value.key_at, error.to_string()),
        }
    }
    sinks
}

fn sink(
    name: &SinkName,
    value: &Value<'_>,
    outer: &HttpConfig,
    keyring: Keyring<'_>,
) -> Option<SinkConfig> {
    let table = value.table(format!("[sinks.{}]", shown(name.as_str())))?;
    let before = table.findings().count();
    let kind = table.require("type", "\"file\"")?;
    let read = match kind.string()? {
        "file" => {
            let directory = table.require("directory", "\"/run/scimitar\"");
            directory
                .and_then(|value| directory_of(&value))
                .map(|directory| SinkConfig::File(FileSinkConfig { directory }))
        }
        "vault" => {
            vault::sink(&table, outer, keyring).map(|vault| SinkConfig::Vault(Box::new(vault)))
        }
        "aws_secrets_manager" => {
            aws::sink(&table, outer, keyring).map(|account| SinkConfig::Aws(Box::new(account)))
        }
        unknown => {
            kind.refuse(
                format!("there is no sink of type \"{}\"", shown(unknown)),
                suggest(unknown, ["file", "vault", "aws_secrets_manager"], "the types are"),
            );
            return None;
        }
    };
    let findings = table.findings();
    table.finish(&[]);
    read.filter(|_| findings.count() == before)
}

fn directory_of(value: &Value<'_>) -> Option<PathBuf> {
    let directory = value.path()?;
    if directory.as_os_str().as_encoded_bytes().iter().any(u8::is_ascii_control) {
        value.refuse("`directory` holds control characters", "name another folder");
        return None;
    }
    if directory.exists() && !directory.is_dir() {
        value.refuse("`directory` is not a folder", "name a folder");
        return None;
    }
    Some(directory)
}

/// Reads `deliver_to`. An entry with mistakes is `None`: it is there, but means nothing yet.
pub(super) fn deliveries<'s>(
    value: &Value<'s>,
    sinks: &Sinks<'_>,
) -> Option<Vec<Set<'s, Option<Placed>>>> {
    let items = value.list("a list of tables such as [{ sink = \"…\", file = \"…\" }]")?;
    let read = |item: &Value<'s>| item.set(delivery(item, sinks));
    Some(items.iter().map(read).collect())
}

fn delivery(item: &Value<'_>, sinks: &Sinks<'_>) -> Option<Placed> {
    let table = item.table("`deliver_to`")?;
    let before = table.findings().count();
    let named = table.require("sink", "\"…\"")?;
    let name = named.string()?;
    let found = sinks.iter().find(|(sink, _)| sink.as_str() == name);
    let Some((sink, config)) = found else {
        named.refuse(
            format!("there is no sink `{}`", shown(name)),
            suggest(
                name,
                sinks.keys().map(SinkName::as_str),
                "the sinks of this configuration are",
            ),
        );
        return None;
    };
    let (spot, to) = match config.value.as_ref()? {
        SinkConfig::File(config) => {
            let (name, file) = file(&table, &config.directory);
            let path = name.map(|name| Spot::Path(config.directory.join(name)));
            (path, file.map(Destination::File))
        }
        SinkConfig::Vault(config) => {
            let (name, secret) = vault::delivery(&table, config);
            (name.map(Spot::Named), secret.map(Destination::Vault))
        }
        SinkConfig::Aws(config) => {
            let (name, secret) = aws::delivery(&table, config);
            let name = name.map(|name| format!("aws:{name}"));
            (name.map(Spot::Named), secret.map(Destination::Aws))
        }
    };
    let findings = table.findings();
    table.finish(&[]);
    let delivery =
        to.filter(|_| findings.count() == before).map(|to| Delivery { sink: sink.clone(), to });
    spot.map(|spot| Placed { delivery, spot })
}

/// The file's path, and the whole entry where it has no mistakes.
fn file(table: &Table<'_>, directory: &Path) -> (Option<PathBuf>, Option<FileDelivery>) {
    let file =
        table.require("file", "\"initech.token\"").and_then(|value| file_name(&value, directory));
    let format = table.get("format").and_then(|value| {
        value.word(&[
            ("raw", FileFormat::Raw),
            ("json", FileFormat::Json),
            ("env", FileFormat::Env),
        ])
    });
    let shared = table.get("shared").and_then(|value| value.boolean());
    let shared = shared.unwrap_or(false);
    let mode = table.get("mode").map_or(Some(None), |value| mode(&value, shared).map(Some));
    let owner = table.get("owner").and_then(|value| account(&value));
    let group = table.get("group").and_then(|value| account(&value));
    let format = format.unwrap_or_default();
    let payload = table
        .get("payload")
        .and_then(|value| payload(&value, format == FileFormat::Raw, format == FileFormat::Env));
    let overwrite = overwrite(table);
    let delivery = file.clone().zip(mode).map(|(file, mode)| FileDelivery {
        file,
        format,
        mode,
        owner,
        group,
        shared,
        payload,
        overwrite,
    });
    (file, delivery)
}

/// Reads `overwrite`.
pub(super) fn overwrite(table: &Table<'_>) -> bool {
    table.get("overwrite").and_then(|value| value.boolean()).unwrap_or(false)
}

fn file_name(value: &Value<'_>, directory: &Path) -> Option<PathBuf> {
    let text = value.string()?;
    let parts = || text.split('/');
    let last = parts().next_back().unwrap_or_default();
    let trouble = if text.starts_with('/') {
        Some("`file` must be below the sink's `directory`, not an absolute path")
    } else if parts().any(|part| part == "..") {
        Some("`file` must not lead out of the sink's `directory`")
    } else if parts().any(|part| part.is_empty() || part == ".") {
        Some("`file` must not hold empty parts or `.`")
    } else if text.chars().any(char::is_control) {
        Some("`file` must not hold control characters")
    } else if parts().any(|part| part.len() > LONGEST_PART) {
        Some("`file` has a part of more than 200 bytes")
    } else if too_long(&directory.join(text)).is_some() {
        Some("`file` makes a path of more than 4000 bytes")
    } else if last.starts_with('.') && last.contains(".scimitar.") {
        Some("`file` is a name that scimitar keeps for its own notes beside a token")
    } else {
        None
    };
    if let Some(trouble) = trouble {
        value.refuse(trouble, "write a name such as \"team/initech.token\"");
        return None;
    }
    Some(PathBuf::from(text))
}

fn mode(value: &Value<'_>, shared: bool) -> Option<u32> {
    const HOW: &str = "write it as text in octal, such as mode = \"0600\" or \"0640\"";
    let text = value.as_str();
    let bits = text
        .filter(|text| text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit()))
        .and_then(|text| u32::from_str_radix(text, 8).ok());
    let Some(bits) = bits else {
        value.refuse("`mode` is not a file mode", HOW);
        return None;
    };
    let trouble = if bits & 0o7000 != 0 {
        Some(("`mode` must not set setuid, setgid or sticky", HOW))
    } else if bits & 0o111 != 0 {
        Some(("`mode` must not make a token executable", HOW))
    } else if bits & 0o400 == 0 {
        Some((
            "`mode` must let the owner read the file",
            "scimitar reads it back to know what is delivered",
        ))
    } else if bits & 0o002 != 0 {
        Some(("`mode` must not let every user write the token", HOW))
    } else if bits & 0o007 != 0 && !shared {
        Some((
            "`mode` lets every user read the token",
            "take the last digit's bits away (\"0640\" and a group), or say that it is meant: \
             shared = true",
        ))
    } else {
        None
    };
    if let Some((trouble, hint)) = trouble {
        value.refuse(trouble, hint);
        return None;
    }
    Some(bits)
}

fn account(value: &Value<'_>) -> Option<String> {
    let text = value.string()?;
    let fits = text.len() <= 256 && !text.chars().any(|c| c.is_control() || ":/ ".contains(c));
    if !fits {
        value.refuse(
            format!("`{}` is not a name or number of an account", value.key()),
            "write a name such as \"www-data\", or a number such as \"33\"",
        );
    }
    fits.then(|| text.to_owned())
}

/// Reads `payload`; `bare`: there are no keys at all, `variables`: keys are names of variables.
pub(super) fn payload(
    value: &Value<'_>,
    bare: bool,
    variables: bool,
) -> Option<BTreeMap<String, String>> {
    let table = value.table("`payload`")?;
    let before = table.findings().count();
    if bare {
        value.findings().error(
            value.key_at,
            "`payload` needs keys, and `format = \"raw\"` has none",
            "write format = \"json\" or format = \"env\" beside it",
        );
    }
    let mut payload = BTreeMap::new();
    let mut places = BTreeMap::new();
    for (key, value) in table.values() {
        let in_env = key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if variables && !in_env {
            value.findings().error(
                value.key_at,
                format!("`{}` cannot be the name of a variable", shown(key)),
                "use letters, digits and `_`, not beginning with a digit",
            );
        }
        if let Some(template) = value.string() {
            payload.insert(key.to_owned(), template.to_owned());
            places.insert(key.to_owned(), value.at);
        }
    }
    if table.findings().count() > before {
        return None;
    }
    if payload.is_empty() {
        value.refuse(
            "`payload` is empty: nothing would be delivered",
            "write payload = { SCIM_TOKEN = \"{{ token }}\" }, or leave it out",
        );
        return None;
    }
    if let Err(error) = crate::sink::payload::PayloadTemplate::parse(&payload) {
        let at = places.get(&error.key).copied().unwrap_or(value.at);
        value.findings().plain_error(at, format!("`payload`: {}", error.message));
        return None;
    }
    Some(payload)
}
