//! Schedules of an active connection that has none.

use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::Error;
use crate::error::Attempt;

/// Makes the schedules of an active connection that has none, in the transaction that has connected or tested it. A trigger
/// makes them where a connection is switched on; a removal that was under way then may have taken them again.
pub(crate) async fn make_missing(
    connection: &mut PgConnection,
    tenant: Uuid,
    integration_id: Uuid,
) -> Result<(), Error> {
    const WHAT: &str = "make the schedules of a connection";
    let is_missing = sqlx::query_scalar!(
        r#"select exists (select from rmm_integrations where tenant = $1 and integration_id = $2 and is_active)
              and not exists (select from muster.schedule where tenant = $1 and integration_id = $2) as "is_missing!""#,
        tenant,
        integration_id
    );
    if !is_missing.fetch_one(&mut *connection).await.attempt(WHAT)? {
        return Ok(());
    }
    let made = sqlx::query!("select muster.set_schedules($1, $2, true)", tenant, integration_id);
    made.execute(connection).await.attempt(WHAT).map(drop)
}
