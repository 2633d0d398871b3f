//! What readers are told when a run ends: that it has, and what it imported.
//!
//! **The rule of imports.** What is there when Muster first looks is not told one by one, or a new connection would flood its
//! readers. What has been looked at once stands in `muster.imported` (devices by client, alerts by connection) and, of
//! software, in `muster.software_report`. Writers ask there whether to tell; a run that has read a scope to its end notes it
//! here and tells the whole of it with one event.

use sqlx::postgres::PgConnection;
use uuid::Uuid;

use contract::event::{ImportCompleted, RunCounts, SyncEnded};

use super::{Kind, Scope, State};
use crate::Error;
use crate::error::Attempt;
use crate::outbox::{self, NewRow};

/// Tells that a run has ended, in the transaction that ends it, and first what it imported.
pub(super) async fn end(
    connection: &mut PgConnection,
    tenant: Uuid,
    run_id: Uuid,
    integration_id: Uuid,
    kind: Kind,
    state: State,
) -> Result<(), Error> {
    let imports = imported(connection, tenant, run_id, integration_id, kind).await?;
    let row =
        sqlx::query_file!("sql/run/read.sql", tenant, Some(run_id), 1, None::<&str>, None::<&[String]>, None::<Uuid>);
    let row = row.fetch_one(&mut *connection).await.attempt(format!("read the end of run {run_id}"))?;
    let Some(at) = row.finished_at else { return Ok(()) };
    let ended = SyncEnded {
        tenant,
        integration_id,
        run_id,
        kind: kind.as_str().to_owned(),
        state: state.as_str().to_owned(),
        requested_by: row.requested_by,
        requested_at: row.requested_at,
        started_at: row.started_at,
        parts: row.parts,
        parts_done: row.parts_done,
        parts_failed: row.parts_failed,
        counts: RunCounts {
            seen: row.seen,
            created: row.created,
            updated: row.updated,
            moved: row.moved,
            unchanged: row.unchanged,
            missing: row.missing,
            unverifiable: row.unverifiable,
        },
        error: row.error,
    };
    let mut events: Vec<NewRow> = imports.into_iter().map(|import| NewRow::event(import, at, None)).collect();
    events.push(NewRow::event(ended, at, None));
    outbox::insert(connection, &events).await.map(drop)
}

/// Notes what the run has read to its end for the first time.
async fn imported(
    connection: &mut PgConnection,
    tenant: Uuid,
    run_id: Uuid,
    integration_id: Uuid,
    kind: Kind,
) -> Result<Vec<ImportCompleted>, Error> {
    let what = || format!("note what run {run_id} has imported");
    let import = |part: String, label: String, count: i64| {
        let kind = kind.as_str().to_owned();
        ImportCompleted { tenant, integration_id, run_id, kind, part, label, count }
    };
    let imports = match kind {
        Kind::Clients => Vec::new(),
        Kind::Devices => {
            let rows = sqlx::query_file!("sql/run/note_imported.sql", tenant, integration_id, run_id);
            let rows = rows.fetch_all(connection).await.attempt(what())?;
            rows.into_iter().map(|row| import(format!("client:{}", row.client), row.label, row.seen)).collect()
        }
        Kind::Alerts => {
            // the look back tells of what is over, and may fail by itself
            let read = parts(connection, tenant, run_id).await?.find(|part| part.name == Scope::Alerts.to_string());
            let Some(part) = read.filter(|part| part.is_done) else { return Ok(Vec::new()) };
            let noted = sqlx::query!(
                "insert into muster.imported (tenant, integration_id, kind, scope) values ($1, $2, 'alerts', '')
                 on conflict (tenant, integration_id, kind, scope) do nothing",
                tenant,
                integration_id
            );
            match noted.execute(connection).await.attempt(what())?.rows_affected() {
                0 => Vec::new(),
                _ => vec![import(part.name, part.label, part.seen)],
            }
        }
        // a part that failed has written lists, too
        Kind::Software => {
            let parts = parts(connection, tenant, run_id).await?.filter(|part| part.created > 0);
            parts.map(|part| import(part.name, part.label, part.created)).collect()
        }
    };
    Ok(imports)
}

/// What a part came to.
struct Part {
    name: String,
    label: String,
    is_done: bool,
    seen: i64,
    created: i64,
}

async fn parts(
    connection: &mut PgConnection,
    tenant: Uuid,
    run_id: Uuid,
) -> Result<impl Iterator<Item = Part> + use<>, Error> {
    let rows = sqlx::query_as!(
        Part,
        r#"select name, label, state = 'done' as "is_done!", seen::int8 as "seen!", created::int8 as "created!"
           from muster.run_part where tenant = $1 and run_id = $2 order by name"#,
        tenant,
        run_id
    );
    Ok(rows.fetch_all(connection).await.attempt(format!("read the parts of run {run_id}"))?.into_iter())
}
