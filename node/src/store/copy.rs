//! A consistent copy of a store's file.

use std::path::Path;

use rusqlite::{
    Connection, OpenFlags,
    backup::{Backup, StepResult},
};

use super::{
    StoreError,
    history::{History, Mark},
    schema::columns,
    state::State,
};

/// Looks whether the file at `path` is a sound store of this mark, and makes it one that follows:
/// without a log and notes of its own.
///
/// # Errors
/// [`AdoptError`]; the file is of no use then. Blocks: all of it is read.
pub fn adopt(path: &Path, mark: &Mark) -> Result<(), AdoptError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    let found: String = conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if found != "ok" {
        return Err(AdoptError::Damaged(found.replace('\n', " ")));
    }
    let mut history = History::load(&conn)?;
    if history.mark(State::load(&conn)?.revision) != *mark {
        return Err(AdoptError::OtherMark);
    }
    // Whoever calls this syncs the file before it is used.
    conn.pragma_update(None, "synchronous", "OFF")?;
    // What others wrote and the master has not noticed yet comes again once it has.
    conn.execute_batch("BEGIN; DELETE FROM change_log; DELETE FROM outside_changes")?;
    history.columns = columns(&conn)?.len();
    history.save(&conn)?;
    conn.execute_batch("COMMIT")?;
    conn.close().map_err(|(_, error)| error.into())
}

/// Why a file is of no use as a copy.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// SQLite cannot read or write it.
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
    /// It is damaged.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// It is not the store it was said to be.
    #[error("it is of another revision or history than it was said to be")]
    OtherMark,
}

/// Pages between two looks at the clock of the scheduler: 4 MiB.
const PAGES: i32 = 1_024;

/// Copies the file at `from`, which others may be writing, to `to`.
///
/// One read transaction lasts over the whole copy, so it is of one revision however long it takes.
pub(super) fn copy(from: &Path, to: &Path) -> Result<Mark, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let source = Connection::open_with_flags(from, flags)?;
    source.busy_timeout(std::time::Duration::from_secs(5))?;
    source.pragma_update(None, "query_only", true)?;
    source.execute_batch("BEGIN")?;
    let mark = History::load(&source)?.mark(State::load(&source)?.revision);
    let mut target = Connection::open(to)?;
    // Nothing of it has to survive a crash.
    target.pragma_update(None, "synchronous", "OFF")?;
    target.pragma_update(None, "journal_mode", "OFF")?;
    let backup = Backup::new(&source, &mut target)?;
    while backup.step(PAGES)? == StepResult::More {}
    drop(backup);
    target.close().map_err(|(_, error)| error)?;
    Ok(mark)
}
