//! Opens a ledger for writing, making it where there is none.

use std::{
    cell::RefCell,
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags, config::DbConfig};

use super::{
    BUSY,
    failure::Failure,
    file_id::FileId,
    holders::{Holders, hand_over},
    host::{self, LeaseClock},
    schema, url,
    writer::{GATHERS, Writer},
};
use crate::{clock::Entropy, token::LedgerId};

/// More than there are statements: none is compiled twice.
const STATEMENTS: usize = 64;

/// Opens or makes it. The writer's path is the real one, without links.
pub(super) fn writer(
    path: &Path,
    entropy: &dyn Entropy,
    clock: LeaseClock,
) -> Result<(LedgerId, Writer), Failure> {
    let folder = parent(path);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| Failure::io("make its folder", &error))?;
    host::refuse_network(folder).map_err(Failure::Unusable)?;
    let path = real(path, folder).map_err(|error| Failure::io("find its folder", &error))?;
    if path.is_dir() {
        return Err(Failure::Unusable(
            "it is a folder: name a file in it in [state] url".to_owned(),
        ));
    }
    let lock_folder = |error| Failure::io("use the folder of lock files beside it", &error);
    let holders = Holders::beside(&path, folder).map_err(lock_folder)?;
    // Several first starts at once would meet in the switch to WAL, which does not wait.
    let guard = holders.guard().map_err(lock_folder)?;
    make(&path, folder).map_err(|error| Failure::io("make the file", &error))?;
    let mut connection = Connection::open_with_flags(
        &path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    let file = FileId::of(&path).map_err(|error| Failure::io("find the file", &error))?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Before anything is changed: it may be somebody else's.
    schema::look(&connection)?;
    tune(&connection)?;
    schema::migrate(&mut connection, &random_id(entropy)?)?;
    let id = schema::ledger_id(&connection)?;
    holders.sweep(&guard).map_err(lock_folder)?;
    let holder = holders.holder(random_id(entropy)?.as_str().to_owned());
    let url = url(&path);
    let writer = Writer {
        connection,
        file,
        clock,
        holders,
        holder,
        url,
        path,
        waits_for_disk: true,
        loose: false,
        claimed: RefCell::default(),
        gathers: GATHERS,
    };
    Ok((id, writer))
}

/// The path without links; the file itself may not be there yet.
fn real(path: &Path, folder: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let name = path.file_name().ok_or(error)?;
            Ok(fs::canonicalize(folder)?.join(name))
        }
        found => found,
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    }
}

/// Makes an empty file that only its owner can read, durably; SQLite gives its other files the
/// same mode. One that is there is not even opened: closing it would take SQLite's locks from
/// other handles of this process; while it is made, the guard keeps them away.
fn make(path: &Path, folder: &Path) -> io::Result<()> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let file = match made {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(error),
    };
    // Whatever the umask took away.
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    hand_over(path, folder)?;
    file.sync_all()?;
    File::open(folder)?.sync_all()
}

fn tune(connection: &Connection) -> Result<(), Failure> {
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(Failure::Unusable(
            "its file system has no shared memory for SQLite's write-ahead log: put it on a \
             local disk"
                .to_owned(),
        ));
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // Else the engine compiles some statements anew for each value that is bound.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // Nothing in the file itself may run functions of ours.
    connection.pragma_update(None, "trusted_schema", false)?;
    Ok(())
}

/// 128 random bits in hex.
fn random_id(entropy: &dyn Entropy) -> Result<LedgerId, Failure> {
    let text = format!("{:016x}{:016x}", entropy.bits(), entropy.bits());
    LedgerId::try_new(text).map_err(|error| Failure::Unusable(error.to_string()))
}
