//! Which answer to write, and whether that is too much for a thread that serves others.

use super::{Labels, by_date, period, snapshot};
use crate::{
    cache::stock_data_map::Known,
    query::{Page, PeriodQuery, SnapshotQuery},
    store::StoreError,
};

/// Values to write from which on an answer is written on a thread of its own: some milliseconds.
const LARGE: usize = 50_000;

/// A query by the form of its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Form<'a> {
    /// The newest row of each subject.
    Snapshot(&'a SnapshotQuery),
    /// Rows by subject.
    Period(&'a PeriodQuery),
    /// Rows by the end of their period.
    ByDate(&'a PeriodQuery, &'a Page),
}

/// Whether writing an answer would keep others on the same thread waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// No.
    Small,
    /// Yes.
    Large,
}

/// The same, its own.
#[derive(Debug)]
pub(crate) enum OwnedForm {
    Snapshot(SnapshotQuery),
    Period(PeriodQuery),
    ByDate(PeriodQuery, Page),
}

impl Form<'_> {
    pub(crate) fn write(self, maps: &[Known], labels: &Labels) -> Vec<u8> {
        match self {
            Form::Snapshot(query) => snapshot(maps, query, labels),
            Form::Period(query) => period(maps, query, labels),
            Form::ByDate(query, page) => by_date(maps, query, page, labels),
        }
    }

    /// What writing costs; an error where the answer would hold more than `max_rows`.
    pub(crate) fn size(self, maps: &[Known], max_rows: usize) -> Result<Size, StoreError> {
        match self {
            // A page has an end, and finding it costs little a subject.
            Form::Snapshot(_) => Ok(Size::Small),
            Form::Period(query) | Form::ByDate(query, _) => {
                let rows = maps.iter().map(|map| map.rows_in(query.from, query.to).len());
                match rows.sum::<usize>() {
                    rows if rows > max_rows => Err(StoreError::TooManyRows { limit: max_rows }),
                    rows if rows * (query.indicators.len() + 1) > LARGE => Ok(Size::Large),
                    _ => Ok(Size::Small),
                }
            }
        }
    }

    pub(crate) fn to_owned(self) -> OwnedForm {
        match self {
            Form::Snapshot(query) => OwnedForm::Snapshot(query.clone()),
            Form::Period(query) => OwnedForm::Period(query.clone()),
            Form::ByDate(query, page) => OwnedForm::ByDate(query.clone(), *page),
        }
    }
}

impl OwnedForm {
    pub(crate) fn as_form(&self) -> Form<'_> {
        match self {
            Self::Snapshot(query) => Form::Snapshot(query),
            Self::Period(query) => Form::Period(query),
            Self::ByDate(query, page) => Form::ByDate(query, page),
        }
    }
}
