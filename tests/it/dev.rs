//! What `./dev` tells a person, with the fleet's processes played by functions of the shell.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use store::tenant::{self, NewConnection};
use store::testing::TestDatabase;
use uuid::Uuid;

/// The script's parts, with a fleet that runs and whose sync-worker is dead.
const SCENE: &str = r#"
set -uo pipefail
for part in common psql setup servers demo fleet up; do source "$ROOT/deploy/dev/$part.sh"; done
STATE=$SCENE/state ENV_FILE=$SCENE/env PIDS=$SCENE LOGS=$SCENE DEAD=()
printf 'degraded\n' >"$STATE"; printf 'signal KILL\n' >"$PIDS/sync-worker.dead"; printf '1 0\n' >"$PIDS/sync-worker"
for name in SIMULATOR GATEWAY GATEWAY_ADMIN CONSOLE CONSOLE_ADMIN ALERT_WORKER SYNC_WORKER INVENTORY_WORKER; do
  printf 'MUSTER_%s_URL=http://127.0.0.1:1\n' "$name"
done >"$ENV_FILE"
printf 'MUSTER_TENANT=t\nMUSTER_DATABASE_URL=postgres://x@h/d\nMUSTER_AMQP_URL=amqp://x@h/v\n' >>"$ENV_FILE"
make_dirs() { :; }
fleet_runs() { true; }
pid_of() { [[ $1 != sync-worker ]] && echo 7; }
database_counts() { :; }
sender_counts() { :; }
queued_count() { :; }
"#;

/// Exit code and output of some commands in the scene.
fn said(commands: &str) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the workspace");
    let script = format!("{SCENE}\n{commands}");
    let output = Command::new("bash")
        .args(["-c", &script])
        .env("ROOT", root)
        .env("SCENE", folder.path())
        .env_remove("CARGO_TARGET_DIR")
        .output()
        .expect("bash is there");
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (output.status.code(), text.concat())
}

#[test]
fn a_dead_worker_is_told_with_what_starts_it_again() {
    for command in ["cmd_up --detach", "cmd_status"] {
        let (code, text) = said(command);
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains("DEAD") && text.contains("signal KILL"), "{text}");
        assert!(text.contains("dead: sync-worker; what is dead stays so: ./dev down, then ./dev up"), "{text}");
    }
    let (_, text) = said("watched() { echo sync-worker; }; report_deaths");
    assert!(text.contains("DEAD: sync-worker") && text.contains("./dev down, then ./dev up"), "{text}");
}

#[test]
fn a_fleet_that_is_well_is_told_without_advice() {
    let (code, text) = said("pid_of() { echo 7; }; cmd_status");
    assert_eq!(code, Some(0), "{text}");
    assert!(!text.contains("./dev down"), "{text}");
}

#[test]
fn where_to_look_next_says_how_the_command_is_run() {
    let (_, text) = said("load_env \"$ENV_FILE\"; where_to_look");
    assert!(text.contains("./dev muster status") && text.contains("/target/release/muster"), "{text}");
    let (code, text) = said("binary() { echo echo; }; cmd_muster sync devices --wait");
    assert_eq!((code, text.trim()), (Some(0), "sync devices --wait"));
}

#[test]
fn an_up_that_comes_second_changes_nothing_and_says_who_was_first() {
    // the other one takes the lock while this one builds, and has not started sync-worker yet
    let build = "rm \"$PIDS/sync-worker\" \"$PIDS/sync-worker.dead\"; echo starting >\"$STATE\"; \
                 exec 8>\"$SCENE/up.lock\"; flock 8";
    let scene = format!(
        "STATE_DIR=$SCENE; need_cargo() {{ :; }}; need_servers() {{ :; }}; fleet_runs() {{ [[ -e $SCENE/up.lock ]]; }}
         supervise() {{ echo A SECOND FLEET; }}; up_detached() {{ supervise; }}; cargo() {{ {build}; }}"
    );
    for command in ["cmd_up", "cmd_up --detach"] {
        let (code, text) = said(&format!("{scene}\n{command}"));
        assert_eq!(code, Some(0), "{text}");
        assert!(text.contains("another ./dev up is starting the fleet") && text.contains("not started yet"), "{text}");
        assert!(!text.contains("A SECOND") && !text.contains("DEAD") && !text.contains("./dev down"), "{text}");
    }
}

#[test]
fn the_background_half_of_up_holds_the_lock_that_it_was_started_with() {
    let half =
        "flock -n 9 || exit 9\necho $$ >\"$SCENE/half\"\necho running >\"$SCENE/state\"\nexec tail -f /dev/null\n";
    let (code, text) = said(&format!(
        "STATE_DIR=$SCENE ROOT=$SCENE; printf '#!/usr/bin/env bash\n%s' '{half}' >\"$SCENE/dev\"; chmod +x \"$SCENE/dev\"
         lock_fleet && up_detached; flock -n \"$SCENE/up.lock\" true || echo HELD; kill \"$(cat \"$SCENE/half\")\""
    ));
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("running in the background") && text.contains("HELD"), "{text}");
}

/// Four devices with a status, of which Tactical has deleted two; their tenant.
async fn devices(database: &TestDatabase) -> Uuid {
    let new = NewConnection {
        tenant: Uuid::new_v4(),
        client_name: "A client".to_owned(),
        instance_url: None,
        digest: None,
        grace: Duration::ZERO,
    };
    let connected = tenant::connect(&database.store(), &new, "a test").await.expect("an empty database takes a tenant");
    let (tenant, integration, client) = (new.tenant, connected.integration_id, connected.client_id);
    for (agent, status, missing_since) in
        [("a", "online", "null"), ("b", "offline", "null"), ("c", "online", "now()"), ("d", "overdue", "now()")]
    {
        database
            .execute(&format!(
                "with asset as (
                     insert into assets (tenant, client_id, asset_tag, name, status, rmm_provider, rmm_device_id, agent_status)
                     values ('{tenant}', '{client}', '{agent}', '{agent}', 'active', 'tacticalrmm', '{agent}', '{status}')
                     returning asset_id)
                 insert into muster.agent (tenant, integration_id, agent_id, asset_id, missing_since)
                 select '{tenant}', '{integration}', '{agent}', asset_id, {missing_since} from asset"
            ))
            .await;
    }
    tenant
}

#[tokio::test]
async fn a_device_that_is_gone_counts_as_missing_and_as_nothing_else() {
    let database = TestDatabase::create().await;
    let tenant = devices(&database).await;
    let count = format!(
        "source \"$ROOT/deploy/dev/up.sh\"; STATE_DIR=$SCENE; echo 2026-01-01 >\"$SCENE/started\"
         MUSTER_TENANT={tenant} MUSTER_DATABASE_URL='{}'; database_counts; assets_words",
        // what follows is for the driver, and psql does not know it
        database.url().split('?').next().unwrap_or_default()
    );
    let (code, text) = said(&count);
    assert_eq!((code, &*text), (Some(0), "assets 4 (online 1, offline 1, overdue 0, missing 2), programs on them 0"));
    database.execute("update muster.agent set missing_since = null").await;
    assert_eq!(said(&count).1, "assets 4 (online 2, offline 1, overdue 1), programs on them 0", "none is missing");
}
