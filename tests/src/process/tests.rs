//! Children are heard, told apart by how they end, and never outlive their handle.

use super::*;
use crate::DEADLINE;

fn shell(script: &str) -> Process {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    Process::spawn("sh", command)
}

#[tokio::test]
async fn both_streams_are_kept_and_the_exit_status_is_told() {
    let mut process = shell("echo one; echo two >&2; trap 'exit 3' TERM; echo ready; while :; do sleep 0.01; done");
    process.until_log(DEADLINE, "ready").await;
    process.until_log(DEADLINE, "two").await;
    assert_eq!(process.terminate(DEADLINE).await.code(), Some(3));
}

#[tokio::test]
#[should_panic(expected = "before it logged \"never\"")]
async fn a_process_that_dies_is_not_waited_for() {
    shell("echo dying").until_log(DEADLINE, "never").await;
}

#[tokio::test]
async fn a_log_that_is_kept_in_a_file_has_its_first_line_and_its_last() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let many = format!("n=0; while [ $n -lt {LOG_LINES_MAX} ]; do n=$((n+1)); echo $n; done");
    let mut process =
        shell(&format!("echo first; until [ -e {} ]; do sleep 0.01; done; {many}; echo last", path.display()));
    process.until_log(DEADLINE, "first").await;
    process.keep_log_in(&path);
    process.until_log(DEADLINE, "last").await;
    let kept = std::fs::read_to_string(&path).unwrap();
    assert_eq!((kept.lines().next(), kept.lines().last()), (Some("first"), Some("last")));
    assert_eq!(kept.lines().count(), LOG_LINES_MAX + 2);
}

#[tokio::test]
async fn a_family_is_a_process_and_what_it_has_started() {
    let mut parent = shell("sleep 600 & echo $!; wait");
    let child: u32 = parent.until_log(DEADLINE, "").await.parse().unwrap();
    assert_eq!(children(parent.pid()), [child]);
    parent.signal_family("KILL");
    until(DEADLINE, async || if parent.ended().is_some() { Ok(()) } else { Err("it runs") }).await;
}

#[tokio::test]
async fn a_process_that_ends_by_itself_is_told_from_one_that_was_ended() {
    let mut process = shell("exit 3");
    until(DEADLINE, async || process.ended().ok_or("it runs")).await;
    // whoever ends it afterwards does not cover it
    process.kill();
    assert_eq!(process.ended_by_itself().as_deref(), Some("sh ended by itself: exit status: 3"));
    let mut allowed = shell("exec sleep 600");
    allowed.may_end();
    allowed.signal("TERM");
    until(DEADLINE, async || allowed.ended().ok_or("it runs")).await;
    assert_eq!(allowed.ended_by_itself(), None);
    let mut killed = shell("exec sleep 600");
    assert!(killed.is_running());
    assert_eq!(killed.ended_by_itself(), None);
    killed.kill();
    assert!(!killed.is_running());
    assert_eq!(killed.ended_by_itself(), None);
}

#[test]
fn a_process_ends_with_its_handle() {
    let process = shell("exec sleep 600");
    let folder = format!("/proc/{}", process.pid());
    assert!(std::path::Path::new(&folder).exists());
    drop(process);
    assert!(!std::path::Path::new(&folder).exists(), "{folder} is left");
}
