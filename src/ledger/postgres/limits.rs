//! What replicas took of each tenant's request limit, kept where all of them see it.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio_postgres::types::Type;

use super::{
    failure::Failure,
    of,
    pool::Pool,
    rows::{Parameter, ask},
};
use crate::{
    provider::budget::{RateLimit, SharedLimit, Turns, Wanted},
    token::Tenant,
};

/// What is lost of it with a crash costs a request too many: nobody waits for the disk.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED;
    SET LOCAL statement_timeout = 2000; SET LOCAL lock_timeout = 1000;
    SET LOCAL idle_in_transaction_session_timeout = 10000; SET LOCAL synchronous_commit = off";

/// An account is never so many seconds further ahead than a whole burst takes to fill up. What is was
/// written before the database's clock was set back, and would keep the tenant from being asked.
const FURTHEST: f64 = 120.0;

/// The account of each tenant, by the database's clock.
pub(super) struct Limits(pub(super) Arc<Pool>);

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Limits").field(&self.0.settings.address.to_string()).finish()
    }
}

#[async_trait]
impl SharedLimit for Limits {
    async fn take_turns(&self, tenant: &Tenant, wanted: Wanted) -> Result<Turns, String> {
        let statement = "INSERT INTO scimitar.limits AS kept (tenant, ours_full_at, whole_full_at)
            VALUES ($1, scimitar.lease_clock() + $2 * interval '1 microsecond',
                scimitar.lease_clock() + $3 * interval '1 microsecond')
            ON CONFLICT (tenant) DO UPDATE SET
                ours_full_at = least(greatest(kept.ours_full_at, scimitar.lease_clock()),
                        scimitar.lease_clock() + $4 * interval '1 microsecond')
                    + $2 * interval '1 microsecond',
                whole_full_at = least(greatest(kept.whole_full_at, scimitar.lease_clock()),
                        scimitar.lease_clock() + $5 * interval '1 microsecond')
                    + $3 * interval '1 microsecond',
                paused_until = CASE WHEN kept.paused_until IS NOT NULL THEN
                    least(kept.paused_until, scimitar.lease_clock() + interval '1 hour') END
            RETURNING
                (extract(epoch FROM ours_full_at - scimitar.lease_clock()) * 1000000)::int8 - $2,
                (extract(epoch FROM whole_full_at - scimitar.lease_clock()) * 1000000)::int8 - $3,
                coalesce(
                    (extract(epoch FROM paused_until - scimitar.lease_clock()) * 1000000)::int8, 0)";
        let takes = |per_second: f64| microseconds(f64::from(wanted.turns) / per_second);
        let furthest =
            |limit: RateLimit| microseconds(FURTHEST + f64::from(limit.burst) / limit.per_second);
        let (ours, whole) = (takes(wanted.ours.per_second), takes(wanted.whole.per_second));
        let (ours_at_most, whole_at_most) = (furthest(wanted.ours), furthest(wanted.whole));
        let tenant = tenant.as_str();
        let taken = self.0.call(|client, _| async move {
            let parameters: [Parameter<'_>; 5] = [
                (&tenant, Type::TEXT),
                (&ours, Type::INT8),
                (&whole, Type::INT8),
                (&ours_at_most, Type::INT8),
                (&whole_at_most, Type::INT8),
            ];
            let rows = ask(&client, BEGIN, statement, &parameters).await?;
            let row = rows
                .first()
                .ok_or_else(|| Failure::Unavailable("it did not record the requests".to_owned()))?;
            let left = |column| row.try_get::<_, i64>(column).map(duration);
            Ok(Turns { ours: left(0)?, whole: left(1)?, pause: left(2)? })
        });
        taken.await.map_err(|failure| of(&self.0, failure).to_string())
    }

    async fn pause(&self, tenant: &Tenant, pause: Duration) -> Result<(), String> {
        let statement = "INSERT INTO scimitar.limits AS kept
                (tenant, ours_full_at, whole_full_at, paused_until)
            VALUES ($1, scimitar.lease_clock(), scimitar.lease_clock(),
                scimitar.lease_clock() + $2 * interval '1 microsecond')
            ON CONFLICT (tenant) DO UPDATE SET
                paused_until = least(greatest(kept.paused_until, excluded.paused_until),
                    scimitar.lease_clock() + interval '1 hour')";
        let (tenant, pause) = (tenant.as_str(), microseconds(pause.as_secs_f64()));
        let kept = self.0.call(|client, _| async move {
            let parameters: [Parameter<'_>; 2] = [(&tenant, Type::TEXT), (&pause, Type::INT8)];
            ask(&client, BEGIN, statement, &parameters).await
        });
        kept.await.map(drop).map_err(|failure| of(&self.0, failure).to_string())
    }
}

/// More than an hour is as long as an hour: nothing is waited for longer.
fn microseconds(seconds: f64) -> i64 {
    (seconds.clamp(0.0, 3600.0) * 1e6) as i64
}

fn duration(microseconds: i64) -> Duration {
    Duration::from_micros(u64::try_from(microseconds).unwrap_or_default())
}
