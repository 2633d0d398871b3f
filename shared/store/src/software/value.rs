//! What an installer's words come to: a date, a number of bytes. Pure; what cannot be read is unknown, never an error.

use chrono::{Datelike, NaiveDate};

/// No program was installed before; Go's and Windows' "no date" are the years 1 and 1601.
const YEAR_MIN: i32 = 1980;
/// A year that only a broken clock writes.
const YEAR_MAX: i32 = 2100;
/// Windows counts a KB as 1,024 bytes, and so do Tactical's agents.
const UNITS: [&str; 5] = ["B", "KB", "MB", "GB", "TB"];

/// `2024-6-01`, `2019-06-09 00:00:00 +0000 UTC`, and `20240601` as Windows itself keeps it; `01-1-01` is unknown.
#[must_use]
pub fn install_date(text: &str) -> Option<NaiveDate> {
    let day = text.split_whitespace().next()?;
    let date = match day.split('-').collect::<Vec<_>>()[..] {
        [year, month, day] => NaiveDate::from_ymd_opt(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?),
        [digits] if digits.len() == 8 => NaiveDate::parse_from_str(digits, "%Y%m%d").ok(),
        _ => None,
    };
    date.filter(|date| (YEAR_MIN..=YEAR_MAX).contains(&date.year()))
}

/// `12.5 MB` in bytes, rounded; `0 B` is what is written where nobody knows.
#[must_use]
pub fn size_bytes(text: &str) -> Option<i64> {
    let text = text.trim();
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = text[digits.len()..].to_ascii_uppercase();
    let power = match UNITS.iter().position(|known| *known == unit) {
        Some(power) => power,
        None if unit.is_empty() || unit == "BYTES" => 0,
        None => return None,
    };
    let number: f64 = digits.trim().replace(',', ".").parse().ok()?;
    let bytes = number * 1_024_f64.powi(i32::try_from(power).ok()?);
    // 2^53 bytes are 9 PB: beyond what a float counts exactly, and beyond any program
    (1.0..9_007_199_254_740_992.0).contains(&bytes).then_some(bytes.round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recorded_form_of_a_date_is_read() {
        for (text, expected) in [
            ("2024-6-01", Some("2024-06-01")),
            ("2024-11-30", Some("2024-11-30")),
            ("2019-06-09 00:00:00 +0000 UTC", Some("2019-06-09")),
            ("20240601", Some("2024-06-01")),
            ("01-1-01", None),
            ("0001-01-01 00:00:00 +0000 UTC", None),
            ("1601-01-01", None),
            ("2024-13-01", None),
            ("2024-2-30", None),
            ("99999999999-1-1", None),
            ("yesterday", None),
            ("", None),
            ("2024-6", None),
        ] {
            let expected = expected.map(|text| text.parse().expect("a date"));
            assert_eq!(install_date(text), expected, "{text}");
        }
    }

    #[test]
    fn every_recorded_form_of_a_size_is_read() {
        for (text, expected) in [
            ("12.5 MB", Some(13_107_200)),
            ("12,5 MB", Some(13_107_200)),
            ("1 kB", Some(1_024)),
            ("812 B", Some(812)),
            ("812", Some(812)),
            ("1.0 TB", Some(1 << 40)),
            ("0 B", None),
            ("", None),
            ("-5 MB", None),
            ("NaN MB", None),
            ("inf GB", None),
            ("1e300 GB", None),
            ("12 parsecs", None),
            ("MB", None),
        ] {
            assert_eq!(size_bytes(text), expected, "{text}");
        }
    }
}
