//! Programs whose clocks are wrong by an hour, in both directions.

use super::{Case, Ground, Outcome, Trial};
use crate::{Fleet, clock_shim};

pub(super) const CASES: &[Case] =
    &[Case::new("clocks-off-by-an-hour", "gateway and workers whose clocks differ by two hours", |ground| {
        Box::pin(off_by_an_hour(ground))
    })];

const HOUR_S: i64 = 60 * 60;

async fn off_by_an_hour(ground: Ground) -> Outcome {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let library = clock_shim::build(folder.path()).display().to_string();
    // the gateway is ahead of the others, or behind
    let offset_s = if ground.seed.is_multiple_of(2) { HOUR_S } else { -HOUR_S };
    let webhooks = ground.pick(150, 1_000);
    let builder = Fleet::builder().workers(1).set("LD_PRELOAD", &library).set(clock_shim::OFFSET, offset_s);
    let mut trial = Trial::start(ground, builder).await;
    let other = [("LD_PRELOAD", library.as_str()), (clock_shim::OFFSET, &(-offset_s).to_string())];
    trial.fleet().add_worker_with(&other).await;
    for _ in 0..2 {
        trial.load(200, webhooks);
        trial.all_sent().await;
        trial.healed().await;
        // what is told later must count although the poll has seen it open
        trial.poll().await;
    }
    trial.finish().await
}
