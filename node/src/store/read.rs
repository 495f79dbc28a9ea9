//! Answers to needs: rows by subject and date.

use std::sync::Arc;

use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, types::ValueRef};

use super::{
    Found, FoundRow, Need, Rows, StoreError,
    dates::Day,
    facts,
    intern::Interner,
    reader::{Reader, snapshot},
    schema::quoted,
};
use crate::model::{Epoch, IndicatorId, Indicators, Revision, RowInfo};

/// Columns before the indicators: `report_date` and the row's texts.
const TEXTS: usize = 5;

/// Answers all needs from one snapshot. Gives up between two needs when nobody waits any more.
pub(super) fn needs(
    reader: &mut Reader,
    needs: &[Need],
    gone: &dyn Fn() -> bool,
) -> Result<(Revision, Vec<Found>), StoreError> {
    let Reader { conn, shared, texts, max_rows } = reader;
    let mut room = Room { limit: *max_rows, left: *max_rows };
    let (transaction, revision) = snapshot(conn)?;
    // Needs name what was published before they were asked, so the snapshot has those columns.
    let indicators = shared.indicators.load();
    let mut subjects = transaction.prepare_cached(
        "SELECT name, status, listing_date, category FROM subjects \
         WHERE subject_key = ?1 AND row_count > 0",
    )?;
    let mut select: Option<Select<'_>> = None;
    let mut answers: Vec<Found> = Vec::with_capacity(needs.len());
    for (n, need) in needs.iter().enumerate() {
        if gone() {
            return Err(StoreError::Closed);
        }
        // Needs of one subject come one after the other.
        let others = needs[..n].iter().rev().take_while(|other| other.subject == need.subject);
        let same = &answers[n - others.count()..];
        let subject = match same.last() {
            Some(answer) => answer.subject.clone(),
            None => subjects.query_row([&*need.subject], facts::info).optional()?,
        };
        let rows = match &subject {
            Some(_) => {
                let select = Select::reuse(&mut select, &transaction, &indicators, need)?;
                select.rows(need, same, texts, &mut room)?
            }
            None => Vec::new(),
        };
        answers.push(Found { subject, rows });
    }
    Ok((revision, answers))
}

/// How many rows a read may still give, each subject and date once.
struct Room {
    limit: usize,
    left: usize,
}

impl Room {
    fn take(&mut self) -> Result<(), StoreError> {
        let full = StoreError::TooManyRows { limit: self.limit };
        self.left = self.left.checked_sub(1).ok_or(full)?;
        Ok(())
    }
}

impl Found {
    /// Whether the row of this date is there.
    fn has(&self, report_date: Epoch) -> bool {
        self.rows.binary_search_by_key(&report_date, |row| row.report_date).is_ok()
    }
}

/// A statement for needs of the same kind: consecutive needs mostly are.
struct Select<'c> {
    newest: bool,
    indicators: Box<[IndicatorId]>,
    statement: CachedStatement<'c>,
}

impl<'c> Select<'c> {
    fn reuse<'s>(
        last: &'s mut Option<Self>,
        conn: &'c Connection,
        indicators: &Indicators,
        need: &Need,
    ) -> Result<&'s mut Self, StoreError> {
        let newest = matches!(need.rows, Rows::Newest { .. });
        let fits = |s: &Self| s.newest == newest && s.indicators == need.indicators;
        if !last.as_ref().is_some_and(fits) {
            let statement = conn.prepare_cached(&sql(newest, &need.indicators, indicators))?;
            *last = Some(Self { newest, indicators: need.indicators.clone(), statement });
        }
        last.as_mut().ok_or(StoreError::Panicked)
    }

    /// `same` are the answers so far to needs of the same subject: a row that is among them takes
    /// no room of its own.
    fn rows(
        &mut self,
        need: &Need,
        same: &[Found],
        texts: &mut Interner,
        room: &mut Room,
    ) -> Result<Vec<FoundRow>, StoreError> {
        let (first, last) = match need.rows {
            Rows::Between { from, to } => (from, to),
            Rows::Newest { not_before, at } => (not_before, at),
        };
        let width = need.indicators.len();
        let mut rows = self.statement.query((&*need.subject, first, last))?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            // A date that is no whole number cannot be asked for.
            let ValueRef::Integer(report_date) = row.get_ref(0)? else { continue };
            if !same.iter().any(|other| other.has(report_date)) {
                room.take()?;
            }
            let info = row_info(row, report_date, texts)?;
            let values =
                (TEXTS..TEXTS + width).map(|n| number(row, n)).collect::<Result<_, _>>()?;
            found.push(FoundRow { report_date, info, values });
        }
        Ok(found)
    }
}

fn sql(newest: bool, wanted: &[IndicatorId], indicators: &Indicators) -> String {
    let mut sql = String::from("SELECT report_date, end_date, period, declare_date, year");
    for id in wanted {
        sql.push_str(", ");
        match indicators.name(*id) {
            Some(name) => sql.push_str(&quoted(name)),
            None => sql.push_str("NULL"),
        }
    }
    // Named, so that no index an older file brings along can take the plan elsewhere.
    sql.push_str(
        " FROM finance_data INDEXED BY finance_data_key \
         WHERE subject_key = ?1 AND report_date BETWEEN ?2 AND ?3 ",
    );
    // Of a range the others are passed over.
    sql.push_str(match newest {
        true => "AND typeof(report_date) = 'integer' ORDER BY report_date DESC LIMIT 1",
        false => "ORDER BY report_date",
    });
    sql
}

/// The texts of a row; what is not stored follows from its date.
fn row_info(row: &Row<'_>, at: Epoch, texts: &mut Interner) -> rusqlite::Result<RowInfo> {
    let end_date = stored(row, 1, texts)?.unwrap_or_else(|| texts.get(&Day::of(at).to_string()));
    let period = stored(row, 2, texts)?.unwrap_or_else(|| texts.get(Day::of(at).period()));
    let declare_date = stored(row, 3, texts)?;
    let year = stored(row, 4, texts)?.unwrap_or_else(|| texts.get(&Day::of(at).year()));
    Ok(RowInfo { end_date, period, declare_date, year })
}

fn stored(row: &Row<'_>, n: usize, texts: &mut Interner) -> rusqlite::Result<Option<Arc<str>>> {
    let value = row.get_ref(n)?;
    Ok(match value {
        ValueRef::Text(bytes) if !bytes.is_empty() => match std::str::from_utf8(bytes) {
            Ok(text) => Some(texts.get(text)),
            Err(_) => facts::text(value),
        },
        _ => facts::text(value),
    })
}

/// A number of an indicator; what is none, or not finite, counts as missing.
fn number(row: &Row<'_>, n: usize) -> rusqlite::Result<Option<f64>> {
    Ok(match row.get_ref(n)? {
        ValueRef::Real(x) if x.is_finite() => Some(x),
        #[expect(clippy::cast_precision_loss, reason = "what SQLite itself does with REAL columns")]
        ValueRef::Integer(x) => Some(x as f64),
        _ => None,
    })
}
