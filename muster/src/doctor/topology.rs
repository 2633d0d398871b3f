//! Every exchange, queue and binding: there, with the type and arguments that a program would declare, and answering.

use ::broker::inspect::{self, Inspection, Thing, Trouble};
use contract::topology::LANDING;

use super::Patient;
use super::broker::NAME;
use super::finding::{Finding, or_ok};

pub(super) async fn look(patient: &Patient<'_>) -> anyhow::Result<Vec<Finding>> {
    let mut inspection = Inspection::open(patient.broker, NAME).await?;
    let topology = inspection.topology().await?;
    let mut findings: Vec<Finding> = Vec::new();
    if topology.findings.iter().any(|it| it.trouble == Trouble::Missing && matches!(it.thing, Thing::Queue(_)))
        && let Some(trouble) = inspection.quorum().await?
    {
        findings.push(undeclarable(&trouble));
    }
    inspection.close().await;
    findings.extend(missing(&topology.findings));
    findings.extend(topology.findings.iter().filter_map(|it| told(patient, it)));
    if let Some(trouble) = &topology.bindings_unknown {
        findings.push(Finding::warning(
            format!("whether the queues are bound is not known: {}", trouble),
            "give this user the right to configure, write and read queues that begin with `muster.doctor.`",
        ));
    }
    if topology.not_asked > 0 {
        let line = format!("{} further queues were not asked, since these did not answer", topology.not_asked);
        findings.push(Finding::warning(line, "mend these, then `muster doctor --only topology`"));
    }
    Ok(or_ok(findings, || format!("{} exchanges and queues are as they should be", topology.seen)))
}

fn undeclarable(trouble: &Trouble) -> Finding {
    let remedy = match trouble {
        Trouble::NotAllowed(_) => "give this user the right to configure queues that begin with `muster.doctor.`",
        _ => "`rabbitmqctl enable_feature_flag quorum_queue` on one node, while all of them run",
    };
    Finding::wrong(format!("no quorum queue can be declared: {}", trouble), remedy)
}

/// One line for all that is missing: where nothing was ever declared that is all of it.
fn missing(found: &[inspect::Finding]) -> Option<Finding> {
    let names: Vec<String> =
        found.iter().filter(|it| it.trouble == Trouble::Missing).map(|it| named(&it.thing)).collect();
    (!names.is_empty()).then(|| {
        Finding::wrong(
            format!("missing: {}", names.join(", ")),
            "restart one gateway or worker: each declares what is missing when it connects; of delay queues \
             (muster.retry.…) see that MUSTER_RETRY_BASE_MS is the same everywhere",
        )
    })
}

fn named(thing: &Thing) -> String {
    match thing {
        Thing::Exchange(name) => format!("the exchange {name}"),
        Thing::Queue(name) => format!("the queue {name}"),
    }
}

fn told(patient: &Patient<'_>, it: &inspect::Finding) -> Option<Finding> {
    let (user, vhost) = patient.broker.amqp_url.user_and_vhost().unwrap_or_default();
    let (what, said) = (named(&it.thing), &it.trouble);
    let delete = match &it.thing {
        Thing::Exchange(name) => format!("`rabbitmqadmin -V {vhost} delete exchange name={name}`"),
        Thing::Queue(name) => format!("`rabbitmqctl -p {vhost} delete_queue {name}`"),
    };
    let (line, remedy) = match &it.trouble {
        Trouble::Missing => return None,
        Trouble::Unbound if it.thing == Thing::Queue(LANDING.to_owned()) => (
            format!("{what} has no binding: dead letters and what has no queue get stuck, or lost"),
            "restart one gateway or worker: each binds its queues when it connects".to_owned(),
        ),
        Trouble::Unbound => (
            format!("{what} has no binding: its messages land in muster.parked"),
            "restart one gateway or worker: each binds its queues when it connects".to_owned(),
        ),
        Trouble::Differs(_) => (
            format!("{what} differs from what the programs declare, so none of them starts: {said}"),
            format!("let it run empty, then {delete}: the programs that wait declare it anew by themselves"),
        ),
        Trouble::NotAllowed(_) => (
            format!("the user {user} lacks a right on {what}: {said}"),
            format!("`rabbitmqctl set_permissions -p {vhost} {user} '.*' '.*' '.*'`"),
        ),
        Trouble::Silent(_) => (
            format!("{what} has no leader, and holds up whoever uses it: {said}"),
            format!(
                "start the nodes of the cluster that are down, or restart RabbitMQ; where it stays, {delete} with what \
                 is in it, and restart one gateway or worker, which declares it anew"
            ),
        ),
        Trouble::Odd(_) => (format!("{what} cannot be looked at: {said}"), "see RabbitMQ's log".to_owned()),
    };
    Some(Finding::wrong(line, remedy))
}
