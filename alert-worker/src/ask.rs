//! Alerts that are asked for one by one: those that a list says are over, and those that no list can tell anything of.
//!
//! One that is answered oddly or late stands in nobody's way: it is left as it is, and a later run asks again.

use std::time::Duration;

use connection::Open;
use connection::failure::Error;
use futures_util::{StreamExt as _, stream};
use store::alert::OpenAlert;
use tactical::Wait;
use tokio::time::Instant;

use crate::absence;

/// Of the absent alerts so many are asked for one by one; they stand for all.
pub(crate) const SAMPLE_MAX: usize = 20;
/// Of the alerts whose agent is gone so many are asked for in one run; the others wait for the next.
pub(crate) const GONE_MAX: usize = 50;
/// Of the alerts whose place is not shown (hidden, or gone with its client) so many are asked for in one run.
pub(crate) const STRAYS_MAX: usize = 20;
/// How long a run asks for alerts one by one: a third of what a job may take, the rest of which is for its lists.
pub(crate) const ASKING_MAX: Duration = Duration::from_secs(10);
/// How long one alert is waited for.
const LOOK_TIME_MAX: Duration = Duration::from_secs(5);
/// Requests at once, as the gate has it.
const LOOKS_AT_ONCE: usize = 2;

/// What an alert turns out to be when it is asked for alone.
#[derive(Debug)]
enum Look {
    Over,
    Open,
    Hidden,
    Unanswered(Error),
}

/// Asks for a sample of what the list says is over; how many are not known to be over after all, which then are left: those
/// of the sample that the key does not see or that are not answered, and where that is all of it the others, too.
/// `listed`: how many open alerts the list has.
///
/// # Errors
/// [`Error::Doubtful`] where one of them is open; why there is no answer, where there is none at all.
pub(crate) async fn doubt(
    open: &Open,
    over: &mut Vec<OpenAlert>,
    listed: usize,
    ends: Instant,
) -> Result<usize, Error> {
    let looks = look_at(open, &over[..over.len().min(SAMPLE_MAX)], ends).await;
    judge(over, looks, listed)
}

fn judge(over: &mut Vec<OpenAlert>, mut looks: Vec<Look>, listed: usize) -> Result<usize, Error> {
    if let Some(place) = looks.iter().position(|look| matches!(look, Look::Open)) {
        let (number, absent) = (&over[place].external_alert_id, over.len());
        return Err(Error::Doubtful(format!(
            "Tactical lists {listed} open alerts and not the {absent} others that were open, but shows alert {number} of \
             these as open when asked for it alone: no alert was resolved by this list"
        )));
    }
    if looks.iter().all(|look| matches!(look, Look::Unanswered(_)))
        && let Some(Look::Unanswered(error)) = looks.pop()
    {
        return Err(error);
    }
    let is_told = looks.iter().any(|look| matches!(look, Look::Over));
    Ok(keep(over, &looks, is_told))
}

/// Asks for the first of these alerts and keeps what is over; how many are left out.
pub(crate) async fn keep_over(open: &Open, alerts: &mut Vec<OpenAlert>, asked_max: usize, ends: Instant) -> usize {
    let looks = look_at(open, &alerts[..alerts.len().min(asked_max)], ends).await;
    let unanswered = looks.iter().find_map(|look| match look {
        Look::Unanswered(error) => Some(error),
        _ => None,
    });
    if let Some(error) = unanswered {
        tracing::warn!(error = fault::chain(error), "whether some alerts are over is asked later");
    }
    keep(alerts, &looks, false)
}

/// Keeps what was found to be over, and what was not asked for if that `is_told` by the others; how many are left out.
fn keep(alerts: &mut Vec<OpenAlert>, looks: &[Look], is_told: bool) -> usize {
    let before = alerts.len();
    let mut looks = looks.iter();
    alerts.retain(|_| looks.next().map_or(is_told, |look| matches!(look, Look::Over)));
    before - alerts.len()
}

/// What each of these alerts is, in their order.
async fn look_at(open: &Open, alerts: &[OpenAlert], ends: Instant) -> Vec<Look> {
    let numbers: Vec<Option<i64>> = alerts.iter().map(absence::number).collect();
    let looks = stream::iter(numbers).map(|number| async move {
        // only numbered ones are asked for
        let Some(number) = number else { return Look::Hidden };
        let until = ends.min(Instant::now() + LOOK_TIME_MAX);
        tokio::time::timeout_at(until, look(open, number)).await.unwrap_or_else(|_| Look::Unanswered(late()))
    });
    looks.buffered(LOOKS_AT_ONCE).collect().await
}

fn late() -> Error {
    let after_ms = u64::try_from(LOOK_TIME_MAX.as_millis()).unwrap_or(u64::MAX);
    tactical::Error::Timeout { endpoint: "/alerts/{alert}/", wait: Wait::Total, after_ms }.into()
}

async fn look(open: &Open, number: i64) -> Look {
    match open.call(async |client| client.alert(number).await).await {
        Ok(alert) if alert.resolved == Some(true) => Look::Over,
        Ok(_) => Look::Open,
        // deleted, with its agent, or pruned; the page of a proxy says nothing of the kind
        Err(connection::Error::Tactical(error)) if error.is_no_such_object() => Look::Over,
        Err(connection::Error::Tactical(tactical::Error::Forbidden { .. })) => Look::Hidden,
        Err(error) => Look::Unanswered(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alerts(count: usize) -> Vec<OpenAlert> {
        let alert = |number: usize| OpenAlert {
            alert_id: uuid::Uuid::from_u128(number as u128),
            external_alert_id: number.to_string(),
            agent_id: None,
            alert_time: None,
            client_id: None,
            site_id: None,
            site_name: None,
        };
        (1..=count).map(alert).collect()
    }

    fn judged(count: usize, looks: Vec<Look>) -> Result<(usize, usize), String> {
        let mut over = alerts(count);
        let left = judge(&mut over, looks, 3).map_err(|error| error.to_string())?;
        Ok((over.len(), left))
    }

    #[test]
    fn a_sample_stands_for_the_others_only_where_some_of_it_is_known_to_be_over() {
        let mistake = || Look::Unanswered(Error::Doubtful("odd".to_owned()));
        // how many are absent, what the sample is found to be; how many are resolved and left
        let table = [
            ("none", 0, vec![], (0, 0)),
            ("all over", 5, vec![Look::Over, Look::Over], (5, 0)),
            ("one hidden", 5, vec![Look::Hidden, Look::Over], (4, 1)),
            ("one not answered", 5, vec![Look::Over, mistake()], (4, 1)),
            ("all hidden", 5, vec![Look::Hidden, Look::Hidden], (0, 5)),
            ("hidden or not answered", 5, vec![Look::Hidden, mistake()], (0, 5)),
        ];
        for (name, count, looks, expected) in table {
            assert_eq!(judged(count, looks), Ok(expected), "{name}");
        }
        assert_eq!(judged(5, vec![mistake(), mistake()]), Err("odd".to_owned()));
        let lie = judged(5, vec![Look::Over, Look::Open]).expect_err("one is open");
        assert!(lie.contains("not the 5 others that were open, but shows alert 2"), "{lie}");
    }

    #[test]
    fn what_was_not_asked_for_waits_where_nothing_stands_for_it() {
        let mut over = alerts(5);
        assert_eq!(keep(&mut over, &[Look::Over, Look::Hidden], false), 4);
        assert_eq!(over, alerts(1));
    }
}
