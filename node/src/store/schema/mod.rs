//! The tables of a store, and how an older file gets them.

mod columns;
mod ddl;
mod legacy;

use std::collections::HashSet;

use rusqlite::Connection;

pub(super) use self::columns::{
    Column, add_indicator, check_name, columns, indicators, listed, quoted,
};
use super::{
    OpenReason, Totals, facts,
    history::{History, nonce},
    state::State,
};

/// The schema this program writes.
const SCHEMA: i64 = 1;

/// What a file is, as far as its tables tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Ours, up to date.
    Current,
    /// Empty, or with nothing but the legacy tables, or a part of ours was dropped.
    ToMigrate,
}

/// Looks at the tables of a file, without changing anything.
pub(super) fn recognise(conn: &Connection) -> Result<Kind, OpenReason> {
    let tables = tables(conn)?;
    if tables.contains("store_state") {
        let sql = "SELECT schema FROM store_state WHERE id = 1";
        return match conn.query_row(sql, [], |row| row.get(0))? {
            SCHEMA if is_complete(conn)? => Ok(Kind::Current),
            SCHEMA => require(conn, &tables).map(|()| Kind::ToMigrate),
            found if found > SCHEMA => Err(OpenReason::Newer { found, known: SCHEMA }),
            found => Err(OpenReason::Foreign(format!("its table store_state has schema {found}"))),
        };
    }
    let ours = |name: &&String| !matches!(name.as_str(), "finance_data" | "subject_tags");
    match tables.iter().filter(ours).min() {
        Some(other) if !tables.contains("finance_data") => {
            Err(OpenReason::Foreign(format!("it has a table {other} but no finance_data")))
        }
        _ => {
            require(conn, &tables)?;
            Ok(Kind::ToMigrate)
        }
    }
}

/// Fails if a table that is there lacks a column we cannot add.
fn require(conn: &Connection, tables: &HashSet<String>) -> Result<(), OpenReason> {
    let tags = ["subject_key", "id", "keyword"];
    for (table, names) in [("finance_data", &columns::REQUIRED[..]), ("subject_tags", &tags)] {
        if tables.contains(table) {
            columns::require(conn, table, names)?;
        }
    }
    Ok(())
}

/// Gives a file the schema, in one transaction.
pub(super) fn migrate(conn: &Connection) -> Result<(), OpenReason> {
    conn.execute_batch("BEGIN EXCLUSIVE")?;
    let migrated = prepare(conn).and_then(|()| complete(conn));
    match migrated {
        Ok(()) => Ok(conn.execute_batch("COMMIT")?),
        Err(reason) => {
            conn.execute_batch("ROLLBACK")?;
            Err(reason)
        }
    }
}

/// Makes the tables that hold rows; what is there already stays as it is.
pub(crate) fn prepare(conn: &Connection) -> Result<(), OpenReason> {
    Ok(conn.execute_batch(ddl::LEGACY)?)
}

/// Adds all that follows from the rows: keys, subjects, triggers, accounts. All subjects are
/// written anew, so this is a write of its own, unless there is nothing at all.
pub(crate) fn complete(conn: &Connection) -> Result<(), OpenReason> {
    let added = columns::add_missing(conn)?;
    legacy::key_rows(conn)?;
    conn.execute_batch(ddl::OURS)?;
    conn.execute_batch(ddl::TRIGGERS)?;
    conn.execute_batch("DELETE FROM outside_changes")?;
    let mut state = State::load(conn)?;
    let revision = state.revision + 1;
    facts::derive_all(conn, revision, &added)?;
    let sql = "SELECT coalesce(sum(row_count), 0), count(*) FROM subjects WHERE row_count > 0";
    let (records, subjects): (i64, i64) =
        conn.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let totals = Totals { records: records.unsigned_abs(), subjects: subjects.unsigned_abs() };
    if state.revision > 0 || totals != Totals::default() {
        state.advance(revision, totals, true);
    }
    break_history(conn)?;
    Ok(state.save(conn)?)
}

/// Whoever follows the file starts from a copy: what was done to it is not logged.
fn break_history(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute("DELETE FROM change_log", [])?;
    let mut history = History::load(conn)?;
    if !history.lineage.is_empty() {
        history.nonce = nonce();
    }
    history.columns = columns(conn)?.len();
    history.save(conn)
}

fn is_complete(conn: &Connection) -> Result<bool, OpenReason> {
    let mut exists = conn.prepare("SELECT 1 FROM sqlite_schema WHERE name = ?1")?;
    for name in ddl::NAMES {
        if !exists.exists([name])? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn tables(conn: &Connection) -> Result<HashSet<String>, OpenReason> {
    let sql = "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') \
               AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'";
    let mut select = conn.prepare(sql)?;
    let names = select.query_map([], |row| row.get(0))?;
    Ok(names.collect::<Result<_, _>>()?)
}
