//! When two names mean the same client: for a proposal, never for a decision.

/// Words at the end of a name that say what it is in law, not who it is.
const SUFFIXES: &[&str] = &[
    "ab",
    "ag",
    "aps",
    "as",
    "bv",
    "co",
    "company",
    "corp",
    "corporation",
    "ev",
    "gbr",
    "gmbh",
    "group",
    "holding",
    "inc",
    "incorporated",
    "kg",
    "kk",
    "limited",
    "llc",
    "llp",
    "lp",
    "ltd",
    "mbh",
    "nv",
    "oy",
    "oyj",
    "plc",
    "pte",
    "pty",
    "sa",
    "sarl",
    "sas",
    "se",
    "spa",
    "srl",
    "ug",
    "und",
    "and",
];

/// The name in lower case without punctuation and legal suffixes; letters of every script stay. Never empty where the name
/// has a letter or a digit.
pub(super) fn normalized(name: &str) -> String {
    // a dot or an apostrophe joins (`B.V.`, `O'Neil`), everything else that is no letter or digit parts
    let plain: String = (name.to_lowercase().chars())
        .filter(|sign| !matches!(sign, '.' | '\'' | '’'))
        .map(|sign| if sign.is_alphanumeric() { sign } else { ' ' })
        .collect();
    let mut words: Vec<&str> = plain.split_whitespace().collect();
    while words.len() > 1 && words.last().is_some_and(|word| SUFFIXES.contains(word)) {
        words.pop();
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_punctuation_and_legal_suffixes_do_not_tell_clients_apart_and_letters_do() {
        for (one, other) in [
            ("Acme GmbH", "ACME"),
            ("Acme, Inc.", "acme"),
            ("Acme GmbH & Co. KG", "Acme"),
            ("Foo-Bar  B.V.", "foo bar"),
            ("O'Neil Ltd", "oneil"),
            ("Müller AG", "MÜLLER"),
            ("株式会社 日本", "株式会社 日本"),
        ] {
            assert_eq!(normalized(one), normalized(other), "{one}");
        }
        for (one, other) in [("Müller", "Muller"), ("日本", "中国"), ("Acme North", "Acme South"), ("AG", "KG")] {
            assert_ne!(normalized(one), normalized(other), "{one}");
        }
        assert_eq!(normalized(" - "), "");
    }
}
