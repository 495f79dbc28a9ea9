//! Which subjects: of a topic, under a tag, written since.

use std::collections::HashSet;

use rusqlite::{Connection, Params, types::ValueRef};

use super::{
    Changes, StoreError,
    reader::{Reader, snapshot},
    state::State,
};
use crate::model::{Revision, Subject};

/// A selection by tag.
pub(super) struct Tagged {
    pub(super) topic: String,
    pub(super) id: String,
    /// In lower case.
    pub(super) keyword: String,
    pub(super) restrict: Option<HashSet<Subject>>,
}

/// The subjects of a topic, in byte order.
pub(super) fn of_topic(
    reader: &Reader,
    topic: &str,
) -> Result<(Revision, Vec<Subject>), StoreError> {
    let (transaction, revision) = snapshot(&reader.conn)?;
    let sql = "SELECT subject_key FROM subjects WHERE topic = ?1 ORDER BY subject_key";
    Ok((revision, list(&transaction, sql, [topic])?))
}

/// The subjects a selection picks, in byte order.
///
/// Keywords are compared here and not in SQL, whose idea of case ends with ASCII.
pub(super) fn tagged(
    reader: &Reader,
    query: &Tagged,
    gone: &dyn Fn() -> bool,
) -> Result<(Revision, Vec<Subject>), StoreError> {
    let (transaction, revision) = snapshot(&reader.conn)?;
    // In the order of the index, so that equal keywords come together and are compared once.
    let mut select = transaction.prepare_cached(
        "SELECT t.keyword, t.subject_key FROM subject_tags t \
         CROSS JOIN subjects s ON s.subject_key = t.subject_key \
         WHERE t.id = ?1 AND s.topic = ?2 ORDER BY t.keyword",
    )?;
    let mut rows = select.query([&query.id, &query.topic])?;
    let (mut found, mut last): (Vec<Subject>, Option<(Vec<u8>, bool)>) = (Vec::new(), None);
    while let Some(row) = rows.next()? {
        let (ValueRef::Text(keyword), ValueRef::Text(subject)) = (row.get_ref(0)?, row.get_ref(1)?)
        else {
            continue;
        };
        let fits = match &last {
            Some((same, fits)) if same == keyword => *fits,
            _ => {
                if gone() {
                    return Err(StoreError::Closed);
                }
                let folded = String::from_utf8_lossy(keyword).to_lowercase();
                let fits = folded.contains(&query.keyword);
                last = Some((keyword.to_vec(), fits));
                fits
            }
        };
        let subject = String::from_utf8_lossy(subject);
        if fits && query.restrict.as_ref().is_none_or(|only| only.contains(&*subject)) {
            found.push(subject.into());
        }
    }
    found.sort_unstable();
    found.dedup();
    Ok((revision, found))
}

/// What was written after `revision`.
pub(super) fn changes_since(
    reader: &Reader,
    revision: Revision,
) -> Result<(Revision, Changes), StoreError> {
    let (transaction, now) = snapshot(&reader.conn)?;
    let membership = State::load(&transaction)?.membership_revision > revision;
    Ok((now, Changes { subjects: written_since(&transaction, revision)?, membership }))
}

/// Subjects written after `revision`, in byte order.
pub(super) fn written_since(
    conn: &Connection,
    revision: Revision,
) -> Result<Vec<Subject>, StoreError> {
    let sql = "SELECT subject_key FROM subjects WHERE revision > ?1 ORDER BY subject_key";
    list(conn, sql, [revision.cast_signed()])
}

/// The texts of the first column.
pub(super) fn list(
    conn: &Connection,
    sql: &str,
    params: impl Params,
) -> Result<Vec<Subject>, StoreError> {
    let mut select = conn.prepare_cached(sql)?;
    let mut rows = select.query(params)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        if let ValueRef::Text(text) = row.get_ref(0)? {
            found.push(String::from_utf8_lossy(text).into());
        }
    }
    Ok(found)
}
