//! The tricks that a tenant's URL can be made of, in a table.

use super::*;

fn config(http: bool, networks: &[&str]) -> Config {
    let allow_networks = networks.iter().map(|network| network.parse().expect("a network")).collect();
    Config { allow_http: http, allow_networks, ..Config::default() }
}

/// Everything that must not be spoken to, and why.
const REFUSED: &[(&str, UrlError)] = &[
    ("", UrlError::Empty),
    (" \t ", UrlError::Empty),
    // no URL, other schemes
    ("api.example.com", UrlError::Scheme),
    ("//api.example.com", UrlError::Scheme),
    ("api.example.com:443", UrlError::Scheme),
    ("ftp://api.example.com", UrlError::Scheme),
    ("file:///etc/passwd", UrlError::Scheme),
    ("gopher://127.0.0.1:6379/_x", UrlError::Scheme),
    ("data:text/plain,x", UrlError::Scheme),
    ("javascript:alert(1)", UrlError::Scheme),
    ("wss://api.example.com", UrlError::Scheme),
    ("http://api.example.com", UrlError::Http),
    ("https://", UrlError::NotAUrl),
    ("https://.", UrlError::NotAUrl),
    ("https://api.exa mple.com", UrlError::NotAUrl),
    ("https://api.example.com\r\nX-Header: y", UrlError::NotAUrl),
    ("https://exa\tmple.com", UrlError::NotAUrl),
    ("https:\\\\api.example.com", UrlError::NotAUrl),
    ("https://api.example.com\\@127.0.0.1", UrlError::NotAUrl),
    ("https://api%00.example.com", UrlError::NotAUrl),
    ("https://api.example.com:99999", UrlError::NotAUrl),
    ("https://1.2.3.4.5", UrlError::NotAUrl),
    ("https://256.256.256.256", UrlError::NotAUrl),
    ("https://[::1", UrlError::NotAUrl),
    // parts that do not belong there
    ("https://user:secret@api.example.com", UrlError::UserInfo),
    ("https://api.example.com@127.0.0.1", UrlError::UserInfo),
    ("https://127.0.0.1@api.example.com", UrlError::UserInfo),
    ("https://:secret@api.example.com", UrlError::UserInfo),
    ("https://@api.example.com", UrlError::UserInfo),
    ("HTTPS://:@api.example.com/", UrlError::UserInfo),
    ("https:@api.example.com", UrlError::UserInfo),
    ("https:///@api.example.com", UrlError::UserInfo),
    ("https://user@@api.example.com", UrlError::UserInfo),
    ("https://api.example.com/@x", UrlError::Path),
    ("https://api.example.com/api", UrlError::Path),
    ("https://api.example.com/api/", UrlError::Path),
    ("https://api.example.com//", UrlError::Path),
    ("https://api.example.com/?x=1", UrlError::Query),
    ("https://api.example.com?", UrlError::Query),
    ("https://api.example.com/#x", UrlError::Fragment),
    ("https://api.example.com#@127.0.0.1", UrlError::Fragment),
    // ports
    ("https://api.example.com:22", UrlError::Port(22)),
    ("https://api.example.com:25", UrlError::Port(25)),
    ("https://api.example.com:80", UrlError::Port(80)),
    ("https://api.example.com:0", UrlError::Port(0)),
    ("https://api.example.com:1023", UrlError::Port(1023)),
    // this host
    ("https://localhost", UrlError::Address),
    ("https://LOCALHOST:8443", UrlError::Address),
    ("https://localhost.", UrlError::Address),
    ("https://tenant.localhost", UrlError::Address),
    ("https://localhost.localdomain", UrlError::Address),
    ("https://127.0.0.1", UrlError::Address),
    ("https://127.0.0.1.", UrlError::Address),
    ("https://127.255.255.254", UrlError::Address),
    // IPv4 in other notations: short, decimal, octal, hexadecimal, mixed, percent-encoded, full-width, enclosed
    ("https://127.1", UrlError::Address),
    ("https://127.0.1", UrlError::Address),
    ("https://2130706433", UrlError::Address),
    ("https://017700000001", UrlError::Address),
    ("https://0177.0.0.1", UrlError::Address),
    ("https://0177.0.0.01", UrlError::Address),
    ("https://0x7f000001", UrlError::Address),
    ("https://0x7f.1", UrlError::Address),
    ("https://0X7F.0.0x0.1", UrlError::Address),
    ("https://%31%32%37.0.0.1", UrlError::Address),
    ("https://127%2e0%2e0%2e1", UrlError::Address),
    ("https://１２７.０.０.１", UrlError::Address),
    ("https://127。0。0。1", UrlError::Address),
    ("https://①②⑦.⓪.⓪.①", UrlError::Address),
    ("https://0", UrlError::Address),
    ("https://0.0.0.0", UrlError::Address),
    ("https://0x0", UrlError::Address),
    // private, shared, link-local, metadata
    ("https://10.0.0.5", UrlError::Address),
    ("https://10.5", UrlError::Address),
    ("https://172.16.0.1", UrlError::Address),
    ("https://172.31.255.255", UrlError::Address),
    ("https://192.168.1.1", UrlError::Address),
    ("https://3232235777", UrlError::Address),
    ("https://100.64.0.1", UrlError::Address),
    ("https://100.127.255.255", UrlError::Address),
    ("https://100.100.100.200", UrlError::Address),
    ("https://169.254.169.254", UrlError::Address),
    ("https://0xa9fea9fe", UrlError::Address),
    ("https://2852039166", UrlError::Address),
    ("https://0251.0376.0251.0376", UrlError::Address),
    ("https://169.254.170.2", UrlError::Address),
    ("https://168.63.129.16", UrlError::Address),
    ("https://192.0.0.192", UrlError::Address),
    // documentation, benchmarks, relays, multicast, reserved, broadcast
    ("https://192.0.2.1", UrlError::Address),
    ("https://198.51.100.7", UrlError::Address),
    ("https://203.0.113.9", UrlError::Address),
    ("https://198.18.0.1", UrlError::Address),
    ("https://198.19.255.255", UrlError::Address),
    ("https://192.88.99.1", UrlError::Address),
    ("https://224.0.0.1", UrlError::Address),
    ("https://239.255.255.250", UrlError::Address),
    ("https://240.0.0.1", UrlError::Address),
    ("https://255.255.255.255", UrlError::Address),
    // IPv6: loopback, unspecified, link-local with and without a zone, site-local, ULA, metadata
    ("https://[::1]", UrlError::Address),
    ("https://[0:0:0:0:0:0:0:1]:8443", UrlError::Address),
    ("https://[::]", UrlError::Address),
    ("https://[fe80::1]", UrlError::Address),
    ("https://[fe80::1%25eth0]", UrlError::NotAUrl),
    ("https://[fe80::1%eth0]", UrlError::NotAUrl),
    ("https://[fec0::1]", UrlError::Address),
    ("https://[fc00::1]", UrlError::Address),
    ("https://[fd12:3456::1]", UrlError::Address),
    ("https://[fd00:ec2::254]", UrlError::Address),
    // IPv4 inside IPv6: mapped, compatible, translated, NAT64 (well-known and local), 6to4, Teredo, ISATAP
    ("https://[::ffff:127.0.0.1]", UrlError::Address),
    ("https://[::ffff:7f00:1]", UrlError::Address),
    ("https://[::ffff:a9fe:a9fe]", UrlError::Address),
    ("https://[::127.0.0.1]", UrlError::Address),
    ("https://[::8.8.8.8]", UrlError::Address),
    ("https://[::ffff:0:127.0.0.1]", UrlError::Address),
    ("https://[64:ff9b::127.0.0.1]", UrlError::Address),
    ("https://[64:ff9b::a00:5]", UrlError::Address),
    ("https://[64:ff9b::a9fe:a9fe]", UrlError::Address),
    ("https://[64:ff9b:1::8.8.8.8]", UrlError::Address),
    ("https://[2002:7f00:1::]", UrlError::Address),
    ("https://[2002:808:808::1]", UrlError::Address),
    ("https://[2001:0:4136:e378:8000:63bf:3fff:fdd2]", UrlError::Address),
    ("https://[2606:4700::5efe:10.0.0.1]", UrlError::Address),
    ("https://[2606:4700::200:5efe:10.0.0.1]", UrlError::Address),
    // the rest that is nobody's host
    ("https://[2001:db8::1]", UrlError::Address),
    ("https://[3fff::1]", UrlError::Address),
    ("https://[2001:2::1]", UrlError::Address),
    ("https://[2001:20::1]", UrlError::Address),
    ("https://[100::1]", UrlError::Address),
    ("https://[5f00::1]", UrlError::Address),
    ("https://[ff02::1]", UrlError::Address),
];

/// What is a host like any other.
const TAKEN: &[(&str, &str)] = &[
    ("https://api.example.com", "https://api.example.com/"),
    ("  https://API.Example.com/ \n", "https://api.example.com/"),
    ("https://api.example.com.", "https://api.example.com./"),
    ("https://api.example.com:443/", "https://api.example.com/"),
    ("https://api.example.com:8443", "https://api.example.com:8443/"),
    ("https://api.bücher.example", "https://api.xn--bcher-kva.example/"),
    ("https://8.8.8.8", "https://8.8.8.8/"),
    ("https://[2606:4700::1111]", "https://[2606:4700::1111]/"),
    ("https://[::ffff:8.8.8.8]", "https://[::ffff:808:808]/"),
    ("https://[64:ff9b::8.8.8.8]", "https://[64:ff9b::808:808]/"),
    ("https://localhost.example.com", "https://localhost.example.com/"),
];

#[test]
fn no_trick_reaches_inside() {
    let config = config(false, &[]);
    for (text, why) in REFUSED {
        assert_eq!(check(text, &config).as_ref(), Err(why), "{text}");
    }
    let long = format!("https://{}.example.com", "a".repeat(250));
    assert_eq!(check(&long, &config), Err(UrlError::TooLong));
}

#[test]
fn an_outside_host_is_taken_as_its_origin() {
    let config = config(false, &[]);
    for (text, url) in TAKEN {
        assert_eq!(check(text, &config).map(String::from).as_deref(), Ok(*url), "{text}");
    }
}

#[test]
fn http_opens_its_own_port_and_no_address() {
    let config = config(true, &[]);
    assert!(check("http://api.example.com", &config).is_ok());
    assert!(check("http://api.example.com:8080", &config).is_ok());
    assert_eq!(check("http://api.example.com:25", &config), Err(UrlError::Port(25)));
    assert_eq!(check("https://api.example.com:80", &config), Err(UrlError::Port(80)));
    assert_eq!(check("http://127.0.0.1", &config), Err(UrlError::Address));
}

#[test]
fn an_operators_network_opens_itself_alone() {
    let config = config(false, &["10.1.0.0/16", "fd12::/48"]);
    for open in ["https://10.1.2.3", "https://0xa010203", "https://[::ffff:10.1.2.3]", "https://[fd12::7]"] {
        assert!(check(open, &config).is_ok(), "{open}");
    }
    for shut in ["https://10.2.0.1", "https://127.0.0.1", "https://[fd13::7]", "https://[64:ff9b::10.2.0.1]"] {
        assert_eq!(check(shut, &config), Err(UrlError::Address), "{shut}");
    }
    assert_eq!(check("https://localhost", &self::config(false, &["127.0.0.0/8"])).map(|_| ()), Ok(()));
}

#[test]
fn what_is_open_here_is_not_open_behind_a_translator() {
    let wide = config(true, &["127.0.0.0/8", "10.0.0.0/8", "168.63.129.16/32", "0.0.0.0/0", "::/0"]);
    for (here, there) in [
        ("http://[::ffff:7f00:1]", "http://[64:ff9b::7f00:1]"),
        ("https://127.0.0.1", "https://[64:ff9b::127.0.0.1]"),
        ("https://10.1.2.3", "https://[64:ff9b::a01:203]"),
        ("https://168.63.129.16", "https://[64:ff9b::168.63.129.16]"),
    ] {
        assert!(check(here, &wide).is_ok(), "{here}");
        assert_eq!(check(there, &wide), Err(UrlError::Address), "{there}");
    }
    assert!(check("https://[64:ff9b::8.8.8.8]", &wide).is_ok());
}

#[test]
fn a_metadata_service_is_opened_by_its_own_address_only() {
    let wide = config(false, &["0.0.0.0/0", "169.254.0.0/16", "::/0"]);
    for url in ["https://169.254.169.254", "https://[::ffff:169.254.169.254]", "https://[64:ff9b::169.254.169.254]"] {
        assert_eq!(check(url, &wide), Err(UrlError::Address), "{url}");
    }
    assert_eq!(check("https://[fd00:ec2::254]", &wide), Err(UrlError::Address));
    assert!(check("https://169.254.169.254", &config(false, &["169.254.169.254/32"])).is_ok());
}

#[test]
fn a_refusal_repeats_nothing_that_was_typed() {
    for (text, _) in REFUSED {
        let said = check(text, &Config::default()).expect_err("it is refused").to_string();
        assert!(!said.contains("secret") && !said.contains("passwd"), "{said}");
    }
}
