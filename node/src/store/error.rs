//! What can go wrong, sorted by who can do something about it.

use std::{path::PathBuf, sync::Arc};

use rusqlite::ErrorCode;

/// Why a read or a write was not done.
///
/// `Clone`, because writes that were committed together fail together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The rows name an indicator that is not registered. The client's mistake.
    #[error("{}unknown indicator {name:?}: register it first or allow it to be created", at_line(*line))]
    UnknownIndicator {
        /// The name as it was given.
        name: Arc<str>,
        /// The line of the input that first named it, from 1; 0 where there are no lines.
        line: u64,
    },
    /// A name that cannot become an indicator. The client's mistake.
    #[error("{}indicator {name:?}: {reason}", at_line(*line))]
    InvalidIndicator {
        /// The name as it was given.
        name: Arc<str>,
        /// What was expected instead.
        reason: &'static str,
        /// The line of the input that first named it, from 1; 0 where there are no lines.
        line: u64,
    },
    /// The read would give more rows than one read may. The client's to ask for less.
    #[error("more than {limit} rows at once")]
    TooManyRows {
        /// The most there may be.
        limit: usize,
    },
    /// The disk is full: nothing was written, reads go on. Space has to be made.
    #[error("the disk that holds the store is full")]
    DiskFull,
    /// The disk failed. After a failed commit no write is acknowledged until a probe has been
    /// written and synced.
    #[error("the disk that holds the store failed")]
    DiskFailed,
    /// Another process kept the file locked for longer than the busy time-out.
    #[error("the store is locked by another process")]
    Busy,
    /// So many jobs wait already that this one was not taken. Nothing was done.
    #[error("too many {what} wait for the store")]
    Overloaded {
        /// Jobs of this kind.
        what: &'static str,
    },
    /// The file is damaged: a page of it makes no sense. No write is taken from then on.
    #[error("the store's file is damaged")]
    Corrupt,
    /// The store follows a master and takes no writes of its own.
    #[error("the store follows a master and takes no writes of its own")]
    Follows,
    /// The store is not what the master's changes build on. It has to start from a copy.
    #[error("the store is not what the master's changes build on: {0}")]
    Diverged(&'static str),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// The job panicked; the threads go on.
    #[error("the store could not finish the job")]
    Panicked,
    /// SQLite refused in a way that points to a mistake in this program. The text is for the log,
    /// not for a client.
    #[error("unexpected answer from the database")]
    Unexpected(Arc<str>),
}

fn at_line(line: u64) -> String {
    if line == 0 { String::new() } else { format!("line {line}: ") }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::DiskFull,
            Some(
                ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
                | ErrorCode::ReadOnly
                | ErrorCode::PermissionDenied,
            ) => Self::DiskFailed,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Corrupt,
            _ => Self::Unexpected(error.to_string().into()),
        }
    }
}

/// Why a file could not be opened as a store.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct OpenError {
    /// The file.
    pub path: PathBuf,
    /// What stood in the way.
    pub reason: OpenReason,
}

/// What stood in the way of opening a file.
#[derive(Debug, thiserror::Error)]
pub enum OpenReason {
    /// SQLite could not open or read it.
    #[error("cannot be opened: {0}")]
    Sqlite(rusqlite::Error),
    /// It is no SQLite database, or damaged.
    #[error("is not a SQLite database, or is damaged: {0}")]
    Damaged(String),
    /// It is a SQLite database of something else.
    #[error("is the database of another program: {0}")]
    Foreign(String),
    /// It was written by a later version of this program.
    #[error("has schema {found}, this program knows up to {known}: use a newer version")]
    Newer {
        /// The schema of the file.
        found: i64,
        /// The newest schema known here.
        known: i64,
    },
    /// A thread could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
    /// The opening thread panicked.
    #[error("opening it failed in an unexpected way")]
    Panicked,
}

impl From<rusqlite::Error> for OpenReason {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Damaged(error.to_string())
            }
            _ => Self::Sqlite(error),
        }
    }
}
