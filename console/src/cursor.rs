//! Cursors: where the next page begins, as an opaque text.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
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

/// After this id.
pub(crate) fn of_id(id: Uuid) -> String {
    URL_SAFE_NO_PAD.encode(id.as_bytes())
}

/// The id of [`of_id`].
pub(crate) fn to_id(text: &str) -> Result<Uuid, Problem> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| Uuid::from_slice(&bytes).ok());
    bytes.ok_or_else(refused)
}

/// After this alert.
pub(crate) fn of_alert(key: AlertKey) -> String {
    let mut bytes = key.triggered_at.timestamp_micros().to_be_bytes().to_vec();
    bytes.extend(key.alert_id.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The alert of [`of_alert`].
pub(crate) fn to_alert(text: &str) -> Result<AlertKey, Problem> {
    let bytes = URL_SAFE_NO_PAD.decode(text).unwrap_or_default();
    let key = bytes.split_first_chunk::<8>().and_then(|(micros, id)| {
        let triggered_at = DateTime::<Utc>::from_timestamp_micros(i64::from_be_bytes(*micros))?;
        Some(AlertKey { triggered_at, alert_id: Uuid::from_slice(id).ok()? })
    });
    key.ok_or_else(refused)
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
        assert_eq!(to_id(&of_id(id)).unwrap(), id);
        let key = AlertKey { triggered_at: "2026-11-22T01:59:05.902118Z".parse().unwrap(), alert_id: id };
        assert_eq!(to_alert(&of_alert(key)).unwrap(), key);
    }

    #[test]
    fn what_is_no_cursor_of_this_list_is_refused() {
        let alert = of_alert(AlertKey { triggered_at: DateTime::UNIX_EPOCH, alert_id: Uuid::nil() });
        for text in ["", "x", "%", &alert] {
            assert!(to_id(text).is_err(), "{text}");
        }
        for text in ["", "x", &of_id(Uuid::nil()), &format!("{alert}AA")] {
            assert!(to_alert(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_page_has_a_size_in_its_bounds() {
        assert_eq!((limit(None).unwrap(), limit(Some(1)).unwrap(), limit(Some(500)).unwrap()), (100, 1, 500));
        assert!(limit(Some(0)).is_err() && limit(Some(501)).is_err());
    }
}
