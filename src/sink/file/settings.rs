//! A file delivery as it is configured, checked before it is used.

use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::shape::{Format, Shape};
use crate::{
    error::Fault,
    sink::{
        Place, Remembered,
        payload::PayloadTemplate,
        rules::{invalid, remembered},
    },
    token::{PlaceKey, SinkName},
};

/// The kind in a [`PlaceKey`].
pub(super) const KIND: &str = "file";

/// The longest file name: the names beside it (lock, companion, temporary) are longer, and file
/// systems end at 255 bytes.
const LONGEST_NAME: usize = 200;

/// A `deliver_to` entry, also as the ledger remembers it ([`Place::delivery`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileTarget {
    /// The file, relative to the sink's directory; sub-folders are allowed.
    pub file: PathBuf,
    /// Its form.
    pub format: Format,
    /// Its permission bits; `None`: those of the file that it replaces, 0600 where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
    /// Whom it is given to: a user's name or number; `None`: the owner of the file that it replaces,
    /// where there is none the account that runs Scimitar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Which group it is given to: a group's name or number; `None`, as for the owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Whether `mode` may hold bits for all other users.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shared: bool,
    /// What replaces the default payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<PayloadTemplate>,
    /// Whether what others put there may be lost, once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overwrite: bool,
}

/// Settings that passed every check.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) place: Place,
    /// The folder that the file is in.
    pub(super) folder: PathBuf,
    /// The file's name there.
    pub(super) name: String,
    /// Both together.
    pub(super) path: PathBuf,
    pub(super) shape: Shape,
    pub(super) mode: Option<u32>,
    pub(super) owner: Option<String>,
    pub(super) group: Option<String>,
    pub(super) shared: bool,
    pub(super) overwrite: bool,
}

impl FileTarget {
    /// The directory of a remembered place and the delivery to it, so that it can be read after it
    /// left the configuration. A file is where its location says, whatever directory the sink has
    /// today.
    pub(super) fn remembered(place: &Place) -> Result<(PathBuf, Self), Fault> {
        let target: Self = remembered(place)?;
        let mut directory = PathBuf::from(&place.location);
        for _ in target.file.components() {
            directory.pop();
        }
        Ok((directory, target))
    }

    /// Checks everything that can be checked without looking at the disk.
    pub(super) fn checked(self, sink: &SinkName, directory: &Path) -> Result<Checked, Fault> {
        let operation = format!("use {} in {}", self.file.display(), directory.display());
        self.check(sink, directory).map_err(|words| invalid(&operation, words))
    }

    fn check(self, sink: &SinkName, directory: &Path) -> Result<Checked, String> {
        if !directory.is_absolute() {
            return Err("the sink's directory must be an absolute path".to_owned());
        }
        let file = self.file.to_str().ok_or("file must be UTF-8")?;
        check_file(file).map_err(|words| format!("the file {words}"))?;
        let name = file.rsplit('/').next().unwrap_or(file).to_owned();
        if let Some(mode) = self.mode {
            check_mode(mode, self.shared).map_err(|(words, way_out)| {
                let way_out = way_out.map(|way_out| format!("; {way_out}")).unwrap_or_default();
                format!("mode = \"{mode:04o}\" {words}{way_out}")
            })?;
        }
        for (key, account) in [("owner", &self.owner), ("group", &self.group)] {
            if account.as_deref().is_some_and(|account| !is_account(account)) {
                return Err(format!("{key} must be a name or a number"));
            }
        }
        let path = normalised(directory).join(file);
        let location = path
            .to_str()
            .filter(|text| !text.chars().any(char::is_control))
            .ok_or("the path must be UTF-8 without control characters")?
            .to_owned();
        let folder = path.parent().map_or_else(|| PathBuf::from("/"), Path::to_owned);
        let place = Place {
            key: PlaceKey::new(KIND, &location),
            sink: sink.clone(),
            location,
            delivery: Remembered::of(&self).map_err(|problem| problem.to_string())?,
        };
        Ok(Checked {
            place,
            folder,
            name,
            path,
            shape: Shape::try_new(self.format, self.payload)?,
            mode: self.mode,
            owner: self.owner,
            group: self.group,
            shared: self.shared,
            overwrite: self.overwrite,
        })
    }
}

impl Checked {
    /// Held exclusively over read, compare, fencing check and rename. It stays: removing a lock
    /// file lets two holders in.
    pub(super) fn lock_name(&self) -> String {
        format!(".{}{LOCK}", self.name)
    }

    /// Where the marks are, when the file has no room for them.
    pub(super) fn companion_name(&self) -> String {
        format!(".{}{COMPANION}", self.name)
    }

    /// What the names of temporary files begin with.
    pub(super) fn temporary_prefix(&self) -> String {
        format!(".{}{TEMPORARY}", self.name)
    }
}

const LOCK: &str = ".scimitar.lock";
const COMPANION: &str = ".scimitar.json";
const TEMPORARY: &str = ".scimitar.tmp-";

/// What all of them have in their names.
const OURS: &str = ".scimitar.";

/// Why a text cannot be the name of a file that stays in the sink's directory and can be told from the
/// files that Scimitar keeps beside it.
///
/// # Errors
/// In words that fit behind the file's name.
pub(super) fn check_file(text: &str) -> Result<(), &'static str> {
    let parts = || text.split('/');
    let last = parts().next_back().unwrap_or_default();
    if text.starts_with('/') {
        return Err("must be below the sink's `directory`, not an absolute path");
    }
    if parts().any(|part| part == "..") {
        return Err("must not lead out of the sink's `directory`");
    }
    if parts().any(|part| part.is_empty() || part == ".") {
        return Err("must not hold empty parts or `.`");
    }
    if text.chars().any(char::is_control) {
        return Err("must not hold control characters");
    }
    if parts().any(|part| part.len() > LONGEST_NAME) {
        return Err("has a part of more than 200 bytes");
    }
    if last.starts_with('.') && last.contains(OURS) {
        return Err("is a name that Scimitar reserves for its own file beside a token");
    }
    Ok(())
}

/// Why permission bits would give a token away, or be of no use.
///
/// # Errors
/// In words that fit behind the mode's name; `None`: a mode is written wrongly, else the way out.
pub(super) fn check_mode(
    mode: u32,
    shared: bool,
) -> Result<(), (&'static str, Option<&'static str>)> {
    if mode & !0o777 != 0 {
        return Err(("must not set setuid, setgid or the sticky bit", None));
    }
    if mode & 0o111 != 0 {
        return Err(("must not make a token executable", None));
    }
    if mode & 0o400 == 0 {
        let why = "Scimitar reads the file back to check what is delivered";
        return Err(("must let the owner read the file", Some(why)));
    }
    if mode & 0o002 != 0 {
        return Err(("must not let every user write the token", None));
    }
    if mode & 0o007 != 0 && !shared {
        let way_out = "clear the last digit (\"0640\" and a group), or set shared = true if this \
                       is intended";
        return Err(("lets every user read the token", Some(way_out)));
    }
    Ok(())
}

/// Whether a text can be the name or the number of an account.
pub(super) fn is_account(text: &str) -> bool {
    (1..=256).contains(&text.len()) && !text.chars().any(|c| c.is_control() || ":/ ".contains(c))
}

/// The path without `.` and `..`, by its text alone.
fn normalised(path: &Path) -> PathBuf {
    let mut out = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => out.push(name),
            Component::ParentDir => {
                out.pop();
            }
            Component::Prefix(_) | Component::RootDir | Component::CurDir => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Class, Code};

    fn settings(file: &str) -> FileTarget {
        FileTarget {
            file: file.into(),
            format: Format::Raw,
            mode: Some(0o600),
            owner: None,
            group: None,
            shared: false,
            payload: None,
            overwrite: false,
        }
    }

    fn sink() -> SinkName {
        SinkName::try_new("disk").unwrap()
    }

    fn checked_in(directory: &str, target: FileTarget) -> Result<Checked, Fault> {
        target.checked(&sink(), Path::new(directory))
    }

    fn checked(target: FileTarget) -> Result<Checked, Fault> {
        checked_in("/run/./x/../scimitar", target)
    }

    fn remembered(place: &Place) -> Result<FileTarget, Fault> {
        FileTarget::remembered(place).map(|(_, target)| target)
    }

    #[test]
    fn a_place_is_its_normalised_path_and_is_found_again() {
        let first = checked(settings("team/initech.token")).unwrap();
        assert_eq!(first.place.key.as_str(), "file:/run/scimitar/team/initech.token");
        assert_eq!(first.place.location, "/run/scimitar/team/initech.token");
        assert_eq!(first.folder, Path::new("/run/scimitar/team"));
        assert_eq!(first.companion_name(), ".initech.token.scimitar.json");
        let (directory, again) = FileTarget::remembered(&first.place).unwrap();
        let again = again.checked(&first.place.sink, &directory).unwrap();
        assert_eq!(again.place, first.place);
        let more = FileTarget { mode: None, overwrite: true, ..settings("team/initech.token") };
        let more = checked(more).unwrap();
        let again = remembered(&more.place).unwrap();
        assert!(again.overwrite && again.mode.is_none());
        // What a ledger says that was written before there was an `overwrite`.
        let mut before = first.place.clone();
        before.delivery = serde_json::json!({ "file": "x", "format": "raw", "mode": 384 }).into();
        let again = remembered(&before).unwrap();
        assert_eq!((again.mode, again.overwrite), (Some(0o600), false));
        let mut spoilt = first.place;
        spoilt.delivery = serde_json::json!({ "file": 1 }).into();
        let fault = remembered(&spoilt).unwrap_err();
        assert_eq!(fault.code, Code::Invalid);
    }

    #[test]
    fn files_outside_the_directory_or_named_as_ours_are_refused() {
        let long = "x".repeat(LONGEST_NAME + 1);
        for bad in [
            "",
            "/etc/passwd",
            "../x",
            "a/../b",
            "./x",
            "a//b",
            "a/",
            "a\nb",
            "..",
            &long,
            ".x.scimitar.json",
            "a/.x.scimitar.lock",
            ".x.scimitar.tmp-1",
        ] {
            let fault = checked(settings(bad)).unwrap_err();
            assert_eq!((fault.class, fault.code), (Class::Terminal, Code::Invalid), "{bad:?}");
        }
        for good in [".token", "a.scimitar.json", "a/b/c"] {
            assert!(checked(settings(good)).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn modes_that_give_a_token_away_are_refused() {
        for bad in [0o644, 0o601, 0o700, 0o4600, 0o1600, 0o200, 0o0, 0o640 | 0o2] {
            let fault = checked(FileTarget { mode: Some(bad), ..settings("x") }).unwrap_err();
            assert!(fault.detail.contains("mode = "), "{bad:o}: {fault}");
        }
        let shared = |mode| checked(FileTarget { mode: Some(mode), shared: true, ..settings("x") });
        assert!(shared(0o644).is_ok() && shared(0o745).is_err());
        assert!(checked(FileTarget { mode: Some(0o440), ..settings("x") }).is_ok());
        assert!(checked_in("run", settings("x")).is_err());
        let nobody = FileTarget { owner: Some(String::new()), ..settings("x") };
        assert!(checked(nobody).is_err());
    }

    #[test]
    fn a_payload_must_fit_its_format() {
        let payload = |key: &str, text: &str| {
            let source = std::collections::BTreeMap::from([(key.to_owned(), text.to_owned())]);
            Some(PayloadTemplate::parse(&source).unwrap())
        };
        let with = |format, payload| checked(FileTarget { format, payload, ..settings("x") });
        assert!(with(Format::Raw, payload("A", "{{ token }}")).unwrap_err().detail.contains("raw"));
        assert!(with(Format::Env, payload("A-B", "{{ token }}")).is_err());
        assert!(with(Format::Env, payload("A", "a\n{{ token }}")).is_err());
        assert!(with(Format::Env, payload("A", "{{ token }}")).is_ok());
        assert!(with(Format::Json, payload("A-B", "a\n{{ token }}")).is_ok());
    }
}
