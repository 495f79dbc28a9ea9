//! Text into batches.

use std::io::{self, BufRead};

use super::{RowBatch, csv::CsvRows, ndjson::NdjsonRows};
use crate::{model::Indicators, store::StoreError};

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

/// Why a store does not take the rows of a text.
#[derive(Debug)]
pub(crate) enum Refused {
    /// A line is wrong.
    Rows(BadRows),
    /// A line names an indicator that the store does not take.
    Name(StoreError),
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
        self.fill(&mut batch, most)?;
        Ok(batch)
    }

    /// The same of a text that is for a store which has the indicators `known`, and creates new
    /// ones or not: of wrong lines and names that it does not take the first is told.
    ///
    /// # Errors
    /// [`Refused`], for the first line that is.
    pub(crate) fn batch_for(
        &mut self,
        most: usize,
        known: &Indicators,
        create: bool,
    ) -> Result<RowBatch, Refused> {
        let mut batch = RowBatch::default();
        let read = self.fill(&mut batch, most);
        let wrong = match &read {
            Ok(()) => u64::MAX,
            Err(BadRows::Line { line, .. }) => *line,
            Err(BadRows::Read(_)) => 0,
        };
        match batch.first_refused(known, create).filter(|(line, _)| *line < wrong) {
            Some((_, error)) => Err(Refused::Name(error)),
            None => read.map(|()| batch).map_err(Refused::Rows),
        }
    }

    /// Adds the next rows to `batch`; on an error it holds what was read before.
    fn fill(&mut self, batch: &mut RowBatch, most: usize) -> Result<(), BadRows> {
        match &mut self.rows {
            Kind::Ndjson(rows) => rows.fill(batch, most),
            Kind::Csv(rows) => rows.fill(batch, most),
        }
    }
}

/// All rows of a text.
///
/// # Errors
/// [`BadRows::Line`] for the first line that is wrong.
pub fn parse(format: Format, text: &[u8]) -> Result<RowBatch, BadRows> {
    RowReader::new(format, text).batch(usize::MAX)
}
