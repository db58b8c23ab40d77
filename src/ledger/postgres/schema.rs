//! What the database holds, how older ones become the present one, and who may use which.
//!
//! A step only ever adds, so that programs that do not know it yet go on beside those that do:
//! `version` counts the steps, `min_reader` is the oldest program (by the steps that it knows) that can
//! still use the tables. A step that older programs cannot bear raises it, and they stop.

use std::fmt::Write;

use tokio_postgres::{Client, Row};

use super::{BEGIN_READ, BEGIN_WRITE, failure::Failure, rows::ask};
use crate::{clock::Timestamp, ledger::moving::Standing, token::LedgerId};

/// `MIGRATIONS[n]` makes version n into n + 1. A release never changes one that an earlier release had.
pub(super) const MIGRATIONS: [&str; 1] = [include_str!("1.sql")];

/// The oldest server that it works with: `gen_random_uuid()` is its own since then.
const OLDEST_SERVER: i32 = 130_000;

/// What is asked for the time by the clock that leases go by.
pub(super) const TIME: &str = "floor(extract(epoch FROM scimitar.lease_clock()) * 1000)::int8";

/// What a role must be allowed on each table.
const RIGHTS: [(&str, &str); 22] = [
    ("meta", "SELECT"),
    ("meta", "UPDATE"),
    ("records", "SELECT"),
    ("records", "INSERT"),
    ("records", "UPDATE"),
    ("claims", "SELECT"),
    ("claims", "INSERT"),
    ("claims", "UPDATE"),
    ("claims", "DELETE"),
    ("events", "SELECT"),
    ("events", "INSERT"),
    ("events", "UPDATE"),
    ("events", "DELETE"),
    ("inventories", "SELECT"),
    ("inventories", "INSERT"),
    ("inventories", "UPDATE"),
    ("watched", "SELECT"),
    ("watched", "INSERT"),
    ("watched", "UPDATE"),
    ("limits", "SELECT"),
    ("limits", "INSERT"),
    ("limits", "UPDATE"),
];

/// What a database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// There is no ledger in it.
    Nothing,
    /// A ledger of a version that this program can use; `false`: it is older, and has to be brought up
    /// to date first.
    Ledger(LedgerId, bool),
}

/// Looks at a database without changing it.
pub(super) async fn look(client: &Client) -> Result<Found, Failure> {
    must_serve(client).await?;
    let query = "SELECT to_regclass('scimitar.meta') IS NOT NULL,
        EXISTS (SELECT FROM pg_class JOIN pg_namespace AS place ON place.oid = relnamespace
                WHERE place.nspname = 'scimitar')";
    let rows = ask(client, BEGIN_READ, query, &[]).await?;
    let Some(row) = rows.first() else { return Ok(Found::Nothing) };
    match (row.try_get(0)?, row.try_get(1)?) {
        (true, _) => {}
        (false, true) => {
            return Err(Failure::Unusable(
                "its schema scimitar has tables that do not belong to Scimitar: name another database in \
                 [state] url"
                    .to_owned(),
            ));
        }
        (false, false) => return Ok(Found::Nothing),
    }
    let (id, version) = meta(client).await?;
    Ok(Found::Ledger(id, version >= MIGRATIONS.len()))
}

/// Whether the server is one that can be used at all.
async fn must_serve(client: &Client) -> Result<(), Failure> {
    let query =
        "SELECT current_setting('server_version_num')::int4, current_setting('server_version'),
        pg_encoding_to_char(encoding)::text FROM pg_database WHERE datname = current_database()";
    let rows = ask(client, BEGIN_READ, query, &[]).await?;
    let Some(row) = rows.first() else { return Ok(()) };
    let (number, version, encoding): (i32, String, String) =
        (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    if number < OLDEST_SERVER {
        return Err(Failure::Unusable(format!(
            "the server is PostgreSQL {version}; 13 is the oldest supported version"
        )));
    }
    if encoding != "UTF8" {
        return Err(Failure::Unusable(format!(
            "the database uses {encoding}: create one in UTF8 (CREATE DATABASE … ENCODING 'UTF8' TEMPLATE \
             template0)"
        )));
    }
    Ok(())
}

/// The ledger's id and version, if this program can use it.
async fn meta(client: &Client) -> Result<(LedgerId, usize), Failure> {
    let query = "SELECT ledger_id, version, min_reader FROM scimitar.meta";
    let rows = ask(client, BEGIN_READ, query, &[]).await?;
    let row = rows.first().ok_or_else(no_id)?;
    let (id, version, oldest): (String, i32, i32) =
        (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let known = MIGRATIONS.len();
    if usize::try_from(oldest).is_ok_and(|oldest| oldest > known) {
        return Err(Failure::Unusable(format!(
            "its tables have version {version}, which needs a Scimitar that knows version {oldest}; this one \
             knows up to {known}: run the version that created them, or a newer one"
        )));
    }
    let version = usize::try_from(version).ok().filter(|version| *version > 0);
    let id = LedgerId::try_new(id).ok();
    id.zip(version).ok_or_else(no_id)
}

/// What is written on one that was moved, or is being filled. Behind where it is filled from stands who
/// fills it.
pub(super) async fn marks(client: &Client) -> Result<Option<Standing>, Failure> {
    let query = "SELECT filled_from, moved_to FROM scimitar.meta";
    let rows = ask(client, BEGIN_READ, query, &[]).await?;
    let row = rows.first().ok_or_else(no_id)?;
    let (from, to): (Option<String>, Option<String>) = (row.try_get(0)?, row.try_get(1)?);
    let there = |from: String| match from.rsplit_once(' ') {
        Some((there, _)) => there.to_owned(),
        None => from,
    };
    let filled = from.map(|from| Standing::FilledFrom(there(from)));
    Ok(filled.or_else(|| to.map(Standing::MovedTo)))
}

/// Whether it may be worked with.
pub(super) async fn must_be_of_use(client: &Client) -> Result<(), Failure> {
    match marks(client).await?.and_then(|standing| standing.of_no_use()) {
        None => Ok(()),
        Some(words) => Err(Failure::Unusable(words)),
    }
}

fn no_id() -> Failure {
    Failure::Unusable(
        "it has no id: restore the schema scimitar from a backup, or drop it, and the next run creates it \
         again and rebuilds what it can from the sinks"
            .to_owned(),
    )
}

/// Refuses another ledger in the place of the one that was opened, and one that has become too new.
pub(super) async fn same_ledger(client: &Client, id: &LedgerId) -> Result<(), Failure> {
    let (found, _) = meta(client).await?;
    if found == *id {
        return Ok(());
    }
    Err(Failure::Unavailable(
        "the ledger was replaced by another one while it was open, so nothing was read or written: \
         restore the original, or restart Scimitar to use the new one"
            .to_owned(),
    ))
}

/// Makes what is missing, in one transaction. Of several that do so at once one does it; the others
/// fail in a way that is tried again, and find it done.
pub(super) async fn migrate(client: &Client) -> Result<(), Failure> {
    let done = match look(client).await? {
        Found::Ledger(_, true) => return Ok(()),
        Found::Ledger(_, false) => meta(client).await?.1,
        Found::Nothing => 0,
    };
    let mut steps = BEGIN_WRITE.to_owned();
    if done > 0 {
        // Nobody else may be at it, and nobody may have been since.
        let _ = write!(
            steps,
            "; LOCK TABLE scimitar.meta IN ACCESS EXCLUSIVE MODE;
             DO $$ BEGIN IF (SELECT version FROM scimitar.meta) <> {done} THEN
                RAISE EXCEPTION USING ERRCODE = '40001', MESSAGE = 'made by another';
             END IF; END $$"
        );
    }
    for step in MIGRATIONS.iter().skip(done) {
        let _ = write!(steps, ";\n{}", step.trim_end().trim_end_matches(';'));
    }
    let _ = write!(steps, ";\nUPDATE scimitar.meta SET version = {}", MIGRATIONS.len());
    let made = client.batch_execute(&steps).await;
    let ended = client.batch_execute(if made.is_ok() { "COMMIT" } else { "ROLLBACK" }).await;
    made?;
    Ok(ended?)
}

/// The rights that the role lacks, as `GRANT` would name them; none where it has all, or where there is
/// nothing yet.
pub(super) async fn missing(client: &Client) -> Result<Vec<String>, Failure> {
    let usage = "SELECT CASE WHEN to_regnamespace('scimitar') IS NOT NULL
        THEN has_schema_privilege('scimitar', 'USAGE') END";
    let rows = ask(client, BEGIN_READ, usage, &[]).await?;
    let usage: Option<bool> = rows.first().map(|row| row.try_get(0)).transpose()?.flatten();
    match usage {
        None => return Ok(Vec::new()),
        Some(false) => return Ok(vec!["USAGE ON SCHEMA scimitar".to_owned()]),
        Some(true) => {}
    }
    let all: Vec<String> =
        RIGHTS.iter().map(|(table, right)| format!("('{table}', '{right}')")).collect();
    let query = format!(
        "SELECT name || ' ON scimitar.' || place FROM (VALUES {}) AS needed (place, name)
         WHERE CASE WHEN to_regclass('scimitar.' || place) IS NOT NULL
             THEN NOT has_table_privilege('scimitar.' || place, name) ELSE false END",
        all.join(", ")
    );
    let rows = ask(client, BEGIN_READ, &query, &[]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Whether the server takes no writes, and whether the role could make a ledger where there is none.
pub(super) async fn standing(client: &Client) -> Result<(bool, bool), Failure> {
    let query = "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on',
        CASE WHEN to_regnamespace('scimitar') IS NULL
             THEN has_database_privilege(current_database(), 'CREATE')
             ELSE has_schema_privilege('scimitar', 'CREATE') END";
    let rows = ask(client, super::BEGIN_PLAIN, query, &[]).await?;
    let row = rows.first();
    Ok(match row {
        Some(row) => (row.try_get(0)?, row.try_get(1)?),
        None => (false, true),
    })
}

/// The time by the clock that leases go by.
pub(super) async fn time(client: &Client) -> Result<Option<Timestamp>, Failure> {
    let query = format!("SELECT {TIME}");
    let rows = ask(client, BEGIN_READ, &query, &[]).await?;
    rows.first().map_or(Ok(None), |row| shown(row, 0))
}

/// The time of a column that asked for [`TIME`].
pub(super) fn shown(row: &Row, at: usize) -> Result<Option<Timestamp>, Failure> {
    Ok(Timestamp::from_timestamp_millis(row.try_get(at)?))
}

/// Writes something that changes nothing.
pub(super) async fn touch(client: &Client) -> Result<(), Failure> {
    let statement = "UPDATE scimitar.meta SET shown_writable = clock_timestamp() RETURNING version";
    let rows = ask(client, BEGIN_WRITE, statement, &[]).await?;
    if rows.is_empty() { Err(no_id()) } else { Ok(()) }
}
