//! Of PostgreSQL: a schema behind and ahead, roles, a pooler, clocks, a server that is away.

use store::Store;
use store::doctor::GATEWAY_RIGHTS;
use tests::pooler::Pooler;
use tests::{DEADLINE, until};
use uuid::Uuid;

use super::Ward;

#[tokio::test]
async fn a_schema_that_is_behind_ahead_or_absent_is_told_and_what_needs_it_is_left_out() {
    let ward = Ward::new().await;
    ward.only("schema").await.is_well();
    ward.database
        .execute(
            "insert into muster.migration (version, description, success, checksum, execution_time)
                           values (9999, 'of a newer version', true, '', 0)",
        )
        .await;
    let ahead = ward.only("schema").await;
    ahead.says("schema", "warning", "does not know: 9999", "update this program");
    ward.database.execute("delete from muster.migration where version in (1, 9999)").await;
    let behind = ward.look(&["--only", "schema", "--only", "outbox"], &[]).await;
    behind.says("schema", "wrong", "lacks the migrations 0001", "muster migrate");
    assert_eq!(behind.of("outbox"), [("skipped", "not looked at: see schema")]);
    let empty = store::testing::TestDatabase::empty().await;
    let absent = ward.look(&["--only", "schema"], &[("MUSTER_DATABASE_URL", empty.url())]).await;
    absent.says("schema", "wrong", "no schema of Muster", "muster migrate");
}

#[tokio::test]
async fn a_role_without_a_right_with_one_too_many_or_with_all_is_told() {
    let ward = Ward::new().await;
    let role = format!("muster_test_role_{}", Uuid::new_v4().simple());
    let flags = ["--only", "roles", "--gateway-role", &role];
    ward.look(&flags, &[]).await.says("roles", "wrong", &format!("there is no role {role}"), "create role");
    ward.database.execute(&format!("create role {role}; {}", GATEWAY_RIGHTS.replace(":role", &role))).await;
    let own = format!("{role} may more");
    let sound = ward.look(&flags, &[]).await;
    let revoked = async |sql: &str| {
        ward.database.execute(&sql.replace(":role", &role)).await;
        ward.look(&flags, &[]).await
    };
    let lacking = revoked("revoke insert on muster.outbox from :role").await;
    let closed = revoked("revoke usage on schema muster from :role").await;
    ward.database.execute(&GATEWAY_RIGHTS.replace(":role", &role)).await;
    let extra = revoked("grant select on muster.secret to :role").await;
    let bypass = revoked("alter role :role bypassrls").await;
    ward.database.execute(&format!("drop owned by {role}; drop role {role}")).await;
    sound.is_well();
    lacking.says("roles", "wrong", &format!("{role} lacks insert on muster.outbox"), "deploy/roles/gateway.sql");
    closed.says("roles", "wrong", "usage on schema muster", "deploy/roles/gateway.sql");
    extra.says("roles", "warning", &format!("{own} than a gateway needs: select on muster.secret"), "revoke all");
    bypass.says("roles", "warning", &format!("{role} bypasses row security"), "nobypassrls");
}

/// A session as a program has it.
async fn session_of(program: &str, url: &str) -> Store {
    let store = Store::lazy(&store::Config::for_url(url), program).expect("it is a URL");
    store.ping().await.expect("the database answers");
    store
}

#[tokio::test]
async fn the_role_that_migrates_may_look_and_a_program_that_runs_as_it_is_told() {
    let ward = Ward::new().await;
    let own = ward.only("roles").await;
    own.is_well();
    assert!(own.text.contains("no program is connected now"), "{}", own.text);
    let superuser = session_of("sync-worker", ward.database.url()).await;
    let report = ward.only("roles").await;
    report.says("roles", "warning", "(of sync-worker) is a superuser", "a role of their own");
    superuser.close().await;

    let role = format!("muster_test_role_{}", Uuid::new_v4().simple());
    ward.database.execute(&format!("create role {role} login password 'x'")).await;
    let mut url = url::Url::parse(ward.database.url()).expect("it is a URL");
    url.set_username(&role).expect("it has a host");
    url.set_password(Some("x")).expect("it has a host");
    let sessions = [session_of("console", url.as_str()).await, session_of("alert-worker", url.as_str()).await];
    let mended = async |sql: &str| {
        ward.database.execute(&sql.replace(":role", &role)).await;
        until(DEADLINE, async || match ward.only("roles").await {
            // the superuser's session ends a moment later
            report if report.text.contains("sync-worker") => Err(report.text),
            report => Ok(report),
        })
        .await
    };
    let closed = mended("select 1").await;
    let limited = mended("grant usage on schema muster to :role").await;
    let sound = mended("grant select, insert, update, delete on all tables in schema muster to :role").await;
    let owner = mended("alter table muster.outbox owner to :role").await;
    for session in sessions {
        session.close().await;
    }
    ward.database
        .execute(&format!("reassign owned by {role} to current_user; drop owned by {role}; drop role {role}"))
        .await;
    let who = format!("the role {role} (of alert-worker, console)");
    closed.says("roles", "wrong", &format!("{who} lacks usage on schema muster"), "grant usage on schema");
    limited.says("roles", "warning", &format!("{who} may not read, add, change and delete"), "on all tables in schema");
    sound.is_well();
    owner.says("roles", "warning", &format!("{who} owns muster.outbox"), "runs `muster migrate` own the tables");
}

#[tokio::test]
async fn a_gateways_role_is_compared_with_its_needs_also_where_nobody_names_it() {
    let ward = Ward::new().await;
    let role = format!("muster_test_role_{}", Uuid::new_v4().simple());
    let rights = GATEWAY_RIGHTS.replace(":role", &role);
    ward.database.execute(&format!("create role {role} login password 'x'; {rights}")).await;
    let mut url = url::Url::parse(ward.database.url()).expect("it is a URL");
    url.set_username(&role).expect("it has a host");
    url.set_password(Some("x")).expect("it has a host");
    let session = session_of("ingest-gateway", url.as_str()).await;
    let sound = ward.only("roles").await;
    ward.database.execute(&format!("revoke insert on muster.outbox from {role}")).await;
    let lacking = ward.only("roles").await;
    session.close().await;
    ward.database.execute(&format!("drop owned by {role}; drop role {role}")).await;
    sound.is_well();
    lacking.says("roles", "wrong", &format!("{role} lacks insert on muster.outbox"), "deploy/roles/gateway.sql");
}

#[tokio::test]
async fn a_pooler_by_transactions_is_told_by_everything_that_it_breaks() {
    let ward = Ward::new().await;
    ward.only("session").await.is_well();
    let pooler = Pooler::before(ward.database.url()).await;
    let report = ward.look(&["--only", "session"], &[("MUSTER_DATABASE_URL", pooler.url())]).await;
    report.says("session", "wrong", "one server process to several sessions", "pool_mode = session");
    report.says("session", "wrong", "drops the limits", "connect to PostgreSQL directly");
    let words: Vec<&str> = report.of("session").iter().map(|(state, _)| *state).collect();
    assert_eq!(words, ["wrong", "wrong", "warning"], "{}", report.text);
    assert!(report.text.contains("everything else works"), "{}", report.text);
}

#[tokio::test]
async fn a_pooler_that_refuses_our_limits_is_told_as_one_and_not_as_a_server_that_is_away() {
    let ward = Ward::new().await;
    let pooler = Pooler::refusing_options_before(ward.database.url()).await;
    let through = [("MUSTER_DATABASE_URL", pooler.url())];
    let (finding, remedy) = ("a pooler refuses the limits", "name PostgreSQL itself");
    let report = ward.look(&[], &through).await;
    report.says("postgres", "wrong", finding, remedy);
    assert_eq!(report.of("postgres").len(), 1, "{}", report.text);
    assert_eq!(report.of("session"), [("skipped", "not looked at: see postgres")]);
    ward.look(&["--only", "session"], &through).await.says("session", "wrong", finding, remedy);
}

#[tokio::test]
async fn a_server_that_is_away_blocks_what_stands_on_it_and_no_password_is_shown() {
    let ward = Ward::new().await;
    let url = "postgres://u:canary-2b@127.0.0.1:1/x";
    let report = ward.look(&[], &[("MUSTER_DATABASE_URL", url)]).await;
    report.says("postgres", "wrong", "cannot", "see that the server runs");
    for check in
        ["session", "clocks", "schema", "roles", "schedules", "outbox", "parked", "pauses", "spools", "integrations"]
    {
        assert_eq!(report.of(check), [("skipped", "not looked at: see postgres")], "{check}");
    }
    assert_eq!(report.of("topology").len(), 1, "{}", report.text);
    assert!(!report.text.contains("canary"), "{}", report.text);
}

#[tokio::test]
async fn a_clock_that_is_off_is_a_warning_and_beyond_half_a_minute_wrong() {
    let ward = Ward::new().await;
    ward.only("clocks").await.is_well();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let library = tests::clock_shim::build(folder.path());
    let library = library.to_str().expect("a temporary folder's name is text");
    for (offset_s, state, side) in [("10", "warning", "ahead of"), ("-3600", "wrong", "behind")] {
        let environment = [("LD_PRELOAD", library), ("CLOCK_SHIM_OFFSET_S", offset_s)];
        let report = ward.look(&["--only", "clocks"], &environment).await;
        report.says("clocks", state, side, "NTP");
    }
}

#[tokio::test]
async fn a_configuration_that_cannot_be_used_ends_with_2_and_without_a_look() {
    let ward = Ward::new().await;
    for (name, value) in [("MUSTER_AMQP_URL", "http://u:canary@h/x"), ("MUSTER_DATABASE_URL", "mysql://u:canary@h/x")] {
        let report = ward.look(&[], &[(name, value)]).await;
        assert_eq!((report.code, report.findings.len()), (Some(2), 0), "{}", report.text);
        assert!(report.text.contains(name) && !report.text.contains("canary"), "{}", report.text);
    }
    let odd = [("MUSTER_DATABSE_URL", "canary"), ("MUSTER_AMQP_SETTLE_MS", "10")];
    let report = ward.look(&["--only", "configuration"], &odd).await;
    report.says("configuration", "warning", "MUSTER_DATABSE_URL is set", "MUSTER_DATABASE_URL is meant");
    report.says("configuration", "warning", "10 ms after its declaration", "MUSTER_AMQP_SETTLE_MS");
    assert!(!report.text.contains("canary"), "{}", report.text);
}
