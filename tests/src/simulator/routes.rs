//! Which URL is which view, who may call it, and with which methods.

/// What can be asked of one agent under `/agents/<agent_id>/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AgentView {
    Itself,
    Cmd,
    RunScript,
    Reboot,
    Shutdown,
    Ping,
    History,
    Mesh,
}

/// A view of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    Home,
    Version,
    DashInfo,
    UrlActions,
    UrlActionTest,
    Scripts,
    Agents,
    Agent(String, AgentView),
    ChecksRun(String),
    Clients,
    Client(i64),
    Sites,
    Site(i64),
    Software,
    AgentSoftware(String),
    Alerts,
    AlertsBulk,
    AlertTemplates,
    Alert(i64),
    BetaAgents,
    BetaAgent(String),
    /// `/beta/v1/agent.json`, which crashes.
    BetaAgentsJson,
    BetaClients,
    BetaClient(String),
    BetaSites,
    BetaSite(String),
    CheckCreds,
    Login,
    Logout,
    LogoutAll,
}

/// What a caller needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Nothing.
    Nobody,
    /// Nothing, but anonymous callers are throttled.
    Throttled(&'static str),
    /// Any valid user.
    User,
    /// A permission of the role.
    May(&'static str),
    /// The permission class itself crashes (HEAD and OPTIONS where no agent is in the path).
    Crash,
}

/// Agent ids shorter than this are no agent ids: the URL is unknown.
const AGENT_ID_LETTERS_MIN: usize = 21;

impl Route {
    /// The view of a path with its slash; the beta views exist only where the beta API is enabled.
    pub(super) fn find(path: &str, beta: bool) -> Option<Self> {
        if path == "/beta/v1/agent.json" && beta {
            return Some(Self::BetaAgentsJson);
        }
        let inner = path.strip_prefix('/')?;
        if inner.is_empty() {
            return Some(Self::Home);
        }
        let parts: Vec<&str> = inner.strip_suffix('/')?.split('/').collect();
        let agent = |id: &str| (id.len() >= AGENT_ID_LETTERS_MIN).then(|| id.to_owned());
        let view = |id: &str, view| agent(id).map(|id| Self::Agent(id, view));
        Some(match parts.as_slice() {
            ["core", "version"] => Self::Version,
            ["core", "dashinfo"] => Self::DashInfo,
            ["core", "urlaction"] => Self::UrlActions,
            ["core", "urlaction", "run", "test"] => Self::UrlActionTest,
            ["scripts"] => Self::Scripts,
            ["agents"] => Self::Agents,
            ["agents", id] => view(id, AgentView::Itself)?,
            ["agents", id, "cmd"] => view(id, AgentView::Cmd)?,
            ["agents", id, "runscript"] => view(id, AgentView::RunScript)?,
            ["agents", id, "reboot"] => view(id, AgentView::Reboot)?,
            ["agents", id, "shutdown"] => view(id, AgentView::Shutdown)?,
            ["agents", id, "ping"] => view(id, AgentView::Ping)?,
            ["agents", id, "history"] => view(id, AgentView::History)?,
            ["agents", id, "meshcentral"] => view(id, AgentView::Mesh)?,
            ["checks", id, "run"] => Self::ChecksRun(agent(id)?),
            ["clients"] => Self::Clients,
            ["clients", "sites"] => Self::Sites,
            ["clients", "sites", id] => Self::Site(id.parse().ok()?),
            ["clients", id] => Self::Client(id.parse().ok()?),
            ["software"] => Self::Software,
            ["software", id] => Self::AgentSoftware(agent(id)?),
            ["alerts"] => Self::Alerts,
            ["alerts", "bulk"] => Self::AlertsBulk,
            ["alerts", "templates"] => Self::AlertTemplates,
            ["alerts", id] => Self::Alert(id.parse().ok()?),
            ["beta", "v1", "agent"] if beta => Self::BetaAgents,
            ["beta", "v1", "agent", id] if beta => Self::BetaAgent((*id).to_owned()),
            ["beta", "v1", "client"] if beta => Self::BetaClients,
            ["beta", "v1", "client", id] if beta => Self::BetaClient((*id).to_owned()),
            ["beta", "v1", "site"] if beta => Self::BetaSites,
            ["beta", "v1", "site", id] if beta => Self::BetaSite((*id).to_owned()),
            ["v2", "checkcreds"] => Self::CheckCreds,
            ["v2", "login"] => Self::Login,
            ["logout"] => Self::Logout,
            ["logoutall"] => Self::LogoutAll,
            _ => return None,
        })
    }

    /// What the caller of a method needs.
    pub(super) fn need(&self, method: &str) -> Need {
        let reading = matches!(method, "GET" | "HEAD" | "OPTIONS");
        let by_method = |list, manage| Need::May(if reading { list } else { manage });
        match self {
            Self::Home => Need::Nobody,
            Self::CheckCreds => Need::Throttled("checkcreds"),
            Self::Login => Need::Throttled("login"),
            Self::Version | Self::DashInfo | Self::Logout | Self::LogoutAll => Need::User,
            // the permission class of agents reads an agent id that is not in these paths
            Self::Agents | Self::BetaAgents | Self::BetaAgentsJson if matches!(method, "HEAD" | "OPTIONS") => {
                Need::Crash
            }
            Self::Agents | Self::BetaAgents | Self::BetaAgentsJson => Need::May("can_list_agents"),
            Self::BetaAgent(_) | Self::Agent(_, AgentView::Itself) if method == "DELETE" => {
                Need::May("can_uninstall_agents")
            }
            Self::BetaAgent(_) | Self::Agent(_, AgentView::Itself) => by_method("can_list_agents", "can_edit_agent"),
            Self::Agent(_, AgentView::Ping) => Need::May("can_list_agents"),
            Self::Agent(_, AgentView::Cmd) => Need::May("can_send_cmd"),
            Self::Agent(_, AgentView::RunScript) => Need::May("can_run_scripts"),
            Self::Agent(_, AgentView::Reboot | AgentView::Shutdown) => Need::May("can_reboot_agents"),
            Self::Agent(_, AgentView::History) => Need::May("can_list_agent_history"),
            Self::Agent(_, AgentView::Mesh) => Need::May("can_use_mesh"),
            Self::ChecksRun(_) => Need::May("can_run_checks"),
            Self::Clients | Self::Client(_) | Self::BetaClients | Self::BetaClient(_) => {
                by_method("can_list_clients", "can_manage_clients")
            }
            Self::Sites | Self::Site(_) | Self::BetaSites | Self::BetaSite(_) => {
                by_method("can_list_sites", "can_manage_sites")
            }
            Self::Software | Self::AgentSoftware(_) => by_method("can_list_software", "can_manage_software"),
            // the list is a PATCH, and only needs the right to list
            Self::Alerts if method == "PATCH" => Need::May("can_list_alerts"),
            Self::Alerts | Self::Alert(_) | Self::AlertsBulk => by_method("can_list_alerts", "can_manage_alerts"),
            Self::AlertTemplates => by_method("can_list_alerttemplates", "can_manage_alerttemplates"),
            Self::UrlActionTest => Need::May("can_run_urlactions"),
            Self::UrlActions => by_method("can_run_urlactions", "can_edit_core_settings"),
            Self::Scripts => by_method("can_list_scripts", "can_manage_scripts"),
        }
    }

    /// The methods that the simulator answers, as in the `Allow` header. Where the real server allows more (creating
    /// clients, deleting agents), the simulator says 405: nothing of Muster does that.
    pub(super) fn methods(&self) -> &'static str {
        match self {
            Self::Alerts => "POST, PATCH, OPTIONS",
            Self::Alert(_) => "GET, PUT, DELETE, HEAD, OPTIONS",
            Self::Agent(_, AgentView::Itself) | Self::BetaAgent(_) => "GET, PUT, HEAD, OPTIONS",
            Self::Agent(_, AgentView::Reboot) => "POST, PATCH, OPTIONS",
            Self::Agent(_, AgentView::Cmd | AgentView::RunScript | AgentView::Shutdown)
            | Self::ChecksRun(_)
            | Self::AlertsBulk
            | Self::UrlActionTest
            | Self::CheckCreds
            | Self::Login
            | Self::Logout
            | Self::LogoutAll => "POST, OPTIONS",
            _ => "GET, HEAD, OPTIONS",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_their_views_and_short_agent_ids_nowhere() {
        let id = "A".repeat(40);
        assert_eq!(Route::find("/", false), Some(Route::Home));
        assert_eq!(Route::find(&format!("/agents/{id}/cmd/"), false), Some(Route::Agent(id, AgentView::Cmd)));
        assert_eq!(Route::find("/agents/abc/", false), None);
        assert_eq!(Route::find("/agents", false), None, "without its slash");
        assert_eq!(Route::find("/clients/x/", false), None);
        assert_eq!(Route::find("/beta/v1/agent/", false), None, "the beta API is off");
        assert_eq!(Route::find("/beta/v1/agent/", true), Some(Route::BetaAgents));
        assert_eq!(Route::find("/api/beta/v1/agent/", true), None, "there is no /api prefix");
    }
}
