//! Which IP addresses are outside: everything that the registries do not keep for something else.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(a: u16, b: u16, c: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), prefix)
}

/// What IANA's special-purpose registry keeps from the public, and what is multicast or reserved.
const NOT_PUBLIC_V4: [Ipv4Net; 18] = [
    v4(0, 0, 0, 0, 8),       // this network
    v4(10, 0, 0, 0, 8),      // private
    v4(100, 64, 0, 0, 10),   // carriers' NAT; Alibaba's metadata
    v4(127, 0, 0, 0, 8),     // loopback
    v4(169, 254, 0, 0, 16),  // link-local; the clouds' metadata
    v4(172, 16, 0, 0, 12),   // private
    v4(192, 0, 0, 0, 24),    // protocol assignments; Oracle's metadata
    v4(192, 0, 2, 0, 24),    // documentation
    v4(192, 31, 196, 0, 24), // AS112
    v4(192, 52, 193, 0, 24), // multicast tunnels
    v4(192, 88, 99, 0, 24),  // 6to4 relays
    v4(192, 168, 0, 0, 16),  // private
    v4(192, 175, 48, 0, 24), // AS112
    v4(198, 18, 0, 0, 15),   // benchmarks
    v4(198, 51, 100, 0, 24), // documentation
    v4(203, 0, 113, 0, 24),  // documentation
    v4(224, 0, 0, 0, 4),     // multicast
    v4(240, 0, 0, 0, 4),     // reserved, broadcast
];

/// Of IPv6 only this is handed out to the public …
const PUBLIC_V6: Ipv6Net = v6(0x2000, 0, 0, 3);
/// … except these parts of it.
const NOT_PUBLIC_V6: [Ipv6Net; 5] = [
    v6(0x2001, 0, 0, 23),         // protocol assignments: Teredo, benchmarks, ORCHID
    v6(0x2001, 0xdb8, 0, 32),     // documentation
    v6(0x2002, 0, 0, 16),         // 6to4: an IPv4 address inside
    v6(0x2620, 0x4f, 0x8000, 48), // AS112
    v6(0x3fff, 0, 0, 20),         // documentation
];

/// Metadata services hand out the machine's own credentials: a network of the operator's does not open them by the way.
const METADATA: [IpAddr; 6] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    // Azure's platform: public by number, this machine's host by meaning
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// Whether a connection may be made to the address: it is public, or in one of the operator's networks.
pub(crate) fn is_permitted(address: IpAddr, allowed: &[IpNet]) -> bool {
    // ::ffff:a.b.c.d is that IPv4 address
    let address = address.to_canonical();
    // NAT64's well-known prefix leads to the one inside, seen from the translator: what the operator allowed is this
    // machine's 127.0.0.1 or 10.0.0.1 and not that one's, and RFC 6052 forbids such a translation anyway
    if let Some(inside) = nat64(address).map(IpAddr::V4) {
        return is_public(inside) && !METADATA.contains(&inside);
    }
    if METADATA.contains(&address) {
        return allowed.contains(&IpNet::from(address));
    }
    is_public(address) || allowed.iter().any(|network| network.contains(&address))
}

/// The IPv4 address that 64:ff9b::/96 leads to.
fn nat64(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(address) = address else { return None };
    let [0x64, 0xff9b, 0, 0, 0, 0, high, low] = address.segments() else { return None };
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    Some(Ipv4Addr::new(a, b, c, d))
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !NOT_PUBLIC_V4.iter().any(|network| network.contains(&address)),
        IpAddr::V6(address) => {
            PUBLIC_V6.contains(&address)
                && !NOT_PUBLIC_V6.iter().any(|network| network.contains(&address))
                && !is_isatap(address)
        }
    }
}

/// ISATAP: a tunnel whose IPv4 end stands in the last 32 bits.
fn is_isatap(address: Ipv6Addr) -> bool {
    let [.., a, b, _, _] = address.segments();
    matches!((a, b), (0 | 0x200, 0x5efe))
}
