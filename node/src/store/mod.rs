//! The database of a node: one SQLite file, one writer thread, a few reader threads.
//!
//! Async code never touches SQLite: it sends a job to a thread and awaits the answer.

mod check;
mod connect;
mod data;
pub mod dates;
mod error;
mod facts;
mod handle;
mod import;
mod ingest;
mod intern;
mod members;
mod needs;
mod observe;
mod options;
mod outside;
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
    data::{DataInfo, DataPage, DataSave, DataSearch, DataTable, Points, SaveMode},
    error::{OpenError, OpenReason, StoreError},
    handle::{Store, Written},
    import::{ImportError, ImportSummary, import},
    needs::{Changes, Found, FoundRow, Need, Rows, Totals},
    observe::{Touched, WriteObserver},
    options::{Durability, Options},
    rows::{RowBatch, RowFacts, RowWrite},
    tags::Tag,
};

#[cfg(test)]
mod tests;
