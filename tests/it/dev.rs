//! What `./dev` tells a person, with the fleet's processes played by functions of the shell.

use std::path::Path;
use std::process::Command;

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
        assert!(text.contains("./dev down, then ./dev up"), "{command}: {text}");
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
