//! A reading thread.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use crossbeam_channel::Receiver;
use rusqlite::{Connection, Transaction};

use super::{Options, StoreError, connect, intern::Interner, shared::Shared, threads::Message};
use crate::model::Revision;

/// A job for a reader; it answers by itself.
pub(super) type ReadJob = Box<dyn FnOnce(&mut Reader) + Send>;

/// A connection that only reads, and what goes with it.
pub(super) struct Reader {
    pub(super) conn: Connection,
    pub(super) shared: Arc<Shared>,
    pub(super) texts: Interner,
    /// Rows that one read may give.
    pub(super) max_rows: usize,
}

impl Reader {
    pub(super) fn open(options: &Options, shared: Arc<Shared>) -> rusqlite::Result<Self> {
        let conn = connect::reader(options)?;
        Ok(Self { conn, shared, texts: Interner::default(), max_rows: options.max_rows })
    }

    /// Works until told to stop. A job that panics costs that job alone.
    pub(super) fn run(mut self, jobs: &Receiver<Message<ReadJob>>) {
        while let Ok(Message::Job(job, place)) = jobs.recv() {
            drop(place);
            if catch_unwind(AssertUnwindSafe(|| job(&mut self))).is_err() {
                tracing::error!("a read of the store panicked");
            }
        }
    }
}

/// Begins a read of one snapshot and gives the snapshot's revision.
pub(super) fn snapshot(conn: &Connection) -> Result<(Transaction<'_>, Revision), StoreError> {
    let transaction = conn.unchecked_transaction()?;
    let revision: i64 = transaction
        .prepare_cached("SELECT revision FROM store_state WHERE id = 1")?
        .query_row([], |row| row.get(0))?;
    Ok((transaction, revision.unsigned_abs()))
}
