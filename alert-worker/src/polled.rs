//! What a row of Tactical's alerts says, as a fact about the alert. Pure.

use chrono::{DateTime, Utc};
use store::alert::{Details, Fact, Said, Severity, Snooze};
use tactical::Alert;
use uuid::Uuid;

use crate::place::Places;

/// Who asked, and when.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Whose connection.
    pub tenant: Uuid,
    /// Which connection.
    pub integration_id: Uuid,
    /// The database's clock before the request.
    pub at: DateTime<Utc>,
    /// The trace that asked.
    pub traceparent: Option<String>,
}

/// The least status of a webhook that was not taken: 300 and above. A script's exit code is below.
const REFUSED_MIN: i64 = 300;

/// The fact that a row is, within the bounds of the columns that it goes to.
#[must_use]
pub fn fact(alert: Alert, asked: &Asked, places: &Places) -> Fact {
    let said = if alert.resolved == Some(true) { Said::PolledClosed } else { Said::PolledOpen };
    let snooze = alert.snoozed.map(|is_snoozed| match alert.snooze_until {
        _ if !is_snoozed => Snooze::Off,
        Some(until) => Snooze::Until(until),
        None => Snooze::On,
    });
    let (client_id, site_id) = places.numbers(alert.client.as_deref(), alert.site.as_deref());
    let mut fact = Fact {
        number: Some(alert.id.to_string()),
        alert_time: alert.alert_time,
        details: Details {
            severity: alert.severity.as_deref().map(Severity::of),
            message: alert.message.filter(|message| !message.is_empty()),
            alert_type: alert.alert_type,
            check_id: alert.assigned_check.map(|check| check.to_string()),
            host_name: alert.hostname,
            client_id,
            site_id,
            snooze,
            hidden: alert.hidden,
        },
        ..bare(said, asked)
    };
    fact.agent_id = alert.agent_id.unwrap_or_default();
    // Tactical has the whole of it: what does not fit is worth no second copy
    fact.bound();
    fact
}

/// A fact that names no alert yet.
#[must_use]
pub fn bare(said: Said, asked: &Asked) -> Fact {
    Fact {
        tenant: asked.tenant,
        integration_id: asked.integration_id,
        said,
        at: asked.at,
        agent_id: String::new(),
        number: None,
        alert_time: None,
        needs_fetch: false,
        details: Details::default(),
        odd: Vec::new(),
        raw: Vec::new(),
        traceparent: asked.traceparent.clone(),
    }
}

/// When Tactical tried to call the webhook for an alert that opened, and could not; what it had to call may be somebody else's
/// receiver, too.
#[must_use]
pub fn undelivered_at(alert: &Alert) -> Option<DateTime<Utc>> {
    alert.action_run.filter(|_| alert.action_retcode.is_some_and(|code| code >= REFUSED_MIN))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn alert(more: &serde_json::Value) -> Alert {
        let mut row = json!({"id": 7, "hostname": "PC-7", "agent_id": "a".repeat(40), "client": "Acme", "site": "Main",
            "alert_time": "2026-11-22T02:18:20.612345Z", "alert_type": "check", "message": "disk", "snoozed": false,
            "resolved": false, "severity": "warning", "hidden": true, "assigned_check": 17});
        let row = row.as_object_mut().expect("it is an object");
        row.extend(more.as_object().expect("it is an object").clone());
        serde_json::from_value(row.clone().into()).expect("it is an alert")
    }

    fn asked() -> Asked {
        Asked { tenant: Uuid::nil(), integration_id: Uuid::nil(), at: Utc::now(), traceparent: None }
    }

    #[test]
    fn an_open_row_says_all_that_tactical_knows() {
        let told = fact(alert(&json!({})), &asked(), &Places::default());
        assert_eq!((told.said, told.number.as_deref()), (Said::PolledOpen, Some("7")));
        assert_eq!(told.alert_time.map(|time| time.timestamp_subsec_micros()), Some(612_345));
        let details = told.details;
        assert_eq!(details.severity, Some(Severity::Moderate));
        assert_eq!((details.check_id.as_deref(), details.hidden), (Some("17"), Some(true)));
        assert_eq!(details.snooze, Some(Snooze::Off));
    }

    #[test]
    fn a_snooze_and_its_end_are_told() {
        let snoozed = |more| fact(alert(&more), &asked(), &Places::default()).details.snooze;
        assert_eq!(snoozed(json!({"snoozed": true})), Some(Snooze::On));
        let until = snoozed(json!({"snoozed": true, "snooze_until": "2026-12-01T00:00:00Z"}));
        assert!(matches!(until, Some(Snooze::Until(_))), "{until:?}");
    }

    #[test]
    fn a_resolved_row_is_closed_and_one_without_an_agent_has_none() {
        let told = fact(alert(&json!({"resolved": true, "agent_id": null})), &asked(), &Places::default());
        assert_eq!((told.said, told.agent_id.as_str()), (Said::PolledClosed, ""));
    }

    #[test]
    fn a_row_that_is_too_long_is_cut_and_kept_without_its_bytes() {
        let told = fact(alert(&json!({"message": "x".repeat(100_000)})), &asked(), &Places::default());
        assert!(told.odd.is_empty() && told.details.message.is_some_and(|text| text.len() < 100_000));
    }

    #[test]
    fn only_a_refused_webhook_was_not_delivered() {
        let run = |more: serde_json::Value| undelivered_at(&alert(&more)).is_some();
        assert!(!run(json!({})), "never called");
        assert!(!run(json!({"action_run": "2026-11-22T02:18:21Z", "action_retcode": 202})));
        assert!(!run(json!({"action_run": "2026-11-22T02:18:21Z", "action_retcode": 1})), "a script's exit code");
        assert!(!run(json!({"action_run": "2026-11-22T02:18:21Z", "action_retcode": 299})));
        assert!(
            run(json!({"action_run": "2026-11-22T02:18:21Z", "action_retcode": 300})),
            "a redirect is not followed"
        );
        assert!(run(json!({"action_run": "2026-11-22T02:18:21Z", "action_retcode": 503})));
    }
}
