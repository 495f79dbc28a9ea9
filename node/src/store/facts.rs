//! What is known of each subject apart from its rows: the table `subjects`.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params, types::ValueRef};

use super::StoreError;
use crate::model::{Revision, SubjectInfo};

/// The topic of subjects that were never given one.
pub(super) const DEFAULT_TOPIC: &str = "stock_a_listing_pool";
/// The category of subjects that were never given one.
pub(super) const DEFAULT_CATEGORY: &str = "stock";

/// One row of `subjects`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) info: SubjectInfo,
    pub(super) topic: Option<Arc<str>>,
    pub(super) rows: u64,
}

/// The columns of a subject's facts, each drawn from the newest row that has it. `KEYS` stands for
/// a query of `subject_key AS k, count(*) AS n`.
const DERIVED: &str = "SELECT k,
    (SELECT stock_name FROM finance_data INDEXED BY finance_data_key
      WHERE subject_key = k AND stock_name <> '' ORDER BY report_date DESC LIMIT 1),
    (SELECT status FROM finance_data INDEXED BY finance_data_key
      WHERE subject_key = k AND status <> '' ORDER BY report_date DESC LIMIT 1),
    (SELECT listing_date FROM finance_data INDEXED BY finance_data_key
      WHERE subject_key = k AND listing_date <> '' ORDER BY report_date DESC LIMIT 1),
    coalesce((SELECT category FROM finance_data INDEXED BY finance_data_key
      WHERE subject_key = k AND category <> '' ORDER BY report_date DESC LIMIT 1), 'stock'),
    coalesce((SELECT topic FROM finance_data INDEXED BY finance_data_key
      WHERE subject_key = k AND topic <> '' ORDER BY report_date DESC LIMIT 1),
      'stock_a_listing_pool'),
    n, ?1 FROM (SELECT subject_key AS k, count(*) AS n FROM finance_data INDEXED BY finance_data_key
      WHERE KEYS GROUP BY subject_key)";

/// Draws the facts of all subjects from their rows; those without rows stay as subjects of none.
/// `empty` names columns known to hold nothing.
pub(super) fn derive_all(
    conn: &Connection,
    revision: Revision,
    empty: &[&str],
) -> rusqlite::Result<()> {
    let mut select = DERIVED.replace("KEYS", "true");
    for column in empty {
        // Spares a search through every row of every subject.
        select = select.replace(&format!("AND {column} <> ''"), "AND false");
    }
    let revision = revision.cast_signed();
    conn.execute(
        "UPDATE subjects SET name = NULL, status = NULL, listing_date = NULL, category = '', \
         topic = '', row_count = 0, revision = ?1",
        [revision],
    )?;
    conn.execute(&format!("INSERT OR REPLACE INTO subjects {select}"), [revision])?;
    Ok(())
}

/// Draws one subject's facts from its rows again. Without rows it stays as a subject of none, so
/// that its end has a revision too.
pub(super) fn derive_one(
    conn: &Connection,
    revision: Revision,
    subject: &str,
) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT OR REPLACE INTO subjects VALUES (?2, NULL, NULL, NULL, '', '', 0, ?1)",
    )?
    .execute(params![revision.cast_signed(), subject])?;
    let sql =
        format!("INSERT OR REPLACE INTO subjects {}", DERIVED.replace("KEYS", "subject_key = ?2"));
    conn.prepare_cached(&sql)?.execute(params![revision.cast_signed(), subject])?;
    Ok(())
}

/// The stored facts of a subject.
pub(super) fn load(conn: &Connection, subject: &str) -> Result<Option<Facts>, StoreError> {
    let sql = "SELECT name, status, listing_date, category, topic, row_count FROM subjects \
               WHERE subject_key = ?1 AND row_count > 0";
    let facts = conn.prepare_cached(sql)?.query_row([subject], |row| {
        Ok(Facts {
            info: info(row)?,
            topic: text(row.get_ref(4)?),
            rows: row.get::<_, i64>(5)?.unsigned_abs(),
        })
    });
    Ok(facts.optional()?)
}

/// Stores the facts of a subject.
pub(super) fn save(
    conn: &Connection,
    revision: Revision,
    subject: &str,
    facts: &Facts,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO subjects VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) \
               ON CONFLICT (subject_key) DO UPDATE SET name = ?2, status = ?3, listing_date = ?4, \
               category = ?5, topic = ?6, row_count = ?7, revision = ?8";
    let SubjectInfo { name, status, listing_date, category } = &facts.info;
    conn.prepare_cached(sql)?.execute(params![
        subject,
        name,
        status,
        listing_date,
        category.as_deref().unwrap_or(DEFAULT_CATEGORY),
        facts.topic.as_deref().unwrap_or(DEFAULT_TOPIC),
        facts.rows.cast_signed(),
        revision.cast_signed(),
    ])?;
    Ok(())
}

/// The first four columns of a row: name, status, listing date, category.
pub(super) fn info(row: &Row<'_>) -> rusqlite::Result<SubjectInfo> {
    Ok(SubjectInfo {
        name: text(row.get_ref(0)?),
        status: text(row.get_ref(1)?),
        listing_date: text(row.get_ref(2)?),
        category: text(row.get_ref(3)?),
    })
}

/// A stored text, whatever type the file holds it as; the empty text counts as none.
pub(super) fn text(value: ValueRef<'_>) -> Option<Arc<str>> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(n) => Some(n.to_string().into()),
        ValueRef::Real(x) => Some(x.to_string().into()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) if bytes.is_empty() => None,
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
            Some(String::from_utf8_lossy(bytes).into())
        }
    }
}

/// Writes the facts of a subject to its newest row.
pub(super) fn write_to_newest(
    conn: &Connection,
    subject: &str,
    facts: &Facts,
) -> Result<(), StoreError> {
    let SubjectInfo { name, status, listing_date, category } = &facts.info;
    conn.prepare_cached(
        "UPDATE finance_data SET stock_name = ?2, status = ?3, listing_date = ?4, category = ?5, \
         topic = ?6 WHERE subject_key = ?1 AND report_date = \
         (SELECT max(report_date) FROM finance_data WHERE subject_key = ?1)",
    )?
    .execute(params![subject, name, status, listing_date, category, facts.topic])?;
    Ok(())
}

/// A query for how many subjects have other facts than their rows tell.
pub(super) fn differing() -> String {
    let derived = DERIVED.replace("KEYS", "true").replace("n, ?1 FROM", "n FROM");
    format!(
        "SELECT count(*) FROM (SELECT subject_key, name, status, listing_date, category, topic, \
         row_count FROM subjects WHERE row_count > 0 EXCEPT {derived})"
    )
}
