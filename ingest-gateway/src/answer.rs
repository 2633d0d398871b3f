//! What a webhook is answered: a status and a few words of JSON, since Tactical keeps the answer in its alert.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use contract::alert_observed::TemplateMistake;
use serde_json::{Value, json};

use crate::parse::Rejected;

/// One answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// Why it is not 202, in one word of few.
    pub(crate) reason: &'static str,
    body: Value,
    retry_after_s: Option<u64>,
}

impl Answer {
    fn new(status: StatusCode, reason: &'static str, body: Value) -> Self {
        Self { status, reason, body, retry_after_s: None }
    }

    fn refused(status: StatusCode, reason: &'static str, error: &str) -> Self {
        Self::new(status, reason, json!({"accepted": false, "error": error}))
    }

    /// 202: the message is on the broker's disks, or on ours.
    pub(crate) fn accepted(event_id: &str, mistake: Option<TemplateMistake>, is_salvaged: bool) -> Self {
        let mut body = json!({"accepted": true, "event_id": event_id});
        if let Some(warning) = mistake.map(warning).or(is_salvaged.then_some(SALVAGED)) {
            body["warning"] = warning.into();
        }
        Self::new(StatusCode::ACCEPTED, "accepted", body)
    }

    /// 200: understood, and on purpose not recorded.
    pub(crate) fn not_recorded(reason: &'static str) -> Self {
        Self::new(StatusCode::OK, reason, json!({"accepted": true, "recorded": false, "reason": reason}))
    }

    /// 400: the address names no tenant.
    pub(crate) fn no_tenant() -> Self {
        let error = "the URL names no tenant: end it with ?tenant= and the tenant's UUID, as Muster shows it";
        Self::refused(StatusCode::BAD_REQUEST, "no_tenant", error)
    }

    /// 400: the body names no agent.
    pub(crate) fn rejected(rejected: Rejected) -> Self {
        Self::refused(StatusCode::BAD_REQUEST, rejected.reason(), rejected.text())
    }

    /// 401: unknown tenant, no secret, wrong secret: one text, so that nobody learns which tenants there are.
    pub(crate) fn unauthorized() -> Self {
        let error = "unknown tenant or wrong secret: check ?tenant= and the header X-Alga-Webhook-Secret";
        Self::refused(StatusCode::UNAUTHORIZED, "unauthorized", error)
    }

    /// 405.
    pub(crate) fn method_not_allowed() -> Self {
        Self::refused(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "set the URL action's method to POST")
    }

    /// 404.
    pub(crate) fn not_found() -> Self {
        Self::refused(StatusCode::NOT_FOUND, "not_found", "webhooks go to /api/webhooks/tacticalrmm?tenant=<uuid>")
    }

    /// 408: the body did not come in time.
    pub(crate) fn body_timeout() -> Self {
        Self::refused(StatusCode::REQUEST_TIMEOUT, "body_timeout", "the body did not come in time")
    }

    /// 400: the body broke off; seldom read by anybody.
    pub(crate) fn body_broken() -> Self {
        Self::refused(StatusCode::BAD_REQUEST, "body_broken", "the body broke off")
    }

    /// 413.
    pub(crate) fn too_large(bytes_max: usize) -> Self {
        let error = format!("the body is over {bytes_max} bytes: leave the output out of the template");
        Self::refused(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", &error)
    }

    /// 503: what is needed is away; nothing was recorded.
    pub(crate) fn unavailable(reason: &'static str, retry_after_s: u64) -> Self {
        let mut answer = Self::refused(StatusCode::SERVICE_UNAVAILABLE, reason, "not recorded, try again in a moment");
        answer.retry_after_s = Some(retry_after_s);
        answer
    }
}

/// What a sender of broken JSON is told.
const SALVAGED: &str = "broken JSON, only its ids were taken and a resolve in it is not final: leave texts out of the template, they may hold quotes";

fn warning(mistake: TemplateMistake) -> &'static str {
    match mistake {
        TemplateMistake::VerbatimEvent => {
            "\"event\" says trigger and resolve at once, recorded as open: \
             write \"trigger\" in the failure action and \"resolve\" in the resolved action"
        }
        TemplateMistake::NegatedResolve => {
            "\"event\" says not resolved, recorded as open: \
             write \"trigger\" in the failure action and \"resolve\" in the resolved action"
        }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let content_type = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        let mut response = (self.status, content_type, self.body.to_string()).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST, PUT, PATCH"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_is_short() {
        let mistakes = [TemplateMistake::VerbatimEvent, TemplateMistake::NegatedResolve];
        let mut answers = vec![
            Answer::no_tenant(),
            Answer::unauthorized(),
            Answer::method_not_allowed(),
            Answer::not_found(),
            Answer::too_large(usize::MAX),
            Answer::unavailable("broker", 5),
            Answer::not_recorded("test"),
        ];
        answers.extend(mistakes.map(|mistake| Answer::accepted(&"0".repeat(32), Some(mistake), true)));
        answers.push(Answer::accepted(&"0".repeat(32), None, true));
        for rejected in [Rejected::Empty, Rejected::Unreadable, Rejected::NotAnObject, Rejected::NoAgentId] {
            answers.push(Answer::rejected(rejected));
        }
        for answer in answers {
            let text = answer.body.to_string();
            assert!(text.len() <= 256 && !text.contains('\n'), "{} bytes: {text}", text.len());
        }
    }
}
