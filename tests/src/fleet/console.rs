//! A fleet's console: the program, tokens for it, and requests as an operator sends them.

use secrecy::ExposeSecret as _;
use serde_json::Value;
use store::token::{self, NewToken, Permission};

use super::{Fleet, Program};
use crate::process::Process;

/// What the console answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body as it came.
    pub text: String,
    /// The body, null where it is no JSON.
    pub json: Value,
}

impl Fleet {
    /// Starts the console, if the builder has not, and waits until it is ready.
    ///
    /// # Panics
    /// If it does not become ready.
    pub async fn start_console(&mut self) {
        let gateway = self.gateway.as_ref().map_or_else(|| "http://127.0.0.1:1".to_owned(), Program::url);
        let mut environment = self.environment.clone();
        environment.extend([
            ("MUSTER_CONSOLE_LISTEN".to_owned(), "127.0.0.1:0".to_owned()),
            ("MUSTER_GATEWAY_URL".to_owned(), gateway),
        ]);
        let mut console = self.begin("console", "console", &environment);
        console.ready().await;
        self.console = Some(console);
    }

    /// The console.
    ///
    /// # Panics
    /// If there is none.
    pub fn console(&mut self) -> &mut Process {
        self.console.as_mut().expect("the fleet has a console").process()
    }

    /// Where the console listens: `http://127.0.0.1:1234`.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn console_url(&self) -> String {
        self.console.as_ref().expect("the fleet has a console").url()
    }

    /// A token of the fleet's tenant.
    ///
    /// # Panics
    /// If the database does not take it.
    pub async fn token(&self, permissions: &[Permission]) -> String {
        let new = NewToken {
            tenant: Some(self.connection().tenant),
            name: "the fleet's operator".to_owned(),
            permissions: permissions.to_vec(),
            expires_at: None,
        };
        let added = token::add(&self.store(), &new, &self.entry()).await;
        added.expect("the database takes a token").1.expose_secret().to_owned()
    }

    /// Asks the console for something below the fleet's tenant: `/assets`, `/integrations/tacticalrmm/test`.
    ///
    /// # Panics
    /// If it does not answer.
    pub async fn ask(&self, token: &str, method: reqwest::Method, path: &str, body: Option<&Value>) -> Answer {
        let url = format!("{}/api/v1/tenants/{}{path}", self.console_url(), self.connection().tenant);
        let mut request = reqwest::Client::new().request(method, url).bearer_auth(token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.expect("the console answers");
        let status = answer.status().as_u16();
        let text = answer.text().await.expect("the console ends its answer");
        Answer { status, json: serde_json::from_str(&text).unwrap_or(Value::Null), text }
    }
}
