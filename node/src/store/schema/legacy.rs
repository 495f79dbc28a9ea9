//! Rows of older files that come twice.

use rusqlite::{Connection, ErrorCode};

use super::OpenReason;

const KEY: &str = "CREATE UNIQUE INDEX IF NOT EXISTS finance_data_key \
                   ON finance_data(subject_key, report_date)";

/// Makes (`subject_key`, `report_date`) the key. Where rows repeat it the highest `id` stays; the
/// others move to `finance_data_superseded`, whole.
pub(super) fn key_rows(conn: &Connection) -> Result<(), OpenReason> {
    match conn.execute_batch(KEY) {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {}
        done => return Ok(done?),
    }
    let aside = free_name(conn)?;
    conn.execute_batch(&format!(
        "CREATE TEMP TABLE superseded AS SELECT id FROM
           (SELECT id, max(id) OVER (PARTITION BY subject_key, report_date) AS newest
              FROM finance_data)
           WHERE id < newest;
         CREATE TABLE {aside} AS
           SELECT * FROM finance_data WHERE id IN (SELECT id FROM superseded);
         DELETE FROM finance_data WHERE id IN (SELECT id FROM superseded);
         DROP TABLE superseded;"
    ))?;
    let sql = format!("SELECT count(*) FROM {aside}");
    let moved: i64 = conn.query_row(&sql, [], |row| row.get(0))?;
    tracing::warn!(rows = moved, table = aside, "rows that repeat a subject and date moved aside");
    Ok(conn.execute_batch(KEY)?)
}

/// `finance_data_superseded`, or that and a number where it is taken.
fn free_name(conn: &Connection) -> Result<String, OpenReason> {
    let mut exists = conn.prepare("SELECT 1 FROM sqlite_schema WHERE name = ?1")?;
    let mut name = "finance_data_superseded".to_owned();
    let mut number = 1;
    while exists.exists([&name])? {
        number += 1;
        name = format!("finance_data_superseded_{number}");
    }
    Ok(name)
}
