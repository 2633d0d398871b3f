//! How time passes in the database, whose clock cannot be pushed.

use chrono::TimeDelta;
use tests::Fleet;

/// So much time passes: every stamp that is compared with the database's clock lies that much further back, and the slots of
/// the schedules with them, so that each comes after its own interval of simulated time. The stamps of facts are compared
/// among each other only, and stay.
pub(super) async fn passes(fleet: &Fleet, time: TimeDelta) {
    let (seconds, back) = (time.num_seconds(), format!("interval '{} s'", time.num_seconds()));
    let database = fleet.database();
    let agents = format!(
        "with due as (
             select tenant, integration_id, agent_id from muster.agent where refresh_not_before is not null
             order by tenant, integration_id, agent_id collate \"C\" for no key update
         )
         update muster.agent g set refresh_not_before = refresh_not_before - {back}
         from due where (g.tenant, g.integration_id, g.agent_id) = (due.tenant, due.integration_id, due.agent_id)"
    );
    // one transaction each: whoever works at the same time locks them in another order
    for sql in [
        format!("update muster.alert_poll set polled_at = polled_at - {back}"),
        format!("update muster.run_part set finished_at = finished_at - {back} where finished_at is not null"),
        format!("update muster.software_report set fetched_at = fetched_at - {back}, emptied_at = emptied_at - {back}"),
        // in the order in which every writer takes the rows of agents
        agents,
        format!("update muster.outbox set available_at = available_at - {back}"),
        // runs before schedules: a slot must be later than that of the run before
        format!("update muster.run set slot = slot - {back}"),
        format!(
            "update muster.schedule
             set next_due_at = next_due_at - {back}, last_slot = last_slot - {back},
                 failing_since = failing_since - {back}, attention_at = attention_at - {back},
                 phase_s = ((phase_s - {seconds}) % 604800 + 604800) % 604800"
        ),
    ] {
        database.execute(&sql).await;
    }
}
