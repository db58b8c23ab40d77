//! What goes wrong in SQLite, and what people can do about it.

use rusqlite::ErrorCode;

use crate::ledger::{LedgerError, format::FormatError};

/// A failure that does not say yet of which ledger.
#[derive(Debug)]
pub(super) enum Failure {
    /// The claim or the version is not ours.
    ClaimLost,
    /// It may work later.
    Unavailable(String),
    /// It will not.
    Unusable(String),
    /// SQLite's own.
    Sqlite(rusqlite::Error),
}

impl Failure {
    /// Cannot read or write a file: what was tried.
    pub(super) fn io(tried: &str, error: &std::io::Error) -> Self {
        Self::Unavailable(format!(
            "could not {tried}: {error}; its folder must be writable for the user that Scimitar \
             runs as"
        ))
    }

    /// Of that ledger.
    pub(super) fn of(self, url: &str) -> LedgerError {
        let url = url.to_owned();
        match self {
            Self::ClaimLost => LedgerError::ClaimLost,
            Self::Unavailable(detail) => LedgerError::Unavailable { url, detail },
            Self::Unusable(detail) => LedgerError::Unusable { url, detail },
            Self::Sqlite(error) => match in_words(&error) {
                Words::Unavailable(detail) => LedgerError::Unavailable { url, detail },
                Words::Unusable(detail) => LedgerError::Unusable { url, detail },
            },
        }
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<FormatError> for Failure {
    fn from(error: FormatError) -> Self {
        Self::Unusable(error.to_string())
    }
}

enum Words {
    Unavailable(String),
    Unusable(String),
}

/// `ErrorCode` may grow, so it is asked, not matched: what is not known to be damage may pass.
fn in_words(error: &rusqlite::Error) -> Words {
    let is =
        |codes: &[ErrorCode]| error.sqlite_error_code().is_some_and(|code| codes.contains(&code));
    let way_out = "stop Scimitar, restore it from a backup or move it away together with its -wal \
                   and -shm files, and the next run rebuilds what it can from the sinks";
    if is(&[ErrorCode::NotADatabase]) {
        Words::Unusable("the file is not a ledger: name another one in [state] url".to_owned())
    } else if is(&[ErrorCode::DatabaseCorrupt]) {
        Words::Unusable(format!("it is damaged ({error}): {way_out}"))
    } else if error.sqlite_error_code().is_none() || is(&[ErrorCode::Unknown]) {
        Words::Unusable(format!("its tables are damaged or were changed ({error}): {way_out}"))
    } else if is(&[ErrorCode::DatabaseBusy, ErrorCode::DatabaseLocked]) {
        Words::Unavailable(format!(
            "another process has kept it locked for {} s",
            super::BUSY.as_secs()
        ))
    } else if is(&[ErrorCode::ReadOnly, ErrorCode::CannotOpen, ErrorCode::PermissionDenied]) {
        Words::Unavailable(format!(
            "{error}; the file and its folder must be writable for the user that Scimitar runs as"
        ))
    } else if is(&[ErrorCode::DiskFull]) {
        Words::Unavailable(format!("{error}; make room on its disk"))
    } else if is(&[ErrorCode::SystemIoFailure]) {
        Words::Unavailable(format!(
            "{error}; its disk fails, is full, or has become read-only: `dmesg` and `findmnt` say which"
        ))
    } else {
        Words::Unavailable(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::ffi;

    fn of_code(code: i32) -> LedgerError {
        let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
        Failure::from(error).of("sqlite:///l.db")
    }

    #[test]
    fn what_may_pass_is_unavailable_and_damage_is_not() {
        for (code, words) in [
            (ffi::SQLITE_BUSY, "locked for 5 s"),
            (ffi::SQLITE_BUSY_SNAPSHOT, "locked for 5 s"),
            (ffi::SQLITE_LOCKED, "locked for 5 s"),
            (ffi::SQLITE_READONLY, "must be writable"),
            (ffi::SQLITE_READONLY_DIRECTORY, "must be writable"),
            (ffi::SQLITE_CANTOPEN, "must be writable"),
            (ffi::SQLITE_FULL, "make room"),
            (ffi::SQLITE_IOERR_FSYNC, "become read-only"),
            (ffi::SQLITE_NOMEM, "memory"),
        ] {
            let error = of_code(code);
            assert!(matches!(error, LedgerError::Unavailable { .. }), "{code}: {error}");
            assert!(error.to_string().contains(words), "{code}: {error}");
            assert!(error.to_string().contains("sqlite:///l.db"), "{code}: {error}");
        }
        for (code, words) in [
            (ffi::SQLITE_NOTADB, "not a ledger"),
            (ffi::SQLITE_CORRUPT, "it is damaged"),
            (ffi::SQLITE_CORRUPT_INDEX, "it is damaged"),
            (ffi::SQLITE_ERROR, "tables are damaged or were changed"),
        ] {
            let error = of_code(code);
            assert!(matches!(error, LedgerError::Unusable { .. }), "{code}: {error}");
            assert!(error.to_string().contains(words), "{code}: {error}");
        }
        assert!(matches!(Failure::ClaimLost.of(""), LedgerError::ClaimLost));
    }
}
