//! Resolves host names and lets only permitted addresses through, so that a name cannot lead where an address may not.

use std::io;
use std::net::SocketAddr;

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::guard;

/// Why a name gave no address to connect to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResolveError {
    /// The system's resolver found none.
    #[error("no address was found")]
    NotFound(#[source] io::Error),
    /// All that it found are inside.
    #[error("no address is public")]
    Refused,
}

/// The system's resolver behind the guard. What it lets through is what is connected to: there is no second look-up that
/// could answer differently.
#[derive(Debug)]
pub(crate) struct Resolver {
    pub(crate) allowed: Vec<IpNet>,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let allowed = self.allowed.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await.map_err(ResolveError::NotFound)?;
            let kept = permitted(found, &allowed)?;
            Ok(Box::new(kept.into_iter()) as Addrs)
        })
    }
}

fn permitted(found: impl Iterator<Item = SocketAddr>, allowed: &[IpNet]) -> Result<Vec<SocketAddr>, ResolveError> {
    let kept: Vec<SocketAddr> = found.filter(|address| guard::is_permitted(address.ip(), allowed)).collect();
    if kept.is_empty() { Err(ResolveError::Refused) } else { Ok(kept) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| SocketAddr::new(text.parse().expect("an address"), 0)).collect()
    }

    #[test]
    fn of_a_names_addresses_only_the_permitted_are_connected_to() {
        let found = addresses(&["10.0.0.1", "8.8.8.8", "::1", "::ffff:127.0.0.1", "2606:4700::1111"]);
        let kept = permitted(found.into_iter(), &[]).expect("two are public");
        assert_eq!(kept, addresses(&["8.8.8.8", "2606:4700::1111"]));
    }

    #[test]
    fn a_name_that_leads_inside_is_refused() {
        let found = || addresses(&["169.254.169.254", "127.0.0.1", "fd00::1"]).into_iter();
        assert!(matches!(permitted(found(), &[]), Err(ResolveError::Refused)));
        let allowed = ["127.0.0.0/8".parse().expect("a network")];
        assert_eq!(permitted(found(), &allowed).expect("one is allowed"), addresses(&["127.0.0.1"]));
    }
}
