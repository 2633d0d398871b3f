//! Small readings of Tactical's values that more than one answer needs. Pure.

use std::net::IpAddr;

use chrono::{DateTime, SubsecRound as _, Utc};

/// A machine with two of the same processor has one model; with two of different ones both are told.
pub(crate) fn processors(models: &[String]) -> Option<String> {
    let mut distinct: Vec<&str> = Vec::new();
    for model in models {
        if !distinct.contains(&model.as_str()) {
            distinct.push(model);
        }
    }
    (!distinct.is_empty()).then(|| distinct.join(", "))
}

/// The first IPv4 address that others in the network can use.
pub(crate) fn lan_ip(addresses: &[IpAddr]) -> Option<String> {
    let mut usable = addresses.iter().filter(|ip| match ip {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_unspecified() && !ip.is_link_local(),
        IpAddr::V6(_) => false,
    });
    usable.next().map(ToString::to_string)
}

/// A boot time in whole seconds: its fraction differs from report to report on some machines, and would make a change of
/// nothing.
pub(crate) fn boot(at: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    at.map(|at| at.trunc_subsecs(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_usable_ipv4_address_is_the_one_inside() {
        for (listed, expected) in [
            (["172.17.9.121", "172.17.9.6"], Some("172.17.9.121")),
            (["203.121.23.54", "fd70::253:70dc:fe65:143"], Some("203.121.23.54")),
            (["fe80::1", "192.168.45.113"], Some("192.168.45.113")),
            (["169.254.3.4", "10.1.2.3"], Some("10.1.2.3")),
            (["127.0.0.1", "0.0.0.0"], None),
            (["fd70::1", "fd70::2"], None),
        ] {
            let addresses = listed.map(|ip| ip.parse().expect("it is an address"));
            assert_eq!(lan_ip(&addresses).as_deref(), expected, "{listed:?}");
        }
        assert_eq!(lan_ip(&[]), None);
    }

    #[test]
    fn equal_processors_are_told_once() {
        let told = |models: &[&str]| processors(&models.iter().map(|&model| model.to_owned()).collect::<Vec<_>>());
        assert_eq!(told(&["Xeon", "Xeon"]).as_deref(), Some("Xeon"));
        assert_eq!(told(&["Xeon, 8C/16T", "Xeon"]).as_deref(), Some("Xeon, 8C/16T, Xeon"));
        assert_eq!(told(&[]), None);
    }
}
