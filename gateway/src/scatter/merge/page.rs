//! Sorting as nodes do, and cutting the page out.

use std::{borrow::Cow, cmp::Ordering};

use serde_json::value::RawValue;

use super::super::question::Text;

/// Which rows are asked for, as every node understood it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// 1 is ascending, -1 descending.
    pub(super) order: i8,
    pub(super) offset: usize,
    pub(super) limit: usize,
}

/// A row, and what it is sorted by.
pub(super) struct Row<'a> {
    json: &'a str,
    subject: Cow<'a, str>,
    key: Key<'a>,
}

enum Key<'a> {
    /// The subject.
    Subject,
    Integer(i64),
    Number(f64),
    /// As it is written in JSON: so do nodes compare.
    Text(&'a str),
    Missing,
}

impl<'a> Key<'a> {
    fn of(value: &'a RawValue) -> Option<Self> {
        match value.get() {
            "null" => Some(Self::Missing),
            text if text.starts_with('"') => text.get(1..text.len() - 1).map(Self::Text),
            text => {
                let integer = text.parse().map(Self::Integer);
                integer.or_else(|_| text.parse().map(Self::Number)).ok()
            }
        }
    }
}

impl Row<'_> {
    fn cmp(&self, other: &Self, page: &Page) -> Ordering {
        let ordered =
            |ordering: Ordering| if page.order < 0 { ordering.reverse() } else { ordering };
        let by_key = match (&self.key, &other.key) {
            (Key::Missing, Key::Missing) => Ordering::Equal,
            (Key::Missing, _) => Ordering::Greater,
            (_, Key::Missing) => Ordering::Less,
            (Key::Subject, Key::Subject) => ordered(self.subject.cmp(&other.subject)),
            (Key::Integer(a), Key::Integer(b)) => ordered(a.cmp(b)),
            (Key::Number(a), Key::Number(b)) => {
                ordered(a.partial_cmp(b).unwrap_or(Ordering::Equal))
            }
            (Key::Text(a), Key::Text(b)) => ordered(a.cmp(b)),
            (Key::Subject | Key::Integer(_) | Key::Number(_) | Key::Text(_), _) => Ordering::Equal,
        };
        by_key.then_with(|| self.subject.cmp(&other.subject))
    }
}

/// Adds the rows of one answer; `None` if the lists beside them are not as long.
pub(super) fn add<'a>(
    to: &mut Vec<Row<'a>>,
    rows: &[&'a RawValue],
    subjects: &[Text<'a>],
    values: Option<&[&'a RawValue]>,
) -> Option<()> {
    let is_whole =
        rows.len() == subjects.len() && values.is_none_or(|values| values.len() == rows.len());
    is_whole.then_some(())?;
    for (at, (row, subject)) in rows.iter().zip(subjects).enumerate() {
        let key = match values {
            Some(values) => Key::of(values[at])?,
            None => Key::Subject,
        };
        to.push(Row { json: row.get(), subject: subject.0.clone(), key });
    }
    Some(())
}

impl Page {
    /// The page that all of `pages` are; `None` if they differ.
    pub(super) fn of_all(mut pages: impl Iterator<Item = Self>) -> Option<Self> {
        let first = pages.next()?;
        pages.all(|page| page == first).then_some(first)
    }

    /// The rows on the page, as they were written. Rows that only their dates tell apart are of one subject, and so of
    /// one answer, whose order they keep.
    pub(super) fn cut<'a>(
        &self,
        mut rows: Vec<Row<'a>>,
    ) -> impl Iterator<Item = &'a str> + use<'a> {
        rows.sort_by(|a, b| a.cmp(b, self));
        rows.into_iter().skip(self.offset).take(self.limit).map(|row| row.json)
    }
}
