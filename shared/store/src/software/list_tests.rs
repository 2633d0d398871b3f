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

#[test]
fn a_list_at_its_limit_is_whole_and_one_above_it_is_cut_alike_in_any_order() {
    let numbered = |number: usize| program(&format!("P{:05}", number / 2), &format!("{}", number % 2));
    let mut programs: Vec<Program> = (0..PROGRAMS_MAX).map(numbered).collect();
    let whole = List::of(&programs);
    assert_eq!(whole.count(), PROGRAMS_MAX);
    // duplicates take nobody's place
    programs.extend((0..PROGRAMS_MAX).map(numbered));
    assert_eq!(List::of(&programs), whole);
    programs.extend((PROGRAMS_MAX..PROGRAMS_MAX + 3).map(numbered));
    assert_eq!(List::of(&programs), whole, "the last by name are left out");
    programs.reverse();
    assert_eq!(List::of(&programs).digest(), whole.digest());
    programs.push(program("A", "1"));
    let cut = List::of(&programs);
    assert_eq!(cut.count(), PROGRAMS_MAX);
    let last = cut.0.last_key_value().expect("it is full");
    assert_eq!(
        (last.0.name.as_str(), last.1.versions.len()),
        ("p02499", 1),
        "between two versions of one program, too"
    );
}
