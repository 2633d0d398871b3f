//! A schedule that a person changes.

use uuid::Uuid;

use super::PROBE_EVERY;
use super::attention::seconds;
use crate::audit::{self, Entry};
use crate::error::Attempt;
use crate::hook::PROVIDER;
use crate::run::Kind;
use crate::{Error, Store, lock};

/// The shortest interval, in seconds: what is read more often than once a minute is not read, it is watched.
pub const INTERVAL_S_MIN: i32 = 60;
/// The longest interval, in seconds: seven days.
pub const INTERVAL_S_MAX: i32 = 7 * 24 * 60 * 60;

/// What is to change; `None` leaves it as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Patch {
    /// The interval in seconds, from [`INTERVAL_S_MIN`] to [`INTERVAL_S_MAX`]; `Some(None)`: the default again.
    pub interval_s: Option<Option<i32>>,
    /// Whether it ticks.
    pub is_enabled: Option<bool>,
}

/// How a change ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchEnd {
    /// It is as was asked for.
    Changed,
    /// The tenant has no connection, or what was left of one has no schedules.
    NotConnected,
}

/// Changes a schedule with its audit row, in one transaction. Its next slot follows from the new interval; one that is
/// switched off has none, nor has one whose connection is not active.
///
/// # Errors
/// [`Error::Data`] for an interval outside its limits; otherwise what the database said.
pub async fn patch(store: &Store, tenant: Uuid, kind: Kind, patch: &Patch, entry: &Entry) -> Result<PatchEnd, Error> {
    let what = format!("change the schedule of {} of tenant {tenant}", kind.as_str());
    let work = async {
        let mut transaction = store.pool().begin().await.attempt(what.clone())?;
        let integration_id = sqlx::query_scalar!(
            "select integration_id from rmm_integrations where tenant = $1 and provider = $2",
            tenant,
            PROVIDER
        );
        let integration_id = integration_id.fetch_optional(&mut *transaction).await.attempt(what.clone())?;
        let Some(integration_id) = integration_id else { return Ok(PatchEnd::NotConnected) };
        // a connection is locked before its schedules
        if lock::connection(&mut transaction, tenant, integration_id).await?.is_none() {
            return Ok(PatchEnd::NotConnected);
        }
        // AlgaPSA switches it without our lock: its row stays as it is until the schedule has followed
        let is_active = sqlx::query_scalar!(
            r#"select coalesce(is_active, false) as "is_active!" from rmm_integrations
               where tenant = $1 and integration_id = $2 for share"#,
            tenant,
            integration_id
        );
        let is_active = is_active.fetch_optional(&mut *transaction).await.attempt(what.clone())?;
        let patched = sqlx::query_file!(
            "sql/schedule/patch.sql",
            tenant,
            integration_id,
            kind.as_str(),
            patch.interval_s.is_some(),
            patch.interval_s.flatten(),
            patch.is_enabled,
            is_active == Some(true),
            seconds(PROBE_EVERY)
        )
        .execute(&mut *transaction)
        .await
        .attempt(what.clone())?;
        if patched.rows_affected() == 0 {
            return Ok(PatchEnd::NotConnected);
        }
        audit::insert(&mut transaction, entry).await?;
        transaction.commit().await.attempt(what.clone())?;
        Ok(PatchEnd::Changed)
    };
    store.within(what.clone(), store.work_ends(), work).await
}
