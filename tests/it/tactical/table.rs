//! The table: which call of the client each recorded answer belongs to, and what it makes of it.

use std::time::Duration;

use ::tactical::{AlertChange, AuthFault, Error};

/// A call of the client. Agents, alerts and clients are those of the recorded path, filters those of the recorded body.
#[derive(Debug, Clone)]
pub(crate) enum Call {
    Health,
    Version,
    FrontendVersion,
    Agents,
    Brief,
    Agent,
    BetaAgents,
    BetaProbe,
    BetaAgent,
    BetaClients,
    BetaClient,
    BetaSites(u16),
    BetaSite,
    Clients,
    Organization,
    Sites,
    History,
    Mesh,
    Command,
    RunScript,
    StartScript,
    Reboot,
    SoftwareOf,
    Alerts,
    Top,
    Alert,
    Change(AlertChange),
    Templates,
    UrlActions,
    Scripts,
    CheckCredentials,
    Login,
}

/// What comes of it.
#[derive(Debug)]
pub(crate) enum Is {
    /// A typed answer that agrees with the recorded body (`agrees`).
    Read,
    /// This error, the server's host written as `HOST`.
    Error(Error),
}

/// One number of a recording, fixture or both.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) number: &'static str,
    pub(crate) call: Call,
    pub(crate) is: Is,
    /// Whether the client asks exactly what was recorded; else the answer stands in for one that it could get.
    pub(crate) asks_the_same: bool,
}

fn read(number: &'static str, call: Call) -> Row {
    Row { number, call, is: Is::Read, asks_the_same: true }
}

fn fails(number: &'static str, call: Call, error: Error) -> Row {
    Row { number, call, is: Is::Error(error), asks_the_same: true }
}

/// The client never asks so: no slash, broken JSON, HEAD, `/api`, a missing field, a value of the wrong type …
fn instead(number: &'static str, call: Call, error: Error) -> Row {
    Row { number, call, is: Is::Error(error), asks_the_same: false }
}

fn host() -> String {
    "HOST".to_owned()
}

fn not_found(endpoint: &'static str, text: &str) -> Error {
    Error::NotFound { endpoint, text: text.to_owned() }
}

fn bad(endpoint: &'static str, status: u16, text: &str) -> Error {
    Error::BadRequest { endpoint, status, text: text.to_owned() }
}

fn crash(endpoint: &'static str) -> Error {
    Error::Server { endpoint, status: 500, after: None }
}

const AGENT: &str = "/agents/{agent}/";
const ALERT: &str = "/alerts/{alert}/";
const BETA: &str = "/beta/v1/agent/";
const BETA_AGENT: &str = "/beta/v1/agent/{agent}/";

/// Every row; a recorded file without one fails a test.
pub(crate) fn table() -> Vec<Row> {
    [server(), agents(), beta(), clients(), actions(), software(), alerts(), logins()].into_iter().flatten().collect()
}

fn server() -> Vec<Row> {
    let agents = "/agents/";
    let unknown = |endpoint| Error::NoSuchRoute { host: host(), endpoint };
    vec![
        read("001", Call::Health),
        read("002", Call::FrontendVersion),
        read("003", Call::Version),
        fails("007", Call::Agents, Error::Unauthorized(AuthFault::Missing)),
        fails("008", Call::Agents, Error::Unauthorized(AuthFault::Invalid)),
        fails("009", Call::Agents, Error::Unauthorized(AuthFault::Missing)),
        fails("014", Call::Agents, Error::Unauthorized(AuthFault::Expired)),
        fails("015", Call::Agents, Error::Unauthorized(AuthFault::Inactive)),
        fails("016", Call::Agents, Error::Forbidden { endpoint: agents }),
        fails("017", Call::Agents, Error::Forbidden { endpoint: agents }),
        read("018", Call::FrontendVersion),
        fails("020", Call::FrontendVersion, Error::HostNotAllowed { host: host() }),
        instead("023", Call::Agents, Error::Redirected { endpoint: agents, to: Some(agents.to_owned()) }),
        instead("025", Call::Version, unknown("/core/dashinfo/")),
        instead("026", Call::Alerts, bad("/alerts/", 400, "JSON parse error")),
        instead("030", Call::Agents, crash(agents)),
        instead("031", Call::Agents, unknown(agents)),
    ]
}

fn agents() -> Vec<Row> {
    vec![
        read("106", Call::Brief),
        read("107", Call::Agents),
        instead("110", Call::Agents, bad("/agents/", 400, "monitoring type does not exist")),
        read("111", Call::Agents),
        instead("112", Call::Agents, crash("/agents/")),
        read("114", Call::Brief),
        read("116", Call::Agent),
        read("117", Call::Agent),
        read("118", Call::Agent),
        fails("119", Call::Agent, not_found(AGENT, "No Agent matches the given query")),
        fails("121", Call::Agent, not_found(AGENT, "unknown route")),
        fails("122", Call::Agent, Error::Forbidden { endpoint: AGENT }),
        read("126", Call::History),
        read("132", Call::Mesh),
        read("134", Call::Mesh),
        read("147", Call::History),
    ]
}

fn beta() -> Vec<Row> {
    vec![
        fails("044", Call::BetaAgents, not_found(BETA, "Invalid page")),
        instead("059", Call::BetaAgents, bad(BETA, 400, "last_seen_range: Enter a valid date/time")),
        read("060", Call::BetaAgents),
        read("065", Call::BetaAgent),
        fails("066", Call::BetaAgent, not_found(BETA_AGENT, "No Agent matches the given query")),
        instead("067", Call::BetaAgent, not_found(BETA_AGENT, "Not found")),
        read("071", Call::BetaClients),
        read("072", Call::BetaClients),
        read("075", Call::BetaSites(3)),
        read("077", Call::BetaSite),
        read("078", Call::BetaSites(2)),
        fails("083", Call::BetaClient, Error::Forbidden { endpoint: "/beta/v1/client/{client}/" }),
        fails("085", Call::BetaProbe, Error::Forbidden { endpoint: BETA }),
        fails("086", Call::BetaProbe, Error::BetaOff),
        fails("087", Call::BetaAgents, Error::BetaOff),
    ]
}

fn clients() -> Vec<Row> {
    vec![
        read("088", Call::Clients),
        read("089", Call::Organization),
        fails("090", Call::Organization, not_found("/clients/{client}/", "No Client matches the given query")),
        read("091", Call::Clients),
        read("093", Call::Sites),
    ]
}

fn actions() -> Vec<Row> {
    let script = "/agents/{agent}/runscript/";
    vec![
        read("137", Call::Command),
        fails("138", Call::Command, Error::AgentAway),
        instead("139", Call::Command, crash("/agents/{agent}/cmd/")),
        read("141", Call::RunScript),
        read("142", Call::RunScript),
        read("143", Call::StartScript),
        fails("144", Call::RunScript, Error::AgentTimeout),
        fails("146", Call::RunScript, not_found(script, "No Script matches the given query")),
        read("148", Call::Reboot),
        fails("149", Call::Reboot, Error::AgentAway),
        fails("174", Call::Command, Error::NatsDown),
        fails("175", Call::RunScript, Error::NatsDown),
        // the server itself does not notice that this one is lost
        read("176", Call::StartScript),
        fails("177", Call::Reboot, Error::AgentAway),
        read("229", Call::Scripts),
    ]
}

fn software() -> Vec<Row> {
    vec![
        read("163", Call::SoftwareOf),
        read("164", Call::SoftwareOf),
        read("165", Call::SoftwareOf),
        fails("168", Call::SoftwareOf, not_found("/software/{agent}/", "No Agent matches the given query")),
    ]
}

fn alerts() -> Vec<Row> {
    let list = "/alerts/";
    let gone = || not_found(ALERT, "No Alert matches the given query");
    vec![
        instead("182", Call::Alerts, bad(list, 405, "Method \"GET\" not allowed")),
        read("183", Call::Top),
        read("185", Call::Alerts),
        read("187", Call::Alerts),
        read("188", Call::Alerts),
        instead("190", Call::Alerts, crash(list)),
        read("191", Call::Alerts),
        read("193", Call::Alerts),
        fails("195", Call::Top, Error::Forbidden { endpoint: list }),
        read("196", Call::Alert),
        read("197", Call::Alert),
        read("198", Call::Alert),
        read("199", Call::Alert),
        read("200", Call::Alert),
        fails("201", Call::Alert, gone()),
        read("206", Call::Change(AlertChange::Snooze { days: 3 })),
        instead(
            "207",
            Call::Change(AlertChange::Snooze { days: 3 }),
            bad(ALERT, 400, "Missing 'snoozed_days' when trying to snooze alert"),
        ),
        instead("209", Call::Change(AlertChange::Resolve), bad(ALERT, 400, "There was an error in the request data")),
        read("210", Call::Change(AlertChange::Resolve)),
        read("211", Call::Alert),
        fails("212", Call::Change(AlertChange::Resolve), gone()),
        instead("219", Call::Change(AlertChange::Resolve), crash(ALERT)),
        read("220", Call::Templates),
        read("223", Call::UrlActions),
    ]
}

fn logins() -> Vec<Row> {
    let (check, login) = ("/v2/checkcreds/", "/v2/login/");
    vec![
        read("243", Call::CheckCredentials),
        fails("244", Call::CheckCredentials, Error::BadCredentials),
        fails("246", Call::CheckCredentials, Error::BadCredentials),
        instead("247", Call::CheckCredentials, crash(check)),
        fails("248", Call::Login, Error::BadCredentials),
        fails("249", Call::Login, Error::BadCredentials),
        instead("250", Call::Login, crash(login)),
        fails("265", Call::Login, Error::Throttled { after: Some(Duration::from_secs(59)) }),
    ]
}
