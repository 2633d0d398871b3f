//! Every recorded answer, given to the call that it belongs to: the typed result, or the typed error.

use std::collections::BTreeMap;
use std::path::Path;

use ::tactical::{AgentFilter, AlertFilter, Client, Command, Error, ScriptRun};
use secrecy::ExposeSecret;
use serde_json::Value;

use super::replayer::{Asked, replay};
use super::table::{Call, Is, Row, table};
use super::{agrees, client, local};
use crate::recorded::{Exchange, exchanges, fixtures, folder};

/// The exchange's own agent, client, alert or page, taken from its path.
fn place(exchange: &Exchange) -> String {
    let path = exchange.path.split('?').next().unwrap_or_default();
    let words: Vec<&str> = path.split('/').filter(|word| !word.is_empty()).collect();
    let at = if words.first() == Some(&"beta") { 3 } else { 1 };
    words.get(at).map(|word| word.replace(['{', '}'], "")).unwrap_or_default()
}

fn number(exchange: &Exchange) -> i64 {
    // an answer that stands in for another's may have no number of its own
    place(exchange).parse().unwrap_or(1)
}

fn query(exchange: &Exchange, name: &str) -> Option<i64> {
    let (_, query) = exchange.path.split_once('?')?;
    let (_, value) = query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name)?;
    value.parse().ok()
}

/// What was sent, as far as the client lets one choose.
fn sent(exchange: &Exchange) -> Value {
    serde_json::from_str(&exchange.body).unwrap_or_default()
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn script(sent: &Value) -> ScriptRun {
    ScriptRun {
        script: sent["script"].as_i64().unwrap_or_default(),
        args: Vec::new(),
        env_vars: Vec::new(),
        timeout_s: sent["timeout"].as_u64().and_then(|timeout| timeout.try_into().ok()).unwrap_or_default(),
        run_as_user: false,
    }
}

fn filter(sent: &Value) -> AlertFilter {
    let words = |words: &Vec<Value>| words.iter().map(word).collect();
    AlertFilter {
        resolved_filter: sent["resolvedFilter"].as_bool(),
        snoozed_filter: sent["snoozedFilter"].as_bool(),
        time_filter: sent["timeFilter"].as_u64().and_then(|days| days.try_into().ok()),
        severity_filter: sent["severityFilter"].as_array().map(words),
        client_filter: None,
    }
}

/// Calls the client and holds what it answers against the recorded body.
async fn perform(client: &Client, call: &Call, exchange: &Exchange) -> Result<(), Error> {
    let json: Value = serde_json::from_str(&exchange.answer).unwrap_or_default();
    match call {
        Call::Health => client.health().await?,
        Call::Version => assert_eq!(client.version().await?.trmm_version, agrees::text(&json, "trmm_version")),
        Call::FrontendVersion => assert_eq!(client.frontend_version().await?, json),
        Call::Clients => agrees::each(&client.clients().await?, &json, agrees::organization),
        Call::Organization => agrees::organization(&client.organization(number(exchange)).await?, &json),
        Call::Sites => agrees::each(&client.sites().await?, &json, agrees::site),
        Call::Templates => agrees::each(&client.alert_templates().await?, &json, |template, json| {
            assert_eq!((Some(template.id), template.action_rest), (json["id"].as_i64(), json["action_rest"].as_i64()));
            assert_eq!(template.name, agrees::text(json, "name"));
            assert_eq!(template.excluded_clients.len(), agrees::rows(&json["excluded_clients"]).len());
        }),
        Call::UrlActions => agrees::each(&client.url_actions().await?, &json, |action, json| {
            assert_eq!((Some(action.id), &action.pattern), (json["id"].as_i64(), &agrees::text(json, "pattern")));
            assert_eq!(
                action.rest_headers.as_ref().map(|headers| headers.expose_secret()),
                json["rest_headers"].as_str()
            );
        }),
        Call::Scripts => agrees::each(&client.scripts().await?, &json, |script, json| {
            assert_eq!((Some(script.id), &script.name), (json["id"].as_i64(), &agrees::text(json, "name")));
        }),
        Call::CheckCredentials => {
            let sent = sent(exchange);
            let checked = client.check_credentials(&word(&sent["username"]), &word(&sent["password"]).into()).await?;
            assert_eq!((Some(checked.needs_code), checked.token.is_none()), (json["totp"].as_bool(), true));
        }
        Call::Login => {
            let sent = sent(exchange);
            let (user, password) = (word(&sent["username"]), word(&sent["password"]));
            client.login(&user, &password.into(), &word(&sent["twofactor"])).await?;
        }
        other => return perform_on_agents(client, other, exchange, &json).await,
    }
    Ok(())
}

async fn perform_on_agents(client: &Client, call: &Call, exchange: &Exchange, json: &Value) -> Result<(), Error> {
    let (place, sent) = (place(exchange), sent(exchange));
    match call {
        Call::Agents => {
            let filter =
                AgentFilter { client: query(exchange, "client"), site: query(exchange, "site"), monitoring_type: None };
            agrees::each(&client.agents(&filter).await?.collect().await?, json, agrees::row);
        }
        Call::Brief => {
            let agents = match query(exchange, "site") {
                Some(site) => client.brief_agents_of_site(site).await?,
                None => client.brief_agents().await?,
            };
            agrees::each(&agents.collect().await?, json, agrees::brief);
        }
        Call::Agent => agrees::detail(&client.agent(&place).await?, json),
        Call::History => agrees::each(&client.history(&place).await?, json, agrees::history),
        Call::Mesh => {
            let links = client.mesh_links(&place).await?;
            assert_eq!(links.control.as_ref().map(|link| link.expose_secret()), json["control"].as_str());
            assert!(!format!("{links:?}").contains("login="), "a link is a secret");
        }
        Call::Command => {
            let timeout_s = sent["timeout"].as_u64().and_then(|timeout| timeout.try_into().ok()).unwrap_or_default();
            let (shell, line) = (word(&sent["shell"]), word(&sent["cmd"]));
            let command = Command { shell, line, timeout_s, run_as_user: false };
            assert_eq!(client.run_command(&place, &command).await?, *json);
        }
        Call::RunScript => assert_eq!(client.run_script(&place, &script(&sent)).await?, *json),
        Call::StartScript => client.start_script(&place, &script(&sent)).await?,
        Call::Reboot => client.reboot(&place).await?,
        Call::SoftwareOf => agrees::software(client.software_of(&place).await?.as_ref(), json),
        other => return perform_on_alerts(client, other, exchange, json).await,
    }
    Ok(())
}

async fn perform_on_alerts(client: &Client, call: &Call, exchange: &Exchange, json: &Value) -> Result<(), Error> {
    match call {
        Call::Alerts => {
            let alerts = client.alerts(&filter(&sent(exchange))).await?.collect().await?;
            agrees::each(&alerts, json, agrees::alert);
        }
        Call::Top => {
            let top = sent(exchange)["top"].as_u64().and_then(|top| top.try_into().ok());
            let top = client.top_alerts(top.expect("a number of alerts was recorded")).await?;
            assert_eq!(Some(top.alerts_count), json["alerts_count"].as_u64());
            agrees::each(&top.alerts, &json["alerts"], agrees::alert);
        }
        Call::Alert => agrees::alert(&client.alert(number(exchange)).await?, json),
        Call::Change(change) => client.change_alert(number(exchange), *change).await?,
        Call::BetaProbe => client.beta_probe().await?,
        Call::BetaAgents => {
            let page =
                client.beta_agents(&tactical::AgentFilter { client: Some(1), ..Default::default() }, 1, 100).await?;
            assert_eq!((Some(page.count), page.has_next), (json["count"].as_u64(), json["next"].is_string()));
            agrees::each(&page.results, &json["results"], agrees::beta);
        }
        Call::BetaAgent => {
            let agent = client.beta_agent(number(exchange)).await?;
            assert_eq!(agent.serial_number, agrees::text(json, "serial_number"));
            assert_eq!(agent.status.map(|status| status.as_str().to_owned()), agrees::text(json, "status"));
        }
        Call::BetaClients => agrees::each(&client.beta_clients().await?, json, agrees::organization),
        Call::BetaClient => agrees::organization(&client.beta_client(number(exchange)).await?, json),
        Call::BetaSites(size) => {
            let page = client.beta_sites(1, *size).await?;
            assert_eq!((Some(page.count), page.has_next), (json["count"].as_u64(), json["next"].is_string()));
            agrees::each(&page.results, &json["results"], agrees::site);
        }
        Call::BetaSite => agrees::site(&client.beta_site(number(exchange)).await?, json),
        other => panic!("no call for {other:?}"),
    }
    Ok(())
}

/// How the client's request differs from the recorded one. Of queries only a list of agents' filters are compared: the
/// recorded `detail=0` and our `detail=false` mean the same, and others were recorded because they are ignored.
fn asked_otherwise(asked: &Asked, exchange: &Exchange) -> Option<String> {
    let (path, query) = exchange.path.split_once('?').unwrap_or((&exchange.path, ""));
    let is_same = asked.method == exchange.method && asked.path == path.replace(['{', '}'], "");
    let ours = asked.query.as_deref().unwrap_or_default();
    let mut filters = query.split('&').filter(|pair| pair.starts_with("client=") || pair.starts_with("site="));
    let is_filtered = path != "/agents/" || filters.all(|filter| ours.split('&').any(|pair| pair == filter));
    let body: Option<Value> = serde_json::from_str(&exchange.body).ok();
    let is_body_same = body.is_none() || body == asked.body;
    if is_same && is_filtered && is_body_same { None } else { Some(format!("it asked {asked:?}")) }
}

/// What one row says of one exchange, or how it is not so.
async fn hold(row: &Row, exchange: &Exchange) -> Option<String> {
    let (url, asked) = replay(exchange).await;
    let is_login = matches!(row.call, Call::CheckCredentials | Call::Login);
    let client = client(&local(), &url, if is_login || exchange.key == "-" { "" } else { "KEY" });
    let result = perform(&client, &row.call, exchange).await;
    let asked = asked.await.expect("the replaying server does not fail");
    if row.asks_the_same
        && let Some(otherwise) = asked_otherwise(&asked, exchange)
    {
        return Some(otherwise);
    }
    let host = &url["http://".len()..];
    match (&row.is, result) {
        (Is::Read, Ok(())) => None,
        (Is::Error(wanted), Err(found)) => differs(wanted, &found, host),
        (is, result) => Some(format!("{result:?} is not {is:?}")),
    }
}

/// Errors are the same with the host's name aside; the words of a parse error are each parser's own.
fn differs(wanted: &Error, found: &Error, host: &str) -> Option<String> {
    let (wanted, found) = (format!("{wanted:?}"), format!("{found:?}").replace(host, "HOST"));
    let begins = |text: &str| wanted.contains(text) && found.contains(text);
    if wanted == found || begins("JSON parse error") { None } else { Some(format!("{found} is not {wanted}")) }
}

/// Every exchange of a folder; answers how many.
async fn hold_all(folder: &Path) -> usize {
    let rows: BTreeMap<&str, Row> = table().into_iter().map(|row| (row.number, row)).collect();
    let mut wrong = Vec::new();
    let exchanges = exchanges(folder);
    for exchange in &exchanges {
        let difference = match rows.get(&exchange.file[..3]) {
            Some(row) => hold(row, exchange).await,
            None => Some("has no row in the table".to_owned()),
        };
        wrong.extend(difference.map(|difference| format!("{}: {difference}", exchange.file)));
    }
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
    exchanges.len()
}

#[tokio::test]
async fn every_recorded_answer_is_read_as_its_note_says() {
    println!("{} answers replayed", hold_all(&folder()).await);
}

#[tokio::test]
async fn every_fixture_is_read_by_the_same_table() {
    println!("{} answers replayed", hold_all(&fixtures()).await);
}

#[test]
fn every_recorded_file_has_one_row_and_every_row_a_file() {
    let numbers: Vec<&str> = table().iter().map(|row| row.number).collect();
    let mut once = numbers.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), numbers.len(), "a number stands in the table once");
    let files = |folder: &Path| -> Vec<String> {
        let entries = std::fs::read_dir(folder).expect("the folder can be listed");
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        names.filter(|name| name.as_bytes()[..3].iter().all(u8::is_ascii_digit)).collect()
    };
    let (recorded, fixtures) = (files(&folder()), files(&fixtures()));
    for file in recorded.iter().chain(&fixtures) {
        assert!(once.contains(&&file[..3]), "{file} has no row");
    }
    // without recordings most numbers have no file: that is said loudly elsewhere
    if recorded.len() > fixtures.len() {
        for number in once {
            assert!(recorded.iter().chain(&fixtures).any(|file| file.starts_with(number)), "{number} has no file");
        }
    }
}
