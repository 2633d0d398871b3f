//! What a person enters in Tactical so that it calls us, and a new secret for it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use contract::webhook;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::hook::{self, Change, GRACE_S_MAX, Rotation};
use store::view::{self, TemplateFinding};
use utoipa::ToSchema;

use crate::call::{Call, Reply};
use crate::problem::Problem;
use crate::route::{NoBody, NoQuery, OptionalJson};

/// How Tactical is told to call us: two URL actions of type REST, method POST, used by an alert template.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Webhook {
    /// The URL of both actions.
    url: String,
    /// The header of both actions that holds the secret.
    header: &'static str,
    /// The body of the failure action.
    failure_body: &'static str,
    /// The body of the resolved action.
    resolved_body: &'static str,
    /// Whether there is a secret; it cannot be shown, only replaced.
    has_secret: bool,
    /// When the secret was set.
    rotated_at: Option<DateTime<Utc>>,
    /// The secret before is good until then.
    previous_valid_until: Option<DateTime<Utc>>,
    /// Mistakes in the templates that call, as their calls showed them.
    template_mistakes: Vec<TemplateMistake>,
    /// Calls that Tactical could not deliver, as the alerts that are open tell.
    undelivered: Undelivered,
}

/// Webhooks that did not arrive. Their alerts were read from Tactical instead.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Undelivered {
    /// Open alerts of which Tactical says that its call was refused, or reached nobody; whoever else its templates call
    /// counts, too.
    open_alerts: i32,
    /// When the last such call was made.
    last_at: Option<DateTime<Utc>>,
    /// When that was looked at: by the last reconciliation that came to its end.
    observed_at: Option<DateTime<Utc>>,
}

/// A mistake in a template.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TemplateMistake {
    mistake: String,
    first_seen_at: DateTime<Utc>,
    last_seen_at: DateTime<Utc>,
    seen_count: i64,
}

impl From<TemplateFinding> for TemplateMistake {
    fn from(found: TemplateFinding) -> Self {
        Self {
            mistake: found.finding,
            first_seen_at: found.first_seen_at,
            last_seen_at: found.last_seen_at,
            seen_count: found.seen_count,
        }
    }
}

/// How the secret is to be replaced.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rotate {
    /// How long the present secret stays good, in seconds, at most 31 days; 0 where it has leaked. Where absent, as long as
    /// whoever runs Muster has set: a day, unless they say otherwise.
    #[schema(minimum = 0, maximum = 2_678_400)]
    grace_s: Option<u64>,
    /// Also while the secret before the present one is still good, which then ends at once.
    #[serde(default)]
    force: bool,
}

/// A new secret; the only answer that holds one.
#[derive(Serialize, ToSchema)]
pub(crate) struct Rotated {
    url: String,
    header: &'static str,
    /// The secret; shown this once.
    secret: String,
    /// The secret before stays good until then.
    previous_valid_until: Option<DateTime<Utc>>,
}

/// `GET …/webhook`.
pub(crate) async fn get(call: Call, _: NoQuery, _: NoBody) -> Result<Reply<Webhook>, Problem> {
    let found = view::webhook(&call.app.store, call.tenant).await?.ok_or_else(Problem::not_connected)?;
    Ok(Reply::ok(Webhook {
        url: webhook::url(call.app.gateway_url.as_str(), call.tenant),
        header: webhook::HEADER,
        failure_body: webhook::FAILURE_BODY,
        resolved_body: webhook::RESOLVED_BODY,
        has_secret: found.rotated_at.is_some(),
        rotated_at: found.rotated_at,
        previous_valid_until: found.previous_valid_until,
        template_mistakes: found.findings.into_iter().map(TemplateMistake::from).collect(),
        undelivered: Undelivered {
            open_alerts: found.poll.undelivered,
            last_at: found.poll.undelivered_at,
            observed_at: found.poll.polled_at,
        },
    }))
}

/// `POST …/webhook/rotate`.
pub(crate) async fn rotate(
    call: Call,
    _: NoQuery,
    OptionalJson(asked): OptionalJson<Rotate>,
) -> Result<Reply<Rotated>, Problem> {
    if asked.grace_s.is_some_and(|grace_s| grace_s > GRACE_S_MAX) {
        let detail = format!("`grace_s` is a number of seconds from 0 to {GRACE_S_MAX} (31 days).");
        return Err(Problem::invalid(detail, "An old secret that is good for longer was not replaced."));
    }
    let found = view::webhook(&call.app.store, call.tenant).await?.ok_or_else(Problem::not_connected)?;
    let secret = SecretString::from(hook::generate_secret());
    let digest = hook::digest(call.app.pepper.expose_secret().as_bytes(), secret.expose_secret());
    let grace = asked.grace_s.map_or(call.app.webhook_grace, Duration::from_secs);
    let entry = call.entry("webhook.rotate", None, json!({ "grace_s": grace.as_secs(), "force": asked.force }));
    let rotation = Rotation { grace, is_forced: asked.force };
    let id = found.integration_id;
    let change = hook::rotate(&call.app.store, call.tenant, id, &digest, rotation, &entry).await?;
    let previous_valid_until = match change {
        Change::Rotated { previous_valid_until } => Some(previous_valid_until),
        Change::Created | Change::Unchanged => None,
        Change::UnderWay { previous_valid_until } => return Err(under_way(previous_valid_until)),
    };
    Ok(Reply::ok(Rotated {
        url: webhook::url(call.app.gateway_url.as_str(), call.tenant),
        header: webhook::HEADER,
        secret: secret.expose_secret().to_owned(),
        previous_valid_until,
    }))
}

fn under_way(until: DateTime<Utc>) -> Problem {
    let detail = format!(
        "A rotation is under way until {}: the secret before the present one is good until then, and may be the one that \
         Tactical sends.",
        until.format("%F %T UTC")
    );
    let remedy = "Enter the present secret in both URL actions in Tactical and wait until then, or send `force: true`, \
        which cuts the older secret off at once.";
    Problem::conflict(detail, remedy)
}
