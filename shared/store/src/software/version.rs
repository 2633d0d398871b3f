//! Which of two versions is the higher one. Pure.

use std::cmp::Ordering;

/// Compares two versions as people read them: runs of digits as numbers of any length, everything else letter by letter, so
/// that `2.10` is above `2.9`. What is longer is higher (`1.0.1` above `1.0`), and an unknown version is the lowest.
#[must_use]
pub fn compare(one: &str, other: &str) -> Ordering {
    let by_parts = parts(one).cmp(parts(other));
    // `1.0` and `1.00` are no less than two texts
    by_parts.then_with(|| one.cmp(other))
}

/// A run of digits, or what stands between two of them, which is below digits.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part<'a> {
    Letters(&'a str),
    // the length first: a number without leading zeros is higher where it has more digits
    Number(usize, &'a str),
}

fn parts(version: &str) -> impl Iterator<Item = Part<'_>> {
    let mut rest = version;
    std::iter::from_fn(move || {
        let is_number = rest.chars().next()?.is_ascii_digit();
        let end = rest.find(|letter: char| letter.is_ascii_digit() != is_number).unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        rest = after;
        let digits = part.trim_start_matches('0');
        Some(if is_number { Part::Number(digits.len(), digits) } else { Part::Letters(part) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_stand_in_the_order_in_which_people_read_them() {
        let sorted = [
            "",
            "0.9",
            "1",
            "1.0",
            "1.0.1",
            "1.2",
            "1.10",
            "1.10.0-beta",
            "2.0",
            "2.00",
            "10.0",
            "99999999999999999999999.1",
            "100000000000000000000000.1",
        ];
        for (place, one) in sorted.iter().enumerate() {
            for (other_place, other) in sorted.iter().enumerate() {
                assert_eq!(compare(one, other), place.cmp(&other_place), "{one} and {other}");
            }
        }
    }
}
