//! What a commit changed, one thing after the other.

use rusqlite::types::ValueRef;

use super::bytes::{Reader, Unreadable, put_bytes, put_number, put_row, put_signed};
use crate::{
    model::{Epoch, Revision},
    store::Totals,
};

/// Most columns of a table, as SQLite has it.
const MOST: usize = 2_000;

const COLUMN: u8 = 1;
const ROW_NEW: u8 = 2;
const ROW: u8 = 3;
const ROW_GONE: u8 = 4;
const SUBJECT_ROWS_GONE: u8 = 5;
const SUBJECT: u8 = 6;
const TAGS_GONE: u8 = 7;
const TAG: u8 = 8;
const SERIES: u8 = 9;
const SERIES_GONE: u8 = 10;
const END: u8 = 11;

/// One change.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Op<'b> {
    /// `finance_data` has a new last column.
    Column { name: &'b str, kind: &'b str },
    /// A row of `finance_data` as it is now, and whether this commit made it.
    Row { new: bool, values: Vec<ValueRef<'b>> },
    /// A row of `finance_data` that is no more, by its id.
    RowGone(i64),
    /// All rows of a subject go; those it still has follow.
    SubjectRowsGone(&'b [u8]),
    /// A row of `subjects` as it is now.
    Subject(Vec<ValueRef<'b>>),
    /// All tags go; those that are still there follow.
    TagsGone,
    /// A row of `subject_tags`.
    Tag(Vec<ValueRef<'b>>),
    /// A save of data management; the points follow.
    Series(Series<'b>),
    /// A series that is no more.
    SeriesGone { table: i64, id: &'b str },
    /// The account of the file after the commit; always the last.
    End(End),
}

/// A save of data management.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Series<'b> {
    pub(super) table: i64,
    pub(super) id: &'b str,
    pub(super) created: &'b str,
    pub(super) updated: Epoch,
    /// Whether the points that were there go first.
    pub(super) replaces: bool,
    pub(super) points: Vec<(Epoch, &'b str)>,
}

/// The account of the file after a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) totals: Totals,
    pub(super) membership_revision: Revision,
    /// Whether this commit touched memberships.
    pub(super) membership: bool,
}

pub(super) fn put_column(out: &mut Vec<u8>, name: &str, kind: &str) {
    out.push(COLUMN);
    put_bytes(out, name.as_bytes());
    put_bytes(out, kind.as_bytes());
}

pub(super) fn put_finance_row(out: &mut Vec<u8>, new: bool, row: &rusqlite::Row<'_>) {
    out.push(if new { ROW_NEW } else { ROW });
    put_stored(out, row);
}

pub(super) fn put_row_gone(out: &mut Vec<u8>, id: i64) {
    out.push(ROW_GONE);
    put_signed(out, id);
}

pub(super) fn put_subject_rows_gone(out: &mut Vec<u8>, subject: &str) {
    out.push(SUBJECT_ROWS_GONE);
    put_bytes(out, subject.as_bytes());
}

pub(super) fn put_subject(out: &mut Vec<u8>, row: &rusqlite::Row<'_>) {
    out.push(SUBJECT);
    put_stored(out, row);
}

pub(super) fn put_tags_gone(out: &mut Vec<u8>) {
    out.push(TAGS_GONE);
}

pub(super) fn put_tag(out: &mut Vec<u8>, row: &rusqlite::Row<'_>) {
    out.push(TAG);
    put_stored(out, row);
}

pub(super) fn put_tag_of(out: &mut Vec<u8>, tag: [&str; 3]) {
    out.push(TAG);
    put_row(out, 3, tag.iter().map(|text| ValueRef::Text(text.as_bytes())));
}

pub(super) fn put_series<'p>(
    out: &mut Vec<u8>,
    series: &Series<'_>,
    points: impl ExactSizeIterator<Item = (Epoch, &'p str)>,
) {
    out.push(SERIES);
    put_signed(out, series.table);
    put_bytes(out, series.id.as_bytes());
    put_bytes(out, series.created.as_bytes());
    put_signed(out, series.updated);
    out.push(series.replaces.into());
    put_number(out, points.len() as u64);
    for (at, point) in points {
        put_signed(out, at);
        put_bytes(out, point.as_bytes());
    }
}

pub(super) fn put_series_gone(out: &mut Vec<u8>, table: i64, id: &str) {
    out.push(SERIES_GONE);
    put_signed(out, table);
    put_bytes(out, id.as_bytes());
}

pub(super) fn put_end(out: &mut Vec<u8>, end: End) {
    out.push(END);
    put_number(out, end.totals.records);
    put_number(out, end.totals.subjects);
    put_number(out, end.membership_revision);
    out.push(end.membership.into());
}

fn put_stored(out: &mut Vec<u8>, row: &rusqlite::Row<'_>) {
    let count = row.as_ref().column_count();
    // Cannot fail: no column beyond the last is asked for.
    put_row(out, count, (0..count).map(|n| row.get_ref(n).unwrap_or(ValueRef::Null)));
}

/// The next change, if there is one.
pub(super) fn next<'b>(reader: &mut Reader<'b>) -> Result<Option<Op<'b>>, Unreadable> {
    if reader.is_empty() {
        return Ok(None);
    }
    Ok(Some(match reader.byte()? {
        COLUMN => Op::Column { name: reader.text()?, kind: reader.text()? },
        ROW_NEW => Op::Row { new: true, values: reader.row(MOST)? },
        ROW => Op::Row { new: false, values: reader.row(MOST)? },
        ROW_GONE => Op::RowGone(reader.signed()?),
        SUBJECT_ROWS_GONE => Op::SubjectRowsGone(reader.bytes()?),
        SUBJECT => Op::Subject(reader.row(MOST)?),
        TAGS_GONE => Op::TagsGone,
        TAG => Op::Tag(reader.row(MOST)?),
        SERIES => Op::Series(series(reader)?),
        SERIES_GONE => Op::SeriesGone { table: reader.signed()?, id: reader.text()? },
        END => Op::End(End {
            totals: Totals { records: reader.number()?, subjects: reader.number()? },
            membership_revision: reader.number()?,
            membership: reader.byte()? != 0,
        }),
        _ => return Err(Unreadable),
    }))
}

fn series<'b>(reader: &mut Reader<'b>) -> Result<Series<'b>, Unreadable> {
    let (table, id, created) = (reader.signed()?, reader.text()?, reader.text()?);
    let (updated, replaces) = (reader.signed()?, reader.byte()? != 0);
    let mut points = Vec::new();
    for _ in 0..reader.number()? {
        points.push((reader.signed()?, reader.text()?));
    }
    Ok(Series { table, id, created, updated, replaces, points })
}
