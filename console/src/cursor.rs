//! Cursors: where the next page begins, as an opaque text.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Datelike as _, Utc};
use store::view::AlertKey;
use uuid::Uuid;

use crate::problem::Problem;

/// Rows of a page where nothing else is asked for.
pub(crate) const LIMIT: u16 = 100;
/// Rows of the largest page: 500 assets have about 300 KB.
pub(crate) const LIMIT_MAX: u16 = 500;

/// How many rows a page has.
pub(crate) fn limit(asked: Option<u16>) -> Result<u16, Problem> {
    match asked {
        None => Ok(LIMIT),
        Some(limit) if (1..=LIMIT_MAX).contains(&limit) => Ok(limit),
        Some(_) => Err(Problem::unreadable(format!("`limit` is a number from 1 to {LIMIT_MAX}."))),
    }
}

/// A page of rows that were asked for one more than fit (the extra one says that there is a next page), and the cursor of
/// that next page.
pub(crate) fn page<R>(mut rows: Vec<R>, limit: u16, cursor: impl Fn(&R) -> String) -> (Vec<R>, Option<String>) {
    let has_more = rows.len() > usize::from(limit);
    rows.truncate(limit.into());
    let next = if has_more { rows.last().map(cursor) } else { None };
    (rows, next)
}

/// A list that is paged. Its cursors begin with its letter, and are no other list's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum List {
    Assets,
    Runs,
    Alerts,
    Software,
    SoftwareChanges,
    Parked,
}

impl List {
    fn letter(self) -> u8 {
        match self {
            Self::Assets => b'a',
            Self::Runs => b'r',
            Self::Alerts => b'l',
            Self::Software => b's',
            Self::SoftwareChanges => b'h',
            Self::Parked => b'p',
        }
    }

    fn write(self, rest: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode([&[self.letter()], rest].concat())
    }

    fn read(self, text: &str) -> Option<Vec<u8>> {
        let mut bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        if bytes.first() != Some(&self.letter()) {
            return None;
        }
        Some(bytes.split_off(1))
    }
}

/// After this id of the list.
pub(crate) fn of_id(list: List, id: Uuid) -> String {
    list.write(id.as_bytes())
}

/// The id of [`of_id`].
pub(crate) fn to_id(list: List, text: &str) -> Result<Uuid, Problem> {
    list.read(text).and_then(|bytes| Uuid::from_slice(&bytes).ok()).ok_or_else(refused)
}

/// After this number of the list.
pub(crate) fn of_number(list: List, number: i64) -> String {
    list.write(&number.to_be_bytes())
}

/// The number of [`of_number`].
pub(crate) fn to_number(list: List, text: &str) -> Result<i64, Problem> {
    list.read(text).and_then(|bytes| bytes.try_into().ok()).map(i64::from_be_bytes).ok_or_else(refused)
}

/// After this alert.
pub(crate) fn of_alert(key: AlertKey) -> String {
    let micros = key.triggered_at.timestamp_micros().to_be_bytes();
    List::Alerts.write(&[&micros[..], key.alert_id.as_bytes()].concat())
}

/// The alert of [`of_alert`].
pub(crate) fn to_alert(text: &str) -> Result<AlertKey, Problem> {
    let bytes = List::Alerts.read(text).unwrap_or_default();
    let key = bytes.split_first_chunk::<8>().and_then(|(micros, id)| {
        let triggered_at = DateTime::<Utc>::from_timestamp_micros(i64::from_be_bytes(*micros))?;
        Some(AlertKey { triggered_at, alert_id: Uuid::from_slice(id).ok()? })
    });
    key.filter(|key| is_storable(key.triggered_at)).ok_or_else(refused)
}

/// A time that the database can hold; chrono knows more of them.
pub(crate) fn is_storable(at: DateTime<Utc>) -> bool {
    (1..=9999).contains(&at.year())
}

fn refused() -> Problem {
    Problem::unreadable("`cursor` is none of this list: send the `next_cursor` of the page before, unchanged.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_was() {
        let id = Uuid::from_u128(0x1234);
        assert_eq!(to_id(List::Runs, &of_id(List::Runs, id)).unwrap(), id);
        assert_eq!(to_number(List::SoftwareChanges, &of_number(List::SoftwareChanges, 7)).unwrap(), 7);
        let key = AlertKey { triggered_at: "2026-11-22T01:59:05.902118Z".parse().unwrap(), alert_id: id };
        assert_eq!(to_alert(&of_alert(key)).unwrap(), key);
    }

    #[test]
    fn what_is_no_cursor_of_this_list_is_refused() {
        let alert = of_alert(AlertKey { triggered_at: DateTime::UNIX_EPOCH, alert_id: Uuid::nil() });
        let far = of_alert(AlertKey { triggered_at: DateTime::<Utc>::MAX_UTC, alert_id: Uuid::nil() });
        let (run, asset) = (of_id(List::Runs, Uuid::nil()), of_id(List::Assets, Uuid::nil()));
        let bare = URL_SAFE_NO_PAD.encode(Uuid::nil().as_bytes());
        for text in ["", "x", "%", &alert, &asset, &bare] {
            assert!(to_id(List::Runs, text).is_err(), "{text}");
            assert!(to_number(List::SoftwareChanges, text).is_err(), "{text}");
        }
        assert!(to_id(List::Assets, &run).is_err());
        for text in ["", "x", &run, &asset, &far, &format!("{alert}AA")] {
            assert!(to_alert(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_page_has_a_size_in_its_bounds() {
        assert_eq!((limit(None).unwrap(), limit(Some(1)).unwrap(), limit(Some(500)).unwrap()), (100, 1, 500));
        assert!(limit(Some(0)).is_err() && limit(Some(501)).is_err());
    }
}
