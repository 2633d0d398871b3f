//! Which agents will call us: each agent's alert template, each template's two actions, each action's address and header.
//!
//! Tactical sends a webhook only where an agent falls under a template whose actions are URL actions of ours. An agent
//! counts as covered when its template calls for failures *and* for what is resolved.

mod judge;

use std::collections::BTreeMap;

use secrecy::ExposeSecret as _;
use serde::Serialize;
use store::{connection, hook};
use tactical::{AgentFilter, AgentRow};
use utoipa::ToSchema;

use crate::call::{Call, Reply};
use crate::problem::Problem;
use crate::route::{NoBody, NoQuery};
use judge::{Judged, Ours};

/// Agents that are named; a person mends the template, not each agent.
const NAMED_MAX: usize = 100;

/// Which agents will call.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Coverage {
    /// “412 of 430 agents will call you.”
    sentence: String,
    agents: usize,
    /// Those whose template calls us for failures and for what is resolved.
    covered: usize,
    /// Those that fall under no template.
    without_template: usize,
    /// The templates that agents fall under, and those that call us.
    templates: Vec<Template>,
    /// URL actions that call us in a wrong way, or nearly.
    actions: Vec<Action>,
    /// Some of the agents that will not call, at most 100.
    uncovered: Vec<Uncovered>,
}

/// A template.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Template {
    name: String,
    /// Agents that fall under it.
    agents: usize,
    /// Whether it calls us for failures and for what is resolved.
    is_ours: bool,
    /// What is wrong with it, a sentence each.
    problems: Vec<String>,
}

/// A URL action.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Action {
    name: String,
    /// What is wrong with it, a sentence each.
    problems: Vec<String>,
}

/// An agent that will not call.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Uncovered {
    agent_id: String,
    hostname: Option<String>,
    client_name: Option<String>,
    /// The template that it falls under; null: none.
    template: Option<String>,
}

/// `GET …/coverage`. Asks Tactical, which takes a while for a large fleet.
pub(crate) async fn get(call: Call, _: NoQuery, _: NoBody) -> Result<Reply<Coverage>, Problem> {
    let found = connection::find(&call.app.store, call.tenant).await?.ok_or_else(Problem::not_connected)?;
    let hook = hook::find(&call.app.store, call.tenant).await?;
    let ours = Ours {
        url: contract::webhook::url(call.app.gateway_url.as_str(), call.tenant),
        tenant: call.tenant,
        digests: hook
            .into_iter()
            .flat_map(|hook| [Some(hook.digest), hook.previous.map(|(digest, _)| digest)])
            .flatten()
            .collect(),
        pepper: call.app.pepper.expose_secret().as_bytes().to_vec(),
    };
    let open = call.app.connections.open(call.tenant, found.integration_id).await?;
    let mut missing = Vec::new();
    let templates = open.call(|client| async move { client.alert_templates().await }).await;
    let templates = unless_forbidden("can_list_alerttemplates", templates, &mut missing)?;
    let actions = open.call(|client| async move { client.url_actions().await }).await;
    let actions = unless_forbidden("can_run_urlactions", actions, &mut missing)?;
    let agents = open.call(|client| async move { client.agents(&AgentFilter::default()).await }).await;
    let agents = unless_forbidden("can_list_agents", agents, &mut missing)?;
    let (Some(templates), Some(actions), Some(agents)) = (templates, actions, agents) else {
        return Err(Problem::tactical_forbids("the coverage", &missing));
    };
    let judged = judge::judge(&templates, &actions, &ours);
    Ok(Reply::ok(count(agents, judged).await?))
}

/// What Tactical answered; `None`: the role lacks the permission of this name, which is noted.
fn unless_forbidden<T>(
    permission: &'static str,
    answer: Result<T, ::connection::Error>,
    missing: &mut Vec<&'static str>,
) -> Result<Option<T>, Problem> {
    match answer {
        Err(::connection::Error::Tactical(tactical::Error::Forbidden { .. })) => {
            missing.push(permission);
            Ok(None)
        }
        answer => Ok(Some(answer?)),
    }
}

/// Reads every agent and looks its template up; only what is shown is kept.
async fn count(mut agents: tactical::Stream<AgentRow>, mut judged: Judged) -> Result<Coverage, Problem> {
    let mut counted = Counted::default();
    while let Some(agent) = agents.next().await {
        let agent = agent.map_err(::connection::Error::from)?;
        counted.add(agent, &judged);
    }
    judged.templates.retain(|name, template| template.is_ours() || counted.by_template.contains_key(name));
    let templates = judged.templates.into_iter().map(|(name, template)| Template {
        agents: counted.by_template.get(&name).copied().unwrap_or_default(),
        is_ours: template.is_ours(),
        problems: template.problems,
        name,
    });
    let actions = judged.actions.into_iter().map(|(name, problems)| Action { name, problems });
    Ok(Coverage {
        sentence: format!("{} of {} agents will call you.", counted.covered, counted.agents),
        agents: counted.agents,
        covered: counted.covered,
        without_template: counted.without_template,
        templates: templates.collect(),
        actions: actions.collect(),
        uncovered: counted.uncovered,
    })
}

#[derive(Default)]
struct Counted {
    agents: usize,
    covered: usize,
    without_template: usize,
    by_template: BTreeMap<String, usize>,
    uncovered: Vec<Uncovered>,
}

impl Counted {
    fn add(&mut self, agent: AgentRow, judged: &Judged) {
        self.agents += 1;
        let template = agent.alert_template.and_then(|template| template.name);
        match &template {
            None => self.without_template += 1,
            Some(name) => *self.by_template.entry(name.clone()).or_default() += 1,
        }
        let is_covered = template.as_ref().and_then(|name| judged.templates.get(name)).is_some_and(|it| it.is_ours());
        if is_covered {
            self.covered += 1;
        } else if self.uncovered.len() < NAMED_MAX {
            let AgentRow { agent_id, hostname, client_name, .. } = agent;
            self.uncovered.push(Uncovered { agent_id, hostname, client_name, template });
        }
    }
}
