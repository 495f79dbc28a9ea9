//! The database of a node: one SQLite file, one writer thread, a few reader threads.
//!
//! Async code never touches SQLite: it sends a job to a thread and awaits the answer. Queues are
//! bounded; whoever finds one full waits without a thread.
//!
//! **Reads.** All needs of one call are answered from one snapshot, with its revision. Rows are
//! found by the index on (`subject_key`, `report_date`), then by row number; rows of a subject that
//! were written together lie together. A read nobody waits for any more is given up.
//!
//! **Writes.** Each takes the next revision. Those that wait at the same time share a commit and
//! its sync; one that fails is undone alone. An answer is given after the commit, so with
//! [`Durability::Full`] an acknowledged write is on the disk, with [`Durability::Normal`] it is with
//! the kernel. After a commit that failed nothing is acknowledged until a probe was committed.
//!
//! **What others write.** A `sqlite3` shell or a script may change the file, even while it is open
//! here: triggers note what was touched, and the writer takes the notes in as a write of its own,
//! at the start, before the next write, or within a second.
//!
//! **Facts of a subject** (name, status, listing date, category, topic) are kept once, in the table
//! `subjects`, and on its newest row, from which they can be drawn again.

mod check;
mod connect;
mod copy;
mod data;
pub mod dates;
mod error;
mod facts;
mod handle;
mod health;
mod history;
mod import;
mod ingest;
mod intern;
mod job;
mod log;
mod members;
mod needs;
mod observe;
mod options;
mod outside;
mod pages;
mod read;
mod reader;
pub mod rows;
pub(crate) mod schema;
mod shared;
mod state;
mod tags;
mod threads;
mod upsert;
mod writer;

pub use self::{
    check::{CheckReport, Finding, Severity, check},
    copy::{AdoptError, adopt},
    data::{DataInfo, DataPage, DataSave, DataSearch, DataTable, Points, SaveMode},
    error::{OpenError, OpenReason, StoreError},
    handle::{Store, Written},
    history::Mark,
    import::{ImportError, ImportSummary, import},
    log::{Change, Cursor, LogLimits, LogRead},
    needs::{Changes, Found, FoundRow, Need, Rows, Totals},
    observe::{Touched, WriteObserver},
    options::{Durability, MAX_ROWS, Options},
    rows::{RowBatch, RowFacts, RowWrite},
    tags::Tag,
};

#[cfg(test)]
mod tests;
