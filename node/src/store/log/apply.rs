//! Making a store equal to the one whose log it is.

use std::sync::Arc;

use rusqlite::{
    CachedStatement, Connection, params,
    types::{ToSqlOutput, Value, ValueRef},
};

use super::{
    Change, LAST,
    bytes::{Reader, Unreadable},
    ops::{self, End, Op, Series},
};
use crate::{
    model::{Revision, Subject},
    store::{
        StoreError,
        history::History,
        job::Writing,
        schema::{self, Column, listed, quoted},
    },
};

/// What a followed commit makes of the file's account of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct Applied {
    pub(in crate::store) history: History,
    pub(in crate::store) membership_revision: Revision,
}

impl From<Unreadable> for StoreError {
    fn from(_: Unreadable) -> Self {
        Self::Diverged("a logged change cannot be read")
    }
}

/// Applies whole commits, in order, as one write.
///
/// Exactly once: the first must be the very next one to `history` and the revision of the store,
/// each other the next to the one before it. The mark of progress is the store's own, in the same
/// transaction.
pub(in crate::store) fn apply(
    writing: &mut Writing<'_>,
    history: &History,
    changes: &[Change],
) -> Result<(), StoreError> {
    let mut at = writing
        .applied
        .clone()
        .unwrap_or_else(|| Applied { history: history.clone(), membership_revision: 0 });
    let (mut revision, mut part) = (writing.revision - 1, 0_u32);
    let conn = writing.conn;
    let mut target = Target::new(conn)?;
    for change in changes {
        let fits = revision.checked_add(1) == Some(change.first)
            && (change.first..=LAST).contains(&change.last)
            && u32::from(change.part) == part
            && change.before == at.history.nonce;
        if !fits {
            return Err(StoreError::Diverged("a change does not follow on the last one"));
        }
        target.part(&change.ops)?;
        part += 1;
        if change.ends {
            let end = target.end.take().ok_or(StoreError::Diverged("a change has no end"))?;
            writing.totals = end.totals;
            writing.touched.membership |= end.membership;
            at.membership_revision = end.membership_revision;
            at.history.nonce = change.nonce;
            (revision, part) = (change.last, 0);
        }
    }
    if part != 0 || changes.is_empty() {
        return Err(StoreError::Diverged("a change is not whole"));
    }
    at.history.columns = target.columns.len();
    if target.widened {
        writing.indicators = Arc::new(schema::indicators(conn, &writing.indicators)?);
    }
    let touched = &mut writing.touched.subjects;
    touched.append(&mut target.touched);
    touched.sort_unstable();
    touched.dedup();
    (writing.revision, writing.applied) = (revision, Some(at));
    Ok(())
}

/// The tables, and the statements that write whole rows into them.
struct Target<'c> {
    conn: &'c Connection,
    columns: Vec<Column>,
    widened: bool,
    rows: Option<Rows<'c>>,
    subjects: Option<[CachedStatement<'c>; 2]>,
    touched: Vec<Subject>,
    end: Option<End>,
}

/// Statements for rows of `finance_data`; parameters are numbered by column.
struct Rows<'c> {
    insert: CachedStatement<'c>,
    update: CachedStatement<'c>,
}

impl<'c> Target<'c> {
    fn new(conn: &'c Connection) -> Result<Self, StoreError> {
        let columns = schema::columns(conn)?;
        let touched = Vec::new();
        Ok(Self { conn, columns, widened: false, rows: None, subjects: None, touched, end: None })
    }

    fn part(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let mut reader = Reader::new(bytes);
        while let Some(op) = ops::next(&mut reader)? {
            self.op(op)?;
        }
        Ok(())
    }

    fn op(&mut self, op: Op<'_>) -> Result<(), StoreError> {
        match op {
            Op::Column { name, kind } => self.column(name, kind),
            Op::Row { new, values } => self.row(new, &values),
            Op::RowGone(id) => {
                self.conn
                    .prepare_cached("DELETE FROM finance_data WHERE rowid = ?1")?
                    .execute([id])?;
                Ok(())
            }
            Op::SubjectRowsGone(subject) => {
                let subject = ToSqlOutput::Borrowed(ValueRef::Text(subject));
                self.conn
                    .prepare_cached("DELETE FROM finance_data WHERE subject_key = ?1")?
                    .execute(params![subject])?;
                Ok(())
            }
            Op::Subject(values) => self.subject(&values),
            Op::TagsGone => {
                self.conn.execute("DELETE FROM subject_tags", [])?;
                Ok(())
            }
            Op::Tag(values) => {
                let sql = "INSERT OR IGNORE INTO subject_tags (subject_key, id, keyword) \
                           VALUES (?1, ?2, ?3)";
                run(&mut self.conn.prepare_cached(sql)?, &values)?;
                Ok(())
            }
            Op::Series(series) => self.series(&series),
            Op::SeriesGone { table, id } => self.series_gone(table, id),
            Op::End(end) => {
                self.end = Some(end);
                Ok(())
            }
        }
    }

    fn column(&mut self, name: &str, kind: &str) -> Result<(), StoreError> {
        // The type of a column cannot be a parameter, so it must be no more than words.
        let word = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '_' | '(' | ')' | ',');
        if !kind.chars().all(word) {
            return Err(StoreError::Diverged("a new column has a type that is none"));
        }
        if self.columns.iter().any(|column| column.name.eq_ignore_ascii_case(name)) {
            // A script added it at the master just before the copy was made.
            return Ok(());
        }
        (self.rows, self.widened) = (None, true);
        self.conn.execute_batch(&format!(
            "ALTER TABLE finance_data ADD COLUMN {} {kind}",
            quoted(name)
        ))?;
        self.columns.push(Column { name: name.to_owned(), kind: kind.to_owned(), plain: true });
        Ok(())
    }

    fn row(&mut self, new: bool, values: &[ValueRef<'_>]) -> Result<(), StoreError> {
        if values.len() != self.columns.len() {
            return Err(StoreError::Diverged("a row has other columns than the table"));
        }
        let rows = match &mut self.rows {
            Some(rows) => rows,
            none => none.insert(Rows::new(self.conn, &self.columns)?),
        };
        let statement = if new { &mut rows.insert } else { &mut rows.update };
        match run(statement, values)? {
            1 => Ok(()),
            _ => Err(StoreError::Diverged("a row to be changed is not there")),
        }
    }

    fn subject(&mut self, values: &[ValueRef<'_>]) -> Result<(), StoreError> {
        let Some(ValueRef::Text(key)) = values.first() else {
            return Err(StoreError::Diverged("a subject has no name"));
        };
        let [update, upsert] = match &mut self.subjects {
            Some(statements) => statements,
            none => none.insert([
                // Mostly the topic stays, and its index with it.
                self.conn.prepare_cached(
                    "UPDATE subjects SET name = ?2, status = ?3, listing_date = ?4, \
                     category = ?5, row_count = ?7, revision = ?8 \
                     WHERE subject_key = ?1 AND topic = ?6",
                )?,
                self.conn.prepare_cached(
                    "INSERT OR REPLACE INTO subjects VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                )?,
            ]),
        };
        if run(update, values)? == 0 {
            run(upsert, values)?;
        }
        self.touched.push(String::from_utf8_lossy(key).into());
        Ok(())
    }

    fn series(&self, series: &Series<'_>) -> Result<(), StoreError> {
        let Series { table, id, created, updated, replaces, points } = series;
        let sql = "INSERT OR REPLACE INTO data_info (table_id, id, create_time, update_time) \
                   VALUES (?1, ?2, ?3, ?4)";
        self.conn.prepare_cached(sql)?.execute(params![table, id, created, updated])?;
        if *replaces {
            self.points_gone(*table, id)?;
        }
        let sql = "INSERT OR REPLACE INTO data_points (table_id, id, at, point) \
                   VALUES (?1, ?2, ?3, ?4)";
        let mut insert = self.conn.prepare_cached(sql)?;
        for (at, point) in points {
            insert.execute(params![table, id, at, point])?;
        }
        Ok(())
    }

    fn series_gone(&self, table: i64, id: &str) -> Result<(), StoreError> {
        self.points_gone(table, id)?;
        let sql = "DELETE FROM data_info WHERE table_id = ?1 AND id = ?2";
        self.conn.prepare_cached(sql)?.execute(params![table, id])?;
        Ok(())
    }

    fn points_gone(&self, table: i64, id: &str) -> Result<(), StoreError> {
        let sql = "DELETE FROM data_points WHERE table_id = ?1 AND id = ?2";
        self.conn.prepare_cached(sql)?.execute(params![table, id])?;
        Ok(())
    }
}

impl<'c> Rows<'c> {
    fn new(conn: &'c Connection, columns: &[Column]) -> Result<Self, StoreError> {
        let marks: Vec<String> = (1..=columns.len()).map(|n| format!("?{n}")).collect();
        let marks = marks.join(", ");
        let insert = format!("INSERT INTO finance_data ({}) VALUES ({marks})", listed(columns));
        let (mut set, mut keys) = (Vec::new(), Vec::new());
        for (n, column) in (1..).zip(columns) {
            let equals = format!("{} = ?{n}", quoted(&column.name));
            match column.name.to_ascii_lowercase().as_str() {
                // A row that is changed stays where it is, and so do its indexes.
                "id" | "subject_key" | "report_date" => keys.push(equals),
                _ => set.push(equals),
            }
        }
        let update =
            format!("UPDATE finance_data SET {} WHERE {}", set.join(", "), keys.join(" AND "));
        Ok(Self { insert: conn.prepare_cached(&insert)?, update: conn.prepare_cached(&update)? })
    }
}

/// Runs a statement with a row as its parameters; gives how many rows it wrote.
fn run(statement: &mut CachedStatement<'_>, values: &[ValueRef<'_>]) -> Result<usize, StoreError> {
    if statement.parameter_count() != values.len() {
        return Err(StoreError::Diverged("a row has other columns than the table"));
    }
    for (n, value) in values.iter().enumerate() {
        match value {
            ValueRef::Null => statement.raw_bind_parameter(n + 1, Value::Null)?,
            value => statement.raw_bind_parameter(n + 1, ToSqlOutput::Borrowed(*value))?,
        }
    }
    statement.raw_execute().map_err(|error| match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::ConstraintViolation) => {
            StoreError::Diverged("a row is there that should not be")
        }
        _ => error.into(),
    })
}
