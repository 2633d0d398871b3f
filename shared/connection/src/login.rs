//! Logging in with user and password: once at a time for all programs, and what its end means for the next one.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use store::connection::{self, Connection, Login, LoginBy, LoginClaim, LoginEnd, LoginRules};
use store::secret::{self, Sealed};
use tactical::{Client, Gate, Session};

use crate::secrets::{seal, unseal};
use crate::{Connections, Error};

/// Tactical allows 10 logins a minute and 300 a day from one address, people's own included: at most half of a day's are
/// taken by programs (one in ten minutes is 144 a day), and three may come at once, since an update of the server ends all
/// sessions and may do so twice. Two requests of 15 s (connect, then silence) fit into the lease.
pub(crate) const RULES: LoginRules =
    LoginRules { lease: Duration::from_secs(60), every: Duration::from_secs(10 * 60), burst: 3 };
/// What a 429 without `Retry-After` means: the server's shorter window.
const THROTTLED: Duration = Duration::from_secs(60);
/// How often to look whether another program's login has ended.
const LOOK: Duration = Duration::from_millis(250);

/// A session's token, as it is sent and as it is stored.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) text: SecretString,
    pub(crate) sealed: Sealed,
}

/// What a person's login came to, where it is no session.
pub(crate) enum NoSession {
    CodeNeeded,
    CodeRefused,
    Later(Duration),
    Busy,
    NoSecret(&'static str),
    Failed(Error),
}

impl From<Error> for NoSession {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<store::Error> for NoSession {
    fn from(error: store::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl Connections {
    /// The stored token, if there is one and it is not the one that has just been refused.
    pub(crate) async fn stored_token(&self, of: &Connection, dead: Option<&Sealed>) -> Result<Option<Token>, Error> {
        let stored = secret::get(&self.store, of.tenant, secret::KNOX_TOKEN).await?;
        stored.filter(|stored| Some(stored) != dead).map(|sealed| self.opened(of, sealed)).transpose()
    }

    fn opened(&self, of: &Connection, sealed: Sealed) -> Result<Token, Error> {
        let text = unseal(&self.vault, of.tenant, secret::KNOX_TOKEN, &sealed)?;
        Ok(Token { text, sealed })
    }

    /// A token for a program: the stored one, else that of another program's login, else that of a login of its own.
    ///
    /// # Errors
    /// [`Error::NeedsCode`], [`Error::LoginRefused`], [`Error::LoginLater`]; what the server or the database said.
    pub(crate) async fn token(&self, of: &Connection, gate: &Gate, dead: Option<&Sealed>) -> Result<Token, Error> {
        loop {
            if let Some(token) = self.stored_token(of, dead).await? {
                return Ok(token);
            }
            let claim = match self.claim(of, LoginBy::Program, dead).await? {
                Login::Granted(claim) => claim,
                Login::Done(sealed) => return self.opened(of, sealed),
                // its lease ends the waiting at the latest
                Login::Busy { .. } => {
                    tokio::time::sleep(LOOK).await;
                    continue;
                }
                Login::NotBefore { after, .. } => return Err(Error::LoginLater { after }),
                Login::CodeWanted => return Err(Error::NeedsCode),
                Login::Refused => return Err(Error::LoginRefused),
            };
            let session = match self.log_in(of, gate, None).await {
                Ok(session) => session,
                Err(no) => return Err(self.end_without(&claim, no).await?),
            };
            if let Some(token) = self.keep(of, &claim, session).await? {
                return Ok(token);
            }
        }
    }

    /// A new session for a person who waits for the answer, with a code where the account has a second factor.
    pub(crate) async fn log_in_for_person(
        &self,
        of: &Connection,
        gate: &Gate,
        code: Option<&str>,
    ) -> Result<Token, NoSession> {
        let claim = match self.claim(of, LoginBy::Person, None).await? {
            Login::Granted(claim) => claim,
            Login::NotBefore { after, .. } => return Err(NoSession::Later(after)),
            Login::Busy { .. } | Login::Done(_) | Login::CodeWanted | Login::Refused => return Err(NoSession::Busy),
        };
        match self.log_in(of, gate, code).await {
            Ok(session) => self.keep(of, &claim, session).await?.ok_or(NoSession::Busy),
            Err(no) => {
                connection::finish_login(&self.store, &claim, &end_of(&no)).await?;
                Err(no)
            }
        }
    }

    async fn claim(&self, of: &Connection, by: LoginBy, dead: Option<&Sealed>) -> Result<Login, store::Error> {
        connection::claim_login(&self.store, of.tenant, of.integration_id, by, dead, &RULES).await
    }

    /// The two steps of a login. Holds no transaction.
    async fn log_in(&self, of: &Connection, gate: &Gate, code: Option<&str>) -> Result<Session, NoSession> {
        let mut secrets = Vec::new();
        for name in [secret::USERNAME, secret::PASSWORD] {
            secrets.push(self.secret(of.tenant, name).await?.ok_or(NoSession::NoSecret(name))?);
        }
        let [user, password] = secrets.as_slice() else { unreachable!("two names give two secrets") };
        let url = of.instance_url.as_deref().ok_or(Error::NoUrl)?;
        let client = Client::new(&self.config, url, None, gate.clone()).map_err(Error::from)?;
        let user = user.expose_secret();
        let checked = client.check_credentials(user, password).await.map_err(Error::from)?;
        match (checked.needs_code, checked.token, code) {
            (false, Some(session), _) => Ok(session),
            (_, _, None) => Err(NoSession::CodeNeeded),
            (_, _, Some(code)) => match client.login(user, password, code).await {
                Ok(session) => Ok(session),
                // user and password were right a moment ago
                Err(tactical::Error::BadCredentials) => Err(NoSession::CodeRefused),
                Err(error) => Err(Error::from(error).into()),
            },
        }
    }

    /// Stores the token. `None`: the connection was changed or ended meanwhile, and the session is not used.
    async fn keep(&self, of: &Connection, claim: &LoginClaim, session: Session) -> Result<Option<Token>, Error> {
        let sealed = seal(&self.vault, of.tenant, secret::KNOX_TOKEN, &session.token);
        let is_ours = connection::finish_login(&self.store, claim, &LoginEnd::Token(sealed.clone())).await?;
        Ok(is_ours.then_some(Token { text: session.token, sealed }))
    }

    /// Ends a program's login that gave no session, and says why there is none.
    async fn end_without(&self, claim: &LoginClaim, no: NoSession) -> Result<Error, Error> {
        let end = end_of(&no);
        connection::finish_login(&self.store, claim, &end).await?;
        Ok(match (no, end) {
            (NoSession::CodeNeeded | NoSession::CodeRefused, _) => Error::NeedsCode,
            (_, LoginEnd::Refused) => Error::LoginRefused,
            (_, LoginEnd::Throttled(after)) => Error::LoginLater { after },
            (NoSession::NoSecret(name), _) => Error::NoSecret { name },
            (NoSession::Failed(error), _) => error,
            (NoSession::Later(after), _) => Error::LoginLater { after },
            (NoSession::Busy, _) => Error::LoginLater { after: LOOK },
        })
    }
}

/// What the end of a login means for those that come after it.
fn end_of(no: &NoSession) -> LoginEnd {
    match no {
        NoSession::CodeNeeded => LoginEnd::CodeWanted,
        NoSession::Failed(Error::Tactical(tactical::Error::BadCredentials)) => LoginEnd::Refused,
        NoSession::Failed(Error::Tactical(tactical::Error::Throttled { after })) => {
            LoginEnd::Throttled(after.unwrap_or(THROTTLED))
        }
        // a mistyped code says nothing about the account
        NoSession::CodeRefused
        | NoSession::Later(_)
        | NoSession::Busy
        | NoSession::NoSecret(_)
        | NoSession::Failed(_) => LoginEnd::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_programs_logins_are_half_of_what_the_server_allows_at_most() {
        let day = Duration::from_secs(24 * 60 * 60).as_secs() / RULES.every.as_secs();
        assert!(day + u64::from(RULES.burst) <= 150, "{day} a day");
        assert!(2 * u64::from(RULES.burst) <= 10 - day / day, "ten a minute, and a login is two requests at most");
    }

    #[test]
    fn only_what_a_person_must_change_stops_the_next_login() {
        let failed = |error: tactical::Error| end_of(&NoSession::Failed(error.into()));
        assert!(matches!(end_of(&NoSession::CodeNeeded), LoginEnd::CodeWanted));
        assert!(matches!(failed(tactical::Error::BadCredentials), LoginEnd::Refused));
        let after = Some(Duration::from_secs(7));
        assert!(
            matches!(failed(tactical::Error::Throttled { after }), LoginEnd::Throttled(wait) if Some(wait) == after)
        );
        let none = failed(tactical::Error::Throttled { after: None });
        assert!(matches!(none, LoginEnd::Throttled(wait) if wait == THROTTLED));
        assert!(matches!(failed(tactical::Error::NatsDown), LoginEnd::Other));
        assert!(matches!(end_of(&NoSession::CodeRefused), LoginEnd::Other));
    }
}
