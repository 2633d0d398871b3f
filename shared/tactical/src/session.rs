//! Logging in with a name, a password and a code, which gives a session (a Knox token) of five hours that slides.

use chrono::{DateTime, Utc};
use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use crate::ask::Ask;
use crate::error::cut;
use crate::{Client, Error};

/// A session's token and when it ends unless it is used. It can end at any time: an update of the server ends them all.
#[derive(Debug, Clone)]
pub struct Session {
    /// For [`crate::Credential::Session`].
    pub token: SecretString,
    /// Moves with use; `None` where the server did not say.
    pub expires_at: Option<DateTime<Utc>>,
}

/// What name and password are worth.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The account has a second factor: [`Client::login`] with a code comes next.
    pub needs_code: bool,
    /// The session of an account without a second factor, which needs no further step.
    pub token: Option<Session>,
}

/// Read by hand: an error of the parser would repeat what it found, and this holds a token.
fn session(answer: &Value) -> Option<Session> {
    let token = answer.get("token")?.as_str().filter(|token| !token.is_empty())?;
    let expiry = answer.get("expiry").and_then(Value::as_str);
    let expires_at = expiry.and_then(|text| DateTime::parse_from_rfc3339(text).ok()).map(|time| time.to_utc());
    Some(Session { token: SecretString::from(token), expires_at })
}

impl Client {
    /// `POST /v2/checkcreds/`: whether name and password are right and a code is needed. The client needs no credential.
    /// Tactical allows 10 a minute and 300 a day from one address; after a 429 the gate lets no login through until then.
    ///
    /// # Errors
    /// [`Error::BadCredentials`], [`Error::Throttled`].
    pub async fn check_credentials(&self, user: &str, password: &SecretString) -> Result<Checked, Error> {
        const ENDPOINT: &str = "/v2/checkcreds/";
        let body = json!({"username": user, "password": password.expose_secret()});
        let answer: Value = self.object(Ask::post(ENDPOINT, &[], body).login()).await?;
        match answer.get("totp").and_then(Value::as_bool) {
            Some(true) => Ok(Checked { needs_code: true, token: None }),
            _ => match session(&answer) {
                Some(session) => Ok(Checked { needs_code: false, token: Some(session) }),
                None => Err(Error::Unreadable { endpoint: ENDPOINT, reason: cut("neither a code nor a token") }),
            },
        }
    }

    /// `POST /v2/login/` with a code of the second factor. The throttle is [`Client::check_credentials`]'s, counted apart.
    ///
    /// # Errors
    /// [`Error::BadCredentials`] (also for a wrong code), [`Error::Throttled`].
    pub async fn login(&self, user: &str, password: &SecretString, code: &str) -> Result<Session, Error> {
        const ENDPOINT: &str = "/v2/login/";
        // `twofactor` must be there, else it is a 500
        let body = json!({"username": user, "password": password.expose_secret(), "twofactor": code.trim()});
        let answer: Value = self.object(Ask::post(ENDPOINT, &[], body).login()).await?;
        session(&answer).ok_or_else(|| Error::Unreadable { endpoint: ENDPOINT, reason: cut("no token") })
    }

    /// `POST /logout/`: ends the session that this client uses.
    ///
    /// # Errors
    /// [`Error::Unauthorized`] where it had ended already.
    pub async fn logout(&self) -> Result<(), Error> {
        self.nothing(Ask::new(Method::POST, "/logout/", &[])).await
    }
}
