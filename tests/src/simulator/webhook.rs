//! Renders and sends webhooks as Tactical does: one by one, eight seconds, never a second time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use reqwest::header::{HeaderName, HeaderValue};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::alert::{ActionRun, Alert};
use super::config::UrlAction;
use super::ledger::{Occasion, SentWebhook};
use super::presence::Agent;
use super::server::Shared;
use super::subjects::Context;
use super::template;
use super::world::World;

/// `requests` follows this many.
const REDIRECTS_MAX: usize = 30;
/// What the receiver's answer is cut to before it is stored in the alert.
const STDOUT_BYTES_MAX: usize = 64 * 1024;

/// A webhook that waits for its turn.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) sequence: u64,
    generation: u32,
    alert_id: Option<i64>,
    occasion: Occasion,
    request: Rendered,
}

/// A request as it goes out.
#[derive(Debug, Clone)]
pub(super) struct Rendered {
    pub(super) url: String,
    method: String,
    user_agent: &'static str,
    headers: Vec<(String, String)>,
    pub(super) body: Option<String>,
}

/// Renders an action; an error means that Tactical sends nothing and stores 500.
pub(super) fn render(action: &UrlAction, context: &Context<'_>) -> Result<Rendered, String> {
    let url = template::requote(&template::render(&action.pattern, context));
    let headers_text = template::render(&action.headers, context);
    let bodyless = ["get", "delete"].contains(&action.method.as_str());
    let body = if bodyless {
        None
    } else {
        Some(template::body(&template::render(&action.body, context)).ok_or("the body is null")?)
    };
    let (user_agent, headers) = if headers_text.is_empty() {
        ("python-urllib3/2.7.0", Vec::new())
    } else {
        ("python-requests/2.34.0", header_pairs(&headers_text)?)
    };
    Ok(Rendered { url, method: action.method.clone(), user_agent, headers, body })
}

/// The header object in its own order; anything but an object of strings sends nothing.
fn header_pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    use super::python::{Value, loads};
    let Value::Dict(pairs) = loads(text, false).map_err(|error| error.to_string())? else {
        return Err("the headers are not an object".to_owned());
    };
    pairs
        .into_iter()
        .map(|(name, value)| match value {
            Value::Text(value) => Ok((String::from_utf16_lossy(&name), String::from_utf16_lossy(&value))),
            _ => Err(format!("header {} must be a string", String::from_utf16_lossy(&name))),
        })
        .collect()
}

impl World {
    /// Queues the webhook of an occasion; `alert_id` is absent for a test run.
    pub(super) fn call(&mut self, occasion: Occasion, alert_id: Option<i64>, agent: &Agent, at: DateTime<Utc>) {
        let Some(settings) = self.webhook.as_ref() else { return };
        let action = if occasion == Occasion::Resolved { &settings.resolved } else { &settings.failure };
        let Some(action) = action.clone() else { return };
        let globals = settings.globals.clone();
        // what cannot be rendered is already in the alert and the ledger, as Tactical stores it
        if let Err(error) = self.call_action(&action, &globals, occasion, alert_id, agent, at) {
            tracing::debug!(error, "a URL action was not sent");
        }
    }

    /// Queues any action, as "test run" does with one that is not saved.
    pub(super) fn call_action(
        &mut self,
        action: &UrlAction,
        globals: &BTreeMap<String, String>,
        occasion: Occasion,
        alert_id: Option<i64>,
        agent: &Agent,
        at: DateTime<Utc>,
    ) -> Result<Rendered, String> {
        let alert = alert_id.and_then(|id| self.alerts.get(&id));
        let run = alert.and_then(|alert| self.runs.get(&(agent.machine.pk, alert.source)));
        let rendered = render(action, &Context { alert, agent, run, globals });
        let entry = SentWebhook {
            sequence: 0,
            generation: self.generation,
            occasion,
            alert_id,
            agent_id: agent.machine.agent_id.clone(),
            url: rendered.as_ref().map_or_else(|_| action.pattern.clone(), |request| request.url.clone()),
            body: rendered.as_ref().ok().and_then(|request| request.body.clone()),
            queued_at: at,
            finished_at: None,
            status: None,
            error: None,
        };
        let sequence = self.ledger.queue(entry, self.config.ledger_webhooks_max);
        match &rendered {
            Ok(request) => {
                let outgoing =
                    Outgoing { sequence, generation: self.generation, alert_id, occasion, request: request.clone() };
                // the sender only goes away when the whole simulator does
                self.outgoing.send(outgoing).ok();
            }
            Err(error) => self.finish(
                sequence,
                self.generation,
                alert_id,
                occasion,
                &Answer::failed(error.clone(), Duration::ZERO),
            ),
        }
        rendered
    }

    /// Stores how a webhook ended: in the ledger, and in the alert as Tactical does.
    fn finish(&mut self, sequence: u64, generation: u32, alert_id: Option<i64>, occasion: Occasion, answer: &Answer) {
        let now = self.now();
        self.ledger.finish(sequence, now, &answer.outcome);
        let Some(id) = alert_id.filter(|_| generation == self.generation) else { return };
        let run = ActionRun {
            run: now,
            stdout: answer.text.clone(),
            retcode: answer.outcome.as_ref().map_or(500, |status| i64::from(*status)),
            seconds: format!("{:.4}", answer.took.as_secs_f64()),
        };
        self.edit(id, |alert: &mut Alert| {
            if occasion == Occasion::Resolved { alert.resolved_action = Some(run) } else { alert.action = Some(run) }
        });
    }
}

/// What came back.
struct Answer {
    outcome: Result<u16, String>,
    text: String,
    took: Duration,
}

impl Answer {
    fn failed(error: String, took: Duration) -> Self {
        Self { text: error.clone(), outcome: Err(error), took }
    }
}

/// Sends what comes, one by one, or `lanes` at once where a load test opened more, until told to stop.
pub(super) async fn send_all(
    mut queue: UnboundedReceiver<Outgoing>,
    shared: Arc<Shared>,
    lanes: Arc<AtomicUsize>,
    stop: CancellationToken,
) {
    // Tactical never keeps a connection: every call is a fresh session
    let timeout = Duration::from_millis(shared.world().config.webhook_timeout_ms);
    let client = reqwest::Client::builder()
        .no_proxy()
        .http1_title_case_headers()
        .pool_max_idle_per_host(0)
        .connect_timeout(timeout)
        .redirect(reqwest::redirect::Policy::limited(REDIRECTS_MAX))
        .build()
        .expect("the client's settings are constant and valid");
    let mut under_way = JoinSet::new();
    loop {
        while under_way.len() >= lanes.load(Ordering::Relaxed).max(1) {
            under_way.join_next().await;
        }
        let next = tokio::select! {
            next = queue.recv() => next,
            () = stop.cancelled() => None,
        };
        let Some(outgoing) = next else { return };
        let (client, shared) = (client.clone(), Arc::clone(&shared));
        under_way.spawn(async move {
            let started = Instant::now();
            let answer = post(&client, &outgoing.request, timeout, started).await;
            shared.world().finish(
                outgoing.sequence,
                outgoing.generation,
                outgoing.alert_id,
                outgoing.occasion,
                &answer,
            );
            shared.webhook_finished();
        });
    }
}

async fn post(client: &reqwest::Client, request: &Rendered, timeout: Duration, started: Instant) -> Answer {
    let prepared = match prepare(client, request, timeout) {
        Ok(prepared) => prepared,
        Err(error) => return Answer::failed(error, started.elapsed()),
    };
    let result = async {
        let response = client.execute(prepared).await.map_err(|error| words(&error))?;
        let status = response.status().as_u16();
        let text = response.text().await.map_err(|error| words(&error))?;
        Ok::<_, String>((status, text))
    }
    .await;
    match result {
        Ok((status, mut text)) => {
            text.truncate(text.floor_char_boundary(STDOUT_BYTES_MAX));
            Answer { outcome: Ok(status), text, took: started.elapsed() }
        }
        Err(error) => Answer::failed(error, started.elapsed()),
    }
}

/// The request with its headers in Python's order: the library's own first, the action's after them. GET and DELETE
/// have no timeout; for the others it covers the whole call, where Python counts each read.
fn prepare(client: &reqwest::Client, request: &Rendered, timeout: Duration) -> Result<reqwest::Request, String> {
    let method = request.method.to_uppercase().parse::<reqwest::Method>().map_err(|error| error.to_string())?;
    let url: url::Url = request.url.parse().map_err(|error| format!("invalid URL '{}': {error}", request.url))?;
    let mut host = url.host_str().unwrap_or_default().to_owned();
    if let Some(port) = url.port() {
        host.push_str(&format!(":{port}"));
    }
    let mut builder = client.request(method, url).header("host", host).header("user-agent", request.user_agent);
    if request.user_agent.starts_with("python-requests") {
        builder = builder
            .header("accept-encoding", "gzip, deflate, br")
            .header("accept", "*/*")
            .header("connection", "keep-alive");
    } else {
        builder = builder.header("accept-encoding", "identity");
    }
    let mut prepared = match &request.body {
        Some(body) => builder.body(body.clone()).timeout(timeout),
        None => builder,
    }
    .build()
    .map_err(|error| words(&error))?;
    for (name, value) in &request.headers {
        let name: HeaderName = name.parse().map_err(|_| format!("invalid header name '{name}'"))?;
        let value: HeaderValue = value.parse().map_err(|_| format!("invalid value of header '{name}'"))?;
        prepared.headers_mut().insert(name, value);
    }
    Ok(prepared)
}

/// An error with its causes on one line.
fn words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        words.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    words
}
