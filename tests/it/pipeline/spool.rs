//! RabbitMQ is away, hangs or blocks, and the gateway dies: what was answered 202 is reflected all the same, once.

use std::process::Command;

use sqlx::Connection as _;
use tests::process::binary;
use tests::proxy::Fault;
use tests::simulator::Severity;
use tests::{DEADLINE, Fleet, until, until_metric};

use super::events::Events;
use super::{differences, expected, quiet, seen};

/// Webhooks that come meanwhile.
const WEBHOOKS: i64 = 100;
/// The design's own; a second copy is harmless, which these tests are about.
const SPOOL_AFTER_MS: u32 = 100;

fn builder() -> tests::fleet::Builder {
    Fleet::builder().workers(1).simulator(quiet(20)).set("MUSTER_GATEWAY_SPOOL_AFTER_MS", SPOOL_AFTER_MS)
}

/// Lets alerts open and insists that each webhook is taken.
async fn all_taken(fleet: &Fleet) {
    let control = fleet.simulator().control();
    control.send_in_parallel(4);
    for place in 0..WEBHOOKS {
        let (agent, check) = (place % 20 + 1, place / 20 + 1);
        control.fail_check(agent, check, Severity::Error).expect("the agent exists").expect("it opens");
    }
    assert!(control.webhooks_finished(DEADLINE * 3).await, "the gateway did not take them in time");
    let statuses: Vec<_> = control.webhooks().into_iter().map(|webhook| webhook.status).collect();
    assert_eq!(statuses, vec![Some(202); WEBHOOKS as usize]);
}

/// As [`all_taken`], with a broker that refuses connections.
async fn all_taken_without_broker(fleet: &Fleet) {
    fleet.amqp_proxy().set(Fault { refuse: true, ..Fault::NONE });
    fleet.amqp_proxy().cut();
    all_taken(fleet).await;
}

/// Every webhook became a row, and its event left once, however often the message came.
async fn all_reflected(fleet: &Fleet, events: &Events) {
    let expected = expected(fleet);
    assert_eq!(expected.len(), WEBHOOKS as usize);
    until(DEADLINE * 3, async || differences(&expected, &seen(fleet).await)).await;
    fleet.until_idle().await;
    differences(&expected, &seen(fleet).await).expect("a second copy changes nothing");
    events.check_against(fleet).await;
}

/// Waits until the operators can see it: whether the fleet's only gateway spools, and how many messages wait.
async fn until_told(fleet: &Fleet, is_spooling: bool, records: i64) {
    until(DEADLINE * 3, async || {
        let seen = store::spool::list(&fleet.store()).await.map_err(|error| error.to_string())?;
        let told: Vec<_> = seen.iter().map(|it| (it.is_spooling, it.records)).collect();
        if told == [(is_spooling, records)] { Ok(()) } else { Err(format!("{seen:?}")) }
    })
    .await;
}

// two threads: the fleet's end blocks one, and the proxies that its programs hang on need the other
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_while_the_broker_refuses_is_reflected_after_it() {
    let fleet = builder().proxies().start().await;
    let events = Events::bind(fleet.amqp()).await;
    all_taken_without_broker(&fleet).await;
    until_metric(&fleet.gateway_url(), "muster_spooling 1").await;
    until_told(&fleet, true, WEBHOOKS).await;
    fleet.amqp_proxy().set(Fault::NONE);
    all_reflected(&fleet, &events).await;
    until_told(&fleet, false, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_while_the_broker_hangs_is_reflected_after_it() {
    let fleet = builder().proxies().start().await;
    let events = Events::bind(fleet.amqp()).await;
    fleet.amqp_proxy().set(Fault::BLACK_HOLE);
    all_taken(&fleet).await;
    until_metric(&fleet.gateway_url(), "muster_spooling 1").await;
    fleet.amqp_proxy().set(Fault::NONE);
    all_reflected(&fleet, &events).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_while_an_alarm_blocks_publishers_is_reflected_after_it() {
    let mut fleet = builder().private_broker().start().await;
    let events = Events::bind(fleet.amqp()).await;
    fleet.broker().alarm_on().await;
    all_taken(&fleet).await;
    fleet.broker().alarm_off().await;
    all_reflected(&fleet, &events).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_gateways_spool_is_published_by_the_next_one_that_has_no_postgres() {
    let mut fleet = builder().proxies().start().await;
    let events = Events::bind(fleet.amqp()).await;
    all_taken_without_broker(&fleet).await;
    fleet.gateway().kill();
    fleet.database_proxy().set(Fault { refuse: true, ..Fault::NONE });
    fleet.database_proxy().cut();
    fleet.restart_gateway().await;
    until_metric(&fleet.gateway_url(), "muster_hooks_loaded 1").await;
    until_metric(&fleet.gateway_url(), &format!("muster_spool_records {WEBHOOKS}")).await;
    fleet.amqp_proxy().set(Fault::NONE);
    until_metric(&fleet.gateway_url(), "muster_spool_records 0").await;
    fleet.database_proxy().set(Fault::NONE);
    all_reflected(&fleet, &events).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_orphaned_spool_is_listed_and_handed_over_by_the_operators_command() {
    let mut fleet = builder().proxies().start().await;
    let events = Events::bind(fleet.amqp()).await;
    all_taken_without_broker(&fleet).await;
    let refused = muster(&fleet, &["list"]).await;
    assert!(refused.contains("belongs to a process that is running"), "{refused}");
    until_told(&fleet, true, WEBHOOKS).await;
    fleet.gateway().kill();
    let listed = muster(&fleet, &["list", "--limit", "3"]).await;
    assert!(listed.contains(&format!("{WEBHOOKS} wait, 0 set aside")), "{listed}");
    assert_eq!(listed.matches("alert.observed.v1").count(), 3, "{listed}");
    let drained = muster(&fleet, &["drain"]).await;
    assert!(drained.contains(&format!("{WEBHOOKS} handed over, 0 left, 0 set aside")), "{drained}");
    let known = store::spool::list(&fleet.store()).await.expect("the database answers");
    assert!(known.is_empty(), "what was emptied is forgotten: {known:?}");
    fleet.amqp_proxy().set(Fault::NONE);
    all_reflected(&fleet, &events).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operators_drain_that_is_killed_amid_its_rows_loses_and_doubles_nothing() {
    let mut fleet = builder().proxies().start().await;
    let events = Events::bind(fleet.amqp()).await;
    all_taken_without_broker(&fleet).await;
    fleet.gateway().kill();
    // a transaction sees pg_stat_activity as it was at its first look
    let (mut rival, mut onlooker) = (fleet.database().connect().await, fleet.database().connect().await);
    let mut held = rival.begin().await.expect("the database answers");
    sqlx::query("lock table muster.outbox in share mode").execute(&mut *held).await.expect("it is given");
    let mut draining = command(&fleet, &["drain"]).spawn().expect("the command starts");
    let waits = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'
                 and application_name = 'muster'";
    until(DEADLINE, async || match sqlx::query_scalar::<_, i64>(waits).fetch_one(&mut onlooker).await {
        Ok(1..) => Ok(()),
        other => Err(format!("{other:?} sessions wait")),
    })
    .await;
    draining.kill().and_then(|()| draining.wait()).expect("it runs still");
    held.rollback().await.expect("the database answers");
    let listed = muster(&fleet, &["list", "--limit", "1"]).await;
    assert!(listed.contains(&format!("{WEBHOOKS} wait, 0 set aside")), "{listed}");
    let drained = muster(&fleet, &["drain"]).await;
    assert!(drained.contains(&format!("{WEBHOOKS} handed over, 0 left, 0 set aside")), "{drained}");
    fleet.amqp_proxy().set(Fault::NONE);
    all_reflected(&fleet, &events).await;
}

/// `muster spool` on the fleet's folder.
fn command(fleet: &Fleet, arguments: &[&str]) -> Command {
    let folder = fleet.spool_folder().display().to_string();
    let mut all = vec!["spool", arguments[0], "--dir", &folder];
    all.extend(&arguments[1..]);
    let environment: Vec<(&str, &str)> =
        fleet.environment().iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let mut command = Command::new(binary("muster"));
    command.args(&all).env_clear().envs(environment);
    command
}

/// Runs it; everything that it said.
async fn muster(fleet: &Fleet, arguments: &[&str]) -> String {
    let mut command = command(fleet, arguments);
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("it does not panic");
    let output = output.expect("the command starts");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}
