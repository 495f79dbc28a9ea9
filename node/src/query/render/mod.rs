//! Answers as bytes, envelope included, written once from front to back.

mod form;
mod labels;
mod page;
mod part;
mod row;
#[cfg(test)]
mod tests;

use smallvec::SmallVec;

pub(crate) use form::{Form, Size};
pub(crate) use labels::Labels;

use super::{Page, PeriodQuery, SnapshotQuery};
use crate::{
    cache::stock_data_map::{Known, StockDataMap},
    model::{Epoch, IndicatorId},
};
use page::{Candidate, cut};
use row::Columns;

const OPEN: &[u8] = br#"{"status_code":0,"status_msg":"success","data":"#;
const CLOSE: &[u8] = b"}";

/// The newest row of each subject: sorted, then cut to the page.
fn snapshot(maps: &[Known], query: &SnapshotQuery, labels: &Labels) -> Vec<u8> {
    let mut found = newest(maps, query);
    close(newest_rows(cut(&mut found, &query.page), &query.indicators, labels))
}

/// The newest rows, with what they are sorted by.
fn newest<'a>(maps: &'a [Known], query: &SnapshotQuery) -> SmallVec<[Candidate<'a>; 8]> {
    let at = query.at.unwrap_or(Epoch::MAX);
    let candidate = |map: &'a Known| Some(Candidate::new(map, map.newest(at)?, query.page.field));
    maps.iter().filter_map(candidate).collect()
}

fn newest_rows(page: &[Candidate<'_>], indicators: &[IndicatorId], labels: &Labels) -> Vec<u8> {
    let values = row::values_size(indicators, labels);
    let size: usize = page.iter().map(|one| one.map.head().len() + values + 4).sum();
    let mut out = open(size);
    out.push(b'[');
    for one in page {
        let columns = Columns::new(one.map, indicators, labels);
        out.extend_from_slice(one.map.head());
        columns.write_known(&mut out, one.row);
        out.extend_from_slice(b"},");
    }
    end(&mut out, b']');
    out
}

/// All rows in the range by subject, newest first; subjects without any are left out.
fn period(maps: &[Known], query: &PeriodQuery, labels: &Labels) -> Vec<u8> {
    close(all_rows(maps, query, labels))
}

fn all_rows(maps: &[Known], query: &PeriodQuery, labels: &Labels) -> Vec<u8> {
    let values = row::values_size(&query.indicators, labels);
    let size = |map: &Known| {
        let rows = map.rows_in(query.from, query.to).len();
        map.head().len() + 4 + rows * (values + row::facts_size(map))
    };
    let mut out = open(maps.iter().map(size).sum());
    out.push(b'[');
    for map in maps {
        let rows = map.rows_in(query.from, query.to);
        if rows.is_empty() {
            continue;
        }
        let columns = Columns::new(map, &query.indicators, labels);
        out.extend_from_slice(map.head());
        out.push(b'[');
        for row in rows.rev() {
            columns.write_row(&mut out, row);
            out.push(b',');
        }
        end(&mut out, b']');
        out.extend_from_slice(b"},");
    }
    end(&mut out, b']');
    out
}

/// All rows in the range by the end of their period, each date sorted and cut on its own.
fn by_date(maps: &[Known], query: &PeriodQuery, page: &Page, labels: &Labels) -> Vec<u8> {
    close(dated_rows(maps, query, page, labels, |_| {}))
}

/// Tells `note` of the page of each date, in their order.
fn dated_rows(
    maps: &[Known],
    query: &PeriodQuery,
    page: &Page,
    labels: &Labels,
    mut note: impl FnMut(&[Candidate<'_>]),
) -> Vec<u8> {
    let candidates = |map| {
        let map: &StockDataMap = map;
        let rows = map.rows_in(query.from, query.to);
        rows.map(|row| Candidate::new(map, row, page.field))
    };
    let mut all: Vec<Candidate<'_>> = maps.iter().map(|map| &**map).flat_map(candidates).collect();
    all.sort_by_key(Candidate::end_date);
    let mut out = open(all.len() * 256);
    out.push(b'{');
    for same in all.chunk_by_mut(|a, b| a.end_date() == b.end_date()) {
        out.push(b'"');
        out.extend_from_slice(same[0].end_date());
        out.extend_from_slice(b"\":[");
        let page = cut(same, page);
        for one in &*page {
            out.extend_from_slice(one.map.head());
            Columns::new(one.map, &query.indicators, labels).write_row(&mut out, one.row);
            out.extend_from_slice(b"},");
        }
        end(&mut out, b']');
        out.push(b',');
        note(page);
    }
    end(&mut out, b'}');
    out
}

fn open(size: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(OPEN.len() + size + 8);
    out.extend_from_slice(OPEN);
    out
}

/// Ends a list or an object, whose last item may have left a comma.
fn end(out: &mut Vec<u8>, mark: u8) {
    if out.last() == Some(&b',') {
        out.pop();
    }
    out.push(mark);
}

/// Ends the envelope.
fn close(mut out: Vec<u8>) -> Vec<u8> {
    out.extend_from_slice(CLOSE);
    out
}
