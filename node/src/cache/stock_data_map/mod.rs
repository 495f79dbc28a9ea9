//! What is known of one subject: rows by date, columns by indicator, and which stretches of time
//! each column knows.
//!
//! This is knowledge, not a stored response: any query takes from it what it needs. A value never
//! changes; [`merge`](StockDataMap::merge) makes a new one with more in it. Three things are
//! knowledge besides numbers: that a stretch of time holds no rows, that a value is null, and that
//! there is no such subject.
//!
//! # Layout
//!
//! Made for many: ten thousand subjects of a thousand rows. One block each for the rows, for what
//! the rows say of themselves (as JSON text, so that an answer copies it), for the columns, for
//! the distinct coverages (columns that were read together share one), and one matrix of values,
//! column by column, in which NaN stands for null: NaN can't come in, so it is free to mean that.
//! A row costs 24 bytes, its text (some 25) and 8 bytes for each indicator.

mod merge;
mod parts;
#[cfg(test)]
mod tests;
mod text;

use std::sync::Arc;

use kamaitachi_policies::coverage::Coverage;

pub use merge::Learned;
pub(crate) use parts::{Draft, Frame, InvalidParts};
use text::Head;
pub(crate) use text::escape;

use crate::model::{Epoch, IndicatorId, Revision, Subject};

/// What is known of one subject; see the [module](self).
#[derive(Debug)]
pub struct StockDataMap {
    subject: Subject,
    head: Head,
    revision: Revision,
    rows: Box<[Row]>,
    text: Box<[u8]>,
    columns: Box<[Column]>,
    /// The first says which stretches' rows are known at all, whatever of their values is.
    known: Box<[Coverage]>,
    values: Box<[f64]>,
}

/// A row's date and where each of its facts ends in the text; the first begins where the row
/// before ends.
#[derive(Clone, Copy, Debug)]
struct Row {
    report_date: Epoch,
    end_date: u32,
    period: u32,
    declare_date: u32,
    year: u32,
}

/// An indicator and which of the coverages is its own.
#[derive(Clone, Copy, Debug)]
struct Column {
    id: IndicatorId,
    known: u16,
}

/// What a row says of itself, as the inside of JSON strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts<'a> {
    /// Last day of the period.
    pub end_date: &'a [u8],
    /// Code of the period.
    pub period: &'a [u8],
    /// Day of declaration as a JSON value: a string in its quotes, or `null`.
    pub declare_date: &'a [u8],
    /// The year.
    pub year: &'a [u8],
}

/// Known by no column.
static NOTHING: Coverage = Coverage::new();

impl StockDataMap {
    /// Whose rows these are.
    #[must_use]
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// Whether the store has this subject at all. Of one that it does not have, everything is
    /// known: that there is nothing.
    #[must_use]
    pub fn exists(&self) -> bool {
        !self.head.is_empty()
    }

    /// The revision at which this was last read.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The start of an answer about this subject, `{"subject":{…},"data":`.
    #[must_use]
    pub fn head(&self) -> &[u8] {
        self.head.as_bytes()
    }

    /// The subject as the inside of a JSON string.
    #[must_use]
    pub fn subject_json(&self) -> &[u8] {
        self.head.subject()
    }

    /// How many rows are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether no rows are known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The date of a row. Rows ascend by date.
    ///
    /// # Panics
    /// If there is no such row.
    #[must_use]
    pub fn report_date(&self, row: usize) -> Epoch {
        self.rows[row].report_date
    }

    /// The newest known row at or before a time.
    #[must_use]
    pub fn newest(&self, at: Epoch) -> Option<usize> {
        match self.rows.last() {
            Some(last) if last.report_date <= at => Some(self.rows.len() - 1),
            _ => self.rows.partition_point(|row| row.report_date <= at).checked_sub(1),
        }
    }

    /// The known rows in a range of time, both ends included.
    #[must_use]
    pub fn rows_in(&self, from: Epoch, to: Epoch) -> std::ops::Range<usize> {
        let start = self.rows.partition_point(|row| row.report_date < from);
        let end = self.rows.partition_point(|row| row.report_date <= to);
        start..end.max(start)
    }

    /// What a row says of itself.
    ///
    /// # Panics
    /// If there is no such row.
    #[must_use]
    pub fn facts(&self, row: usize) -> Facts<'_> {
        let start = row.checked_sub(1).map_or(0, |before| self.rows[before].year);
        let Row { end_date, period, declare_date, year, .. } = self.rows[row];
        let text = |from: u32, to: u32| &self.text[from as usize..to as usize];
        Facts {
            end_date: text(start, end_date),
            period: text(end_date, period),
            declare_date: text(period, declare_date),
            year: text(declare_date, year),
        }
    }

    /// The values of an indicator, one for each row, NaN for null and for what is not known.
    #[must_use]
    pub fn column(&self, id: IndicatorId) -> Option<&[f64]> {
        let at = self.find(id)?;
        Some(&self.values[at * self.rows.len()..][..self.rows.len()])
    }

    /// The indicators of which something is known, ascending.
    pub fn indicators(&self) -> impl Iterator<Item = IndicatorId> {
        self.columns.iter().map(|column| column.id)
    }

    /// Where the values of an indicator are known.
    #[must_use]
    pub fn known(&self, id: IndicatorId) -> &Coverage {
        match self.find(id) {
            Some(at) => &self.known[usize::from(self.columns[at].known)],
            None => &NOTHING,
        }
    }

    /// Where it is known which rows there are.
    #[must_use]
    pub fn known_rows(&self) -> &Coverage {
        self.known.first().unwrap_or(&NOTHING)
    }

    /// Bytes this takes on the heap, as an allocator hands them out.
    #[must_use]
    pub fn bytes(&self) -> usize {
        // Two counters stand before what an `Arc` holds.
        const COUNTS: usize = 2 * size_of::<usize>();
        let coverages: usize =
            self.known.iter().map(Coverage::heap_bytes).filter(|n| *n > 0).map(block).sum();
        block(COUNTS + size_of::<Self>())
            + block(COUNTS + self.subject.len())
            + block(self.head.as_bytes().len())
            + block(size_of_val(&*self.rows))
            + block(self.text.len())
            + block(size_of_val(&*self.columns))
            + block(size_of_val(&*self.known))
            + block(size_of_val(&*self.values))
            + coverages
    }

    fn find(&self, id: IndicatorId) -> Option<usize> {
        self.columns.binary_search_by_key(&id, |column| column.id).ok()
    }
}

/// What an allocator takes for a block of `bytes`: sizes rise in steps of an eighth, 16 at least.
#[must_use]
pub fn block(bytes: usize) -> usize {
    if bytes == 0 {
        return 0;
    }
    let step = (bytes.next_power_of_two() / 16).max(16);
    bytes.next_multiple_of(step)
}

/// A map and how it is shared.
pub type Known = Arc<StockDataMap>;
