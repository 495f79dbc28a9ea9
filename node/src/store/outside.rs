//! Rows and tags that others write: a `sqlite3` shell, a script, another process of ours.
//!
//! Triggers in the file note which subjects were touched; this program's own connections have
//! triggers switched off, so only others are noted. Whoever opens the store next, or has it open,
//! takes the notes in as a write of its own: the subjects' facts are drawn from their rows again.

use rusqlite::Connection;

use super::{StoreError, Totals, Touched, facts, members, state::State};
use crate::model::Revision;

/// SQLite's number for the content of the file, which changes when another connection commits.
pub(super) fn data_version(conn: &Connection) -> Result<i64, StoreError> {
    Ok(conn.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?)
}

/// Whether others left notes.
pub(super) fn noted(conn: &Connection) -> Result<bool, StoreError> {
    Ok(conn.prepare_cached("SELECT 1 FROM outside_changes LIMIT 1")?.exists([])?)
}

/// Subjects that another process of ours wrote after `revision`.
pub(super) fn written_since(conn: &Connection, revision: Revision) -> Result<Touched, StoreError> {
    let subjects = members::written_since(conn, revision)?;
    Ok(Touched { subjects, membership: false })
}

/// Brings `subjects` and the totals in line with the noted rows, as the write after `state`.
/// Answers whether tags are among the notes.
pub(super) fn take_in(
    conn: &Connection,
    state: &mut State,
    touched: &mut Touched,
) -> Result<bool, StoreError> {
    let revision = state.revision + 1;
    let noted = members::list(conn, "SELECT DISTINCT subject_key FROM outside_changes", [])?;
    let (mut totals, mut tags) = (state.totals, false);
    for subject in noted {
        // Tags are noted under the empty name.
        touched.membership = true;
        if subject.is_empty() {
            tags = true;
            continue;
        }
        let before = facts::load(conn, &subject)?;
        facts::derive_one(conn, revision, &subject)?;
        let after = facts::load(conn, &subject)?;
        count(&mut totals, before.as_ref(), -1);
        count(&mut totals, after.as_ref(), 1);
        touched.subjects.push(subject);
    }
    touched.subjects.sort_unstable();
    touched.subjects.dedup();
    conn.execute("DELETE FROM outside_changes", [])?;
    tracing::info!(subjects = touched.subjects.len(), "took in rows that others wrote");
    state.advance(revision, totals, touched.membership);
    Ok(tags)
}

fn count(totals: &mut Totals, facts: Option<&facts::Facts>, sign: i64) {
    if let Some(facts) = facts {
        totals.subjects = totals.subjects.saturating_add_signed(sign);
        totals.records =
            totals.records.saturating_add_signed(sign.saturating_mul(facts.rows.cast_signed()));
    }
}
