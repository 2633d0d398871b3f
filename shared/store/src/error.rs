//! The one error of this crate: its variants are the decisions that a caller can take.

use std::borrow::Cow;

use fault::{Class, Classify};

/// Why the database did not do what was asked. The text says what was attempted and on what, never a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The database is away, or this build and its schema do not fit: wait, it is nobody's message.
    #[error("cannot {what}")]
    Outage {
        /// What was attempted, on what: `claim outbox rows`.
        what: Cow<'static, str>,
        /// What the driver or the server said.
        #[source]
        source: sqlx::Error,
    },
    /// No answer within the deadline, which is longer than all of the server's own timeouts: the network or the server hangs.
    #[error("cannot {what}: no answer within {after_ms} ms")]
    NoAnswer {
        /// What was attempted, on what.
        what: Cow<'static, str>,
        /// The deadline.
        after_ms: u64,
    },
    /// The work took longer than a job may, while the database answers: this work is too much, or the server is slow.
    #[error("cannot {what}: not done within {after_ms} ms")]
    TooSlow {
        /// What was attempted, on what.
        what: Cow<'static, str>,
        /// The deadline.
        after_ms: u64,
    },
    /// Two writers met: do it again at once.
    #[error("cannot {what}")]
    Contention {
        /// What was attempted, on what.
        what: Cow<'static, str>,
        /// What the server said.
        #[source]
        source: sqlx::Error,
    },
    /// The data is at fault. For a batch: one row of it.
    #[error("cannot {what}")]
    Data {
        /// What was attempted, on what.
        what: Cow<'static, str>,
        /// What the server said.
        #[source]
        source: sqlx::Error,
    },
    /// The caller asked for something that does not hold; the text says what.
    #[error("cannot {what}: {reason}")]
    Refused {
        /// What was attempted, on what.
        what: Cow<'static, str>,
        /// Why not.
        reason: String,
    },
    /// The database's migrations and this build's do not fit, or a configuration value is not usable.
    #[error("cannot {what}: {reason}")]
    Setup {
        /// What was attempted, on what.
        what: Cow<'static, str>,
        /// Why not.
        reason: String,
    },
    /// Anything else: it may go well later.
    #[error("cannot {what}")]
    Other {
        /// What was attempted, on what.
        what: Cow<'static, str>,
        /// What the driver or the server said.
        #[source]
        source: sqlx::Error,
    },
}

impl Error {
    /// The driver's error with what was attempted, sorted into its variant.
    pub(crate) fn from_sqlx(what: impl Into<Cow<'static, str>>, source: sqlx::Error) -> Self {
        let mut what = what.into();
        if is_without_schema(&source) {
            what = format!("{what} (the schema is missing or older than this program: run `muster migrate`)").into();
        }
        match class_of(&source) {
            Class::Outage => Self::Outage { what, source },
            Class::Contention => Self::Contention { what, source },
            Class::Permanent => Self::Data { what, source },
            Class::Retryable { .. } | Class::NeedsAttention => Self::Other { what, source },
        }
    }

    /// The error and its causes on one line, for a log.
    #[must_use]
    pub fn chain(&self) -> String {
        fault::chain(self)
    }

    /// What was attempted and on what, in the infinitive: `claim outbox rows`.
    #[must_use]
    pub fn what(&self) -> &str {
        match self {
            Self::Outage { what, .. }
            | Self::NoAnswer { what, .. }
            | Self::TooSlow { what, .. }
            | Self::Contention { what, .. }
            | Self::Data { what, .. }
            | Self::Refused { what, .. }
            | Self::Setup { what, .. }
            | Self::Other { what, .. } => what,
        }
    }
}

impl Classify for Error {
    fn class(&self) -> Class {
        match self {
            Self::Outage { .. } | Self::NoAnswer { .. } | Self::Setup { .. } => Class::Outage,
            Self::Contention { .. } => Class::Contention,
            Self::Data { .. } | Self::Refused { .. } => Class::Permanent,
            // as a statement's timeout: were it an outage, a batch that is too slow would stop its worker for ever
            Self::Other { .. } | Self::TooSlow { .. } => Class::RETRY,
        }
    }
}

/// Says what a statement attempted: `.await.attempt("read the hooks")?`.
pub(crate) trait Attempt<T> {
    /// Sorts the driver's error into ours.
    fn attempt(self, what: impl Into<Cow<'static, str>>) -> Result<T, Error>;
}

impl<T> Attempt<T> for Result<T, sqlx::Error> {
    fn attempt(self, what: impl Into<Cow<'static, str>>) -> Result<T, Error> {
        self.map_err(|source| Error::from_sqlx(what, source))
    }
}

/// A table, column or schema that this build knows is not there.
fn is_without_schema(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| matches!(&*code, "42P01" | "42703" | "3F000"))
}

/// In the driver's text where a connection ends before the server has said whether it speaks TLS.
const HANDSHAKE: &str = "response from SSLRequest";

/// The class of a driver's error.
fn class_of(error: &sqlx::Error) -> Class {
    match error {
        sqlx::Error::Database(error) => error.code().map_or(Class::RETRY, |code| class_of_sqlstate(&code)),
        // a connection that ends within its handshake; the driver has no variant of its own for it
        sqlx::Error::Protocol(text) if text.contains(HANDSHAKE) => Class::Outage,
        // no connection, none to be had, or one that broke
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed
        | sqlx::Error::Configuration(_) => Class::Outage,
        // the schema is not the one that this build was checked against
        sqlx::Error::TypeNotFound { .. }
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::ColumnIndexOutOfBounds { .. } => Class::Outage,
        // the value cannot even be sent
        sqlx::Error::Encode(_) | sqlx::Error::InvalidArgument(_) => Class::Permanent,
        // a stored value that cannot be read may be one odd row: it must not stop the worker for ever
        _ => Class::RETRY,
    }
}

/// The class of an SQLSTATE: the whole decision, in one place; the table of the tests is its specification.
fn class_of_sqlstate(code: &str) -> Class {
    match code {
        // a lost race: serialization, deadlock, lock timeout
        "40001" | "40P01" | "55P03" => Class::Contention,
        // a standby that does not take writes: a failover is under way
        "25006" => Class::Outage,
        // our own statement timeout (or a person's cancel): were it an outage, one batch that is too slow would stop its
        // worker for ever; so it burns attempts
        "57014" => Class::RETRY,
        _ => match code.get(..2).unwrap_or_default() {
            // connection, login, database or schema missing, wrong schema or rights, resources, operator, system
            "08" | "28" | "3D" | "3F" | "42" | "53" | "57" | "58" => Class::Outage,
            // a pooler that loses prepared statements, a broken server configuration: no message's fault
            "26" | "F0" => Class::Outage,
            // data: value, constraint, twice in one statement, view check, too large for an index, raised by a trigger
            "22" | "23" | "21" | "44" | "54" | "P0" => Class::Permanent,
            _ => Class::RETRY,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sqlstate_has_its_decided_class() {
        use Class::{Contention, Outage, Permanent};
        let table = [
            // no connection, or one that broke
            ("08000", Outage),
            ("08006", Outage),
            ("08P01", Outage),
            // read-only standby; the rest of its class is ours to try again
            ("25006", Outage),
            // ended for standing still in a transaction: were it an outage, a job that does so each time would never end
            ("25P02", Class::RETRY),
            ("25P03", Class::RETRY),
            // login
            ("28000", Outage),
            ("28P01", Outage),
            // no such database, no such schema
            ("3D000", Outage),
            ("3F000", Outage),
            // no such table or column, no right: this build is ahead of its migration, or its role is wrong
            ("42501", Outage),
            ("42703", Outage),
            ("42P01", Outage),
            // resources
            ("53100", Outage),
            ("53200", Outage),
            ("53300", Outage),
            // shutdown, crash, starting up, dropped; a statement's timeout is not one of them
            ("57P01", Outage),
            ("57P02", Outage),
            ("57P03", Outage),
            ("57P04", Outage),
            ("57014", Class::RETRY),
            // system
            ("58000", Outage),
            ("58030", Outage),
            ("26000", Outage),
            ("F0000", Outage),
            // races
            ("40001", Contention),
            ("40P01", Contention),
            ("55P03", Contention),
            ("40003", Class::RETRY),
            ("55006", Class::RETRY),
            // data
            ("21000", Permanent),
            ("22001", Permanent),
            ("22021", Permanent),
            ("22P05", Permanent),
            ("23502", Permanent),
            ("23503", Permanent),
            ("23505", Permanent),
            ("23514", Permanent),
            ("44000", Permanent),
            ("54000", Permanent),
            ("P0001", Permanent),
            // the rest
            ("0A000", Class::RETRY),
            ("XX000", Class::RETRY),
            ("72000", Class::RETRY),
            ("", Class::RETRY),
            ("é", Class::RETRY),
        ];
        for (code, class) in table {
            assert_eq!(class_of_sqlstate(code), class, "{code}");
        }
    }

    #[test]
    fn errors_without_a_sqlstate_have_their_decided_class() {
        let table = [
            (sqlx::Error::Io(std::io::Error::other("reset")), Class::Outage),
            (sqlx::Error::PoolTimedOut, Class::Outage),
            (sqlx::Error::PoolClosed, Class::Outage),
            (sqlx::Error::BeginFailed, Class::Outage),
            (sqlx::Error::ColumnNotFound("rev".to_owned()), Class::Outage),
            (sqlx::Error::Encode("year 300000".into()), Class::Permanent),
            (sqlx::Error::Decode("odd".into()), Class::RETRY),
            (sqlx::Error::RowNotFound, Class::RETRY),
            (sqlx::Error::Protocol("odd".to_owned()), Class::RETRY),
            (sqlx::Error::Protocol("unexpected response from SSLRequest: 0x00".to_owned()), Class::Outage),
        ];
        for (error, class) in table {
            let text = error.to_string();
            assert_eq!(Error::from_sqlx("do it", error).class(), class, "{text}");
        }
    }

    #[test]
    fn the_text_says_what_was_attempted_and_why_it_failed() {
        let error = Error::from_sqlx("claim outbox rows", sqlx::Error::PoolTimedOut);
        assert_eq!(error.what(), "claim outbox rows");
        assert!(
            fault::chain(&error).starts_with("cannot claim outbox rows: pool timed out"),
            "{}",
            fault::chain(&error)
        );
    }
}
