//! Sorting, and cutting the page out with no more sorting than it takes.

use std::cmp::Ordering;

use super::row::write_number;
use crate::{
    cache::stock_data_map::StockDataMap,
    model::Epoch,
    query::{Order, Page, SortField},
};

/// A row that may be on the page.
pub(super) struct Candidate<'a> {
    pub(super) map: &'a StockDataMap,
    pub(super) row: usize,
    key: Key<'a>,
}

/// What a row is sorted by; all rows of a query have the same kind, or none.
#[derive(Clone, Copy)]
enum Key<'a> {
    Number(f64),
    Date(Epoch),
    Text(&'a [u8]),
    Missing,
}

impl<'a> Candidate<'a> {
    pub(super) fn new(map: &'a StockDataMap, row: usize, field: SortField) -> Self {
        let key = match field {
            SortField::Indicator(id) => match map.column(id).and_then(|values| values.get(row)) {
                Some(value) if !value.is_nan() => Key::Number(*value),
                _ => Key::Missing,
            },
            SortField::ReportDate => Key::Date(map.report_date(row)),
            SortField::EndDate => Key::Text(map.facts(row).end_date),
            SortField::Year => Key::Text(map.facts(row).year),
            SortField::Subject => Key::Text(map.subject().as_bytes()),
        };
        Self { map, row, key }
    }

    pub(super) fn end_date(&self) -> &'a [u8] {
        self.map.facts(self.row).end_date
    }

    /// Writes what the row is sorted by as a JSON value, `null` where there is nothing.
    pub(super) fn write_key(&self, out: &mut Vec<u8>) {
        match self.key {
            Key::Number(value) => write_number(out, value),
            Key::Date(date) => out.extend_from_slice(itoa::Buffer::new().format(date).as_bytes()),
            Key::Text(text) => {
                out.push(b'"');
                out.extend_from_slice(text);
                out.push(b'"');
            }
            Key::Missing => out.extend_from_slice(b"null"),
        }
    }

    fn cmp(&self, other: &Self, order: Order) -> Ordering {
        let ordered = |ordering: Ordering| match order {
            Order::Ascending => ordering,
            Order::Descending => ordering.reverse(),
        };
        let by_key = match (self.key, other.key) {
            (Key::Missing, Key::Missing) => Ordering::Equal,
            (Key::Missing, _) => Ordering::Greater,
            (_, Key::Missing) => Ordering::Less,
            (Key::Number(a), Key::Number(b)) => {
                ordered(a.partial_cmp(&b).unwrap_or(Ordering::Equal))
            }
            (Key::Date(a), Key::Date(b)) => ordered(a.cmp(&b)),
            (Key::Text(a), Key::Text(b)) => ordered(a.cmp(b)),
            (Key::Number(_) | Key::Date(_) | Key::Text(_), _) => Ordering::Equal,
        };
        by_key.then_with(|| self.map.subject().cmp(other.map.subject())).then_with(|| {
            // Two rows of one subject, which only answers by date can hold: newest first.
            other.map.report_date(other.row).cmp(&self.map.report_date(self.row))
        })
    }
}

/// Moves the page to its place, sorted, and returns it. What is not on it stays unsorted: that
/// takes linear time in all, plus the sorting of the page.
pub(super) fn cut<'c, 'a>(all: &'c mut [Candidate<'a>], page: &Page) -> &'c mut [Candidate<'a>] {
    let Page { order, offset, limit, .. } = *page;
    let end = offset.saturating_add(limit).min(all.len());
    if offset >= end {
        return &mut [];
    }
    let cmp = |a: &Candidate<'_>, b: &Candidate<'_>| a.cmp(b, order);
    if end < all.len() {
        all.select_nth_unstable_by(end, cmp);
    }
    let upto = &mut all[..end];
    if offset > 0 {
        upto.select_nth_unstable_by(offset, cmp);
    }
    let page = &mut upto[offset..];
    page.sort_unstable_by(cmp);
    page
}
