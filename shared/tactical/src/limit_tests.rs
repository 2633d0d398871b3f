//! Each answer's own limit, at its edge: what is as long as it is read, one byte more is refused.

use crate::testing::{Server, local};
use crate::{AgentFilter, Client, Config, Error};

const AGENT_ROW: usize = 2_000;
const AGENT: usize = 3_000;
const CLIENT: usize = 4_000;
const ITEM: usize = 2_500;
const LIST: usize = 5_000;
const PAGE: usize = 6_000;
const BODY: usize = 7_000;
const SMALL: usize = 1_500;

fn config() -> Config {
    Config {
        agent_row_bytes_max: AGENT_ROW as u64,
        agent_bytes_max: AGENT as u64,
        client_bytes_max: CLIENT as u64,
        item_bytes_max: ITEM as u64,
        list_bytes_max: LIST as u64,
        page_bytes_max: PAGE as u64,
        body_bytes_max: BODY as u64,
        small_body_bytes_max: SMALL as u64,
        ..local()
    }
}

/// An agent, a client or a report of that many bytes.
fn thing(bytes: usize) -> String {
    let bare = r#"{"id":1,"agent":1,"agent_id":"a","software":[],"status":"ok","text":""}"#;
    bare.replace(r#""""#, &format!("\"{}\"", "x".repeat(bytes - bare.len())))
}

/// Things in a list of that many bytes, each below every limit of one.
fn list(bytes: usize) -> String {
    let (mut all, mut left) = (Vec::new(), bytes - 1);
    while left > 2_000 {
        all.push(thing(999));
        left -= 1_000;
    }
    all.push(thing(left - 1));
    format!("[{}]", all.join(","))
}

fn page(results: &str) -> String {
    format!(r#"{{"count":1,"next":null,"results":{results}}}"#)
}

/// A page of that many bytes.
fn page_of(bytes: usize) -> String {
    page(&list(bytes - page("").len()))
}

/// How one answer is asked for.
#[derive(Debug, Clone, Copy)]
enum Asked {
    Agents,
    BriefAgents,
    Agent,
    BetaAgents,
    BetaAgent,
    Clients,
    Client,
    Software,
    Health,
}

async fn read(client: &Client, asked: Asked) -> Result<(), Error> {
    match asked {
        Asked::Agents => client.agents(&AgentFilter::default()).await?.collect().await.map(drop),
        Asked::BriefAgents => client.brief_agents().await?.collect().await.map(drop),
        Asked::Agent => client.agent("a").await.map(drop),
        Asked::BetaAgents => client.beta_agents(&AgentFilter::default(), 1, 200).await.map(drop),
        Asked::BetaAgent => client.beta_agent(1).await.map(drop),
        Asked::Clients => client.clients().await.map(drop),
        Asked::Client => client.organization(1).await.map(drop),
        Asked::Software => client.software().await?.collect().await.map(drop),
        Asked::Health => client.health().await,
    }
}

#[tokio::test]
async fn each_answer_has_a_limit_of_its_own_and_is_read_up_to_it() {
    let one = |bytes| format!("[{}]", thing(bytes));
    let second = |bytes| format!("[{},{}]", thing(900), thing(bytes));
    let in_page = |bytes| page(&one(bytes));
    let alone = |bytes| thing(bytes);
    type Body<'a> = &'a dyn Fn(usize) -> String;
    let table: [(Asked, usize, bool, Body<'_>); 13] = [
        (Asked::Agents, AGENT_ROW, true, &one),
        (Asked::BriefAgents, AGENT_ROW, true, &one),
        (Asked::Agents, BODY, false, &list),
        (Asked::Agent, AGENT, false, &alone),
        (Asked::BetaAgents, AGENT, true, &in_page),
        (Asked::BetaAgents, PAGE, false, &page_of),
        (Asked::BetaAgent, AGENT, false, &alone),
        (Asked::Clients, CLIENT, true, &one),
        (Asked::Clients, LIST, false, &list),
        (Asked::Client, CLIENT, false, &alone),
        (Asked::Software, ITEM, true, &one),
        (Asked::Software, BODY, false, &list),
        (Asked::Health, SMALL, false, &alone),
    ];
    for (asked, limit, is_item, body) in table {
        let answer = async |bytes| read(&Server::json(&body(bytes)).await.client(&config()), asked).await;
        assert_eq!(answer(limit).await, Ok(()), "{asked:?} of {limit} bytes");
        match answer(limit + 1).await {
            Err(Error::TooLarge { bytes_max, is_item: told, .. }) => {
                assert_eq!((bytes_max, told), (limit as u64, is_item), "{asked:?}");
            }
            other => panic!("{asked:?} of {} bytes: {other:?}", limit + 1),
        }
    }
    // the comma before an item counts with it
    let answer = async |bytes| read(&Server::json(&second(bytes)).await.client(&config()), Asked::Agents).await;
    assert_eq!(answer(AGENT_ROW - 1).await, Ok(()));
    assert!(matches!(answer(AGENT_ROW).await, Err(Error::TooLarge { is_item: true, .. })));
}
