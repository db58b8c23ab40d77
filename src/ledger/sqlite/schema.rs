//! What the database holds, and how older ones become the present one.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use super::failure::Failure;
use crate::token::LedgerId;

/// In the file's header (`PRAGMA application_id`): "ScIm". A file without it is not a ledger.
const APPLICATION_ID: i32 = 0x5363_496D;

/// Where `meta` has the ledger's id.
const LEDGER_ID: &str = "ledger_id";

/// `MIGRATIONS[n]` makes version n into n + 1; `PRAGMA user_version` counts them. A release never
/// changes one that an earlier release had.
const MIGRATIONS: [&str; 4] = [
    // Times are milliseconds since 1970 (wake_at, expires_at) or since boot (until_boot_ms).
    // `lost` is NULL where no current token is on record. A claim's row outlives the claim, so
    // that fence numbers never go back.
    "CREATE TABLE meta (
        name TEXT PRIMARY KEY,
        value TEXT NOT NULL
     ) STRICT, WITHOUT ROWID;
     CREATE TABLE records (
        tenant TEXT NOT NULL,
        connection TEXT NOT NULL,
        name TEXT NOT NULL,
        version INTEGER NOT NULL,
        wake_at INTEGER,
        expires_at INTEGER,
        lost INTEGER,
        schema INTEGER NOT NULL,
        document TEXT NOT NULL,
        PRIMARY KEY (tenant, connection)
     ) STRICT;
     CREATE INDEX records_by_wake_at ON records (wake_at) WHERE wake_at IS NOT NULL;
     CREATE TABLE claims (
        tenant TEXT NOT NULL,
        connection TEXT NOT NULL,
        holder TEXT,
        fence INTEGER NOT NULL,
        boot_id TEXT,
        until_boot_ms INTEGER,
        PRIMARY KEY (tenant, connection)
     ) STRICT, WITHOUT ROWID;
     CREATE TABLE events (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        tenant TEXT NOT NULL,
        connection TEXT NOT NULL,
        at TEXT NOT NULL,
        event TEXT NOT NULL,
        words TEXT NOT NULL,
        FOREIGN KEY (tenant, connection) REFERENCES records (tenant, connection)
     ) STRICT;
     CREATE INDEX events_by_connection ON events (tenant, connection, seq);",
    // What is next is said without reading every record, and so is how many a tenant has lost.
    "ALTER TABLE records ADD COLUMN next_rotation INTEGER;
     UPDATE records SET next_rotation =
        CAST(round(unixepoch(json_extract(document, '$.next_rotation'), 'subsec') * 1000) AS INTEGER)
        WHERE json_extract(document, '$.next_rotation') IS NOT NULL;
     CREATE INDEX records_by_next_rotation ON records (next_rotation)
        WHERE next_rotation IS NOT NULL;
     CREATE INDEX records_by_lost ON records (tenant, lost);
     CREATE INDEX records_by_connection ON records (connection, tenant);",
    // The connections that a tenant was last seen to have.
    "CREATE TABLE inventories (
        tenant TEXT PRIMARY KEY,
        document TEXT NOT NULL
     ) STRICT, WITHOUT ROWID;",
    // What hooks were told of watched tokens.
    "CREATE TABLE watched (
        name TEXT PRIMARY KEY,
        document TEXT NOT NULL
     ) STRICT, WITHOUT ROWID;",
];

/// Writes the file's header anew with what it holds. (An `UPDATE` to the same values may write nothing.)
pub(super) fn rewrite(transaction: &Connection) -> rusqlite::Result<()> {
    let version: i32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    transaction.pragma_update(None, "user_version", version)
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FoundSchema {
    /// Nothing was ever written to it.
    Nothing,
    /// A ledger of this version of the tables, or an older one.
    Ledger(usize),
}

/// Looks at a file without changing it.
pub(super) fn look(connection: &Connection) -> Result<FoundSchema, Failure> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    let (application, version) = (number("application_id")?, number("user_version")?);
    if application == 0 && version == 0 {
        let tables: i64 =
            connection.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0))?;
        if tables == 0 {
            return Ok(FoundSchema::Nothing);
        }
    }
    if application != APPLICATION_ID {
        return Err(Failure::Unusable(
            "it is a database, but not a Scimitar ledger: name another file in [state] url"
                .to_owned(),
        ));
    }
    match usize::try_from(version) {
        Ok(version) if (1..=MIGRATIONS.len()).contains(&version) => {
            Ok(FoundSchema::Ledger(version))
        }
        Ok(_) | Err(_) => Err(Failure::Unusable(format!(
            "its tables have version {version}, and this version of Scimitar knows 1 to {}: \
             run the version that wrote it, or a newer one",
            MIGRATIONS.len()
        ))),
    }
}

/// Whether a file can be read without changing it first.
pub(super) fn is_current(version: usize) -> bool {
    version == MIGRATIONS.len()
}

/// Makes the file into a ledger of the present version, in one transaction.
pub(super) fn migrate(connection: &mut Connection, new_id: &LedgerId) -> Result<(), Failure> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Looked at again now that nobody else can write.
    let found = look(&transaction)?;
    let done = match found {
        FoundSchema::Nothing => 0,
        FoundSchema::Ledger(version) => version,
    };
    for migration in MIGRATIONS.iter().skip(done) {
        transaction.execute_batch(migration)?;
    }
    if found == FoundSchema::Nothing {
        set_id(&transaction, new_id)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    if !is_current(done) {
        transaction.pragma_update(None, "user_version", MIGRATIONS.len() as i64)?;
    }
    transaction.commit()?;
    Ok(())
}

/// Gives it an id.
pub(super) fn set_id(connection: &Connection, id: &LedgerId) -> Result<(), Failure> {
    connection.execute(
        "INSERT OR REPLACE INTO meta (name, value) VALUES (?1, ?2)",
        [LEDGER_ID, id.as_str()],
    )?;
    Ok(())
}

/// The id that was made with the ledger.
pub(super) fn ledger_id(connection: &Connection) -> Result<LedgerId, Failure> {
    connection
        .query_row("SELECT value FROM meta WHERE name = ?1", [LEDGER_ID], |row| {
            row.get::<_, String>(0)
        })
        .optional()?
        .and_then(|id| LedgerId::try_new(id).ok())
        .ok_or_else(|| {
            Failure::Unusable(
                "it has no id: restore it from a backup, or move it away, and the next run \
                 rebuilds what it can from the sinks"
                    .to_owned(),
            )
        })
}
