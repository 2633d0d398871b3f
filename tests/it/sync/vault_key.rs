//! A vault key that is not the one that the secrets are sealed with, noticed when the database comes back.

use store::connection::DeviceSource;

use tests::proxy::Fault;
use tests::simulator::key;
use tests::{DEADLINE, Fleet};

use super::still;

#[tokio::test]
async fn a_wrong_key_that_shows_after_the_start_drains_and_ends_with_the_error_of_a_configuration() {
    let mut fleet = Fleet::builder().without_gateway().proxies().simulator(still(4)).start().await;
    fleet.save_key(key::SYNC, DeviceSource::Classic).await;
    fleet.database_proxy().set(Fault { refuse: true, ..Fault::NONE });
    let place = fleet.begin_sync_worker(&[("MUSTER_VAULT_KEY", &"77".repeat(32))]);
    fleet.sync_worker(place).until_log(DEADLINE, "the vault's key is not checked yet").await;
    assert_eq!(fleet.sync_worker(place).ended(), None, "a database that is away is no wrong key");
    fleet.database_proxy().set(Fault::NONE);
    let ended = fleet.sync_worker(place).terminated(DEADLINE * 2).await;
    let log = fleet.sync_worker(place).log();
    assert_eq!(ended.code(), Some(2), "{log:#?}");
    assert!(log.iter().any(|line| line.contains("what is in hand is finished first")), "it drains: {log:#?}");
    let said = log.iter().find(|line| line.starts_with("sync-worker: ")).expect("one line on stderr says why");
    let sealed_with = tests::fleet::vault().key_id().to_owned();
    assert!(said.contains(&sealed_with) && said.contains("--vault-old-keys-file"), "{said}");
}
