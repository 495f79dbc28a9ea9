//! Rows as the writer takes them.

use std::sync::Arc;

use crate::{
    model::{Epoch, IndicatorId, Indicators, Subject},
    store::{StoreError, schema::check_name},
};

/// SQLite's limit on the columns of a table: no store has more indicators.
pub(crate) const MOST_INDICATORS: usize = 2_000;

/// Rows to be written in one transaction, in order: a later row for the same subject and date
/// writes over an earlier one.
#[derive(Clone, Debug, Default)]
pub struct RowBatch {
    /// Names used by the rows, numbered within this batch alone.
    pub(crate) indicators: Indicators,
    /// For each name, the line that first used it (0: not from a text).
    pub(crate) first_lines: Vec<u64>,
    pub(crate) rows: Vec<RowWrite>,
}

/// One row to be written. What is absent keeps its stored value, or takes the default.
#[derive(Clone, Debug)]
pub struct RowWrite {
    /// `market:code`.
    pub subject: Subject,
    /// Epoch seconds.
    pub report_date: Epoch,
    /// What the row says apart from its numbers; `None` is the same as all absent.
    pub facts: Option<Box<RowFacts>>,
    /// Indicators by their number within the batch; `None` writes NULL.
    pub values: Box<[(IndicatorId, Option<f64>)]>,
}

/// The texts of a row and of its subject. Absent fields keep what is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowFacts {
    /// Display name of the subject.
    pub name: Option<Arc<str>>,
    /// Last day of the period, `YYYY-MM-DD`.
    pub end_date: Option<Arc<str>>,
    /// Four-digit year.
    pub year: Option<Arc<str>>,
    /// Code of the period.
    pub period: Option<Arc<str>>,
    /// Day on which the figures were declared.
    pub declare_date: Option<Arc<str>>,
    /// Kind of security, of the subject.
    pub category: Option<Arc<str>>,
    /// The pool the subject belongs to.
    pub topic: Option<Arc<str>>,
    /// Listing status code of the subject.
    pub status: Option<Arc<str>>,
    /// Day of listing of the subject.
    pub listing_date: Option<Arc<str>>,
}

impl RowFacts {
    /// The text at a place of `rows::check::TEXTS`.
    pub(super) fn text_mut(&mut self, place: usize) -> &mut Option<Arc<str>> {
        match place {
            0 => &mut self.name,
            1 => &mut self.end_date,
            2 => &mut self.year,
            3 => &mut self.period,
            4 => &mut self.declare_date,
            5 => &mut self.category,
            6 => &mut self.topic,
            7 => &mut self.status,
            _ => &mut self.listing_date,
        }
    }
}

impl RowBatch {
    /// How many rows there are, repeats included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The number of an indicator within this batch, new on first use; `None` if there would be
    /// more than any store can hold.
    ///
    /// `line` is where the text named it, for error messages; 0 where there is no text.
    pub fn indicator(&mut self, name: &str, line: u64) -> Option<IndicatorId> {
        if let Some(known) = self.indicators.id(name) {
            return Some(known);
        }
        if self.indicators.len() >= MOST_INDICATORS {
            return None;
        }
        self.first_lines.push(line);
        Some(self.indicators.add(name))
    }

    /// The first indicator that is not among `known`, and the line that named it.
    pub(crate) fn first_unknown(&self, known: &Indicators) -> Option<(Arc<str>, u64)> {
        let mut named = self.indicators.names().iter().zip(&self.first_lines);
        named
            .find(|(name, _)| known.id(name).is_none())
            .map(|(name, line)| (Arc::clone(name), *line))
    }

    /// The first line that names an indicator which a store that has `known` does not take, and
    /// why: it is not there, or, where new ones are created, can be none.
    pub(crate) fn first_refused(
        &self,
        known: &Indicators,
        create: bool,
    ) -> Option<(u64, StoreError)> {
        if !create {
            let (name, line) = self.first_unknown(known)?;
            return Some((line, StoreError::UnknownIndicator { name, line }));
        }
        let mut new = self.indicators.names().iter().zip(&self.first_lines);
        new.find_map(|(name, line)| {
            let (name, line) = (Arc::clone(name), *line);
            let reason = check_name(&name).err().filter(|_| known.id(&name).is_none())?;
            Some((line, StoreError::InvalidIndicator { name, reason, line }))
        })
    }

    /// Adds a row whose indicators were numbered by [`indicator`](Self::indicator).
    ///
    /// # Panics
    /// If a value is not finite: the parsers refuse such numbers with a reason.
    pub fn push(&mut self, row: RowWrite) {
        debug_assert!(row.values.iter().all(|(id, _)| usize::from(id.0) < self.first_lines.len()));
        assert!(
            row.values.iter().all(|(_, value)| value.is_none_or(f64::is_finite)),
            "a number that is not finite cannot be stored"
        );
        self.rows.push(row);
    }

    /// Adds a row by the names of its indicators.
    ///
    /// # Panics
    /// If a value is not finite, or there are more indicators than a store can hold.
    pub fn add(
        &mut self,
        subject: &str,
        report_date: Epoch,
        values: &[(&str, Option<f64>)],
        facts: RowFacts,
    ) {
        let values = values
            .iter()
            .map(|(name, value)| (self.indicator(name, 0).expect("few indicators"), *value))
            .collect();
        let facts = (facts != RowFacts::default()).then(|| Box::new(facts));
        self.push(RowWrite { subject: subject.into(), report_date, facts, values });
    }
}
