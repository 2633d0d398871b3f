//! One request, in Django's order: faults, host, URL, slash, authentication, permission, method, body, view.

use std::net::SocketAddr;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::accounts::Role;
use super::routes::{AgentView, Need, Route};
use super::world::World;
use super::{actions, agents, alerts, beta, clients, core, faults, login, python, reply, software};

/// Requests larger than this are refused; Tactical's own limit is 300 MB, no request of ours comes near this one.
const BODY_BYTES_MAX: usize = 4 << 20;

/// What all requests, the sender and the control handle share.
#[derive(Debug)]
pub(super) struct Shared {
    world: Mutex<World>,
    /// How many webhooks have been finished.
    pub(super) finished: watch::Sender<u64>,
    /// Tells those that a fault holds to look whether it still does.
    pub(super) released: watch::Sender<()>,
    /// How many webhooks are sent at once; Tactical sends one.
    pub(super) lanes: Arc<AtomicUsize>,
}

impl Shared {
    pub(super) fn new(world: World) -> Self {
        Self {
            world: Mutex::new(world),
            finished: watch::Sender::new(0),
            released: watch::Sender::new(()),
            lanes: Arc::new(AtomicUsize::new(1)),
        }
    }

    /// The world; never held across an await.
    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a webhook that has been answered or given up.
    pub(super) fn webhook_finished(&self) {
        self.finished.send_modify(|count| *count += 1);
    }
}

/// A request that may be answered: who asks, for what.
pub(super) struct Call {
    pub(super) shared: Arc<Shared>,
    pub(super) method: Method,
    /// The query's pairs, decoded.
    pub(super) query: Vec<(String, String)>,
    /// The URL's scheme and host as Django sees them.
    pub(super) origin: String,
    pub(super) path: String,
    /// The JSON body; an empty object where there is none.
    pub(super) body: Value,
    /// The caller; empty where the view needs nobody.
    pub(super) user: String,
    pub(super) role: Role,
    /// The session token of the caller, where one was used.
    pub(super) token: Option<String>,
}

impl Call {
    /// A query parameter; of several the last, as Django takes it.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Answers any request outside `/_control/`.
pub(super) async fn handle(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let target = request.uri().path_and_query().map_or_else(String::new, ToString::to_string);
    let method = request.method().to_string();
    shared.world().traffic.arrived(&target);
    let fault = shared.world().take_fault(&target);
    let before = fault.clone();
    let response = match faults::instead(before, &shared).await {
        Some(response) => response,
        None => faults::spoil(fault, answer(Arc::clone(&shared), peer, request).await),
    };
    shared.world().traffic.note(method, target, response)
}

async fn answer(shared: Arc<Shared>, peer: SocketAddr, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let host = parts.headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or_default().to_owned();
    if !shared.world().host_allowed(&host) {
        return reply::wrong_host();
    }
    let path = parts.uri.path().to_owned();
    let beta_api = shared.world().config.beta;
    let Some(route) = Route::find(&path, beta_api) else {
        let with_slash = format!("{path}/");
        return match Route::find(&with_slash, beta_api) {
            Some(_) => {
                reply::moved(&parts.uri.query().map_or(with_slash.clone(), |query| format!("{with_slash}?{query}")))
            }
            None => reply::unknown_route(),
        };
    };
    let (user, token, role) = match admit(&shared, &route, &parts, peer) {
        Ok(admitted) => admitted,
        Err(response) => return *response,
    };
    let method = if parts.method == Method::HEAD { Method::GET } else { parts.method.clone() };
    if parts.method == Method::OPTIONS {
        return reply::ok(
            &json!({"name": "", "description": "", "renders": ["application/json"], "parses": ["application/json"]}),
        );
    }
    if !route.methods().split(", ").any(|allowed| allowed == method.as_str()) {
        return reply::not_allowed(parts.method.as_str(), route.methods());
    }
    let body = match read_body(&parts, body).await {
        Ok(body) => body,
        Err(response) => return *response,
    };
    let query = url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let call = Call { shared, method, query, origin: format!("http://{host}"), path, body, user, role, token };
    reply::with(view(route.clone(), call).await, axum::http::header::ALLOW, route.methods())
}

/// Who asks: (user, session token, role). An error is the answer, boxed because it is large.
type Admission = Result<(String, Option<String>, Role), Box<Response>>;

fn admit(shared: &Shared, route: &Route, parts: &Parts, peer: SocketAddr) -> Admission {
    let mut world = shared.world();
    let now = world.now();
    let need = route.need(parts.method.as_str());
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let caller = world.authenticate(header("authorization"), header("x-api-key"), now);
    match need {
        Need::Nobody => return Ok((String::new(), None, Role::default())),
        Need::Throttled(endpoint) => {
            // only anonymous callers are counted, by the whole forwarded header or else by the peer's address
            if !matches!(caller, Ok(Some(_))) {
                let client = header("x-forwarded-for").map_or_else(|| peer.ip().to_string(), str::to_owned);
                world.throttle.pass(&client, endpoint, now).map_err(|wait_s| Box::new(reply::throttled(wait_s)))?;
            }
            return Ok((String::new(), None, Role::default()));
        }
        Need::User | Need::May(_) | Need::Crash => {}
    }
    let caller = caller.map_err(|text| Box::new(reply::unauthenticated(text)))?;
    let Some((user, token)) = caller else {
        return Err(Box::new(reply::unauthenticated("Authentication credentials were not provided.")));
    };
    let role = world.accounts.role_of(&user).cloned().unwrap_or_default();
    match need {
        Need::Crash => Err(Box::new(reply::crash())),
        Need::May(permission) if !role.allows(permission) => Err(Box::new(reply::forbidden())),
        _ => Ok((user, token, role)),
    }
}

async fn read_body(parts: &Parts, body: Body) -> Result<Value, Box<Response>> {
    let refuse = |status, text: &str| Box::new(reply::detail(status, text));
    let bytes: Bytes = axum::body::to_bytes(body, BODY_BYTES_MAX)
        .await
        .map_err(|error| refuse(StatusCode::PAYLOAD_TOO_LARGE, &format!("reading the body: {error}")))?;
    if bytes.is_empty() || matches!(parts.method, Method::GET | Method::HEAD) {
        return Ok(json!({}));
    }
    let media = parts.headers.get("content-type").and_then(|media| media.to_str().ok()).unwrap_or_default();
    if !media.starts_with("application/json") {
        return Err(refuse(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            &format!("Unsupported media type \"{media}\" in request."),
        ));
    }
    serde_json::from_slice(&bytes).map_err(|_| {
        let text = String::from_utf8_lossy(&bytes);
        let reason =
            python::loads(&text, true).err().map_or_else(|| "unreadable".to_owned(), |error| error.to_string());
        refuse(StatusCode::BAD_REQUEST, &format!("JSON parse error - {reason}"))
    })
}

async fn view(route: Route, call: Call) -> Response {
    match route {
        Route::Home => reply::ok(&json!({"status": "ok"})),
        Route::Version => core::version(),
        Route::DashInfo => core::dash_info(),
        Route::UrlActions => core::url_actions(&call),
        Route::UrlActionTest => core::run_test(&call),
        Route::Scripts => core::scripts(),
        Route::AlertTemplates => core::alert_templates(&call),
        Route::Agents => agents::list(call),
        Route::Agent(id, AgentView::Itself) => agents::one(&id, &call),
        Route::Agent(id, view) => actions::act(&id, view, &call).await,
        Route::ChecksRun(id) => actions::run_checks(&id, &call).await,
        Route::Clients => clients::list(&call),
        Route::Client(id) => clients::one(id, &call),
        Route::Sites => clients::sites(&call),
        Route::Site(id) => clients::one_site(id, &call),
        Route::Software => software::list(call),
        Route::AgentSoftware(id) => software::one(&id, &call),
        Route::Alerts if call.method == Method::PATCH => alerts::list(call),
        Route::Alerts => alerts::create(&call),
        Route::AlertsBulk => alerts::bulk(&call),
        Route::Alert(id) => alerts::one(id, &call),
        Route::BetaAgents => beta::agents(call),
        Route::BetaAgentsJson => reply::crash(),
        Route::BetaAgent(id) => beta::agent(&id, &call),
        Route::BetaClients => beta::clients(&call),
        Route::BetaClient(id) => beta::client(&id, &call),
        Route::BetaSites => beta::sites(&call),
        Route::BetaSite(id) => beta::site(&id, &call),
        Route::CheckCreds => login::check_credentials(&call),
        Route::Login => login::login(&call),
        Route::Logout => login::logout(&call),
        Route::LogoutAll => login::logout_all(&call),
    }
}
