//! Removal of a tenant: its secrets, hooks and tokens, every row that is Muster's own, and on request those of AlgaPSA's.
//!
//! It may be ended at any step and asked for again. First the connection is switched off and the doors are closed, in
//! one transaction with the audit row that says who asked; from then on no job writes anything of the tenant, since
//! each looks in the transaction in which it writes. Those that looked before are waited for: every transaction that
//! was under way then. After that the tables are emptied in batches, again and again until a pass finds nothing.
//!
//! What is in the broker's queues stays there until a worker takes it: of a connection that is switched off or gone a
//! message is discarded, and nothing of a removed tenant is parked (`removed`).

use std::time::Duration;

use serde_json::json;
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;
use tokio::time::Instant;
use uuid::Uuid;

use crate::audit::{self, Entry};
use crate::error::Attempt;
use crate::hook::PROVIDER;
use crate::{Error, Store, connection, lock};

/// The audit's word for it.
pub const ACTION: &str = "tenant.remove";
/// Rows of one transaction at most.
pub const BATCH_ROWS_MAX: usize = 1_000;
/// Passes over all tables; a second one finds what the end of a job has left behind, a third one nothing.
const PASSES_MAX: u32 = 10;
/// Longest wait for transactions that were under way. Longer than any of ours may last, which a store's work and its
/// grace end; what lasts longer is somebody's backup.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// Between two looks at them.
const LOOK: Duration = Duration::from_millis(50);
/// How often what met somebody's lock is tried.
const TRIES_MAX: u32 = 5;

/// Muster's tables with rows of tenants, in the order in which they are emptied: who could still open a door, what
/// would make new work, what stands below others before it, and last the connection, whose row is a lock.
pub const TABLES: &[&str] = &[
    "muster.hook",
    "muster.secret",
    "muster.token",
    "muster.outbox",
    "muster.reconcile_wish",
    "muster.schedule",
    "muster.run_candidate",
    "muster.run_part",
    "muster.run",
    "muster.merge_proposal",
    "muster.webhook_finding",
    "muster.alert_poll",
    "muster.alert_raw",
    "muster.alert_recount",
    "muster.alert_key",
    "muster.alert_state",
    "muster.alert_dedup",
    "muster.software_change",
    "muster.software_version",
    "muster.software_report",
    "muster.agent",
    "muster.site",
    "muster.imported",
    "muster.parked",
    "muster.pause",
    "muster.connection",
];
/// Those of them that close the doors; a few rows, in the first transaction.
const DOORS: &[&str] = &["muster.hook", "muster.secret", "muster.token"];
/// Muster's tables with rows of tenants that stay: who did what is not for the one who did it to erase. They go by
/// their age.
pub const KEPT: &[&str] = &["muster.audit"];

/// A table of AlgaPSA's, and which of a tenant's rows this integration made.
struct Made {
    table: &'static str,
    rows: &'static str,
    /// What becomes of them: nothing, or these columns' values.
    cleared: Option<&'static str>,
}

/// In the order in which they go: each is found by what comes after it.
const ALGAPSA: &[Made] = &[
    Made {
        table: "rmm_alerts",
        rows: "integration_id in (select integration_id from rmm_integrations where tenant = $1 and provider = 'tacticalrmm')",
        cleared: None,
    },
    Made {
        table: "rmm_organization_mappings",
        rows: "integration_id in (select integration_id from rmm_integrations where tenant = $1 and provider = 'tacticalrmm')",
        cleared: None,
    },
    Made {
        table: "asset_software",
        rows: "asset_id in (select asset_id from assets where tenant = $1 and rmm_provider = 'tacticalrmm')",
        cleared: None,
    },
    Made { table: "tenant_external_entity_mappings", rows: "integration_type = 'tacticalrmm'", cleared: None },
    // tickets and contracts refer to them: they stay, and are nobody's agents any more
    Made {
        table: "assets",
        rows: "rmm_provider = 'tacticalrmm'",
        cleared: Some(
            "rmm_provider = null, rmm_device_id = null, rmm_organization_id = null, agent_status = null, \
             last_seen_at = null, last_rmm_sync_at = null, updated_at = now()",
        ),
    },
    Made { table: "rmm_integrations", rows: "provider = 'tacticalrmm'", cleared: None },
];

/// What becomes of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// They are deleted.
    Deleted,
    /// They stay, without what tells of Tactical.
    Cleared,
    /// They stay.
    Kept,
}

/// Rows of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows {
    /// The table, with its schema where it is Muster's.
    pub table: &'static str,
    /// How many.
    pub count: u64,
    /// What becomes of them, or became.
    pub fate: Fate,
}

/// What a removal would do, table by table; changes nothing. A table without rows of the tenant is left out.
///
/// # Errors
/// What the database said.
pub async fn preview(store: &Store, tenant: Uuid, with_algapsa_rows: bool) -> Result<Vec<Rows>, Error> {
    let mut all = Vec::new();
    let mut connection = store.run("look at a tenant", store.pool().acquire()).await?;
    let ours = TABLES.iter().map(|table| (*table, "true", Fate::Deleted));
    let kept = KEPT.iter().map(|table| (*table, "true", Fate::Kept));
    let algapsa = ALGAPSA.iter().map(|made| {
        let fate = if made.cleared.is_some() { Fate::Cleared } else { Fate::Deleted };
        (made.table, made.rows, if with_algapsa_rows { fate } else { Fate::Kept })
    });
    for (table, rows, fate) in ours.chain(kept).chain(algapsa) {
        let sql = format!("select count(*) from {table} where tenant = $1 and {rows}");
        let count = sqlx::query_scalar::<_, i64>(AssertSqlSafe(sql)).bind(tenant).fetch_one(&mut *connection);
        let count = store.run(format!("count the rows of {table}"), count).await?;
        all.push(Rows { table, count: u64::try_from(count).unwrap_or_default(), fate });
    }
    all.retain(|rows| rows.count > 0);
    Ok(all)
}

/// Removes a tenant; what it deleted and cleared, table by table. Asked for again it goes on where it was ended.
///
/// # Errors [`Error::Data`] where a table that we do not know refers to a row of AlgaPSA's; [`Error::Refused`] where
/// something goes on writing; otherwise what the database said. Nothing that was done is undone.
pub async fn remove(store: &Store, tenant: Uuid, with_algapsa_rows: bool, actor: &str) -> Result<Vec<Rows>, Error> {
    let mut tries = 0;
    let mut all = loop {
        let closed = close(store, tenant, with_algapsa_rows, actor).await;
        if !is_tried_again(&closed, &mut tries) {
            break closed?;
        }
    };
    for _ in 0..PASSES_MAX {
        wait_for_others(store).await?;
        let mut found = 0;
        for table in TABLES {
            found += empty(store, tenant, table, "true", None, &mut all).await?;
        }
        if with_algapsa_rows {
            for made in ALGAPSA {
                found += empty(store, tenant, made.table, made.rows, made.cleared, &mut all).await?;
            }
        }
        if found == 0 {
            return Ok(all);
        }
    }
    Err(Error::Refused {
        what: format!("remove tenant {tenant}").into(),
        reason: "something goes on writing rows of it; look for a program of an older version".to_owned(),
    })
}

/// Switches the connection off, closes the doors and notes who asked, in one transaction. A test or a login that is under way
/// counts for nothing once it ends.
async fn close(store: &Store, tenant: Uuid, with_algapsa_rows: bool, actor: &str) -> Result<Vec<Rows>, Error> {
    let what = format!("switch off what belongs to tenant {tenant}");
    let work = async {
        let mut transaction = store.pool().begin().await.attempt(what.clone())?;
        let integration_id = connection::integration_of(&mut transaction, tenant).await?;
        if let Some(integration_id) = integration_id {
            lock::connection(&mut transaction, tenant, integration_id).await?;
            connection::end_claims(&mut transaction, tenant, integration_id).await.attempt(what.clone())?;
        }
        sqlx::query!(
            "update rmm_integrations
             set is_active = false, sync_status = 'pending', sync_error = null, updated_at = now()
             where tenant = $1 and provider = $2",
            tenant,
            PROVIDER
        )
        .execute(&mut *transaction)
        .await
        .attempt(what.clone())?;
        let mut all = Vec::new();
        for table in DOORS {
            let sql = format!("delete from {table} where tenant = $1");
            let done = sqlx::query(AssertSqlSafe(sql)).bind(tenant).execute(&mut *transaction).await;
            add(&mut all, table, done.attempt(what.clone())?.rows_affected(), Fate::Deleted);
        }
        let entry = Entry {
            tenant: Some(tenant),
            actor: actor.to_owned(),
            action: ACTION,
            subject: integration_id.map(|integration_id| integration_id.to_string()),
            detail: json!({"with_algapsa_rows": with_algapsa_rows}),
        };
        audit::insert(&mut transaction, &entry).await?;
        transaction.commit().await.attempt(what.clone())?;
        Ok(all)
    };
    store.within(what.clone(), store.work_ends(), work).await
}

/// Waits for the end of every transaction of this database that is under way now.
async fn wait_for_others(store: &Store) -> Result<(), Error> {
    const WHAT: &str = "wait for what others have begun";
    let begun = || async {
        let rows = sqlx::query_scalar!(
            r#"select l.virtualtransaction as "transaction!"
               from pg_locks l
               join pg_stat_activity a on a.pid = l.pid
               where l.locktype = 'virtualxid' and l.mode = 'ExclusiveLock' and l.pid <> pg_backend_pid()
                 and a.datid = (select oid from pg_database where datname = current_database())
                 -- the kind of another role's session may be hidden
                 and coalesce(a.backend_type, 'client backend') = 'client backend'"#
        );
        store.run(WHAT, rows.fetch_all(store.pool())).await
    };
    let ends = Instant::now() + WAIT_MAX;
    let mut waited_for = begun().await?;
    while !waited_for.is_empty() && Instant::now() < ends {
        tokio::time::sleep(LOOK).await;
        let still = begun().await?;
        waited_for.retain(|transaction| still.contains(transaction));
    }
    Ok(())
}

/// Takes a tenant's rows out of a table, batch by batch; how many.
async fn empty(
    store: &Store,
    tenant: Uuid,
    table: &'static str,
    rows: &str,
    cleared: Option<&str>,
    all: &mut Vec<Rows>,
) -> Result<u64, Error> {
    let (verb, fate) = match cleared {
        Some(values) => (format!("update {table} set {values}"), Fate::Cleared),
        None => (format!("delete from {table}"), Fate::Deleted),
    };
    let sql = format!(
        "{verb} where ctid = any (array(select ctid from {table} where tenant = $1 and {rows} limit {BATCH_ROWS_MAX}))"
    );
    let mut total = 0;
    loop {
        let count = batch(store, tenant, table, &sql).await?;
        total += count;
        if count == 0 {
            break;
        }
    }
    add(all, table, total, fate);
    Ok(total)
}

async fn batch(store: &Store, tenant: Uuid, table: &str, sql: &str) -> Result<u64, Error> {
    let mut tries = 0;
    loop {
        let done = sqlx::query(AssertSqlSafe(sql.to_owned())).bind(tenant).execute(store.pool());
        let done = store.run(format!("remove rows of {table}"), done).await;
        if !is_tried_again(&done, &mut tries) {
            return done.map(|done| done.rows_affected());
        }
    }
}

fn is_tried_again<T>(done: &Result<T, Error>, tries: &mut u32) -> bool {
    *tries += 1;
    matches!(done, Err(Error::Contention { .. })) && *tries <= TRIES_MAX
}

fn add(all: &mut Vec<Rows>, table: &'static str, count: u64, fate: Fate) {
    match all.iter_mut().find(|rows| rows.table == table) {
        Some(rows) => rows.count += count,
        None if count > 0 => all.push(Rows { table, count, fate }),
        None => {}
    }
}

/// Which of these tenants were removed, and have not been connected again since.
pub(crate) async fn removed(connection: &mut PgConnection, tenants: &[Uuid]) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select q.tenant as "tenant!"
           from unnest($1::uuid[]) q (tenant)
           where exists (select from muster.audit a where a.tenant = q.tenant and a.action = $2)
             and not exists (select from muster.hook h where h.tenant = q.tenant)
             and not exists (select from muster.connection c where c.tenant = q.tenant)
             and not exists (select from rmm_integrations i where i.tenant = q.tenant and i.is_active)"#,
        tenants,
        ACTION
    )
    .fetch_all(connection)
    .await
}
