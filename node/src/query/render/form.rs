//! Which answer to write, and whether that is too much for a thread that serves others.

use super::{Labels, by_date, part, period, snapshot};
use crate::{
    cache::stock_data_map::Known,
    query::{Page, Part, PeriodQuery, SnapshotQuery},
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
    /// A part of a larger answer, which may hold so many rows.
    Part(Part<'a>, usize),
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
    Part(Box<Self>, usize),
}

impl Form<'_> {
    pub(crate) fn write(self, maps: &[Known], labels: &Labels) -> Vec<u8> {
        match self {
            Form::Snapshot(query) => snapshot(maps, query, labels),
            Form::Period(query) => period(maps, query, labels),
            Form::ByDate(query, page) => by_date(maps, query, page, labels),
            Form::Part(of, max_rows) => part::write(of, max_rows, maps, labels),
        }
    }

    /// What writing costs; an error where the answer would hold more than `max_rows`.
    pub(crate) fn size(self, maps: &[Known], max_rows: usize) -> Result<Size, StoreError> {
        match self {
            // A page has an end, and finding it costs little a subject.
            Form::Snapshot(_) => Ok(Size::Small),
            Form::Part(part, _) => part.form().size(maps, max_rows),
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
            Form::Part(part, max_rows) => {
                OwnedForm::Part(Box::new(part.form().to_owned()), max_rows)
            }
        }
    }
}

impl OwnedForm {
    pub(crate) fn as_form(&self) -> Form<'_> {
        match self {
            Self::Snapshot(query) => Form::Snapshot(query),
            Self::Period(query) => Form::Period(query),
            Self::ByDate(query, page) => Form::ByDate(query, page),
            Self::Part(of, max_rows) => of.as_form().as_part(*max_rows),
        }
    }
}

impl<'a> Form<'a> {
    /// The same as a part of a larger answer.
    fn as_part(self, max_rows: usize) -> Self {
        let part = match self {
            Form::Snapshot(query) => Part::Snapshot(query),
            Form::Period(query) => Part::Period(query),
            Form::ByDate(query, page) => Part::ByDate(query, page),
            Form::Part(part, _) => part,
        };
        Form::Part(part, max_rows)
    }
}

impl<'a> Part<'a> {
    /// The same as an answer of its own.
    fn form(self) -> Form<'a> {
        match self {
            Part::Snapshot(query) => Form::Snapshot(query),
            Part::Period(query) => Form::Period(query),
            Part::ByDate(query, page) => Form::ByDate(query, page),
        }
    }
}
