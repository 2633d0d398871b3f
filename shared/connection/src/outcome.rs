//! What a connection test found: a stable word, a sentence, and what to do. Pure.

use std::time::Duration;

use fault::sentence;
use tactical::{AuthFault, UrlError};

use crate::version::VERSION_MIN_TEXT;

/// How a connection test ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Everything that a sync needs was answered.
    Ok,
    /// No URL was saved.
    NoUrl,
    /// What the way to authenticate needs was not entered.
    NoSecret {
        /// Its name.
        name: &'static str,
    },
    /// A secret is there and this program cannot open it.
    SecretUnreadable {
        /// What the vault said: names tenant, secret and key id.
        reason: String,
    },
    /// The account has a second factor: ask for its code and test again with it.
    CodeNeeded,
    /// User and password are right, and the code is not.
    CodeRefused,
    /// No login before then; nothing was asked.
    LoginLater {
        /// From now.
        after: Duration,
    },
    /// Another program is logging in right now.
    LoginBusy,
    /// The same connection is being tested right now; nothing was asked.
    TestBusy,
    /// The connection was saved or disconnected during the test, which told of what is no longer so.
    SettingsChanged,
    /// The role lacks permissions.
    PermissionsMissing {
        /// Tactical's own names: `can_list_agents`.
        names: Vec<&'static str>,
    },
    /// The server is older than what is spoken to.
    TooOld {
        /// What it said.
        version: String,
    },
    /// Tactical, or what stands where it should be, did not answer as it should.
    Failed(tactical::Error),
}

impl Outcome {
    /// The stable word, in snake case.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::NoUrl => "no_url",
            Self::NoSecret { .. } => "no_secret",
            Self::SecretUnreadable { .. } => "secret_unreadable",
            Self::CodeNeeded => "code_needed",
            Self::CodeRefused => "code_refused",
            Self::LoginLater { .. } => "throttled",
            Self::LoginBusy => "login_busy",
            Self::TestBusy => "test_busy",
            Self::SettingsChanged => "settings_changed",
            Self::PermissionsMissing { .. } => "permissions_missing",
            Self::TooOld { .. } => "too_old",
            Self::Failed(tactical::Error::BadUrl(UrlError::Address) | tactical::Error::AddressRefused { .. }) => {
                "address_not_allowed"
            }
            Self::Failed(tactical::Error::BadUrl(_)) => "not_a_url",
            Self::Failed(error) => error.word(),
        }
    }

    /// What was found, one sentence for a person.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::Ok => "Tactical answers everything that a sync needs.".to_owned(),
            Self::NoUrl => "No URL of a Tactical server has been saved.".to_owned(),
            Self::NoSecret { name } => format!("The secret {name} has not been entered."),
            Self::SecretUnreadable { reason } => sentence(reason),
            Self::CodeNeeded => "User and password are right, and the account asks for a TOTP code.".to_owned(),
            Self::CodeRefused => "User and password are right, and the TOTP code is not.".to_owned(),
            Self::LoginLater { after } => {
                format!("The server allows no further login for another {} s.", after.as_secs().max(1))
            }
            Self::LoginBusy => "Another login to this server is under way.".to_owned(),
            Self::TestBusy => "Another test of this connection is under way.".to_owned(),
            Self::SettingsChanged => "The connection was saved or disconnected during the test.".to_owned(),
            Self::PermissionsMissing { names } => {
                format!("The user's role in Tactical lacks permissions that a sync needs: {}.", names.join(", "))
            }
            Self::TooOld { version } => {
                format!("The server runs Tactical {version}; the oldest version that works is {VERSION_MIN_TEXT}.")
            }
            Self::Failed(error) => failed(error),
        }
    }

    /// What to do about it, for a person.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Ok => "Sync the clients, map them, then sync the devices.",
            Self::NoUrl => "Save the URL of Tactical's API host, such as https://api.example.com.",
            Self::NoSecret { .. } => "Save an API key, or user and password.",
            Self::SecretUnreadable { .. } => {
                "Enter the secret again, or have the operator give the program the key that it was sealed with."
            }
            Self::CodeNeeded => "Test again with the present code of the account's authenticator.",
            Self::CodeRefused => {
                "Wait for the next code, check the clock of the authenticator, and test again with it."
            }
            Self::LoginLater { .. } => "Test again after that time; each try before would make the wait longer.",
            Self::LoginBusy | Self::TestBusy => "Test again in a minute.",
            Self::SettingsChanged => "Look at the settings, and test again.",
            Self::PermissionsMissing { .. } => {
                "In Tactical, Settings, Permissions Manager, give the role these permissions, wait ten minutes (Tactical \
                 keeps roles that long), and test again."
            }
            Self::TooOld { .. } => "Update the Tactical server.",
            Self::Failed(error) => error.remedy(),
        }
    }

    /// How long to wait before the next test, where that is known.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::LoginLater { after } => Some(*after),
            Self::Failed(tactical::Error::Throttled { after } | tactical::Error::Server { after, .. }) => *after,
            _ => None,
        }
    }
}

fn failed(error: &tactical::Error) -> String {
    match error {
        tactical::Error::BadUrl(error) => sentence(&error.to_string()),
        tactical::Error::NotResolved { host } => format!("The name {host} does not resolve to an address."),
        tactical::Error::AddressRefused { host } => format!("The name {host} leads to an address that is not public."),
        tactical::Error::Refused { host, reason } => format!("Nobody answers at {host} on that port: {reason}."),
        tactical::Error::NoHttp { host, reason } => {
            format!("Somebody takes connections at {host} on that port, but does not answer with HTTP: {reason}.")
        }
        tactical::Error::Tls { host, reason } => format!("No secure connection to {host}: {reason}."),
        tactical::Error::WrongHost { host } => {
            format!("The host {host} answers with a web page: this is the dashboard host; use the api. host.")
        }
        tactical::Error::HostNotAllowed { host } => format!("Tactical does not accept requests for the name {host}."),
        tactical::Error::Unauthorized(AuthFault::Missing) => "The server saw no API key or session.".to_owned(),
        tactical::Error::Unauthorized(AuthFault::Invalid) => {
            "The server does not know the API key or session.".to_owned()
        }
        tactical::Error::Unauthorized(AuthFault::Expired) => "The API key has expired.".to_owned(),
        tactical::Error::Unauthorized(AuthFault::Inactive) => {
            "The user that the API key belongs to is inactive or deleted.".to_owned()
        }
        tactical::Error::BetaOff => "The beta source is chosen, and the server's beta API is off.".to_owned(),
        tactical::Error::NoSuchRoute { host, endpoint } => {
            format!("The host {host} answers, but not like Tactical: it does not know {endpoint}.")
        }
        tactical::Error::Unreadable { endpoint, reason } => {
            format!("The server answers, but not like Tactical: its answer to {endpoint} cannot be read ({reason}).")
        }
        tactical::Error::BadCredentials => "The server refuses user and password.".to_owned(),
        tactical::Error::Throttled { .. } => "The server answers that there were too many requests.".to_owned(),
        other => sentence(&fault::chain(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> String {
        "api.example.com".to_owned()
    }

    fn reason() -> String {
        "the reason".to_owned()
    }

    fn failed(error: tactical::Error) -> Outcome {
        Outcome::Failed(error)
    }

    /// Every outcome that the test of a connection tells apart, with its word and what its sentence must say.
    fn all() -> Vec<(&'static str, Outcome, &'static str)> {
        use tactical::Error as E;
        let after = Duration::from_secs(59);
        let names = vec!["can_list_agents", "can_list_sites"];
        vec![
            ("ok", Outcome::Ok, "everything"),
            ("no_url", Outcome::NoUrl, "No URL"),
            ("no_secret", Outcome::NoSecret { name: "tacticalrmm_api_key" }, "tacticalrmm_api_key"),
            ("secret_unreadable", Outcome::SecretUnreadable { reason: reason() }, "The reason"),
            ("not_a_url", failed(E::BadUrl(UrlError::NotAUrl)), "not a URL"),
            ("not_a_url", failed(E::BadUrl(UrlError::Http)), "http://"),
            ("address_not_allowed", failed(E::BadUrl(UrlError::Address)), "not public"),
            ("address_not_allowed", failed(E::AddressRefused { host: host() }), "not public"),
            ("not_resolved", failed(E::NotResolved { host: host() }), "does not resolve"),
            ("refused", failed(E::Refused { host: host(), reason: reason() }), "Nobody answers"),
            ("no_http", failed(E::NoHttp { host: host(), reason: reason() }), "does not answer with HTTP"),
            ("no_such_route", failed(E::NoSuchRoute { host: host(), endpoint: "/" }), "but not like Tactical"),
            ("unreadable", failed(E::Unreadable { endpoint: "/", reason: reason() }), "but not like Tactical"),
            ("tls", failed(E::Tls { host: host(), reason: reason() }), "the reason"),
            ("wrong_host", failed(E::WrongHost { host: host() }), "this is the dashboard host; use the api. host"),
            ("host_not_allowed", failed(E::HostNotAllowed { host: host() }), "does not accept"),
            ("key_missing", failed(E::Unauthorized(AuthFault::Missing)), "no API key"),
            ("key_invalid", failed(E::Unauthorized(AuthFault::Invalid)), "does not know"),
            ("key_expired", failed(E::Unauthorized(AuthFault::Expired)), "expired"),
            ("user_inactive", failed(E::Unauthorized(AuthFault::Inactive)), "inactive"),
            ("permissions_missing", Outcome::PermissionsMissing { names }, "can_list_agents, can_list_sites"),
            ("beta_off", failed(E::BetaOff), "beta API is off"),
            ("code_needed", Outcome::CodeNeeded, "TOTP code"),
            ("code_refused", Outcome::CodeRefused, "TOTP code is not"),
            ("bad_credentials", failed(E::BadCredentials), "refuses user and password"),
            ("throttled", Outcome::LoginLater { after }, "59 s"),
            ("throttled", failed(E::Throttled { after: Some(after) }), "too many requests"),
            ("login_busy", Outcome::LoginBusy, "under way"),
            ("test_busy", Outcome::TestBusy, "under way"),
            ("settings_changed", Outcome::SettingsChanged, "during the test"),
            ("too_old", Outcome::TooOld { version: "0.20.1".to_owned() }, "0.20.1"),
            ("server_error", failed(E::Server { endpoint: "/", status: 502, after: None }), "502"),
        ]
    }

    #[test]
    fn each_outcome_has_its_word_its_sentence_and_its_remedy() {
        for (word, outcome, says) in all() {
            let (sentence, remedy) = (outcome.sentence(), outcome.remedy());
            assert_eq!(outcome.word(), word);
            assert!(sentence.contains(says), "{word}: {sentence}");
            for text in [sentence.as_str(), remedy] {
                assert!(
                    text.ends_with('.') && !text.ends_with("..") && !text.starts_with(char::is_lowercase),
                    "{text}"
                );
            }
            assert!(word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{word}");
        }
    }

    #[test]
    fn the_remedy_says_nothing_that_the_sentence_has_said() {
        use tactical::UrlError as U;
        let urls = [U::Empty, U::NotAUrl, U::Scheme, U::Http, U::UserInfo, U::Path, U::Query, U::Fragment, U::Port(22)];
        let urls = urls.into_iter().chain([U::TooLong, U::Address]).map(|it| failed(tactical::Error::BadUrl(it)));
        for outcome in urls.chain(all().into_iter().map(|it| it.1)) {
            let (said, remedy) = (outcome.sentence(), outcome.remedy());
            let fours = |text: &str| {
                let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
                words.windows(4).map(|four| four.join(" ")).collect::<std::collections::HashSet<_>>()
            };
            let twice: Vec<_> = fours(&said).intersection(&fours(remedy)).cloned().collect();
            assert!(twice.is_empty(), "{said} {remedy}: {twice:?}");
            assert!(!said.contains("..") && !remedy.contains(".."), "{said} {remedy}");
        }
    }

    #[test]
    fn outcomes_with_different_words_say_different_things() {
        let mut seen = std::collections::HashMap::new();
        for (word, outcome, _) in all() {
            let before = seen.insert(outcome.sentence(), word);
            assert!(before.is_none_or(|before| before == word), "{word} and {before:?} say the same");
        }
    }

    #[test]
    fn a_known_wait_is_told() {
        let after = Some(Duration::from_secs(59));
        assert_eq!(failed(tactical::Error::Throttled { after }).retry_after(), after);
        assert_eq!(Outcome::CodeNeeded.retry_after(), None);
    }
}
