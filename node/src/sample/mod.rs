//! A sample database: thousands of invented companies with quarterly figures.

mod figures;
mod file;
mod generate;
mod rng;
mod subjects;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

pub use self::generate::generate;
use crate::{model::Epoch, store::OpenReason};

/// What a sample is to hold. The same options give the same data on every machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampleOptions {
    /// How many subjects, at least 8 and at most 250,000. Default 5,000.
    pub stocks: u32,
    /// First year. Default 2015.
    pub from_year: i64,
    /// Last year. Default 2024.
    pub to_year: i64,
    /// How many rows in all, spread evenly over the subjects, newest quarters first; more than the
    /// years hold take as many earlier years as they need. Default: a row for every quarter.
    pub rows: Option<u64>,
    /// Other seeds give other figures, names and tags. Default 42.
    pub seed: u64,
    /// The file to make.
    pub db: PathBuf,
    /// Whether a file that is there already, and not empty, may be replaced. Default no.
    pub overwrite: bool,
}

impl SampleOptions {
    /// The defaults, into the file at `db`.
    #[must_use]
    pub fn new(db: impl Into<PathBuf>) -> Self {
        Self {
            stocks: 5_000,
            from_year: 2015,
            to_year: 2024,
            rows: None,
            seed: 42,
            db: db.into(),
            overwrite: false,
        }
    }
}

/// What a sample holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleSummary {
    /// Rows written.
    pub rows: u64,
    /// Subjects written.
    pub stocks: u32,
    /// Tags written.
    pub tags: u64,
    /// Date of the oldest row.
    pub first: Epoch,
    /// Date of the newest row.
    pub last: Epoch,
    /// Size of the file.
    pub bytes: u64,
}

/// Why no sample was made. The file that was there is as it was.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// An option that cannot be met.
    #[error("{0}")]
    Option(String),
    /// There is a file already.
    #[error("{}: there is a file already; choose another name or allow it to be replaced", .0.display())]
    Exists(PathBuf),
    /// The file cannot be written.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// SQLite failed.
    #[error("{}: {reason}", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: OpenReason,
    },
}
