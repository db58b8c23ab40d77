//! Who may act on a connection, and until when by the database's clock.

use std::time::Duration;

use tokio_postgres::{Client, types::Type};

use super::{
    BEGIN_READ, BEGIN_SOON, BEGIN_WRITE, LONGEST_LEASE,
    failure::{Failure, Remedy},
    rows::{Parameter, ask, milliseconds, read_record, signed, stored, unsigned, within},
    schema::{self, MIGRATIONS, TIME},
};
use crate::{
    clock::Timestamp,
    ledger::{Claim, Claimed, Stored},
    token::{ConnectionKey, LedgerId},
};

/// A claim that cannot be told apart from one that was just given up is asked for again soon.
const SOON: Duration = Duration::from_millis(100);

/// Takes the claim if it is free: never taken, given back, or ended. A row that is being changed is
/// somebody's, and not waited for. One that ends later than any lease does is shortened to the longest
/// one. Beside it stands the time.
///
/// Whether this is still the ledger that was opened, and one that this program can use, is part of the
/// same statement: a connection may stay open while another ledger takes its place.
pub(super) async fn claim(
    client: &Client,
    id: &LedgerId,
    key: &ConnectionKey,
    lease: Duration,
    holder: &str,
    attempt: &str,
) -> Result<(Claimed, Option<Timestamp>), Failure> {
    let query = format!(
        "WITH of_use AS (
            SELECT FROM scimitar.meta
            WHERE moved_to IS NULL AND filled_from IS NULL AND ledger_id = $6 AND min_reader <= $7
        ), free AS (
            SELECT tenant, connection FROM scimitar.claims
            WHERE EXISTS (SELECT FROM of_use) AND tenant = $1 AND connection = $2
                AND (holder IS NULL OR ends_at <= scimitar.lease_clock())
            FOR UPDATE SKIP LOCKED
        ), taken AS (
            UPDATE scimitar.claims AS claims SET
                holder = $3, attempt = $4, fence = claims.fence + 1,
                ends_at = scimitar.lease_clock() + $5 * interval '1 millisecond'
            FROM free
            WHERE claims.tenant = free.tenant AND claims.connection = free.connection
            RETURNING claims.fence
        ), made AS (
            INSERT INTO scimitar.claims (tenant, connection, holder, attempt, fence, ends_at)
            SELECT $1, $2, $3, $4, 1, scimitar.lease_clock() + $5 * interval '1 millisecond'
            WHERE EXISTS (SELECT FROM of_use) AND NOT EXISTS (
                SELECT FROM scimitar.claims WHERE tenant = $1 AND connection = $2)
            ON CONFLICT DO NOTHING
            RETURNING fence
        ), beyond AS (
            SELECT tenant, connection FROM scimitar.claims
            WHERE EXISTS (SELECT FROM of_use) AND tenant = $1 AND connection = $2
                AND holder IS NOT NULL
                AND ends_at > scimitar.lease_clock() + $8 * interval '1 millisecond'
            FOR UPDATE SKIP LOCKED
        ), shortened AS (
            UPDATE scimitar.claims AS claims
            SET ends_at = scimitar.lease_clock() + $8 * interval '1 millisecond'
            FROM beyond
            WHERE claims.tenant = beyond.tenant AND claims.connection = beyond.connection
        )
        SELECT coalesce((SELECT fence FROM taken), (SELECT fence FROM made)),
            (SELECT least(
                ceil(extract(epoch FROM ends_at - scimitar.lease_clock()) * 1000)::int8, $8)
             FROM scimitar.claims
             WHERE tenant = $1 AND connection = $2 AND holder IS NOT NULL),
            EXISTS (SELECT FROM of_use),
            {TIME}"
    );
    let (tenant, connection) = (key.tenant.as_str(), key.connection.as_str());
    let (wanted, longest) = (milliseconds(lease), milliseconds(lease.max(LONGEST_LEASE)));
    let (id_here, known) = (id.as_str(), i32::try_from(MIGRATIONS.len()).unwrap_or(i32::MAX));
    let parameters: [Parameter<'_>; 8] = [
        (&tenant, Type::TEXT),
        (&connection, Type::TEXT),
        (&holder, Type::TEXT),
        (&attempt, Type::TEXT),
        (&wanted, Type::INT8),
        (&id_here, Type::TEXT),
        (&known, Type::INT4),
        (&longest, Type::INT8),
    ];
    // A statement of its own: it sees all that was written before the claim was taken.
    let both = async {
        let (claimed, record) = tokio::join!(
            biased;
            client.query_typed(&query, &parameters),
            read_record(client, key),
        );
        Ok((claimed?, record?))
    };
    // A server that falls may take it back: what is written durably later takes the claim to the disk with it, and
    // before that nothing but looks is done under it.
    let (claimed, record) = match within(client, BEGIN_SOON, both).await {
        // Somebody makes the row at this moment.
        Err(Failure::Postgres(error))
            if error.code().is_some_and(|code| code.code() == "55P03") =>
        {
            return Ok((Claimed::Held(SOON), None));
        }
        both => both?,
    };
    let Some(row) = claimed.first() else { return Ok((Claimed::Held(SOON), None)) };
    if !row.try_get::<_, bool>(2)? {
        schema::same_ledger(client, id).await?;
        schema::must_be_of_use(client).await?;
    }
    let claimed = match row.try_get::<_, Option<i64>>(0)? {
        Some(fence) => {
            let claim = Claim { key: key.clone(), fence: unsigned(fence)? };
            let record = record.first().map(|row| stored(row, 0)).transpose();
            with_record(client, claim, holder, record).await?
        }
        None => {
            let left: Option<i64> = row.try_get(1)?;
            let left = left.and_then(|left| u64::try_from(left).ok()).filter(|left| *left > 0);
            Claimed::Held(left.map_or(SOON, Duration::from_millis))
        }
    };
    Ok((claimed, schema::shown(row, 3)?))
}

/// A claim that was taken, with its record. Where that cannot be read, the claim is given back: whoever
/// asked is told that there is none.
pub(super) async fn with_record(
    client: &Client,
    claim: Claim,
    holder: &str,
    record: Result<Option<Stored>, Failure>,
) -> Result<Claimed, Failure> {
    match record {
        Ok(record) => Ok(Claimed::Yes(claim, record)),
        Err(failure) => {
            // What is tried again finds the claim.
            if failure.remedy() == Remedy::Answer {
                release(client, &claim, holder).await?;
            }
            Err(failure)
        }
    }
}

/// The claim that an earlier attempt took, whose answer was lost.
pub(super) async fn claimed_by(
    client: &Client,
    key: &ConnectionKey,
    holder: &str,
    attempt: &str,
) -> Result<Option<Claim>, Failure> {
    let query = "SELECT fence FROM scimitar.claims
        WHERE tenant = $1 AND connection = $2 AND holder = $3 AND attempt = $4
            AND ends_at > scimitar.lease_clock()";
    let (tenant, connection) = (key.tenant.as_str(), key.connection.as_str());
    let rows = ask(
        client,
        BEGIN_READ,
        query,
        &[
            (&tenant, Type::TEXT),
            (&connection, Type::TEXT),
            (&holder, Type::TEXT),
            (&attempt, Type::TEXT),
        ],
    )
    .await?;
    let row = rows.first();
    row.map(|row| Ok(Claim { key: key.clone(), fence: unsigned(row.try_get(0)?)? })).transpose()
}

pub(super) async fn renew(
    client: &Client,
    claim: &Claim,
    lease: Duration,
    holder: &str,
) -> Result<(), Failure> {
    let query = "UPDATE scimitar.claims
        SET ends_at = scimitar.lease_clock() + $5 * interval '1 millisecond'
        WHERE tenant = $1 AND connection = $2 AND holder = $3 AND fence = $4
            AND ends_at > scimitar.lease_clock()
        RETURNING fence";
    let (tenant, connection) = (claim.key.tenant.as_str(), claim.key.connection.as_str());
    let (fence, milliseconds) = (signed(claim.fence), milliseconds(lease));
    let rows = ask(
        client,
        BEGIN_WRITE,
        query,
        &[
            (&tenant, Type::TEXT),
            (&connection, Type::TEXT),
            (&holder, Type::TEXT),
            (&fence, Type::INT8),
            (&milliseconds, Type::INT8),
        ],
    )
    .await?;
    if rows.is_empty() { Err(Failure::ClaimLost) } else { Ok(()) }
}

pub(super) async fn release(client: &Client, claim: &Claim, holder: &str) -> Result<(), Failure> {
    let query = "UPDATE scimitar.claims SET holder = NULL
        WHERE tenant = $1 AND connection = $2 AND holder = $3 AND fence = $4";
    let (tenant, connection) = (claim.key.tenant.as_str(), claim.key.connection.as_str());
    let fence = signed(claim.fence);
    ask(
        client,
        BEGIN_SOON,
        query,
        &[
            (&tenant, Type::TEXT),
            (&connection, Type::TEXT),
            (&holder, Type::TEXT),
            (&fence, Type::INT8),
        ],
    )
    .await?;
    Ok(())
}
