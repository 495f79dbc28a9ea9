//! Text into batches.

use std::io::{self, BufRead};

use super::{RowBatch, csv::CsvRows, ndjson::NdjsonRows};

/// The form of a text of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A JSON object a line.
    Ndjson,
    /// Records under a header.
    Csv,
}

/// Why a text gives no rows.
#[derive(Debug, thiserror::Error)]
pub enum BadRows {
    /// The first line that is wrong, and what is wrong with it.
    #[error("line {line}: {reason}")]
    Line {
        /// Counted from 1, the header of CSV included.
        line: u64,
        /// Field, value, and what was expected.
        reason: String,
    },
    /// The text could not be read.
    #[error("cannot read the rows: {0}")]
    Read(#[from] io::Error),
}

impl BadRows {
    pub(super) fn line(line: u64, reason: impl Into<String>) -> Self {
        Self::Line { line, reason: reason.into() }
    }
}

/// Reads rows in batches, holding no more than one batch.
#[derive(Debug)]
pub struct RowReader<R> {
    rows: Kind<R>,
}

#[derive(Debug)]
enum Kind<R> {
    Ndjson(NdjsonRows<R>),
    Csv(Box<CsvRows<R>>),
}

impl<R: BufRead> RowReader<R> {
    /// Reads `text` as rows of that form.
    pub fn new(format: Format, text: R) -> Self {
        let rows = match format {
            Format::Ndjson => Kind::Ndjson(NdjsonRows::new(text)),
            Format::Csv => Kind::Csv(Box::new(CsvRows::new(text))),
        };
        Self { rows }
    }

    /// The next rows, `most` of them or what is left; an empty batch is the end.
    ///
    /// # Errors
    /// [`BadRows`] for the first line that is wrong; reading on after that is not meaningful.
    pub fn batch(&mut self, most: usize) -> Result<RowBatch, BadRows> {
        let mut batch = RowBatch::default();
        match &mut self.rows {
            Kind::Ndjson(rows) => rows.fill(&mut batch, most)?,
            Kind::Csv(rows) => rows.fill(&mut batch, most)?,
        }
        Ok(batch)
    }
}

/// All rows of a text.
///
/// # Errors
/// [`BadRows::Line`] for the first line that is wrong.
pub fn parse(format: Format, text: &[u8]) -> Result<RowBatch, BadRows> {
    RowReader::new(format, text).batch(usize::MAX)
}
