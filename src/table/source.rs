//! A configuration file's text, and places in it.

use std::{
    fs,
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::{Component, Path, PathBuf},
};

use super::problem::Problem;
use crate::{error::system_words, shown::is_invisible};

/// One file, read whole.
#[derive(Default)]
pub(crate) struct Source {
    /// Its place in the order of reading.
    order: usize,
    /// As people see it.
    file: String,
    /// The folder that relative paths in it start from; absolute.
    folder: PathBuf,
    text: String,
    /// The byte offset that each line starts at.
    lines: Vec<usize>,
}

/// A byte offset in a file.
#[derive(Clone, Copy)]
pub(crate) struct At<'s> {
    source: &'s Source,
    offset: usize,
}

/// What to do about a configuration that cannot be read …
const ANOTHER: &str = "name another file with --config or $SCIMITAR_CONFIG";

/// … and about one that is not there.
const NONE_YET: &str = "name another file with --config or $SCIMITAR_CONFIG. To write the first one, copy \
    config.example.toml there (the packages have it as /usr/share/doc/scimitar/examples/scimitar.toml), edit it, and \
    run `scimitar check`";

/// Why a file could not be read as text.
#[derive(Debug)]
pub(crate) enum Unread {
    /// The operating system said so.
    Io(io::Error),
    /// Not UTF-8: the line and column of the first byte that is not.
    NotText(u32, u32),
}

impl Unread {
    /// As a problem of the whole file.
    pub(crate) fn problem(&self, path: &Path) -> Problem {
        let (place, message, hint) = match self {
            Self::Io(error) => (
                None,
                format!("the configuration cannot be read: {}", system_words(error)),
                if error.kind() == io::ErrorKind::NotFound { NONE_YET } else { ANOTHER },
            ),
            Self::NotText(line, column) => (
                Some((*line, *column)),
                "this is not UTF-8 text".to_owned(),
                "save the file as UTF-8",
            ),
        };
        Problem {
            file: path.display().to_string(),
            line: place.map(|(line, _)| line),
            column: place.map(|(_, column)| column),
            message,
            hint: Some(hint.to_owned()),
        }
    }
}

/// A configuration is written by people; whatever is larger is none.
const LARGEST: u64 = 64 * 1024 * 1024;

/// What a file holds. A pipe or a device is not waited for.
fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let file = fs::OpenOptions::new()
        .read(true)
        .custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits())
        .open(path)?;
    let refused = |words: &str| io::Error::new(io::ErrorKind::InvalidInput, words.to_owned());
    if file.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !file.metadata()?.is_file() {
        return Err(refused("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= LARGEST) {
        Ok(bytes)
    } else {
        Err(refused("it is larger than 64 MiB"))
    }
}

impl Source {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, or is not UTF-8.
    pub(crate) fn read(path: &Path, order: usize) -> Result<Self, Unread> {
        let absolute = std::path::absolute(path).map_err(Unread::Io)?;
        let folder = absolute.parent().unwrap_or(&absolute).to_owned();
        let file = path.display().to_string();
        let bytes = bytes(path).map_err(Unread::Io)?;
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self::new(file, folder, order, text)),
            Err(error) => {
                let good = error.utf8_error().valid_up_to();
                let head = error.as_bytes().get(..good).unwrap_or_default();
                let head = String::from_utf8_lossy(head).into_owned();
                let source = Self::new(file, folder, order, head);
                let (line, column) = source.at(good).line_and_column();
                Err(Unread::NotText(line, column))
            }
        }
    }

    /// A file that a test makes up, in the folder /etc/s.
    #[cfg(test)]
    pub(crate) fn made_up(text: &str) -> Self {
        Self::new("f.toml".to_owned(), "/etc/s".into(), 0, text.to_owned())
    }

    fn new(file: String, folder: PathBuf, order: usize, text: String) -> Self {
        let lines = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(offset, _)| offset + 1))
            .collect();
        Self { order, file, folder, text, lines }
    }

    /// The whole text.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The place at a byte offset; one past the end is the end.
    pub(crate) fn at(&self, offset: usize) -> At<'_> {
        At { source: self, offset: offset.min(self.text.len()) }
    }

    /// A path written in this file, made absolute without asking the file system.
    pub(crate) fn path(&self, written: &str) -> PathBuf {
        plain(&self.folder.join(written))
    }

    /// The file's name without its end.
    pub(crate) fn stem(&self) -> String {
        let stem = Path::new(&self.file).file_stem().unwrap_or_default();
        let stem = stem.to_string_lossy();
        stem.chars().filter(|c| !c.is_control() && !is_invisible(*c)).collect()
    }

    /// The folder that relative paths in this file start from.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl<'s> At<'s> {
    /// Line and column, both from 1; the column counts characters.
    pub(crate) fn line_and_column(self) -> (u32, u32) {
        let lines = &self.source.lines;
        let line = lines.partition_point(|start| *start <= self.offset).max(1);
        let start = lines.get(line - 1).copied().unwrap_or_default();
        let before = self.source.text.get(start..self.offset);
        let column = before.map_or(0, |before| before.chars().count());
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        (number(line), number(column + 1))
    }

    /// What problems are sorted by.
    pub(crate) fn order(self) -> (usize, usize) {
        (self.source.order, self.offset)
    }

    /// The file as people see it.
    pub(crate) fn file(self) -> &'s str {
        &self.source.file
    }

    /// Which file it is in.
    pub(crate) fn source(self) -> &'s Source {
        self.source
    }
}

/// A path without `.` and, where something is there to go back from, `..`. By its text alone: the
/// name of a place must not change when a link on the way to it does.
pub(crate) fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => match plain.components().next_back() {
                Some(Component::Normal(_)) => {
                    plain.pop();
                }
                Some(Component::RootDir) => {}
                Some(Component::Prefix(_) | Component::CurDir | Component::ParentDir) | None => {
                    plain.push(component);
                }
            },
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => {
                plain.push(component);
            }
        }
    }
    plain
}

impl std::fmt::Debug for At<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (line, column) = self.line_and_column();
        write!(f, "{}:{line}:{column}", self.source.file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters() {
        let source = Source::made_up("a = 1\nä = \"é\"\n");
        assert_eq!(source.at(0).line_and_column(), (1, 1));
        assert_eq!(source.at(6).line_and_column(), (2, 1));
        assert_eq!(source.at(11).line_and_column(), (2, 5));
        assert_eq!(source.at(99).line_and_column(), (3, 1));
        assert_eq!(Source::made_up("").at(0).line_and_column(), (1, 1));
    }

    #[test]
    fn paths_start_at_the_file_that_holds_them() {
        let source = Source::made_up("");
        assert_eq!(source.path("a/b"), Path::new("/etc/s/a/b"));
        assert_eq!(source.path("./a/./b"), Path::new("/etc/s/a/b"));
        assert_eq!(source.path("../b"), Path::new("/etc/b"));
        assert_eq!(source.path("../../../b"), Path::new("/b"));
        assert_eq!(plain(Path::new("a/../../b")), Path::new("../b"));
        assert_eq!(source.path("/a"), Path::new("/a"));
    }
}
