//! Which servers are too old.

/// The oldest version that is spoken to. Everything here was measured on 1.5.1; before 1.0 the login had other paths and the
/// list of agents lacked fields, and nobody has looked at those servers.
pub(crate) const VERSION_MIN: [u32; 3] = [1, 0, 0];

/// [`VERSION_MIN`] for a person.
pub(crate) const VERSION_MIN_TEXT: &str = "1.0.0";

/// Whether it is too old. What is no version of three numbers is not judged.
pub(crate) fn is_too_old(version: &str) -> bool {
    parse(version).is_some_and(|version| version < VERSION_MIN)
}

fn parse(version: &str) -> Option<[u32; 3]> {
    let version = version.trim().trim_start_matches('v');
    // `1.5.1-dev` is a 1.5.1
    let version = version.split(['-', '+', ' ']).next()?;
    let mut numbers = version.split('.').map(|number| number.parse().ok());
    let parsed = [numbers.next()??, numbers.next()??, numbers.next().unwrap_or(Some(0))?];
    numbers.next().is_none().then_some(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers_and_what_is_none_is_not_judged() {
        for (version, too_old) in [
            ("1.5.1", false),
            ("1.0.0", false),
            ("1.0", false),
            ("0.20.1", true),
            ("v0.9.9-dev", true),
            ("10.0.0", false),
            ("", false),
            ("dev", false),
            ("0.1.2.3", false),
        ] {
            assert_eq!(is_too_old(version), too_old, "{version}");
        }
        assert_eq!(VERSION_MIN.map(|number| number.to_string()).join("."), VERSION_MIN_TEXT);
    }
}
