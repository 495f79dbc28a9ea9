//! Rows from a file into a store.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
    sync::Arc,
};

use flate2::bufread::MultiGzDecoder;

use super::{
    Store, StoreError,
    rows::{BadRows, Format, Refused, RowBatch, RowReader},
};
use crate::model::{Indicators, Revision};

/// Rows a transaction: enough that its cost does not show, little enough to hold in memory.
const ROWS: usize = 50_000;
const BUFFER: usize = 1 << 20;

/// What an import did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportSummary {
    /// Rows of the file, repeats included.
    pub rows: u64,
    /// The revision of the last of them.
    pub revision: Revision,
}

/// Why a file was not imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The end of its name does not tell its form.
    #[error(
        "{}: expected a name that ends in .csv, .ndjson or .jsonl, or one of these and .gz",
        .0.display()
    )]
    Format(PathBuf),
    /// It cannot be read, or a line is wrong. Nothing was written.
    #[error("{}: {error}", path.display())]
    Rows {
        /// The file.
        path: PathBuf,
        /// Why.
        error: BadRows,
    },
    /// The store refused a part of it.
    #[error("{}: {error} (rows written before that: {written})", path.display())]
    Store {
        /// The file.
        path: PathBuf,
        /// Why.
        error: StoreError,
        /// Rows in the store already; importing the file again is harmless.
        written: u64,
    },
}

/// Upserts all rows of a CSV or NDJSON file, gzipped or not.
///
/// The file is read twice: first as a whole without writing anything, so that a wrong line leaves
/// the store as it was, then in transactions of 50,000 rows. `progress` hears the number of rows
/// written so far. Dropping the future stops between two transactions.
///
/// # Errors
/// [`ImportError`], with the number of the first wrong line.
pub async fn import(
    store: &Store,
    path: &Path,
    create_indicators: bool,
    mut progress: impl FnMut(u64),
) -> Result<ImportSummary, ImportError> {
    let refused =
        |written| move |error| ImportError::Store { path: path.to_owned(), error, written };
    let known = store.indicators();
    let mut source = Source::open(path)?;
    loop {
        let (next, is_end) = source.checked(path, Arc::clone(&known), create_indicators).await?;
        if is_end {
            break;
        }
        source = next;
    }
    let mut summary = ImportSummary { rows: 0, revision: store.revision() };
    let mut source = Source::open(path)?;
    loop {
        let (next, batch) = source.batch(path).await?;
        if batch.is_empty() {
            return Ok(summary);
        }
        let rows = batch.len() as u64;
        let written =
            store.ingest(batch, create_indicators).await.map_err(refused(summary.rows))?;
        summary = ImportSummary { rows: summary.rows + rows, revision: written.revision };
        progress(summary.rows);
        source = next;
    }
}

/// A file of rows being read.
struct Source(RowReader<Box<dyn BufRead + Send>>);

impl Source {
    fn open(path: &Path) -> Result<Self, ImportError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let (name, gzip) = match name.strip_suffix(".gz") {
            Some(name) => (name, true),
            None => (&*name, false),
        };
        let format = match name.rsplit_once('.') {
            Some((_, "csv")) => Format::Csv,
            Some((_, "ndjson" | "jsonl")) => Format::Ndjson,
            _ => return Err(ImportError::Format(path.to_owned())),
        };
        let file = File::open(path).map_err(|error| unreadable(path, error))?;
        let file = BufReader::with_capacity(BUFFER, file);
        let text: Box<dyn BufRead + Send> = if gzip {
            Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(file)))
        } else {
            Box::new(file)
        };
        Ok(Self(RowReader::new(format, text)))
    }

    /// Looks at the next rows, on a thread that may block; says whether there were none.
    async fn checked(
        mut self,
        path: &Path,
        known: Arc<Indicators>,
        create: bool,
    ) -> Result<(Self, bool), ImportError> {
        let read = tokio::task::spawn_blocking(move || {
            self.0.batch_for(ROWS, &known, create).map(|rows| (self, rows.is_empty()))
        });
        let read = read.await.map_err(|error| unreadable(path, io::Error::other(error)))?;
        let path = path.to_owned();
        read.map_err(|refused| match refused {
            Refused::Rows(error) => ImportError::Rows { path, error },
            Refused::Name(error) => ImportError::Store { path, error, written: 0 },
        })
    }

    /// The next rows, read and parsed on a thread that may block.
    async fn batch(mut self, path: &Path) -> Result<(Self, RowBatch), ImportError> {
        let read = tokio::task::spawn_blocking(move || self.0.batch(ROWS).map(|rows| (self, rows)));
        let read = read.await.map_err(|error| unreadable(path, io::Error::other(error)))?;
        read.map_err(|error| ImportError::Rows { path: path.to_owned(), error })
    }
}

fn unreadable(path: &Path, error: io::Error) -> ImportError {
    ImportError::Rows { path: path.to_owned(), error: error.into() }
}
