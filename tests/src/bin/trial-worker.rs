//! The alert worker as the trials want it: its job does more where a message's agent says so (`panics`, `aborts`, `eats` memory
//! without end, `loops`), or it is so old that it does not know the kind (`TRIAL_WORKER_IS_OLD`).

use std::process::ExitCode;

use alert_worker::Flags;
use alert_worker::jobs::observe_alert::ObserveAlert;
use alert_worker::jobs::{fetch_alert, reconcile_alerts};
use contract::{AlertObserved, Worker};
use fault::JobError;
use runs::InRuns;
use worker::run::Program;
use worker::{Job, OneByOne, Outcome, Received, Registry};

/// Bytes that are taken at once by what eats.
const BITE_BYTES: usize = 1 << 28;

struct Poisoned(ObserveAlert);

impl Job for Poisoned {
    type Message = AlertObserved;

    async fn run(&self, batch: &[Received<AlertObserved>]) -> Result<Vec<Outcome>, JobError> {
        for message in batch {
            match message.payload.agent_id.as_str() {
                "panics" => panic!("told to by its message"),
                "aborts" => std::process::abort(),
                "eats" => eat(),
                "loops" => loop {
                    std::hint::spin_loop();
                },
                _ => {}
            }
        }
        self.0.run(batch).await
    }
}

/// Takes memory until there is none left, which ends the process.
fn eat() -> ! {
    let mut eaten: Vec<Vec<u8>> = Vec::new();
    loop {
        eaten.push(Vec::with_capacity(BITE_BYTES));
        std::hint::black_box(&eaten);
    }
}

fn main() -> ExitCode {
    let program = Program { name: "trial-worker", version: env!("CARGO_PKG_VERSION") };
    let is_old = std::env::var_os("TRIAL_WORKER_IS_OLD").is_some();
    worker::main::<Flags>(program, async move |store, flags| {
        runs::start(store, flags, |connections| {
            let registry = Registry::new(Worker::Alert)
                .with(OneByOne(fetch_alert::FetchAlert::new(store, connections)))
                .with(OneByOne(InRuns(reconcile_alerts::ReconcileAlerts::new(store, connections))));
            if is_old { registry } else { registry.with(Poisoned(ObserveAlert::new(store))) }
        })
        .await
    })
}
