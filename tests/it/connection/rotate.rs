//! The key of the vault is changed while programs run, and `muster vault` never shows what it seals.

use std::process::{Command, Output};

use store::secret;
use tests::simulator::{PASSWORD, key};

use super::{Bench, KEY, Who, simulator, vault};

/// The key after [`KEY`].
const NEXT: &str = "a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1";

fn muster(bench: &Bench, key: &str, old: Option<&str>, arguments: &[&str]) -> Output {
    let mut command = Command::new(tests::process::binary("muster"));
    command.env_clear().env("MUSTER_DATABASE_URL", bench.database.url()).env("MUSTER_VAULT_KEY", key);
    let mut file = tempfile::NamedTempFile::new().expect("a file can be made");
    if let Some(old) = old {
        std::io::Write::write_all(&mut file, old.as_bytes()).expect("it can be written");
        command.env("MUSTER_VAULT_OLD_KEYS_FILE", file.path());
    }
    command.arg("vault").args(arguments).output().expect("it can be started")
}

/// All that it printed, which never holds what it seals nor what it seals with.
fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned();
    for canary in [KEY, NEXT, key::SYNC, PASSWORD] {
        assert!(!text.contains(canary), "`{canary}` in {text}");
    }
    text
}

fn holding(key: &str, old: Option<&str>) -> vault::Vault {
    let mut file = tempfile::NamedTempFile::new().expect("a file can be made");
    std::io::Write::write_all(&mut file, old.unwrap_or_default().as_bytes()).expect("it can be written");
    let config = vault::Config {
        vault_key: Some(key.into()),
        vault_old_keys_file: Some(file.path().to_owned()),
        ..vault::Config::default()
    };
    vault::Vault::open(&config).expect("they are keys")
}

#[tokio::test]
async fn a_program_that_holds_both_keys_works_before_during_and_after_a_rotation() {
    let simulator = simulator().await;
    let bench = Bench::connected(&simulator.base_url(), Who::Key(key::SYNC)).await;
    let both = connection::Connections::new(bench.store(), holding(NEXT, Some(KEY)), super::config());
    let works = async || {
        let open = both.open(bench.tenant, bench.integration_id).await.expect("it holds the key");
        open.call(|client| async move { client.clients().await }).await.expect("the key is good").len()
    };
    assert_eq!(works().await, 3);
    let dry = muster(&bench, NEXT, Some(KEY), &["rotate", "--dry-run"]);
    assert!(dry.status.success() && said(&dry).starts_with("1 would be sealed"), "{}", said(&dry));
    assert_eq!(
        secret::key_ids(&bench.store()).await.unwrap(),
        [(vault().key_id().to_owned(), 1)],
        "nothing was changed"
    );

    for sealed in ["1 sealed", "0 sealed"] {
        let done = muster(&bench, NEXT, Some(KEY), &["rotate"]);
        assert!(done.status.success() && said(&done).starts_with(sealed), "{}", said(&done));
        assert_eq!(works().await, 3);
    }
    let next = holding(NEXT, None);
    assert_eq!(secret::key_ids(&bench.store()).await.unwrap(), [(next.key_id().to_owned(), 1)]);
    let only_next = connection::Connections::new(bench.store(), next.clone(), super::config());
    assert!(only_next.open(bench.tenant, bench.integration_id).await.is_ok());
    let status = said(&muster(&bench, NEXT, None, &["status"]));
    assert!(status.contains(next.key_id()) && status.contains("1 secrets") && !status.contains("missing"), "{status}");
}

#[tokio::test]
async fn what_no_key_opens_is_named_left_and_does_not_stop_the_rest() {
    let bench = Bench::connected("https://api.example.com", Who::user("plain")).await;
    let store = bench.store();
    // 450 more rows: three pages; of one the bytes were changed, one is another key's
    sqlx::query(
        "insert into muster.secret (tenant, name, key_id, sealed)
         select $1, 'row' || n, key_id, sealed from muster.secret, generate_series(1, 450) as n where name = $2",
    )
    .bind(uuid::Uuid::from_u128(7))
    .bind(secret::PASSWORD)
    .execute(&mut bench.database.connect().await)
    .await
    .unwrap();
    let lost = muster(&bench, NEXT, None, &["rotate"]);
    assert!(!lost.status.success() && said(&lost).contains("0 sealed"), "{}", said(&lost));
    assert!(said(&lost).contains(vault().key_id()) && said(&lost).contains("--vault-old-keys-file"));

    let done = muster(&bench, NEXT, Some(KEY), &["rotate"]);
    let text = said(&done);
    assert_eq!(done.status.code(), Some(1), "{text}");
    assert!(text.contains("2 sealed under key") && text.contains("450 left as they were"), "{text}");
    assert!(text.contains("secret row450 of tenant 00000000-0000-0000-0000-000000000007"), "{text}");
    let next = holding(NEXT, None);
    for (name, is_open) in [(secret::USERNAME, true), (secret::PASSWORD, true), ("row1", false)] {
        let tenant = if is_open { bench.tenant } else { uuid::Uuid::from_u128(7) };
        let sealed = secret::get(&store, tenant, name).await.unwrap().expect("it is left");
        assert_eq!(connection::unseal(&next, tenant, name, &sealed).is_ok(), is_open, "{name}");
    }
    let status = said(&muster(&bench, NEXT, None, &["status"]));
    assert!(status.contains(&format!("{}  missing  450 secrets", vault().key_id())), "{status}");
}

#[tokio::test]
async fn a_wrong_key_is_said_in_one_line_and_a_new_one_can_be_used() {
    let bench = Bench::connected("https://api.example.com", Who::Key(key::SYNC)).await;
    let wrong = muster(&bench, "canary-no-key", None, &["status"]);
    let text = said(&wrong);
    assert!(wrong.status.code() == Some(1) && text.lines().count() == 1, "{text}");
    assert!(text.contains("MUSTER_VAULT_KEY") && !text.contains("canary"), "{text}");
    let made = said(&muster(&bench, "", None, &["key"]));
    assert_eq!(made.trim().len(), 64, "{made}");
    assert!(!holding(made.trim(), None).holds(vault().key_id()));
}
