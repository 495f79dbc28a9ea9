//! A consistent copy of a store's file.

use std::path::Path;

use rusqlite::{
    Connection, OpenFlags,
    backup::{Backup, StepResult},
};

use super::{
    StoreError,
    history::{History, Mark},
    state::State,
};

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
