//! Why a statement failed, and what that means for the queue.

use std::error::Error;
use std::io;

use tokio_postgres::error::{DbError, Severity, SqlState};
use webhook_queue::QueueError;

/// Why a statement failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The connection was lost, or the statement took too long: it may have taken effect.
    Lost(Box<dyn Error + Send + Sync>),
    /// The database refused the statement, which had no effect.
    Refused(tokio_postgres::Error),
}

impl Failure {
    /// The code of the database, if it refused the statement.
    pub(crate) fn code(&self) -> Option<&SqlState> {
        match self {
            Failure::Lost(_) => None,
            Failure::Refused(error) => error.code(),
        }
    }

    /// Whether the connection cannot be used any more.
    pub(crate) fn is_lost(&self) -> bool {
        matches!(self, Failure::Lost(_))
    }

    /// The error of an operation on the queue that changed nothing. `storage` names the database,
    /// and `action` what was done to the queue, as in [`QueueError::Storage`].
    pub(crate) fn into_error(self, storage: &str, action: &'static str) -> QueueError {
        let error = match self {
            Failure::Lost(source) => {
                return QueueError::Unavailable {
                    storage: storage.to_owned(),
                    source,
                };
            }
            Failure::Refused(error) => error,
        };
        match error.as_db_error() {
            Some(refused) => of_refusal(refused, storage, action),
            None => QueueError::Storage {
                action,
                source: error.into(),
            },
        }
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Failure {
        // What is no answer of the database (a closed connection, a message that is cut off) and
        // what ends the session leave it open whether the statement took effect.
        let is_refusal = error.as_db_error().is_some_and(|refused| {
            let ends = matches!(
                refused.parsed_severity(),
                Some(Severity::Fatal | Severity::Panic)
            );
            !ends && !ends_session(refused.code())
        });
        match is_refusal {
            true => Failure::Refused(error),
            false => Failure::Lost(error.into()),
        }
    }
}

/// Whether the session ends with this error: the server shuts down or ends it, or the connection
/// broke. It is not always told with the severity of a fatal error.
fn ends_session(code: &SqlState) -> bool {
    let shutdown = [
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
    ];
    shutdown.contains(code) || code.code().starts_with("08")
}

/// The error when no connection could be made.
pub(crate) fn of_connecting(error: tokio_postgres::Error, storage: &str) -> QueueError {
    match error.as_db_error() {
        Some(refused) => of_refusal(refused, storage, "connect to"),
        // A password or a certificate is missing, or the server's certificate is not trusted.
        None if !is_io(&error) => unusable(storage, describe(&error)),
        None => QueueError::Unavailable {
            storage: storage.to_owned(),
            source: error.into(),
        },
    }
}

/// Whether the system, not the peer, caused the error. A certificate that is not valid comes as one
/// of invalid data.
fn is_io(error: &tokio_postgres::Error) -> bool {
    let mut source: Option<&(dyn Error + 'static)> = error.source();
    while let Some(cause) = source {
        if let Some(cause) = cause.downcast_ref::<io::Error>() {
            let kind = cause.kind();
            return kind != io::ErrorKind::InvalidData && kind != io::ErrorKind::InvalidInput;
        }
        source = cause.source();
    }
    error.is_closed()
}

/// An error and its causes in one line.
pub(crate) fn describe(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// The error when the storage cannot be used.
pub(crate) fn unusable(storage: &str, detail: impl Into<String>) -> QueueError {
    QueueError::Unusable {
        storage: storage.to_owned(),
        detail: detail.into(),
    }
}

fn of_refusal(refused: &DbError, storage: &str, action: &'static str) -> QueueError {
    let message = refused.message();
    let unusable = |advice: &str| unusable(storage, format!("{message}; {advice}"));
    let code = refused.code();
    if [
        SqlState::INVALID_PASSWORD,
        SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
    ]
    .contains(code)
    {
        unusable("check the user and the password of the URL, and the server's pg_hba.conf")
    } else if *code == SqlState::INVALID_CATALOG_NAME {
        unusable("create it (createdb), or name another in the URL")
    } else if *code == SqlState::INSUFFICIENT_PRIVILEGE {
        unusable(
            "let an administrator run the script that `webhookd queue schema` prints, which also \
             grants the rights that are needed",
        )
    } else if [
        SqlState::UNDEFINED_PSTATEMENT,
        SqlState::DUPLICATE_PSTATEMENT,
    ]
    .contains(code)
    {
        unusable(
            "a connection pooler is between that gives each transaction another session; connect \
             to the database directly, or to a pool in session mode",
        )
    } else if [
        SqlState::UNDEFINED_TABLE,
        SqlState::UNDEFINED_FUNCTION,
        SqlState::UNDEFINED_COLUMN,
        SqlState::INVALID_SCHEMA_NAME,
    ]
    .contains(code)
    {
        unusable("the tables of the queue are gone or were changed; start again to create them")
    } else if *code == SqlState::SEQUENCE_GENERATOR_LIMIT_EXCEEDED {
        unusable("32767 targets were created in this schema; copy the queue into a new schema")
    } else if [SqlState::DISK_FULL, SqlState::OUT_OF_MEMORY].contains(code) {
        let source = io::Error::new(io::ErrorKind::StorageFull, message.to_owned());
        QueueError::NoSpace { source }
    } else if code.code().starts_with("53")
        || ends_session(code)
        || [
            SqlState::READ_ONLY_SQL_TRANSACTION,
            SqlState::LOCK_NOT_AVAILABLE,
            SqlState::QUERY_CANCELED,
        ]
        .contains(code)
    {
        // Too many connections; a standby that may be promoted; a lock that another holds.
        QueueError::Unavailable {
            storage: storage.to_owned(),
            source: refused.clone().into(),
        }
    } else {
        QueueError::Storage {
            action,
            source: refused.clone().into(),
        }
    }
}
