//! Asks Tactical each endpoint that a sync needs, as cheaply as it can be asked, and counts what is seen.
//!
//! The version and the dashboard's facts are answered to every valid user, so they prove no permission. A permission that no
//! sync uses is not asked for.

use tactical::{Client, Error};

/// What was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Names of the permissions that the role lacks.
    pub(crate) missing: Vec<&'static str>,
    /// Clients that the role sees.
    pub(crate) clients: Option<i32>,
    /// Agents that the role sees.
    pub(crate) agents: Option<i32>,
}

/// Asks one after the other, so that the server has one of them at a time.
///
/// # Errors
/// Any other failure than a missing permission.
pub(crate) async fn ask_all(client: &Client) -> Result<Seen, Error> {
    let mut seen = Seen::default();
    let agents = seen.unless_forbidden("can_list_agents", agents(client).await)?;
    let clients = seen.unless_forbidden("can_list_clients", client.clients().await)?;
    seen.unless_forbidden("can_list_sites", client.sites().await)?;
    seen.unless_forbidden("can_list_alerts", client.top_alerts(1).await)?;
    let any_agent = agents.as_ref().and_then(|(_, agent_id)| agent_id.as_deref());
    seen.unless_forbidden("can_list_software", software(client, any_agent).await)?;
    seen.agents = agents.map(|(count, _)| count);
    seen.clients = clients.map(|clients| i32::try_from(clients.len()).unwrap_or(i32::MAX));
    Ok(seen)
}

impl Seen {
    fn unless_forbidden<T>(&mut self, permission: &'static str, answer: Result<T, Error>) -> Result<Option<T>, Error> {
        match answer {
            Ok(answer) => Ok(Some(answer)),
            Err(Error::Forbidden { .. }) => {
                self.missing.push(permission);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// How many there are (141 bytes each), and the id of one.
async fn agents(client: &Client) -> Result<(i32, Option<String>), Error> {
    let mut agents = client.brief_agents().await?;
    let (mut count, mut any) = (0_i32, None);
    while let Some(agent) = agents.next().await {
        any = any.or(Some(agent?.agent_id));
        count = count.saturating_add(1);
    }
    Ok((count, any))
}

/// One agent's programs instead of everybody's, which are 60 KB an agent. Where no agent is seen the whole list is empty or
/// refused; its head is enough.
async fn software(client: &Client, agent_id: Option<&str>) -> Result<(), Error> {
    match agent_id {
        Some(agent_id) => match client.software_of(agent_id).await {
            // it was deleted a moment ago: so it was looked for
            Ok(_) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        },
        None => client.software().await.map(drop),
    }
}
