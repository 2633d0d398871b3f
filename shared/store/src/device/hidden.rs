//! Devices that the API key does not see any more are not gone: whoever narrows its role must not empty a fleet.

use crate::error::Attempt;
use crate::organization::Organization;
use crate::run::{self, PartFence};
use crate::{Error, Store};

/// Forgets the run's candidates whose client or site is not shown (any more); how many. `None`: fenced.
///
/// To be called before [`super::confirm_missing`], with a list of clients that was read before the list of agents.
///
/// # Errors
/// What the database said.
pub async fn forget_hidden(store: &Store, fence: &PartFence, shown: &[Organization]) -> Result<Option<u64>, Error> {
    let sites = || shown.iter().flat_map(|client| client.sites.iter().map(move |site| (client, site)));
    let clients: Vec<String> = sites().map(|(client, _)| client.id.to_string()).collect();
    let names: Vec<&str> = sites().map(|(_, site)| site.name.as_str()).collect();
    let work = async {
        let mut transaction = store.pool().begin().await.attempt("begin to forget hidden devices")?;
        let Some(held) = run::hold(&mut transaction, &fence.run).await? else { return Ok(None) };
        if run::hold_part(&mut transaction, fence).await?.is_none() {
            return Ok(None);
        }
        let (tenant, run_id) = (fence.run.tenant, fence.run.run_id);
        let integration_id = held.integration_id;
        let done =
            sqlx::query_file!("sql/device/forget_hidden.sql", tenant, run_id, integration_id, &clients, &names as _);
        let done = done.execute(&mut *transaction).await.attempt("forget hidden devices")?;
        transaction.commit().await.attempt("commit the forgetting of hidden devices")?;
        Ok(Some(done.rows_affected()))
    };
    store.within("forget hidden devices", store.work_ends(), work).await
}
