//! Why a run or a part of it has failed.

/// A cause of a failure, in words for the person who reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// What went wrong, and what can be done.
    pub text: String,
    /// Only a person can take it away: the key, the address or the server itself. Enough of them in a row slow the
    /// connection's ticks down.
    pub needs_attention: bool,
}

impl From<&str> for Cause {
    /// One that may pass by itself.
    fn from(text: &str) -> Self {
        Self { text: text.to_owned(), needs_attention: false }
    }
}

impl From<&Self> for Cause {
    fn from(cause: &Self) -> Self {
        cause.clone()
    }
}
