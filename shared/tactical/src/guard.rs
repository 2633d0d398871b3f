//! What a tenant may give as the URL of its server: an outside name or address, and nothing that leads inside.
//!
//! A tenant's URL makes this process send requests from within the operator's network. So the URL is checked as it was
//! parsed ([`check`], also on every use, since literal addresses never reach a resolver), every resolved address is
//! checked before a connection is made (`resolver`), redirects are never followed and no proxy is used.
//!
//! Ports: 443 and everything from 1024, over http also 80. Below 1024 live the services that a request could be made to
//! speak to (SSH, SMTP, LDAP …); Tactical behind another port is always a published high one.

mod address;

use url::{Host, Url};

use crate::Config;

pub(crate) use address::is_permitted;

/// `rmm_integrations.instance_url` is a varchar(255).
const URL_CHARS_MAX: usize = 255;
/// From here on a port is nobody's well-known service.
const PORT_MIN: u16 = 1024;

/// Why a text is not the URL of an API host. The sentences are for the person who typed it, and never repeat a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// Nothing was given.
    #[error("the URL is empty")]
    Empty,
    /// More than 255 characters.
    #[error("the URL is longer than {URL_CHARS_MAX} characters")]
    TooLong,
    /// Not a URL at all.
    #[error("this is not a URL")]
    NotAUrl,
    /// Another scheme than http and https, or none.
    #[error("the URL does not begin with https://")]
    Scheme,
    /// http, which the operator does not allow.
    #[error("the URL begins with http://, which would send the API key in clear")]
    Http,
    /// `user:password@`.
    #[error("the URL holds a user name or a password")]
    UserInfo,
    /// A path: `/api` is the usual mistake.
    #[error("the URL has a path, and the API lies at the root of its host")]
    Path,
    /// `?…`
    #[error("the URL has a query")]
    Query,
    /// `#…`
    #[error("the URL has a fragment")]
    Fragment,
    /// A port that nobody publishes Tactical on.
    #[error("port {0} is not allowed, as other services live below {PORT_MIN}")]
    Port(u16),
    /// An address or a name that is not public and not in the operator's list.
    #[error("the URL points to an address that is not public")]
    Address,
}

/// The URL of an API host, as origin (`https://api.example.com/`), if the text is one that may be spoken to.
///
/// # Errors
/// Which rule it breaks.
pub fn check(text: &str, config: &Config) -> Result<Url, UrlError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(UrlError::Empty);
    }
    if text.chars().count() > URL_CHARS_MAX {
        return Err(UrlError::TooLong);
    }
    // the parser would drop tabs and newlines, and take a backslash for a slash
    if text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\') {
        return Err(UrlError::NotAUrl);
    }
    if has_user_info(text) {
        return Err(UrlError::UserInfo);
    }
    let url = Url::parse(text).map_err(|error| match error {
        url::ParseError::RelativeUrlWithoutBase => UrlError::Scheme,
        _ => UrlError::NotAUrl,
    })?;
    check_parts(&url, config)?;
    check_host(&url, config)?;
    Ok(url)
}

/// An @ before the host; one without names is a mistake as well, and the parser forgets it, so look at what was typed.
fn has_user_info(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let is_web = scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http");
    let authority = rest.trim_start_matches('/').split(['/', '?', '#']).next();
    is_web && authority.is_some_and(|authority| authority.contains('@'))
}

fn check_parts(url: &Url, config: &Config) -> Result<(), UrlError> {
    match url.scheme() {
        "https" => {}
        "http" if config.allow_http => {}
        "http" => return Err(UrlError::Http),
        _ => return Err(UrlError::Scheme),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(UrlError::UserInfo);
    }
    if url.query().is_some() {
        return Err(UrlError::Query);
    }
    if url.fragment().is_some() {
        return Err(UrlError::Fragment);
    }
    if url.path() != "/" {
        return Err(UrlError::Path);
    }
    match url.port_or_known_default() {
        Some(443) => Ok(()),
        Some(80) if url.scheme() == "http" => Ok(()),
        Some(port) if port >= PORT_MIN => Ok(()),
        port => Err(UrlError::Port(port.unwrap_or_default())),
    }
}

/// Literal addresses, in whatever notation they were written: the parser has read them all into one.
fn check_host(url: &Url, config: &Config) -> Result<(), UrlError> {
    let address = match url.host() {
        Some(Host::Ipv4(address)) => address.into(),
        Some(Host::Ipv6(address)) => address.into(),
        // this host by name: a resolver would say so too, but the person learns it at once
        Some(Host::Domain(name)) if is_this_host(name) => std::net::Ipv4Addr::LOCALHOST.into(),
        Some(Host::Domain(name)) if name.trim_end_matches('.').is_empty() => return Err(UrlError::NotAUrl),
        Some(Host::Domain(_)) => return Ok(()),
        None => return Err(UrlError::NotAUrl),
    };
    if is_permitted(address, &config.allow_networks) { Ok(()) } else { Err(UrlError::Address) }
}

/// `localhost` and everything below it (RFC 6761), with or without the root's dot; the parser has lowered its letters.
fn is_this_host(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    name == "localhost" || name.ends_with(".localhost") || name == "localhost.localdomain"
}

#[cfg(test)]
#[path = "guard/tests.rs"]
mod tests;
