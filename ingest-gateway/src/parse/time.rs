//! The times that Tactical writes: Python's `str()` of a time, with a space and `+00:00`, and RFC 3339.

use chrono::{DateTime, Datelike as _, NaiveDateTime, Utc};

/// Longest text that can be a time: `2026-11-22 01:59:05.902118123+00:00` and some.
const TIME_BYTES_MAX: usize = 40;

/// The time in whole microseconds, Postgres' own resolution; without a zone it is UTC, which is what Tactical runs in.
///
/// None for whatever is not a time, and for years that a column or a page could not show.
pub(super) fn read(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    if text.len() > TIME_BYTES_MAX || !text.is_ascii() {
        return None;
    }
    let text = text.replacen(['T', 't'], " ", 1).replacen(['Z', 'z'], "+00:00", 1);
    let zoned = DateTime::parse_from_str(&text, "%Y-%m-%d %H:%M:%S%.f%#z").map(|time| time.to_utc());
    let time =
        zoned.or_else(|_| NaiveDateTime::parse_from_str(&text, "%Y-%m-%d %H:%M:%S%.f").map(|time| time.and_utc()));
    let time = DateTime::from_timestamp_micros(time.ok()?.timestamp_micros())?;
    (1970..=9999).contains(&time.year()).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_of_writing_one_time_gives_the_same_time() {
        let time = DateTime::from_timestamp_micros(1_795_312_745_902_118).expect("in range");
        for text in [
            "2026-11-22 01:59:05.902118+00:00",
            "2026-11-22T01:59:05.902118+00:00",
            "2026-11-22T01:59:05.902118Z",
            "2026-11-22t01:59:05.902118z",
            "2026-11-22 01:59:05.902118 +00:00",
            "2026-11-22 01:59:05.902118+0000",
            "2026-11-22 01:59:05.902118+00",
            "2026-11-22 02:59:05.902118+01:00",
            "2026-11-22 01:59:05.902118",
            " 2026-11-22 01:59:05.902118999+00:00 ",
        ] {
            assert_eq!(read(text), Some(time), "{text}");
        }
    }

    #[test]
    fn whole_seconds_are_written_without_a_fraction() {
        assert_eq!(read("2026-11-22 01:59:05+00:00"), read("2026-11-22T01:59:05Z"));
        assert!(read("2026-11-22 01:59:05+00:00").is_some());
    }

    #[test]
    fn what_is_not_a_time_is_none() {
        for text in [
            "",
            "None",
            "LAB-FIXED-01",
            "2026-11-22",
            "01:59:05",
            "1795312745",
            "2026-13-01 00:00:00+00:00",
            "1969-12-31 23:59:59+00:00",
            "10000-01-01 00:00:00+00:00",
            "0001-01-01 00:00:00+00:00",
            "2026-11-22 01:59:05+00:00 and more",
            "２026-11-22 01:59:05",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
