//! A map from parts that come from outside and may not fit together.

use kamaitachi_policies::coverage::Coverage;

use super::{Column, Head, Row, StockDataMap, text::RowText};
use crate::model::{Epoch, IndicatorId, Revision, Subject, SubjectInfo};

/// All that makes up the map of a subject that exists.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) subject: Subject,
    pub(crate) info: SubjectInfo,
    pub(crate) revision: Revision,
    /// Where it is known which rows there are.
    pub(crate) known: Coverage,
    /// By date.
    pub(crate) rows: Vec<(Epoch, RawFacts<'a>)>,
    /// Each with where it is known and one value a row, NaN for null.
    pub(crate) columns: Vec<(IndicatorId, Coverage, Vec<f64>)>,
}

/// What a row says of itself as JSON values: strings, of which the day of declaration may be null.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawFacts<'a> {
    pub(crate) end_date: &'a str,
    pub(crate) period: &'a str,
    pub(crate) declare_date: &'a str,
    pub(crate) year: &'a str,
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

impl StockDataMap {
    /// Puts a map together, if it is one.
    pub(crate) fn from_parts(mut parts: Parts<'_>) -> Result<Self, InvalidParts> {
        let ascend = parts.rows.is_sorted_by(|(a, _), (b, _)| a < b);
        if !ascend || !parts.rows.iter().all(|(date, _)| parts.known.contains(*date)) {
            return Err(InvalidParts::Rows);
        }
        let mut text = RowText::default();
        let mut rows: Vec<Row> = Vec::with_capacity(parts.rows.len());
        for (date, facts) in &parts.rows {
            let facts = facts.inner().ok_or(InvalidParts::Facts)?;
            rows.push(text.copy(*date, facts));
        }
        parts.columns.sort_by_key(|(id, ..)| *id);
        let distinct = parts.columns.is_sorted_by(|(a, ..), (b, ..)| a < b);
        let fits = |(_, known, values): &(IndicatorId, Coverage, Vec<f64>)| {
            values.len() == rows.len()
                && known.subtract(&parts.known).is_empty()
                && !values.iter().any(|value| value.is_infinite())
        };
        if !distinct || !parts.columns.iter().all(fits) {
            return Err(InvalidParts::Columns);
        }
        let mut known = vec![parts.known];
        let mut columns = Vec::with_capacity(parts.columns.len());
        let mut values = Vec::with_capacity(parts.columns.len() * rows.len());
        for (id, own, own_values) in parts.columns {
            let place = known.iter().position(|other| *other == own).unwrap_or_else(|| {
                known.push(own);
                known.len() - 1
            });
            let known = u16::try_from(place).map_err(|_| InvalidParts::Columns)?;
            columns.push(Column { id, known });
            values.extend(own_values);
        }
        Ok(Self {
            head: Head::new(&parts.subject, &parts.info),
            subject: parts.subject,
            revision: parts.revision,
            rows: rows.into(),
            text: text.text.into(),
            columns: columns.into(),
            known: known.into(),
            values: values.into(),
        })
    }
}

impl<'a> RawFacts<'a> {
    fn inner(self) -> Option<super::Facts<'a>> {
        let text = |raw: &'a str| {
            raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"')).map(str::as_bytes)
        };
        let declared = match self.declare_date {
            "null" => b"null",
            day => text(day).map(|_| day.as_bytes())?,
        };
        Some(super::Facts {
            end_date: text(self.end_date)?,
            period: text(self.period)?,
            declare_date: declared,
            year: text(self.year)?,
        })
    }
}
