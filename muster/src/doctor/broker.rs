//! RabbitMQ: whether it can be reached, whether it is one that Muster runs on, and whether it lets this user in.

use ::broker::inspect::{self, Inspection, Refused, Server, TakesNothing};

use super::Patient;
use super::finding::{Finding, or_ok};

/// The oldest version, major and minor: at-least-once dead-lettering of quorum queues is new in it.
const VERSION_MIN: (u32, u32) = (3, 10);
/// What the connection is called in RabbitMQ's own list.
pub(super) const NAME: &str = "muster-doctor";

pub(super) async fn look(patient: &Patient<'_>) -> Vec<Finding> {
    let config = patient.broker;
    let server = match inspect::server(config).await {
        Ok(server) => server,
        Err(error) => {
            let remedy = "see that RabbitMQ runs and listens there, and that MUSTER_AMQP_URL names its host and port";
            return vec![Finding::wrong(error.to_string(), remedy).blocking()];
        }
    };
    let mut findings: Vec<Finding> = versions(&server).into_iter().collect();
    match Inspection::open(config, NAME).await {
        Ok(inspection) => {
            findings.extend(unwilling(&inspection).await);
            inspection.close().await;
        }
        Err(refused) => findings.push(entry(patient, &refused)),
    }
    if !config.amqp_url.is_private() {
        findings.push(Finding::warning(
            "the connection leaves this machine and is not encrypted",
            "switch TLS on at the broker and begin MUSTER_AMQP_URL with amqps://",
        ));
    }
    or_ok(findings, || format!("{} {} at {}", server.product, server.version, config.amqp_url))
}

fn versions(server: &Server) -> Option<Finding> {
    let Server { product, version } = server;
    if product != "RabbitMQ" {
        let line = format!("the broker is {product} {version}: quorum queues and their dead letters are RabbitMQ's");
        return Some(Finding::wrong(line, "let MUSTER_AMQP_URL name a RabbitMQ of 3.10 or newer"));
    }
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let number = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    (number < VERSION_MIN).then(|| {
        let line = format!("RabbitMQ {version}: Muster needs 3.10 or newer, which loses no dead letter");
        Finding::wrong(line, "upgrade RabbitMQ")
    })
}

fn entry(patient: &Patient<'_>, refused: &Refused) -> Finding {
    let (user, vhost) = patient.broker.amqp_url.user_and_vhost().unwrap_or_default();
    let remedy = match refused {
        Refused::Away(_) => "see RabbitMQ's log: it listens, and does not answer".to_owned(),
        Refused::Login(_) => format!("`rabbitmqctl authenticate_user {user}` tells whether the password is right"),
        Refused::Vhost(_) => format!(
            "`rabbitmqctl add_vhost {vhost}`, then `rabbitmqctl set_permissions -p {vhost} {user} '.*' '.*' '.*'`; a \
             vhost / is written %2f in MUSTER_AMQP_URL"
        ),
    };
    Finding::wrong(refused.to_string(), remedy).blocking()
}

async fn unwilling(inspection: &Inspection<'_>) -> Option<Finding> {
    match inspection.takes_nothing().await {
        Ok(why) => why.map(told),
        Err(error) => Some(told(TakesNothing::Unanswered(error.to_string()))),
    }
}

fn told(why: TakesNothing) -> Finding {
    let (line, remedy) = match why {
        TakesNothing::Alarm(reason) => (
            format!("the broker takes no messages: {reason}"),
            "`rabbitmqctl status` names the alarm: make room on its disk, or give it memory; it goes on by itself",
        ),
        TakesNothing::Unanswered(said) => (
            format!("the broker lets this user in, and confirms no message: {said}"),
            "see RabbitMQ's log, and whether its node hangs (`rabbitmqctl status`); restart it if it does",
        ),
    };
    Finding::wrong(line, remedy).blocking()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_judged_by_product_and_version() {
        for (product, version, is_good) in [
            ("RabbitMQ", "3.10.8", true),
            ("RabbitMQ", "3.13.0-rc.1", true),
            ("RabbitMQ", "4.1.2", true),
            ("RabbitMQ", "3.9.29", false),
            ("RabbitMQ", "", false),
            ("LavinMQ", "2.1.0", false),
        ] {
            let server = Server { product: product.to_owned(), version: version.to_owned() };
            assert_eq!(versions(&server).is_none(), is_good, "{product} {version}");
        }
    }

    #[test]
    fn only_an_alarm_is_told_as_one_and_what_was_said_stands_in_plain_words() {
        let alarm = told(TakesNothing::Alarm("low on disk".to_owned()));
        assert_eq!(alarm.line, "the broker takes no messages: low on disk");
        assert!(alarm.remedy.is_some_and(|remedy| remedy.contains("names the alarm")));
        let unanswered = told(TakesNothing::Unanswered("no answer in 5 ms".to_owned()));
        assert!(unanswered.line.ends_with("confirms no message: no answer in 5 ms"), "{}", unanswered.line);
        assert!(unanswered.remedy.is_some_and(|remedy| !remedy.contains("alarm") && remedy.contains("hangs")));
    }
}
