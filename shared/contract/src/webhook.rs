//! What Tactical is told about the webhook: where to send, with which header, and which bodies. AlgaPSA's names, so that an
//! existing template keeps working.

use uuid::Uuid;

/// Where the gateway takes webhooks.
pub const PATH: &str = "/api/webhooks/tacticalrmm";
/// The header that carries the secret.
pub const HEADER: &str = "X-Alga-Webhook-Secret";
/// The body of the failure action: ids and enums only, so that no value of a check can break the JSON.
pub const FAILURE_BODY: &str = r#"{"event":"trigger","alert_id":{{alert.id}},"alert_type":"{{alert.alert_type}}","severity":"{{alert.severity}}","agent_id":"{{agent.agent_id}}","client_id":{{client.id}},"site_id":{{site.id}},"alert_time":"{{alert.alert_time}}"}"#;
/// The body of the resolved action.
pub const RESOLVED_BODY: &str = r#"{"event":"resolve","alert_id":{{alert.id}},"alert_type":"{{alert.alert_type}}","severity":"{{alert.severity}}","agent_id":"{{agent.agent_id}}","client_id":{{client.id}},"site_id":{{site.id}},"alert_time":"{{alert.alert_time}}"}"#;

/// Where Tactical sends a tenant's webhooks; `gateway` is the gateway's URL from outside, without query.
#[must_use]
pub fn url(gateway: &str, tenant: Uuid) -> String {
    format!("{}{PATH}?tenant={tenant}", gateway.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_is_the_gateways_with_the_contracts_path() {
        for gateway in ["https://example.com/muster", "https://example.com/muster/"] {
            let expected = format!("https://example.com/muster/api/webhooks/tacticalrmm?tenant={}", Uuid::nil());
            assert_eq!(url(gateway, Uuid::nil()), expected);
        }
    }
}
