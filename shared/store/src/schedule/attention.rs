//! A connection that needs a person: it is asked at most once an hour until it works again.

use std::time::Duration;

use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::devices_interval_s;
use crate::Error;
use crate::error::Attempt;
use crate::run::{Kind, State};

/// So many runs of a kind in a row must fail for the same cause, one that needs a person, …
pub const ATTENTION_FAILURES: i32 = 3;
/// … over this time at least, before their schedule slows down: Tactical answers oddly for minutes while it is updated.
pub const ATTENTION_AFTER: Duration = Duration::from_secs(10 * 60);
/// Then it ticks this often, to find out whether the person has done something.
pub const PROBE_EVERY: Duration = Duration::from_secs(60 * 60);

/// Notes how a run has ended, in the transaction that ends it, under the lock of the connection. `lasting`: the cause of a
/// failure that only a person can take away. Other failures say nothing about the connection: they neither count nor end a
/// row of such failures.
pub(crate) async fn note_end(
    connection: &mut PgConnection,
    (tenant, integration_id): (Uuid, Uuid),
    kind: Kind,
    state: State,
    lasting: Option<&str>,
) -> Result<(), Error> {
    if state != State::Failed {
        note_success(connection, tenant, integration_id, kind).await?;
        if kind == Kind::Devices {
            follow_size(connection, tenant, integration_id).await?;
        }
        return Ok(());
    }
    let Some(cause) = lasting else { return Ok(()) };
    sqlx::query_file!(
        "sql/schedule/note_failure.sql",
        tenant,
        integration_id,
        kind.as_str(),
        cause,
        ATTENTION_FAILURES,
        ATTENTION_AFTER.as_secs_f64(),
        seconds(PROBE_EVERY)
    )
    .execute(connection)
    .await
    .attempt("note a failure that needs a person")
    .map(drop)
}

async fn note_success(
    connection: &mut PgConnection,
    tenant: Uuid,
    integration_id: Uuid,
    kind: Kind,
) -> Result<(), Error> {
    let resumed = sqlx::query_scalar!(
        r#"update muster.schedule s
           set failing_cause = null, failing_since = null, failing_count = 0, attention_at = null,
               next_due_at = case when s.attention_at is null or s.next_due_at is null then s.next_due_at
                   else muster.next_slot(now(), coalesce(s.interval_s, s.default_interval_s), s.phase_s) end
           from muster.schedule b
           where s.tenant = $1 and s.integration_id = $2 and s.kind = $3 and s.failing_count > 0
             and b.tenant = s.tenant and b.integration_id = s.integration_id and b.kind = s.kind
           returning b.attention_at is not null as "was_slow!""#,
        tenant,
        integration_id,
        kind.as_str()
    );
    let resumed = resumed.fetch_optional(&mut *connection).await.attempt("note that a connection works again")?;
    if resumed == Some(true) { probe_now(connection, tenant, integration_id).await } else { Ok(()) }
}

/// Something has changed about the connection: what ticks once an hour because of its failures looks now. The caller has
/// locked the connection.
pub(crate) async fn probe_now(connection: &mut PgConnection, tenant: Uuid, integration_id: Uuid) -> Result<(), Error> {
    sqlx::query!(
        "update muster.schedule set next_due_at = now()
         where tenant = $1 and integration_id = $2 and attention_at is not null and next_due_at > now()",
        tenant,
        integration_id
    )
    .execute(connection)
    .await
    .attempt("have a connection that failed looked at now")
    .map(drop)
}

/// After a sync of devices: how often they are read by default follows how many there are.
async fn follow_size(connection: &mut PgConnection, tenant: Uuid, integration_id: Uuid) -> Result<(), Error> {
    let agents = sqlx::query_scalar!(
        r#"select count(*) as "agents!" from muster.agent
           where tenant = $1 and integration_id = $2 and missing_since is null"#,
        tenant,
        integration_id
    );
    let agents = agents.fetch_one(&mut *connection).await.attempt("count the devices of a connection")?;
    sqlx::query!(
        "update muster.schedule
         set default_interval_s = $4,
             next_due_at = case when interval_s is null and attention_at is null and next_due_at is not null
                 then muster.next_slot(now(), $4, phase_s) else next_due_at end
         where tenant = $1 and integration_id = $2 and kind = $3 and default_interval_s <> $4",
        tenant,
        integration_id,
        Kind::Devices.as_str(),
        devices_interval_s(agents)
    )
    .execute(connection)
    .await
    .attempt("fit how often devices are read to their number")
    .map(drop)
}

/// As the statements take it.
pub(super) fn seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_secs()).expect("an hour fits")
}
