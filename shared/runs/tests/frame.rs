//! What becomes of a part that two workers have at the same time.

use connection::failure::Error;
use contract::{DevicesSync, Meta, RunPart};
use runs::{InRuns, SUPERSEDED, Steps, finish};
use store::Store;
use store::run::{self, Kind, NewPart, Part, Scope, State, Taken};
use store::testing::{TestDatabase, entry};
use uuid::Uuid;
use worker::{Done, Received, SingleJob as _};

/// A run of one client whose list is not believed.
#[derive(Clone)]
struct Doubted {
    store: Store,
    /// The part's message comes to another worker while this one reads.
    is_begun_anew: bool,
}

impl Steps for Doubted {
    type Message = DevicesSync;
    const WHAT: &'static str = "sync of devices";

    fn store(&self) -> &Store {
        &self.store
    }

    async fn plan(&self, _: &Received<DevicesSync>, _: &Taken) -> Result<Vec<NewPart>, Error> {
        let scope = Scope::Client("1".to_owned());
        Ok(vec![NewPart { scope, label: "Acme".to_owned(), expected: None, fails: None }])
    }

    async fn part(&self, _: &Received<DevicesSync>, part: &Part) -> Result<Done, Error> {
        if self.is_begun_anew {
            let anew = run::begin_part(&self.store, &part.fence.run, &part.fence.name).await?.expect("it is open");
            assert_eq!(anew.fence.attempt, part.fence.attempt + 1);
        }
        Err(Error::Doubtful("the list is empty".to_owned()))
    }
}

/// The run's own message and that of its part.
async fn messages(store: &Store, database: &TestDatabase) -> [Received<DevicesSync>; 2] {
    let (tenant, integration_id) = (Uuid::now_v7(), Uuid::now_v7());
    database
        .execute(&format!(
            "insert into tenants (tenant) values ('{tenant}');
             insert into rmm_integrations (tenant, integration_id, provider, is_active, settings, instance_url)
             values ('{tenant}', '{integration_id}', 'tacticalrmm', true, '{{\"auth_mode\": \"api_key\"}}',
                 'https://api.example.com')"
        ))
        .await;
    let started = run::start(store, tenant, integration_id, Kind::Devices, "test", &entry("test")).await;
    let run_id = started.expect("the connection is active").run_id;
    let part = RunPart { epoch: 1, name: "client:1".to_owned() };
    [None, Some(part)].map(|part| {
        let meta = Meta::first::<DevicesSync>(tenant, &[], chrono::Utc::now(), None);
        Received { meta, payload: DevicesSync { integration_id, run_id, part } }
    })
}

#[tokio::test]
async fn a_worker_whose_part_was_begun_anew_by_another_one_does_not_fail_it() {
    for (is_begun_anew, done, state) in
        [(true, SUPERSEDED, State::Running), (false, Done::Discarded("failed"), State::Failed)]
    {
        let database = TestDatabase::create().await;
        let store = database.store();
        let [own, of_part] = messages(&store, &database).await;
        let job = InRuns(Doubted { store: store.clone(), is_begun_anew });
        assert_eq!(job.run(&own).await.expect("it is planned"), Done::Applied);
        assert_eq!(job.run(&of_part).await.expect("it is judged"), done);
        let (run, _) = run::get(&store, own.meta.tenant, own.payload.run_id).await.unwrap().unwrap();
        assert_eq!(run.state, state);
        if is_begun_anew {
            // the other worker goes on
            let fence = run::Fence { tenant: own.meta.tenant, run_id: own.payload.run_id, epoch: 1 };
            let part = run::begin_part(&store, &fence, "client:1").await.unwrap().expect("it is still open");
            assert_eq!(finish(&store, &part).await.expect("nobody else has it"), Done::Applied);
        }
    }
}
