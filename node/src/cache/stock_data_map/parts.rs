//! A map from parts that come from outside and may not fit together.

use kamaitachi_policies::coverage::Coverage;

use super::{Column, Facts, Head, Row, StockDataMap, text::RowText};
use crate::model::{Epoch, IndicatorId, Revision, Subject, SubjectInfo};

/// The rows and columns of a map in the making. Its buffers serve many maps, one after another, so
/// that each map is given just the memory that it needs, at once.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    rows: Vec<Row>,
    text: RowText,
    columns: Vec<(IndicatorId, Coverage, usize)>,
    values: Vec<f64>,
}

/// Whose map it is, and what is said of the whole of it.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) subject: Subject,
    pub(crate) info: &'a SubjectInfo,
    pub(crate) revision: Revision,
    /// Where it is known which rows there are.
    pub(crate) known: Coverage,
}

/// What does not fit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidParts {
    #[error("not an entry")]
    NotAnEntry,
    #[error("rows that do not ascend by date, or are not known")]
    Rows,
    #[error("a fact that is no text")]
    Facts,
    #[error("a column that does not fit the rows")]
    Columns,
}

impl Draft {
    /// Forgets what it holds, but not the memory.
    pub(crate) fn clear(&mut self) {
        self.rows.clear();
        self.text.text.clear();
        self.columns.clear();
        self.values.clear();
    }

    /// Adds a row. The facts must be fit to be copied into an answer.
    pub(crate) fn row(&mut self, report_date: Epoch, facts: Facts<'_>) -> Result<(), InvalidParts> {
        if self.rows.last().is_some_and(|before| before.report_date >= report_date) {
            return Err(InvalidParts::Rows);
        }
        self.rows.push(self.text.copy(report_date, facts));
        Ok(())
    }

    /// Begins a column, once all rows are there; its [values](Self::value) follow.
    pub(crate) fn column(&mut self, id: IndicatorId, known: Coverage) {
        self.columns.push((id, known, self.values.len()));
    }

    /// Adds the value of the next row to the column begun last; NaN is null.
    pub(crate) fn value(&mut self, value: f64) {
        self.values.push(value);
    }

    /// The map of a subject that exists, if the parts make one.
    pub(crate) fn map(&mut self, frame: Frame<'_>) -> Result<StockDataMap, InvalidParts> {
        let known = &frame.known;
        let held = |row: &Row| known.contains(row.report_date);
        let ends = [self.rows.first(), self.rows.last()];
        let one = known.len() == 1 && ends.into_iter().flatten().all(held);
        if !one && !self.rows.iter().all(held) {
            return Err(InvalidParts::Rows);
        }
        let height = self.rows.len();
        let starts = self.columns.iter().map(|(.., start)| *start);
        let fit = starts.clone().eq((0..).step_by(height.max(1)).take(self.columns.len()));
        let fit = if height == 0 { self.values.is_empty() } else { fit };
        let within = self.columns.iter().all(|(_, own, _)| own.subtract(known).is_empty());
        if !fit || !within || self.values.len() != self.columns.len() * height {
            return Err(InvalidParts::Columns);
        }
        self.columns.sort_by_key(|(id, ..)| *id);
        if !self.columns.is_sorted_by(|(a, ..), (b, ..)| a < b) {
            return Err(InvalidParts::Columns);
        }
        self.assemble(frame)
    }

    fn assemble(&mut self, frame: Frame<'_>) -> Result<StockDataMap, InvalidParts> {
        let mut known = vec![frame.known];
        let mut columns = Vec::with_capacity(self.columns.len());
        let mut values = Vec::with_capacity(self.values.len());
        for (id, own, start) in self.columns.drain(..) {
            let place = known.iter().position(|other| *other == own).unwrap_or_else(|| {
                known.push(own);
                known.len() - 1
            });
            let known = u16::try_from(place).map_err(|_| InvalidParts::Columns)?;
            columns.push(Column { id, known });
            values.extend_from_slice(&self.values[start..][..self.rows.len()]);
        }
        Ok(StockDataMap {
            head: Head::new(&frame.subject, frame.info),
            subject: frame.subject,
            revision: frame.revision,
            rows: self.rows.as_slice().into(),
            text: self.text.text.as_slice().into(),
            columns: columns.into(),
            known: known.into(),
            values: values.into(),
        })
    }
}
