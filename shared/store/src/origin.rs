//! Whether two URLs lead to the same server: scheme, host and port, however they were written. Pure.

use url::Url;

/// Whether both have the same origin. What is no URL is the same only as itself; none is the same as nothing.
pub(crate) fn is_same(one: Option<&str>, other: Option<&str>) -> bool {
    let (Some(one), Some(other)) = (one, other) else { return false };
    one == other || of(one).is_some_and(|origin| of(other) == Some(origin))
}

fn of(text: &str) -> Option<url::Origin> {
    Url::parse(text.trim()).ok().map(|url| url.origin()).filter(url::Origin::is_tuple)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scheme_host_and_port_decide_however_they_are_written() {
        let ours = Some("https://api.example.com");
        for same in ["https://api.example.com", "https://API.example.com:443/", " https://api.example.com/api "] {
            assert!(is_same(ours, Some(same)), "{same}");
        }
        for other in ["http://api.example.com", "https://api.example.com:8443", "https://rmm.example.com", "api", ""] {
            assert!(!is_same(ours, Some(other)), "{other}");
        }
        assert!(!is_same(None, ours) && !is_same(ours, None) && !is_same(None, None));
        assert!(is_same(Some("no url"), Some("no url")) && !is_same(Some("data:x"), Some("data:y")));
    }
}
