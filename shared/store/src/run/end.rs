//! How a run ends, and what the connection shows of it.

use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::fence::{Held, integration_of};
use super::part::{message, note_synced};
use super::{Cause, Fence, Kind, State, tell};
use crate::alert::bound;
use crate::error::Attempt;
use crate::{Error, Store, device, lock, outbox, schedule};

/// Longest cause of a failure that is kept, in characters: a sentence or two.
pub(super) const CAUSE_CHARS_MAX: usize = 500;
/// Longest text of all causes together, in characters.
const ERROR_CHARS_MAX: usize = 2_000;
/// How many failed parts an error names.
const NAMED_MAX: usize = 10;

/// A text that fits and that Postgres can store.
pub(super) fn cut(text: &str, chars_max: usize) -> String {
    let mut text = text.to_owned();
    bound::cut(&mut text, chars_max);
    text
}

/// Ends a run that has nothing open; `None`: it goes on.
pub(super) async fn end_if_done(
    connection: &mut PgConnection,
    fence: &Fence,
    held: &Held,
) -> Result<Option<State>, Error> {
    let parts = sqlx::query!(
        r#"select count(*) as "all!", count(*) filter (where state = 'open') as "open!",
                  count(*) filter (where state = 'failed') as "failed!",
                  bool_or(name = 'confirm') as is_confirmed,
                  count(*) filter (where state = 'failed' and attempt > 0) as "tried_in_vain!",
                  bool_and(state = 'failed') filter (where name <> 'confirm') as is_nothing_read,
                  bool_and(needs_attention) filter (where state = 'failed') as needs_attention,
                  min(error) filter (where state = 'failed') as cause,
                  exists (select from muster.run_candidate
                          where tenant = $1 and run_id = $2 and not is_seen) as "has_candidates!"
           from muster.run_part where tenant = $1 and run_id = $2"#,
        fence.tenant,
        fence.run_id
    );
    let parts = parts.fetch_one(&mut *connection).await.attempt("count the parts of a run")?;
    if parts.open > 0 {
        return Ok(None);
    }
    if held.kind == Kind::Devices && parts.is_confirmed != Some(true) {
        // a server that answers nothing is not asked for more
        let is_there = parts.tried_in_vain == 0 || parts.failed < parts.all;
        let strays = match parts.has_candidates || is_there {
            true => device::note_strays(connection, fence, held.integration_id, parts.has_candidates).await?,
            false => 0,
        };
        if parts.has_candidates || strays > 0 {
            add_confirm(connection, fence, held).await?;
            return Ok(None);
        }
    }
    // the second look reads nothing that is imported
    let state = match parts.failed {
        0 => State::Completed,
        _ if parts.is_nothing_read == Some(true) => State::Failed,
        _ => State::Partial,
    };
    let error = match state {
        State::Completed => None,
        _ => Some(error_of(connection, fence, parts.failed, parts.all).await?),
    };
    let lasting = parts.cause.filter(|_| parts.needs_attention == Some(true));
    let ending = Ending { state, error: error.as_deref(), lasting: lasting.as_deref() };
    end(connection, fence.tenant, fence.run_id, held.integration_id, &ending).await?;
    Ok(Some(state))
}

async fn add_confirm(connection: &mut PgConnection, fence: &Fence, held: &Held) -> Result<(), Error> {
    sqlx::query!(
        "insert into muster.run_part (tenant, run_id, name, label)
         values ($1, $2, 'confirm', 'devices that were not listed') on conflict (tenant, run_id, name) do nothing",
        fence.tenant,
        fence.run_id
    )
    .execute(&mut *connection)
    .await
    .attempt("add the part that confirms")?;
    let confirm: Vec<_> = message(fence, held, "confirm", "").into_iter().collect();
    outbox::insert(connection, &confirm).await.map(drop)
}

/// Which parts failed, and why.
async fn error_of(connection: &mut PgConnection, fence: &Fence, failed: i64, all: i64) -> Result<String, Error> {
    let rows = sqlx::query!(
        "select label, error from muster.run_part where tenant = $1 and run_id = $2 and state = 'failed'
         order by label, name limit $3",
        fence.tenant,
        fence.run_id,
        NAMED_MAX as i64
    );
    let rows = rows.fetch_all(connection).await.attempt("read the failed parts of a run")?;
    let mut causes: Vec<String> =
        rows.iter().map(|row| format!("{}: {}", row.label, row.error.as_deref().unwrap_or("unknown"))).collect();
    if failed > NAMED_MAX as i64 {
        causes.push(format!("and {} more", failed - NAMED_MAX as i64));
    }
    Ok(cut(&format!("{failed} of {all} parts failed: {}", causes.join("; ")), ERROR_CHARS_MAX))
}

/// What a run comes to.
struct Ending<'a> {
    state: State,
    /// For whoever looks at the run.
    error: Option<&'a str>,
    /// Why it failed, where only a person can take that away; the same text for the same cause.
    lasting: Option<&'a str>,
}

async fn end(
    connection: &mut PgConnection,
    tenant: Uuid,
    run_id: Uuid,
    integration_id: Uuid,
    ending: &Ending<'_>,
) -> Result<(), Error> {
    let state = ending.state;
    let kind = sqlx::query_scalar!(
        "update muster.run set state = $3, error = $4, finished_at = now(), progressed_at = now()
         where tenant = $1 and run_id = $2 returning kind",
        tenant,
        run_id,
        state.as_str(),
        ending.error
    );
    let kind = kind.fetch_one(&mut *connection).await.attempt(format!("end run {run_id}"))?;
    let kind = Kind::parse(&kind);
    if kind == Some(Kind::Devices) {
        // a device that has moved was not in the list of its earlier client, and another part has shown it since
        note_synced(connection, tenant, run_id, integration_id, None).await?;
    }
    sqlx::query!("delete from muster.run_candidate where tenant = $1 and run_id = $2", tenant, run_id)
        .execute(&mut *connection)
        .await
        .attempt("forget a run's candidates")?;
    show(connection, tenant, integration_id, kind.map(|kind| (kind, state))).await?;
    let Some(kind) = kind else { return Ok(()) };
    schedule::note_end(connection, (tenant, integration_id), kind, state, ending.lasting).await?;
    tell::end(connection, tenant, run_id, integration_id, kind, state).await
}

/// Writes what `rmm_integrations` says about syncing: the failures of the last ended run of each kind, and whether one is
/// under way. `ended`: what has just ended.
pub(super) async fn show(
    connection: &mut PgConnection,
    tenant: Uuid,
    integration_id: Uuid,
    ended: Option<(Kind, State)>,
) -> Result<(), Error> {
    let has_synced = matches!(ended, Some((_, State::Completed | State::Partial)));
    let is_full = ended == Some((Kind::Devices, State::Completed));
    let kinds: Vec<String> = Kind::ALL.iter().map(|kind| kind.as_str().to_owned()).collect();
    sqlx::query_file!("sql/run/show.sql", tenant, integration_id, has_synced, is_full, &kinds)
        .execute(connection)
        .await
        .attempt("write the connection's sync status")
        .map(drop)
}

/// Ends an open run with a cause that concerns all of it: its open parts fail with it. `failed`, or `partial` where a part
/// was done before. With `epoch` only while the run has that epoch. `false`: it had ended, or is somebody else's.
///
/// # Errors
/// What the database said.
pub async fn fail(
    store: &Store,
    tenant: Uuid,
    run_id: Uuid,
    epoch: Option<i32>,
    cause: impl Into<Cause>,
) -> Result<bool, Error> {
    let cause = cause.into();
    let work = async {
        let mut transaction = store.pool().begin().await.attempt("begin to fail a run")?;
        let Some(integration_id) = integration_of(&mut transaction, tenant, run_id).await? else { return Ok(false) };
        lock::connection(&mut transaction, tenant, integration_id).await?;
        let is_failed = fail_locked(&mut transaction, tenant, run_id, integration_id, epoch, &cause).await?;
        transaction.commit().await.attempt("commit a run's failure")?;
        Ok(is_failed)
    };
    store.within("fail a run", store.work_ends(), work).await
}

/// Ends every open run of a connection with that cause, in the caller's transaction, which has locked the connection's row
/// in `muster.connection` before anything else. For a disconnect.
pub(crate) async fn fail_open(
    connection: &mut PgConnection,
    tenant: Uuid,
    integration_id: Uuid,
    cause: &str,
) -> Result<(), Error> {
    let open = sqlx::query_scalar!(
        "select run_id from muster.run
         where tenant = $1 and integration_id = $2 and state in ('queued', 'running') order by run_id",
        tenant,
        integration_id
    );
    let open = open.fetch_all(&mut *connection).await.attempt("read the open runs of a connection")?;
    for run_id in open {
        fail_locked(connection, tenant, run_id, integration_id, None, &cause.into()).await?;
    }
    Ok(())
}

async fn fail_locked(
    connection: &mut PgConnection,
    tenant: Uuid,
    run_id: Uuid,
    integration_id: Uuid,
    epoch: Option<i32>,
    cause: &Cause,
) -> Result<bool, Error> {
    let found = sqlx::query!(
        "select epoch from muster.run
         where tenant = $1 and run_id = $2 and state in ('queued', 'running') and ($3::int is null or epoch = $3)
         for no key update",
        tenant,
        run_id,
        epoch
    );
    if found.fetch_optional(&mut *connection).await.attempt(format!("lock run {run_id}"))?.is_none() {
        return Ok(false);
    }
    let text = cut(&cause.text, CAUSE_CHARS_MAX);
    sqlx::query!(
        "update muster.run_part set state = 'failed', error = $3, needs_attention = $4, finished_at = now()
         where tenant = $1 and run_id = $2 and state = 'open'",
        tenant,
        run_id,
        text,
        cause.needs_attention
    )
    .execute(&mut *connection)
    .await
    .attempt("fail the open parts of a run")?;
    let has_done = sqlx::query_scalar!(
        r#"select exists (select from muster.run_part where tenant = $1 and run_id = $2 and state = 'done') as "done!""#,
        tenant,
        run_id
    );
    let has_done = has_done.fetch_one(&mut *connection).await.attempt("look for parts that are done")?;
    let state = if has_done { State::Partial } else { State::Failed };
    let lasting = cause.needs_attention.then_some(text.as_str());
    end(connection, tenant, run_id, integration_id, &Ending { state, error: Some(&text), lasting }).await?;
    Ok(true)
}
