//! How many statements a batch of devices, or of their software, costs: they are counted on their way to the server.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use store::device::{self, Batch, Device, Merged, Outcome, Source};
use store::run::{self, Kind, NewPart, PartFence, Scope};
use store::software::{self, Program, Report};
use store::tenant::{self, NewConnection};
use store::testing::TestDatabase;
use store::{Config, Store};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use url::Url;
use uuid::Uuid;

/// A few statements that lock, a few that read, one for each table that is written.
const STATEMENTS_MAX: u64 = 30;

/// A store whose statements are counted.
struct Counted {
    store: Store,
    executed: Arc<AtomicU64>,
    tenant: Uuid,
    integration_id: Uuid,
}

impl Counted {
    async fn new(database: &TestDatabase) -> Self {
        let tenant = Uuid::new_v4();
        let new = NewConnection {
            tenant,
            client_name: "Acme".to_owned(),
            instance_url: None,
            digest: None,
            grace: Duration::ZERO,
        };
        let connected =
            tenant::connect(&database.store(), &new, "a test").await.expect("an empty database takes a tenant");
        let (integration_id, client_id) = (connected.integration_id, connected.client_id);
        let mapping = format!(
            "insert into rmm_organization_mappings
                 (tenant, integration_id, external_organization_id, external_organization_name, client_id)
             values ('{tenant}', '{integration_id}', '1', 'Acme', '{client_id}')"
        );
        database.execute(&mapping).await;
        let executed = Arc::<AtomicU64>::default();
        let url = before(database.url(), &executed).await;
        let store = Store::lazy(&Config::for_url(&url), "test").expect("it is a URL");
        Self { store, executed, tenant, integration_id }
    }

    /// Writes a batch and answers how many statements that took.
    async fn merge(&self, devices: &[Device]) -> (Merged, u64) {
        let batch = Batch {
            server_epoch: 0,
            tenant: self.tenant,
            integration_id: self.integration_id,
            external_client_id: "1".to_owned(),
            fetched_at: self.store.database_now().await.expect("the database answers"),
            source: Source::List,
            fence: None,
            devices: devices.to_vec(),
        };
        let before = self.executed.load(Ordering::SeqCst);
        let outcome = device::merge(&self.store, &batch).await.expect("the database answers");
        let Outcome::Merged(merged) = outcome else { panic!("{outcome:?}") };
        (merged, self.executed.load(Ordering::SeqCst) - before)
    }
}

/// Software.
impl Counted {
    /// A run whose part has begun.
    async fn begun(&self) -> PartFence {
        let entry = store::testing::entry("a test");
        let started = run::start(&self.store, self.tenant, self.integration_id, Kind::Software, "a test", &entry);
        let run_id = started.await.expect("it starts").run_id;
        let taken = run::take_over(&self.store, self.tenant, run_id).await.expect("it answers").expect("it is there");
        let part = NewPart { scope: Scope::Software, label: "Software".to_owned(), expected: None, fails: None };
        assert!(run::plan(&self.store, &taken.fence, &[part]).await.expect("it answers"));
        run::begin_part(&self.store, &taken.fence, "software").await.expect("it answers").expect("it is open").fence
    }

    /// Writes the software of a device and answers how many statements that took.
    async fn ingest(
        &self,
        fence: &PartFence,
        number: usize,
        programs: usize,
        version: &str,
    ) -> (software::Merged, u64) {
        let program = |place| Program {
            name: Some(format!("Program {place}")),
            version: Some(version.to_owned()),
            ..Program::default()
        };
        let agent_id = format!("agent-{number:06}");
        let batch = software::Batch {
            tenant: self.tenant,
            integration_id: self.integration_id,
            fetched_at: self.store.database_now().await.expect("the database answers"),
            fence: fence.clone(),
            reports: vec![Report { agent_id, programs: (0..programs).map(program).collect() }],
            silent: 0,
            refused: 0,
            cursor: None,
        };
        let before = self.executed.load(Ordering::SeqCst);
        let outcome = software::merge(&self.store, &batch).await.expect("the database answers");
        let software::Outcome::Merged(merged) = outcome else { panic!("{outcome:?}") };
        (merged, self.executed.load(Ordering::SeqCst) - before)
    }
}

/// The URL of a proxy that counts what is executed.
async fn before(url: &str, executed: &Arc<AtomicU64>) -> String {
    let mut url = Url::parse(url).expect("it is a URL");
    let target = format!("{}:{}", url.host_str().expect("it has a host"), url.port().unwrap_or(5432));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free loopback port can be bound");
    let port = listener.local_addr().expect("it is bound").port();
    url.set_host(Some("127.0.0.1")).expect("it is a host");
    url.set_port(Some(port)).expect("a URL with a host may have a port");
    // what is encrypted cannot be counted
    url.set_query(Some("sslmode=disable"));
    let executed = Arc::clone(executed);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&target).await.expect("the server of the tests answers");
            tokio::spawn(carry(client, server, Arc::clone(&executed)));
        }
    });
    url.into()
}

async fn carry(client: TcpStream, server: TcpStream, executed: Arc<AtomicU64>) {
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let there = async {
        // the first message has no type
        let first = message(&mut from_client).await?;
        to_server.write_all(&first).await?;
        loop {
            let kind = from_client.read_u8().await?;
            // `Execute` of a prepared statement, and a simple query: `begin`, `commit`
            executed.fetch_add(u64::from(matches!(kind, b'E' | b'Q')), Ordering::SeqCst);
            let mut whole = vec![kind];
            whole.extend(message(&mut from_client).await?);
            to_server.write_all(&whole).await?;
        }
        #[expect(unreachable_code, reason = "it says what the block answers")]
        io::Result::Ok(())
    };
    tokio::select! {
        _ = there => {}
        _ = tokio::io::copy(&mut from_server, &mut to_client) => {}
    }
}

/// Length and content of a message.
async fn message(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let length = from.read_u32().await?;
    let mut whole = length.to_be_bytes().to_vec();
    whole.resize(usize::try_from(length).expect("a length fits"), 0);
    from.read_exact(&mut whole[4..]).await?;
    Ok(whole)
}

fn devices(first: usize, count: usize) -> Vec<Device> {
    let device = |number| Device {
        agent_id: format!("agent-{number:06}"),
        name: format!("HOST-{number}"),
        site: Some("HQ".to_owned()),
        serial_number: Some(format!("SERIAL-{number}")),
        ..Device::default()
    };
    (first..first + count).map(device).collect()
}

fn renamed(mut devices: Vec<Device>) -> Vec<Device> {
    for device in &mut devices {
        device.name.push_str("-B");
    }
    devices
}

/// (21)
#[tokio::test]
async fn a_thousand_devices_cost_as_many_statements_as_ten() {
    let database = TestDatabase::create().await;
    let counted = Counted::new(&database).await;
    // the first one also pays for what a connection asks once
    for warm in [devices(0, 2), devices(0, 2), renamed(devices(0, 2))] {
        counted.merge(&warm).await;
    }
    let (few, many) = (devices(100, 10), devices(1_000, 1_000));
    for (what, few, many) in [
        ("made", few.clone(), many.clone()),
        ("changed", renamed(few.clone()), renamed(many.clone())),
        ("left as they are", renamed(few), renamed(many)),
    ] {
        let ((merged_few, of_few), (merged_many, of_many)) = (counted.merge(&few).await, counted.merge(&many).await);
        println!("{what}: {of_few} statements for ten, {of_many} for a thousand");
        let written = |merged: Merged| (merged.created, merged.updated, merged.unchanged);
        let (created, updated, unchanged) = written(merged_few);
        assert_eq!(written(merged_many), (created * 100, updated * 100, unchanged * 100), "{what}");
        assert_eq!(of_many, of_few, "{what}");
        assert!((1..=STATEMENTS_MAX).contains(&of_many), "{what}: {of_many}");
    }
}

/// (32)
#[tokio::test]
async fn a_thousand_programs_cost_as_many_statements_as_ten() {
    let database = TestDatabase::create().await;
    let counted = Counted::new(&database).await;
    counted.merge(&devices(0, 3)).await;
    let fence = counted.begun().await;
    for version in ["1", "1", "2"] {
        counted.ingest(&fence, 0, 3, version).await;
    }
    for (what, version) in [("first", "1"), ("updated", "2"), ("left as they are", "2")] {
        let (of_few, few) = counted.ingest(&fence, 1, 10, version).await;
        // programs that the catalogue does not have yet, as the ten were
        let (of_many, many) = counted.ingest(&fence, 2, 1_000, version).await;
        println!("{what}: {few} statements for ten programs, {many} for a thousand");
        assert_eq!(of_few, of_many, "{what}");
        assert_eq!(few, many, "{what}");
        assert!((1..=STATEMENTS_MAX).contains(&many), "{what}: {many}");
    }
}
