//! What makes two reports the same, and what must not.

use super::*;

fn program(name: &str, version: &str) -> Program {
    Program { name: Some(name.to_owned()), version: Some(version.to_owned()), ..Program::default() }
}

#[test]
fn order_duplicates_and_space_make_no_difference() {
    let one = [program("Firefox", "1.0"), program("7-Zip", "24"), program("Firefox", "2.0")];
    let other =
        [program(" 7-Zip ", "24"), program("Firefox", "2.0 "), program("Firefox", "1.0"), program("Firefox", "1.0")];
    let (one, other) = (List::of(&one), List::of(&other));
    assert_eq!(one, other);
    assert_eq!(one.digest(), other.digest());
    assert_eq!(one.count(), 3);
    let firefox = one.0.values().find(|entry| entry.name == "Firefox").map(|entry| highest(&entry.versions));
    assert_eq!(firefox.flatten().map(|(version, _)| version.as_str()), Some("2.0"));
}

#[test]
fn every_field_that_is_written_is_in_the_digest() {
    let base = Program {
        publisher: Some("Mozilla".to_owned()),
        install_date: Some("2024-6-01".to_owned()),
        size: Some("1 MB".to_owned()),
        location: Some("C:\\".to_owned()),
        ..program("Firefox", "1.0")
    };
    let digest = |program: &Program| List::of(std::slice::from_ref(program)).digest();
    let some = |text: &str| Some(text.to_owned());
    for other in [
        Program { name: some("Firefoxx"), ..base.clone() },
        Program { version: some("1.1"), ..base.clone() },
        Program { publisher: some("mozilla"), ..base.clone() },
        Program { install_date: some("2024-6-02"), ..base.clone() },
        Program { size: some("2 MB"), ..base.clone() },
        Program { location: some("D:\\"), ..base.clone() },
    ] {
        assert_ne!(digest(&other), digest(&base), "{other:?}");
    }
    assert_ne!(List::default().digest(), digest(&base));
}

#[test]
fn names_of_any_alphabet_stay_apart() {
    let names = ["Яндекс.Браузер", "Яндекс.Диск", "微信", "腾讯QQ", "Übersetzer", "Ubersetzer", "…", "?"];
    let list = List::of(&names.map(|name| program(name, "1")));
    assert_eq!(list.0.len(), names.len());
    assert!(list.0.keys().any(|key| key.name == "яндекс.браузер"));
}

#[test]
fn what_is_too_long_is_bounded_and_stays_two() {
    let (a, b) = (format!("{}a", "名".repeat(600)), format!("{}b", "名".repeat(600)));
    let long = "1".repeat(400);
    let list = List::of(&[
        program(&a, &long),
        program(&b, &format!("{long}1")),
        program("\u{1F600}".repeat(500).as_str(), "1"),
    ]);
    assert_eq!(list.0.len(), 3);
    for (key, entry) in &list.0 {
        assert!(key.name.chars().count() <= NAME_CHARS_MAX && key.name.len() <= NAME_BYTES_MAX, "{key:?}");
        assert!(entry.name.chars().count() <= NAME_CHARS_MAX);
        assert!(entry.versions.keys().all(|version| version.chars().count() <= VERSION_CHARS_MAX));
    }
}

#[test]
fn a_program_without_a_name_is_none_and_nul_is_replaced() {
    let list = List::of(&[program("  ", "1"), Program::default(), program("a\0b", "\0")]);
    assert_eq!(list.count(), 1);
    let (key, entry) = list.0.iter().next().expect("one program");
    assert_eq!((key.name.as_str(), entry.name.as_str()), ("a\u{FFFD}b", "a\u{FFFD}b"));
    assert!(!entry.versions.keys().any(|version| version.contains('\0')));
}
