//! Old and new workers at once.

use super::{Case, Ground, Outcome, Trial};
use crate::{DEADLINE, Fleet};

pub(super) const CASES: &[Case] =
    &[Case::new("version-unknown-waits", "workers that do not know the kind, until one comes that does", |ground| {
        Box::pin(unknown_waits(ground))
    })
    .everyday()];

/// What makes a worker of the trials one that does not know webhooks' messages.
const OLD: (&str, &str) = ("TRIAL_WORKER_IS_OLD", "true");

async fn unknown_waits(ground: Ground) -> Outcome {
    let webhooks = ground.pick(100, 1_000);
    let mut trial = Trial::start(ground, Fleet::builder().workers(1)).await;
    trial.fleet().add_worker_of("trial-worker", &[OLD]).await;
    assert!(
        trial.fleet().worker(0).terminate(DEADLINE * 2).await.success(),
        "a worker that was told to stop ends well"
    );
    trial.load(50, 100_000);
    trial.under_way_more(webhooks).await;
    let rows: i64 =
        sqlx::query_scalar("select count(*) from rmm_alerts").fetch_one(trial.sql()).await.expect("it answers");
    assert_eq!(rows, 0, "nobody knows how to write them");
    trial.fleet().add_worker().await;
    // the old one goes on, and lets wait again what it gets
    trial.healed().await;
    trial.finish().await
}
