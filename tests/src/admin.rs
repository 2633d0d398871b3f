//! RabbitMQ's management API, as far as tests need it: vhosts and connections. Its statistics lag seconds behind: counts are
//! asked for over AMQP ([`crate::amqp`]), but for the one that AMQP does not tell, that of dead letters under way.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

/// The longest wait for an answer; deleting a vhost with many queues takes seconds on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(60);
/// A quorum queue tells its figures every 5 s, and they are gathered every 5 s.
const STATISTICS_DEADLINE: Duration = Duration::from_secs(60);
/// Figures that were gathered so often since a look began were told after it.
const TURNS: u32 = 2;

/// The API at one base URL, which holds user and password: `http://guest:guest@127.0.0.1:15672`.
#[derive(Debug, Clone)]
pub struct Admin {
    base: String,
    client: Client,
}

impl Admin {
    /// The shared server of the tests.
    ///
    /// # Panics
    /// When `MUSTER_AMQP_ADMIN_URL` is unset.
    #[must_use]
    pub fn from_env() -> Self {
        Self::at(&crate::variable("MUSTER_AMQP_ADMIN_URL", "a RabbitMQ management API"))
    }

    /// The API at a base URL.
    #[must_use]
    pub fn at(base: &str) -> Self {
        let client = Client::builder().timeout(TIMEOUT).build().expect("a client without settings can be made");
        Self { base: base.trim_end_matches('/').to_owned(), client }
    }

    /// The same API for another runtime: a client's idle connections belong to the one that made them.
    #[must_use]
    pub fn afresh(&self) -> Self {
        Self::at(&self.base)
    }

    /// Makes a vhost and gives the API's own user all permissions in it.
    ///
    /// # Panics
    /// When the API is away or refuses.
    pub async fn create_vhost(&self, name: &str) {
        self.call(Method::PUT, &format!("vhosts/{name}"), Some(json!({}))).await;
        let user = self.call(Method::GET, "whoami", None).await["name"].as_str().unwrap_or("guest").to_owned();
        let all = json!({"configure": ".*", "write": ".*", "read": ".*"});
        self.call(Method::PUT, &format!("permissions/{name}/{user}"), Some(all)).await;
    }

    /// Makes a user with these rights (patterns to configure, write and read) in a vhost.
    ///
    /// # Panics
    /// When the API is away or refuses.
    pub async fn create_user(&self, name: &str, password: &str, vhost: &str, [configure, write, read]: [&str; 3]) {
        self.call(Method::PUT, &format!("users/{name}"), Some(json!({"password": password, "tags": ""}))).await;
        let rights = json!({"configure": configure, "write": write, "read": read});
        self.call(Method::PUT, &format!("permissions/{vhost}/{name}"), Some(rights)).await;
    }

    /// Deletes a user.
    ///
    /// # Panics
    /// When the API is away or refuses.
    pub async fn delete_user(&self, name: &str) {
        self.call(Method::DELETE, &format!("users/{name}"), None).await;
    }

    /// Deletes a vhost with everything in it; one that is gone already is as good.
    pub async fn delete_vhost(&self, name: &str) {
        // a vhost that cannot be deleted now stays until its server ends, which is the end of `./dev test`
        let _ = self.client.delete(format!("{}/api/vhosts/{name}", self.base)).send().await;
    }

    /// Ends the connections of that name in a vhost as an operator would, and answers how many there were. A connection
    /// appears here a moment after it was made.
    ///
    /// # Panics
    /// When the API is away.
    pub async fn close_connections(&self, vhost: &str, name: &str) -> usize {
        let all = self.call(Method::GET, &format!("vhosts/{vhost}/connections"), None).await;
        let mut closed = 0;
        for connection in all.as_array().into_iter().flatten() {
            let (Some(own), Some(id)) = (connection["user_provided_name"].as_str(), connection["name"].as_str()) else {
                continue;
            };
            if own == name {
                let id = id.replace(' ', "%20").replace('>', "%3E");
                self.call(Method::DELETE, &format!("connections/{id}"), None).await;
                closed += 1;
            }
        }
        closed
    }

    /// The queues of a vhost that hold dead letters which their target has not taken yet, with how many: of now or later, for
    /// it waits until the statistics were gathered anew, some ten seconds.
    ///
    /// # Panics
    /// When the API is away, or gathers none.
    pub async fn dead_letters(&self, vhost: &str) -> Vec<(String, u64)> {
        let mut turns: BTreeMap<String, (u64, u32)> = BTreeMap::new();
        crate::until(STATISTICS_DEADLINE, async || {
            let queues = self.call(Method::GET, &format!("queues/{vhost}?columns={COLUMNS}"), None).await;
            let queues: Vec<_> = queues.as_array().into_iter().flatten().filter(|it| it["type"] == "quorum").collect();
            for queue in &queues {
                // what a queue's process has done grows with every figure that it tells
                let done = queue["reductions"].as_u64().unwrap_or_default();
                let turn = turns.entry(text(&queue["name"])).or_insert((done, 0));
                if turn.0 != done {
                    *turn = (done, turn.1 + 1);
                }
            }
            if turns.values().any(|(_, turn)| *turn < TURNS) {
                return Err("the statistics are old");
            }
            let dead = queues.iter().map(|it| (text(&it["name"]), it["messages_dlx"].as_u64().unwrap_or_default()));
            Ok(dead.filter(|(_, count)| *count > 0).collect())
        })
        .await
    }

    /// One request; an answer without a body is `null`. A thing to delete that is gone is no failure.
    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let mut request = self.client.request(method.clone(), format!("{}/api/{path}", self.base));
        if let Some(body) = &body {
            request = request.json(body);
        }
        let answer = request.send().await.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        let status = answer.status();
        let is_gone = method == Method::DELETE && status == StatusCode::NOT_FOUND;
        let text = answer.text().await.unwrap_or_default();
        assert!(status.is_success() || is_gone, "{method} {path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }
}

/// What is asked for of queues.
const COLUMNS: &str = "name,type,reductions,messages_dlx";

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
