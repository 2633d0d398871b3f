//! The five shapes of Tactical's answers, and streamed arrays.

use std::convert::Infallible;

use axum::body::Body;
use axum::http::header::{ALLOW, CONTENT_TYPE, LOCATION, RETRY_AFTER, VARY, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};

/// A chunk of a streamed answer is sent when it has grown to this.
pub(super) const CHUNK_BYTES: usize = 32 * 1024;

const HTML: &str = "text/html; charset=utf-8";

/// Any body with a status and a content type.
pub(super) fn reply(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// The response with one more header; a value that is no header value is left out.
pub(super) fn with(mut response: Response, name: HeaderName, value: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
    response
}

/// JSON with a status.
pub(super) fn json_reply(status: StatusCode, body: &impl Serialize) -> Response {
    let text = serde_json::to_vec(body).expect("answers are made of maps with string keys");
    with(reply(status, "application/json", text), VARY, "origin")
}

/// 200 with JSON.
pub(super) fn ok(body: &impl Serialize) -> Response {
    json_reply(StatusCode::OK, body)
}

/// A bare JSON string with 200, as successful writes answer.
pub(super) fn said(text: &str) -> Response {
    ok(&text)
}

/// A bare JSON string with 400 (the third error shape).
pub(super) fn refused(text: &str) -> Response {
    json_reply(StatusCode::BAD_REQUEST, &text)
}

/// Field errors with 400 (the second error shape).
pub(super) fn invalid(field: &str, message: &str) -> Response {
    json_reply(StatusCode::BAD_REQUEST, &json!({field: [message]}))
}

/// `{"detail": …}` (the first error shape).
pub(super) fn detail(status: StatusCode, text: &str) -> Response {
    json_reply(status, &json!({"detail": text}))
}

/// 401, which always names the scheme.
pub(super) fn unauthenticated(text: &str) -> Response {
    with(detail(StatusCode::UNAUTHORIZED, text), WWW_AUTHENTICATE, "Token")
}

/// 403.
pub(super) fn forbidden() -> Response {
    detail(StatusCode::FORBIDDEN, "You do not have permission to perform this action.")
}

/// 404 of an object, by its model's name.
pub(super) fn no_such(model: &str) -> Response {
    detail(StatusCode::NOT_FOUND, &format!("No {model} matches the given query."))
}

/// 405 with the methods that are allowed.
pub(super) fn not_allowed(method: &str, allowed: &str) -> Response {
    with(detail(StatusCode::METHOD_NOT_ALLOWED, &format!("Method \"{method}\" not allowed.")), ALLOW, allowed)
}

/// 429 with the seconds to wait.
pub(super) fn throttled(wait_s: i64) -> Response {
    let unit = if wait_s == 1 { "second" } else { "seconds" };
    let response = detail(
        StatusCode::TOO_MANY_REQUESTS,
        &format!("Request was throttled. Expected available in {wait_s} {unit}."),
    );
    with(response, RETRY_AFTER, &wait_s.to_string())
}

/// An HTML page (the fourth error shape): title, heading and a sentence.
pub(super) fn page(status: StatusCode, title: &str, sentence: &str) -> Response {
    let text = format!(
        "\n<!doctype html>\n<html lang=\"en\">\n<head>\n  <title>{title}</title>\n</head>\n<body>\n  <h1>{title}</h1><p>{sentence}</p>\n</body>\n</html>\n"
    );
    reply(status, HTML, text)
}

/// HTML 404: an unknown route.
pub(super) fn unknown_route() -> Response {
    page(StatusCode::NOT_FOUND, "Not Found", "The requested resource was not found on this server.")
}

/// HTML 500: an unhandled exception.
pub(super) fn crash() -> Response {
    page(StatusCode::INTERNAL_SERVER_ERROR, "Server Error (500)", "")
}

/// HTML 400: a host that is not allowed.
pub(super) fn wrong_host() -> Response {
    page(StatusCode::BAD_REQUEST, "Bad Request (400)", "")
}

/// 301 to the path with its slash.
pub(super) fn moved(location: &str) -> Response {
    with(reply(StatusCode::MOVED_PERMANENTLY, HTML, Body::empty()), LOCATION, location)
}

/// An empty 204.
pub(super) fn nothing() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// 200 with an array whose rows are written chunk by chunk: `next` writes one row, or answers false at the end.
pub(super) fn streamed_array(next: impl FnMut(&mut Vec<u8>) -> bool + Send + 'static) -> Response {
    let body =
        Body::from_stream(futures_util::stream::iter(chunks("[".to_owned(), "]", next).map(Ok::<_, Infallible>)));
    with(reply(StatusCode::OK, "application/json", body), VARY, "origin")
}

/// The same between any opening and closing text, for arrays inside an object.
pub(super) fn streamed_between(
    open: String,
    close: &'static str,
    next: impl FnMut(&mut Vec<u8>) -> bool + Send + 'static,
) -> Response {
    let body = Body::from_stream(futures_util::stream::iter(chunks(open, close, next).map(Ok::<_, Infallible>)));
    with(reply(StatusCode::OK, "application/json", body), VARY, "origin")
}

/// The chunks of an array; only one chunk exists at a time.
fn chunks(
    open: String,
    close: &'static str,
    mut next: impl FnMut(&mut Vec<u8>) -> bool,
) -> impl Iterator<Item = Bytes> {
    let mut opening = Some(open.into_bytes());
    let mut first = true;
    let mut over = false;
    std::iter::from_fn(move || {
        if over {
            return None;
        }
        let mut chunk = opening.take().unwrap_or_else(|| Vec::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 4));
        while chunk.len() < CHUNK_BYTES {
            let before = chunk.len();
            if !first {
                chunk.push(b',');
            }
            if !next(&mut chunk) {
                chunk.truncate(before);
                chunk.extend_from_slice(close.as_bytes());
                over = true;
                break;
            }
            first = false;
        }
        Some(Bytes::from(chunk))
    })
}

/// Writes a row of a streamed array.
pub(super) fn write_row(out: &mut Vec<u8>, row: &impl Serialize) -> bool {
    serde_json::to_writer(out, row).expect("rows are made of maps with string keys");
    true
}

/// An integer out of a JSON value as Python's `int()` takes it: numbers are cut, strings of digits are read.
pub(super) fn int(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| number.as_f64().map(|float| float as i64)),
        Value::String(text) => text.trim().parse().ok(),
        Value::Bool(truth) => Some(i64::from(*truth)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_streamed_array_is_valid_json_of_any_length() {
        for rows in [0_u32, 1, 3, 20_000] {
            let mut left = rows;
            let text: Vec<u8> = chunks("[".to_owned(), "]", |out| {
                left > 0 && {
                    left -= 1;
                    write_row(out, &left)
                }
            })
            .flat_map(|chunk| chunk.to_vec())
            .collect();
            let read: Vec<u32> = serde_json::from_slice(&text).unwrap();
            assert_eq!(read.len(), rows as usize);
        }
    }

    #[test]
    fn the_html_pages_have_the_length_of_djangos() {
        for (page, length) in [(unknown_route(), 179), (crash(), 145), (wrong_host(), 143)] {
            let body = axum::body::HttpBody::size_hint(page.body()).exact();
            assert_eq!(body, Some(length));
        }
    }
}
