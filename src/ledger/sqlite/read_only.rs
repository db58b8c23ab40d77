//! Looks at a ledger without making or changing a file, beside whoever writes it.
//!
//! A read-only connection to a database in WAL mode makes `-wal` and `-shm` files where there are
//! none. So the state is looked at first, and the connection opened to match; when the state
//! changed meanwhile, the answer is thrown away and asked for again.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags};

use super::{BUSY, failure::Failure, marks, schema};
use crate::token::LedgerId;

/// How often an answer may be spoilt by a writer that starts or stops.
const ATTEMPTS: u32 = 8;

/// What the files say about who is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No writer, and all of it is in the one file; it has this size and change time.
    Whole { size: u64, changed: (i64, i64) },
    /// A log without its index, as a copied pair of files has: nobody has it open.
    Copied,
    /// Log and index: somebody has it open, or was killed.
    Open,
}

/// The id of a ledger, or `None` when there is none yet.
pub(super) fn ledger_id(path: &Path) -> Result<Option<LedgerId>, Failure> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => {
            return Err(Failure::Unusable("it is a folder".to_owned()));
        }
        // Being made at this moment.
        Ok(found) if found.len() == 0 => return Ok(None),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::io("look at the file", &error)),
    }
    at(path, &|connection| match schema::look(connection)? {
        schema::FoundSchema::Nothing => Ok(None),
        schema::FoundSchema::Ledger(version) if schema::is_current(version) => {
            marks::must_be_of_use(connection)?;
            schema::ledger_id(connection).map(Some)
        }
        schema::FoundSchema::Ledger(_) => Err(Failure::Unusable(
            "an older version of Scimitar wrote it: the next run upgrades it".to_owned(),
        )),
    })
}

/// Asks one thing of the file as it is at one moment.
pub(super) fn at<T>(
    path: &Path,
    ask: &dyn Fn(&Connection) -> Result<T, Failure>,
) -> Result<T, Failure> {
    for _ in 0..ATTEMPTS {
        let state = state(path)?;
        let answer = connect(path, state).and_then(|mut connection| {
            let transaction = connection.transaction()?;
            ask(&transaction)
        });
        if state == State::Open || self::state(path)? == state {
            return answer;
        }
    }
    Err(Failure::Unavailable("other processes keep opening and closing it; try again".to_owned()))
}

fn state(path: &Path) -> Result<State, Failure> {
    let log = size(&beside(path, "-wal"))?;
    let index = size(&beside(path, "-shm"))?;
    Ok(match (log, index) {
        (Some(_), Some(_)) => State::Open,
        (Some(1..), None) => State::Copied,
        (Some(0) | None, None) | (None, Some(_)) => {
            let found = fs::metadata(path).map_err(|error| Failure::io("look at it", &error))?;
            State::Whole { size: found.len(), changed: (found.mtime(), found.mtime_nsec()) }
        }
    })
}

fn connect(path: &Path, state: State) -> Result<Connection, Failure> {
    // sqlite.org/uri.html and /vfs.html: neither `immutable` nor the lock-free `unix-none` with
    // exclusive locking (below) makes files.
    let query = match state {
        State::Whole { .. } => "?immutable=1",
        State::Copied => "?vfs=unix-none",
        State::Open => "",
    };
    let uri = format!("file:{}{query}", escaped(path));
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(uri, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    if state == State::Copied {
        // The log's index is then kept in memory.
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    }
    Ok(connection)
}

fn size(path: &Path) -> Result<Option<u64>, Failure> {
    match fs::metadata(path) {
        Ok(found) => Ok(Some(found.len())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::io("look at it", &error)),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    // SQLite keeps its other files beside the real file, not beside a link to it.
    let mut name = OsString::from(fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()));
    name.push(suffix);
    PathBuf::from(name)
}

/// The path as a URI may hold it.
fn escaped(path: &Path) -> String {
    use std::fmt::Write;
    let bytes = path.as_os_str().as_bytes();
    bytes.iter().fold(String::with_capacity(bytes.len()), |mut uri, byte| {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(byte) {
            uri.push(char::from(*byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
        uri
    })
}
