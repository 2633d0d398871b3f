//! Parts: planned, begun, and ended one by one.

use contract::{DevicesSync, RunPart, SoftwareIngest};
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::end::{self, cut};
use super::fence::{Held, hold, touch};
use super::{Cause, Fence, Kind, PartFence, Scope, State};
use crate::error::Attempt;
use crate::outbox::{self, NewRow};
use crate::{Error, Store};

/// A part to be planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPart {
    /// What it reads; its text is the part's name.
    pub scope: Scope,
    /// What a person calls it, cut to 255 characters: the client's name.
    pub label: String,
    /// How many devices it is expected to show, where that is known.
    pub expected: Option<i32>,
    /// Why it cannot be read: the part has failed with this cause as soon as it is planned.
    pub fails: Option<String>,
}

/// A part that has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// What every write of the part is to carry.
    pub fence: PartFence,
    /// What it reads.
    pub scope: Scope,
    /// What a person calls it.
    pub label: String,
    /// How many devices it is expected to show.
    pub expected: Option<i32>,
    /// How far it has come, where it is done in steps; its counts go on from there.
    pub cursor: Option<String>,
    /// What the steps before this one have seen.
    pub seen: i32,
    /// What they could not see.
    pub unverifiable: i32,
}

/// Plans a run's parts: absent ones are made, ended ones are kept, open ones that are not planned any more are dropped (what
/// they have created, moved or marked the first planned one counts), and each open part of a run of more than one message gets
/// its message. One that is planned as failed has ended. With nothing open the run ends here. `false`: the run is somebody
/// else's, or ended; nothing was written.
///
/// # Errors
/// What the database said.
pub async fn plan(store: &Store, fence: &Fence, parts: &[NewPart]) -> Result<bool, Error> {
    let work = async {
        let mut transaction = store.pool().begin().await.attempt("begin to plan a run")?;
        let Some(held) = hold(&mut transaction, fence).await? else { return Ok(false) };
        insert(&mut transaction, fence, parts).await?;
        let trouble = sqlx::query!(
            "update muster.run set error = null where tenant = $1 and run_id = $2 and error is not null",
            fence.tenant,
            fence.run_id
        );
        trouble.execute(&mut *transaction).await.attempt("forget what kept a run from its plan")?;
        send_open(&mut transaction, fence, &held).await?;
        touch(&mut transaction, fence).await?;
        end::end_if_done(&mut transaction, fence, &held).await?;
        transaction.commit().await.attempt("commit a plan")?;
        Ok(true)
    };
    store.within("plan a run", store.work_ends(), work).await
}

async fn insert(connection: &mut PgConnection, fence: &Fence, parts: &[NewPart]) -> Result<(), Error> {
    let names: Vec<String> = parts.iter().map(|part| part.scope.to_string()).collect();
    let labels: Vec<String> = parts.iter().map(|part| cut(&part.label, 255)).collect();
    let expected: Vec<Option<i32>> = parts.iter().map(|part| part.expected).collect();
    let causes: Vec<Option<String>> =
        parts.iter().map(|part| part.fails.as_deref().map(|cause| cut(cause, end::CAUSE_CHARS_MAX))).collect();
    let what = || format!("plan {} parts of run {}", parts.len(), fence.run_id);
    sqlx::query!(
        "insert into muster.run_part as p (tenant, run_id, name, label, expected, state, error, finished_at)
         select $1, $2, n.name, n.label, n.expected, case when n.cause is null then 'open' else 'failed' end, n.cause,
                case when n.cause is not null then now() end
         from unnest($3::text[], $4::text[], $5::int[], $6::text[]) n (name, label, expected, cause)
         on conflict (tenant, run_id, name) do update
         set state = excluded.state, error = excluded.error, finished_at = excluded.finished_at
         where p.state = 'open' and excluded.state = 'failed'",
        fence.tenant,
        fence.run_id,
        &names,
        &labels,
        &expected as _,
        &causes as _
    )
    .execute(&mut *connection)
    .await
    .attempt(what())?;
    sqlx::query_file!("sql/run/drop_unplanned.sql", fence.tenant, fence.run_id, &names)
        .execute(connection)
        .await
        .attempt(what())
        .map(drop)
}

async fn send_open(connection: &mut PgConnection, fence: &Fence, held: &Held) -> Result<(), Error> {
    let names = sqlx::query_scalar!(
        "select name from muster.run_part where tenant = $1 and run_id = $2 and state = 'open' order by name",
        fence.tenant,
        fence.run_id
    );
    let names = names.fetch_all(&mut *connection).await.attempt("read the open parts of a run")?;
    let rows: Vec<NewRow> = names.iter().filter_map(|name| message(fence, held, name, "")).collect();
    outbox::insert(connection, &rows).await.map(drop)
}

/// A part's message; `None`: runs of the kind have but their own. `cursor` tells the steps of a part apart.
pub(super) fn message(fence: &Fence, held: &Held, name: &str, cursor: &str) -> Option<NewRow> {
    let part = Some(RunPart { epoch: fence.epoch, name: name.to_owned() });
    let (integration_id, run_id, tenant) = (held.integration_id, fence.run_id, fence.tenant);
    let epoch = fence.epoch.to_be_bytes();
    let identity: [&[u8]; 4] = [run_id.as_bytes(), &epoch, name.as_bytes(), cursor.as_bytes()];
    match held.kind {
        Kind::Clients | Kind::Alerts => None,
        // a part without steps has had this identity from the beginning
        Kind::Devices => {
            Some(NewRow::message(tenant, &identity[..3], &DevicesSync { integration_id, run_id, part }, None))
        }
        Kind::Software => {
            Some(NewRow::message(tenant, &identity, &SoftwareIngest { integration_id, run_id, part }, None))
        }
    }
}

/// Notes how far a part has come and sends the message of its next step, in the transaction that wrote the step before. The
/// part is held.
pub(crate) async fn go_on_from(
    connection: &mut PgConnection,
    fence: &PartFence,
    held: &Held,
    cursor: &str,
) -> Result<(), Error> {
    sqlx::query!(
        "update muster.run_part set cursor = $4 where tenant = $1 and run_id = $2 and name = $3",
        fence.run.tenant,
        fence.run.run_id,
        fence.name,
        cursor
    )
    .execute(&mut *connection)
    .await
    .attempt(format!("note how far part {} has come", fence.name))?;
    let next: Vec<NewRow> = message(&fence.run, held, &fence.name, cursor).into_iter().collect();
    outbox::insert(connection, &next).await.map(drop)
}

/// Begins a part, or begins it anew: the attempt before can write nothing more. What it has read is read again and counted
/// anew, unless the part goes on from a cursor; what it has created, moved or marked is done, and stays counted. `None`: the
/// part or its run has ended, or the run is somebody else's.
///
/// # Errors
/// What the database said.
pub async fn begin_part(store: &Store, fence: &Fence, name: &str) -> Result<Option<Part>, Error> {
    let Some(scope) = Scope::parse(name) else { return Ok(None) };
    let work = async {
        let mut transaction = store.pool().begin().await.attempt("begin to begin a part")?;
        if hold(&mut transaction, fence).await?.is_none() {
            return Ok(None);
        }
        let row = sqlx::query!(
            "update muster.run_part
             set attempt = attempt + 1, started_at = clock_timestamp(), fetched_at = null,
                 seen = case when cursor is null then 0 else seen end,
                 updated = case when cursor is null then 0 else updated end,
                 unchanged = case when cursor is null then 0 else unchanged end,
                 unverifiable = case when cursor is null then 0 else unverifiable end
             where tenant = $1 and run_id = $2 and name = $3 and state = 'open'
             returning attempt, label, expected, cursor, seen, unverifiable",
            fence.tenant,
            fence.run_id,
            name
        );
        let row = row.fetch_optional(&mut *transaction).await.attempt(format!("begin part {name}"))?;
        let Some(row) = row else { return Ok(None) };
        touch(&mut transaction, fence).await?;
        transaction.commit().await.attempt("commit a part's beginning")?;
        let fence = PartFence { run: fence.clone(), name: name.to_owned(), attempt: row.attempt };
        Ok(Some(Part {
            fence,
            scope,
            label: row.label,
            expected: row.expected,
            cursor: row.cursor,
            seen: row.seen,
            unverifiable: row.unverifiable,
        }))
    };
    store.within("begin a part", store.work_ends(), work).await
}

/// What the end of a part came to.
type Ended = Option<State>;

/// Ends a part as done, and its run with the last of them; devices that were not seen are confirmed by one part more.
/// `Some`: the run's state after it. `None`: fenced, nothing was written.
///
/// # Errors
/// What the database said.
pub async fn finish_part(store: &Store, fence: &PartFence) -> Result<Ended, Error> {
    finish(store, fence, true).await
}

/// Ends a part as done although its devices were not read to their end, since a person has decided so meanwhile: as
/// [`finish_part`], but nothing is known of the devices from then on.
///
/// # Errors
/// What the database said.
pub async fn leave_part(store: &Store, fence: &PartFence) -> Result<Ended, Error> {
    finish(store, fence, false).await
}

async fn finish(store: &Store, fence: &PartFence, is_read: bool) -> Result<Ended, Error> {
    let work = async {
        let mut transaction = store.pool().begin().await.attempt("begin to finish a part")?;
        let Some(held) = hold(&mut transaction, &fence.run).await? else { return Ok(None) };
        if !close(&mut transaction, &fence.run, &fence.name, Some(fence.attempt), None, is_read).await? {
            return Ok(None);
        }
        if held.kind == Kind::Devices && is_read {
            let run = &fence.run;
            note_synced(&mut transaction, run.tenant, run.run_id, held.integration_id, Some(&fence.name)).await?;
        }
        let state = go_on(&mut transaction, &fence.run, &held).await?;
        transaction.commit().await.attempt("commit a part's end")?;
        Ok(Some(state))
    };
    store.within("finish a part", store.work_ends(), work).await
}

/// Ends a part as failed, whoever has begun it, with the cause that a person will read; otherwise as [`finish_part`].
///
/// # Errors
/// What the database said.
pub async fn fail_part(store: &Store, fence: &Fence, name: &str, cause: impl Into<Cause>) -> Result<Ended, Error> {
    fail(store, fence, name, None, cause.into()).await
}

/// As [`fail_part`], by the attempt that began it: one that was begun anew meanwhile is another one's to end.
///
/// # Errors
/// What the database said.
pub async fn fail_attempt(store: &Store, fence: &PartFence, cause: impl Into<Cause>) -> Result<Ended, Error> {
    fail(store, &fence.run, &fence.name, Some(fence.attempt), cause.into()).await
}

async fn fail(store: &Store, fence: &Fence, name: &str, attempt: Option<i32>, cause: Cause) -> Result<Ended, Error> {
    let work = async {
        let mut transaction = store.pool().begin().await.attempt("begin to fail a part")?;
        let Some(held) = hold(&mut transaction, fence).await? else { return Ok(None) };
        if !close(&mut transaction, fence, name, attempt, Some(&cause), true).await? {
            return Ok(None);
        }
        let state = go_on(&mut transaction, fence, &held).await?;
        transaction.commit().await.attempt("commit a part's failure")?;
        Ok(Some(state))
    };
    store.within("fail a part", store.work_ends(), work).await
}

/// Notes why the last attempt at planning a run came to nothing, for whoever looks at the run while it waits for the next
/// one; the plan takes it away. `false`: the run has ended, or is somebody else's.
///
/// # Errors
/// What the database said.
pub async fn note_run_trouble(store: &Store, fence: &Fence, cause: &str) -> Result<bool, Error> {
    let done = sqlx::query!(
        "update muster.run set error = $4 where tenant = $1 and run_id = $2 and epoch = $3 and state = 'running'",
        fence.tenant,
        fence.run_id,
        fence.epoch,
        cut(cause, end::CAUSE_CHARS_MAX)
    );
    let what = format!("note the trouble of run {}", fence.run_id);
    Ok(store.run(what, done.execute(store.pool())).await?.rows_affected() == 1)
}

/// Notes why the last attempt at a part came to nothing, for whoever looks at the run until another attempt has ended.
/// `false`: the part has ended, or was begun anew.
///
/// # Errors
/// What the database said.
pub async fn note_part_trouble(store: &Store, fence: &PartFence, cause: &str) -> Result<bool, Error> {
    let done = sqlx::query!(
        "update muster.run_part p set error = $6
         from muster.run r
         where p.tenant = $1 and p.run_id = $2 and p.name = $3 and p.attempt = $4 and p.state = 'open'
           and r.tenant = p.tenant and r.run_id = p.run_id and r.epoch = $5 and r.state = 'running'",
        fence.run.tenant,
        fence.run.run_id,
        fence.name,
        fence.attempt,
        fence.run.epoch,
        cut(cause, end::CAUSE_CHARS_MAX)
    );
    let what = format!("note the trouble of part {} of run {}", fence.name, fence.run.run_id);
    Ok(store.run(what, done.execute(store.pool())).await?.rows_affected() == 1)
}

async fn go_on(connection: &mut PgConnection, fence: &Fence, held: &Held) -> Result<State, Error> {
    touch(connection, fence).await?;
    Ok(end::end_if_done(connection, fence, held).await?.unwrap_or(State::Running))
}

/// `false`: it is not open, or `attempt` is not the last one that began it. `is_read`: the part says when its devices were
/// fetched; without that no list of them counts.
async fn close(
    connection: &mut PgConnection,
    fence: &Fence,
    name: &str,
    attempt: Option<i32>,
    cause: Option<&Cause>,
    is_read: bool,
) -> Result<bool, Error> {
    let done = sqlx::query!(
        "update muster.run_part
         set state = case when $4::text is null then 'done' else 'failed' end, error = $4, finished_at = now(),
             fetched_at = case when $5 then coalesce(fetched_at, started_at) end, needs_attention = $6
         where tenant = $1 and run_id = $2 and name = $3 and state = 'open' and ($7::int is null or attempt = $7)",
        fence.tenant,
        fence.run_id,
        name,
        cause.map(|cause| cut(&cause.text, end::CAUSE_CHARS_MAX)),
        is_read,
        cause.is_some_and(|cause| cause.needs_attention),
        attempt
    );
    let done = done.execute(connection).await.attempt(format!("end part {name}"))?;
    Ok(done.rows_affected() == 1)
}

/// Says in the mapping since when its devices are known to be as they are shown, after a part or (`None`) at the run's end. A
/// client with devices that were not in its list waits for another part to show them, or for the one that confirms them.
pub(super) async fn note_synced(
    connection: &mut PgConnection,
    tenant: Uuid,
    run_id: Uuid,
    integration_id: Uuid,
    part: Option<&str>,
) -> Result<(), Error> {
    sqlx::query_file!("sql/run/note_synced.sql", tenant, integration_id, run_id, part as _)
        .execute(connection)
        .await
        .attempt(format!("note which clients of run {run_id} are synced"))
        .map(drop)
}
