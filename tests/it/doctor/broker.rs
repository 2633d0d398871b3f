//! Of the broker: what is missing, differs, has no leader, is not bound or not allowed, and a broker in alarm.

use lapin::options::{BasicConsumeOptions, ExchangeDeclareOptions, ExchangeDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, ExchangeKind};
use store::testing::TestDatabase;
use tests::admin::Admin;
use tests::{DEADLINE, PrivateBroker, Vhost, until};

use super::{Report, Ward, look};

async fn channel(vhost: &Vhost) -> lapin::Channel {
    vhost.try_channel().await.expect("the broker answers")
}

#[tokio::test]
async fn a_queue_with_other_arguments_is_named_with_what_differs_and_the_command_that_mends_it() {
    let ward = Ward::new().await;
    ward.only("topology").await.is_well();
    ward.vhost.delete_queue("alert-worker.main").await;
    ward.vhost.declare_queue("alert-worker.main", FieldTable::default()).await;
    let report = ward.only("topology").await;
    report.says("topology", "wrong", "the queue alert-worker.main differs", "delete_queue alert-worker.main");
    report.says("topology", "wrong", "inequivalent arg 'x-dead-letter-exchange'", "");
    assert_eq!(report.of("topology").len(), 1, "{}", report.text);
}

#[tokio::test]
async fn messages_that_nobody_consumes_are_wrong_and_a_fleet_without_a_worker_is_left_alone() {
    let ward = Ward::new().await;
    let idle = ward.only("workers").await;
    idle.says("workers", "warning", "no sync-worker is there, and nothing waits", "--without sync-worker");
    assert_eq!((idle.code, idle.of("workers").len()), (Some(0), 3), "{}", idle.text);
    let sent = ward.vhost.publish("muster.work", "inventory-worker.bulk.x", BasicProperties::default(), b"{}");
    assert!(sent.await);
    let report = ward.only("workers").await;
    let left = "nobody consumes the queues of inventory-worker: 1 messages in inventory-worker.bulk wait";
    report.says("workers", "wrong", left, "start inventory-worker");
    let workers = ["alert-worker", "sync-worker", "inventory-worker"];
    let without: Vec<&str> = workers.into_iter().flat_map(|worker| ["--without", worker]).collect();
    ward.look(&[["--only", "workers"].as_slice(), &without].concat(), &[]).await.is_well();
    // whoever consumes one of its queues is there
    let consumer = channel(&ward.vhost).await;
    let consuming = consumer.basic_consume(
        "inventory-worker.suspect".into(),
        "".into(),
        BasicConsumeOptions::default(),
        FieldTable::default(),
    );
    let _consumer = consuming.await.expect("it is there");
    let report = ward.only("workers").await;
    report.says("workers", "warning", "inventory-worker runs, and nobody consumes 1 messages", "look again");
}

#[tokio::test]
async fn what_is_missing_is_named_in_one_line_and_is_not_made() {
    let ward = Ward::new().await;
    ward.vhost.delete_queue("sync-worker.bulk").await;
    let gone = channel(&ward.vhost).await;
    gone.exchange_delete("muster.events".into(), ExchangeDeleteOptions::default()).await.expect("it is there");
    for _ in 0..2 {
        let report = ward.only("topology").await;
        let missing = "missing: the exchange muster.events, the queue sync-worker.bulk";
        report.says("topology", "wrong", missing, "restart one gateway or worker");
        assert_eq!(report.of("topology").len(), 1, "{}", report.text);
    }
    ward.vhost.declare_topology(&ward.vhost.config()).await.expect("nothing is in its way");
    ward.only("topology").await.is_well();
}

#[tokio::test]
async fn an_exchange_of_another_type_is_named() {
    let ward = Ward::new().await;
    let channel = channel(&ward.vhost).await;
    channel.exchange_delete("muster.events".into(), ExchangeDeleteOptions::default()).await.expect("it is there");
    let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    let declared =
        channel.exchange_declare("muster.events".into(), ExchangeKind::Fanout, options, FieldTable::default());
    declared.await.expect("the name is free");
    let report = ward.only("topology").await;
    report.says("topology", "wrong", "the exchange muster.events differs", "delete exchange name=muster.events");
}

/// A dead letter that a queue of the doctor's own does not confirm is under way for ever, and 32 of them block their rung.
#[tokio::test]
async fn a_look_leaves_no_dead_letter_under_way() {
    let (database, broker) = (TestDatabase::create().await, PrivateBroker::start().await);
    broker.client().declare_topology(&broker.config()).await.expect("nothing is in its way");
    let servers = [("MUSTER_DATABASE_URL", database.url()), ("MUSTER_AMQP_URL", broker.client().url())];
    for _ in 0..5 {
        look(&["--only", "topology"], &servers).await.is_well();
    }
    until(DEADLINE, async || match broker.dead_letters().await {
        left if left == "[]" => Ok(()),
        left => Err(left),
    })
    .await;
}

#[tokio::test]
async fn a_missing_binding_is_named_for_every_kind_of_queue() {
    let ward = Ward::new().await;
    let mut rung = FieldTable::default();
    rung.insert("x-match".into(), AMQPValue::LongString("all-with-x".into()));
    rung.insert("x-muster-rung".into(), AMQPValue::LongString("5".into()));
    for (queue, exchange, key, arguments) in [
        ("inventory-worker.suspect", "muster.work", "inventory-worker.suspect.#", FieldTable::default()),
        ("muster.retry.5ms", "muster.retry", "", rung),
        ("muster.landing", "muster.landing", "", FieldTable::default()),
    ] {
        let unbinding = channel(&ward.vhost).await;
        unbinding.queue_unbind(queue.into(), exchange.into(), key.into(), arguments).await.expect("it is bound");
        let report = ward.only("topology").await;
        report.says("topology", "wrong", &format!("the queue {queue} has no binding"), "restart one gateway or worker");
        assert_eq!(report.of("topology").len(), 1, "{}", report.text);
        ward.vhost.declare_topology(&ward.vhost.config()).await.expect("nothing is in its way");
        ward.only("topology").await.is_well();
    }
}

/// A URL like the vhost's, of another user.
fn url_of(vhost: &Vhost, user: &str, password: &str) -> String {
    let mut url = url::Url::parse(vhost.url()).expect("it is a URL");
    url.set_username(user).expect("it has a host");
    url.set_password(Some(password)).expect("it has a host");
    url.to_string()
}

#[tokio::test]
async fn a_login_a_vhost_and_a_right_that_are_refused_are_told_apart_and_no_password_is_shown() {
    let ward = Ward::new().await;
    let (admin, user) = (Admin::from_env(), format!("doctor_{:016x}", rand::random::<u64>()));
    let vhost = url::Url::parse(ward.vhost.url()).expect("it is a URL").path().trim_start_matches('/').to_owned();
    // all but writing to the exchange of events
    admin
        .create_user(&user, "canary-5c1e", &vhost, [".*", "^(muster.(work|retry|landing|doctor).*|.*worker.*)$", ".*"])
        .await;
    let url = url_of(&ward.vhost, &user, "canary-5c1e");
    let report = |flags: &'static [&'static str], url: String| {
        let ward = &ward;
        async move { ward.look(flags, &[("MUSTER_AMQP_URL", &url)]).await }
    };
    let right = report(&["--only", "broker", "--only", "topology"], url.clone()).await;
    right.says("topology", "wrong", "lacks a right on the exchange muster.events", "rabbitmqctl set_permissions -p");
    let login = report(&["--only", "broker", "--only", "topology"], url_of(&ward.vhost, &user, "canary-wrong")).await;
    login.says("broker", "wrong", "refuses the login", &format!("authenticate_user {user}"));
    assert_eq!(login.of("topology"), [("skipped", "not looked at: see broker")]);
    let absent = report(&["--only", "broker"], format!("{url}-that-is-not-there")).await;
    absent.says("broker", "wrong", "refuses the vhost", "rabbitmqctl add_vhost");
    admin.delete_user(&user).await;
    for said in [right, login, absent] {
        assert!(!said.text.contains("canary"), "{}", said.text);
    }
}

#[tokio::test]
async fn a_broker_that_is_away_or_none_is_told() {
    let ward = Ward::new().await;
    let away = ward.look(&["--only", "broker"], &[("MUSTER_AMQP_URL", "amqp://u:canary@127.0.0.1:1/x")]).await;
    away.says("broker", "wrong", "cannot reach amqp://u:***@127.0.0.1:1/x", "RabbitMQ runs and listens");
    // PostgreSQL hangs up on who says such a thing
    let database = url::Url::parse(ward.database.url()).expect("it is a URL");
    let other = format!("amqp://u:canary@127.0.0.1:{}/x", database.port().unwrap_or(5432));
    let other = ward.look(&["--only", "broker"], &[("MUSTER_AMQP_URL", &other)]).await;
    other.says("broker", "wrong", "", "RabbitMQ runs and listens");
    assert!(!(away.text + &other.text).contains("canary"));
}

async fn private(broker: &PrivateBroker, check: &str) -> Report {
    let urls = [("MUSTER_AMQP_URL", broker.client().url()), ("MUSTER_DATABASE_URL", "postgres://nobody@127.0.0.1:1/x")];
    look(&["--only", check], &urls).await
}

#[tokio::test]
async fn a_queue_without_a_leader_is_named_with_the_command_that_mends_it_and_so_is_an_alarm() {
    let broker = PrivateBroker::start().await;
    broker.client().declare_topology(&broker.config()).await.expect("nothing is in its way");
    private(&broker, "topology").await.is_well();
    // a worker that consumes it makes it look no better
    let worker = broker.client().try_channel().await.expect("the broker answers");
    let options = BasicConsumeOptions::default();
    let consuming = worker.basic_consume("alert-worker.bulk".into(), "".into(), options, FieldTable::default());
    let _consumer = consuming.await.expect("it is there");
    private(&broker, "topology").await.is_well();
    broker.take_leader("alert-worker.bulk").await;
    let report = private(&broker, "topology").await;
    let remedy = "delete_queue alert-worker.bulk";
    report.says("topology", "wrong", "the queue alert-worker.bulk has no leader", remedy);
    assert_eq!(report.of("topology").len(), 1, "{}", report.text);
    // the remedy
    broker.delete_queue("alert-worker.bulk").await;
    broker.client().declare_topology(&broker.config()).await.expect("nothing is in its way");
    private(&broker, "topology").await.is_well();

    broker.alarm_on().await;
    // the node raises it a moment later
    until(DEADLINE, async || match private(&broker, "broker").await {
        report if report.code == Some(1) => {
            report.says("broker", "wrong", "takes no messages: low on memory", "rabbitmqctl status");
            Ok(())
        }
        report => Err(report.text),
    })
    .await;
}

#[tokio::test]
async fn a_missing_feature_flag_is_told_with_the_command_that_switches_it_on() {
    let broker = PrivateBroker::start_without_feature_flags().await;
    let report = private(&broker, "topology").await;
    let (finding, remedy) = ("no quorum queue can be declared", "rabbitmqctl enable_feature_flag quorum_queue");
    report.says("topology", "wrong", finding, remedy);
    broker.enable_feature_flags().await;
    broker.client().declare_topology(&broker.config()).await.expect("nothing is in its way");
    private(&broker, "topology").await.is_well();
}
