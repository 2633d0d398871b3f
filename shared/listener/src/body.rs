//! A request's body, as a whole, within a size and a time.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

/// Why there is no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It is larger than it may be, or says so.
    #[error("the body is too large")]
    TooLarge,
    /// The sender broke off.
    #[error("the body broke off")]
    Broken,
    /// It did not come in time.
    #[error("the body did not come in time")]
    TimedOut,
}

/// Reads a body; one that announces more than `bytes_max` is not read at all.
///
/// # Errors
/// [`BodyError`].
pub async fn read(headers: &HeaderMap, body: Body, bytes_max: usize, timeout: Duration) -> Result<Bytes, BodyError> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|bytes| bytes > bytes_max) {
        return Err(BodyError::TooLarge);
    }
    match tokio::time::timeout(timeout, Limited::new(body, bytes_max).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(BodyError::TooLarge),
        Ok(Err(_)) => Err(BodyError::Broken),
        Err(_) => Err(BodyError::TimedOut),
    }
}
