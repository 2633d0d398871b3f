//! What facts were read under, and whether it is still so when they are written: what one server said is not written about
//! another, nor by who has lost the run.

use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::run::{self, PartFence, Step};
use crate::{Error, Left, lock};

/// What facts were read under.
#[derive(Debug)]
pub enum Under<'a> {
    /// A part of a run, with what they add to it. Runs end where another server is confirmed.
    Part {
        /// Whose connection the run is of.
        tenant: Uuid,
        /// The connection.
        integration_id: Uuid,
        /// The part.
        fence: &'a PartFence,
        /// Its progress.
        step: Step,
    },
    /// A connection of which one alert was asked for.
    Server {
        /// Whose.
        tenant: Uuid,
        /// Which.
        integration_id: Uuid,
        /// [`crate::connection::Connection::server_epoch`] of the settings that were asked with.
        server_epoch: i64,
    },
}

impl Under<'_> {
    /// Tenant and connection.
    pub(super) fn connection(&self) -> (Uuid, Uuid) {
        let (Self::Part { tenant, integration_id, .. } | Self::Server { tenant, integration_id, .. }) = self;
        (*tenant, *integration_id)
    }
}

/// Why nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The run was taken over or has ended, or the part was begun anew: stop.
    Fenced,
    /// For this reason.
    Left(Left),
}

/// Locks what the facts were read under, until the transaction ends; `Some`: it is not so any more.
pub(super) async fn hold(connection: &mut PgConnection, under: &Under<'_>) -> Result<Option<Refused>, Error> {
    let (tenant, integration_id) = under.connection();
    let Some(locked) = lock::connection(connection, tenant, integration_id).await? else {
        return Ok(Some(Refused::Left(Left::NoSuchConnection)));
    };
    // whoever is fenced is told so first: nothing else about the connection is its business any more
    if let Under::Part { fence, .. } = under
        && !run::hold_batch(connection, fence).await?
    {
        return Ok(Some(Refused::Fenced));
    }
    if let Some(left) = locked.left() {
        return Ok(Some(Refused::Left(left)));
    }
    let is_same = match under {
        Under::Part { .. } => true,
        Under::Server { server_epoch, .. } => locked.server_epoch == *server_epoch,
    };
    Ok((!is_same).then_some(Refused::Left(Left::ServerChanged)))
}

/// Notes the progress of the part; it is held.
pub(super) async fn advance(connection: &mut PgConnection, under: &Under<'_>) -> Result<(), Error> {
    match under {
        Under::Part { fence, step, .. } => run::advance(connection, fence, step, None).await,
        Under::Server { .. } => Ok(()),
    }
}
