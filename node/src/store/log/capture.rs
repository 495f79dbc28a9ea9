//! Logging a commit, just before it is made.

use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::{Connection, Row, hooks::Action, params};

use super::{
    Account, LogLimits,
    account::wall_clock,
    key,
    ops::{self, End, Series},
};
use crate::{
    model::{Revision, Subject},
    store::{
        DataSave, DataTable, StoreError,
        history::{History, nonce},
        job::Writing,
        schema::{Column, listed},
        state::State,
    },
};

/// Bytes of a part: bounds what whoever reads the log has to hold.
const PART: usize = 256 << 10;

/// Rows of `finance_data` that the connection wrote, by id, and whether it made them. Rows of
/// writes that were undone are among them; what counts is what the commit leaves.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Notes(Arc<Mutex<Vec<(i64, bool)>>>);

impl Notes {
    /// Notes what `conn` writes from now on.
    pub(in crate::store) fn take_from(conn: &Connection) -> rusqlite::Result<Self> {
        let notes = Self::default();
        let noted = Arc::clone(&notes.0);
        let note = move |action, _: &str, table: &str, id| {
            if table == "finance_data" {
                noted.lock().push((id, action == Action::SQLITE_INSERT));
            }
        };
        conn.update_hook(Some(note))?;
        Ok(notes)
    }

    pub(in crate::store) fn clear(&self) {
        self.0.lock().clear();
    }

    /// Each row once, in order of ids.
    fn rows(&self) -> Vec<(i64, bool)> {
        let mut rows = std::mem::take(&mut *self.0.lock());
        // Stable: a row that was made and then changed was made.
        rows.sort_by_key(|(id, _)| *id);
        rows.dedup_by_key(|(id, _)| *id);
        rows
    }
}

/// A commit that is about to be made.
pub(in crate::store) struct Commit<'a> {
    pub(in crate::store) first: Revision,
    /// The file's account as the commit leaves it.
    pub(in crate::store) state: &'a State,
    /// The history up to this commit.
    pub(in crate::store) before: &'a History,
    /// The columns of `finance_data` as the commit leaves them.
    pub(in crate::store) columns: &'a [Column],
    pub(in crate::store) membership: bool,
    /// Subjects it touched; may repeat.
    pub(in crate::store) subjects: Vec<&'a Subject>,
    /// Subjects whose rows others wrote, and whether others wrote tags.
    pub(in crate::store) outside: Option<(&'a [Subject], bool)>,
    /// What the writes logged themselves.
    pub(in crate::store) ops: Vec<&'a [u8]>,
}

impl Commit<'_> {
    /// Logs the commit, or cuts the log where it cannot be logged. Gives the history with it.
    pub(in crate::store) fn log(
        &self,
        conn: &Connection,
        notes: &Notes,
        limits: &LogLimits,
        account: &mut Account,
    ) -> Result<History, StoreError> {
        let history = History {
            lineage: self.before.lineage.clone(),
            nonce: nonce(),
            columns: self.columns.len(),
        };
        let mut parts = Parts {
            conn,
            commit: self,
            nonce: history.nonce,
            at: wall_clock(),
            most: limits.bytes,
            part: Some(0),
            bytes: 0,
            buffer: Vec::new(),
        };
        let fits = limits.bytes > 0 && self.new_columns(&mut parts.buffer);
        if fits && self.write(notes, &mut parts)? {
            account.add(parts.bytes, parts.at);
            account.trim(conn, limits, parts.at)?;
        } else {
            notes.clear();
            if limits.bytes > 0 {
                tracing::warn!(
                    revision = self.state.revision,
                    "a commit cannot be logged: who follows starts from a copy"
                );
            }
            account.clear(conn)?;
        }
        Ok(history)
    }

    /// Columns that are new, unless there is more to them than a name and a type.
    fn new_columns(&self, out: &mut Vec<u8>) -> bool {
        let Some(new) = self.columns.get(self.before.columns..) else { return false };
        for column in new {
            ops::put_column(out, &column.name, &column.kind);
        }
        new.iter().all(|column| column.plain)
    }

    /// False where it is more than the log may hold.
    fn write(&self, notes: &Notes, parts: &mut Parts<'_>) -> Result<bool, StoreError> {
        let columns = listed(self.columns);
        if let Some((subjects, tags)) = self.outside {
            outside(&columns, subjects, tags, parts)?;
        }
        let sql = format!("SELECT {columns} FROM finance_data WHERE rowid = ?1");
        let mut select = parts.conn.prepare_cached(&sql)?;
        for (id, new) in notes.rows() {
            let mut found = select.query([id])?;
            match found.next()? {
                Some(row) => ops::put_finance_row(&mut parts.buffer, new, row),
                None => ops::put_row_gone(&mut parts.buffer, id),
            }
            parts.flush_if_full()?;
        }
        let mut select =
            parts.conn.prepare_cached("SELECT * FROM subjects WHERE subject_key = ?1")?;
        let mut subjects = self.subjects.clone();
        subjects.sort_unstable();
        subjects.dedup();
        for subject in subjects {
            let mut found = select.query([subject])?;
            if let Some(row) = found.next()? {
                ops::put_subject(&mut parts.buffer, row);
            }
            parts.flush_if_full()?;
        }
        for ops in &self.ops {
            parts.buffer.extend_from_slice(ops);
            parts.flush_if_full()?;
        }
        let State { totals, membership_revision, .. } = *self.state;
        let end = End { totals, membership_revision, membership: self.membership };
        ops::put_end(&mut parts.buffer, end);
        parts.flush(true)
    }
}

/// Logs all rows of subjects that others wrote, and all tags if they wrote those.
fn outside(
    columns: &str,
    subjects: &[Subject],
    tags: bool,
    parts: &mut Parts<'_>,
) -> Result<(), StoreError> {
    for subject in subjects {
        ops::put_subject_rows_gone(&mut parts.buffer, subject);
    }
    let new = |out: &mut Vec<u8>, row: &Row<'_>| ops::put_finance_row(out, true, row);
    let sql = format!("SELECT {columns} FROM finance_data WHERE subject_key = ?1");
    for subject in subjects {
        parts.all(&sql, params![subject], new)?;
    }
    if tags {
        ops::put_tags_gone(&mut parts.buffer);
        parts.all("SELECT subject_key, id, keyword FROM subject_tags", [], ops::put_tag)?;
    }
    Ok(())
}

/// A commit on its way into the log.
struct Parts<'c> {
    conn: &'c Connection,
    commit: &'c Commit<'c>,
    nonce: i64,
    at: u64,
    most: u64,
    /// The next part; `None` beyond what a log may hold.
    part: Option<u16>,
    bytes: u64,
    buffer: Vec<u8>,
}

impl Parts<'_> {
    /// Logs every row of a query.
    fn all(
        &mut self,
        sql: &str,
        params: impl rusqlite::Params,
        put: impl Fn(&mut Vec<u8>, &Row<'_>),
    ) -> Result<(), StoreError> {
        let mut select = self.conn.prepare_cached(sql)?;
        let mut rows = select.query(params)?;
        while let Some(row) = rows.next()? {
            put(&mut self.buffer, row);
            self.flush_if_full()?;
        }
        Ok(())
    }

    fn flush_if_full(&mut self) -> Result<(), StoreError> {
        if self.buffer.len() >= PART {
            self.flush(false)?;
        }
        Ok(())
    }

    /// Writes what is there as a part; false where that is more than the log may hold.
    fn flush(&mut self, ends: bool) -> Result<bool, StoreError> {
        self.bytes += self.buffer.len() as u64;
        let Some(part) = self.part.filter(|_| self.bytes <= self.most) else {
            self.part = None;
            self.buffer.clear();
            return Ok(false);
        };
        let Commit { first, state, before, .. } = self.commit;
        let sql = "INSERT INTO change_log (key, last, ends, before, nonce, at, ops) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        self.conn.prepare_cached(sql)?.execute(params![
            key(*first, part),
            state.revision.cast_signed(),
            ends,
            before.nonce,
            self.nonce,
            self.at.cast_signed(),
            self.buffer,
        ])?;
        self.buffer.clear();
        self.part = part.checked_add(1);
        Ok(true)
    }
}

/// Logs a save of data management.
pub(in crate::store) fn series_saved(
    writing: &mut Writing<'_>,
    save: &DataSave,
    created: &str,
    replaces: bool,
) {
    let series = Series {
        table: save.table.number(),
        id: &save.id,
        created,
        updated: save.now,
        replaces,
        points: Vec::new(),
    };
    let points = save.points.iter().map(|(at, point)| (*at, point.get()));
    ops::put_series(&mut writing.ops, &series, points);
}

/// Logs the end of a series of data management.
pub(in crate::store) fn series_gone(writing: &mut Writing<'_>, table: DataTable, id: &str) {
    ops::put_series_gone(&mut writing.ops, table.number(), id);
}

/// Logs a tag.
pub(in crate::store) fn tag_added(writing: &mut Writing<'_>, tag: [&str; 3]) {
    ops::put_tag_of(&mut writing.ops, tag);
}
