//! The columns of `finance_data`: which are texts of ours, and which are indicators.

use std::sync::Arc;

use rusqlite::Connection;

use super::OpenReason;
use crate::{model::Indicators, store::StoreError};

/// Columns without which a table of that name is not ours.
pub(super) const REQUIRED: [&str; 5] =
    ["id", "stock_code", "market_code", "subject_key", "report_date"];

/// Columns that are added where they are missing.
const ADDED: [(&str, &str); 11] = [
    ("stock_name", "TEXT"),
    ("end_date", "TEXT"),
    ("year", "TEXT"),
    ("period", "TEXT"),
    ("operating_income", "REAL"),
    ("parent_holder_net_profit", "REAL"),
    ("category", "TEXT DEFAULT 'stock'"),
    ("topic", "TEXT DEFAULT 'stock_a_listing_pool'"),
    ("declare_date", "TEXT"),
    ("status", "TEXT"),
    ("listing_date", "TEXT"),
];

/// Names that mean something else in requests, answers, files or SQL.
const RESERVED: [&str; 7] = ["subject", "name", "data", "combine", "rowid", "oid", "_rowid_"];

/// Longest name of an indicator.
const LONGEST: usize = 64;
/// Most columns: SQLite allows 2,000, and one can always still be added by hand.
const MOST: usize = 1_990;

struct Any {
    name: String,
    /// Declared with a type that SQLite takes for REAL, and writable.
    real: bool,
}

/// A column of `finance_data` that can be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct Column {
    pub(in crate::store) name: String,
    /// The type it was declared with.
    pub(in crate::store) kind: String,
    /// Whether there is no more to it: no default, nulls allowed.
    pub(in crate::store) plain: bool,
}

/// The columns of `finance_data` that can be written, in their order.
pub(in crate::store) fn columns(conn: &Connection) -> rusqlite::Result<Vec<Column>> {
    let sql = "SELECT name, type, \"notnull\" = 0 AND dflt_value IS NULL \
               FROM pragma_table_xinfo('finance_data') WHERE hidden = 0 ORDER BY cid";
    let mut select = conn.prepare_cached(sql)?;
    let found = select.query_map([], |row| {
        Ok(Column { name: row.get(0)?, kind: row.get(1)?, plain: row.get(2)? })
    })?;
    found.collect()
}

/// Columns as SQL lists them.
pub(in crate::store) fn listed(columns: &[Column]) -> String {
    let quoted: Vec<String> = columns.iter().map(|column| quoted(&column.name)).collect();
    quoted.join(", ")
}

/// Fails if a table lacks a column.
pub(super) fn require(conn: &Connection, table: &str, names: &[&str]) -> Result<(), OpenReason> {
    let there = all(conn, table)?;
    match names.iter().find(|name| !there.iter().any(|c| c.name.eq_ignore_ascii_case(name))) {
        Some(name) => Err(OpenReason::Foreign(format!("its table {table} has no column {name}"))),
        None => Ok(()),
    }
}

/// Adds the columns an older file does not have yet; gives those without a default, which are
/// empty.
pub(super) fn add_missing(conn: &Connection) -> Result<Vec<&'static str>, OpenReason> {
    let there = all(conn, "finance_data")?;
    let mut added = Vec::new();
    for (name, kind) in ADDED {
        if !there.iter().any(|column| column.name.eq_ignore_ascii_case(name)) {
            conn.execute_batch(&format!("ALTER TABLE finance_data ADD COLUMN {name} {kind}"))?;
            if !kind.contains("DEFAULT") {
                added.push(name);
            }
        }
    }
    Ok(added)
}

/// The indicators of the file, after those that are `known` already and keep their ids.
pub(in crate::store) fn indicators(
    conn: &Connection,
    known: &Indicators,
) -> rusqlite::Result<Indicators> {
    let mut indicators = known.clone();
    for column in all(conn, "finance_data")? {
        if column.real && !is_text(&column.name) {
            indicators.add(&column.name);
        }
    }
    Ok(indicators)
}

/// Adds a column for a new indicator; does nothing if it is one already.
pub(in crate::store) fn add_indicator(
    conn: &Connection,
    indicators: &mut Arc<Indicators>,
    name: &str,
    line: u64,
) -> Result<bool, StoreError> {
    if indicators.id(name).is_some() {
        return Ok(false);
    }
    let invalid = |reason| StoreError::InvalidIndicator { name: name.into(), reason, line };
    check_name(name).map_err(invalid)?;
    let there = all(conn, "finance_data")?;
    if there.iter().any(|column| column.name.eq_ignore_ascii_case(name)) {
        return Err(invalid("there is a column of that name which is not this indicator"));
    }
    if there.len() >= MOST {
        return Err(invalid("the store has as many indicators as it can hold"));
    }
    conn.execute_batch(&format!("ALTER TABLE finance_data ADD COLUMN {} REAL", quoted(name)))?;
    Arc::make_mut(indicators).add(name);
    Ok(true)
}

/// `name` as SQL takes it, whatever is in it.
pub(in crate::store) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Whether an indicator may have this name.
pub(in crate::store) fn check_name(name: &str) -> Result<(), &'static str> {
    let letters = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_';
    if name.is_empty() || name.len() > LONGEST {
        return Err("expected 1 to 64 letters");
    }
    if !name.bytes().all(letters) || name.as_bytes()[0].is_ascii_digit() {
        return Err("expected lower-case letters, digits and _, and no digit first");
    }
    if RESERVED.contains(&name) {
        return Err("the name has another meaning in requests and answers");
    }
    Ok(())
}

/// Whether a column has a meaning of its own, whatever its type.
fn is_text(name: &str) -> bool {
    let texts = ADDED.iter().filter(|(_, kind)| kind.starts_with("TEXT")).map(|(name, _)| name);
    REQUIRED.iter().chain(texts).any(|text| name.eq_ignore_ascii_case(text))
}

fn all(conn: &Connection, table: &str) -> rusqlite::Result<Vec<Any>> {
    let sql = "SELECT name, type, hidden FROM pragma_table_xinfo(?1)";
    let mut select = conn.prepare_cached(sql)?;
    let found = select.query_map([table], |row| {
        let (name, kind, hidden): (String, String, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(Any { name, real: hidden == 0 && is_real(&kind) })
    })?;
    found.collect()
}

/// SQLite's rules for the affinity of a declared type (<https://sqlite.org/datatype3.html>).
fn is_real(kind: &str) -> bool {
    let kind = kind.to_ascii_uppercase();
    let has = |part: &str| kind.contains(part);
    !["INT", "CHAR", "CLOB", "TEXT", "BLOB"].iter().any(|part| has(part))
        && ["REAL", "FLOA", "DOUB"].iter().any(|part| has(part))
}
