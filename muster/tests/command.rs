//! The command as a person or a script runs it, against a database of each test's own.

use std::io::Write;
use std::process::{Command, Output};

use store::connection::{self, Save};
use store::hook::{self, HookState};
use store::testing::{TestDatabase, entry};
use store::token::{self, Judged, Permission};
use store::{secret, tenant};
use uuid::Uuid;

const PEPPER: &str = "a pepper of the tests";

fn muster(database: &TestDatabase, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_muster"))
        .env_clear()
        .env("MUSTER_DATABASE_URL", database.url())
        .env("MUSTER_HOOK_PEPPER", PEPPER)
        .args(arguments)
        .output()
        .expect("the command was built with this test")
}

/// What it printed; it must have succeeded.
fn done(database: &TestDatabase, arguments: &[&str]) -> String {
    let output = muster(database, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it prints text")
}

/// Its one line of complaint; it must have failed with this exit code.
fn refused(database: &TestDatabase, arguments: &[&str], code: i32) -> String {
    let output = muster(database, arguments);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}");
    String::from_utf8(output.stderr).expect("it prints text")
}

fn connect(database: &TestDatabase, tenant: Uuid, more: &[&str]) -> String {
    let tenant = tenant.to_string();
    let mut arguments = vec!["tenant", "connect", "--tenant", &tenant, "--name", "Demo"];
    arguments.extend(["--gateway-url", "http://127.0.0.1:8080", "--env"]);
    arguments.extend(more);
    done(database, &arguments)
}

/// The value of a `KEY=value` line.
fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
}

#[tokio::test]
async fn a_second_migration_finds_nothing_to_do() {
    let database = TestDatabase::empty().await;
    let first = done(&database, &["migrate"]);
    assert!(first.contains("applied 0001") && !first.contains("\n0 applied now"), "{first}");
    let second = done(&database, &["migrate"]);
    assert!(second.starts_with("0 applied now"), "{second}");
}

#[tokio::test]
async fn a_connected_tenants_secret_is_shown_once_and_is_good() {
    let (database, tenant) = (TestDatabase::create().await, Uuid::new_v4());
    let first = connect(&database, tenant, &[]);
    let secret = value(&first, "MUSTER_WEBHOOK_SECRET").expect("it was made now");
    let url = format!("http://127.0.0.1:8080/api/webhooks/tacticalrmm?tenant={tenant}");
    assert_eq!(value(&first, "MUSTER_WEBHOOK_URL"), Some(url.as_str()));
    let hook = hook::find(&database.store(), tenant).await.unwrap().expect("it was made");
    assert_eq!(hook.digest, hook::digest(PEPPER.as_bytes(), secret));

    let second = connect(&database, tenant, &[]);
    assert_eq!(value(&second, "MUSTER_WEBHOOK_SECRET"), None);
    assert_eq!(value(&second, "MUSTER_INTEGRATION"), value(&first, "MUSTER_INTEGRATION"));
    assert_eq!(hook::find(&database.store(), tenant).await.unwrap(), Some(hook));
}

#[tokio::test]
async fn a_tenant_that_nobody_knows_is_not_removed() {
    let (database, tenant) = (TestDatabase::create().await, Uuid::new_v4().to_string());
    for more in [&[][..], &["--yes"], &["--yes", "--with-algapsa-rows"]] {
        let arguments = [&["tenant", "remove", "--tenant", &tenant], more].concat();
        let told = refused(&database, &arguments, 1);
        assert!(told.contains(&format!("nothing is known of tenant {tenant}")), "{told}");
    }
}

#[tokio::test]
async fn a_secret_from_a_file_is_used_as_it_is() {
    let (database, tenant) = (TestDatabase::create().await, Uuid::new_v4());
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "a-secret-of-the-tests").unwrap();
    connect(&database, tenant, &["--secret-file", file.path().to_str().unwrap()]);
    let hook = hook::find(&database.store(), tenant).await.unwrap().expect("it was made");
    assert_eq!(hook.digest, hook::digest(PEPPER.as_bytes(), "a-secret-of-the-tests"));
}

#[tokio::test]
async fn a_rotation_keeps_the_secret_before_for_its_grace_time() {
    let (database, tenant) = (TestDatabase::create().await, Uuid::new_v4());
    connect(&database, tenant, &[]);
    let before = hook::find(&database.store(), tenant).await.unwrap().expect("it was made");
    let text = done(&database, &["webhook", "rotate", "--tenant", &tenant.to_string(), "--grace-s", "3600"]);
    let secret =
        text.lines().next().and_then(|line| line.strip_prefix("X-Alga-Webhook-Secret: ")).expect("it is shown");
    let after = hook::find(&database.store(), tenant).await.unwrap().expect("it stays");
    assert_eq!(after.digest, hook::digest(PEPPER.as_bytes(), secret));
    let (previous, valid_until) = after.previous.expect("it is kept");
    assert_eq!(previous, before.digest);
    let left_s = (valid_until - database.store().database_now().await.unwrap()).num_seconds();
    assert!((3_500..=3_600).contains(&left_s), "{left_s}");
}

#[tokio::test]
async fn a_tenant_is_removed_only_where_that_was_said_and_then_wholly() {
    let (database, tenant) = (TestDatabase::create().await, Uuid::new_v4());
    connect(&database, tenant, &[]);
    let id = tenant.to_string();
    let told = done(&database, &["tenant", "remove", "--tenant", &id]);
    assert!(told.contains("would be deleted") && told.contains("1  muster.hook"), "{told}");
    assert!(told.contains("would stay") && told.contains("1  rmm_integrations"), "{told}");
    assert!(hook::find(&database.store(), tenant).await.unwrap().is_some(), "nothing was changed");
    let told = done(&database, &["tenant", "remove", "--tenant", &id, "--yes", "--with-algapsa-rows"]);
    assert!(told.contains("muster.audit") && told.contains("1  rmm_integrations"), "{told}");
    assert!(tenant::list(&database.store()).await.unwrap().is_empty());
    let told = refused(&database, &["tenant", "remove", "--tenant", &Uuid::new_v4().to_string(), "--yes"], 1);
    assert!(told.contains("nothing is known of tenant"), "{told}");
}

#[tokio::test]
async fn a_tenant_is_suspended_resumed_disconnected_and_listed() {
    let (database, tenant) = (TestDatabase::create().await, Uuid::new_v4());
    connect(&database, tenant, &["--instance-url", "https://api.example.com/"]);
    let id = tenant.to_string();
    let steps = [
        ("suspend", HookState::Suspended, "suspended"),
        ("resume", HookState::Active, "active"),
        ("disconnect", HookState::Inactive, "disconnected"),
    ];
    for (step, state, word) in steps {
        done(&database, &["tenant", step, "--tenant", &id]);
        let hook = hook::find(&database.store(), tenant).await.unwrap().expect("it stays");
        assert_eq!(hook.state, state, "{step}");
        let list = done(&database, &["tenant", "list"]);
        assert!(list.contains(&id) && list.contains(word) && list.contains("https://api.example.com"), "{list}");
    }
}

#[tokio::test]
async fn whatever_changes_a_tenant_is_in_the_audit_with_who_did_it() {
    let (database, tenant) = (TestDatabase::create().await, Uuid::new_v4());
    let id = tenant.to_string();
    for _ in 0..2 {
        connect(&database, tenant, &["--instance-url", "https://api.example.com"]);
    }
    done(&database, &["webhook", "rotate", "--tenant", &id]);
    for step in ["suspend", "suspend", "resume", "resume", "disconnect"] {
        done(&database, &["tenant", step, "--tenant", &id]);
    }
    // it panics where the statement fails
    let noted = "(select string_agg(action, ' ' order by audit_id) from muster.audit where actor = 'muster (unknown)')";
    let all = "integration.settings.save integration.connect webhook.rotate webhook.rotate tenant.suspend tenant.resume \
               integration.disconnect";
    database.execute(&format!("do $$ begin assert {noted} = '{all}', {noted}; end $$")).await;
}

#[tokio::test]
async fn an_instance_url_with_more_than_a_host_is_refused_and_stands_nowhere() {
    let (database, id) = (TestDatabase::create().await, Uuid::new_v4().to_string());
    for (url, said) in [
        ("ftp://canary.example.com", "neither https://"),
        ("canary.example.com", "not a URL"),
        ("https://canary .example.com", "not a URL"),
        ("https:\\\\canary.example.com", "not a URL"),
        ("https://canary@api.example.com", "a user name or a password"),
        ("https://:canary@api.example.com", "a user name or a password"),
        ("https://api.example.com/canary", "a path"),
        ("https://api.example.com/?key=canary", "a query"),
        ("https://api.example.com#canary", "a fragment"),
    ] {
        let connect =
            ["tenant", "connect", "--tenant", &id, "--name", "Demo", "--gateway-url", "http://127.0.0.1:8080"];
        let text = refused(&database, &[&connect[..], &["--instance-url", url]].concat(), 1);
        assert!(text.lines().count() == 1 && text.contains(said) && !text.contains("canary"), "{url}: {text}");
    }
    // it panics where the statement fails
    let nothing = "(select count(*) from tenants) + (select count(*) from clients) +
                   (select count(*) from rmm_integrations) + (select count(*) from muster.audit)";
    database.execute(&format!("do $$ begin assert {nothing} = 0, 'something was stored'; end $$")).await;
}

#[tokio::test]
async fn a_disconnected_tenant_keeps_no_secret_of_tactical() {
    let (database, tenant) = (TestDatabase::create().await, Uuid::new_v4());
    connect(&database, tenant, &["--instance-url", "https://api.example.com"]);
    let store = database.store();
    let sealed = secret::Sealed { key_id: "k".to_owned(), bytes: vec![7; 48] };
    let save = Save {
        tenant,
        instance_url: None,
        auth_mode: None,
        device_source: None,
        secrets: vec![(secret::API_KEY, Some(sealed))],
    };
    connection::save(&store, &save, &entry("integration.settings.save")).await.unwrap();
    done(&database, &["tenant", "disconnect", "--tenant", &tenant.to_string()]);
    assert!(secret::get(&store, tenant, secret::API_KEY).await.unwrap().is_none());
    assert!(!connection::find(&store, tenant).await.unwrap().unwrap().is_active);
}

#[tokio::test]
async fn a_mistyped_name_makes_no_second_client() {
    let (database, tenant) = (TestDatabase::create().await, Uuid::new_v4());
    connect(&database, tenant, &[]);
    let id = tenant.to_string();
    let again = ["tenant", "connect", "--tenant", &id, "--gateway-url", "http://127.0.0.1:8080", "--name", "Demmo"];
    let said = refused(&database, &again, 1);
    assert!(said.contains("`Demmo`") && said.contains("--add-client"), "{said}");
    assert_eq!(tenant::has_client(&database.store(), tenant, "Demmo").await.unwrap(), Some(false));
    done(&database, &[&again[..], &["--add-client"]].concat());
    assert_eq!(tenant::has_client(&database.store(), tenant, "Demmo").await.unwrap(), Some(true));
}

#[tokio::test]
async fn a_token_stands_alone_on_stdout_and_is_good_until_it_is_revoked() {
    let (database, tenant) = (TestDatabase::create().await, Uuid::new_v4().to_string());
    connect(&database, tenant.parse().unwrap(), &[]);
    let add = ["token", "add", "--name", "a script", "--permission", "asset:read", "--permission", "asset:update"];
    let text = done(&database, &[&add[..], &["--tenant", &tenant, "--days", "30"]].concat());
    assert_eq!(text.lines().count(), 1, "{text:?}");
    let Judged::Good(token) = token::judge(&database.store(), text.trim()).await.unwrap() else { panic!("{text:?}") };
    assert_eq!(token.permissions, [Permission::AssetRead, Permission::AssetUpdate]);
    assert_eq!((token.tenant.unwrap().to_string(), token.name.as_str()), (tenant, "a script"));
    assert!(token.expires_at.is_some());

    let (id, list) = (token.token_id.to_string(), done(&database, &["token", "list"]));
    assert!(list.contains(&format!("{id}  good")) && !list.contains(text.trim()), "{list}");
    for _ in 0..2 {
        done(&database, &["token", "revoke", &id]);
        assert_eq!(token::judge(&database.store(), text.trim()).await.unwrap(), Judged::Revoked);
    }
    assert!(done(&database, &["token", "list", "--json"]).contains("revoked_at"));
}

#[tokio::test]
async fn a_token_for_every_tenant_is_asked_for_by_name() {
    let database = TestDatabase::create().await;
    for arguments in
        [&["--all-permissions"][..], &["--operator-wide"], &["--operator-wide", "--permission", "asset:eat"]]
    {
        refused(&database, &[&["token", "add", "--name", "x"], arguments].concat(), 2);
    }
    let text = done(&database, &["token", "add", "--name", "x", "--operator-wide", "--all-permissions"]);
    let Judged::Good(token) = token::judge(&database.store(), text.trim()).await.unwrap() else { panic!("{text:?}") };
    assert_eq!((token.tenant, token.permissions), (None, Permission::ALL.to_vec()));
    refused(&database, &["token", "revoke", &Uuid::new_v4().to_string()], 1);
}

#[tokio::test]
async fn an_unknown_tenant_is_said_in_one_line() {
    let database = TestDatabase::create().await;
    let id = Uuid::new_v4().to_string();
    for arguments in [["tenant", "suspend"], ["tenant", "disconnect"], ["webhook", "rotate"]] {
        let text = refused(&database, &[&arguments[..], &["--tenant", &id]].concat(), 1);
        assert!(text.lines().count() == 1 && text.contains(&id), "{text}");
    }
}

#[tokio::test]
async fn a_pepper_that_the_gateway_would_refuse_is_refused() {
    let (database, id) = (TestDatabase::create().await, Uuid::new_v4().to_string());
    let rotate = ["webhook", "rotate", "--tenant", &id];
    let with = |pepper: Option<&str>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
        command.env_clear().env("MUSTER_DATABASE_URL", database.url()).args(rotate);
        let output =
            pepper.into_iter().fold(&mut command, |command, it| command.env("MUSTER_HOOK_PEPPER", it)).output();
        let output = output.expect("the command was built with this test");
        (output.status.code(), String::from_utf8(output.stderr).expect("it prints text"))
    };
    let (code, said) = with(Some("fifteen letters"));
    assert!(code == Some(1) && said.contains("MUSTER_HOOK_PEPPER") && !said.contains("fifteen"), "{said}");
    let (code, said) = with(Some("sixteen letters."));
    assert!(code == Some(1) && said.contains("has no webhook"), "{said}");
    let (code, said) = with(None);
    assert!(code == Some(2) && said.contains("--hook-pepper"), "{said}");
}

#[tokio::test]
async fn a_wrong_command_line_ends_with_2_and_shows_no_secret() {
    let database = TestDatabase::empty().await;
    refused(&database, &["tenant", "suspend", "--tenant", "no-uuid"], 2);
    let text = refused(&database, &["tenant", "list", "--secret", "canary"], 2);
    assert!(!text.contains(PEPPER) && !text.contains("postgres://"), "{text}");
}
