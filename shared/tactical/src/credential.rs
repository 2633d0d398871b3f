//! What a request proves itself with: an API key or a session's token, never both.

use std::fmt;

use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

use crate::Error;

/// Exactly one of the two: Tactical tries the session first and refuses a bad one although a good key is beside it.
#[derive(Clone, Debug)]
pub enum Credential {
    /// Sent as `X-API-KEY`.
    ApiKey(SecretString),
    /// A Knox token, sent as `Authorization: Token …`.
    Session(SecretString),
}

/// The header that a credential is sent as; its value is marked, so that no log shows it.
#[derive(Clone)]
pub(crate) struct Header {
    pub(crate) name: HeaderName,
    pub(crate) value: HeaderValue,
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Header").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Header {
    pub(crate) fn new(credential: &Credential) -> Result<Self, Error> {
        let (name, text) = match credential {
            Credential::ApiKey(key) => (HeaderName::from_static("x-api-key"), key.expose_secret().trim().to_owned()),
            Credential::Session(token) => (AUTHORIZATION, format!("Token {}", token.expose_secret().trim())),
        };
        // a pasted line break or a quote in another script: it can be nobody's key
        let mut value = HeaderValue::from_str(&text).map_err(|_| Error::UnusableKey)?;
        if text.is_empty() || !text.is_ascii() {
            return Err(Error::UnusableKey);
        }
        value.set_sensitive(true);
        Ok(Self { name, value })
    }
}
