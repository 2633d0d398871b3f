//! What a person can do about each error: beside what the error says, and never the same again.

use crate::{AuthFault, Error, UrlError};

impl Error {
    /// What a person can do about it, in one sentence or two.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::BadUrl(error) => error.remedy(),
            Self::UnusableKey => "Copy the key from Tactical again: it is 32 letters and digits.",
            Self::NotResolved { .. } => "Check the spelling of the host name, and that its DNS record is public.",
            Self::AddressRefused { .. } => {
                "Use the server's public name. For a server in your own network the operator allows that network with \
                 --tactical-allow-networks."
            }
            Self::Refused { .. } => {
                "Check that the server runs and that its firewall lets this system in on that port."
            }
            Self::NoHttp { .. } => {
                "Check that the port is the one where Tactical answers (443 unless somebody moved it), and that the server \
                 is not just starting; then try again."
            }
            Self::Tls { .. } => {
                "Check that the certificate is valid for this host name, has not expired, is sent with its \
                 intermediate certificates, and that the port speaks TLS."
            }
            Self::Timeout { .. } => {
                "Check that the server is up and not overloaded, and that no firewall drops the packets; then try again."
            }
            Self::WrongHost { .. } => {
                "Usually the API host has the same name with api. in place of rmm.: save that one. If it is saved \
                 already, a proxy in front of it shows a page of its own, as while Tactical is being updated: try again \
                 later."
            }
            Self::HostNotAllowed { .. } => {
                "Use exactly the API host name that Tactical was installed with (ALLOWED_HOSTS in its local_settings.py)."
            }
            Self::NoSuchRoute { .. } => "Save the address of Tactical's API host; if it is that, update Tactical.",
            Self::Unauthorized(fault) => fault.remedy(),
            Self::Forbidden { .. } => {
                "Give the user's role the permission in Tactical (Settings, Permissions Manager), and the clients \
                 it is to see."
            }
            Self::Blocked { .. } => "Let this system through the firewall or proxy in front of Tactical.",
            Self::NotFound { .. } => "It was deleted in Tactical, or the role does not see it.",
            Self::BetaOff => {
                "Use the standard source, or set BETA_API_ENABLED = True in Tactical's local_settings.py and restart it."
            }
            Self::BadRequest { .. } => "Update Tactical or this system: the two do not understand each other here.",
            Self::BadCredentials => {
                "Check user name, password and code; the user may not be an SSO user nor have its dashboard login blocked."
            }
            Self::Throttled { .. } => "Wait as long as the server asks; it allows ten logins a minute and 300 a day.",
            Self::Server { .. } => "Look at Tactical's own log; while it is being updated this passes by itself.",
            Self::Redirected { .. } => "Enter the address that the server leads to, if it is Tactical's API host.",
            Self::TooLarge { .. } => {
                "Ask the operator to raise the limit (--tactical-…-bytes-max) if the fleet is that large."
            }
            Self::Truncated { .. } => {
                "It is tried again; if it stays so, look at the proxy's limits in front of Tactical."
            }
            Self::Unreadable { .. } => {
                "Check that this is Tactical's API host, and that nothing in front changes its answers."
            }
            Self::AgentAway => "Check that the device is on and its agent connected.",
            Self::AgentTimeout => "Look at the agent's history in Tactical whether it ran, or allow it more time.",
            Self::NatsDown => "Restart the services nats and nats-api on the Tactical server.",
            Self::BreakerOpen { .. } | Self::Busy => "Nothing: it is tried again by itself.",
        }
    }
}

impl AuthFault {
    fn remedy(self) -> &'static str {
        match self {
            Self::Missing => {
                "Enter an API key; if one is entered, a proxy in front of the server removes the X-API-KEY header."
            }
            Self::Invalid => {
                "Make an API key in Tactical (Settings, Global Settings, API Keys) and enter it; with a login, log in again."
            }
            Self::Expired => "Make a new API key in Tactical, or move this one's expiration date.",
            Self::Inactive => "Switch the key's user on in Tactical, or make a key for another.",
        }
    }
}

impl UrlError {
    /// What a person can do about it, in one sentence or two.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Empty | Self::TooLong | Self::NotAUrl => {
                "Give the address of the API host and nothing more, such as https://api.example.com."
            }
            Self::Scheme => "Write https:// before the name of the API host.",
            Self::Http => {
                "Use https://. For a server in your own network the operator can allow http with --tactical-allow-http."
            }
            Self::UserInfo => "Remove everything between https:// and the @, and the @ itself.",
            Self::Path => "Leave out everything after the host name (no /api, no /agents).",
            Self::Query => "Leave out everything from the ? on.",
            Self::Fragment => "Leave out everything from the # on.",
            Self::Port(_) => "Use 443, or a port from 1024 on.",
            Self::Address => {
                "Use the server's public name. For a server in your own network the operator allows that network with \
                 --tactical-allow-networks."
            }
        }
    }
}
