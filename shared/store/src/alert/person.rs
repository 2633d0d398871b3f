//! What a person does to one alert: the part of it that is ours.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::audit::{self, Entry};
use crate::error::Attempt;
use crate::hook::PROVIDER;
use crate::{Error, Store};

/// One alert, as far as it must be known to do something to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct One {
    /// The connection that it came by.
    pub integration_id: Uuid,
    /// Tactical's number of it, or a name made of what is known.
    pub external_alert_id: String,
    /// Its agent.
    pub agent_id: Option<String>,
    /// The incarnation.
    pub alert_time: Option<DateTime<Utc>>,
    /// active, acknowledged, suppressed, resolved or `auto_resolved`.
    pub status: String,
}

/// One alert of a tenant; `None`: there is none.
///
/// # Errors
/// What the database said.
pub async fn find(store: &Store, tenant: Uuid, alert_id: Uuid) -> Result<Option<One>, Error> {
    let row = sqlx::query_as!(
        One,
        r#"select r.integration_id, r.external_alert_id, r.external_device_id as agent_id,
                  s.alert_time as "alert_time?", r.status
           from rmm_alerts r
           join rmm_integrations i
               on i.tenant = r.tenant and i.integration_id = r.integration_id and i.provider = $3
           left join muster.alert_state s on s.tenant = r.tenant and s.alert_id = r.alert_id
           where r.tenant = $1 and r.alert_id = $2"#,
        tenant,
        alert_id,
        PROVIDER
    );
    store.run(format!("read alert {alert_id}"), row.fetch_optional(store.pool())).await
}

/// Notes that a person has seen an alert: it is acknowledged until it ends. Tactical knows no such thing and hears nothing of
/// it; nor does the outbox, since nothing was learnt about the alert. The status afterwards; `None`: there is no such alert.
///
/// One that is not active stays as it is.
///
/// # Errors
/// What the database said.
pub async fn acknowledge(store: &Store, tenant: Uuid, alert_id: Uuid, entry: &Entry) -> Result<Option<String>, Error> {
    let work = async {
        let mut transaction = store.pool().begin().await.attempt("begin to acknowledge an alert")?;
        // whoever writes the visible row holds the state's lock
        sqlx::query!(
            "select tenant from muster.alert_state where tenant = $1 and alert_id = $2 for no key update",
            tenant,
            alert_id
        )
        .fetch_optional(&mut *transaction)
        .await
        .attempt(format!("lock alert {alert_id}"))?;
        let done = sqlx::query!(
            "update rmm_alerts set status = 'acknowledged', acknowledged_at = now(), updated_at = now()
             where tenant = $1 and alert_id = $2 and status = 'active'",
            tenant,
            alert_id
        );
        let done = done.execute(&mut *transaction).await.attempt(format!("acknowledge alert {alert_id}"))?;
        if done.rows_affected() == 1 {
            audit::insert(&mut transaction, entry).await?;
        }
        let status =
            sqlx::query_scalar!("select status from rmm_alerts where tenant = $1 and alert_id = $2", tenant, alert_id);
        let status = status.fetch_optional(&mut *transaction).await.attempt(format!("read alert {alert_id}"))?;
        transaction.commit().await.attempt("commit an acknowledgement")?;
        Ok(status)
    };
    store.within("acknowledge an alert", store.work_ends(), work).await
}
