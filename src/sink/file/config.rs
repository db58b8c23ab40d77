//! `[sinks.NAME]` of type `file`, and what `deliver_to` says of a file.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;

use super::{
    FileSink, schema,
    settings::{FileTarget, KIND as PLACES, check_file, check_mode, is_account},
    shape::Format,
};
use crate::{
    kind::{BuildError, Grant, Parts},
    rotation::policy::Mode,
    sink::{
        Kind, Place, Service,
        entry::{overwrite, payload},
        kind::{Known, Opened, SinkConfig, Spot, Target},
    },
    table::{Table, Value, too_long},
    token::SinkName,
};

/// The kind.
pub static KIND: Kind = Kind {
    name: "file",
    places: PLACES,
    location: "file",
    schema: schema::sink,
    delivery_schema: schema::target,
    absent: None,
    store: None,
    read: |table, _, _| Some(Arc::new(sink(table)?)),
    // A file is where its place says, whatever the configuration says of its folder today.
    reopen: Some(|place| Ok(Arc::new(FileSink::reopen(place)?))),
};

/// A folder of files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileConfig {
    /// The folder; absolute.
    pub directory: PathBuf,
}

/// Files in one folder: nothing has to run for them.
#[derive(Debug)]
struct Files {
    sink: SinkName,
    directory: PathBuf,
}

impl SinkConfig for FileConfig {
    fn deliver(&self, entry: &Table<'_>, _known: &Known<'_>) -> (Option<Spot>, Option<Target>) {
        let (file, target) = target(entry, &self.directory);
        let spot = file.map(|file| Spot::Path(self.directory.join(file)));
        (spot, target.map(Target::new))
    }

    /// Whoever runs scimitar has to be able to write the folder; nobody else is asked.
    fn grant(&self, _: &SinkName, _: &[(&Target, Mode)]) -> Option<Grant> {
        None
    }

    fn reads_files_once(&self) -> bool {
        false
    }

    fn build(&self, name: &SinkName, _: &Parts) -> Result<Arc<dyn Service>, BuildError> {
        Ok(Arc::new(Files { sink: name.clone(), directory: self.directory.clone() }))
    }
}

#[async_trait]
impl Service for Files {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn open(&self, target: &Target) -> Opened {
        let target: &FileTarget = target.of_kind()?;
        Ok(Arc::new(FileSink::try_new(&self.sink, &self.directory, target.clone())?))
    }

    fn forgets(&self) -> bool {
        true
    }

    fn reopen(&self, place: &Place) -> Opened {
        Ok(Arc::new(FileSink::reopen(place)?))
    }
}

/// Reads the rest of a `[sinks.NAME]`.
fn sink(table: &Table<'_>) -> Option<FileConfig> {
    let directory = table.require("directory", "\"/run/scimitar\"")?;
    Some(FileConfig { directory: directory_of(&directory)? })
}

fn directory_of(value: &Value<'_>) -> Option<PathBuf> {
    let directory = value.path()?;
    if directory.as_os_str().as_encoded_bytes().iter().any(u8::is_ascii_control) {
        value.refuse("`directory` holds control characters", "name another folder");
        return None;
    }
    Some(directory)
}

/// The file's path, and the whole entry where it has no mistakes.
fn target(table: &Table<'_>, directory: &Path) -> (Option<PathBuf>, Option<FileTarget>) {
    let file =
        table.require("file", "\"initech.token\"").and_then(|value| file_name(&value, directory));
    let format = table.get("format").and_then(|value| {
        value.word(&[("raw", Format::Raw), ("json", Format::Json), ("env", Format::Env)])
    });
    let shared = table.get("shared").and_then(|value| value.boolean());
    let shared = shared.unwrap_or(false);
    let mode = table.get("mode").map_or(Some(None), |value| mode(&value, shared).map(Some));
    let owner = table.get("owner").and_then(|value| account(&value));
    let group = table.get("group").and_then(|value| account(&value));
    let format = format.unwrap_or_default();
    const KEYED: &str = "write format = \"json\" or format = \"env\" beside it";
    let bare = (format == Format::Raw).then_some(KEYED);
    let payload =
        table.get("payload").and_then(|value| payload(&value, bare, format == Format::Env));
    let overwrite = overwrite(table);
    let target = file.clone().zip(mode).map(|(file, mode)| FileTarget {
        file,
        format,
        mode,
        owner,
        group,
        shared,
        payload,
        overwrite,
    });
    (file, target)
}

fn file_name(value: &Value<'_>, directory: &Path) -> Option<PathBuf> {
    let text = value.string()?;
    let too_long = || match too_long(&directory.join(text)) {
        Some(_) => Err("makes a path of more than 4000 bytes"),
        None => Ok(()),
    };
    if let Err(trouble) = check_file(text).and_then(|()| too_long()) {
        value.refuse(format!("`file` {trouble}"), "write a name such as \"team/initech.token\"");
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
    if let Err((trouble, way_out)) = check_mode(bits, shared) {
        value.refuse(format!("`mode` {trouble}"), way_out.unwrap_or(HOW));
        return None;
    }
    Some(bits)
}

fn account(value: &Value<'_>) -> Option<String> {
    let text = value.string()?;
    let fits = is_account(text);
    if !fits {
        value.refuse(
            format!("`{}` is not a name or number of an account", value.key()),
            "write a name such as \"www-data\", or a number such as \"33\"",
        );
    }
    fits.then(|| text.to_owned())
}
