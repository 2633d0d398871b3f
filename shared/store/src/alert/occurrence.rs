//! Openings under one dedup key, numbered by their time, so that flapping shows.
//!
//! An alert's `occurrence_count` is the position of its opening among those with its dedup key, by (`alert_time` or what
//! else its opening is known by, external id). The newest comes last, as good as always: then its number is its
//! predecessor's plus one, and two index look-ups prove it. Where it comes late, its key is renumbered.
//!
//! The number that an event carries is the one that its transaction saw. The number in the row is set right by a second,
//! short transaction ([`recount`]) under the key's lock: whoever commits an opening looks at its neighbours afterwards, so
//! of two that did not see each other the later one repairs. It raises no rev, since no fact about the alert itself came.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use sqlx::postgres::PgConnection;
use tokio::time::Instant;
use uuid::Uuid;

use super::name::AlertId;
use super::{Tries, stored};
use crate::error::Attempt;
use crate::{Error, Store};

/// A dedup key: tenant, integration, key. In this order locks are taken.
pub(crate) type Dedup = (Uuid, Uuid, String);

/// An opening that is new or has moved.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Opening {
    pub(crate) dedup: Dedup,
    pub(crate) opening_at: DateTime<Utc>,
    pub(crate) external_alert_id: String,
    pub(crate) alert_id: Uuid,
}

/// The number of each opening as far as this transaction sees, in the order of the openings, which must be sorted.
pub(crate) async fn number(connection: &mut PgConnection, openings: &[Opening]) -> Result<Vec<i32>, Error> {
    let mut before: Vec<Option<(DateTime<Utc>, String, i32)>> = vec![None; openings.len()];
    if openings.is_empty() {
        return Ok(Vec::new());
    }
    let tenants: Vec<Uuid> = openings.iter().map(|opening| opening.dedup.0).collect();
    let integrations: Vec<Uuid> = openings.iter().map(|opening| opening.dedup.1).collect();
    let keys: Vec<&str> = openings.iter().map(|opening| opening.dedup.2.as_str()).collect();
    let times: Vec<DateTime<Utc>> = openings.iter().map(|opening| opening.opening_at).collect();
    let externals: Vec<&str> = openings.iter().map(|opening| opening.external_alert_id.as_str()).collect();
    let ids: Vec<Uuid> = openings.iter().map(|opening| opening.alert_id).collect();
    let rows = sqlx::query_file!(
        "sql/alert/find_predecessors.sql",
        &tenants,
        &integrations,
        &keys as _,
        &times,
        &externals as _,
        &ids,
    )
    .fetch_all(connection)
    .await
    .attempt(format!("number {} openings", openings.len()))?;
    for row in rows {
        let slot = usize::try_from(row.position - 1).ok().and_then(|position| before.get_mut(position));
        if let (Some(slot), Some(time), Some(external)) = (slot, row.opening_at, row.external_alert_id) {
            *slot = Some((time, external, row.occurrence_count.unwrap_or(0)));
        }
    }
    Ok(walk(openings, &before))
}

/// An opening follows its predecessor in the table or the one before it in the batch, whichever is later.
fn walk(openings: &[Opening], before: &[Option<(DateTime<Utc>, String, i32)>]) -> Vec<i32> {
    let mut numbers: Vec<i32> = Vec::with_capacity(openings.len());
    for (position, opening) in openings.iter().enumerate() {
        let stored = before[position].as_ref().map(|(time, external, number)| ((*time, external.as_str()), *number));
        let batch = position
            .checked_sub(1)
            .filter(|last| openings[*last].dedup == opening.dedup)
            .map(|last| ((openings[last].opening_at, openings[last].external_alert_id.as_str()), numbers[last]));
        numbers.push(stored.max(batch).map_or(0, |(_, number)| number).saturating_add(1));
    }
    numbers
}

/// Asks for renumbering of keys that an alert has left, in the transaction in which it leaves.
pub(crate) async fn note_left(connection: &mut PgConnection, left: &BTreeSet<Dedup>) -> Result<(), Error> {
    if left.is_empty() {
        return Ok(());
    }
    let (tenants, integrations, keys) = columns(left);
    sqlx::query!(
        "insert into muster.alert_recount (tenant, integration_id, dedup_key)
         select * from unnest($1::uuid[], $2::uuid[], $3::text[])",
        &tenants,
        &integrations,
        &keys as _,
    )
    .execute(connection)
    .await
    .attempt(format!("note {} dedup keys to renumber", left.len()))
    .map(drop)
}

/// Sets the numbers around these alerts right, and those of keys that alerts have left. Idempotent.
pub(crate) async fn recount(store: &Store, openings: &BTreeSet<(Dedup, AlertId)>, ends: Instant) -> Result<(), Error> {
    let mut tries = Tries::default();
    loop {
        match store.within("renumber openings", ends, recount_once(store, openings)).await {
            Err(error) if tries.is_worth_another(&error) => {}
            done => return done,
        }
    }
}

async fn recount_once(store: &Store, openings: &BTreeSet<(Dedup, AlertId)>) -> Result<(), Error> {
    let mut transaction = store.pool().begin().await.attempt("begin to renumber openings")?;
    let left = sqlx::query_file!("sql/alert/take_recounts.sql")
        .fetch_all(&mut *transaction)
        .await
        .attempt("read which openings to renumber")?;
    let left: BTreeSet<Dedup> = left.into_iter().map(|row| (row.tenant, row.integration_id, row.dedup_key)).collect();
    let mut all: BTreeSet<Dedup> = openings.iter().map(|(dedup, _)| dedup.clone()).collect();
    all.extend(left.iter().cloned());
    if all.is_empty() {
        return Ok(());
    }
    let (tenants, integrations, keys) = columns(&all);
    sqlx::query_file!("sql/alert/lock_dedups.sql", &tenants, &integrations, &keys as _)
        .execute(&mut *transaction)
        .await
        .attempt(format!("lock {} dedup keys", all.len()))?;
    let mut wrong = miscounted(&mut transaction, openings).await?;
    wrong.extend(left);
    renumber(&mut transaction, &wrong).await?;
    transaction.commit().await.attempt("commit the numbers of openings")
}

async fn miscounted(
    connection: &mut PgConnection,
    openings: &BTreeSet<(Dedup, AlertId)>,
) -> Result<BTreeSet<Dedup>, Error> {
    let tenants: Vec<Uuid> = openings.iter().map(|(_, alert)| alert.0).collect();
    let ids: Vec<Uuid> = openings.iter().map(|(_, alert)| alert.1).collect();
    let wrong = sqlx::query_file!("sql/alert/find_miscounted.sql", &tenants, &ids)
        .fetch_all(connection)
        .await
        .attempt(format!("check the numbers of {} openings", openings.len()))?;
    Ok(wrong.into_iter().map(|row| (row.tenant, row.integration_id, row.dedup_key)).collect())
}

async fn renumber(connection: &mut PgConnection, dedups: &BTreeSet<Dedup>) -> Result<(), Error> {
    if dedups.is_empty() {
        return Ok(());
    }
    let (tenants, integrations, keys) = columns(dedups);
    let what = || format!("renumber the openings of {} dedup keys", dedups.len());
    let members = sqlx::query_file!("sql/alert/find_members.sql", &tenants, &integrations, &keys as _)
        .fetch_all(&mut *connection)
        .await
        .attempt(what())?;
    let members = members.into_iter().map(|row| ((row.tenant, row.alert_id), row.integration_id)).collect();
    if !stored::lock(connection, &members).await?.is_empty() {
        // one was merged away between the two statements: its merge has asked for this again
        return Err(super::raced("renumber openings"));
    }
    sqlx::query_file!("sql/alert/renumber.sql", &tenants, &integrations, &keys as _)
        .execute(connection)
        .await
        .attempt(what())
        .map(drop)
}

fn columns(dedups: &BTreeSet<Dedup>) -> (Vec<Uuid>, Vec<Uuid>, Vec<&str>) {
    let tenants = dedups.iter().map(|dedup| dedup.0).collect();
    let integrations = dedups.iter().map(|dedup| dedup.1).collect();
    (tenants, integrations, dedups.iter().map(|dedup| dedup.2.as_str()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opening(key: &str, at_s: i64, external: &str) -> Opening {
        let opening_at = DateTime::from_timestamp(at_s, 0).expect("it is a time");
        let dedup = (Uuid::nil(), Uuid::nil(), key.to_owned());
        Opening { dedup, opening_at, external_alert_id: external.to_owned(), alert_id: Uuid::nil() }
    }

    #[test]
    fn openings_of_one_batch_follow_each_other_and_what_is_stored() {
        let openings = [opening("a", 1, "1"), opening("a", 5, "2"), opening("a", 9, "3"), opening("b", 9, "4")];
        let stored = |at_s, number| Some((opening("a", at_s, "0").opening_at, "0".to_owned(), number));
        let before = [None, stored(3, 7), stored(3, 7), None];
        assert_eq!(walk(&openings, &before), [1, 8, 9, 1]);
    }
}
